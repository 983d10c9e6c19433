/* SPDX-License-Identifier: MIT
 *
 * fuzz_addr_text.c - addresses made from text: krait_addr_parse, and the host
 * and path that krait_inet and krait_unix are given.
 */
#include "fuzz_check.h"

/* A port from outside 0-65535 too, of what the text happens to be. */
static int port_of(const char *text)
{
    unsigned hash = 0;

    for (; *text; text++)
        hash = hash * 31 + (unsigned char)*text;
    return (int)(hash % 70000) - 2000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = string_of(data, size);

    check_addr(krait_addr_parse(text));
    check_addr(krait_inet(text, 8001));
    check_addr(krait_inet(text, port_of(text)));
    check_addr(krait_unix(text));
    free(text);
    return 0;
}
