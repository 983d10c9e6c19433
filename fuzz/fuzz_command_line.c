/* SPDX-License-Identifier: MIT
 *
 * fuzz_command_line.c - what is typed after `krait`: durations and addresses.
 * A duration that is taken is one that strtod(3) and a unit explain, and is in
 * range; whatever isn't taken is said in a line, once.
 */
#include <stdarg.h>

#include "fuzz_check.h"

/* The program is no library; this is the one part of it that is needed. */
#include "../cli/command_line.c" // NOLINT(bugprone-suspicious-include)

static int said;

void say(const char *format, ...)
{
    char line[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    require(*line, "an empty line is said");
    said++;
}

int write_all(int fd, const void *data, size_t len)
{
    (void)fd;
    (void)data;
    (void)len;
    return 0;
}

int say_stdio_failure(const char *which)
{
    (void)which;
    return STATUS_STDIO;
}

static const struct command_help help = {"fuzz", ""};

static void check_duration(const char *text)
{
    double seconds = -1;
    int status;

    said = 0;
    status = read_duration(&help, "--timeout", text, &seconds);
    require(said == (status != 0), "said, or not, against the status");
    if (status != 0) {
        require(status == STATUS_USAGE && seconds == -1,
                "a duration is refused and stored");
        return;
    }
    require(seconds > 0 && seconds <= LONGEST_DURATION,
            "a duration out of range is taken");
    require(*text && strspn(text, "0123456789.ms") == strlen(text),
            "a duration of other characters is taken");
}

static void check_address(const char *text)
{
    krait_addr addr;
    int status;

    said = 0;
    status = read_address(&help, text, &addr);
    require(said == (status != 0), "said, or not, against the status");
    require((status != 0) == (krait_addr_error(addr) != 0),
            "a bad address is taken, or a good one isn't");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = string_of(data, size);

    check_duration(text);
    check_address(text);
    free(text);
    return 0;
}
