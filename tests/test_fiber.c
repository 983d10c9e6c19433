/* SPDX-License-Identifier: MIT
 *
 * test_fiber.c - krait/fiber.h, sentence by sentence: fibers made, joined, let
 * go and cancelled; what belongs to each of them; how they take turns; what
 * the statistics say. What they do to sockets is in test_fiber_io.c, what needs
 * a process of its own in test_fiber_process.c.
 *
 * ctest: timeout=180
 */
#include "fiber_support.h"

#include <limits.h>
#include <math.h>

static int do_not_much(void *arg)
{
    (void)arg;
    return 0;
}

static int give_back(void *number)
{
    return *(int *)number;
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    see_fails(krait_sleep(KRAIT_FOREVER), ECANCELED);
    return 5;
}

/* --- from beginning to end ----------------------------------------------- */

static int answer_seven(void *arg)
{
    see(arg == &notes__);
    see(krait_self() != NULL);
    see(krait_worker() == 1);
    see(!krait_cancelled());
    return 7;
}

static void test_run_returns_what_main_returned(void **state)
{
    assert_int_equal(run_fibers(state, answer_seven, &notes__), 7);
    /* And again, after the first has ended. */
    assert_int_equal(run_fibers(state, answer_seven, &notes__), 7);
}

static void test_a_plain_thread_is_no_fiber(void **state)
{
    int seven = 7;

    (void)state;
    assert_null(krait_self());
    assert_int_equal(krait_worker(), 0);
    assert_int_equal(krait_cancelled(), 0);
    assert_int_equal(krait_setcancelstate(KRAIT_CANCEL_DISABLE),
                     KRAIT_CANCEL_ENABLE);
    assert_int_equal(krait_setcancelstate(KRAIT_CANCEL_ENABLE),
                     KRAIT_CANCEL_ENABLE);
    assert_string_equal(krait_engine_name(), "poll");
    assert_true(*krait_engine_why());
    krait_yield();
    assert_works(krait_sleep(0));
    assert_works(krait_sleep(0.001));
    assert_fails(krait_sleep(-1), EINVAL);
    assert_fails(krait_sleep(NAN), EINVAL);
    assert_null_with(krait_spawn(give_back, &seven, NULL), ESRCH);
    assert_fails(krait_join(NULL, NULL), EINVAL);
    assert_fails(krait_cancel(NULL), EINVAL);
    errno = 17;
    krait_release(NULL);
    assert_int_equal(errno, 17);
}

static int main_that_must_not_run(void *ran)
{
    *(bool *)ran = true;
    return 0;
}

#define assert_run_fails(error, ...) \
    check_run_fails(&(krait_run_options){__VA_ARGS__}, (error), __LINE__)

static void check_run_fails(const krait_run_options *o, int error, int line)
{
    bool ran = false;
    int rc = krait_run(main_that_must_not_run, &ran, o);

    check_fails(rc, error, "krait_run", __FILE__, line);
    assert_false(ran);
}

static void test_options_out_of_range(void **state)
{
    struct {
        krait_run_options o;
        int newer;
    } grown = {.newer = 1};
    bool ran = false;

    (void)state;
    unsetenv("KRAIT_ENGINE");
    assert_run_fails(EINVAL, .workers = -1);
    assert_run_fails(EINVAL, .workers = INT_MAX);
    assert_run_fails(EINVAL, .engine = (enum krait_engine)7);
    assert_run_fails(EINVAL, .engine = (enum krait_engine) - 1);
    assert_run_fails(EINVAL, .watchdog = -0.5);
    assert_run_fails(EINVAL, .watchdog = NAN);
    assert_run_fails(ENOMEM, .workers = 1, .stack_size = SIZE_MAX);
    assert_run_fails(ENOMEM, .workers = 1, .stack_size = SIZE_MAX / 2);
    assert_fails(krait_run(NULL, NULL, NULL), EINVAL);
    assert_contains(krait_errmsg(), "no function");
    assert_fails(
        krait_run_sized(main_that_must_not_run, &ran, &grown.o, sizeof grown),
        E2BIG);
    assert_contains(krait_errmsg(), "an option is set that");
    assert_false(ran);
    setenv("KRAIT_ENGINE", "nonsense", 1);
    assert_run_fails(EINVAL, .workers = 1);
    assert_contains(krait_errmsg(), "KRAIT_ENGINE");
    unsetenv("KRAIT_ENGINE");
}

static int note_engine(void *out)
{
    krait_stats s;

    see(krait_runtime_stats(&s) == 0);
    see(strcmp(s.engine, krait_engine_name()) == 0);
    see(strcmp(s.why, krait_engine_why()) == 0);
    snprintf(out, 200, "%s: %s", krait_engine_name(), krait_engine_why());
    return 0;
}

static void test_the_environment_goes_before_the_options(void **state)
{
    char said[200];

    (void)state;
    needs_engine(KRAIT_ENGINE_URING);
    setenv("KRAIT_ENGINE", "epoll", 1);
    assert_works(krait_run(
        note_engine, said,
        &(krait_run_options){.workers = 1, .engine = KRAIT_ENGINE_URING}));
    unsetenv("KRAIT_ENGINE");
    assert_all_was_so();
    assert_string_equal(said, "epoll: asked for by KRAIT_ENGINE");
    setenv("KRAIT_ENGINE", "", 1); /* as good as none */
    assert_works(krait_run(
        note_engine, said,
        &(krait_run_options){.workers = 1, .engine = KRAIT_ENGINE_EPOLL}));
    unsetenv("KRAIT_ENGINE");
    assert_string_equal(said, "epoll: asked for by krait_run's options");
    assert_works(krait_run(note_engine, said, NULL));
    assert_all_was_so();
    print_message("by default %s\n", said);
}

static int count_workers(void *arg)
{
    krait_stats s;

    see(krait_runtime_stats(&s) == 0);
    *(int *)arg = s.workers;
    return 0;
}

static void test_a_worker_for_each_cpu_is_the_default(void **state)
{
    cpu_set_t cpus;
    int workers = 0;

    (void)state;
    needs_engine(KRAIT_ENGINE_URING);
    assert_int_equal(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    assert_works(krait_run(count_workers, &workers, NULL));
    assert_all_was_so();
    assert_int_equal(workers, CPU_COUNT(&cpus));
}

static void run_in_a_thread(void *arg)
{
    see_fails(krait_run(do_not_much, NULL, NULL), EBUSY);
    atomic_store((atomic_bool *)arg, true);
}

static int run_within(void *unused)
{
    static atomic_bool ran;

    (void)unused;
    atomic_store(&ran, false);
    see_fails(krait_run(do_not_much, NULL, NULL), EBUSY);
    start_thread(run_in_a_thread, &ran);
    see(until_set(&ran));
    see(krait_sleep(0) == 0); /* the first goes on */
    return 3;
}

static void test_there_is_one_run_time_at_a_time(void **state)
{
    assert_int_equal(run_fibers(state, run_within, NULL), 3);
}

/* --- spawn, join, release ------------------------------------------------ */

static int spawn_and_join(void *workers)
{
    int number = 0;

    for (int i = 0; i < 20; i++) {
        krait_fiber *f = spawn_at(1 + i % *(int *)workers, give_back, &number);

        number = i - 10;
        if (i % 2)
            krait_yield(); /* so that some have ended before the join */
        see(joined(f) == i - 10);
    }
    see(krait_join(krait_spawn(give_back, &number, NULL), NULL) == 0);
    return 0;
}

static void test_join_tells_the_result(void **state)
{
    int workers = setting_of(state)->workers;

    /* A result read by a worker before it is written here would be a race of
     * this test's: so the number is written before the yield on one only. */
    if (workers > 1)
        workers = 1;
    assert_works(run_fibers(state, spawn_and_join, &workers));
}

static int set_flag(void *flag)
{
    atomic_store((atomic_bool *)flag, true);
    return 0;
}

static int spawn_here(void *unused)
{
    atomic_bool ran = false;
    krait_fiber *f = krait_spawn(set_flag, &ran, NULL);

    (void)unused;
    see(!atomic_load(&ran)); /* not before the caller waits */
    krait_yield();
    see(atomic_load(&ran));
    joined(f);
    return 0;
}

static void test_a_fiber_begins_when_its_maker_waits(void **state)
{
    assert_works(run_fibers(state, spawn_here, NULL));
}

struct place {
    int worker;
    pthread_t thread;
    bool stays;
};

static int look_around(void *arg)
{
    struct place *p = arg;

    p->worker = krait_worker();
    p->thread = pthread_self();
    p->stays = true;
    for (int i = 0; i < 20; i++) {
        see(krait_sleep(i % 2 ? 0.001 : 0) == 0);
        p->stays &= krait_worker() == p->worker &&
                    pthread_equal(pthread_self(), p->thread);
    }
    return 0;
}

static int spawn_on_each(void *workers)
{
    struct place places[8];
    krait_fiber *f[8];
    int n = *(int *)workers;

    for (int i = 0; i < n; i++)
        f[i] = spawn_at(i + 1, look_around, &places[i]);
    for (int i = 0; i < n; i++)
        joined(f[i]);
    for (int i = 0; i < n; i++) {
        see(places[i].worker == i + 1);
        see(places[i].stays);
        for (int j = 0; j < i; j++)
            see(!pthread_equal(places[i].thread, places[j].thread));
    }
    see(pthread_equal(places[0].thread, pthread_self()));
    see(krait_spawn(do_not_much, NULL,
                    &(krait_spawn_options){.worker = n + 1}) == NULL &&
        errno == EINVAL);
    see(krait_spawn(do_not_much, NULL, &(krait_spawn_options){.worker = -1}) ==
            NULL &&
        errno == EINVAL);
    see(strstr(krait_errmsg(), "no such worker"));
    see(krait_spawn(NULL, NULL, NULL) == NULL && errno == EINVAL);
    see(strstr(krait_errmsg(), "no function"));
    return 0;
}

static void test_a_fiber_stays_on_the_worker_that_was_chosen(void **state)
{
    int workers = setting_of(state)->workers;

    assert_works(run_fibers(state, spawn_on_each, &workers));
}

struct outside {
    int workers;
    atomic_int on[8];
    atomic_bool over;
};

static int count_me(void *arg)
{
    struct outside *o = arg;

    atomic_fetch_add(&o->on[krait_worker()], 1);
    return 11;
}

static void spawn_from_outside(void *arg)
{
    struct outside *o = arg;

    see(krait_spawn(count_me, o,
                    &(krait_spawn_options){.worker = o->workers + 1}) == NULL &&
        errno == EINVAL);
    for (int i = 0; i < 4 * o->workers; i++)
        see(joined(krait_spawn(count_me, o, NULL)) == 11);
    see(joined(krait_spawn(
            count_me, o, &(krait_spawn_options){.worker = o->workers})) == 11);
    atomic_store(&o->over, true);
}

static int be_there(void *arg)
{
    struct outside *o = arg;

    start_thread(spawn_from_outside, o);
    see(until_set(&o->over));
    return 0;
}

static void test_a_thread_outside_spawns_and_joins(void **state)
{
    struct outside o = {.workers = setting_of(state)->workers};

    assert_works(run_fibers(state, be_there, &o));
    for (int i = 1; i <= o.workers; i++) /* each in turn */
        assert_int_equal(atomic_load(&o.on[i]), 4 + (i == o.workers));
}

struct late {
    krait_sem told;
    int spawned, ran_before, told_to_stop;
    atomic_bool ending;
};

static int count_late(void *arg)
{
    (void)arg;
    return 0;
}

/* Until it is refused. */
static void spawn_to_the_end(void *arg)
{
    struct late *l = arg;
    double end = now() + PATIENCE;

    for (;;) {
        krait_fiber *f = krait_spawn(count_late, l, NULL);

        if (!f)
            break;
        l->spawned++;
        krait_release(f);
        if (!see(now() < end))
            return;
    }
    see(errno == ECANCELED && krait_errno() == ECANCELED);
    see(atomic_load(&l->ending));
    l->told_to_stop = 1;
    see(krait_sem_post(&l->told) == 0);
}

static int outlive_main(void *arg)
{
    struct late *l = arg;

    krait_setcancelstate(KRAIT_CANCEL_DISABLE);
    see(krait_sem_wait(&l->told, KRAIT_FOREVER) == 0);
    see(krait_cancelled());
    krait_setcancelstate(KRAIT_CANCEL_ENABLE);
    see_fails(krait_sleep(0), ECANCELED);
    return 0;
}

static int leave_soon(void *arg)
{
    struct late *l = arg;

    krait_release(krait_spawn(outlive_main, l, NULL));
    start_thread(spawn_to_the_end, l);
    see(krait_sleep(0.02) == 0);
    atomic_store(&l->ending, true);
    return 0;
}

static void test_spawn_from_outside_fails_when_the_run_time_ends(void **state)
{
    struct late l = {.spawned = 0};

    assert_works(run_fibers(state, leave_soon, &l));
    assert_int_equal(l.told_to_stop, 1);
}

struct joining {
    krait_fiber *f;
    int result, rc, err;
    atomic_bool over;
};

static void join_in_a_thread(void *arg)
{
    struct joining *j = arg;

    j->rc = krait_join(j->f, &j->result);
    j->err = errno;
    atomic_store(&j->over, true);
}

static bool thread_sleeps(void *task)
{
    return is_done(task) ||
           sleeps_somewhere(atomic_load(&((struct task *)task)->tid));
}

static int join_from_a_thread(void *unused)
{
    int nine = 9;

    (void)unused;
    for (int waits_already = 0; waits_already < 2; waits_already++) {
        struct joining j = {.f = spawn_at(2, sleep_for_ever, NULL)};
        struct joining done = {.f = spawn_at(2, give_back, &nine)};
        struct task *task;

        see(until_parked(j.f));
        see(krait_sleep(0.001) == 0);
        task = start_thread(join_in_a_thread, &j);
        start_thread(join_in_a_thread, &done);
        see(until_set(&done.over));
        see(done.rc == 0 && done.result == 9);
        if (waits_already) /* it waits by now, or not yet */
            see(wait_for(thread_sleeps, task));
        see(krait_cancel(j.f) == 0);
        see(until_set(&j.over));
        see(j.rc == 0 && j.result == 5);
    }
    return 0;
}

static void test_a_plain_thread_joins(void **state)
{
    assert_works(run_fibers(state, join_from_a_thread, NULL));
}

static int join_it(void *arg)
{
    struct joining *j = arg;

    j->rc = krait_join(j->f, &j->result);
    j->err = errno;
    return 0;
}

static int join_badly(void *unused)
{
    struct joining j = {.f = spawn_at(2, sleep_for_ever, NULL)};
    krait_fiber *joiner = spawn_at(3, join_it, &j);

    (void)unused;
    see_fails(krait_join(krait_self(), NULL), EDEADLK);
    see_fails(krait_join(NULL, NULL), EINVAL);
    see_fails(krait_cancel(NULL), EINVAL);
    see(until_parked(joiner));
    see_fails(krait_join(j.f, NULL), EBUSY);
    /* The joiner gives up, and the fiber is still the caller's. */
    see(krait_cancel(joiner) == 0);
    joined(joiner);
    see(j.rc == -1 && j.err == ECANCELED);
    see(krait_cancel(j.f) == 0);
    see(joined(j.f) == 5);
    return 0;
}

static void test_join_says_what_is_wrong(void **state)
{
    assert_works(run_fibers(state, join_badly, NULL));
}

static int join_under_a_scope(void *unused)
{
    krait_fiber *f = spawn_at(2, sleep_for_ever, NULL);
    krait_deadline d;
    krait_stats s;

    (void)unused;
    see(krait_deadline_begin(&d, 0.01) == 0);
    see_fails(krait_join(f, NULL), ETIMEDOUT);
    see(krait_cancel(f) == 0);
    /* Even where it would not have had to wait. */
    while (see(krait_runtime_stats(&s) == 0) && s.alive > 1)
        krait_yield();
    see_fails(krait_join(f, NULL), ETIMEDOUT);
    see(krait_deadline_end(&d) == 1);
    see(joined(f) == 5);
    return 0;
}

static void test_a_join_that_timed_out_can_be_made_again(void **state)
{
    assert_works(run_fibers(state, join_under_a_scope, NULL));
}

static int release_many(void *workers)
{
    static atomic_int ran;
    krait_stats first, last;
    int n = fewer(4000);

    atomic_store(&ran, 0);
    for (int i = 0; i < n; i++) {
        atomic_bool flag = false;
        krait_fiber *f = spawn_at(1 + i % *(int *)workers, set_flag, &flag);

        if (i == n / 10)
            see(krait_runtime_stats(&first) == 0);
        errno = 17;
        if (i % 2)
            krait_release(f); /* it goes on */
        see(errno == 17);
        see(until_set(&flag));
        if (i % 2 == 0)
            krait_release(f); /* it has ended, or is about to */
    }
    see(krait_runtime_stats(&last) == 0);
    /* Their stacks were used again, by whichever worker had kept them. */
    see(last.stacks <= first.stacks + 3 * KRAIT__HOT_STACKS + 64);
    return 0;
}

static void test_a_released_fiber_goes_on_and_leaves_nothing(void **state)
{
    int workers = setting_of(state)->workers;

    assert_works(run_fibers(state, release_many, &workers));
}

static int deep(int levels)
{
    volatile char frame[1024];

    frame[0] = (char)levels;
    frame[sizeof frame - 1] = levels ? (char)deep(levels - 1) : 0;
    return frame[0];
}

static int use_a_megabyte(void *unused)
{
    (void)unused;
    return deep(UNDER_TSAN ? 400 : 800) & 0;
}

static int spawn_with_room(void *unused)
{
    krait_spawn_options o = {.stack_size = (size_t)4 << 20};

    (void)unused;
    for (int i = 0; i < 3; i++)
        see(joined(krait_spawn(use_a_megabyte, NULL, &o)) == 0);
    o.stack_size = SIZE_MAX;
    see(krait_spawn(use_a_megabyte, NULL, &o) == NULL && errno == ENOMEM);
    return 0;
}

static void test_a_fiber_may_have_a_larger_stack(void **state)
{
    assert_works(run_fibers(state, spawn_with_room, NULL));
}

static int check_names(void *unused)
{
    static const struct {
        const char *given, *kept;
    } names[] = {
        {"reader", "reader"},
        {NULL, ""},
        {"12345678901234567890123", "12345678901234567890123"},
        {"123456789012345678901234567890", "12345678901234567890123"},
    };
    char name[KRAIT_FIBER_NAME_MAX + 1], given[64];

    (void)unused;
    see(strcmp(krait__fiber_name(krait_self(), name), "main") == 0);
    for (size_t i = 0; i < COUNT(names); i++) {
        krait_spawn_options o = {0};
        krait_fiber *f;

        if (names[i].given)
            o.name = strcpy(given, names[i].given);
        f = krait_spawn(sleep_for_ever, NULL, &o);
        memset(given, '?', sizeof given); /* it was copied */
        see(strcmp(krait__fiber_name(f, name), names[i].kept) == 0);
        krait_cancel(f);
        krait_join(f, NULL);
    }
    return 0;
}

static void test_names_are_copied(void **state)
{
    assert_works(run_fibers(state, check_names, NULL));
}

/* --- cancellation: in each kind of wait ---------------------------------- */

struct scene {
    int workers;
    krait_sock *quiet, *full, *listener;
    krait_addr busy; /* of a listener whose backlog is full */
    int pipe[2];
    krait_mutex held, mutex;
    krait_cond never;
    krait_sem none;
    krait_chan *empty, *no_receiver;
    krait_group undone;
};

static int wait_recv(struct scene *s)
{
    char byte;

    return (int)krait_recv(s->quiet, &byte, 1, 0);
}

static int wait_send(struct scene *s)
{
    return (int)krait_send(s->full, "x", 1, 0);
}

static int wait_accept(struct scene *s)
{
    return krait_accept(s->listener, NULL) ? 0 : -1;
}

static int wait_connect(struct scene *s)
{
    krait_sock *sock = krait_socket(AF_UNIX, SOCK_STREAM, 0);
    int rc = krait_connect(sock, s->busy), err = errno;

    see(krait_close(sock) == 0);
    errno = err;
    return rc;
}

static int wait_fd(struct scene *s)
{
    return krait_wait_fd(s->pipe[0], POLLIN, KRAIT_FOREVER);
}

static int wait_sleep(struct scene *s)
{
    (void)s;
    return krait_sleep(KRAIT_FOREVER);
}

static int wait_join(struct scene *s)
{
    krait_fiber *child = krait_spawn(sleep_for_ever, NULL, NULL);
    int rc = krait_join(child, NULL), err = errno;

    (void)s;
    see(krait_cancel(child) == 0);
    see(krait_setcancelstate(KRAIT_CANCEL_DISABLE) == KRAIT_CANCEL_ENABLE);
    see(joined(child) == 5);
    see(krait_setcancelstate(KRAIT_CANCEL_ENABLE) == KRAIT_CANCEL_DISABLE);
    errno = err;
    return rc;
}

static int wait_mutex(struct scene *s)
{
    return krait_mutex_lock(&s->held, KRAIT_FOREVER);
}

static int wait_cond(struct scene *s)
{
    int rc, err;

    if (krait_mutex_lock(&s->mutex, KRAIT_FOREVER) < 0)
        return -1; /* the second time: cancelled already */
    rc = krait_cond_wait(&s->never, &s->mutex, KRAIT_FOREVER);
    err = errno;
    see(krait_mutex_unlock(&s->mutex) == 0);
    errno = err;
    return rc;
}

static int wait_sem(struct scene *s)
{
    return krait_sem_wait(&s->none, KRAIT_FOREVER);
}

static int wait_chan_recv(struct scene *s)
{
    return krait_chan_recv(s->empty, NULL, KRAIT_FOREVER);
}

static int wait_chan_send(struct scene *s)
{
    return krait_chan_send(s->no_receiver, NULL, KRAIT_FOREVER);
}

static int wait_group(struct scene *s)
{
    return krait_group_wait(&s->undone, KRAIT_FOREVER);
}

static const struct wait_kind {
    int (*wait)(struct scene *s);
    enum krait_wait kind;
} waits[] = {
    {wait_recv, KRAIT_WAIT_RECV},      {wait_send, KRAIT_WAIT_SEND},
    {wait_accept, KRAIT_WAIT_ACCEPT},  {wait_connect, KRAIT_WAIT_CONNECT},
    {wait_fd, KRAIT_WAIT_FD},          {wait_sleep, KRAIT_WAIT_SLEEP},
    {wait_join, KRAIT_WAIT_JOIN},      {wait_mutex, KRAIT_WAIT_MUTEX},
    {wait_cond, KRAIT_WAIT_COND},      {wait_sem, KRAIT_WAIT_SEM},
    {wait_chan_recv, KRAIT_WAIT_CHAN}, {wait_chan_send, KRAIT_WAIT_CHAN},
    {wait_group, KRAIT_WAIT_GROUP},
};

static void set_scene(struct scene *s)
{
    krait_sock *a[2], *b[2];

    any_pair(a);
    any_pair(b);
    s->quiet = a[0];
    s->full = b[0];
    fill(s->full);
    s->listener = listener(transport_named(UNIX_STREAM));
    s->busy = krait_getsockname(full_listener(transport_named(UNIX_STREAM)));
    assert_int_equal(pipe(s->pipe), 0);
    own_fd(s->pipe[0]);
    own_fd(s->pipe[1]);
    s->empty = krait_chan_new(0, 1);
    s->no_receiver = krait_chan_new(0, 0);
    assert_true(s->empty && s->no_receiver);
    assert_works(krait_group_add(&s->undone, 1));
}

static void strike_scene(struct scene *s)
{
    krait_chan_free(s->empty);
    krait_chan_free(s->no_receiver);
}

struct victim {
    struct scene *scene;
    const struct wait_kind *w;
    bool unwound;
};

static int be_cancelled(void *arg)
{
    struct victim *v = arg;

    see_fails(v->w->wait(v->scene), ECANCELED);
    see(krait_cancelled());
    /* Every later call that may wait fails, for ever. */
    see_fails(krait_sleep(0), ECANCELED);
    see_fails(v->w->wait(v->scene), ECANCELED);
    v->unwound = true;
    return 42;
}

static bool is_counted(void *arg)
{
    const struct wait_kind *w = arg;
    krait_stats s;

    if (!see(krait_runtime_stats(&s) == 0))
        return true;
    if (w->kind == KRAIT_WAIT_CONNECT && s.waiting_for[KRAIT_WAIT_SLEEP])
        return true; /* it pauses between two attempts */
    return s.waiting_for[w->kind] > 0;
}

static void cancel_in_a_thread(void *arg)
{
    struct joining *j = arg;

    see(krait_cancel(j->f) == 0);
    atomic_store(&j->over, true);
}

static void cancel_once(struct scene *s, const struct wait_kind *w, int worker,
                        bool by_thread)
{
    struct victim v = {.scene = s, .w = w};
    struct joining j = {.f = spawn_at(worker, be_cancelled, &v)};

    see(until_parked(j.f));
    see(wait_for(is_counted, (void *)(uintptr_t)w));
    if (by_thread) {
        start_thread(cancel_in_a_thread, &j);
        see(until_set(&j.over));
    } else {
        see(krait_cancel(j.f) == 0);
        see(krait_cancel(j.f) == 0); /* again is fine */
    }
    see(joined(j.f) == 42);
    see(v.unwound);
}

static int cancel_in_each_wait(void *arg)
{
    struct scene *s = arg;

    see(krait_mutex_lock(&s->held, KRAIT_FOREVER) == 0);
    for (size_t i = 0; i < COUNT(waits); i++) {
        cancel_once(s, &waits[i], 1, false);
        cancel_once(s, &waits[i], 2, false);
        cancel_once(s, &waits[i], 1, true);
    }
    see(krait_mutex_unlock(&s->held) == 0);
    return 0;
}

static void test_a_cancel_ends_each_kind_of_wait(void **state)
{
    struct scene s = {.workers = setting_of(state)->workers};

    set_scene(&s);
    assert_works(run_fibers(state, cancel_in_each_wait, &s));
    strike_scene(&s);
}

static int cancel_before_it_waits(void *arg)
{
    struct scene *s = arg;

    see(krait_mutex_lock(&s->held, KRAIT_FOREVER) == 0);
    for (size_t i = 0; i < COUNT(waits); i++) {
        struct victim v = {.scene = s, .w = &waits[i]};
        krait_fiber *f;

        f = spawn_at(1 + (int)i % 2, be_cancelled, &v);
        see(krait_cancel(f) == 0);
        see(joined(f) == 42);
        see(v.unwound);
    }
    see(krait_mutex_unlock(&s->held) == 0);
    return 0;
}

static void test_a_fiber_cancelled_before_it_begins_runs_and_unwinds(
    void **state)
{
    struct scene s = {.workers = setting_of(state)->workers};

    set_scene(&s);
    assert_works(run_fibers(state, cancel_before_it_waits, &s));
    strike_scene(&s);
}

static int cancel_myself(void *unused)
{
    (void)unused;
    see(!krait_cancelled());
    see(krait_cancel(krait_self()) == 0);
    see(krait_cancelled());
    see_fails(krait_sleep(0), ECANCELED);
    krait_yield(); /* does not wait */
    return 3;
}

static int cancel_itself(void *unused)
{
    krait_fiber *f = krait_spawn(do_not_much, NULL, NULL);

    (void)unused;
    see(joined(krait_spawn(cancel_myself, NULL, NULL)) == 3);
    /* One that has ended already, and is still ours. */
    krait_yield();
    see(krait_cancel(f) == 0);
    joined(f);
    return 0;
}

static void test_a_fiber_may_cancel_itself_and_what_has_ended(void **state)
{
    assert_works(run_fibers(state, cancel_itself, NULL));
}

static int hold_back(void *arg)
{
    krait_sem *sem = arg;

    see(krait_setcancelstate(KRAIT_CANCEL_DISABLE) == KRAIT_CANCEL_ENABLE);
    see(krait_setcancelstate(KRAIT_CANCEL_DISABLE) == KRAIT_CANCEL_DISABLE);
    see(krait_sem_wait(sem, KRAIT_FOREVER) == 0);
    see(krait_cancelled());
    see(krait_sleep(0.001) == 0);
    see(krait_setcancelstate(KRAIT_CANCEL_ENABLE) == KRAIT_CANCEL_DISABLE);
    see_fails(krait_sem_wait(sem, KRAIT_FOREVER), ECANCELED);
    return 3;
}

static int cancel_while_held_back(void *unused)
{
    (void)unused;
    for (int worker = 1; worker <= 2; worker++) {
        krait_sem sem = KRAIT_SEM_INIT(0);
        krait_fiber *f = spawn_at(worker, hold_back, &sem);

        see(until_parked(f));
        see(krait_cancel(f) == 0);
        see(krait_sleep(0.001) == 0);
        see(until_parked(f)); /* it was woken, and waits on */
        see(krait_sem_post(&sem) == 0);
        see(joined(f) == 3);
    }
    return 0;
}

static void test_a_cancellation_can_be_held_back(void **state)
{
    assert_works(run_fibers(state, cancel_while_held_back, NULL));
}

struct blocks {
    int fd;
    atomic_bool called;
};

static int read_a_byte(void *arg)
{
    struct blocks *b = arg;
    char byte;

    atomic_store(&b->called, true);
    see(krait_self() == NULL); /* as a plain thread's code */
    return (int)read(b->fd, &byte, 1) + 20;
}

static int call_what_blocks(void *arg)
{
    see(krait_blocking(read_a_byte, arg) == 21);
    see_fails(krait_blocking(read_a_byte, arg), ECANCELED);
    return 3;
}

static int cancel_a_blocking_call(void *arg)
{
    struct scene *s = arg;

    for (int worker = 1; worker <= 2; worker++) {
        struct blocks b = {.fd = s->pipe[0]};
        krait_fiber *f = spawn_at(worker, call_what_blocks, &b);

        see(until_set(&b.called));
        see(until_parked(f));
        see(krait_cancel(f) == 0);
        see(krait_sleep(0.001) == 0);
        see(until_parked(f)); /* begun, it is waited for */
        see(write(s->pipe[1], "x", 1) == 1);
        see(joined(f) == 3);
    }
    return 0;
}

static void test_a_blocking_call_that_has_begun_is_waited_for(void **state)
{
    struct scene s = {.workers = 1};

    set_scene(&s);
    assert_works(run_fibers(state, cancel_a_blocking_call, &s));
    strike_scene(&s);
}

/* --- the end of the run-time --------------------------------------------- */

static atomic_int unwound;

static int wait_till_the_end(void *arg)
{
    const struct victim *v = arg;

    see_fails(v->w->wait(v->scene), ECANCELED);
    see(krait_cancelled());
    atomic_fetch_add(&unwound, 1);
    return 0;
}

static int leave_others(void *arg)
{
    static struct victim v[COUNT(waits)];
    struct scene *s = arg;

    atomic_store(&unwound, 0);
    for (size_t i = 0; i < COUNT(waits); i++) {
        v[i] = (struct victim){.scene = s, .w = &waits[i]};
        /* A mutex's owner would have to unlock it; and who waits for one that
         * is cancelled likewise may see its end first. */
        if (waits[i].wait == wait_mutex || waits[i].wait == wait_join)
            v[i].w = &waits[0];
        for (int worker = 1; worker <= 3; worker++) {
            krait_fiber *f = spawn_at(worker, wait_till_the_end, &v[i]);

            see(until_parked(f));
            /* Not joined, and some not even released: they go with the
             * run-time. */
            if (worker != 2)
                krait_release(f);
        }
    }
    return 6;
}

static void test_when_main_returns_the_others_are_cancelled(void **state)
{
    struct scene s = {.workers = setting_of(state)->workers};

    set_scene(&s);
    assert_int_equal(run_fibers(state, leave_others, &s), 6);
    assert_int_equal(atomic_load(&unwound), 3 * COUNT(waits));
    strike_scene(&s);
}

/* Spawns its child when it is told that all ends, and waits for it. */
static int spawn_at_the_end(void *arg)
{
    int worker = *(int *)arg;
    krait_fiber *child;

    see_fails(krait_sleep(KRAIT_FOREVER), ECANCELED);
    krait_setcancelstate(KRAIT_CANCEL_DISABLE);
    child = spawn_at(worker, sleep_for_ever, NULL); /* born cancelled */
    see(joined(child) == 5);
    see(krait_sleep(0.005) == 0);
    /* And one that nobody waits for but the run-time. */
    krait_release(spawn_at(worker, sleep_for_ever, NULL));
    atomic_fetch_add(&unwound, 1);
    return 0;
}

static int leave_parents(void *unused)
{
    static int workers[] = {1, 2, 3, 2, 1};

    (void)unused;
    atomic_store(&unwound, 0);
    for (size_t i = 0; i < COUNT(workers); i++)
        krait_release(spawn_at(1 + (int)i % 3, spawn_at_the_end, &workers[i]));
    return 0;
}

static void test_children_of_the_end_are_born_cancelled(void **state)
{
    assert_works(run_fibers(state, leave_parents, NULL));
    assert_int_equal(atomic_load(&unwound), 5);
}

static int keep_going(void *arg)
{
    atomic_int *turns = arg;

    while (!krait_cancelled()) {
        atomic_fetch_add(turns, 1);
        krait_yield();
    }
    return 0;
}

static int leave_busy_ones(void *arg)
{
    for (int i = 0; i < 6; i++)
        krait_release(spawn_at(1 + i % 3, keep_going, arg));
    return 0;
}

static void test_the_end_reaches_fibers_that_never_wait(void **state)
{
    atomic_int turns = 0;

    for (int i = 0; i < 20; i++)
        assert_works(run_fibers(state, leave_busy_ones, &turns));
}

/* --- errno and krait_errmsg ---------------------------------------------- */

struct failing {
    int how;
    int rounds;
};

static void fail_somehow(int how)
{
    if (how)
        see_fails(krait_join(krait_self(), NULL), EDEADLK);
    else
        see_fails(krait_sleep(-1), EINVAL);
}

static int fail_and_look(void *arg)
{
    struct failing *f = arg;
    int wanted = f->how ? EDEADLK : EINVAL;

    see(errno == 0); /* a fiber begins without an error */
    see(krait_errno() == 0);
    see(krait_errdomain() == KRAIT_ERROR_NONE);
    for (int i = 0; i < f->rounds; i++) {
        const char *said;
        char before[200];

        fail_somehow(f->how);
        said = krait_errmsg();
        snprintf(before, sizeof before, "%s", said);
        if (i % 3)
            krait_yield();
        else
            see(krait_sleep(0.0005) == 0);
        see(errno == wanted);
        see(strcmp(said, before) == 0);
        see(strcmp(krait_errmsg(), before) == 0);
        see(krait_errno() == wanted);
        see(krait_errdomain() == KRAIT_ERROR_OS);
    }
    return 0;
}

static int fail_side_by_side(void *workers)
{
    struct failing how[2] = {{0, 60}, {1, 60}};
    krait_fiber *f[12];

    for (int i = 0; i < 12; i++)
        f[i] =
            spawn_at(1 + i / 2 % *(int *)workers, fail_and_look, &how[i % 2]);
    for (int i = 0; i < 12; i++)
        joined(f[i]);
    return 0;
}

static void test_errors_are_each_fibers_own(void **state)
{
    int workers = setting_of(state)->workers;

    assert_works(run_fibers(state, fail_side_by_side, &workers));
}

/* --- turns --------------------------------------------------------------- */

enum { TURNS = 200, TAKERS = 5 };

static struct {
    int order[TURNS * TAKERS];
    int n;
} turns;

static int take_turns(void *arg)
{
    for (int i = 0; i < TURNS; i++) {
        turns.order[turns.n++] = *(int *)arg;
        krait_yield();
    }
    return 0;
}

static int yield_around(void *unused)
{
    int numbers[TAKERS];
    krait_fiber *f[TAKERS];

    (void)unused;
    turns.n = 0;
    for (int i = 0; i < TAKERS; i++) {
        numbers[i] = i;
        f[i] = krait_spawn(take_turns, &numbers[i], NULL);
    }
    for (int i = 0; i < TAKERS; i++)
        joined(f[i]);
    return 0;
}

static void test_yields_go_round(void **state)
{
    assert_works(run_fibers(state, yield_around, NULL));
    assert_int_equal(turns.n, TURNS * TAKERS);
    for (int i = 0; i < turns.n; i++)
        assert_int_equal(turns.order[i], i % TAKERS);
}

struct sleeper {
    double seconds, begun; /* when it began to sleep */
    krait_sem *sem;
    int *order, *woken, number;
};

static int sleep_once(void *arg)
{
    struct sleeper *s = arg;

    /* Others have been armed before, for another time. */
    if (s->number % 3 == 0)
        see(krait_sem_wait(s->sem, 0.2) == 0);
    else if (s->number % 3 == 1)
        see(krait_sem_wait(s->sem, 100) == 0);
    s->begun = now();
    see(krait_sleep(s->seconds) == 0);
    see(now() >= s->begun + s->seconds);
    s->order[(*s->woken)++] = s->number;
    return 0;
}

static int sleep_together(void *unused)
{
    int n = fewer(10000), woken = 0;
    struct sleeper *s = calloc((size_t)n, sizeof *s);
    int *order = calloc((size_t)n, sizeof *order);
    krait_fiber **f = calloc((size_t)n, sizeof(krait_fiber *)); /* NOLINT */
    krait_sem sem = KRAIT_SEM_INIT(0);
    unsigned seed = 4711;

    (void)unused;
    for (int i = 0; i < n; i++) {
        s[i].seconds = (rand_r(&seed) % 500) / 1000.0;
        s[i].sem = &sem;
        s[i].order = order;
        s[i].woken = &woken;
        s[i].number = i;
        f[i] = krait_spawn(sleep_once, &s[i], NULL);
        /* The unit is there already, or comes at once. */
        if (i % 2)
            krait_yield();
        if (i % 3 != 2)
            see(krait_sem_post(&sem) == 0);
        krait_yield();
    }
    for (int i = 0; i < n; i++)
        joined(f[i]);
    see(woken == n);
    /* A fiber's deadline lies between `begun` and a moment later; the next one
     * may have begun before that was worked out, but not so early as this. */
    for (int i = 1; i < n; i++) {
        struct sleeper *a = &s[order[i - 1]], *b = &s[order[i]];

        see(a->begun + a->seconds <= b->begun + b->seconds + 0.25);
    }
    free(s);
    free(order);
    free(f);
    return 0;
}

static void test_sleepers_wake_in_the_order_of_their_times(void **state)
{
    assert_works(run_fibers(state, sleep_together, NULL));
}

static void test_timers_that_are_due_come_in_order(void **state)
{
    enum { N = 500 };
    static struct krait__timer timers[N];
    struct krait__timers heap = {0};
    struct krait__timer *t;
    int64_t last = 0;
    unsigned seed = 99;
    int got = 0, armed = 0;

    (void)state;
    for (int i = 0; i < N; i++)
        timers[i] = (struct krait__timer){.until = KRAIT__NEVER};
    /* Each is put into the heap for one time, and then for another. */
    for (int round = 0; round < 4; round++)
        for (int i = 0; i < N; i++) {
            int64_t when = 1 + rand_r(&seed) % 1000;

            if (rand_r(&seed) % 4 == 0)
                krait__timer_disarm(&timers[i]);
            else
                assert_int_equal(krait__timer_arm(&heap, &timers[i], when), 0);
            if (rand_r(&seed) % 16 == 0)
                krait__timer_remove(&heap, &timers[i]);
        }
    for (int i = 0; i < N; i++)
        armed += timers[i].until != KRAIT__NEVER;
    for (int64_t now_is = 250; now_is <= 1250; now_is += 250)
        for (;;) {
            int64_t until[N];

            for (int i = 0; i < N; i++)
                until[i] = timers[i].until;
            if (!(t = krait__timers_due(&heap, now_is)))
                break;
            assert_true(until[t - timers] <= now_is);
            assert_true(until[t - timers] >= last);
            last = until[t - timers];
            assert_true(t->until == KRAIT__NEVER);
            got++;
        }
    assert_int_equal(got, armed);
    assert_int_equal(heap.count, 0);
    assert_true(krait__timers_next(&heap) == KRAIT__NEVER);
    krait__timers_free(&heap);
}

static int sleep_badly(void *unused)
{
    krait_deadline d;
    double since = now();

    (void)unused;
    see_fails(krait_sleep(-0.1), EINVAL);
    see_fails(krait_sleep(NAN), EINVAL);
    see(krait_sleep(0.02) == 0);
    see(now() - since >= 0.02);
    see(krait_deadline_begin(&d, 0.01) == 0);
    see_fails(krait_sleep(KRAIT_FOREVER), ETIMEDOUT);
    see_fails(krait_sleep(0), ETIMEDOUT); /* even where it need not wait */
    see(krait_deadline_left() == 0);
    see(krait_deadline_end(&d) == 1);
    see(krait_sleep(0) == 0);
    return 0;
}

static void test_sleep_says_why_it_ended(void **state)
{
    assert_works(run_fibers(state, sleep_badly, NULL));
}

/* --- statistics ---------------------------------------------------------- */

static bool all_wait(void *arg)
{
    krait_stats s;

    return krait_runtime_stats(&s) == 0 && s.waiting == *(uint64_t *)arg;
}

static int compare_stats(void *arg)
{
    struct scene *scene = arg;
    struct victim v[COUNT(waits)];
    krait_fiber *f[COUNT(waits)];
    krait_stats before, s, after;
    uint64_t n = COUNT(waits), sum = 0;

    see(krait_mutex_lock(&scene->held, KRAIT_FOREVER) == 0);
    see(krait_runtime_stats(&before) == 0);
    see(before.alive == 1 && before.ready == 1 && before.waiting == 0);
    see(before.spawned == 1);
    see(before.workers == scene->workers);
    for (size_t i = 0; i < n; i++) {
        v[i] = (struct victim){.scene = scene, .w = &waits[i]};
        f[i] = spawn_at(1 + (int)i % 3, be_cancelled, &v[i]);
    }
    n++; /* wait_join's child */
    see(wait_for(all_wait, &n));
    see(krait_runtime_stats(&s) == 0);
    see(s.alive == n + 1);
    see(s.spawned == n + 1);
    see(s.waiting == n);
    see(s.ready == 1); /* the caller */
    see(s.waiting_for[KRAIT_WAIT_NONE] == 0);
    for (int i = 0; i < 16; i++)
        sum += s.waiting_for[i];
    see(sum == s.waiting);
    see(s.waiting_for[KRAIT_WAIT_CHAN] == 2);
    for (size_t i = 0; i < COUNT(waits); i++)
        see(s.waiting_for[waits[i].kind] >= 1 ||
            waits[i].kind == KRAIT_WAIT_CONNECT);
    see(s.switches >= before.switches + n);
    see(s.operations > before.operations);
    see(s.stacks >= n + 1);
    see(s.stacks_unguarded <= s.stacks);
    see(s.stack_bytes >= s.stacks * KRAIT_STACK_SIZE);
    see(s.stack_bytes_resident >= 4096 * (n + 1));
    see(s.stack_bytes_resident <= s.stack_bytes);
    see(*s.guards && *s.engine && *s.why);
    see(s.stalls == 0);
    for (size_t i = 0; i < COUNT(waits); i++) {
        krait_cancel(f[i]);
        joined(f[i]);
    }
    see(krait_runtime_stats(&after) == 0);
    see(after.alive == 1 && after.waiting == 0);
    see(after.switches > s.switches);
    see(krait_mutex_unlock(&scene->held) == 0);
    return 0;
}

static void test_the_statistics_add_up(void **state)
{
    struct scene s = {.workers = setting_of(state)->workers};

    set_scene(&s);
    assert_works(run_fibers(state, compare_stats, &s));
    strike_scene(&s);
}

static void ask_from_outside(void *arg)
{
    krait_stats s;

    see(krait_runtime_stats(&s) == 0);
    see(s.alive == 1);
    atomic_store((atomic_bool *)arg, true);
}

static int ask_strangely(void *unused)
{
    struct {
        krait_stats s;
        char newer[16];
    } big;
    struct {
        const char *engine, *why;
        char untouched[8];
    } small;
    static atomic_bool asked;

    (void)unused;
    atomic_store(&asked, false);
    see_fails(krait_runtime_stats(NULL), EINVAL);
    memset(&big, 1, sizeof big);
    see(krait_runtime_stats_sized(&big.s, sizeof big) == 0);
    for (size_t i = 0; i < sizeof big.newer; i++)
        see(big.newer[i] == 0);
    memset(&small, 1, sizeof small);
    see(krait_runtime_stats_sized((krait_stats *)&small,
                                  offsetof(krait_stats, workers)) == 0);
    see(strcmp(small.engine, big.s.engine) == 0);
    see(small.untouched[0] == 1);
    start_thread(ask_from_outside, &asked);
    see(until_set(&asked));
    return 0;
}

static void test_the_statistics_may_grow_and_be_asked_for_by_all(void **state)
{
    krait_stats s;

    assert_fails(krait_runtime_stats(&s), ESRCH);
    assert_fails(krait_runtime_stats(NULL), EINVAL);
    assert_works(run_fibers(state, ask_strangely, NULL));
}

static void test_each_kind_of_wait_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < KRAIT_WAIT_KINDS; i++) {
        const char *name = krait_wait_name((enum krait_wait)i);

        assert_true(name && *name && *name != '?');
        for (int j = 0; j < i; j++)
            assert_string_not_equal(name, krait_wait_name((enum krait_wait)j));
    }
    assert_string_equal(krait_wait_name(KRAIT_WAIT_RECV), "recv");
    assert_string_equal(krait_wait_name(KRAIT_WAIT_MUTEX), "mutex");
    assert_non_null(krait_wait_name(KRAIT_WAIT_KINDS));
    assert_non_null(krait_wait_name((enum krait_wait) - 1));
}

/* --- many ---------------------------------------------------------------- */

static krait_chan *parking;

static int park_in_the_chan(void *unused)
{
    (void)unused;
    see(krait_chan_recv(parking, NULL, KRAIT_FOREVER) == 0);
    return 0;
}

static int park_many(void *workers)
{
    uint64_t n = (uint64_t)fewer(20000);
    krait_stats s;

    for (uint64_t i = 0; i < n; i++)
        krait_release(spawn_at(1 + (int)i % *(int *)workers,
                               i % 2 ? park_in_the_chan : sleep_for_ever,
                               NULL));
    see(wait_for(all_wait, &n));
    see(krait_runtime_stats(&s) == 0);
    see(s.alive == n + 1);
    see(s.waiting_for[KRAIT_WAIT_SLEEP] == n - n / 2);
    see(s.waiting_for[KRAIT_WAIT_CHAN] == n / 2);
    see(s.stacks >= n);
    see(krait_chan_close(parking) == 0);
    n -= n / 2;
    see(wait_for(all_wait, &n));
    return 0; /* the sleepers are cancelled */
}

static void test_twenty_thousand_park_at_once(void **state)
{
    int workers = setting_of(state)->workers;

    parking = krait_chan_new(0, 0);
    assert_non_null(parking);
    assert_works(run_fibers(state, park_many, &workers));
    krait_chan_free(parking);
}

static int fail_to_connect(void *unused)
{
    krait_sock *s = krait_socket(AF_UNIX, SOCK_STREAM, 0);

    (void)unused;
    krait_connect(s, krait_unix("/nowhere/at/all"));
    krait_close(s);
    return -1;
}

/* As if it had been called: so that whoever called krait_run can say why. */
static void test_the_failure_of_main_is_its_callers_too(void **state)
{
    krait_run_options o = options_of(setting_of(state));

    assert_int_equal(krait_run(fail_to_connect, NULL, &o), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(krait_errno(), ENOENT);
    assert_contains(krait_errmsg(), "connect unix:/nowhere/at/all: ");
}

/* --- cold stacks --------------------------------------------------------- */

static int touch_much(void *unused)
{
    char deep[100 << 10];

    (void)unused;
    memset(deep, 1, sizeof deep);
    /* A compiler may shrink what nobody looks at. */
    __asm__ volatile("" : : "r"(deep) : "memory");
    return 0;
}

static uint64_t resident(void)
{
    krait_stats s;

    return see(krait_runtime_stats(&s) == 0) ? s.stack_bytes_resident : 0;
}

static bool is_cold(void *hot)
{
    return resident() < *(uint64_t *)hot / 4;
}

/* A worker that has nothing to do gives back what its last fibers touched. */
static int idle_after_work(void *unused)
{
    krait_fiber *f[32];
    uint64_t hot;

    (void)unused;
    for (int i = 0; i < 32; i++)
        f[i] = krait_spawn(touch_much, NULL, NULL);
    for (int i = 0; i < 32; i++)
        joined(f[i]);
    hot = resident();
    see(hot > 32 * (64 << 10));
    see(krait_sleep(1.1) == 0); /* the worker is idle for so long */
    see(wait_for(is_cold, &hot));
    return 0;
}

static void test_an_idle_worker_s_free_stacks_are_given_back(void **state)
{
    assert_works(run_fibers(state, idle_after_work, NULL));
}

int main(int argc, char **argv)
{
    static const struct fiber_test tests[] = {
        {TEST(test_an_idle_worker_s_free_stacks_are_given_back), false},
        {TEST(test_the_failure_of_main_is_its_callers_too), false},
        {TEST(test_run_returns_what_main_returned), false},
        {TEST(test_a_plain_thread_is_no_fiber), true},
        {TEST(test_options_out_of_range), true},
        {TEST(test_the_environment_goes_before_the_options), true},
        {TEST(test_a_worker_for_each_cpu_is_the_default), true},
        {TEST(test_there_is_one_run_time_at_a_time), false},
        {TEST(test_join_tells_the_result), false},
        {TEST(test_a_fiber_begins_when_its_maker_waits), false},
        {TEST(test_a_fiber_stays_on_the_worker_that_was_chosen), false},
        {TEST(test_a_thread_outside_spawns_and_joins), false},
        {TEST(test_spawn_from_outside_fails_when_the_run_time_ends), false},
        {TEST(test_a_plain_thread_joins), false},
        {TEST(test_join_says_what_is_wrong), false},
        {TEST(test_a_join_that_timed_out_can_be_made_again), false},
        {TEST(test_a_released_fiber_goes_on_and_leaves_nothing), false},
        {TEST(test_a_fiber_may_have_a_larger_stack), false},
        {TEST(test_names_are_copied), false},
        {TEST(test_a_cancel_ends_each_kind_of_wait), false},
        {TEST(test_a_fiber_cancelled_before_it_begins_runs_and_unwinds), false},
        {TEST(test_a_fiber_may_cancel_itself_and_what_has_ended), false},
        {TEST(test_a_cancellation_can_be_held_back), false},
        {TEST(test_a_blocking_call_that_has_begun_is_waited_for), false},
        {TEST(test_when_main_returns_the_others_are_cancelled), false},
        {TEST(test_children_of_the_end_are_born_cancelled), false},
        {TEST(test_the_end_reaches_fibers_that_never_wait), false},
        {TEST(test_errors_are_each_fibers_own), false},
        {TEST(test_yields_go_round), false},
        {TEST(test_sleepers_wake_in_the_order_of_their_times), false},
        {TEST(test_timers_that_are_due_come_in_order), true},
        {TEST(test_sleep_says_why_it_ended), false},
        {TEST(test_the_statistics_add_up), false},
        {TEST(test_the_statistics_may_grow_and_be_asked_for_by_all), false},
        {TEST(test_each_kind_of_wait_has_a_name), true},
        {TEST(test_twenty_thousand_park_at_once), false},
    };

    return run_fiber_tests(argc, argv, "fiber", tests, COUNT(tests));
}
