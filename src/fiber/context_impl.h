/* SPDX-License-Identifier: MIT
 *
 * context_impl.h - which of the three switches is built, and what it has to
 * offer context.c. Also read by the assembler.
 *
 * Their files are all compiled everywhere, and all but one are empty: so that
 * the build need not know the machine.
 */
#ifndef KRAIT__CONTEXT_IMPL_H
#define KRAIT__CONTEXT_IMPL_H

#if defined(KRAIT_PORTABLE_CONTEXT)
#define KRAIT__CONTEXT_UCONTEXT
#elif defined(__x86_64__) && defined(__LP64__)
#define KRAIT__CONTEXT_X86_64
#elif defined(__aarch64__) && defined(__LP64__) && defined(__AARCH64EL__)
#define KRAIT__CONTEXT_AARCH64
#else
#define KRAIT__CONTEXT_UCONTEXT
#endif

#ifndef __ASSEMBLER__

/* Prepares the stack [low, high) so that a jump to what is returned begins
 * there, as `entry(arg)`, which never returns. Its floating point control is
 * the caller's, as a new thread's would be. */
void *krait__context_frame(void *low, void *high, void (*entry)(void *arg),
                           void *arg);

/* Leaves the caller, `*save` being where it can be taken up, and takes up
 * `to`. */
void krait__context_jump(void **save, void *to);

#endif
#endif
