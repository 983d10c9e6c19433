/* SPDX-License-Identifier: MIT
 *
 * log.c - the few lines that the library has to say of its own accord.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/failure.h"

static void to_stderr(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "krait: %s\n", line);
}

static krait_log_fn *log_fn = to_stderr;
static void *log_arg;

void krait_set_log(krait_log_fn *fn, void *arg)
{
    log_fn = fn ? fn : to_stderr;
    log_arg = arg;
}

void krait__log(const char *format, ...)
{
    char line[1280]; /* krait_errmsg's line and a few words before it */
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    log_fn(log_arg, line);
}
