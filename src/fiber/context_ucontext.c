/* SPDX-License-Identifier: MIT
 *
 * context_ucontext.c - the switch by ucontext(3), for every machine that glibc
 * knows. Each costs a system call, for the signal mask.
 */
#include "fiber/context_impl.h"

#ifdef KRAIT__CONTEXT_UCONTEXT

#include <stdint.h>
#include <ucontext.h>

#include "fiber/context.h"

/* makecontext(3) hands on nothing but ints. */
static void begin(unsigned entry_high, unsigned entry_low, unsigned arg_high,
                  unsigned arg_low)
{
    uint64_t entry = (uint64_t)entry_high << 32 | entry_low;
    uint64_t arg = (uint64_t)arg_high << 32 | arg_low;

    ((void (*)(void *))(uintptr_t)entry)((void *)(uintptr_t)arg);
}

void *krait__context_frame(void *low, void *high, void (*entry)(void *arg),
                           void *arg)
{
    enum { ALIGN = 64 };
    uintptr_t top = (uintptr_t)high - sizeof(ucontext_t);
    ucontext_t *u = (void *)((char *)high - sizeof *u - top % ALIGN);
    uint64_t e = (uintptr_t)entry;
    uint64_t a = (uintptr_t)arg;

    getcontext(u);
    u->uc_stack.ss_sp = low;
    u->uc_stack.ss_size = (size_t)((char *)u - (char *)low);
    u->uc_link = NULL;
    makecontext(u, (void (*)(void))begin, 4, (unsigned)(e >> 32), (unsigned)e,
                (unsigned)(a >> 32), (unsigned)a);
    return u;
}

void krait__context_jump(void **save, void *to)
{
    ucontext_t here;

    /* AddressSanitizer looks at it, and swapcontext leaves it alone. */
    here.uc_stack = (stack_t){.ss_sp = NULL};
    /* It lives for as long as the context is left: */
    /* cppcheck-suppress autoVariables */
    *save = &here;
    swapcontext(&here, to);
}

#else

/* A translation unit may not be empty. */
typedef int krait__no_ucontext;

#endif
