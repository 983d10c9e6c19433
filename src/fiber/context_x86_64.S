/* SPDX-License-Identifier: MIT
 *
 * context_x86_64.S - the switch for x86-64's System V ABI.
 *
 * A context that was left has, at its stack pointer:
 *
 *      0  mxcsr, 4 bytes; x87's control word, 2; nothing, 2
 *      8  r15, r14, r13, r12, rbx, rbp
 *     56  where to go on
 *
 * The two control words belong to what a callee keeps, and are half of what a
 * switch costs, 2 of 4 ns; comparing first costs more than loading. The last
 * step is `jmp` and not `ret`, since the CPU predicts returns by the calls that
 * it has seen, which were another context's: that would cost 5 ns.
 *
 * No shadow stack is switched. So the object is not marked as fit for them, and
 * whatever it is linked into isn't either: glibc then leaves them off. Should
 * somebody force them on, krait__context_check sees it. Indirect branches are
 * in order (the mark says so): what is entered by one begins with endbr64, and
 * the switch goes back to a call's end, where there is none, with notrack.
 */
#include "fiber/context_impl.h"

#ifdef KRAIT__CONTEXT_X86_64

        .text

/* void *krait__context_frame(void *low, void *high, entry, arg) */
        .globl  krait__context_frame
        .hidden krait__context_frame
        .type   krait__context_frame, @function
        .p2align 4
krait__context_frame:
        .cfi_startproc
        andq    $-16, %rsi
        leaq    -64(%rsi), %rax
        stmxcsr (%rax)
        fnstcw  4(%rax)
        movq    $0, 8(%rax)             /* r15 */
        movq    $0, 16(%rax)            /* r14 */
        movq    $0, 24(%rax)            /* r13 */
        movq    %rdx, 32(%rax)          /* r12: entry */
        movq    %rcx, 40(%rax)          /* rbx: arg */
        movq    $0, 48(%rax)            /* rbp: no caller's frame */
        leaq    begin(%rip), %rdx
        movq    %rdx, 56(%rax)
        ret
        .cfi_endproc
        .size   krait__context_frame, . - krait__context_frame

/* void krait__context_jump(void **save, void *to) */
        .globl  krait__context_jump
        .hidden krait__context_jump
        .type   krait__context_jump, @function
        .p2align 4
krait__context_jump:
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp
/* From here on the frame is the other context's, laid out alike. For a debugger
 * every parked context stands here, at its own stack pointer. */
        .globl  krait__context_parked
        .hidden krait__context_parked
krait__context_parked:
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        popq    %rcx
        .cfi_adjust_cfa_offset -8
        .cfi_register %rip, %rcx
        notrack jmp *%rcx
        .cfi_endproc
        .size   krait__context_jump, . - krait__context_jump

/* Where a context begins, and where a backtrace ends. The nop is for those who
 * look one byte before a return address to find the caller, which for a context
 * that has not begun is here. */
        .globl  krait__context_begin
        .hidden krait__context_begin
        .type   krait__context_begin, @function
        .p2align 4
krait__context_begin:
        .cfi_startproc
        .cfi_undefined %rip
        nop
begin:
        endbr64
        movq    %rbx, %rdi
        call    *%r12
        ud2
        .cfi_endproc
        .size   krait__context_begin, . - krait__context_begin

/* GNU_PROPERTY_X86_FEATURE_1_AND: IBT (1), where the rest is built for it; and
 * not SHSTK (2). */
#if defined(__CET__) && (__CET__ & 1)
        .section .note.gnu.property, "a"
        .p2align 3
        .long   4, 16, 5
        .asciz  "GNU"
        .long   0xc0000002, 4, 1, 0
#endif

#endif

        .section .note.GNU-stack, "", @progbits
