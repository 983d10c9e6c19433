/* SPDX-License-Identifier: MIT
 *
 * overflow.c - a fiber that has outgrown its stack faults in the guard below
 * it; the handler here says which, and lets the signal take its course.
 *
 * A process-wide handler is against the library's custom, but the alternative
 * is "Segmentation fault" and an afternoon with a debugger. So it is set only
 * while fibers run, only where the program has none of its own, and can be
 * turned off (krait_run_options.keep_sigsegv).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fiber/runtime.h"

enum { SIGNAL_STACK = 64 << 10 };

static struct krait__stacks *stacks; /* NULL: not watching */

/* In a signal handler, on a stack of its own: no stdio. */
static void say(const char *const *parts)
{
    char line[256];
    size_t len = 0;

    for (; *parts; parts++) {
        size_t n = strnlen(*parts, sizeof line - len - 1);

        memcpy(line + len, *parts, n);
        len += n;
    }
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0)
        return;
}

static const char *decimal(uint64_t n, char *end)
{
    *--end = '\0';
    do
        *--end = (char)('0' + n % 10);
    while (n /= 10);
    return end;
}

static void name_it(const struct krait__stack *stack)
{
    struct krait_fiber *f = krait__fiber_on(stack);
    char name[KRAIT_FIBER_NAME_MAX + 1], size[24], worker[24];

    krait__fiber_name(f, name);
    say((const char *const[]){
        "krait: fiber \"", *name ? name : "(no name)", "\" of worker ",
        decimal((uint64_t)f->worker->number, worker + sizeof worker),
        " has overflowed its stack of ",
        decimal((uint64_t)(stack->high - stack->low), size + sizeof size),
        " bytes (krait_run_options.stack_size)", NULL});
}

static void on_fault(int signo, siginfo_t *info, void *unused)
{
    struct krait__stack stack;
    int saved = errno;

    (void)unused;
    if (info->si_code > 0 && stacks &&
        krait__stack_guarding(stacks, info->si_addr, &stack))
        name_it(&stack);
    /* As if there were no handler: the fault comes again, or is sent again. */
    signal(signo, SIG_DFL);
    if (info->si_code <= 0)
        raise(signo);
    errno = saved;
}

void krait__overflow_watch(struct krait__runtime *rt)
{
    struct sigaction now, ours = {
                              .sa_sigaction = on_fault,
                              .sa_flags = SA_SIGINFO | SA_ONSTACK,
                          };

    if (rt->opt.keep_sigsegv || sigaction(SIGSEGV, NULL, &now) < 0 ||
        (now.sa_flags & SA_SIGINFO) || now.sa_handler != SIG_DFL)
        return;
    stacks = rt->stacks;
    sigemptyset(&ours.sa_mask);
    sigaction(SIGSEGV, &ours, NULL);
}

void krait__overflow_unwatch(void)
{
    struct sigaction now;

    stacks = NULL;
    if (sigaction(SIGSEGV, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
        now.sa_sigaction == on_fault)
        signal(SIGSEGV, SIG_DFL);
}

int krait__signal_stack(struct krait__worker *w)
{
    stack_t before, ours = {.ss_size = SIGNAL_STACK};

    /* A program's own is left alone. */
    if (w->runtime->opt.keep_sigsegv || sigaltstack(NULL, &before) < 0 ||
        !(before.ss_flags & SS_DISABLE))
        return 0;
    ours.ss_sp = w->signal_stack = malloc(SIGNAL_STACK);
    if (!ours.ss_sp)
        return -ENOMEM;
    sigaltstack(&ours, NULL);
    return 0;
}

void krait__signal_stack_end(struct krait__worker *w)
{
    if (!w->signal_stack)
        return;
    sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    free(w->signal_stack);
}
