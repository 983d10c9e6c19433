/* SPDX-License-Identifier: MIT
 *
 * torture.h - the torture run: each allocation and each system call of the
 * library fails once.
 *
 *   torture.c         the points: which call fails, how; a process for each
 *   torture_faults.c  stands between the library and what can fail
 *   torture_kernel.c  the same for what only the fibers' run-time calls
 *   torture_verdict.c what a scenario says of what it saw, and cleaning up
 *   torture_talk.c, torture_own.c, torture_serve.c, torture_fibers.c
 *                     the scenarios: the whole public face, in use
 *
 * A scenario is a plain program over Krait. It is run once to count the calls
 * that its library makes, and then once for each point: a call, and a way for
 * it to fail. Each run must end in time, leak nothing, and either succeed with
 * the right data or have been told cleanly what went wrong.
 *
 * The scenarios live in the same program as the library, and ld's --wrap can't
 * tell them apart. So scenarios call the C library by its real name
 * (__real_close), and the end of this header sees to it.
 */
#ifndef KRAIT_TESTS_TORTURE_H
#define KRAIT_TESTS_TORTURE_H

#include <fcntl.h>
#include <netdb.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <krait.h>

/* --- what can be made to fail ------------------------------------------ */

/* The order of torture_wrap.txt. */
enum symbol {
    S_MALLOC,
    S_CALLOC,
    S_FREE,
    S_SOCKET,
    S_SOCKETPAIR,
    S_BIND,
    S_LISTEN,
    S_ACCEPT4,
    S_CONNECT,
    S_RECVFROM,
    S_SENDTO,
    S_SHUTDOWN,
    S_GETSOCKOPT,
    S_SETSOCKOPT,
    S_GETSOCKNAME,
    S_GETPEERNAME,
    S_FCNTL,
    S_IOCTL,
    S_CLOSE,
    S_PPOLL,
    S_EVENTFD,
    S_EVENTFD_READ,
    S_EVENTFD_WRITE,
    S_GETADDRINFO,
    S_IF_NAMETOINDEX,
    S_IF_INDEXTONAME,
    S_FOPENCOOKIE,
    S_PTHREAD_CREATE,
    S_PTHREAD_KEY_CREATE,
    S_PTHREAD_SETSPECIFIC,
    S_PTHREAD_ATTR_INIT,
    S_OPEN,
    S_FLOCK,
    S_LSTAT,
    S_UNLINK,
    S_ALIGNED_ALLOC,
    S_REALLOC,
    S_REALLOCARRAY,
    S_MMAP,
    S_MUNMAP,
    S_MADVISE,
    S_MPROTECT,
    S_MINCORE,
    S_PIPE2,
    S_SIGALTSTACK,
    S_SCHED_GETAFFINITY,
    S_POLL,
    S_EPOLL_CREATE1,
    S_EPOLL_CTL,
    /* What syscall(2) is called for: */
    S_EPOLL_PWAIT2,
    S_PIDFD_OPEN,
    S_FUTEX,
    /* Functions of liburing, and what is submitted by them: */
    S_URING_INIT,
    S_URING_EXIT,
    S_URING_DONTFORK,
    S_URING_REGISTER,
    S_URING_SUBMIT,
    S_URING_GET_EVENTS,
    S_URING_WAIT,
    S_URING_PEEK,
    S_URING_SEND,
    S_URING_POLL,
    S_URING_CANCEL,
    SYMBOLS
};

/* Called only where there is io_uring. */
#define IS_OF_URING(symbol) ((symbol) >= S_URING_INIT)

extern const char *const symbol_names[SYMBOLS];

enum how {
    FAIL,        /* the call isn't made, and says so */
    AFTERWARDS,  /* the call is made, and reports an error all the same */
    ONE_BYTE,    /* a stream takes or gives one byte of what it was asked */
    HALF,        /* ... or half of it */
    FALSE_READY, /* a wait for a socket ends at once, for nothing */
    SLOW         /* the call takes a while */
};

/* What the library does about a fault. */
enum duty {
    REPORT,   /* a failed call, with this cause */
    MAY_HIDE, /* where it can do without, nothing is said */
    MUST_HIDE /* the call goes on: no caller ever sees it */
};

struct fault {
    enum symbol symbol;
    enum how how;
    const char *name; /* for reports, and for TORTURE_ONLY */
    int code;         /* an errno, or EAI_ code */
    int limit;        /* how often in a row, in FOREVER; 0: always. What the
                       * library answers by trying again would go on for ever */
    enum duty duty;
};

extern const struct fault faults[];
extern const size_t fault_count;

enum mode {
    COUNT,   /* nothing fails */
    RETRY,   /* the call fails once; what failed for it is tried again, and
              * then all must be well: a failed call has done nothing */
    GIVE_UP, /* the call fails once; the scenario is abandoned */
    FOREVER  /* the call fails, and all of its symbol that follow */
};

struct point {
    const struct scenario *scenario;
    const struct fault *fault; /* NULL: COUNT */
    unsigned n;                /* counted from 1, per symbol */
    enum mode mode;
};

/* What a run tells the process that started it; in shared memory. */
struct tally {
    atomic_uint calls[SYMBOLS];
    atomic_bool fired;
};

/* Starts counting and, at the point, failing. */
void faults_arm(const struct point *point, struct tally *tally);

/* Whether anything was made to fail so far; the fault that struck in this
 * thread, or in a helper thread, since it was last asked for. */
bool fault_fired(void);
const struct fault *fault_taken(void);

/* Calls of a symbol so far; allocations, mappings and rings that are not
 * freed. */
unsigned calls_of(enum symbol symbol);
long allocations(void);

/* A name that has two addresses everywhere: 127.0.0.2 and 127.0.0.1. */
#define TWO_ADDRESSES "two.test"

#ifdef TORTURE_STANDS_BETWEEN
/* Counts a call: the fault that it is to have, or NULL. */
const struct fault *due(enum symbol symbol);

/* The fault takes place: errno is set. */
void strike(const struct fault *fault);

/* After a lie about `fd` (there is nothing, there is no more): who waits for an
 * edge is told of one, as it would be if the lie were true and something then
 * came. */
void give_an_edge(int fd);

/* Counts a call: true where it isn't to be made, and errno is set. */
bool fails(enum symbol symbol);

/* Of what allocations() counts. */
void count_live(long by);
#endif

/* --- the scenarios ----------------------------------------------------- */

enum {
    NEEDS_IPV6 = 1,
    ANY_CAUSE = 2, /* a failure may be reported as another one: a file is "in
                    * use" where it could not be looked at */
    ONCE_ONLY = 4, /* can't be ended where a call fails forever */
    HOOKED = 8,    /* the signal hook asks to give up: EINTR is seen */
    ALIVE = 16,    /* no connect is refused: that is how the library knows
                    * the dead from the living */
    FIBERS = 32,   /* one fault may be told to several fibers, and to others
                    * than the one that ran when it struck */
    NEEDS_URING = 64
};

struct scenario {
    const char *name;
    void (*run)(void);
    unsigned flags;
};

extern const struct scenario talk_scenarios[], own_scenarios[],
    serve_scenarios[], fiber_scenarios[];
extern const size_t talk_count, own_count, serve_count, fiber_count;

/* --- the verdict ------------------------------------------------------- */

/* Runs the point's scenario in this process, and looks at what is left when it
 * has ended. Returns only where all is well. */
void run_point(const struct point *what, struct tally *tally);

/* "conv_tcp:recvfrom:3:ENOMEM:retry" */
void point_name(const struct point *point, char *buf, size_t size);

/* Says what is wrong and ends the process. */
_Noreturn void violation(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* violation, unless `holds`. */
void require(bool holds, const char *what);

/* After a call that failed: the error must be clean, and name one of `ops`
 * ("bind|socket"). True: try it again. False: the scenario is given up, and
 * all who wait on a watched socket are woken. */
bool again(const char *ops);

/* After a failed call that can't be repeated, for nobody knows how much of it
 * was done. */
void stop(const char *ops);

/* For a call that should fail with `error`: true when it did, or the scenario
 * was given up; false: it failed for another reason, and is to be repeated. */
bool refused(intmax_t rc, const char *ops, int error);

/* Abandons the scenario; whether that has happened. */
void give_up(void);
bool given_up(void);

/* Whether it is this symbol that fails. */
bool breaks(enum symbol symbol);

/* Whether what fails goes on failing. */
bool lasting(void);

/* A timeout in seconds that only passes where something was lost: short in
 * FOREVER, where that is what happens. */
double patience(void);

/* --- things that the scenario has to wake or end ----------------------- */

/* Interrupted when the scenario is given up, until it is closed by
 * t_close. NULL is fine. Returns s. */
krait_sock *watch(krait_sock *s);
void t_close(krait_sock *s);

/* A socket that is no longer the scenario's own. */
void unwatch(krait_sock *s);

/* The same for servers: cancelled. */
krait_server *watch_server(krait_server *server);
void t_server_close(krait_server *server);

/* The same for a fiber, until it ends: it is cancelled, and so should not be
 * who joins others. t_join tells its result; -1 for no fiber. */
krait_fiber *t_spawn(int (*fn)(void *), void *arg,
                     const krait_spawn_options *options);
int t_join(krait_fiber *f);

/* A thread of the scenario's. */
struct party {
    void (*run)(void *arg);
    void *arg;
    pthread_t thread;
    atomic_bool done;
};

void start(struct party *party, void (*run)(void *arg), void *arg);
void join(struct party *party);

/* Waits until the library has called `symbol` more than `before` times, or the
 * party is done. */
void wait_for_call(struct party *party, enum symbol symbol, unsigned before);

/* --- calls, made again where that is right ----------------------------- */

/* Each gives up and returns NULL, -1 or false where it fails for good. */
krait_sock *t_socket(int family, int type);
krait_sock *t_listener(int family, int type, krait_addr at);
krait_sock *t_accept(krait_sock *listener);
krait_sock *t_connected(int family, int type, krait_addr to);
bool t_pair(int type, krait_sock *pair[2]);
krait_addr t_sockname(krait_sock *s);
bool t_timeout(krait_sock *s, double seconds);
bool t_send(krait_sock *s, const void *buf, size_t len);
ssize_t t_recv(krait_sock *s, void *buf, size_t len, int flags);

/* Bytes that tell their place, to see that none is lost, doubled or moved. */
unsigned char pattern(size_t at);
void fill_pattern(unsigned char *buf, size_t from, size_t len);
bool is_pattern(const unsigned char *buf, size_t from, size_t len);

/* --- the C library, behind the faults ---------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void __real_free(void *block);
int __real_socket(int family, int type, int proto);
int __real_socketpair(int family, int type, int proto, int fd[2]);
int __real_bind(int fd, const struct sockaddr *sa, socklen_t len);
int __real_listen(int fd, int backlog);
int __real_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags);
int __real_connect(int fd, const struct sockaddr *sa, socklen_t len);
ssize_t __real_recvfrom(int fd, void *buf, size_t len, int flags,
                        struct sockaddr *sa, socklen_t *alen);
ssize_t __real_sendto(int fd, const void *buf, size_t len, int flags,
                      const struct sockaddr *sa, socklen_t alen);
int __real_shutdown(int fd, int how);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __real_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t len);
int __real_getsockname(int fd, struct sockaddr *sa, socklen_t *len);
int __real_getpeername(int fd, struct sockaddr *sa, socklen_t *len);
int __real_fcntl(int fd, int cmd, ...);
int __real_ioctl(int fd, unsigned long what, ...);
int __real_close(int fd);
int __real_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *left,
                 const sigset_t *mask);
int __real_eventfd(unsigned value, int flags);
int __real_eventfd_read(int fd, eventfd_t *value);
int __real_eventfd_write(int fd, eventfd_t value);
int __real_getaddrinfo(const char *host, const char *service,
                       const struct addrinfo *hints, struct addrinfo **found);
unsigned __real_if_nametoindex(const char *name);
char *__real_if_indextoname(unsigned index, char *name);
FILE *__real_fopencookie(void *cookie, const char *mode,
                         cookie_io_functions_t io);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg);
int __real_pthread_key_create(pthread_key_t *key, void (*end)(void *));
int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __real_pthread_attr_init(pthread_attr_t *attr);
int __real_open(const char *path, int flags, ...);
int __real_flock(int fd, int what);
int __real_lstat(const char *path, struct stat *st);
int __real_unlink(const char *path);
void *__real_mmap(void *at, size_t size, int prot, int flags, int fd,
                  off_t offset);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_reallocarray(void *block, size_t count, size_t size);

#ifndef TORTURE_STANDS_BETWEEN
#pragma GCC poison malloc calloc realloc free strdup socket socketpair bind
#pragma GCC poison listen accept accept4 connect recv recvfrom send sendto
#pragma GCC poison shutdown getsockopt setsockopt getsockname getpeername fcntl
#pragma GCC poison close ppoll eventfd eventfd_read eventfd_write getaddrinfo
#pragma GCC poison fopencookie pthread_create pthread_key_create lstat
#pragma GCC poison open flock unlink aligned_alloc reallocarray mmap poll
#pragma GCC poison madvise syscall
#endif

#endif
