/* SPDX-License-Identifier: MIT
 *
 * fuzz_show.c - how the program shows what a peer sent: wherever recv(2) cuts
 * the bytes, the same text comes out; it holds no control character, and
 * nothing is lost: undone, it is the bytes again.
 */
#include "fuzz_check.h"

/* The program is no library; this is the one part of it that is needed. */
#include "../cli/show.c" // NOLINT(bugprone-suspicious-include)

/* Bytes shown in pieces whose lengths are given by `cuts`, into a block of
 * exactly the room that each call may need. */
static char *shown(const uint8_t *data, size_t size, int raw, uint8_t cuts,
                   size_t *len)
{
    struct show show = {.raw = raw};
    char *text = malloc(SHOW_ROOM(size) + SHOW_ROOM((size_t)0));
    size_t n = 0;

    require(text, "no memory");
    for (size_t at = 0; at < size;) {
        size_t piece = cuts ? 1 + (at * cuts >> 3) % cuts : size;
        uint8_t *in;
        char *out;
        size_t got;

        piece = piece < size - at ? piece : size - at;
        in = block_of(data + at, piece);
        out = malloc(SHOW_ROOM(piece));
        require(out, "no memory");
        got = show_bytes(&show, in, piece, out);
        require(got <= SHOW_ROOM(piece), "more than SHOW_ROOM");
        memcpy(text + n, out, got);
        n += got;
        at += piece;
        free(in);
        free(out);
    }
    n += show_rest(&show, text + n);
    require(show.held_len == 0, "something is held after the rest");
    *len = n;
    return text;
}

static unsigned digit(char c)
{
    return (unsigned)(c >= 'A' ? c - 'A' + 10 : c - '0');
}

/* Whether the text, with its \xNN undone, is the bytes. A backslash of the
 * peer's own is shown as it is, so such bytes are left out. */
static bool undone_is(const char *text, size_t len, const uint8_t *data,
                      size_t size)
{
    size_t at = 0;

    for (size_t i = 0; i < len; at++) {
        unsigned c = (unsigned char)text[i++];

        if (c == '\\') {
            c = digit(text[i + 1]) << 4 | digit(text[i + 2]);
            i += 3;
        }
        if (at >= size || data[at] != c)
            return false;
    }
    return at == size;
}

static void check_harmless(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        require(text[i] == '\n' || text[i] == '\t' ||
                    ((unsigned char)text[i] >= ' ' && text[i] != 0x7f),
                "a control character is shown");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t cuts[] = {1, 2, 3, 5, 17};
    size_t len, cut_len;
    char *text, *cut;

    text = shown(data, size, 0, 0, &len);
    check_harmless(text, len);
    if (!size || !memchr(data, '\\', size))
        require(undone_is(text, len, data, size), "bytes are lost");
    for (size_t i = 0; i < sizeof cuts; i++) {
        cut = shown(data, size, 0, cuts[i], &cut_len);
        require(cut_len == len && memcmp(cut, text, len) == 0,
                "cut elsewhere, the text is another");
        free(cut);
    }
    free(text);
    text = shown(data, size, 1, 3, &len);
    require(len == size && (size == 0 || memcmp(text, data, size) == 0),
            "raw, the bytes are changed");
    free(text);
    return 0;
}
