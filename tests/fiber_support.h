/* SPDX-License-Identifier: MIT
 *
 * fiber_support.h - tests of the run-time itself. Each test begins a run-time
 * of its own, with krait_run in the test's own flow, and is stamped for each
 * engine with one worker and with several.
 *
 * An assertion longjmps, which nobody may do out of a fiber. What a fiber, or a
 * thread beside it, sees is noted by see(), and the first that was not so fails
 * the test when its krait_run has returned. Sockets are made by the test before
 * it begins the run-time, and handed to own(): they work in either.
 */
#ifndef KRAIT_TESTS_FIBER_SUPPORT_H
#define KRAIT_TESTS_FIBER_SUPPORT_H

#include "support.h"

#include "fiber/runtime.h"

/* --- what a machine can take -------------------------------------------- */

/* ThreadSanitizer knows 8,000 fibers at most, and Valgrind looks through a list
 * of all stacks: they get fewer of what others get `n` of. */
static inline int fewer(int n)
{
    return under_valgrind() ? (n + 49) / 50 : UNDER_TSAN ? (n + 9) / 10 : n;
}

/* --- what fibers see ----------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    char first[1024];
} notes__ = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Notes it where `good` is false; tells `good`. Keeps errno. */
#define see(good) see_that((good), #good, __FILE__, __LINE__)

/* -1 with this errno, which krait_errno() remembers. */
#define see_fails(call, error) \
    see_failure((intmax_t)(call), (error), #call, __FILE__, __LINE__)

static inline bool see_that(bool good, const char *what, const char *file,
                            int line)
{
    int saved = errno;

    if (good)
        return true;
    pthread_mutex_lock(&notes__.lock);
    if (!notes__.first[0])
        snprintf(notes__.first, sizeof notes__.first,
                 "%s:%d: not so: %s (errno %d, krait_errmsg \"%s\")", file,
                 line, what, saved, krait_errmsg());
    pthread_mutex_unlock(&notes__.lock);
    errno = saved;
    return false;
}

static inline bool see_failure(intmax_t rc, int error, const char *what,
                               const char *file, int line)
{
    return see_that(rc == -1 && errno == error && krait_errno() == error &&
                        *krait_errmsg(),
                    what, file, line);
}

static inline void assert_all_was_so(void)
{
    char first[sizeof notes__.first];

    pthread_mutex_lock(&notes__.lock);
    memcpy(first, notes__.first, sizeof first);
    notes__.first[0] = '\0';
    pthread_mutex_unlock(&notes__.lock);
    if (first[0])
        fail_msg("%s", first);
}

/* --- run-times ----------------------------------------------------------- */

struct setting {
    const char *name;
    enum krait_engine engine;
    int workers;
};

static const struct setting settings[] = {
    {"epoll, 1 worker", KRAIT_ENGINE_EPOLL, 1},
    {"epoll, 3 workers", KRAIT_ENGINE_EPOLL, 3},
    {"io_uring, 1 worker", KRAIT_ENGINE_URING, 1},
    {"io_uring, 3 workers", KRAIT_ENGINE_URING, 3},
};

static inline const struct setting *setting_of(void **state)
{
    return (const struct setting *)*state;
}

static inline krait_run_options options_of(const struct setting *setting)
{
    krait_run_options o = {0};

    o.workers = setting->workers;
    o.engine = setting->engine;
    return o;
}

static inline bool threads_are_back(void *before)
{
    return count_threads() <= *(unsigned *)before;
}

/* Runs `body(arg)` as the first fiber, and tells what krait_run did. Then all
 * that was seen must have been so, and no fd or thread be left. Skips where the
 * machine lacks the engine. */
static inline int run_with_options(int (*body)(void *arg), void *arg,
                                   const krait_run_options *o)
{
    unsigned fds = count_fds(), threads = count_threads();
    int rc, err;

    unsetenv("KRAIT_ENGINE");
    rc = krait_run(body, arg, o);
    err = errno;
    assert_all_was_so();
    assert_int_equal(count_fds(), fds);
    /* A joined thread stays in /proc for a moment. */
    assert_true(wait_for(threads_are_back, &threads));
    errno = err;
    return rc;
}

static inline int run_fibers(void **state, int (*body)(void *arg), void *arg)
{
    krait_run_options o = options_of(setting_of(state));

    return run_with_options(body, arg, &o);
}

/* --- in fibers ----------------------------------------------------------- */

/* On that worker; the caller's where there are not so many. */
static inline krait_fiber *spawn_at(int worker, int (*fn)(void *), void *arg)
{
    krait_spawn_options o = {0};

    if (worker <= atomic_load(&krait__runtime)->nworkers)
        o.worker = worker;
    return krait_spawn(fn, arg, &o);
}

static inline bool fiber_is_parked(void *f)
{
    return krait__fiber_waits((krait_fiber *)f);
}

/* Looks until the fiber, which is the caller's, waits. */
static inline bool until_parked(krait_fiber *f)
{
    return f && wait_for(fiber_is_parked, f);
}

static inline bool flag_is_set(void *flag)
{
    return atomic_load((atomic_bool *)flag);
}

static inline bool until_set(atomic_bool *flag)
{
    return wait_for(flag_is_set, flag);
}

/* Keeps the worker from running anybody else until the flag is set. */
static inline bool compute_until(atomic_bool *flag)
{
    double end = now() + PATIENCE;

    while (!atomic_load(flag))
        if (now() > end)
            return false;
    return true;
}

static inline int joined(krait_fiber *f)
{
    int result = -1;

    return see(f && krait_join(f, &result) == 0) ? result : -1;
}

/* --- running ------------------------------------------------------------- */

struct fiber_test {
    const char *name;
    CMUnitTestFunction body;
    bool once; /* not for each setting */
};

struct fiber_stamp {
    const struct setting *setting;
    CMUnitTestFunction body;
    char name[160];
};

static inline int return_at_once(void *unused)
{
    (void)unused;
    return 0;
}

/* Before a test has anything that a skip would leave behind. */
static inline void needs_engine(enum krait_engine engine)
{
    krait_run_options o = {0};

    o.workers = 1;
    o.engine = engine;
    unsetenv("KRAIT_ENGINE");
    if (krait_run(return_at_once, NULL, &o) < 0 && errno == ENOTSUP)
        skip_because(krait_errmsg());
}

static inline void run_fiber_stamp(void **state)
{
    struct fiber_stamp *stamp = (struct fiber_stamp *)*state;
    void *setting = (void *)(uintptr_t)stamp->setting;

    running__ = stamp->name;
    needs_engine(stamp->setting->engine);
    stamp->body(&setting);
}

/* As run_all of support.h. */
static inline int run_fiber_tests(int argc, char **argv, const char *group,
                                  const struct fiber_test *tests, size_t count)
{
    size_t room = count * COUNT(settings), n = 0, i, j;
    struct CMUnitTest *units = (struct CMUnitTest *)calloc(room, sizeof *units);
    struct fiber_stamp *stamps =
        (struct fiber_stamp *)calloc(room, sizeof *stamps);
    int failed = 1;

    if (!units || !stamps)
        goto out;
    for (i = 0; i < count; i++) {
        if (argc > 1 && !strstr(tests[i].name, argv[1]))
            continue;
        for (j = 0; j < (tests[i].once ? 1 : COUNT(settings)); j++, n++) {
            stamps[n].setting = &settings[j];
            stamps[n].body = tests[i].body;
            snprintf(stamps[n].name, sizeof stamps[n].name, "%s%s%s%s",
                     tests[i].name, tests[i].once ? "" : " (",
                     tests[i].once ? "" : settings[j].name,
                     tests[i].once ? "" : ")");
            units[n].name = stamps[n].name;
            units[n].test_func = run_fiber_stamp;
            units[n].setup_func = before_test;
            units[n].teardown_func = after_test;
            units[n].initial_state = &stamps[n];
        }
    }
    failed = _cmocka_run_group_tests(group, units, n, before_all, after_all);
    if (!failed && n && skipped__ == n)
        failed = 77;
out:
    free(units);
    free(stamps);
    return failed;
}

#endif
