/* SPDX-License-Identifier: MIT
 *
 * prefetch.h - memory that is about to be written to, and likely cold.
 */
#ifndef KRAIT__PREFETCH_H
#define KRAIT__PREFETCH_H

#include <stddef.h>
#include <stdint.h>

/* The usual cache line's bytes. */
enum { KRAIT__LINE = 64 };

/* Begins to bring `size` bytes, a constant, near this core, to be written to. A
 * hint: `at` may be anything, NULL too.
 *
 * gcc 12 takes a function that does nothing else for one that does nothing, and
 * leaves out its calls. It doesn't where there is an asm. */
static inline void krait__prefetch(const void *at, size_t size)
{
    uintptr_t from = (uintptr_t)at;

    __asm__ volatile("");
    for (size_t done = 0; done < size; done += KRAIT__LINE)
        __builtin_prefetch((const void *)(from + done), 1);
    __builtin_prefetch((const void *)(from + size - 1), 1);
}

#endif
