/* SPDX-License-Identifier: MIT
 *
 * torture_faults.c - stands between the library and what can fail.
 *
 * Calls are counted for each symbol by itself, all threads together: where
 * threads race, the third recvfrom is still a recvfrom, and the fault one that
 * it can have. Only faults that a kernel or C library can really give are
 * listed: a wait that ends for nothing is one, an eventfd that can't be written
 * to is not.
 */
#define TORTURE_STANDS_BETWEEN
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <time.h>

const char *const symbol_names[SYMBOLS] = {
    [S_MALLOC] = "malloc",
    [S_CALLOC] = "calloc",
    [S_FREE] = "free",
    [S_SOCKET] = "socket",
    [S_SOCKETPAIR] = "socketpair",
    [S_BIND] = "bind",
    [S_LISTEN] = "listen",
    [S_ACCEPT4] = "accept4",
    [S_CONNECT] = "connect",
    [S_RECVFROM] = "recvfrom",
    [S_SENDTO] = "sendto",
    [S_SHUTDOWN] = "shutdown",
    [S_GETSOCKOPT] = "getsockopt",
    [S_SETSOCKOPT] = "setsockopt",
    [S_GETSOCKNAME] = "getsockname",
    [S_GETPEERNAME] = "getpeername",
    [S_FCNTL] = "fcntl",
    [S_IOCTL] = "ioctl",
    [S_CLOSE] = "close",
    [S_PPOLL] = "ppoll",
    [S_EVENTFD] = "eventfd",
    [S_EVENTFD_READ] = "eventfd_read",
    [S_EVENTFD_WRITE] = "eventfd_write",
    [S_GETADDRINFO] = "getaddrinfo",
    [S_IF_NAMETOINDEX] = "if_nametoindex",
    [S_IF_INDEXTONAME] = "if_indextoname",
    [S_FOPENCOOKIE] = "fopencookie",
    [S_PTHREAD_CREATE] = "pthread_create",
    [S_PTHREAD_KEY_CREATE] = "pthread_key_create",
    [S_PTHREAD_SETSPECIFIC] = "pthread_setspecific",
    [S_PTHREAD_ATTR_INIT] = "pthread_attr_init",
    [S_OPEN] = "open",
    [S_FLOCK] = "flock",
    [S_LSTAT] = "lstat",
    [S_UNLINK] = "unlink",
    [S_ALIGNED_ALLOC] = "aligned_alloc",
    [S_REALLOC] = "realloc",
    [S_REALLOCARRAY] = "reallocarray",
    [S_MMAP] = "mmap",
    [S_MUNMAP] = "munmap",
    [S_MADVISE] = "madvise",
    [S_MPROTECT] = "mprotect",
    [S_MINCORE] = "mincore",
    [S_PIPE2] = "pipe2",
    [S_SIGALTSTACK] = "sigaltstack",
    [S_SCHED_GETAFFINITY] = "sched_getaffinity",
    [S_POLL] = "poll",
    [S_EPOLL_CREATE1] = "epoll_create1",
    [S_EPOLL_CTL] = "epoll_ctl",
    [S_EPOLL_PWAIT2] = "epoll_pwait2",
    [S_PIDFD_OPEN] = "pidfd_open",
    [S_FUTEX] = "futex",
    [S_URING_INIT] = "io_uring_queue_init_params",
    [S_URING_EXIT] = "io_uring_queue_exit",
    [S_URING_DONTFORK] = "io_uring_ring_dontfork",
    [S_URING_REGISTER] = "io_uring_register_ring_fd",
    [S_URING_SUBMIT] = "io_uring_submit",
    [S_URING_GET_EVENTS] = "io_uring_submit_and_get_events",
    [S_URING_WAIT] = "io_uring_submit_and_wait_timeout",
    [S_URING_PEEK] = "io_uring_peek_batch_cqe",
    [S_URING_SEND] = "IORING_OP_SEND",
    [S_URING_POLL] = "IORING_OP_POLL_ADD",
    [S_URING_CANCEL] = "IORING_OP_ASYNC_CANCEL",
};

/* How often in a row what is tried again may fail: enough to go round every
 * loop twice, few enough for the pauses of 50 ms between some of them. */
#define A_FEW 6

#define OF(symbol, code) \
    { \
        symbol, FAIL, #code, code, 0, REPORT \
    }
#define QUIET(symbol, code) \
    { \
        symbol, FAIL, #code, code, A_FEW, MUST_HIDE \
    }
#define UNSEEN(symbol, code) \
    { \
        symbol, FAIL, #code, code, 0, MAY_HIDE \
    }
#define LATE(symbol, code) \
    { \
        symbol, AFTERWARDS, #code, code, 0, MAY_HIDE \
    }

const struct fault faults[] = {
    OF(S_MALLOC, ENOMEM),
    OF(S_CALLOC, ENOMEM),
    OF(S_SOCKET, EMFILE),
    OF(S_SOCKET, ENOBUFS),
    OF(S_SOCKET, EAFNOSUPPORT),
    OF(S_SOCKETPAIR, EMFILE),
    OF(S_BIND, EADDRINUSE),
    OF(S_BIND, EADDRNOTAVAIL),
    OF(S_BIND, EACCES),
    OF(S_LISTEN, EADDRINUSE),
    QUIET(S_ACCEPT4, EINTR),
    QUIET(S_ACCEPT4, EAGAIN),
    OF(S_ACCEPT4, ECONNABORTED),
    OF(S_ACCEPT4, EMFILE),
    OF(S_ACCEPT4, ENFILE),
    OF(S_ACCEPT4, ENOMEM),
    OF(S_ACCEPT4, EPROTO),
    QUIET(S_CONNECT, EINTR),
    /* A Unix socket waits; for others it says that no port is free. */
    {S_CONNECT, FAIL, "EAGAIN", EAGAIN, A_FEW, MAY_HIDE},
    OF(S_CONNECT, ECONNREFUSED),
    OF(S_CONNECT, ENETUNREACH),
    OF(S_CONNECT, EADDRNOTAVAIL),
    OF(S_CONNECT, ETIMEDOUT),
    QUIET(S_RECVFROM, EINTR),
    QUIET(S_RECVFROM, EAGAIN),
    OF(S_RECVFROM, ENOMEM),
    OF(S_RECVFROM, ECONNRESET),
    {S_RECVFROM, ONE_BYTE, "1byte", 0, 0, MUST_HIDE},
    QUIET(S_SENDTO, EINTR),
    QUIET(S_SENDTO, EAGAIN),
    OF(S_SENDTO, ENOBUFS),
    OF(S_SENDTO, ENOMEM),
    OF(S_SENDTO, EPIPE),
    {S_SENDTO, ONE_BYTE, "1byte", 0, 0, MUST_HIDE},
    {S_SENDTO, HALF, "half", 0, 0, MUST_HIDE},
    OF(S_SHUTDOWN, ENOTCONN),
    OF(S_GETSOCKOPT, ENOBUFS),
    OF(S_SETSOCKOPT, ENOMEM),
    OF(S_SETSOCKOPT, ENOPROTOOPT),
    OF(S_GETSOCKNAME, ENOBUFS),
    OF(S_GETPEERNAME, ENOBUFS),
    OF(S_GETPEERNAME, ENOTCONN),
    OF(S_FCNTL, EMFILE),
    UNSEEN(S_IOCTL, EINVAL),
    LATE(S_CLOSE, EIO),
    {S_CLOSE, AFTERWARDS, "EINTR", EINTR, 0, MUST_HIDE},
    {S_CLOSE, AFTERWARDS, "ECONNRESET", ECONNRESET, 0, MUST_HIDE},
    QUIET(S_PPOLL, EINTR),
    OF(S_PPOLL, ENOMEM),
    {S_PPOLL, FALSE_READY, "ready", 0, A_FEW, MUST_HIDE},
    UNSEEN(S_EVENTFD, EMFILE),
    UNSEEN(S_EVENTFD, ENOMEM),
    QUIET(S_EVENTFD_READ, EAGAIN),
    OF(S_GETADDRINFO, EAI_AGAIN),
    OF(S_GETADDRINFO, EAI_FAIL),
    OF(S_GETADDRINFO, EAI_NONAME),
    OF(S_GETADDRINFO, EAI_NODATA),
    OF(S_GETADDRINFO, EAI_ADDRFAMILY),
    OF(S_GETADDRINFO, EAI_FAMILY),
    OF(S_GETADDRINFO, EAI_SERVICE),
    OF(S_GETADDRINFO, EAI_MEMORY),
    OF(S_GETADDRINFO, EAI_SYSTEM),
    {S_GETADDRINFO, SLOW, "slow", 0, A_FEW, MAY_HIDE},
    OF(S_IF_NAMETOINDEX, ENODEV),
    UNSEEN(S_IF_INDEXTONAME, ENXIO),
    OF(S_FOPENCOOKIE, ENOMEM),
    OF(S_PTHREAD_CREATE, EAGAIN),
    UNSEEN(S_PTHREAD_KEY_CREATE, EAGAIN),
    UNSEEN(S_PTHREAD_SETSPECIFIC, ENOMEM),
    OF(S_PTHREAD_ATTR_INIT, ENOMEM),
    OF(S_OPEN, EMFILE),
    OF(S_OPEN, EACCES),
    QUIET(S_FLOCK, EWOULDBLOCK),
    OF(S_FLOCK, ENOLCK),
    OF(S_LSTAT, EACCES),
    OF(S_LSTAT, ENOENT),
    OF(S_UNLINK, EACCES),
    OF(S_UNLINK, ENOENT),
    OF(S_ALIGNED_ALLOC, ENOMEM),
    OF(S_REALLOC, ENOMEM),
    OF(S_REALLOCARRAY, ENOMEM),
    OF(S_MMAP, ENOMEM),
    UNSEEN(S_MADVISE, EINVAL),
    UNSEEN(S_MPROTECT, ENOMEM),
    UNSEEN(S_MINCORE, EAGAIN),
    UNSEEN(S_PIPE2, EMFILE),
    UNSEEN(S_SIGALTSTACK, EPERM),
    UNSEEN(S_SCHED_GETAFFINITY, EINVAL),
    QUIET(S_POLL, EINTR),
    OF(S_POLL, ENOMEM),
    OF(S_EPOLL_CREATE1, EMFILE),
    OF(S_EPOLL_CTL, ENOMEM),
    OF(S_EPOLL_CTL, ENOSPC),
    /* Or in FOREVER, as on an older kernel, and behind a filter. */
    {S_EPOLL_PWAIT2, FAIL, "ENOSYS", ENOSYS, 0, MUST_HIDE},
    {S_EPOLL_PWAIT2, FAIL, "EPERM", EPERM, 0, MUST_HIDE},
    QUIET(S_EPOLL_PWAIT2, EINTR),
    QUIET(S_EPOLL_PWAIT2, ENOMEM),
    {S_PIDFD_OPEN, FAIL, "ENOSYS", ENOSYS, 0, MUST_HIDE},
    {S_PIDFD_OPEN, FAIL, "EPERM", EPERM, 0, MUST_HIDE},
    OF(S_PIDFD_OPEN, EMFILE),
    OF(S_PIDFD_OPEN, ENOMEM),
    QUIET(S_FUTEX, EINTR),
    {S_FUTEX, FALSE_READY, "ready", 0, A_FEW, MUST_HIDE},
    OF(S_URING_INIT, ENOMEM),
    OF(S_URING_INIT, EMFILE),
    OF(S_URING_INIT, EPERM),
    OF(S_URING_INIT, ENOSYS),
    UNSEEN(S_URING_INIT, EINVAL), /* an older kernel: fewer flags */
    OF(S_URING_DONTFORK, ENOMEM),
    UNSEEN(S_URING_REGISTER, EINVAL),
    QUIET(S_URING_SUBMIT, EAGAIN),
    QUIET(S_URING_SUBMIT, EBUSY),
    QUIET(S_URING_SUBMIT, ENOMEM),
    QUIET(S_URING_GET_EVENTS, EINTR),
    QUIET(S_URING_GET_EVENTS, EAGAIN),
    QUIET(S_URING_GET_EVENTS, EBUSY),
    QUIET(S_URING_GET_EVENTS, ENOMEM),
    QUIET(S_URING_WAIT, EINTR),
    QUIET(S_URING_WAIT, EAGAIN),
    QUIET(S_URING_WAIT, EBUSY),
    QUIET(S_URING_WAIT, ENOMEM),
    {S_URING_WAIT, FALSE_READY, "ready", 0, A_FEW, MUST_HIDE},
    QUIET(S_URING_SEND, EINTR),
    QUIET(S_URING_SEND, EAGAIN),
    OF(S_URING_SEND, ENOMEM),
    OF(S_URING_SEND, EPIPE),
    {S_URING_SEND, ONE_BYTE, "1byte", 0, 0, MUST_HIDE},
    {S_URING_SEND, HALF, "half", 0, 0, MUST_HIDE},
    QUIET(S_URING_POLL, EINTR),
    {S_URING_POLL, FAIL, "ENOMEM", ENOMEM, A_FEW, REPORT},
    {S_URING_POLL, FALSE_READY, "ready", 0, A_FEW, MUST_HIDE},
    QUIET(S_URING_CANCEL, ENOENT),
};

const size_t fault_count = sizeof faults / sizeof *faults;

/* --- the point --------------------------------------------------------- */

/* Until it is armed nothing is counted, and nothing fails. */
static const struct point *armed;
static struct tally *told;

static atomic_long live;

/* What struck in this thread; and in a helper thread, whose work is done for
 * somebody else. */
static _Thread_local const struct fault *struck;
static _Atomic(const struct fault *) struck_helper;

void faults_arm(const struct point *point, struct tally *tally)
{
    told = tally;
    armed = point;
}

bool fault_fired(void)
{
    return atomic_load(&told->fired);
}

const struct fault *fault_taken(void)
{
    const struct fault *mine = struck;

    struck = NULL;
    return mine ? mine : atomic_exchange(&struck_helper, NULL);
}

unsigned calls_of(enum symbol symbol)
{
    return atomic_load(&told->calls[symbol]);
}

long allocations(void)
{
    return atomic_load(&live);
}

void count_live(long by)
{
    atomic_fetch_add(&live, by);
}

static bool is_due(const struct point *point, unsigned n)
{
    unsigned limit;

    if (point->mode != FOREVER)
        return n == point->n;
    limit = (unsigned)point->fault->limit;
    return n >= point->n && (limit == 0 || n < point->n + limit);
}

const struct fault *due(enum symbol symbol)
{
    unsigned n;

    if (!armed)
        return NULL;
    n = atomic_fetch_add(&told->calls[symbol], 1) + 1;
    if (!armed->fault || armed->fault->symbol != symbol || !is_due(armed, n))
        return NULL;
    return armed->fault;
}

void strike(const struct fault *fault)
{
    atomic_store(&told->fired, true);
    if (fault->symbol == S_GETADDRINFO) {
        atomic_store(&struck_helper, fault);
        return;
    }
    struck = fault;
    errno = fault->code;
}

bool fails(enum symbol symbol)
{
    const struct fault *fault = due(symbol);

    if (fault)
        strike(fault);
    return fault;
}

/* The same for what returns its error. */
static int error_of(enum symbol symbol)
{
    const struct fault *fault = due(symbol);

    if (fault)
        strike(fault);
    return fault ? fault->code : 0;
}

static int type_of(int fd)
{
    int type = 0;
    socklen_t len = sizeof type;

    return __real_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ? -1
                                                                       : type;
}

/* What the fault leaves of `len` bytes: only streams may be cut. */
static size_t cut(const struct fault *fault, int fd, size_t len)
{
    if (len < 2 || type_of(fd) != SOCK_STREAM)
        return len;
    strike(fault);
    return fault->how == HALF ? len / 2 : 1;
}

/* --- memory ------------------------------------------------------------ */

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *block);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_reallocarray(void *block, size_t count, size_t size);

static void *counted(void *block)
{
    if (block)
        atomic_fetch_add(&live, 1);
    return block;
}

void *__wrap_malloc(size_t size)
{
    return fails(S_MALLOC) ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(S_CALLOC) ? NULL : counted(__real_calloc(count, size));
}

void __wrap_free(void *block)
{
    due(S_FREE);
    if (block)
        atomic_fetch_sub(&live, 1);
    __real_free(block);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails(S_ALIGNED_ALLOC)
               ? NULL
               : counted(__real_aligned_alloc(alignment, size));
}

/* Grown is one allocation still. */
void *__wrap_realloc(void *block, size_t size)
{
    void *grown = fails(S_REALLOC) ? NULL : __real_realloc(block, size);

    return block ? grown : counted(grown);
}

void *__wrap_reallocarray(void *block, size_t count, size_t size)
{
    void *grown =
        fails(S_REALLOCARRAY) ? NULL : __real_reallocarray(block, count, size);

    return block ? grown : counted(grown);
}

/* --- sockets ----------------------------------------------------------- */

int __wrap_socket(int family, int type, int proto);
int __wrap_socketpair(int family, int type, int proto, int fd[2]);
int __wrap_bind(int fd, const struct sockaddr *sa, socklen_t len);
int __wrap_listen(int fd, int backlog);
int __wrap_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags);
int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len);
ssize_t __wrap_recvfrom(int fd, void *buf, size_t len, int flags,
                        struct sockaddr *sa, socklen_t *alen);
ssize_t __wrap_sendto(int fd, const void *buf, size_t len, int flags,
                      const struct sockaddr *sa, socklen_t alen);
int __wrap_shutdown(int fd, int how);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t len);
int __wrap_getsockname(int fd, struct sockaddr *sa, socklen_t *len);
int __wrap_getpeername(int fd, struct sockaddr *sa, socklen_t *len);
int __wrap_fcntl(int fd, int cmd, ...);
int __wrap_ioctl(int fd, unsigned long what, ...);
int __wrap_close(int fd);

int __wrap_socket(int family, int type, int proto)
{
    return fails(S_SOCKET) ? -1 : __real_socket(family, type, proto);
}

int __wrap_socketpair(int family, int type, int proto, int fd[2])
{
    return fails(S_SOCKETPAIR) ? -1
                               : __real_socketpair(family, type, proto, fd);
}

int __wrap_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
    return fails(S_BIND) ? -1 : __real_bind(fd, sa, len);
}

int __wrap_listen(int fd, int backlog)
{
    return fails(S_LISTEN) ? -1 : __real_listen(fd, backlog);
}

int __wrap_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
    if (!fails(S_ACCEPT4))
        return __real_accept4(fd, sa, len, flags);
    give_an_edge(fd);
    return -1;
}

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    return fails(S_CONNECT) ? -1 : __real_connect(fd, sa, len);
}

ssize_t __wrap_recvfrom(int fd, void *buf, size_t len, int flags,
                        struct sockaddr *sa, socklen_t *alen)
{
    const struct fault *fault = due(S_RECVFROM);
    ssize_t n;

    if (fault && fault->how == FAIL) {
        strike(fault);
        give_an_edge(fd);
        return -1;
    }
    /* A short look, for ever, where more is there, is no kernel's. */
    if (fault && !(flags & MSG_PEEK))
        len = cut(fault, fd, len);
    n = __real_recvfrom(fd, buf, len, flags, sa, alen);
    if (fault)
        give_an_edge(fd);
    return n;
}

ssize_t __wrap_sendto(int fd, const void *buf, size_t len, int flags,
                      const struct sockaddr *sa, socklen_t alen)
{
    const struct fault *fault = due(S_SENDTO);

    if (fault && fault->how == FAIL) {
        strike(fault);
        give_an_edge(fd);
        return -1;
    }
    if (fault)
        len = cut(fault, fd, len);
    return __real_sendto(fd, buf, len, flags, sa, alen);
}

int __wrap_shutdown(int fd, int how)
{
    return fails(S_SHUTDOWN) ? -1 : __real_shutdown(fd, how);
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    return fails(S_GETSOCKOPT) ? -1
                               : __real_getsockopt(fd, level, name, value, len);
}

int __wrap_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t len)
{
    return fails(S_SETSOCKOPT) ? -1
                               : __real_setsockopt(fd, level, name, value, len);
}

int __wrap_getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
    return fails(S_GETSOCKNAME) ? -1 : __real_getsockname(fd, sa, len);
}

int __wrap_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
    return fails(S_GETPEERNAME) ? -1 : __real_getpeername(fd, sa, len);
}

int __wrap_fcntl(int fd, int cmd, ...)
{
    va_list args;
    int arg;

    /* The library has no command whose argument is no int. */
    va_start(args, cmd);
    arg = cmd == F_GETFL ? 0 : va_arg(args, int);
    va_end(args);
    return fails(S_FCNTL) ? -1 : __real_fcntl(fd, cmd, arg);
}

int __wrap_ioctl(int fd, unsigned long what, ...)
{
    va_list args;
    void *arg;

    va_start(args, what);
    arg = va_arg(args, void *);
    va_end(args);
    return fails(S_IOCTL) ? -1 : __real_ioctl(fd, what, arg);
}

/* On Linux the fd is gone whatever close(2) reports. */
int __wrap_close(int fd)
{
    const struct fault *fault = due(S_CLOSE);
    int rc = __real_close(fd);

    if (rc < 0)
        violation("close(%d), which isn't open", fd);
    if (fault)
        strike(fault);
    return fault ? -1 : 0;
}

/* --- waiting ----------------------------------------------------------- */

int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *left,
                 const sigset_t *mask);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_eventfd_read(int fd, eventfd_t *value);
int __wrap_eventfd_write(int fd, eventfd_t value);

/* "Ready" may turn out wrong for sockets (select(2), BUGS); for the eventfds
 * that the library waits on as well it is always right. */
static bool may_lie(const struct pollfd *fds)
{
    return fds[0].fd >= 0 && (fds[0].events & (POLLIN | POLLOUT)) &&
           type_of(fds[0].fd) >= 0;
}

int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *left,
                 const sigset_t *mask)
{
    const struct fault *fault = due(S_PPOLL);

    if (fault && fault->how == FAIL) {
        strike(fault);
        return -1;
    }
    if (fault && may_lie(fds)) {
        strike(fault);
        for (nfds_t i = 0; i < count; i++)
            fds[i].revents = 0;
        fds[0].revents = fds[0].events & (POLLIN | POLLOUT);
        return 1;
    }
    return __real_ppoll(fds, count, left, mask);
}

int __wrap_eventfd(unsigned value, int flags)
{
    return fails(S_EVENTFD) ? -1 : __real_eventfd(value, flags);
}

int __wrap_eventfd_read(int fd, eventfd_t *value)
{
    return fails(S_EVENTFD_READ) ? -1 : __real_eventfd_read(fd, value);
}

/* Can't fail: the library never lets a counter come near its end. */
int __wrap_eventfd_write(int fd, eventfd_t value)
{
    int rc;

    due(S_EVENTFD_WRITE);
    rc = __real_eventfd_write(fd, value);
    if (rc < 0 && errno == EBADF)
        violation("eventfd_write(%d), which isn't open", fd);
    return rc;
}

/* --- names and files --------------------------------------------------- */

int __wrap_getaddrinfo(const char *host, const char *service,
                       const struct addrinfo *hints, struct addrinfo **found);
unsigned __wrap_if_nametoindex(const char *name);
char *__wrap_if_indextoname(unsigned index, char *name);
FILE *__wrap_fopencookie(void *cookie, const char *mode,
                         cookie_io_functions_t io);

/* Longer than the scenario's short timeout for a name. */
static const struct timespec a_while = {0, 60 * 1000 * 1000};

/* No resolver is asked for a name that must have two addresses. */
static int answer(const char *host, const char *service,
                  const struct addrinfo *hints, struct addrinfo **found)
{
    int error;

    if (strcmp(host, TWO_ADDRESSES) != 0)
        return __real_getaddrinfo(host, service, hints, found);
    error = __real_getaddrinfo("127.0.0.2", service, hints, found);
    return error ? error
                 : __real_getaddrinfo("127.0.0.1", service, hints,
                                      &(*found)->ai_next);
}

int __wrap_getaddrinfo(const char *host, const char *service,
                       const struct addrinfo *hints, struct addrinfo **found)
{
    const struct fault *fault = due(S_GETADDRINFO);

    if (fault)
        strike(fault);
    if (!fault || fault->how == SLOW) {
        if (fault)
            nanosleep(&a_while, NULL);
        return answer(host, service, hints, found);
    }
    errno = fault->code == EAI_SYSTEM ? EMFILE : 0;
    return fault->code;
}

unsigned __wrap_if_nametoindex(const char *name)
{
    return fails(S_IF_NAMETOINDEX) ? 0 : __real_if_nametoindex(name);
}

char *__wrap_if_indextoname(unsigned index, char *name)
{
    return fails(S_IF_INDEXTONAME) ? NULL : __real_if_indextoname(index, name);
}

FILE *__wrap_fopencookie(void *cookie, const char *mode,
                         cookie_io_functions_t io)
{
    return fails(S_FOPENCOOKIE) ? NULL : __real_fopencookie(cookie, mode, io);
}

/* --- threads ----------------------------------------------------------- */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg);
int __wrap_pthread_key_create(pthread_key_t *key, void (*end)(void *));
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_attr_init(pthread_attr_t *attr);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg)
{
    int error = error_of(S_PTHREAD_CREATE);

    return error ? error : __real_pthread_create(thread, attr, run, arg);
}

int __wrap_pthread_key_create(pthread_key_t *key, void (*end)(void *))
{
    int error = error_of(S_PTHREAD_KEY_CREATE);

    return error ? error : __real_pthread_key_create(key, end);
}

int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    int error = error_of(S_PTHREAD_SETSPECIFIC);

    return error ? error : __real_pthread_setspecific(key, value);
}

int __wrap_pthread_attr_init(pthread_attr_t *attr)
{
    int error = error_of(S_PTHREAD_ATTR_INIT);

    return error ? error : __real_pthread_attr_init(attr);
}

/* --- socket files ------------------------------------------------------ */

int __wrap_open(const char *path, int flags, ...);
int __wrap_flock(int fd, int what);
int __wrap_lstat(const char *path, struct stat *st);
int __wrap_unlink(const char *path);

/* The library creates no file, so there is no mode. */
int __wrap_open(const char *path, int flags, ...)
{
    return fails(S_OPEN) ? -1 : __real_open(path, flags);
}

int __wrap_flock(int fd, int what)
{
    return fails(S_FLOCK) ? -1 : __real_flock(fd, what);
}

int __wrap_lstat(const char *path, struct stat *st)
{
    return fails(S_LSTAT) ? -1 : __real_lstat(path, st);
}

int __wrap_unlink(const char *path)
{
    return fails(S_UNLINK) ? -1 : __real_unlink(path);
}
