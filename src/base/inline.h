/* SPDX-License-Identifier: MIT
 *
 * inline.h - what must not be a call.
 */
#ifndef KRAIT__INLINE_H
#define KRAIT__INLINE_H

/* Without a frame of its own. A parked fiber keeps the frames that it is in,
 * and among a thousand fibers each line of them is a cache miss. And after a
 * system call the CPU has forgotten where to return to (the kernel's
 * mitigations), so that each return costs. */
#define KRAIT__INLINE static inline __attribute__((always_inline))

#endif
