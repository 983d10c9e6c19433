/* SPDX-License-Identifier: MIT
 *
 * command_line.c - reading the command line: durations, addresses, and what to
 * say where it can't be read. getopt_long itself stays quiet (opterr = 0), so
 * that every line has one form.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli.h"
#include "command_line.h"

/* More than this many seconds is no timeout but a mistake: 31 years. */
#define LONGEST_DURATION 1e9

int usage_error(const struct command_help *help, const char *format, ...)
{
    char what[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    say("%s (see `krait%s%s --help`)", what, help->name ? " " : "",
        help->name ? help->name : "");
    return STATUS_USAGE;
}

/* The factor of a unit; 0: there is no such unit. */
static double unit_factor(const char *unit)
{
    if (*unit == '\0' || strcmp(unit, "s") == 0)
        return 1;
    if (strcmp(unit, "ms") == 0)
        return 1e-3;
    return strcmp(unit, "m") == 0 ? 60 : 0;
}

int read_duration(const struct command_help *help, const char *option,
                  const char *text, double *seconds)
{
    char *unit;
    size_t digits = strspn(text, "0123456789.");
    double value;

    /* strtod alone would take "-1", "nan", "inf", "0x10" and "1e9" too. */
    value = strtod(text, &unit);
    if (digits == 0 || unit != text + digits || unit_factor(unit) == 0)
        return usage_error(help,
                           "%s %s: not a duration: seconds such as 2.5, or "
                           "with a unit: 2500ms, 3s, 1m",
                           option, text);
    value *= unit_factor(unit);
    if (!(value > 0 && value <= LONGEST_DURATION))
        return usage_error(help, "%s %s: must be more than 0 and at most %g s",
                           option, text, LONGEST_DURATION);
    *seconds = value;
    return 0;
}

int read_address(const struct command_help *help, const char *text,
                 krait_addr *address)
{
    static const char operation[] = "resolve ";
    krait_addr ignored;
    const char *message;

    *address = krait_addr_parse(text);
    if (krait_addr_error(*address) == 0)
        return 0;
    /* The call that is given a bad address fails, and says why; that it was
     * this one matters to nobody. */
    if (krait_addr_resolve(*address, AF_UNSPEC, 0, &ignored, 1) >= 0)
        return usage_error(help, "%s: %s", text,
                           strerror(krait_addr_error(*address)));
    message = krait_errmsg();
    if (strncmp(message, operation, strlen(operation)) == 0)
        message += strlen(operation);
    return usage_error(help, "%s", message);
}

int option_error(const struct command_help *help, int found, char **argv)
{
    const char *word = argv[optind - 1];
    char letter[3] = {'-', (char)optopt, '\0'};

    /* getopt_long leaves optopt 0 for a long option that it doesn't know, and
     * sets it for short ones, and for long ones that lack their argument or
     * have one too many. */
    if (strncmp(word, "--", 2) != 0)
        word = letter;
    if (found == ':')
        return usage_error(help, "%s needs an argument", word);
    if (strncmp(word, "--", 2) == 0 && optopt != 0)
        return usage_error(help, "%s takes no argument", word);
    return usage_error(help, "%s: no such option", word);
}

int print_help(const char *text)
{
    if (write_all(STDOUT_FILENO, text, strlen(text)) < 0)
        return say_stdio_failure("stdout");
    return STATUS_OK;
}
