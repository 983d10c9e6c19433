/* SPDX-License-Identifier: MIT
 *
 * differ_threads.c - two flows of control, as threads: the caller, and one
 * partner for as long as the process lives, since a thread for each step would
 * cost more than the step.
 *
 * The partner takes its orders through one word, and sleeps on it by futex(2):
 * no call that waits on a socket, so that it can't be taken for one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "differ.h"

enum order { IDLE, WORK, LEAVE };

struct flows_state {
    atomic_int order;
    pthread_t thread;
    int call_fd; /* what the kernel says of its system call */
    int stat_fd;
    atomic_int tid;
    void (*fn)(void *arg);
    void *arg;
};

static void futex(atomic_int *word, int what, int value)
{
    syscall(SYS_futex, word, what, value, NULL, NULL, 0);
}

static void *partner(void *arg)
{
    struct flows_state *t = arg;
    int order;

    atomic_store(&t->tid, (int)syscall(SYS_gettid));
    while ((order = atomic_load(&t->order)) != LEAVE) {
        if (order == WORK) {
            t->fn(t->arg);
            atomic_store(&t->order, IDLE);
        } else {
            futex(&t->order, FUTEX_WAIT_PRIVATE, IDLE);
        }
    }
    return NULL;
}

static void nothing(int signal)
{
    (void)signal;
}

static int proc_fd(int tid, const char *what)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/task/%d/%s", tid, what);
    return open(path, O_RDONLY | O_CLOEXEC);
}

struct flows_state *threads_new(void)
{
    struct flows_state *t = calloc(1, sizeof *t);
    struct sigaction sa = {.sa_handler = nothing};

    if (!t)
        return NULL;
    sigaction(SIGUSR1, &sa, NULL);
    if (pthread_create(&t->thread, NULL, partner, t) != 0) {
        free(t);
        return NULL;
    }
    while (atomic_load(&t->tid) == 0)
        sched_yield();
    t->call_fd = proc_fd(atomic_load(&t->tid), "syscall");
    t->stat_fd = proc_fd(atomic_load(&t->tid), "stat");
    return t;
}

void threads_free(struct flows_state *state)
{
    atomic_store(&state->order, LEAVE);
    futex(&state->order, FUTEX_WAKE_PRIVATE, 1);
    pthread_join(state->thread, NULL);
    close(state->call_fd);
    close(state->stat_fd);
    free(state);
}

struct flows_state;

static void begin(struct world *w, void (*fn)(void *arg), void *arg)
{
    struct flows_state *t = w->state;

    t->fn = fn;
    t->arg = arg;
    atomic_store(&t->order, WORK);
    futex(&t->order, FUTEX_WAKE_PRIVATE, 1);
}

static void take_a_turn(unsigned turn)
{
    struct timespec ts = {0, 50000};

    if (turn < 200)
        sched_yield();
    else
        nanosleep(&ts, NULL);
}

static void join(struct world *w)
{
    unsigned turn = 0;

    while (atomic_load(&w->state->order) == WORK)
        take_a_turn(turn++);
}

static bool waits_in(long number)
{
    static const long calls[] = {
#ifdef SYS_poll
        SYS_poll,
#endif
#ifdef SYS_accept
        SYS_accept,
#endif
        SYS_ppoll,   SYS_recvfrom, SYS_sendto,    SYS_accept4,
        SYS_connect, SYS_recvmsg,  SYS_nanosleep, SYS_clock_nanosleep,
    };
    size_t i;

    for (i = 0; i < COUNT(calls); i++)
        if (calls[i] == number)
            return true;
    return false;
}

/* The state stands behind the name in brackets. */
static bool sleeps(int stat_fd)
{
    char text[256];
    ssize_t n = pread(stat_fd, text, sizeof text - 1, 0);
    const char *state;

    text[n > 0 ? n : 0] = '\0';
    state = strrchr(text, ')');
    return state && state[1] && state[2] == 'S';
}

/* True as well where the kernel does not tell the call. */
static bool is_in_such_a_call(int call_fd)
{
    char text[256], *end;
    ssize_t n = pread(call_fd, text, sizeof text - 1, 0);
    long call;

    if (n <= 0)
        return true;
    text[n] = '\0';
    call = strtol(text, &end, 10);
    return end != text && waits_in(call); /* else: "running" */
}

/* The call alone would not do: it is also told of a thread that has been woken
 * and does not run yet. */
static bool blocked(struct world *w)
{
    struct flows_state *t = w->state;

    return atomic_load(&t->order) == WORK && is_in_such_a_call(t->call_fd) &&
           sleeps(t->stat_fd);
}

/* Until it has left its call: a signal that comes before the call is lost. */
static void poke(struct world *w)
{
    unsigned turn = 0;

    while (!atomic_load(&w->done)) {
        if (turn % 16 == 0)
            pthread_kill(w->state->thread, SIGUSR1);
        take_a_turn(turn++);
    }
}

const struct flows thread_flows = {
    .name = "thread",
    .begin = begin,
    .blocked = blocked,
    .poke = poke,
    .join = join,
    .pause = take_a_turn,
};
