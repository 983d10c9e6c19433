/* SPDX-License-Identifier: MIT
 *
 * context.c - what surrounds a switch: the tools that watch stacks are told
 * before and after it. In a plain build all of it is empty, and a switch is the
 * machine's own (context_impl.h).
 *
 * AddressSanitizer keeps for each stack a fake one, for locals that are used
 * after their return; it wants to know which stack is left for which, and gets
 * NULL for one that is left for ever. What returned nowhere left its redzones
 * behind, to be wiped before the stack is used again. ThreadSanitizer knows a
 * context as a fiber; every switch is a synchronisation to it, as it is to the
 * thread that makes both. Valgrind guesses switches by leaps of the stack
 * pointer, unless told where stacks are.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fiber/context.h"
#include "fiber/context_impl.h"
#include "fiber/instruments.h"

#if KRAIT__ASAN

static void leaving(void **fake, const struct krait__context *to)
{
    __sanitizer_start_switch_fiber(
        fake, to->low, (size_t)((char *)to->high - (char *)to->low));
}

static void arrived(const struct krait__context *c)
{
    __sanitizer_finish_switch_fiber(c->fake, NULL, NULL);
}

/* The first thing that runs in a context. */
static void begin(void *arg)
{
    struct krait__context *c = arg;

    arrived(c);
    c->entry(c->arg);
}

static void *first_frame(struct krait__context *c)
{
    return krait__context_frame(c->low, c->high, begin, c);
}

/* The thread's own stack, to come back to. Where that can't be found out,
 * AddressSanitizer has false things to say. */
static void find_bounds(struct krait__context *c)
{
    pthread_attr_t attr;
    size_t size = 0;

    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return;
    pthread_attr_getstack(&attr, &c->low, &size);
    c->high = (char *)c->low + size;
    pthread_attr_destroy(&attr);
}

static void wipe(const struct krait__context *c)
{
    __asan_unpoison_memory_region(c->low,
                                  (size_t)((char *)c->high - (char *)c->low));
}

#else

static inline void leaving(void **fake, const struct krait__context *to)
{
    (void)fake;
    (void)to;
}

static inline void arrived(const struct krait__context *c)
{
    (void)c;
}

static inline void *first_frame(struct krait__context *c)
{
    return krait__context_frame(c->low, c->high, c->entry, c->arg);
}

static inline void find_bounds(struct krait__context *c)
{
    (void)c;
}

static inline void wipe(const struct krait__context *c)
{
    VALGRIND_MAKE_MEM_UNDEFINED(c->low,
                                (size_t)((char *)c->high - (char *)c->low));
}

#endif

#if KRAIT__TSAN
#define TSAN(call) call
#else
#define TSAN(call) ((void)0)
#endif

void krait__context_adopt(struct krait__context *c)
{
    *c = (struct krait__context){.sp = NULL};
    find_bounds(c);
    TSAN(c->tsan = __tsan_get_current_fiber());
}

void krait__context_make(struct krait__context *c, void *low, void *high,
                         void (*entry)(void *arg), void *arg)
{
    *c = (struct krait__context){
        .low = low,
        .high = high,
        .entry = entry,
        .arg = arg,
    };
    c->valgrind = VALGRIND_STACK_REGISTER(low, high);
    TSAN(c->tsan = __tsan_create_fiber(0));
    c->sp = first_frame(c);
}

void krait__context_switch(struct krait__context *from,
                           struct krait__context *to)
{
    void *sp = to->sp;

    leaving(&from->fake, to);
    TSAN(__tsan_switch_to_fiber(to->tsan, 0));
    krait__context_jump(&from->sp, sp);
    arrived(from);
}

void krait__context_leave(struct krait__context *from,
                          struct krait__context *to)
{
    void *sp = to->sp;

    leaving(NULL, to);
    TSAN(__tsan_switch_to_fiber(to->tsan, 0));
    krait__context_jump(&from->sp, sp);
    __builtin_unreachable();
}

void krait__context_end(struct krait__context *c)
{
    TSAN(__tsan_destroy_fiber(c->tsan));
    VALGRIND_STACK_DEREGISTER(c->valgrind);
    wipe(c);
}

const char *krait__context_name(void)
{
#if defined(KRAIT__CONTEXT_X86_64)
    return "x86_64";
#elif defined(KRAIT__CONTEXT_AARCH64)
    return "aarch64";
#else
    return "ucontext";
#endif
}

/* True where the calling thread's returns are checked against a second stack,
 * by the CPU. ucontext(3) switches that too. */
static bool has_shadow_stack(void)
{
#if defined(KRAIT__CONTEXT_X86_64)
    uint64_t ssp = 0;

    /* Does nothing where there is none. */
    __asm__ volatile("rdsspq %0" : "+r"(ssp));
    return ssp != 0;
#elif defined(KRAIT__CONTEXT_AARCH64)
    /* chkfeat: clears the bits of what is on; does nothing on CPUs without. */
    register uint64_t not_on __asm__("x16") = 1;

    __asm__ volatile("hint #40" : "+r"(not_on));
    return !(not_on & 1);
#else
    return false;
#endif
}

int krait__context_check(void)
{
    return has_shadow_stack() ? -ENOTSUP : 0;
}
