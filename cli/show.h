/* SPDX-License-Identifier: MIT
 *
 * show.h - bytes from a peer, made fit to be shown.
 */
#ifndef SHOW_H
#define SHOW_H

#include <stddef.h>

/* What one source of bytes has left unfinished. All zero is a fresh one. */
struct show {
    int raw;               /* pass every byte on as it is; only hold what is
                            * the beginning of a character */
    unsigned char held[4]; /* the beginning of a UTF-8 character ... */
    size_t held_len;       /* ... and how much of it there is */
};

/* Bytes that `len` bytes can become, those held before included. */
#define SHOW_ROOM(len) (4 * ((len) + 4))

/* Turns `len` bytes into text for a terminal, in `out`, and returns how many
 * bytes that is. A character that is not complete waits for the next call. */
size_t show_bytes(struct show *show, const void *data, size_t len, char *out);

/* What is still held, which will never be complete now. */
size_t show_rest(struct show *show, char *out);

#endif
