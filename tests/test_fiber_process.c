/* SPDX-License-Identifier: MIT
 *
 * test_fiber_process.c - fibers where a process of its own is at stake: stacks
 * that overflow, forks, exits, what the kernel refuses, the watchdog.
 *
 * Each test forks a child, whose run-time and limits are its own; what it finds
 * wrong it says on stderr, which its parent reads, and leaves with 1. The
 * parent has no run-time and no other threads then.
 *
 * ctest: timeout=120
 */
#include "fiber_support.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <krait/sync.h>

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

/* --- children ------------------------------------------------------------ */

/* In a child: says what is not so, and leaves. */
#define need(good) need_that((good), #good, __LINE__)

static void need_that(bool good, const char *what, int line)
{
    if (good)
        return;
    dprintf(STDERR_FILENO, "line %d: not so: %s (errno %d, %s)\n", line, what,
            errno, krait_errmsg());
    _exit(1);
}

struct ended {
    int status;
    char text[4096]; /* its stderr */
};

/* `beside`, if any, is called in the parent once the child runs. */
static struct ended run_child_beside(int (*child)(const struct setting *),
                                     const struct setting *setting,
                                     void (*beside)(void *), void *arg)
{
    struct ended e = {.status = -1};
    size_t len = 0;
    int fds[2];
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};

        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL); /* cmocka's handler would go on here */
        dup2(fds[1], STDERR_FILENO);
        alarm(TEST_SECONDS); /* a fork has no alarm of its own */
        _exit(child(setting));
    }
    close(fds[1]);
    if (beside)
        beside(arg);
    while ((n = read(fds[0], e.text + len, sizeof e.text - 1 - len)) > 0)
        len += (size_t)n;
    close(fds[0]);
    assert_int_equal(waitpid(pid, &e.status, 0), pid);
    return e;
}

static struct ended run_child(int (*child)(const struct setting *),
                              const struct setting *setting)
{
    return run_child_beside(child, setting, NULL, NULL);
}

/* What a child leaves with where the machine lacks the engine. */
enum { LACKS_ENGINE = 77 };

static void check_child(void **state, int (*child)(const struct setting *))
{
    struct ended e = run_child(child, setting_of(state));

    if (WIFEXITED(e.status) && WEXITSTATUS(e.status) == LACKS_ENGINE)
        skip_because("this machine lacks the engine");
    /* AddressSanitizer warns of a forked fiber's stack, which it takes for the
     * thread's. What is wrong is told by the status. */
    if (WIFEXITED(e.status) && WEXITSTATUS(e.status) == 0 &&
        (!e.text[0] || UNDER_ASAN))
        return;
    fail_msg("the child left with status %#x and said: %s", e.status, e.text);
}

static int run_options(int (*body)(void *), void *arg,
                       const krait_run_options *o)
{
    int rc = krait_run(body, arg, o);

    if (rc == -1 && krait_errno() == ENOTSUP)
        _exit(LACKS_ENGINE);
    return rc;
}

static enum krait_engine same; /* for the run-time of a child's child */

static int run_in(const struct setting *setting, int (*body)(void *), void *arg)
{
    krait_run_options o = options_of(setting);

    same = setting->engine;
    return run_options(body, arg, &o);
}

/* --- stacks that overflow ------------------------------------------------ */

static void needs_plain_faults(void)
{
    if (UNDER_ASAN || UNDER_TSAN || under_valgrind())
        skip_because("the instrument handles SIGSEGV, or does not fault");
}

static atomic_int depth;

/* Not a tail call, and its frame is used. */
__attribute__((noinline)) static int fall_in_small_steps(int n)
{
    volatile char frame[200];

    atomic_store(&depth, n);
    frame[n % 200] = (char)n;
    if (n < 0)
        return 0;
    return fall_in_small_steps(n + 1) + frame[(n + 1) % 200];
}

__attribute__((noinline)) static int fall_in_large_steps(int n)
{
    volatile char frame[32 << 10];

    atomic_store(&depth, n);
    frame[0] = (char)n; /* the far end first */
    if (n < 0)
        return 0;
    return fall_in_large_steps(n + 1) + frame[n % 100];
}

static int fall(void *large)
{
    return large ? fall_in_large_steps(0) : fall_in_small_steps(0);
}

static int sleep_on(void *unused)
{
    (void)unused;
    return krait_sleep(KRAIT_FOREVER);
}

/* Others are there, above and below it, on the same worker and on others. */
static int make_one_fall(void *large)
{
    int workers = atomic_load(&krait__runtime)->nworkers;
    krait_spawn_options o = {.worker = workers, .name = "abyss"};

    for (int i = 0; i < 20; i++) {
        if (i == 10)
            krait_release(krait_spawn(fall, large, &o));
        else
            krait_release(spawn_at(1 + i % workers, sleep_on, NULL));
    }
    return krait_sleep(KRAIT_FOREVER);
}

static int overflow_slowly(const struct setting *setting)
{
    return run_in(setting, make_one_fall, NULL);
}

static int overflow_at_once(const struct setting *setting)
{
    static int yes;

    return run_in(setting, make_one_fall, &yes);
}

static int overflow_at_first(const struct setting *setting)
{
    return run_in(setting, fall, NULL);
}

static void expect_sigsegv(struct ended e)
{
    if (WIFEXITED(e.status) && WEXITSTATUS(e.status) == LACKS_ENGINE)
        skip_because("this machine lacks the engine");
    if (!WIFSIGNALED(e.status) || WTERMSIG(e.status) != SIGSEGV)
        fail_msg("status %#x and said: %s", e.status, e.text);
}

static void expect_overflow(struct ended e, const char *name, int worker)
{
    char wanted[100];

    expect_sigsegv(e);
    snprintf(wanted, sizeof wanted,
             "krait: fiber \"%s\" of worker %d has overflowed its stack of ",
             name, worker);
    assert_contains(e.text, wanted);
    assert_ptr_equal(strchr(e.text, '\n'), e.text + strlen(e.text) - 1);
}

static void test_an_overflow_names_the_fiber_and_dies_by_sigsegv(void **state)
{
    int last = setting_of(state)->workers;

    needs_plain_faults();
    expect_overflow(run_child(overflow_slowly, setting_of(state)), "abyss",
                    last);
    expect_overflow(run_child(overflow_at_once, setting_of(state)), "abyss",
                    last);
    expect_overflow(run_child(overflow_at_first, setting_of(state)), "main", 1);
}

static int read_nothing(void *unused)
{
    int *forbidden =
        mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)unused;
    return forbidden == MAP_FAILED ? 0 : *(volatile int *)forbidden;
}

static int kill_myself(void *unused)
{
    (void)unused;
    return raise(SIGSEGV);
}

static int follow_a_bad_pointer(const struct setting *setting)
{
    return run_in(setting, read_nothing, NULL);
}

static int be_sent_sigsegv(const struct setting *setting)
{
    return run_in(setting, kill_myself, NULL);
}

static void test_other_faults_are_not_called_overflows(void **state)
{
    struct ended e;

    needs_plain_faults();
    e = run_child(follow_a_bad_pointer, setting_of(state));
    expect_sigsegv(e);
    assert_string_equal(e.text, "");
    e = run_child(be_sent_sigsegv, setting_of(state));
    expect_sigsegv(e);
    assert_string_equal(e.text, "");
}

static void my_handler(int signo)
{
    (void)signo;
    dprintf(STDERR_FILENO, "mine");
    _exit(3);
}

static void handle_sigsegv_myself(void)
{
    struct sigaction mine = {.sa_handler = my_handler, .sa_flags = SA_ONSTACK};

    sigaction(SIGSEGV, &mine, NULL);
}

static bool sigsegv_is(void (*handler)(int))
{
    struct sigaction now_is;

    need(sigaction(SIGSEGV, NULL, &now_is) == 0);
    return now_is.sa_handler == handler;
}

static int fall_with_my_handler(void *unused)
{
    need(sigsegv_is(my_handler));
    return make_one_fall(unused);
}

static int overflow_into_my_handler(const struct setting *setting)
{
    handle_sigsegv_myself();
    return run_in(setting, fall_with_my_handler, NULL);
}

static void test_a_programs_own_handler_is_left_alone(void **state)
{
    struct ended e;

    needs_plain_faults();
    e = run_child(overflow_into_my_handler, setting_of(state));
    if (WIFEXITED(e.status) && WEXITSTATUS(e.status) == LACKS_ENGINE)
        skip_because("this machine lacks the engine");
    assert_true(WIFEXITED(e.status) && WEXITSTATUS(e.status) == 3);
    assert_string_equal(e.text, "mine");
}

static int look_at_default(void *unused)
{
    stack_t stack;

    (void)unused;
    need(!sigsegv_is(SIG_DFL));
    need(sigaltstack(NULL, &stack) == 0 && !(stack.ss_flags & SS_DISABLE));
    return 0;
}

static int look_at_kept(void *unused)
{
    stack_t stack;

    (void)unused;
    need(sigsegv_is(SIG_DFL));
    need(sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_DISABLE));
    return 0;
}

static int install_mine(void *unused)
{
    (void)unused;
    handle_sigsegv_myself();
    return 0;
}

static int handle_in_turn(const struct setting *setting)
{
    krait_run_options o = options_of(setting);
    stack_t stack;

    need(run_options(look_at_default, NULL, &o) == 0);
    need(sigsegv_is(SIG_DFL));
    need(sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_DISABLE));
    o.keep_sigsegv = 1;
    need(run_options(look_at_kept, NULL, &o) == 0);
    o.keep_sigsegv = 0;
    need(run_options(install_mine, NULL, &o) == 0);
    need(sigsegv_is(my_handler)); /* what was set meanwhile stays */
    return 0;
}

static void test_sigsegv_is_as_it_was_afterwards(void **state)
{
    needs_plain_faults(); /* the instruments have a handler and a stack */
    check_child(state, handle_in_turn);
}

/* --- stacks that do not -------------------------------------------------- */

static int compare_numbers(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static int use_the_c_library(void *unused)
{
    char text[512];
    int numbers[1000], digits = 300;
    unsigned seed = 5;
    FILE *f;

    (void)unused;
    see(snprintf(text, sizeof text, "%.*f", digits, 1.0 / 3) == digits + 2);
    see(snprintf(text, sizeof text, "%Lg %a %s", 1.5L, 0.5, "x") > 0);
    for (size_t i = 0; i < COUNT(numbers); i++)
        numbers[i] = rand_r(&seed) % 1000;
    qsort(numbers, COUNT(numbers), sizeof *numbers, compare_numbers);
    for (size_t i = 1; i < COUNT(numbers); i++)
        see(numbers[i - 1] <= numbers[i]);
    f = tmpfile();
    see(f && fprintf(f, "%.*f\n", digits, 1e200) > digits);
    see(f && fclose(f) == 0);
    return 0;
}

__attribute__((noinline)) static int go_down(int levels)
{
    volatile char frame[1000];

    frame[levels % 1000] = 1;
    if (levels == 0) {
        krait_yield();
        return 0;
    }
    return go_down(levels - 1) + frame[levels % 1000];
}

/* Most of the default stack: 200 KiB and what surrounds the frames. */
static int recurse_deeply(void *unused)
{
    (void)unused;
    return see(go_down(200) == 200);
}

static int use_default_stacks(void *unused)
{
    (void)unused;
    for (int i = 0; i < 30; i++) {
        krait_fiber *f[2];

        f[0] = spawn_at(1 + i % 3, use_the_c_library, NULL);
        f[1] = spawn_at(1 + i % 3, recurse_deeply, NULL);
        joined(f[0]);
        joined(f[1]);
    }
    return 0;
}

static void test_the_default_stack_is_large_enough(void **state)
{
    assert_works(run_fibers(state, use_default_stacks, NULL));
}

/* --- the watchdog -------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    char lines[1000];
    atomic_int count;
} said = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Of the one fiber only: on a loaded machine any other may be kept from its CPU
 * for so long that it is named, and rightly. */
static void keep_line(void *arg, const char *line)
{
    size_t len;

    need(arg == &said);
    if (!strstr(line, "\"hog\""))
        return;
    pthread_mutex_lock(&said.lock);
    len = strlen(said.lines);
    snprintf(said.lines + len, sizeof said.lines - len, "%s\n", line);
    pthread_mutex_unlock(&said.lock);
    atomic_fetch_add(&said.count, 1);
}

static void compute_for_lines(int lines, double seconds)
{
    double end = now() + PATIENCE, at_least = now() + seconds;

    while (atomic_load(&said.count) < lines || now() < at_least)
        need(now() < end);
}

static atomic_long progress;

static int progress_slowly(void *unused)
{
    (void)unused;
    while (krait_sleep(0.001) == 0)
        atomic_fetch_add(&progress, 1);
    return 0;
}

static int hog_the_worker(void *unused)
{
    long before;
    krait_stats s;

    (void)unused;
    compute_for_lines(1, 0);
    need(krait_runtime_stats(&s) == 0 && s.stalls >= 1);
    before = atomic_load(&progress);
    compute_for_lines(1, 0.4); /* named once */
    need(atomic_load(&said.count) == 1);
    if (s.workers > 1)
        need(atomic_load(&progress) > before);
    need(krait_sleep(0.3) == 0); /* who waits is not named */
    need(atomic_load(&said.count) == 1);
    compute_for_lines(2, 0); /* again is again */
    need(krait_runtime_stats(&s) == 0 && s.stalls >= 2);
    return 0;
}

static int be_watched(void *unused)
{
    krait_fiber *f;

    (void)unused;
    krait_release(spawn_at(2, progress_slowly, NULL));
    f = krait_spawn(hog_the_worker, NULL,
                    &(krait_spawn_options){.name = "hog"});
    need(krait_join(f, NULL) == 0);
    return 0;
}

static int watch_fibers(const struct setting *setting)
{
    krait_run_options o = options_of(setting);

    o.watchdog = 0.1;
    krait_set_log(keep_line, &said);
    need(run_options(be_watched, NULL, &o) == 0);
    need(strstr(said.lines, "fiber \"hog\" has kept worker 1 for "));
    need(atomic_load(&said.count) == 2);
    /* And it ends with the run-time, however patient it is. */
    o.watchdog = KRAIT_FOREVER;
    need(run_options(use_the_c_library, NULL, &o) == 0);
    need(atomic_load(&said.count) == 2);
    return 0;
}

static void test_the_watchdog_names_who_computes(void **state)
{
    if (under_valgrind())
        skip_because("Valgrind runs one thread at a time");
    check_child(state, watch_fibers);
}

/* --- forks --------------------------------------------------------------- */

static int read_forever(void *sock)
{
    char byte;

    return (int)krait_recv(sock, &byte, 1, 0);
}

/* Valgrind knows no pidfd_open(2), which krait_wait_child waits with. */
static int status_of(pid_t pid)
{
    double end = now() + PATIENCE;
    int status = -1;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        need(now() < end);
        nap(0.001);
    }
    return status;
}

static int run_again(void *arg)
{
    krait_fiber *f;
    int result = 0;

    need(krait_self() != NULL && krait_worker() == 1);
    f = spawn_at(2, read_forever, arg);
    need(until_parked(f));
    need(krait_cancel(f) == 0);
    need(krait_join(f, &result) == 0 && result == -1);
    return 12;
}

/* What is left in the child: a plain thread, on a fiber's stack. */
static void be_a_plain_thread(krait_fiber *parents, krait_sock *pair[2])
{
    krait_run_options o = {.workers = UNDER_TSAN ? 1 : 2, .engine = same};
    krait_sock *own_pair[2];
    krait_deadline d;
    krait_stats s;
    char byte;

    need(krait_self() == NULL);
    need(krait_worker() == 0);
    need(krait_cancelled() == 0);
    need(strcmp(krait_engine_name(), "poll") == 0);
    need(krait_spawn(sleep_on, NULL, NULL) == NULL && errno == ESRCH);
    need(krait_join(parents, NULL) == -1 && errno == ESRCH);
    need(krait_cancel(parents) == -1 && errno == ESRCH);
    krait_release(parents);
    need(krait_runtime_stats(&s) == -1 && errno == ESRCH);
    krait_yield();
    need(krait_sleep(0.001) == 0);
    need(krait_settimeout(pair[0], 0.01) == 0);
    need(krait_recv(pair[0], &byte, 1, 0) == -1 && errno == ETIMEDOUT);
    need(krait_socketpair(AF_UNIX, SOCK_STREAM, 0, own_pair) == 0);
    need(krait_sendall(own_pair[1], "x", 1, 0) == 0);
    need(krait_recv(own_pair[0], &byte, 1, 0) == 1);
    need(krait_deadline_begin(&d, 100) == 0);
    need(krait_run(run_again, own_pair[0], &o) == 12);
    need(krait_deadline_left() <= 100); /* it is in the scope still */
    need(krait_deadline_end(&d) == 0);
    need(krait_self() == NULL);
    need(krait_close(own_pair[0]) == 0 && krait_close(own_pair[1]) == 0);
}

struct forking {
    krait_sock *pair[2], *childs[2];
};

static int fork_and_return(void *arg)
{
    struct forking *f = arg;
    krait_fiber *reader = spawn_at(2, read_forever, f->pair[0]);
    int status = -1;
    pid_t pid;

    need(until_parked(reader));
    pid = fork();
    need(pid >= 0);
    if (pid == 0) {
        be_a_plain_thread(reader, f->childs);
        return 9; /* which ends the process */
    }
    status = status_of(pid);
    need(WIFEXITED(status) && WEXITSTATUS(status) == 9);
    /* Who waited meanwhile was left alone. */
    need(krait__fiber_waits(reader));
    need(krait_sendall(f->pair[1], "x", 1, 0) == 0);
    status = -1;
    need(krait_join(reader, &status) == 0 && status == 1);
    return 4;
}

static int fork_in_fibers(void *arg)
{
    struct forking *f = arg;
    int result = -1;

    for (int worker = 1; worker <= 2; worker++) {
        need(krait_join(spawn_at(worker, fork_and_return, f), &result) == 0);
        need(result == 4);
    }
    return 0;
}

static int fork_a_fiber(const struct setting *setting)
{
    struct forking f;

    need(krait_socketpair(AF_UNIX, SOCK_STREAM, 0, f.pair) == 0);
    need(krait_socketpair(AF_UNIX, SOCK_STREAM, 0, f.childs) == 0);
    need(run_in(setting, fork_in_fibers, &f) == 0);
    for (int i = 0; i < 2; i++) {
        need(krait_close(f.pair[i]) == 0);
        need(krait_close(f.childs[i]) == 0);
    }
    return 0;
}

static void test_a_forked_fiber_is_a_plain_thread(void **state)
{
    if (under_valgrind())
        skip_because("Valgrind takes what the parent's other threads hold for "
                     "lost in the child");
    check_child(state, fork_a_fiber);
}

static krait_sem units;

static int take_a_unit(void *unused)
{
    (void)unused;
    return krait_sem_wait(&units, KRAIT_FOREVER);
}

/* Whoever waits there is in the child's memory, too, but not in the child. */
static int give_units_in_a_child(void *unused)
{
    krait_fiber *waiter[3];
    int status = -1;
    pid_t pid;

    (void)unused;
    for (int i = 0; i < 3; i++) {
        waiter[i] = spawn_at(i + 1, take_a_unit, NULL);
        need(until_parked(waiter[i]));
    }
    pid = fork();
    need(pid >= 0);
    for (int i = 0; i < 3; i++)
        need(krait_sem_post(&units) == 0);
    if (pid == 0)
        _exit(krait_sem_wait(&units, 0) == -1 && errno == EAGAIN ? 3 : 1);
    need(krait_wait_child(pid, &status, KRAIT_FOREVER) == 0);
    need(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    for (int i = 0; i < 3; i++)
        need(krait_join(waiter[i], &status) == 0 && status == 0);
    return 0;
}

static int fork_beside_waiters(const struct setting *setting)
{
    return run_in(setting, give_units_in_a_child, NULL);
}

static void test_a_forked_child_may_give_what_fibers_waited_for(void **state)
{
    check_child(state, fork_beside_waiters);
}

static int fork_in_main(void *unused)
{
    int status = -1;
    pid_t pid = fork();

    (void)unused;
    need(pid >= 0);
    if (pid == 0)
        return 300 + 11;
    status = status_of(pid);
    need(WIFEXITED(status) && WEXITSTATUS(status) == 300 + 11 - 256);
    return 0;
}

static int fork_the_first(const struct setting *setting)
{
    need(run_in(setting, fork_in_main, NULL) == 0);
    return 0; /* once: the child did not come here */
}

static void test_a_forked_first_fiber_ends_its_process(void **state)
{
    check_child(state, fork_the_first);
}

static int fork_and_fall(void *unused)
{
    krait_run_options o = {.workers = 1, .engine = same};
    int status = -1;
    pid_t pid = fork();

    (void)unused;
    need(pid >= 0);
    if (pid == 0)
        return krait_run(make_one_fall, NULL, &o);
    status = status_of(pid);
    need(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    return 0;
}

static int fork_what_falls(const struct setting *setting)
{
    return run_in(setting, fork_and_fall, NULL);
}

static void test_an_overflow_in_a_forked_childs_run_time_is_named(void **state)
{
    struct ended e;

    needs_plain_faults();
    e = run_child(fork_what_falls, setting_of(state));
    if (WIFEXITED(e.status) && WEXITSTATUS(e.status) == LACKS_ENGINE)
        skip_because("this machine lacks the engine");
    assert_true(WIFEXITED(e.status) && WEXITSTATUS(e.status) == 0);
    assert_contains(e.text, "\"abyss\" of worker 1 has overflowed");
}

static void fork_beside(void *arg)
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        need(krait_spawn(sleep_on, NULL, NULL) == NULL && errno == ESRCH);
        need(krait_run(use_the_c_library, NULL,
                       &(krait_run_options){.workers = 1, .engine = same}) ==
             0);
        _exit(7);
    }
    status = status_of(pid);
    need(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    atomic_store((atomic_bool *)arg, true);
}

static int be_forked_beside(void *unused)
{
    static atomic_bool over;
    struct task *task = start_thread(fork_beside, &over);

    (void)unused;
    need(until_set(&over));
    join(task);
    return 0;
}

static int fork_a_thread(const struct setting *setting)
{
    need(run_in(setting, be_forked_beside, NULL) == 0);
    return 0;
}

static void test_a_thread_beside_the_run_time_forks(void **state)
{
    check_child(state, fork_a_thread);
}

/* --- exits --------------------------------------------------------------- */

static int exit_fds[2];

struct shared {
    atomic_long turns, at_exit;
};

static struct shared *shared;

static int take_turns(void *unused)
{
    (void)unused;
    while (!krait_cancelled()) {
        atomic_fetch_add(&shared->turns, 1);
        krait_yield();
    }
    return 0;
}

static void note_turns(void)
{
    atomic_store(&shared->at_exit, atomic_load(&shared->turns));
}

static int exit_with_an_unflushed_file(void *unused)
{
    static const char block[4096];
    krait_sock *s = krait_fd_adopt(exit_fds[1]);
    FILE *f;

    (void)unused;
    need(s != NULL);
    while (krait_send(s, block, sizeof block, MSG_DONTWAIT) > 0)
        ;
    krait_release(krait_spawn(take_turns, NULL, NULL));
    krait_yield();
    f = krait_makefile(s, "w");
    need(f != NULL);
    need(fprintf(f, "the tail") == 8);
    exit(5);
}

static int exit_in_a_fiber(const struct setting *setting)
{
    close(exit_fds[0]);
    atexit(note_turns);
    return run_in(setting, exit_with_an_unflushed_file, NULL);
}

static bool child_is_in_exit(void *unused)
{
    (void)unused;
    return atomic_load(&shared->at_exit) > 0;
}

/* Reads what the child has sent, and on while it is in exit(), to the end. */
static void read_all(void *tail)
{
    char buf[4096];
    size_t len = 0;
    ssize_t n;

    close(disown_fd(exit_fds[1]));
    wait_for(child_is_in_exit, NULL);
    while ((n = read(exit_fds[0], buf, sizeof buf)) > 0) {
        len = (size_t)n < 8 ? (size_t)n : 8;
        memcpy(tail, buf + n - len, len);
    }
}

static void test_exit_in_a_fiber_flushes_without_parking(void **state)
{
    char tail[16] = "";
    struct ended e;

    if (UNDER_ASAN)
        skip_because("LeakSanitizer doesn't look at the stack of a thread that "
                     "exits in a fiber, and calls leaked what that points to");
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, exit_fds), 0);
    own_fd(exit_fds[0]);
    own_fd(exit_fds[1]);
    e = run_child_beside(exit_in_a_fiber, setting_of(state), read_all, tail);
    if (WIFEXITED(e.status) && WEXITSTATUS(e.status) == LACKS_ENGINE) {
        munmap(shared, sizeof *shared);
        skip_because("this machine lacks the engine");
    }
    assert_string_equal(e.text, "");
    assert_true(WIFEXITED(e.status) && WEXITSTATUS(e.status) == 5);
    assert_string_equal(tail, "the tail");
    assert_true(atomic_load(&shared->at_exit) > 0);
    assert_int_equal(atomic_load(&shared->at_exit),
                     atomic_load(&shared->turns));
    munmap(shared, sizeof *shared);
}

static struct {
    krait_sock *pair[2];
    atomic_bool heard;
} talk;

static int hear(void *unused)
{
    char byte;

    (void)unused;
    while (krait_recv(talk.pair[0], &byte, 1, 0) > 0)
        atomic_store(&talk.heard, true);
    return 0;
}

/* In exit(3), in a fiber. */
static void talk_to_another(void)
{
    need(krait_sendall(talk.pair[1], "x", 1, 0) == 0);
    need(until_set(&talk.heard));
    need(krait_sleep(0.001) == 0); /* it hears on, and its worker goes on */
    _exit(6);
}

static int exit_beside_another(void *unused)
{
    krait_fiber *f = krait_spawn(hear, NULL, NULL);

    (void)unused;
    need(until_parked(f));
    exit(5);
}

static int exit_and_talk(const struct setting *setting)
{
    need(krait_socketpair(AF_UNIX, SOCK_STREAM, 0, talk.pair) == 0);
    atexit(talk_to_another);
    need(run_in(setting, exit_beside_another, NULL) == 6);
    return 1;
}

static void test_others_go_on_while_a_fiber_is_in_exit(void **state)
{
    struct ended e = run_child(exit_and_talk, setting_of(state));

    if (WIFEXITED(e.status) && WEXITSTATUS(e.status) == LACKS_ENGINE)
        skip_because("this machine lacks the engine");
    assert_string_equal(e.text, "");
    assert_true(WIFEXITED(e.status) && WEXITSTATUS(e.status) == 6);
}

/* --- what the kernel refuses --------------------------------------------- */

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425 /* on every architecture but alpha */
#endif

static void refuse_io_uring(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K,
                 SECCOMP_RET_ERRNO | ((unsigned)error & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = COUNT(code), .filter = code};

    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
        _exit(LACKS_ENGINE);
}

static const char *refusal; /* what krait_engine_why() must speak of */

static int look_at_the_engine(void *unused)
{
    (void)unused;
    need(strcmp(krait_engine_name(), "epoll") == 0);
    need(strstr(krait_engine_why(), refusal));
    need(krait_sleep(0.001) == 0);
    return 8;
}

static int do_without(int error)
{
    krait_run_options o = {.workers = 2};
    unsigned fds = count_fds();

    refusal = strerror(error);
    refuse_io_uring(error);
    unsetenv("KRAIT_ENGINE");
    need(krait_run(look_at_the_engine, NULL, &o) == 8);
    setenv("KRAIT_ENGINE", "uring", 1);
    need(krait_run(look_at_the_engine, NULL, &o) == -1 && errno == ENOTSUP);
    need(krait_errno() == ENOTSUP && *krait_errmsg());
    setenv("KRAIT_ENGINE", "epoll", 1);
    refusal = "KRAIT_ENGINE";
    need(krait_run(look_at_the_engine, NULL, &o) == 8);
    unsetenv("KRAIT_ENGINE");
    o.engine = KRAIT_ENGINE_URING;
    need(krait_run(look_at_the_engine, NULL, &o) == -1 && errno == ENOTSUP);
    need(count_fds() == fds);
    return 0;
}

static int do_without_permission(const struct setting *unused)
{
    (void)unused;
    return do_without(EPERM);
}

/* What SELinux says. */
static int do_without_access(const struct setting *unused)
{
    (void)unused;
    return do_without(EACCES);
}

static int do_without_the_call(const struct setting *unused)
{
    (void)unused;
    return do_without(ENOSYS);
}

static void test_where_io_uring_is_refused_epoll_does(void **state)
{
    if (under_valgrind())
        skip_because("Valgrind has system calls of its own");
    check_child(state, do_without_permission);
    check_child(state, do_without_access);
    check_child(state, do_without_the_call);
}

static int say_six(void *unused)
{
    (void)unused;
    return 6;
}

static int run_short_of_fds(const struct setting *setting)
{
    unsigned fds = count_fds(), threads = count_threads();
    krait_run_options o = options_of(setting);
    struct rlimit all, few;
    int failures = 0, rc = -1;

    need(getrlimit(RLIMIT_NOFILE, &all) == 0);
    need(run_options(say_six, NULL, &o) == 6);
    for (few = all, few.rlim_cur = 0; rc < 0 && few.rlim_cur < 100;
         few.rlim_cur++) {
        need(setrlimit(RLIMIT_NOFILE, &few) == 0);
        rc = krait_run(say_six, NULL, &o);
        need(rc == 6 || (rc == -1 && errno == EMFILE));
        failures += rc < 0;
        need(setrlimit(RLIMIT_NOFILE, &all) == 0);
        need(count_fds() == fds);
        need(wait_for(threads_are_back, &threads));
    }
    need(rc == 6);
    need(failures >= 2 * setting->workers); /* two fds each */
    return 0;
}

static void test_short_of_fds_krait_run_fails_and_leaks_nothing(void **state)
{
    if (under_valgrind())
        skip_because("Valgrind has fds and limits of its own");
    check_child(state, run_short_of_fds);
}

int main(int argc, char **argv)
{
    static const struct fiber_test tests[] = {
        {TEST(test_an_overflow_names_the_fiber_and_dies_by_sigsegv), false},
        {TEST(test_other_faults_are_not_called_overflows), false},
        {TEST(test_a_programs_own_handler_is_left_alone), false},
        {TEST(test_sigsegv_is_as_it_was_afterwards), false},
        {TEST(test_the_default_stack_is_large_enough), false},
        {TEST(test_the_watchdog_names_who_computes), false},
        {TEST(test_a_forked_fiber_is_a_plain_thread), false},
        {TEST(test_a_forked_child_may_give_what_fibers_waited_for), false},
        {TEST(test_a_forked_first_fiber_ends_its_process), false},
        {TEST(test_an_overflow_in_a_forked_childs_run_time_is_named), false},
        {TEST(test_a_thread_beside_the_run_time_forks), false},
        {TEST(test_exit_in_a_fiber_flushes_without_parking), false},
        {TEST(test_others_go_on_while_a_fiber_is_in_exit), false},
        {TEST(test_where_io_uring_is_refused_epoll_does), true},
        {TEST(test_short_of_fds_krait_run_fails_and_leaks_nothing), false},
    };

    return run_fiber_tests(argc, argv, "fiber_process", tests, COUNT(tests));
}
