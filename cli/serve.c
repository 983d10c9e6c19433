/* SPDX-License-Identifier: MIT
 *
 * serve.c - the server of `krait serve` and `krait demo`, over krait_server.
 *
 * A client can do nothing to end it: whatever goes wrong with one connection
 * ends that connection. What does end it is a signal, and a stdout that takes
 * no more: what was received could only be dropped then, and it was asked for.
 * The client whose bytes could not be written gets no answer for them.
 *
 * Several clients are served at once; a lock makes each piece of output whole.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cli.h"
#include "serve.h"
#include "show.h"

/* How long after a signal a handler may still be stuck in writing to a stdout
 * that nobody reads, in seconds. */
#define PATIENCE 3

static const char default_reply[] = "server received you message.";

static struct serve_options options;
static size_t reply_len;

/* --- signals ----------------------------------------------------------- */

static _Atomic(krait_server *) the_server;
static atomic_int stopping;

/* Cancels: in serial mode krait_serve_forever returns when the connection that
 * it serves has ended, which may be never. */
static void on_stop(int signal_number)
{
    krait_server *server = atomic_load(&the_server);
    int saved = errno;

    (void)signal_number;
    if (!server && !stopping)
        _exit(STATUS_OK); /* it hasn't begun; a name may take its time */
    stopping = 1;
    give_up();
    if (server)
        krait_server_cancel(server);
    alarm(PATIENCE);
    errno = saved;
}

static void on_alarm(int signal_number)
{
    static const char line[] = "krait: stdout: " NOBODY_READS "\n";
    ssize_t ignored = write(STDERR_FILENO, line, sizeof line - 1);

    (void)signal_number;
    (void)ignored;
    _exit(STATUS_STDIO);
}

static void catch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_stop};
    struct sigaction late = {.sa_handler = on_alarm};
    struct sigaction old;

    sigaction(SIGALRM, &late, NULL);
    sigaction(SIGTERM, &stop, NULL);
    if (options.in_demo)
        signal(SIGINT, SIG_IGN); /* the client ends first, and then us */
    else
        sigaction(SIGINT, &stop, NULL);
    /* nohup(1) has it ignored, and that holds. */
    if (sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &stop, NULL);
}

/* --- output ------------------------------------------------------------ */

/* One client, from the first byte to the last. */
struct talk {
    char peer[KRAIT_ADDR_TEXT_MAX];
    struct show show;
    size_t received;
    char piece[PIECE_SIZE];
    char shown[SHOW_ROOM(PIECE_SIZE)];
};

static struct {
    pthread_mutex_t lock;
    int is_terminal;
    int at_line_start;
    int failed;            /* stdout takes no more; said already */
    const void *last_talk; /* whose bytes came last */
} out = {.lock = PTHREAD_MUTEX_INITIALIZER, .at_line_start = 1};

static void comment(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* With --verbose only. */
static void comment(const char *format, ...)
{
    char line[1024];
    va_list args;

    if (!options.verbose)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    say("%s", line);
}

/* Under the lock. 0, or -1 where stdout has failed. */
static int put(const char *text, size_t len)
{
    if (out.failed)
        return -1;
    if (len == 0)
        return 0;
    if (write_all(STDOUT_FILENO, text, len) == 0) {
        out.at_line_start = text[len - 1] == '\n';
        return 0;
    }
    out.failed = 1;
    say_stdio_failure("stdout");
    krait_server_shutdown(atomic_load(&the_server));
    return -1;
}

/* One of the server's own lines, which starts on a line of its own. */
static int put_line(const char *before, const char *text)
{
    char line[KRAIT_ADDR_TEXT_MAX + 64];
    int n = snprintf(line, sizeof line, "%s%s\n", before, text);
    int rc;

    if (options.quiet)
        return 0;
    pthread_mutex_lock(&out.lock);
    rc = out.at_line_start ? 0 : put("\n", 1);
    if (rc == 0)
        rc = put(line, (size_t)n);
    out.last_talk = NULL;
    pthread_mutex_unlock(&out.lock);
    return rc;
}

/* Somebody reads what is printed, here or in `krait demo`. */
static int for_eyes(void)
{
    return out.is_terminal || options.in_demo;
}

/* What a client has sent. Not to a terminal: byte for byte. To a terminal:
 * made harmless. For eyes each client is on lines of its own. */
static int put_piece(struct talk *talk, const char *data, size_t len)
{
    int rc = 0;

    if (options.quiet)
        return 0;
    pthread_mutex_lock(&out.lock);
    if (out.is_terminal) {
        len = show_bytes(&talk->show, data, len, talk->shown);
        data = talk->shown;
    }
    if (for_eyes() && len > 0 && out.last_talk != talk && !out.at_line_start)
        rc = put("\n", 1);
    if (rc == 0)
        rc = put(data, len);
    if (len > 0)
        out.last_talk = talk;
    pthread_mutex_unlock(&out.lock);
    return rc;
}

/* The beginning of a character that never came to its end. */
static void put_rest(struct talk *talk)
{
    char rest[SHOW_ROOM(0)];
    size_t len;

    if (options.quiet)
        return;
    pthread_mutex_lock(&out.lock);
    len = show_rest(&talk->show, rest);
    put(rest, len);
    if (options.in_demo && !out.at_line_start)
        put("\n", 1); /* it is shown by lines there */
    out.last_talk = NULL;
    pthread_mutex_unlock(&out.lock);
}

/* --- serving ----------------------------------------------------------- */

static int answer(krait_request *req, const void *data, size_t len)
{
    if (options.echo)
        return krait_reply(req, data, len);
    return reply_len > 0 ? krait_reply(req, options.reply, reply_len) : 0;
}

static struct talk *new_talk(krait_request *req)
{
    struct talk *talk = malloc(sizeof *talk);

    if (!talk)
        return NULL;
    krait_addr_text(krait_request_peer(req), talk->peer, sizeof talk->peer);
    memset(&talk->show, 0, sizeof talk->show);
    talk->received = 0;
    return talk;
}

/* Why a connection has ended, for --verbose. */
static void comment_end(const struct talk *talk, ssize_t last)
{
    if (last == 0)
        comment("%s has finished, after %zu bytes", talk->peer, talk->received);
    else if (krait_errdomain() == KRAIT_ERROR_TIMEOUT)
        comment("%s was idle for %g s: closed, after %zu bytes", talk->peer,
                options.timeout, talk->received);
    else if (errno == ECANCELED)
        comment("%s: closed, the server ends", talk->peer);
    else
        comment("%s: %s, after %zu bytes", talk->peer, krait_errmsg(),
                talk->received);
}

static void converse(krait_request *req, struct talk *talk)
{
    ssize_t n;

    while ((n = krait_recv(req->sock, talk->piece, sizeof talk->piece, 0)) >
           0) {
        talk->received += (size_t)n;
        if (put_piece(talk, talk->piece, (size_t)n) < 0)
            return;
        if (answer(req, talk->piece, (size_t)n) < 0) {
            n = -1;
            break;
        }
    }
    comment_end(talk, n);
}

static int handle_connection(krait_request *req)
{
    struct talk *talk = new_talk(req);

    if (!talk)
        return -1;
    if (put_line("Connected by ", talk->peer) == 0) {
        converse(req, talk);
        put_rest(talk);
    }
    free(talk);
    return 0;
}

/* A datagram is whole: nothing of it is held for the next one. */
static int handle_datagram(krait_request *req)
{
    struct talk *talk = new_talk(req);

    if (!talk)
        return -1;
    comment("%zu bytes from %s", req->packet_len, talk->peer);
    if (put_piece(talk, req->packet, req->packet_len) == 0) {
        put_rest(talk);
        if (answer(req, req->packet, req->packet_len) < 0)
            comment("%s: %s", talk->peer, krait_errmsg());
    }
    free(talk);
    return 0;
}

/* A handler fails only where there is no memory for it. */
static void tell_error(krait_request *req)
{
    char peer[KRAIT_ADDR_TEXT_MAX];

    krait_addr_text(krait_request_peer(req), peer, sizeof peer);
    say("%s: %s", peer, strerror(errno));
}

static void log_line(void *arg, const char *line)
{
    (void)arg;
    say("%s", line);
}

static krait_server *open_server(void)
{
    int datagrams = krait_addr_type(options.address) == SOCK_DGRAM;
    krait_server *server;

    krait_set_log(log_line, NULL);
    server = krait_server_new(&(krait_server_options){
        .address = options.address,
        .handle = datagrams ? handle_datagram : handle_connection,
        .handle_error = tell_error,
        .mode = options.mode,
        .request_timeout = options.timeout,
        .unix_cleanup = 1,
    });
    atomic_store(&the_server, server);
    return server;
}

static void describe(const char *address)
{
    char timeout[32] = "none";

    if (options.timeout > 0)
        snprintf(timeout, sizeof timeout, "%g s", options.timeout);
    comment("Krait %s serves %s, mode %s, answer %s, timeout %s",
            krait_version(), address,
            options.mode == KRAIT_SERIAL ? "serial" : "threads",
            options.echo    ? "what came"
            : reply_len > 0 ? options.reply
                            : "none",
            timeout);
}

/* The lines that the original program prints, then the serving. */
static int run(krait_server *server)
{
    char address[KRAIT_ADDR_TEXT_MAX];
    int rc;

    krait_addr_text(krait_server_address(server), address, sizeof address);
    describe(address);
    put_line(LINE_STARTED, address);
    put_line(LINE_WAITING, "");
    rc = krait_serve_forever(server);
    if (rc < 0)
        say("%s", krait_errmsg());
    return rc < 0 ? STATUS_FAILED : STATUS_OK;
}

/* Each client takes two fds, its connection and its thread's, and the usual
 * soft limit is 1,024: less than the threads that a server may start. */
static void raise_fd_limit(void)
{
    const rlim_t enough = 2 * KRAIT_MAX_THREADS + 64;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= enough)
        return;
    limit.rlim_cur = limit.rlim_max < enough ? limit.rlim_max : enough;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        comment("the limit of open files stays: %s", strerror(errno));
}

int serve(const struct serve_options *wanted)
{
    krait_server *server;
    int status;

    options = *wanted;
    reply_len = strlen(options.reply);
    out.is_terminal = isatty(STDOUT_FILENO);
    catch_signals();
    raise_fd_limit();

    server = open_server();
    if (!server)
        return say_serve_failure();
    status = run(server);
    stopping = 1; /* also where no signal has come: none does anything now */
    atomic_store(&the_server, NULL);
    krait_server_close(server);
    return out.failed ? STATUS_STDIO : status;
}

/* --- options ----------------------------------------------------------- */

struct serve_options serve_defaults(void)
{
    return (struct serve_options){.mode = KRAIT_THREADS};
}

static int read_mode(const struct command_help *help, const char *text,
                     enum krait_mode *mode)
{
    if (strcmp(text, "threads") == 0)
        *mode = KRAIT_THREADS;
    else if (strcmp(text, "serial") == 0)
        *mode = KRAIT_SERIAL;
    else
        return usage_error(help, "--mode %s: threads or serial", text);
    return 0;
}

int read_serve_option(const struct command_help *help,
                      struct serve_options *wanted, int found, char **argv)
{
    switch (found) {
    case OPTION_REPLY:
        wanted->reply = optarg;
        return 0;
    case OPTION_ECHO:
        wanted->echo = 1;
        return 0;
    case OPTION_MODE:
        return read_mode(help, optarg, &wanted->mode);
    case 'v':
        wanted->verbose = 1;
        return 0;
    default:
        return option_error(help, found, argv);
    }
}

int check_serve_options(const struct command_help *help,
                        struct serve_options *wanted)
{
    if (wanted->echo && wanted->reply)
        return usage_error(help, "--echo and --reply are two answers: one");
    if (!wanted->reply)
        wanted->reply = default_reply;
    return 0;
}
