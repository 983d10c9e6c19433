/* SPDX-License-Identifier: MIT
 *
 * show.c - bytes from a peer, made fit to be shown.
 *
 * Whatever comes from a peer is hostile, and a terminal obeys what it is sent:
 * an escape sequence can rename the window, answer as if typed, or hide text.
 * So everything but newline, tab and printable UTF-8 becomes \xNN, byte for
 * byte: the C0 and C1 controls (U+009B is an escape sequence in one character),
 * DEL, what is no UTF-8, and the marks that reverse the direction of writing
 * (with which a text can read as another one, CVE-2021-42574).
 *
 * recv(2) cuts a stream where it likes, so a character may come in two pieces;
 * its beginning is held until the rest is there. A machine of states isn't
 * needed: at most three bytes are held, and are looked at again with what
 * follows.
 */
#include <string.h>
#include "show.h"

/* How long a character is by its first byte; 0: no character starts so. */
static size_t length_by_lead(unsigned char c)
{
    if (c < 0x80)
        return 1;
    if (c >= 0xC2 && c <= 0xDF)
        return 2;
    if ((c & 0xF0) == 0xE0)
        return 3;
    return c >= 0xF0 && c <= 0xF4 ? 4 : 0;
}

/* The second byte excludes what is too long for its value, surrogates, and
 * what is above U+10FFFF (RFC 3629, section 4). */
static int second_is_valid(unsigned char lead, unsigned char c)
{
    unsigned char low = 0x80;
    unsigned char high = 0xBF;

    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F;
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    return c >= low && c <= high;
}

/* Looks at the character that starts at `s`: its length; 0 where there is
 * none; -1 where `len` bytes are too few to tell. */
static int character(const unsigned char *s, size_t len)
{
    size_t want = length_by_lead(s[0]);
    size_t i;

    for (i = 1; i < want && i < len; i++)
        if (i == 1 ? !second_is_valid(s[0], s[1]) : (s[i] & 0xC0) != 0x80)
            return 0;
    return i < want ? -1 : (int)want;
}

static int is_dangerous(const unsigned char *s, int len)
{
    if (len == 1)
        return (s[0] < 0x20 && s[0] != '\n' && s[0] != '\t') || s[0] == 0x7F;
    if (len == 2)
        return s[0] == 0xC2 && s[1] < 0xA0; /* U+0080 to U+009F */
    if (len == 3 && s[0] == 0xE2 && s[1] == 0x80)
        return s[2] >= 0xAA && s[2] <= 0xAE; /* U+202A to U+202E */
    if (len == 3 && s[0] == 0xE2 && s[1] == 0x81)
        return s[2] >= 0xA6 && s[2] <= 0xA9; /* U+2066 to U+2069 */
    return 0;
}

static char *put_hex(char *out, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";

    *out++ = '\\';
    *out++ = 'x';
    *out++ = digits[c >> 4];
    *out++ = digits[c & 15];
    return out;
}

static char *put(char *out, const unsigned char *s, size_t len, int as_hex)
{
    if (!as_hex) {
        memcpy(out, s, len);
        return out + len;
    }
    for (size_t i = 0; i < len; i++)
        out = put_hex(out, s[i]);
    return out;
}

/* Shows the character at `s`. How many bytes that took; 0: wait for more. */
static size_t show_one(const struct show *show, const unsigned char *s,
                       size_t len, char **out)
{
    int n = character(s, len);

    if (n < 0)
        return 0;
    if (n == 0) {
        *out = put(*out, s, 1, !show->raw);
        return 1;
    }
    *out = put(*out, s, (size_t)n, !show->raw && is_dangerous(s, n));
    return (size_t)n;
}

size_t show_bytes(struct show *show, const void *data, size_t len, char *out)
{
    const unsigned char *at = data;
    char *start = out;
    size_t n;

    /* What is held grows by a byte at a time until it is a character, or is
     * found to be none; then its first byte goes, and the rest is new. */
    while (show->held_len > 0 && len > 0) {
        show->held[show->held_len++] = *at++;
        len--;
        while (show->held_len > 0 &&
               (n = show_one(show, show->held, show->held_len, &out)) > 0) {
            show->held_len -= n;
            memmove(show->held, show->held + n, show->held_len);
        }
    }
    while (len > 0 && (n = show_one(show, at, len, &out)) > 0) {
        at += n;
        len -= n;
    }
    if (len > 0) {
        memcpy(show->held, at, len);
        show->held_len = len;
    }
    return (size_t)(out - start);
}

size_t show_rest(struct show *show, char *out)
{
    char *end = put(out, show->held, show->held_len, !show->raw);

    show->held_len = 0;
    return (size_t)(end - out);
}
