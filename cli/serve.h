/* SPDX-License-Identifier: MIT
 *
 * serve.h - the server of `krait serve`, which `krait demo` runs in a child.
 */
#ifndef SERVE_H
#define SERVE_H

#include <getopt.h>
#include <krait.h>
#include "command_line.h"

struct serve_options {
    krait_addr address;
    const char *reply; /* to every recv; empty: no answer */
    int echo;          /* answer with what came, instead */
    enum krait_mode mode;
    double timeout; /* seconds a connection may be idle; 0: any */
    int quiet;      /* nothing on stdout */
    int verbose;
    int in_demo; /* the client's terminal is ours too */
};

/* The lines that `krait demo` looks for. */
#define LINE_STARTED "Server start at: "
#define LINE_WAITING "wait for connection..."

/* The options that `serve` and `demo` share, for getopt_long. */
enum { OPTION_REPLY = 'r', OPTION_ECHO = 'e', OPTION_MODE = 'm' };
#define SERVE_LONG_OPTIONS \
    {"reply", required_argument, NULL, OPTION_REPLY}, \
        {"echo", no_argument, NULL, OPTION_ECHO}, \
        {"mode", required_argument, NULL, OPTION_MODE}, \
        {"verbose", no_argument, NULL, 'v'}, \
    { \
        "help", no_argument, NULL, 'h' \
    }

/* What is served unless options say otherwise. */
struct serve_options serve_defaults(void);

/* Takes one of the shared options: 0, or what usage_error returned. Called
 * with anything else it is an option_error. */
int read_serve_option(const struct command_help *help,
                      struct serve_options *wanted, int found, char **argv);

/* What can only be seen when all options have been read; and defaults. */
int check_serve_options(const struct command_help *help,
                        struct serve_options *wanted);

/* Serves until a signal ends it. Returns a status. */
int serve(const struct serve_options *wanted);

#endif
