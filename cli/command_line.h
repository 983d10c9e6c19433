/* SPDX-License-Identifier: MIT
 *
 * command_line.h - reading the command line.
 */
#ifndef COMMAND_LINE_H
#define COMMAND_LINE_H

#include <krait.h>

/* What --help of a command prints. */
struct command_help {
    const char *name;
    const char *text;
};

/* Each says what is wrong, and that --help helps, and returns STATUS_USAGE;
 * the readers return 0 where all is well. */
int usage_error(const struct command_help *help, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int read_duration(const struct command_help *help, const char *option,
                  const char *text, double *seconds);
int read_address(const struct command_help *help, const char *text,
                 krait_addr *address);

/* What getopt_long has found wrong (`found` is ':' or '?'). */
int option_error(const struct command_help *help, int found, char **argv);

/* Prints to stdout, and finds out whether it got there. */
int print_help(const char *text);

#endif
