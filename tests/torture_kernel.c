/* SPDX-License-Identifier: MIT
 *
 * torture_kernel.c - stands between the fibers' run-time and what it has of the
 * kernel: mappings, epoll, io_uring. See torture_faults.c.
 *
 * What a ring's operation comes to is no function's result. So the operation to
 * fail is turned into one that does nothing on its way to the kernel, and what
 * that completes with is turned into the failure on its way back: the order of
 * everything is the kernel's, and nothing has happened to the socket.
 */
#define TORTURE_STANDS_BETWEEN
#include "torture.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* as in io/wait.c */
#endif

/* --- memory ------------------------------------------------------------ */

int __real_munmap(void *at, size_t size);
int __real_madvise(void *at, size_t size, int advice);
int __real_mprotect(void *at, size_t size, int prot);
int __real_mincore(void *at, size_t size, unsigned char *in);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd,
                  off_t offset);
int __wrap_munmap(void *at, size_t size);
int __wrap_madvise(void *at, size_t size, int advice);
int __wrap_mprotect(void *at, size_t size, int prot);
int __wrap_mincore(void *at, size_t size, unsigned char *in);

void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd,
                  off_t offset)
{
    void *base = fails(S_MMAP) ? MAP_FAILED
                               : __real_mmap(at, size, prot, flags, fd, offset);

    count_live(base != MAP_FAILED);
    return base;
}

/* The library unmaps what it has mapped, and whole: that can't fail. */
int __wrap_munmap(void *at, size_t size)
{
    due(S_MUNMAP);
    if (__real_munmap(at, size) < 0)
        violation("munmap failed");
    count_live(-1);
    return 0;
}

int __wrap_madvise(void *at, size_t size, int advice)
{
    return fails(S_MADVISE) ? -1 : __real_madvise(at, size, advice);
}

int __wrap_mprotect(void *at, size_t size, int prot)
{
    return fails(S_MPROTECT) ? -1 : __real_mprotect(at, size, prot);
}

int __wrap_mincore(void *at, size_t size, unsigned char *in)
{
    return fails(S_MINCORE) ? -1 : __real_mincore(at, size, in);
}

/* --- what is asked at the beginning ------------------------------------ */

int __real_pipe2(int fds[2], int flags);
int __real_sigaltstack(const stack_t *stack, stack_t *before);
int __real_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
int __wrap_pipe2(int fds[2], int flags);
int __wrap_sigaltstack(const stack_t *stack, stack_t *before);
int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);

int __wrap_pipe2(int fds[2], int flags)
{
    return fails(S_PIPE2) ? -1 : __real_pipe2(fds, flags);
}

int __wrap_sigaltstack(const stack_t *stack, stack_t *before)
{
    /* Which can't fail where it is freed after that. */
    if (stack && (stack->ss_flags & SS_DISABLE))
        return __real_sigaltstack(stack, before);
    return fails(S_SIGALTSTACK) ? -1 : __real_sigaltstack(stack, before);
}

int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    return fails(S_SCHED_GETAFFINITY)
               ? -1
               : __real_sched_getaffinity(pid, size, set);
}

/* --- epoll, and what has no function of its own ------------------------ */

int __real_poll(struct pollfd *fds, nfds_t count, int ms);
int __real_epoll_create1(int flags);
int __real_epoll_ctl(int set, int what, int fd, struct epoll_event *event);
long __real_syscall(long number, ...);
int __wrap_poll(struct pollfd *fds, nfds_t count, int ms);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_ctl(int set, int what, int fd, struct epoll_event *event);
long __wrap_syscall(long number, ...);

int __wrap_poll(struct pollfd *fds, nfds_t count, int ms)
{
    return fails(S_POLL) ? -1 : __real_poll(fds, count, ms);
}

int __wrap_epoll_create1(int flags)
{
    return fails(S_EPOLL_CREATE1) ? -1 : __real_epoll_create1(flags);
}

/* What was registered for its edges, by fd. */
enum { EDGES = 1024 };
static struct {
    int set; /* 0: nothing */
    struct epoll_event event;
} edges[EDGES];

int __wrap_epoll_ctl(int set, int what, int fd, struct epoll_event *event)
{
    int rc = fails(S_EPOLL_CTL) ? -1 : __real_epoll_ctl(set, what, fd, event);

    if (rc == 0 && (event->events & EPOLLET) && fd < EDGES) {
        edges[fd].set = set;
        edges[fd].event = *event;
    }
    return rc;
}

/* To modify what is registered makes the kernel look again. */
void give_an_edge(int fd)
{
    int saved = errno;

    if (fd >= 0 && fd < EDGES && edges[fd].set)
        __real_epoll_ctl(edges[fd].set, EPOLL_CTL_MOD, fd, &edges[fd].event);
    errno = saved;
}

static enum symbol symbol_of(long number)
{
    switch (number) {
#ifdef SYS_epoll_pwait2
    case SYS_epoll_pwait2:
        return S_EPOLL_PWAIT2;
#endif
    case SYS_pidfd_open:
        return S_PIDFD_OPEN;
    case SYS_futex:
        return S_FUTEX;
    default:
        violation("an unknown system call, %ld", number);
    }
}

/* Waking can't fail. */
static bool is_wake(long number, long what)
{
    enum { WAKE = 1, COMMAND = 0x7f };

    return number == SYS_futex && (what & COMMAND) == WAKE;
}

long __wrap_syscall(long number, ...)
{
    const struct fault *fault;
    va_list args;
    long a[6];

    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    fault = is_wake(number, a[1]) ? NULL : due(symbol_of(number));
    if (!fault)
        return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    strike(fault);
    return fault->how == FALSE_READY ? 0 : -1;
}

/* --- the ring ---------------------------------------------------------- */

#ifdef KRAIT_URING

#include <liburing.h>

int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params);
void __real_io_uring_queue_exit(struct io_uring *ring);
int __real_io_uring_ring_dontfork(struct io_uring *ring);
int __real_io_uring_register_ring_fd(struct io_uring *ring);
int __real_io_uring_submit(struct io_uring *ring);
int __real_io_uring_submit_and_get_events(struct io_uring *ring);
int __real_io_uring_submit_and_wait_timeout(struct io_uring *ring,
                                            struct io_uring_cqe **cqe,
                                            unsigned wait_nr,
                                            struct __kernel_timespec *ts,
                                            sigset_t *mask);
unsigned __real_io_uring_peek_batch_cqe(struct io_uring *ring,
                                        struct io_uring_cqe **cqes,
                                        unsigned count);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params);
void __wrap_io_uring_queue_exit(struct io_uring *ring);
int __wrap_io_uring_ring_dontfork(struct io_uring *ring);
int __wrap_io_uring_register_ring_fd(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring,
                                            struct io_uring_cqe **cqe,
                                            unsigned wait_nr,
                                            struct __kernel_timespec *ts,
                                            sigset_t *mask);
unsigned __wrap_io_uring_peek_batch_cqe(struct io_uring *ring,
                                        struct io_uring_cqe **cqes,
                                        unsigned count);

/* Operations that are to fail, and are on their way; a ring is its thread's
 * own. */
enum { ON_THE_WAY = 512 };

static _Thread_local struct {
    uint64_t user_data;
    int res;
} doomed[ON_THE_WAY];

static _Thread_local unsigned doomed_count;

/* The first submission that was not looked at yet. */
static _Thread_local unsigned unseen;

/* What a call of liburing's returns, which sets no errno: 0 or a negative
 * code. */
static int code_for(enum symbol symbol)
{
    return fails(symbol) ? -errno : 0;
}

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params)
{
    int code = code_for(S_URING_INIT);

    if (code == 0)
        code = __real_io_uring_queue_init_params(entries, ring, params);
    count_live(code >= 0);
    if (code >= 0) {
        doomed_count = 0;
        unseen = ring->sq.sqe_tail;
    }
    return code;
}

void __wrap_io_uring_queue_exit(struct io_uring *ring)
{
    due(S_URING_EXIT);
    count_live(-1);
    __real_io_uring_queue_exit(ring);
}

int __wrap_io_uring_ring_dontfork(struct io_uring *ring)
{
    int code = code_for(S_URING_DONTFORK);

    return code < 0 ? code : __real_io_uring_ring_dontfork(ring);
}

int __wrap_io_uring_register_ring_fd(struct io_uring *ring)
{
    int code = code_for(S_URING_REGISTER);

    return code < 0 ? code : __real_io_uring_register_ring_fd(ring);
}

/* What completes with `res`, and does nothing. */
static void doom(struct io_uring_sqe *sqe, int res)
{
    uint64_t user_data = sqe->user_data;

    if (doomed_count == ON_THE_WAY)
        violation("more operations fail than ON_THE_WAY");
    doomed[doomed_count].user_data = user_data;
    doomed[doomed_count++].res = res;
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = IORING_OP_NOP;
    sqe->user_data = user_data;
}

static void spoil(struct io_uring_sqe *sqe, const struct fault *fault)
{
    strike(fault);
    switch (fault->how) {
    case ONE_BYTE:
        sqe->len = 1;
        break;
    case HALF:
        sqe->len = (sqe->len + 1) / 2;
        break;
    case FALSE_READY:
        doom(sqe, POLLIN | POLLOUT);
        break;
    default:
        doom(sqe, -fault->code);
    }
}

static void look_at(struct io_uring_sqe *sqe)
{
    const struct fault *fault = NULL;

    switch (sqe->opcode) {
    case IORING_OP_SEND:
        fault = due(S_URING_SEND);
        break;
    case IORING_OP_POLL_ADD:
        fault = due(S_URING_POLL);
        break;
    case IORING_OP_ASYNC_CANCEL:
        fault = due(S_URING_CANCEL);
        break;
    default:
        violation("an unknown operation, %d", sqe->opcode);
    }
    if (fault)
        spoil(sqe, fault);
}

static void look_at_new(struct io_uring *ring)
{
    for (; unseen != ring->sq.sqe_tail; unseen++)
        look_at(&ring->sq.sqes[unseen & ring->sq.ring_mask]);
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
    int code = code_for(S_URING_SUBMIT);

    if (code < 0)
        return code;
    look_at_new(ring);
    return __real_io_uring_submit(ring);
}

int __wrap_io_uring_submit_and_get_events(struct io_uring *ring)
{
    int code = code_for(S_URING_GET_EVENTS);

    if (code < 0)
        return code;
    look_at_new(ring);
    return __real_io_uring_submit_and_get_events(ring);
}

int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring,
                                            struct io_uring_cqe **cqe,
                                            unsigned wait_nr,
                                            struct __kernel_timespec *ts,
                                            sigset_t *mask)
{
    const struct fault *fault = due(S_URING_WAIT);

    if (fault) {
        strike(fault);
        return -fault->code;
    }
    look_at_new(ring);
    return __real_io_uring_submit_and_wait_timeout(ring, cqe, wait_nr, ts,
                                                   mask);
}

static void give_back(struct io_uring_cqe *cqe)
{
    for (unsigned i = 0; i < doomed_count; i++) {
        if (doomed[i].user_data != cqe->user_data)
            continue;
        cqe->res = doomed[i].res;
        doomed[i] = doomed[--doomed_count];
        return;
    }
}

unsigned __wrap_io_uring_peek_batch_cqe(struct io_uring *ring,
                                        struct io_uring_cqe **cqes,
                                        unsigned count)
{
    unsigned n = __real_io_uring_peek_batch_cqe(ring, cqes, count);

    due(S_URING_PEEK);
    for (unsigned i = 0; i < n; i++)
        give_back(cqes[i]);
    return n;
}

#endif
