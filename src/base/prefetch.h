/* SPDX-License-Identifier: MIT
 *
 * prefetch.h - memory that is about to be used, and likely cold.
 */
#ifndef KRAIT__PREFETCH_H
#define KRAIT__PREFETCH_H

#include <stddef.h>

/* The usual cache line's bytes. */
enum { KRAIT__LINE = 64 };

/* Fetches `size` bytes, a constant, meanwhile. A hint: `at` may be anything,
 * NULL too.
 *
 * gcc 12 takes a function that only fetches for one that does nothing, and
 * leaves out its calls. It doesn't where there is an asm. */
static inline void krait__prefetch(const void *at, size_t size)
{
    const char *from = at;

    __asm__ volatile("");
    for (size_t done = 0; done < size; done += KRAIT__LINE)
        __builtin_prefetch(from + done, 1);
    __builtin_prefetch(from + size - 1, 1);
}

#endif
