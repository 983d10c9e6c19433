/* SPDX-License-Identifier: MIT
 *
 * million_family.c - the parent's side of its processes: started, told what to
 * do, waited for, ended.
 *
 * They end with their parent, whatever ends that. And should memory run out in
 * spite of all care, the kernel takes them first (oom_score_adj).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "million.h"

/* Milliseconds between two looks at the time, the memory and the progress. */
#define LOOK 100

/* Seconds that a process may take to end. */
#define LAST_WORD 30

double million_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

bool million_family_init(struct family *f, unsigned size)
{
    size_t both = 2 * (size_t)size;
    size_t bytes = both * sizeof(struct tally) + ENGINE_NAME_SIZE;
    struct tally *tallies = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    f->size = size;
    f->servers = calloc(both, sizeof *f->servers);
    if (!f->servers || tallies == MAP_FAILED)
        return false;
    f->clients = f->servers + size;
    for (unsigned i = 0; i < both; i++) {
        f->servers[i].tally = &tallies[i];
        f->servers[i].control = -1;
    }
    f->engine = (char *)&tallies[both];
    return true;
}

/* --- started ------------------------------------------------------------- */

/* In the child: it has what it needs, and nothing of its siblings'. */
static _Noreturn void become(struct family *f, int (*main)(const struct role *),
                             const struct role *role, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    for (unsigned i = 0; i < 2 * f->size; i++)
        if (f->servers[i].control >= 0)
            close(f->servers[i].control);
    _exit(main(role));
}

static bool start_one(struct family *f, struct member *m,
                      int (*main)(const struct role *), struct role *role)
{
    pid_t parent = getpid();
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return false;
    role->control = pair[1];
    role->tally = m->tally;
    m->pid = fork();
    if (m->pid == 0) {
        close(pair[0]);
        become(f, main, role, parent);
    }
    close(pair[1]);
    m->control = pair[0];
    if (m->pid > 0)
        return true;
    m->pid = 0;
    return false;
}

bool million_start(struct family *f, struct member *members,
                   int (*main)(const struct role *role), unsigned limit,
                   const struct sockaddr_in *addr)
{
    struct role role = {.limit = limit, .addr = *addr, .engine = f->engine};

    for (role.number = 0; role.number < f->size; role.number++)
        if (!start_one(f, &members[role.number], main, &role)) {
            perror("million: process");
            return false;
        }
    return million_await(f, members, NULL, NULL);
}

/* --- told what to do ----------------------------------------------------- */

bool million_order(const struct member *m, struct order order)
{
    if (send(m->control, &order, sizeof order, MSG_NOSIGNAL) ==
        (ssize_t)sizeof order)
        return true;
    perror("million: order");
    return false;
}

/* None may, before it is told to: the others would wait for it. */
static pid_t somebody_has_ended(void)
{
    siginfo_t info = {.si_pid = 0};

    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        return 0;
    return info.si_pid;
}

bool million_may_go_on(const struct family *f)
{
    pid_t gone = somebody_has_ended();

    if (gone > 0) {
        fprintf(stderr, "million: process %d has ended\n", (int)gone);
        return false;
    }
    if (million_now() > f->deadline) {
        fprintf(stderr, "million: it takes too long\n");
        return false;
    }
    /* More than planned was used, or somebody else wants some. */
    if (million_available() < MEMORY_RESERVE / 2) {
        fprintf(stderr, "million: memory runs out\n");
        return false;
    }
    return true;
}

/* Whether it has said that it is done. One that has ended never will. */
static bool heard_of(const struct member *m, int ms)
{
    struct pollfd poll_for = {.fd = m->control, .events = POLLIN};
    char done;

    return poll(&poll_for, 1, ms) > 0 && read(m->control, &done, 1) == 1;
}

/* One after another: all of them must be done in the end. */
bool million_await(struct family *f, const struct member *members,
                   void (*progress)(void *arg), void *arg)
{
    unsigned i = 0;

    while (i < f->size) {
        if (heard_of(&members[i], LOOK)) {
            i++;
            continue;
        }
        if (!million_may_go_on(f))
            return false;
        if (progress)
            progress(arg);
    }
    return true;
}

uint64_t million_sum(const struct family *f, const struct member *members,
                     enum counted which)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < f->size; i++)
        sum += atomic_load(&members[i].tally->counts[which]);
    return sum;
}

/* --- ended --------------------------------------------------------------- */

/* Reaps it: whether it has ended, and *good, as it should. */
static bool reap(struct member *m, int options, bool *good)
{
    int status;

    if (m->pid == 0)
        return true;
    if (waitpid(m->pid, &status, options) != m->pid)
        return false;
    m->pid = 0;
    *good = *good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return true;
}

bool million_end(struct family *f)
{
    double until = million_now() + LAST_WORD;
    unsigned left = 2 * f->size;
    bool good = true;

    for (unsigned i = 0; i < 2 * f->size; i++) {
        close(f->servers[i].control);
        f->servers[i].control = -1;
    }
    while (left > 0 && million_now() < until)
        if (reap(&f->servers[left - 1], WNOHANG, &good))
            left--;
        else
            poll(NULL, 0, 1);
    if (left > 0)
        fprintf(stderr, "million: %u processes don't end\n", left);
    million_kill(f);
    return good && left == 0;
}

/* Clients first: their connections end by a reset, and leave nothing behind. */
void million_kill(struct family *f)
{
    bool ignored = true;

    for (unsigned i = 2 * f->size; i-- > 0;)
        if (f->servers[i].pid > 0)
            kill(f->servers[i].pid, SIGKILL);
    for (unsigned i = 2 * f->size; i-- > 0;)
        reap(&f->servers[i], 0, &ignored);
}
