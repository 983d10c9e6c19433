/* SPDX-License-Identifier: MIT
 *
 * load_bytes.c - what is sent, and whether that is what came back.
 *
 * A request is a window into one stretch of random bytes, which begins at a
 * place that follows from its connection and its number. So making it costs
 * nothing, every byte of the answer can be looked at, and an answer that is
 * another connection's or an earlier one's, or shifted, or doubled, is as wrong
 * as one that is damaged.
 */
#include <stdlib.h>
#include <string.h>
#include "load.h"

/* Places where a request may begin: few enough to stay in the cache. */
#define PLACES (1U << 16)

static unsigned char *stretch;

bool bytes_make(size_t size)
{
    const size_t words = (PLACES + size) / sizeof(uint64_t) + 1;
    struct load source = {.random = 1};
    uint64_t *word = calloc(words, sizeof *word);

    if (!word)
        return false;
    for (size_t i = 0; i < words; i++)
        word[i] = random_next(&source);
    stretch = (unsigned char *)word;
    return true;
}

const unsigned char *bytes_of(unsigned index, unsigned number)
{
    /* Odd factors: the next 65,535 of a connection are all elsewhere, and so
     * are those of its neighbours. */
    return stretch + (index * 40503U + number * 25173U) % PLACES;
}

bool bytes_check(struct load *load, const unsigned char *got,
                 const unsigned char *expected, size_t len, unsigned index,
                 unsigned number, size_t at)
{
    size_t i = 0;

    if (memcmp(got, expected, len) == 0)
        return true;
    while (got[i] == expected[i])
        i++;
    mistake(load,
            "connection %u, request %u, byte %zu of %ld: 0x%02x instead of "
            "0x%02x",
            index, number, at + i, load->size, got[i], expected[i]);
    return false;
}
