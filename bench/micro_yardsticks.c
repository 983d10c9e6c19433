/* SPDX-License-Identifier: MIT
 *
 * micro_yardsticks.c - what everybody knows the price of.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "micro.h"

/* --- a call ------------------------------------------------------------ */

static void nothing(void)
{
}

/* Read each time, so that the compiler can't look through the call. */
static void (*volatile callee)(void) = nothing;

static void call(long times)
{
    while (times-- > 0)
        callee();
}

/* --- the system's ------------------------------------------------------ */

static void ask_kernel(long times)
{
    while (times-- > 0)
        syscall(SYS_getppid);
}

static void ask_clock(long times)
{
    struct timespec ts;

    while (times-- > 0)
        clock_gettime(CLOCK_MONOTONIC, &ts);
}

static void *volatile block;

static void allocate(long times)
{
    while (times-- > 0) {
        block = malloc(64);
        free(block);
    }
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock_mutex(long times)
{
    while (times-- > 0) {
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
    }
}

static void *thread_main(void *arg)
{
    return arg;
}

static void start_threads(long times)
{
    while (times-- > 0) {
        pthread_t thread;

        micro_check(pthread_create(&thread, NULL, thread_main, NULL) == 0,
                    "pthread_create");
        pthread_join(thread, NULL);
    }
}

/* --- ucontext's switch ------------------------------------------------- */

static ucontext_t here, there;

static void go_back(void)
{
    for (;;)
        swapcontext(&there, &here);
}

static void begin_contexts(void)
{
    static char stack[65536];

    getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = sizeof stack;
    makecontext(&there, go_back, 0);
}

static void swap_contexts(long times)
{
    while (times-- > 0)
        swapcontext(&here, &there);
}

const struct micro_item micro_yardsticks[] = {
    {.name = "call", .run = call},
    {.name = "clock_gettime", .run = ask_clock},
    {.name = "getppid", .run = ask_kernel},
    {.name = "malloc+free", .run = allocate},
    {.name = "pthread_mutex", .run = lock_mutex},
    {
        .name = "swapcontext",
        .run = swap_contexts,
        .begin = begin_contexts,
        .each = 2,
    },
    {.name = "pthread_create+join", .run = start_threads},
    {0},
};
