/* SPDX-License-Identifier: MIT
 *
 * torture_verdict.c - what a scenario says of what it saw, and what must hold
 * when it has ended: nothing open, nothing allocated, no thread, no file.
 *
 * A failure is clean where errno tells the cause, krait_errno() agrees, and
 * krait_errmsg() names the operation. The cause is the fault's own, if the
 * fault struck in the thread of the call; elsewhere it may be what the other
 * side's end looks like.
 */
#include "torture.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <time.h>

/* In the build with AddressSanitizer: leaks that the library's own
 * allocations don't show, such as a FILE's. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static const struct point *point;

/* --- complaints -------------------------------------------------------- */

void violation(const char *format, ...)
{
    char name[256], what[1024];
    va_list args;

    point_name(point, name, sizeof name);
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    dprintf(STDERR_FILENO, "torture: %s: %s\n", name, what);
    _exit(1);
}

void require(bool holds, const char *what)
{
    if (!holds)
        violation("%s; last failure: %s", what, krait_errmsg());
}

/* Whether the message begins with one of "bind|socket", and goes on. */
static bool names_one_of(const char *message, const char *ops)
{
    while (*ops) {
        size_t len = strcspn(ops, "|");
        const char *cause = strstr(message, ": ");

        if (strncmp(message, ops, len) == 0 &&
            (message[len] == ' ' || message[len] == ':') && cause &&
            strlen(cause) > 3)
            return true;
        ops += len + (ops[len] == '|');
    }
    return false;
}

static void check_message(const char *ops, int error)
{
    const char *message = krait_errmsg();

    if (error == 0 || error != krait_errno())
        violation("%s failed with errno %d, krait_errno() is %d (%s)", ops,
                  error, krait_errno(), message);
    if (!names_one_of(message, ops) || strstr(message, "Success") ||
        strstr(message, "Unknown error"))
        violation("%s failed, and krait_errmsg() is \"%s\"", ops, message);
}

/* The errno that a fault should turn up as. */
static int errno_for(const struct fault *fault)
{
    if (fault->symbol == S_PTHREAD_CREATE)
        return ENOMEM; /* EAGAIN would read as "would have to wait" */
    if (fault->symbol != S_GETADDRINFO)
        return fault->code;
    if (fault->code == EAI_MEMORY)
        return ENOMEM;
    return fault->code == EAI_SYSTEM ? EMFILE : EHOSTUNREACH;
}

/* ... and perhaps is told as. */
static bool may_be_told(const struct fault *fault, int error)
{
    if (fault->symbol == S_PTHREAD_CREATE && error == fault->code)
        return true; /* the workers' and the watchdog's: as documented */
    if (fault->symbol == S_URING_INIT && fault->code != EMFILE &&
        fault->code != ENOMEM)
        return error == ENOTSUP;
    return error == errno_for(fault);
}

/* Names are also asked for while a message is made of another failure. */
static bool is_of_message(const struct fault *fault, const char *ops)
{
    return (fault->symbol == S_GETPEERNAME || fault->symbol == S_GETSOCKNAME) &&
           !strstr(ops, symbol_names[fault->symbol]);
}

static void check_cause(const struct fault *fault, const char *ops, int error)
{
    unsigned flags = point->scenario->flags;

    if (fault->duty == MUST_HIDE && !(error == EINTR && (flags & HOOKED)) &&
        (error == fault->code || point->mode == RETRY))
        violation("%s: this should have been got over: %s", ops,
                  krait_errmsg());
    if ((flags & ANY_CAUSE) || fault->duty != REPORT ||
        is_of_message(fault, ops) || (error == ECANCELED && given_up()))
        return;
    if (error != errno_for(fault))
        violation("%s: the cause was lost: %s", ops, krait_errmsg());
    if (fault->symbol == S_GETADDRINFO && error == EHOSTUNREACH &&
        krait_erreai() != fault->code)
        violation("%s: krait_erreai() is %d: %s", ops, krait_erreai(),
                  krait_errmsg());
}

/* Of fibers nobody knows whom a fault has struck, only which it was. */
static void check_fibers_cause(const char *ops, int error)
{
    const struct fault *fault = point->fault;

    if (given_up() || (lasting() && error == ETIMEDOUT))
        return;
    if (fault->duty == MUST_HIDE)
        violation("%s: this should have been got over: %s", ops,
                  krait_errmsg());
    if (!may_be_told(fault, error))
        violation("%s: the cause was lost: %s", ops, krait_errmsg());
}

/* --- giving up --------------------------------------------------------- */

/* More than any scenario has open at a time. */
enum { WATCHED = 64, WATCHED_FIBERS = 512 };

static pthread_mutex_t watching = PTHREAD_MUTEX_INITIALIZER;
static krait_sock *watched[WATCHED];
static krait_fiber *watched_fibers[WATCHED_FIBERS];
static krait_server *watched_server;
static atomic_bool gone;

/* How often this thread has tried again: the fault strikes once. */
static _Thread_local int tries;

void give_up(void)
{
    pthread_mutex_lock(&watching);
    atomic_store(&gone, true);
    for (int i = 0; i < WATCHED; i++)
        if (watched[i])
            krait_interrupt(watched[i]);
    for (int i = 0; i < WATCHED_FIBERS; i++)
        if (watched_fibers[i])
            krait_cancel(watched_fibers[i]);
    if (watched_server)
        krait_server_cancel(watched_server);
    pthread_mutex_unlock(&watching);
}

bool given_up(void)
{
    return atomic_load(&gone);
}

/* On a slow machine short patience may be over before anything fails. */
static bool out_of_patience(int error)
{
    return given_up() || (lasting() && error == ETIMEDOUT);
}

/* What can be said of every failure; the fault behind it, if it is known. */
static const struct fault *check_failure(const char *ops)
{
    int error = errno;
    const struct fault *fault = fault_taken();

    check_message(ops, error);
    if (!fault_fired() && !out_of_patience(error))
        violation("%s failed although nothing was made to fail: %s", ops,
                  krait_errmsg());
    if (point->scenario->flags & FIBERS)
        check_fibers_cause(ops, error);
    else if (fault)
        check_cause(fault, ops, error);
    return fault;
}

/* In fibers: one fault may end what many wait for. */
static bool again_in_fibers(const char *ops)
{
    static const unsigned all_of_them = 2000;
    static atomic_uint told;

    if (point->mode == RETRY && !given_up()) {
        if (atomic_fetch_add(&told, 1) > all_of_them)
            violation("%s fails again and again: %s", ops, krait_errmsg());
        return true;
    }
    give_up();
    return false;
}

bool again(const char *ops)
{
    const struct fault *fault = check_failure(ops);

    if (point->scenario->flags & FIBERS)
        return again_in_fibers(ops);

    if (fault && point->mode == RETRY && tries++ == 0)
        return true;
    if (fault && point->mode == RETRY)
        violation("%s fails again: %s", ops, krait_errmsg());
    if (point->mode == RETRY && !given_up())
        violation("%s failed where nothing was made to fail: %s", ops,
                  krait_errmsg());
    give_up();
    return false;
}

void stop(const char *ops)
{
    check_failure(ops);
    give_up();
}

bool refused(intmax_t rc, const char *ops, int error)
{
    if (given_up())
        return true;
    if (rc >= 0)
        violation("%s succeeded, where \"%s\" was to be expected", ops,
                  strerror(error));
    if (errno != error)
        return !again(ops);
    check_message(ops, error);
    return true;
}

bool breaks(enum symbol symbol)
{
    return point->fault && point->fault->symbol == symbol;
}

bool lasting(void)
{
    return point->mode == FOREVER;
}

double patience(void)
{
    return lasting() ? 0.15 : 6; /* less than what counts as hanging */
}

/* --- watching ---------------------------------------------------------- */

krait_sock *watch(krait_sock *s)
{
    int i;

    if (!s)
        return NULL;
    pthread_mutex_lock(&watching);
    for (i = 0; i < WATCHED && watched[i]; i++)
        ;
    require(i < WATCHED, "the scenario opens more than WATCHED sockets");
    watched[i] = s;
    if (given_up())
        krait_interrupt(s);
    pthread_mutex_unlock(&watching);
    return s;
}

void unwatch(krait_sock *s)
{
    pthread_mutex_lock(&watching);
    for (int i = 0; i < WATCHED; i++)
        if (watched[i] == s)
            watched[i] = NULL;
    pthread_mutex_unlock(&watching);
}

void t_close(krait_sock *s)
{
    if (!s)
        return;
    unwatch(s);
    if (krait_close(s) < 0)
        check_failure("close");
}

krait_server *watch_server(krait_server *server)
{
    pthread_mutex_lock(&watching);
    watched_server = server;
    if (server && given_up())
        krait_server_cancel(server);
    pthread_mutex_unlock(&watching);
    return server;
}

void t_server_close(krait_server *server)
{
    watch_server(NULL);
    require(krait_server_close(server) == 0, "krait_server_close failed");
}

/* --- fibers ------------------------------------------------------------ */

/* `before` becomes `after`. */
static void note_fiber(krait_fiber *before, krait_fiber *after)
{
    int i;

    pthread_mutex_lock(&watching);
    for (i = 0; i < WATCHED_FIBERS && watched_fibers[i] != before; i++)
        ;
    require(i < WATCHED_FIBERS, "the scenario has too many fibers");
    watched_fibers[i] = after;
    if (after && given_up())
        krait_cancel(after);
    pthread_mutex_unlock(&watching);
}

/* More than any scenario starts. */
static struct task {
    int (*fn)(void *);
    void *arg;
} tasks[2 * WATCHED_FIBERS];

static atomic_uint task_count;

/* On the list while it lives. */
static int task_main(void *arg)
{
    const struct task *task = arg;
    krait_fiber *self = krait_self();
    int result;

    note_fiber(NULL, self);
    result = task->fn(task->arg);
    note_fiber(self, NULL);
    return result;
}

krait_fiber *t_spawn(int (*fn)(void *), void *arg,
                     const krait_spawn_options *options)
{
    unsigned n = atomic_fetch_add(&task_count, 1);
    krait_fiber *f;

    require(n < sizeof tasks / sizeof *tasks, "too many fibers are started");
    tasks[n] = (struct task){fn, arg};
    do
        f = krait_spawn(task_main, &tasks[n], options);
    while (!f && again("spawn"));
    return f;
}

/* Joining takes no memory, and nothing that can fail. */
int t_join(krait_fiber *f)
{
    int result = -1;

    if (!f)
        return -1;
    require(krait_join(f, &result) == 0, "a fiber can't be joined");
    return result;
}

/* --- threads ----------------------------------------------------------- */

static void *party_main(void *arg)
{
    struct party *party = arg;

    party->run(party->arg);
    atomic_store(&party->done, true);
    return NULL;
}

void start(struct party *party, void (*run)(void *arg), void *arg)
{
    party->run = run;
    party->arg = arg;
    atomic_init(&party->done, false);
    require(__real_pthread_create(&party->thread, NULL, party_main, party) == 0,
            "no thread for the scenario");
}

void join(struct party *party)
{
    pthread_join(party->thread, NULL);
}

/* Between two looks at something, never instead of looking. */
static void nap(void)
{
    static const struct timespec moment = {0, 200 * 1000};

    nanosleep(&moment, NULL);
}

void wait_for_call(struct party *party, enum symbol symbol, unsigned before)
{
    while (calls_of(symbol) <= before && !atomic_load(&party->done))
        nap();
}

/* --- what is left ------------------------------------------------------ */

static unsigned entries(const char *folder)
{
    DIR *d = opendir(folder);
    unsigned n = 0;

    require(d, "a folder can't be read");
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static unsigned fds_before, threads_before;

/* A thread that was joined, or a lookup that was left behind, takes a moment
 * to go; a leak stays. */
static void look_for_leaks(void)
{
    static const int naps = 25000; /* 5 s */
    unsigned fds = 0, threads = 0;

    for (int i = 0; i < naps; i++) {
        fds = entries("/proc/self/fd");
        threads = entries("/proc/self/task");
        if (fds == fds_before && threads == threads_before &&
            allocations() == 0)
            return;
        nap();
    }
    violation("left behind: %d fds, %d threads, %ld allocations",
              (int)fds - (int)fds_before, (int)threads - (int)threads_before,
              allocations());
}

/* A socket file may stay where it could not be looked at, or removed. */
static void look_for_files(void)
{
    if (!given_up() && !breaks(S_UNLINK) && !breaks(S_LSTAT) &&
        entries(".") > 0)
        violation("left behind: a file");
}

static void no_log(void *arg, const char *line)
{
    (void)arg;
    require(*line, "the library logged an empty line");
}

static void run_scenario(void *unused)
{
    (void)unused;
    point->scenario->run();
}

static void note_thread(void *tid)
{
    *(pid_t *)tid = gettid();
}

/* With the first thread a sanitizer may start one of its own, which stays;
 * ours is waited for until the kernel has forgotten it. */
static void warm_up(void)
{
    struct party party;
    pid_t tid;

    start(&party, note_thread, &tid);
    join(&party);
    while (tgkill(getpid(), tid, 0) == 0)
        nap();
}

void run_point(const struct point *what, struct tally *tally)
{
    struct party party;

    point = what;
    warm_up();
    fds_before = entries("/proc/self/fd");
    threads_before = entries("/proc/self/task");
    krait_set_log(no_log, NULL);
    faults_arm(point, tally);
    /* In a thread, so that what the library keeps for a thread goes too. */
    start(&party, run_scenario, NULL);
    join(&party);
    look_for_leaks();
    if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
        violation("LeakSanitizer found a leak");
    look_for_files();
}
