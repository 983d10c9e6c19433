/* SPDX-License-Identifier: MIT
 *
 * byte_pipe.c - a connection as a pipe: stdin to the peer, the peer to stdout.
 *
 * The two directions have a thread each and nothing to do with one another, so
 * that neither a peer that doesn't read nor a stdout that nobody reads stops
 * the other one. When it ends is decided here, in receive_all, and nowhere
 * else; krait(1) has it as a table:
 *
 *   stdin ends       the peer is told (SHUT_WR); receiving goes on
 *   the peer ends    the program ends, once stdout has every byte
 *   sending fails    receiving goes on, and the status says that it failed
 *   stdout fails     the program ends at once
 *
 * With --send-only the peer's end alone ends nothing: it may read on. After
 * the end of stdin what still comes is read and thrown away until the peer has
 * finished, since to close a socket with unread data resets the connection,
 * and that destroys what the peer has not read yet (RFC 2525, section 2.17).
 *
 * Datagrams have no end: after the end of stdin a time of silence ends them.
 *
 * The thread that sends is never joined: it may be in read(2) of a stdin from
 * which nothing comes. What it uses is static, and its socket its own.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "byte_pipe.h"
#include "cli.h"
#include "keyboard.h"
#include "show.h"

/* After the end of stdin, with datagrams: seconds of silence. */
#define DATAGRAM_SILENCE 1.0
/* The largest datagram of UDP over IPv4: 65535 less the headers. */
#define DATAGRAM_SIZE 65507

static struct {
    krait_sock *out; /* the sender's; both are closed by exit */
    krait_sock *in;  /* which it interrupts when datagrams have been sent */
    int datagrams;
    atomic_int over;        /* nobody is interested in sending any more */
    atomic_int sending;     /* stdin has given something for the peer */
    atomic_int sent_all;    /* stdin has ended, and the peer has it all */
    atomic_int send_status; /* of a failure; 0: none */
    sem_t sent;             /* posted then */
    _Atomic double last_sent;
} line;

/* --- sending ----------------------------------------------------------- */

/* 0, or the status of a failure, which has been said. */
static int send_piece(const char *piece, size_t len)
{
    atomic_store(&line.sending, 1);
    if (krait_sendall(line.out, piece, len, 0) < 0)
        return atomic_load(&line.over) ? STATUS_FAILED : say_failure();
    atomic_store(&line.last_sent, now());
    atomic_store(&line.sending, 0);
    return 0;
}

/* Sends stdin. As send_piece. */
static int send_all(void)
{
    static char piece[PIECE_SIZE];
    size_t size = line.datagrams ? DATAGRAM_SIZE : sizeof piece;
    int status;
    ssize_t n;

    while ((n = read(STDIN_FILENO, piece, size)) != 0) {
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            /* EAGAIN: see write_all. */
            if (errno == EAGAIN)
                nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
            continue;
        }
        if (n < 0)
            return say_stdio_failure("stdin");
        status = send_piece(piece, (size_t)n);
        if (status != 0)
            return status;
    }
    return 0;
}

static void *run_sender(void *arg)
{
    int status = send_all();

    (void)arg;
    atomic_store(&line.send_status, status);
    atomic_store(&line.last_sent, now());
    atomic_store(&line.sent_all, 1);
    /* Also where stdin has failed: the peer waits for an end. ENOTCONN: the
     * peer has left, which the receiving side finds out. */
    if (!line.datagrams)
        krait_shutdown(line.out, SHUT_WR);
    else
        krait_interrupt(line.in);
    sem_post(&line.sent);
    return NULL;
}

static int start_sender(void)
{
    pthread_t sender;

    if (start_thread(&sender, run_sender, NULL) < 0) {
        say("a thread to send: %s", strerror(errno));
        return -1;
    }
    pthread_detach(sender);
    return 0;
}

/* --- receiving --------------------------------------------------------- */

static int deliver(struct show *show, const char *piece, size_t len)
{
    static char shown[SHOW_ROOM(PIECE_SIZE)];

    if (show->raw)
        return write_all(STDOUT_FILENO, piece, len);
    len = show_bytes(show, piece, len, shown);
    return write_all(STDOUT_FILENO, shown, len);
}

/* The beginning of a character that never came to its end. */
static void deliver_rest(struct show *show)
{
    char rest[SHOW_ROOM(0)];

    if (write_all(STDOUT_FILENO, rest, show_rest(show, rest)) < 0)
        return; /* said by whoever wrote last, or nothing was lost */
}

/* How long to wait for the next piece; KRAIT_FOREVER. */
static double patience(const struct byte_pipe_options *options)
{
    if (options->timeout > 0)
        return options->timeout;
    if (line.datagrams && atomic_load(&line.sent_all))
        return DATAGRAM_SILENCE;
    return KRAIT_FOREVER;
}

/* Nothing came for that long. 1: our side was busy; go on. */
static int still_busy(const struct byte_pipe_options *options)
{
    return now() - atomic_load(&line.last_sent) < patience(options);
}

/* The silence that --timeout is about: an end where nothing was owed. */
static int silent(const struct byte_pipe_options *options)
{
    int status = atomic_load(&line.send_status);

    if (atomic_load(&line.sent_all) && (options->send_only || line.datagrams))
        return status;
    say("nothing was sent or received for %g s", options->timeout);
    return STATUS_TIMEOUT;
}

/* A reset is reported once. Where send(2) got to know of it, recv(2) has seen
 * an end as any other, and what was being sent is lost all the same. (Sending
 * nothing asks; but it would be a record.) */
static int reset_while_sending(void)
{
    return atomic_load(&line.sending) && krait_type(line.in) == SOCK_STREAM &&
           krait_send(line.in, "", 0, MSG_DONTWAIT) < 0 && errno != EAGAIN;
}

/* The end of what the peer sends; with --send-only it may still read. */
static int peer_finished(const struct byte_pipe_options *options)
{
    int await_sender = options->send_only || reset_while_sending();

    while (await_sender && sem_wait(&line.sent) < 0 && errno == EINTR)
        continue;
    atomic_store(&line.over, 1);
    return atomic_load(&line.send_status);
}

/* 1: go on; 0: the end, with *status set. */
static int receive_failed(const struct byte_pipe_options *options, int *status)
{
    if (krait_errdomain() == KRAIT_ERROR_TIMEOUT && still_busy(options))
        return 1;
    if (krait_errdomain() == KRAIT_ERROR_TIMEOUT) {
        *status = silent(options);
        return 0;
    }
    *status = atomic_load(&line.send_status);
    if (*status == 0)
        *status = say_failure();
    return 0;
}

static int receive_all(const struct byte_pipe_options *options,
                       struct show *show)
{
    static char piece[PIECE_SIZE];
    krait_sock *sock = line.in;
    int status;

    for (;;) {
        ssize_t n;

        krait_settimeout(sock, patience(options));
        n = krait_recv(sock, piece, sizeof piece, 0);
        if (n == 0 && !line.datagrams)
            return peer_finished(options);
        if (n < 0 && errno == ECANCELED && sock == line.in) {
            sock = options->sock; /* stdin has ended: wait in another way */
            continue;
        }
        if (n < 0 && !receive_failed(options, &status))
            return status;
        if (n > 0 && !options->send_only && deliver(show, piece, (size_t)n) < 0)
            return say_stdio_failure("stdout");
    }
}

int byte_pipe(const struct byte_pipe_options *options)
{
    struct show show = {.raw = !isatty(STDOUT_FILENO)};
    int status;

    line.datagrams = krait_type(options->sock) == SOCK_DGRAM;
    line.in = krait_dup(options->sock);
    line.out = krait_dup(options->sock);
    if (!line.in || !line.out)
        return say_failure();
    sem_init(&line.sent, 0, 0);
    atomic_store(&line.last_sent, now());
    if (!options->recv_only && start_sender() < 0)
        return STATUS_FAILED;
    status = receive_all(options, &show);
    deliver_rest(&show);
    return status;
}
