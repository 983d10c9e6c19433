/* SPDX-License-Identifier: MIT
 *
 * context.h - a place where execution can be left and taken up again: a stack
 * pointer, and what the sanitizers and Valgrind want to know of it.
 *
 * Three implementations of the switch, chosen when Krait is built:
 * context_x86_64.S, context_aarch64.S, and ucontext(3) anywhere else or where
 * KRAIT_PORTABLE_CONTEXT asks for it. All switch what the ABI has a callee keep
 * and no more: no signal mask (but for ucontext's), no thread-locals.
 *
 * A context is switched to by the thread that runs it always (contexts never
 * move between threads: compilers cache the addresses of thread-locals).
 *
 * A debugger's backtrace inside a context ends below its entry function, in
 * krait__context_begin. That of a parked one is had by taking its `sp` for the
 * stack pointer and krait__context_parked for the program counter.
 */
#ifndef KRAIT__CONTEXT_H
#define KRAIT__CONTEXT_H

#include <stddef.h>

struct krait__context {
    void *sp;                 /* where it was left; ucontext: a ucontext_t *
                               * inside the context's own stack */
    void *low, *high;         /* its stack: lowest byte, first byte above */
    void (*entry)(void *arg); /* where it begins */
    void *arg;
    void *tsan, *fake; /* ThreadSanitizer's fiber, AddressSanitizer's frames */
    unsigned valgrind; /* its id of the stack */
};

/* What runs on the calling thread's own stack. */
void krait__context_adopt(struct krait__context *c);

/* Makes a context that will begin as `entry(arg)` on the stack [low, high).
 * `entry` must never return: it leaves by krait__context_leave. The context
 * itself may lie above `high`. */
void krait__context_make(struct krait__context *c, void *low, void *high,
                         void (*entry)(void *arg), void *arg);

/* Leaves the running context, which is `from`, and takes up `to`; returns when
 * somebody switches back. errno is not kept: that is the caller's. */
void krait__context_switch(struct krait__context *from,
                           struct krait__context *to);

/* The last switch of a context that has run to its end. */
_Noreturn void krait__context_leave(struct krait__context *from,
                                    struct krait__context *to);

/* After krait__context_leave of `c`, on another context: what the tools kept of
 * it goes, and its stack may be used again. Also ends a context that was made
 * and never entered. Not for what was adopted, which has nothing to end. */
void krait__context_end(struct krait__context *c);

/* "x86_64", "aarch64", "ucontext". */
const char *krait__context_name(void);

/* 0, or -ENOTSUP: this thread has a hardware shadow stack, which the switch
 * does not know. */
int krait__context_check(void);

#endif
