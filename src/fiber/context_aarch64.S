/* SPDX-License-Identifier: MIT
 *
 * context_aarch64.S - the switch for AArch64's procedure call standard.
 *
 * A context that was left has, at its stack pointer:
 *
 *      0  x19 ... x28, x29, x30
 *     96  d8 ... d15 (the lower halves of v8 ... v15: all that a callee keeps)
 *    160  fpcr; nothing, 8 bytes
 *
 * Where the build asks for signed return addresses (-mbranch-protection), x30
 * lies there signed with the stack pointer that the context had before, as any
 * function's would. The end is `ret` even so, whatever its misprediction costs:
 * branch target identification would want a landing pad of any `br`, and a
 * call's end has none.
 *
 * No guarded control stack is switched: the object is not marked as fit for it,
 * and krait__context_check sees one that is on.
 *
 * Hints are given by number, for assemblers that don't know their names without
 * -march; CPUs that don't know them do nothing.
 */
#include "fiber/context_impl.h"

#ifdef KRAIT__CONTEXT_AARCH64

#define FRAME 176

#define BTI_C     hint #34
#define PACIASP   hint #25
#define AUTIASP   hint #29
#define PACIA1716 hint #8

        .text

/* void *krait__context_frame(void *low, void *high, entry, arg) */
        .globl  krait__context_frame
        .hidden krait__context_frame
        .type   krait__context_frame, %function
        .p2align 4
krait__context_frame:
        .cfi_startproc
        BTI_C
        and     x16, x1, #-16           /* what sp will be there */
        adr     x17, begin
#ifdef __ARM_FEATURE_PAC_DEFAULT
        PACIA1716
#endif
        sub     x0, x16, #FRAME
        stp     x2, x3, [x0]            /* x19: entry; x20: arg */
        stp     xzr, xzr, [x0, #16]
        stp     xzr, xzr, [x0, #32]
        stp     xzr, xzr, [x0, #48]
        stp     xzr, xzr, [x0, #64]
        stp     xzr, x17, [x0, #80]     /* x29: no caller's frame; x30 */
        stp     xzr, xzr, [x0, #96]
        stp     xzr, xzr, [x0, #112]
        stp     xzr, xzr, [x0, #128]
        stp     xzr, xzr, [x0, #144]
        mrs     x4, fpcr
        str     x4, [x0, #160]
        ret
        .cfi_endproc
        .size   krait__context_frame, . - krait__context_frame

/* void krait__context_jump(void **save, void *to) */
        .globl  krait__context_jump
        .hidden krait__context_jump
        .type   krait__context_jump, %function
        .p2align 4
krait__context_jump:
        .cfi_startproc
#ifdef __ARM_FEATURE_PAC_DEFAULT
        PACIASP                         /* is a landing pad as well */
        .cfi_negate_ra_state
#else
        BTI_C
#endif
        sub     sp, sp, #FRAME
        .cfi_adjust_cfa_offset FRAME
        stp     x19, x20, [sp]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        .cfi_rel_offset x19, 0
        .cfi_rel_offset x20, 8
        .cfi_rel_offset x21, 16
        .cfi_rel_offset x22, 24
        .cfi_rel_offset x23, 32
        .cfi_rel_offset x24, 40
        .cfi_rel_offset x25, 48
        .cfi_rel_offset x26, 56
        .cfi_rel_offset x27, 64
        .cfi_rel_offset x28, 72
        .cfi_rel_offset x29, 80
        .cfi_rel_offset x30, 88
        .cfi_rel_offset d8, 96
        .cfi_rel_offset d9, 104
        .cfi_rel_offset d10, 112
        .cfi_rel_offset d11, 120
        .cfi_rel_offset d12, 128
        .cfi_rel_offset d13, 136
        .cfi_rel_offset d14, 144
        .cfi_rel_offset d15, 152
        mrs     x3, fpcr
        str     x3, [sp, #160]
        mov     x2, sp
        str     x2, [x0]
        mov     sp, x1
/* From here on the frame is the other context's, laid out alike. For a debugger
 * every parked context stands here, at its own stack pointer. */
        .globl  krait__context_parked
        .hidden krait__context_parked
krait__context_parked:
        /* Written only where it differs: that is slow on many CPUs. */
        ldr     x2, [sp, #160]
        cmp     x2, x3
        b.eq    1f
        msr     fpcr, x2
1:      ldp     x19, x20, [sp]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        add     sp, sp, #FRAME
        .cfi_adjust_cfa_offset -FRAME
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore x29
        .cfi_restore x30
        .cfi_restore d8
        .cfi_restore d9
        .cfi_restore d10
        .cfi_restore d11
        .cfi_restore d12
        .cfi_restore d13
        .cfi_restore d14
        .cfi_restore d15
#ifdef __ARM_FEATURE_PAC_DEFAULT
        AUTIASP
        .cfi_negate_ra_state
#endif
        ret
        .cfi_endproc
        .size   krait__context_jump, . - krait__context_jump

/* Where a context begins, and where a backtrace ends. The nop is for those who
 * look one byte before a return address to find the caller, which for a context
 * that has not begun is here. */
        .globl  krait__context_begin
        .hidden krait__context_begin
        .type   krait__context_begin, %function
        .p2align 4
krait__context_begin:
        .cfi_startproc
        .cfi_undefined x30
        nop
begin:
        mov     x0, x20
        blr     x19
        brk     #1
        .cfi_endproc
        .size   krait__context_begin, . - krait__context_begin

/* GNU_PROPERTY_AARCH64_FEATURE_1_AND: BTI (1) and PAC (2), where the rest is
 * built for them; and not GCS (4). */
#if defined(__ARM_FEATURE_BTI_DEFAULT)
#define MARK_BTI 1
#else
#define MARK_BTI 0
#endif
#if defined(__ARM_FEATURE_PAC_DEFAULT)
#define MARK_PAC 2
#else
#define MARK_PAC 0
#endif
#if MARK_BTI | MARK_PAC
        .section .note.gnu.property, "a"
        .p2align 3
        .long   4, 16, 5
        .asciz  "GNU"
        .long   0xc0000000, 4, (MARK_BTI | MARK_PAC), 0
#endif

#endif

        .section .note.GNU-stack, "", %progbits
