/* SPDX-License-Identifier: MIT
 *
 * cmd_connect.c - `krait connect`: its command line, and the connection that
 * the dialogue or the pipe then uses.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "byte_pipe.h"
#include "cli.h"
#include "connect.h"
#include "dialogue.h"
#include "keyboard.h"
#include "command_line.h"
#include "screen.h"

static const struct command_help help = {
    .name = "connect",
    .text =
        "usage: krait connect [OPTIONS] ADDRESS\n"
        "\n"
        "At a terminal, or with --prompt, a dialogue: sends each line with\n"
        "its newline, waits for the answer, shows it. Otherwise a pipe: stdin\n"
        "to the peer, the peer to stdout, byte for byte; the end of stdin is\n"
        "passed on (half-close), and the peer's end is the end.\n"
        "\n"
        "  -p, --prompt           the dialogue, also where stdin or stdout is\n"
        "                         no terminal\n"
        "  -t, --timeout SECONDS  limit for the connection, and then for\n"
        "                         silence (dialogue: for each answer); also\n"
        "                         500ms, 2m (default: none; datagrams: 5 s\n"
        "                         for an answer, 1 s after stdin's end)\n"
        "      --send-only        throw away what is received\n"
        "      --recv-only        leave stdin alone\n"
        "  -h, --help\n"
        "\n"
        "Keys in the dialogue: those of libedit (arrows, history, Ctrl-R; see\n"
        "editrc(5)); Ctrl-D ends with status 0, Ctrl-C with 130.\n"
        "\n"
        "Exit status: 0 all went well, 1 another failure (the connection was\n"
        "lost), 2 usage, 3 the name doesn't resolve, 4 timed out, 5 refused\n"
        "or out of reach, 7 stdin or stdout failed, 130 Ctrl-C.\n",
};

struct connect_options {
    krait_addr address;
    int prompt;
    double timeout; /* 0: none */
    int send_only;
    int recv_only;
};

/* A Unix datagram socket without an address gets no answers: nobody could send
 * them anywhere. The kernel chooses one (unix(7), autobind). */
static krait_sock *connect_unix_datagrams(krait_addr address)
{
    krait_sock *sock = krait_socket(AF_UNIX, SOCK_DGRAM, 0);

    if (sock && krait_bind(sock, krait_unix("")) == 0 &&
        krait_connect(sock, address) == 0)
        return sock;
    krait_close(sock);
    return NULL;
}

krait_sock *connect_to(krait_addr address, double timeout)
{
    krait_sock *sock;

    if (krait_addr_family(address) == AF_UNIX &&
        krait_addr_type(address) == SOCK_DGRAM)
        return connect_unix_datagrams(address);
    sock =
        krait_create_connection(address, timeout > 0 ? timeout : KRAIT_FOREVER);
    if (sock)
        krait_settimeout(sock, KRAIT_FOREVER);
    return sock;
}

static void end_by_signal(int number)
{
    _exit(128 + number);
}

static int run_pipe(const struct connect_options *options)
{
    krait_sock *sock;
    int status;

    /* Whatever was received is in stdout already: nothing to clean up. */
    signal(SIGINT, end_by_signal);
    sock = connect_to(options->address, options->timeout);
    if (!sock)
        return say_failure();
    status = byte_pipe(&(struct byte_pipe_options){
        .sock = sock,
        .timeout = options->timeout,
        .send_only = options->send_only,
        .recv_only = options->recv_only,
    });
    krait_close(sock);
    return status;
}

static int run_dialogue(const struct connect_options *options)
{
    krait_sock *sock;
    int status;

    signal(SIGINT, end_by_signal); /* a connection that takes its time */
    sock = connect_to(options->address, options->timeout);
    if (!sock)
        return say_failure();
    keyboard_start();
    if (screen_open(DIALOGUE_PROMPT) < 0) {
        say("the terminal: %s", strerror(errno));
        krait_close(sock);
        return STATUS_STDIO;
    }
    status = dialogue(&(struct dialogue_options){
                          .sock = sock,
                          .timeout = options->timeout,
                      })
                 .status;
    screen_close();
    krait_close(sock);
    return status;
}

enum { OPTION_SEND_ONLY = 256, OPTION_RECV_ONLY };

/* 0; or a status, with `done` set where that is all there is to do. */
static int read_options(int argc, char **argv, struct connect_options *options,
                        int *done)
{
    static const struct option longs[] = {
        {"prompt", no_argument, NULL, 'p'},
        {"timeout", required_argument, NULL, 't'},
        {"send-only", no_argument, NULL, OPTION_SEND_ONLY},
        {"recv-only", no_argument, NULL, OPTION_RECV_ONLY},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int found;

    opterr = 0;
    while ((found = getopt_long(argc, argv, ":pt:h", longs, NULL)) != -1)
        switch (found) {
        case 'p':
            options->prompt = 1;
            break;
        case 't':
            if (read_duration(&help, "--timeout", optarg, &options->timeout))
                return STATUS_USAGE;
            break;
        case OPTION_SEND_ONLY:
            options->send_only = 1;
            break;
        case OPTION_RECV_ONLY:
            options->recv_only = 1;
            break;
        case 'h':
            *done = 1;
            return print_help(help.text);
        default:
            return option_error(&help, found, argv);
        }
    return 0;
}

int cmd_connect(int argc, char **argv)
{
    struct connect_options options = {.prompt = 0};
    int done = 0;
    int status = read_options(argc, argv, &options, &done);

    if (status != 0 || done)
        return status;
    if (options.send_only && options.recv_only)
        return usage_error(&help, "--send-only and --recv-only: one of them");
    if (options.prompt && (options.send_only || options.recv_only))
        return usage_error(&help, "--prompt is a dialogue, which sends and "
                                  "receives");
    if (optind == argc)
        return usage_error(&help, "an ADDRESS is needed");
    if (optind + 1 < argc)
        return usage_error(&help, "one ADDRESS, not also %s", argv[optind + 1]);
    status = read_address(&help, argv[optind], &options.address);
    if (status != 0)
        return status;
    if (!options.send_only && !options.recv_only && isatty(STDIN_FILENO) &&
        isatty(STDOUT_FILENO))
        options.prompt = 1;
    return options.prompt ? run_dialogue(&options) : run_pipe(&options);
}
