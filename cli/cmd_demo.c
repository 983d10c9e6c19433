/* SPDX-License-Identifier: MIT
 *
 * cmd_demo.c - `krait demo`: server and client in one terminal.
 *
 * The server is a child process (forked before there is any thread) whose
 * stdout and stderr are a pipe; the client is this process. What the server
 * says is shown line by line, marked, above what is being typed.
 *
 * No process stays behind: the child asks the kernel for a SIGTERM when its
 * parent ends in whatever way (PR_SET_PDEATHSIG), and ignores the terminal's
 * Ctrl-C. The client ends first, then the server is ended, and what it still
 * had to say is shown before the program ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli.h"
#include "connect.h"
#include "dialogue.h"
#include "keyboard.h"
#include "command_line.h"
#include "screen.h"
#include "serve.h"

static const struct command_help help = {
    .name = "demo",
    .text =
        "usage: krait demo [OPTIONS] [ADDRESS]\n"
        "\n"
        "Starts a server on ADDRESS (default 127.0.0.1:8001), connects to it,\n"
        "and puts you at the client's prompt: each line is sent and answered.\n"
        "What the server says is shown too. Ctrl-D or Ctrl-C ends both.\n"
        "\n"
        "  -r, --reply TEXT   what the server answers\n"
        "  -e, --echo         it answers with what came\n"
        "  -m, --mode MODE    threads (default) or serial\n"
        "  -v, --verbose      it says what happens\n"
        "  -h, --help\n"
        "\n"
        "Exit status: 0 after Ctrl-D or the end of the input, 130 after\n"
        "Ctrl-C, 1 the server or the connection was lost, 2 usage, 3 the name\n"
        "doesn't resolve, 6 the address can't be served, 7 stdin or stdout\n"
        "failed.\n",
};

static const char default_address[] = "127.0.0.1:8001";
static const char server_mark[] = "server| ";

/* The longest line that is held until its newline comes. */
#define LONGEST_LINE PIECE_SIZE

/* --- the server's output ----------------------------------------------- */

static struct {
    pid_t pid;
    int fd;                  /* its stdout and stderr */
    char held[LONGEST_LINE]; /* what was read and not yet shown */
    size_t len;
    atomic_int expected;               /* its end is what we want */
    char address[KRAIT_ADDR_TEXT_MAX]; /* where it says it is */
} server;

/* The first line of what is held, without its newline, and how many bytes it
 * takes there; NULL: no whole line, unless `whole` doesn't matter. */
static const char *held_line(int whole, size_t *len, size_t *taken)
{
    char *newline = memchr(server.held, '\n', server.len);

    if (!newline && (whole || server.len == 0))
        return NULL;
    *len = newline ? (size_t)(newline - server.held) : server.len;
    *taken = *len + (newline != NULL);
    return server.held;
}

static void drop_held(size_t len)
{
    server.len -= len;
    memmove(server.held, server.held + len, server.len);
}

/* Shows what is held: whole lines, or all of it. */
static void show_held(int whole)
{
    const char *line;
    size_t len;
    size_t taken;

    while ((line = held_line(whole, &len, &taken))) {
        screen_line(server_mark, line, len);
        drop_held(taken);
    }
}

/* Shows the server's lines until it ends. Its end without our wish ends the
 * dialogue. */
static void *follow_server(void *arg)
{
    ssize_t n;

    (void)arg;
    for (;;) {
        show_held(1);
        if (server.len == sizeof server.held)
            show_held(0);
        n = read(server.fd, server.held + server.len,
                 sizeof server.held - server.len);
        if (n == 0 || (n < 0 && errno != EINTR))
            break;
        server.len += n > 0 ? (size_t)n : 0;
    }
    show_held(0);
    if (!atomic_load(&server.expected))
        keyboard_end();
    return NULL;
}

/* --- starting ---------------------------------------------------------- */

/* The child: never returns. */
static void run_server(const struct serve_options *options, pid_t parent,
                       int output)
{
    int status;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(STATUS_FAILED); /* it has ended before it could be asked for */
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    status = serve(options);
    exit(status);
}

static int start_server(const struct serve_options *options)
{
    pid_t parent = getpid();
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    server.pid = fork();
    if (server.pid == 0) {
        close(fds[0]);
        run_server(options, parent, fds[1]);
    }
    close(fds[1]);
    server.fd = fds[0];
    return server.pid < 0 ? -1 : 0;
}

/* Remembers the address that the server's first line names. */
static void note_address(const char *line, size_t len)
{
    size_t before = strlen(LINE_STARTED);

    if (len <= before || memcmp(line, LINE_STARTED, before) != 0)
        return;
    snprintf(server.address, sizeof server.address, "%.*s", (int)(len - before),
             line + before);
}

/* Whether what is held has the line that says that the server waits. */
static int server_is_ready(void)
{
    const char *at = server.held;
    const char *end = server.held + server.len;
    const char *newline;

    while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
        size_t len = (size_t)(newline - at);

        note_address(at, len);
        if (len == strlen(LINE_WAITING) && memcmp(at, LINE_WAITING, len) == 0)
            return 1;
        at = newline + 1;
    }
    return 0;
}

/* Reads the server's first lines, which stay held. 0; -1: it has ended, or a
 * signal wants us to. */
static int await_server(void)
{
    while (!server_is_ready()) {
        ssize_t n = keyboard_read(server.fd, server.held + server.len,
                                  sizeof server.held - server.len);

        if (n > 0)
            server.len += (size_t)n;
        else if (n == 0 || n == KEYBOARD_ENDED || errno != EINTR)
            return -1;
    }
    return 0;
}

/* --- ending ------------------------------------------------------------ */

/* Waits for the server. The status of our end, where it was not a good one
 * that we had asked for; else 0. */
static int reap_server(int expected)
{
    int how = 0;

    while (waitpid(server.pid, &how, 0) < 0 && errno == EINTR)
        continue;
    if (WIFSIGNALED(how))
        say("the server was killed by signal %d (%s)", WTERMSIG(how),
            strsignal(WTERMSIG(how)));
    else if (!expected)
        say("the server has ended, with status %d", WEXITSTATUS(how));
    else
        return WEXITSTATUS(how);
    return STATUS_FAILED;
}

/* The server couldn't start, and has said why in a line of its own, which
 * becomes ours. */
static void say_not_started(int is_taken)
{
    const char *line = server.held;
    const char *end = memchr(server.held, '\n', server.len);
    size_t len = end ? (size_t)(end - line) : server.len;
    const char *prefix = "krait: ";

    if (len > strlen(prefix) && memcmp(line, prefix, strlen(prefix)) == 0) {
        line += strlen(prefix);
        len -= strlen(prefix);
    }
    say("%.*s%s", (int)len, line,
        is_taken ? "; or take another address: `krait demo 127.0.0.1:9001`, "
                   "`make run ADDR=127.0.0.1:9001`"
                 : "");
}

/* --- the whole --------------------------------------------------------- */

/* With the server's lines being followed. */
static struct dialogue_end talk_to_server(const struct serve_options *options)
{
    /* Where the user wants it; only a port 0 is the server's to tell. */
    krait_addr address = krait_addr_port(options->address) == 0
                             ? krait_addr_parse(server.address)
                             : options->address;
    struct dialogue_end end = {.status = STATUS_FAILED};
    krait_sock *sock;

    sock = connect_to(address, 0);
    if (!sock) {
        end.status = say_failure();
        return end;
    }
    end = dialogue(&(struct dialogue_options){.sock = sock});
    krait_close(sock);
    return end;
}

static int run_client(const struct serve_options *options)
{
    struct dialogue_end end;
    pthread_t follower;
    int status;

    show_held(1); /* before the prompt, not beside it */
    if (start_thread(&follower, follow_server, NULL) < 0) {
        say("a thread to follow the server: %s", strerror(errno));
        kill(server.pid, SIGTERM);
        reap_server(1);
        return STATUS_FAILED;
    }
    end = talk_to_server(options);
    if (!end.peer_left)
        atomic_store(&server.expected, 1);
    kill(server.pid, SIGTERM);
    pthread_join(follower, NULL);
    status = reap_server(!end.peer_left);
    return end.status != STATUS_OK ? end.status : status;
}

static int demo(struct serve_options *options)
{
    int status;

    options->in_demo = 1;
    if (start_server(options) < 0) {
        say("a process for the server: %s", strerror(errno));
        return STATUS_FAILED;
    }
    keyboard_start(); /* its handlers are not for the child */
    if (await_server() < 0) {
        if (keyboard_signal())
            kill(server.pid, SIGTERM);
        status = reap_server(1);
        if (keyboard_signal())
            return 128 + keyboard_signal();
        say_not_started(status == STATUS_CANT_SERVE);
        return status != 0 ? status : STATUS_FAILED;
    }
    if (screen_open(DIALOGUE_PROMPT) < 0) {
        say("the terminal: %s", strerror(errno));
        kill(server.pid, SIGTERM);
        reap_server(1);
        return STATUS_STDIO;
    }
    status = run_client(options);
    screen_close();
    return status;
}

int cmd_demo(int argc, char **argv)
{
    static const struct option longs[] = {
        SERVE_LONG_OPTIONS,
        {NULL, 0, NULL, 0},
    };
    struct serve_options options = serve_defaults();
    const char *address = default_address;
    int found;
    int status = 0;

    opterr = 0;
    while (status == 0 &&
           (found = getopt_long(argc, argv, ":r:em:vh", longs, NULL)) != -1) {
        if (found == 'h')
            return print_help(help.text);
        status = read_serve_option(&help, &options, found, argv);
    }
    if (status == 0)
        status = check_serve_options(&help, &options);
    if (status == 0 && optind + 1 < argc)
        status =
            usage_error(&help, "one ADDRESS, not also %s", argv[optind + 1]);
    if (status == 0 && optind < argc)
        address = argv[optind];
    if (status == 0)
        status = read_address(&help, address, &options.address);
    return status != 0 ? status : demo(&options);
}
