/* SPDX-License-Identifier: MIT
 *
 * valgrind.h - does the program run under Valgrind, whose system calls are not
 * all that the kernel has? Costs a few instructions. Built without Valgrind's
 * headers the answer is no.
 */
#ifndef KRAIT__VALGRIND_H
#define KRAIT__VALGRIND_H

#include <stdbool.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

static inline bool krait__in_valgrind(void)
{
#ifdef RUNNING_ON_VALGRIND
    return RUNNING_ON_VALGRIND != 0;
#else
    return false;
#endif
}

#endif
