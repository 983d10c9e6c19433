/* SPDX-License-Identifier: MIT
 *
 * dialogue.c - the client's side of a conversation: a line, and its answer.
 *
 * Two threads. This one reads a line, sends it, and waits for an answer. The
 * other one receives, all the time: so an answer in several pieces, or one
 * that comes late, is shown when it comes, also while the next line is being
 * typed, and the peer's leaving is noticed at once. What counts as the answer
 * is whatever arrives after the line was sent, as in the original program,
 * which calls recv once.
 *
 * A peer may end the conversation (status 0) while nothing is owed; where a
 * line went unanswered, or lines of a pipe were left, something was lost (1).
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include "cli.h"
#include "dialogue.h"
#include "keyboard.h"
#include "screen.h"

/* A datagram, or its answer, may be lost; nothing will tell. */
#define DATAGRAM_PATIENCE 5.0
/* After the end of the input: how long the peer may be silent before it is
 * left, in seconds. One that closes when we do is awaited no longer. */
#define FAREWELL 1.0
/* Pieces that are there already belong to one answer, up to this many: a peer
 * that never stops must not keep the prompt away. */
#define PIECES_AT_ONCE 16

static struct {
    krait_sock *sock;
    int datagrams;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned long answers;
    int over;   /* nothing will be received any more */
    int error;  /* why, where it was not the peer's end */
    int status; /* of that error */
    char message[1024];
} talk = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- the receiving thread ---------------------------------------------- */

/* A datagram or a piece of a stream. 1; 0 at the end; -1. */
static int receive_piece(char *piece, int flags)
{
    ssize_t n = krait_recv(talk.sock, piece, PIECE_SIZE, flags);

    if (n < 0)
        return -1;
    if (n == 0 && !talk.datagrams)
        return 0;
    screen_answer(piece, (size_t)n);
    return 1;
}

/* What is there for an answer. As receive_piece. */
static int receive_answer(char *piece)
{
    int rc = receive_piece(piece, 0);

    for (int i = 1; i < PIECES_AT_ONCE && rc > 0; i++) {
        rc = receive_piece(piece, MSG_DONTWAIT);
        if (rc < 0 && errno == EAGAIN)
            return 1;
    }
    return rc;
}

static void *receive(void *arg)
{
    static char piece[PIECE_SIZE];
    int rc;

    (void)arg;
    do {
        rc = receive_answer(piece);
        pthread_mutex_lock(&talk.lock);
        talk.answers++;
        if (rc <= 0) {
            talk.over = 1;
            talk.error = rc < 0 ? krait_errno() : 0;
            talk.status = rc < 0 ? failure_status() : STATUS_OK;
            snprintf(talk.message, sizeof talk.message, "%s",
                     rc < 0 ? krait_errmsg() : "");
        }
        pthread_cond_signal(&talk.changed);
        pthread_mutex_unlock(&talk.lock);
    } while (rc > 0);
    keyboard_end();
    return NULL;
}

/* --- the talking thread ------------------------------------------------ */

static unsigned long answers_so_far(int *over)
{
    unsigned long answers;

    pthread_mutex_lock(&talk.lock);
    answers = talk.answers;
    *over = talk.over;
    pthread_mutex_unlock(&talk.lock);
    return answers;
}

/* Waits until there are more answers than `before`, or none will come. 0; -1:
 * `seconds` (0: no limit) have passed. */
static int await_answer(unsigned long before, double seconds)
{
    double end = now() + seconds;
    struct timespec until = {.tv_sec = (time_t)end};
    int rc = 0;

    until.tv_nsec = (long)((end - (double)until.tv_sec) * 1e9);
    pthread_mutex_lock(&talk.lock);
    while (talk.answers == before && !talk.over && rc == 0)
        rc = seconds > 0
                 ? pthread_cond_timedwait(&talk.changed, &talk.lock, &until)
                 : pthread_cond_wait(&talk.changed, &talk.lock);
    pthread_mutex_unlock(&talk.lock);
    return rc == 0 ? 0 : -1;
}

/* A status, or -1: go on. */
static int sending_failed(void)
{
    int too_long = krait_errno() == EMSGSIZE; /* for a datagram */
    int status;

    if (keyboard_signal())
        return STATUS_FAILED; /* that was it, and the caller knows */
    status = say_failure();
    return too_long ? -1 : status;
}

/* Sends a line and waits for its answer. As sending_failed. */
static int exchange(const char *line, size_t len, double timeout)
{
    int over;
    unsigned long before = answers_so_far(&over);
    double patience = timeout;

    if (talk.datagrams && timeout == 0)
        patience = DATAGRAM_PATIENCE;
    if (krait_sendall(talk.sock, line, len, 0) < 0)
        return sending_failed();
    if (await_answer(before, patience) == 0)
        return -1;
    say("no answer within %g s", patience);
    return talk.datagrams ? -1 : STATUS_TIMEOUT;
}

/* Why the peer's side has ended. `owed`: something was to come or to go. */
static int say_peer_left(int owed)
{
    if (talk.error == ECANCELED)
        return STATUS_FAILED; /* a signal did it, and the caller knows */
    if (talk.error) {
        say("%s", talk.message);
        return talk.status;
    }
    say("the server has closed the connection");
    return owed ? STATUS_FAILED : STATUS_OK;
}

/* Says goodbye: the peer sees the end of the stream, and what it still has to
 * say is shown. Somebody at a terminal who has typed Ctrl-D wants to leave, and
 * is kept no longer, however much the peer has to say. */
static void take_leave(double timeout)
{
    double patience = timeout > 0 ? timeout : FAREWELL;
    int over;
    unsigned long answers = answers_so_far(&over);
    double end = now() + patience;

    if (talk.datagrams || krait_shutdown(talk.sock, SHUT_WR) < 0)
        return;
    while (!over && await_answer(answers, patience) == 0 &&
           !(screen_is_interactive() && now() > end))
        answers = answers_so_far(&over);
}

static struct dialogue_end converse(double timeout)
{
    const char *line;
    size_t len;
    int status;
    int error;
    int over = 0;

    while ((line = screen_read_line(&len, &error)) && !screen_failed()) {
        status = exchange(line, len, timeout);
        answers_so_far(&over);
        if (status >= 0)
            return (struct dialogue_end){.status = status, .peer_left = over};
        if (over)
            break;
    }
    if (screen_failed() || keyboard_signal())
        return (struct dialogue_end){.status = STATUS_FAILED};
    answers_so_far(&over);
    if (over)
        return (struct dialogue_end){
            .status = say_peer_left(line || !screen_is_interactive()),
            .peer_left = 1,
        };
    if (error == EINTR) /* ended from elsewhere, which has something to say */
        return (struct dialogue_end){.status = STATUS_FAILED, .peer_left = 1};
    if (error) {
        errno = error;
        return (struct dialogue_end){.status = say_stdio_failure("stdin")};
    }
    take_leave(timeout);
    return (struct dialogue_end){.status = STATUS_OK};
}

static void start(krait_sock *sock)
{
    pthread_condattr_t monotonic;

    talk.sock = sock;
    talk.datagrams = krait_type(sock) == SOCK_DGRAM;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&talk.changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

struct dialogue_end dialogue(const struct dialogue_options *options)
{
    struct dialogue_end end;
    pthread_t receiver;

    start(options->sock);
    keyboard_interrupts(talk.sock);
    if (start_thread(&receiver, receive, NULL) < 0) {
        say("a thread to receive: %s", strerror(errno));
        return (struct dialogue_end){.status = STATUS_FAILED};
    }
    end = converse(options->timeout);
    keyboard_interrupts(NULL);
    krait_interrupt(talk.sock);
    pthread_join(receiver, NULL);
    pthread_cond_destroy(&talk.changed);

    if (screen_failed()) {
        errno = screen_failed();
        if (!keyboard_signal())
            end.status = say_stdio_failure("stdout");
    }
    if (keyboard_signal())
        end.status = 128 + keyboard_signal();
    return end;
}
