/* SPDX-License-Identifier: MIT
 *
 * test_sync.c - mutexes, conditions, semaphores, groups and channels: each row
 * of krait/sync.h, that the first is served first, that giving up and being
 * served at the same moment loses nothing, and that what is over may be freed.
 *
 * What all of them promise is tested for each kind of wait in the table below.
 *
 * ctest: flows
 */
#include "support.h"

#include <limits.h>
#include <linux/futex.h>
#include <math.h>

#include "base/deadline.h"
#include "base/failure.h"
#include "fiber/wait_queue.h"

/* For waits that end: so that one that doesn't is a failure, and no hang. */
#define LONG PATIENCE

/* Valgrind is slow, and what is raced for there shows elsewhere. */
static int rounds(int n)
{
    return under_valgrind() ? n / 20 + 1 : n;
}

/* --- watching a task until it waits ------------------------------------ */

/* The futex call that a thread sleeps in: its operation and its word. */
static bool futex_of(int tid, unsigned long *op, unsigned long *word)
{
    char path[64];
    long call = -1;
    int n;
    FILE *f;

    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
    f = fopen(path, "re");
    if (!f)
        return false;
    n = fscanf(f, "%ld %lx %lx", &call, word, op);
    fclose(f);
    return n == 3 && call == SYS_futex;
}

static bool is_parked(void *arg)
{
    struct task *task = (struct task *)arg;
    int tid = atomic_load(&task->tid);
    unsigned long op, word;

    if (atomic_load(&task->done) || task->fiber)
        return is_blocked(task);
    if (tid && sleeping_call(tid) == -2)
        return sleeps_somewhere(tid);
    /* An inner lock's, or the sanitizer's, is another operation. */
    return tid && futex_of(tid, &op, &word) &&
           op == (FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG);
}

/* Looks until the task waits in a call of krait/sync.h. */
static void wait_until_parked(struct task *task)
{
    if (!wait_for(is_parked, task))
        fail_msg("the task doesn't wait");
    if (atomic_load(&task->done))
        fail_msg("the task has ended instead of waiting");
}

/* --- every kind of wait ------------------------------------------------ */

/* One of each, such that all calls would have to wait. */
struct objects {
    krait_mutex mutex; /* held by the test */
    krait_mutex cond_mutex;
    krait_cond cond;
    krait_sem sem;
    krait_group group; /* at 1 */
    krait_chan *full, *empty, *meeting;
    atomic_int ended;
};

static struct objects *new_objects(void)
{
    struct objects *o = (struct objects *)own_block(sizeof *o);
    int item = 0;

    o->full = krait_chan_new(sizeof item, 1);
    o->empty = krait_chan_new(sizeof item, 1);
    o->meeting = krait_chan_new(sizeof item, 0);
    assert_true(o->full && o->empty && o->meeting);
    assert_works(krait_chan_send(o->full, &item, 0));
    assert_works(krait_group_add(&o->group, 1));
    assert_works(krait_mutex_lock(&o->mutex, 0));
    return o;
}

static void free_objects(struct objects *o)
{
    krait_chan_free(o->full);
    krait_chan_free(o->empty);
    krait_chan_free(o->meeting);
}

static int call_mutex(struct objects *o, double timeout)
{
    return krait_mutex_lock(&o->mutex, timeout);
}

static int serve_mutex(struct objects *o)
{
    return krait_mutex_unlock(&o->mutex);
}

static int call_cond(struct objects *o, double timeout)
{
    int rc, err;

    if (krait_mutex_lock(&o->cond_mutex, LONG) < 0)
        return -2;
    rc = krait_cond_wait(&o->cond, &o->cond_mutex, timeout);
    err = errno;
    if (krait_mutex_unlock(&o->cond_mutex) < 0)
        return -3; /* it did not have the mutex again */
    errno = err;
    return rc;
}

/* Who was seen to wait may have waited for the mutex; it comes first. */
static int serve_cond(struct objects *o)
{
    int rc = krait_mutex_lock(&o->cond_mutex, LONG);

    if (rc == 0)
        rc = krait_cond_signal(&o->cond);
    return krait_mutex_unlock(&o->cond_mutex) < 0 ? -1 : rc;
}

static int call_sem(struct objects *o, double timeout)
{
    return krait_sem_wait(&o->sem, timeout);
}

static int serve_sem(struct objects *o)
{
    return krait_sem_post(&o->sem);
}

static int call_group(struct objects *o, double timeout)
{
    return krait_group_wait(&o->group, timeout);
}

static int serve_group(struct objects *o)
{
    return krait_group_done(&o->group);
}

static int call_send(struct objects *o, double timeout)
{
    int item = 1;

    return krait_chan_send(o->full, &item, timeout);
}

static int serve_send(struct objects *o)
{
    int item;

    return krait_chan_recv(o->full, &item, 0);
}

static int call_send_meeting(struct objects *o, double timeout)
{
    int item = 1;

    return krait_chan_send(o->meeting, &item, timeout);
}

static int serve_send_meeting(struct objects *o)
{
    int item;

    return krait_chan_recv(o->meeting, &item, 0);
}

static int call_recv(struct objects *o, double timeout)
{
    int item;

    return krait_chan_recv(o->empty, &item, timeout);
}

static int serve_recv(struct objects *o)
{
    int item = 1;

    return krait_chan_send(o->empty, &item, 0);
}

static int call_recv_meeting(struct objects *o, double timeout)
{
    int item;

    return krait_chan_recv(o->meeting, &item, timeout);
}

static int serve_recv_meeting(struct objects *o)
{
    int item = 1;

    return krait_chan_send(o->meeting, &item, 0);
}

static const struct kind {
    const char *op;                        /* how errors name it */
    int (*call)(struct objects *, double); /* waits */
    int (*serve)(struct objects *);        /* gives what is waited for */
    int good;                              /* what success returns */
    enum {
        ONE,
        ALL,
        CHAIN
    } serves; /* the first; everybody; the first,
                                            * who serves the next */
} kinds[] = {
    {"mutex_lock", call_mutex, serve_mutex, 0, CHAIN},
    {"cond_wait", call_cond, serve_cond, 0, ONE},
    {"sem_wait", call_sem, serve_sem, 0, ONE},
    {"group_wait", call_group, serve_group, 0, ALL},
    {"chan_send", call_send, serve_send, 0, ONE},
    {"chan_send", call_send_meeting, serve_send_meeting, 0, ONE},
    {"chan_recv", call_recv, serve_recv, 1, ONE},
    {"chan_recv", call_recv_meeting, serve_recv_meeting, 1, ONE},
};

/* One such call, made by a task. */
struct job {
    const struct kind *kind;
    struct objects *o;
    double timeout;
    int rc, err, place;
    enum krait_error_domain domain;
    double took;
    struct task *task;
};

static void do_job(void *arg)
{
    struct job *job = (struct job *)arg;
    double since = now();

    job->rc = job->kind->call(job->o, job->timeout);
    job->err = errno;
    job->domain = krait_errdomain();
    job->took = now() - since;
    job->place = atomic_fetch_add(&job->o->ended, 1);
    if (job->kind->serves == CHAIN && job->rc >= 0)
        krait_mutex_unlock(&job->o->mutex);
}

static struct job *begin_job(const struct kind *kind, struct objects *o,
                             double timeout)
{
    struct job *job = (struct job *)own_block(sizeof *job);

    job->kind = kind;
    job->o = o;
    job->timeout = timeout;
    job->task = start(do_job, job);
    return job;
}

static struct job *wait_in_job(const struct kind *kind, struct objects *o,
                               double timeout)
{
    struct job *job = begin_job(kind, o, timeout);

    wait_until_parked(job->task);
    return job;
}

/* For each kind, with a fresh set of objects. */
static void for_each_kind(void (*body)(const struct kind *, struct objects *))
{
    size_t i;

    for (i = 0; i < COUNT(kinds); i++) {
        struct objects *o = new_objects();

        body(&kinds[i], o);
        free_objects(o);
    }
}

static void refuses_to_wait(const struct kind *kind, struct objects *o)
{
    /* The test holds the mutex, and would be told that it does. */
    struct job *job = begin_job(kind, o, 0);

    join(job->task);
    assert_int_equal(job->rc, -1);
    assert_int_equal(job->err, EAGAIN);
}

static void test_timeout_0_does_not_wait(void **state)
{
    (void)state;
    for_each_kind(refuses_to_wait);
}

static void gives_up(const struct kind *kind, struct objects *o)
{
    struct job *late, *job = begin_job(kind, o, 0.02);

    join(job->task);
    assert_int_equal(job->rc, -1);
    assert_int_equal(job->err, ETIMEDOUT);
    assert_int_equal(job->domain, KRAIT_ERROR_TIMEOUT);
    assert_true(job->took >= 0.02);
    /* It has left no trace: what is given now goes to the next. */
    late = wait_in_job(kind, o, LONG);
    assert_works(kind->serve(o));
    join(late->task);
    assert_int_equal(late->rc, kind->good);
}

static void test_a_timeout_passes_and_takes_nothing(void **state)
{
    (void)state;
    for_each_kind(gives_up);
}

static void gives_up_soon(const struct kind *kind, struct objects *o)
{
    struct job *job = begin_job(kind, o, 1e-9);

    join(job->task);
    assert_int_equal(job->rc, -1);
    assert_int_equal(job->err, ETIMEDOUT);
}

static void test_the_shortest_timeout_is_no_0(void **state)
{
    (void)state;
    for_each_kind(gives_up_soon);
}

static void refuses_bad_timeouts(const struct kind *kind, struct objects *o)
{
    static const double bad[] = {-1, -0.001, -HUGE_VAL, NAN};
    size_t i;

    for (i = 0; i < COUNT(bad); i++) {
        assert_fails(kind->call(o, bad[i]), EINVAL);
        assert_contains(krait_errmsg(), kind->op);
        assert_contains(krait_errmsg(), "timeout");
    }
}

static void test_a_timeout_has_its_range(void **state)
{
    (void)state;
    for_each_kind(refuses_bad_timeouts);
}

static void is_served(const struct kind *kind, struct objects *o)
{
    struct job *job = wait_in_job(kind, o, KRAIT_FOREVER);

    assert_works(kind->serve(o));
    join(job->task);
    assert_int_equal(job->rc, kind->good);
}

static void test_who_waits_is_served(void **state)
{
    (void)state;
    for_each_kind(is_served);
}

struct expected_end {
    struct objects *o;
    int count;
};

static bool so_many_ended(void *arg)
{
    struct expected_end *e = (struct expected_end *)arg;

    return atomic_load(&e->o->ended) >= e->count;
}

/* Serves `n` who wait, each after the one before has ended. */
static void serve_all(const struct kind *kind, struct objects *o, int n)
{
    struct expected_end e = {o, atomic_load(&o->ended)};
    int i;

    for (i = 0; i < n; i++) {
        if (i == 0 || kind->serves == ONE)
            assert_works(kind->serve(o));
        e.count++;
        assert_true(wait_for(so_many_ended, &e));
    }
}

static void serves_in_order(const struct kind *kind, struct objects *o)
{
    struct job *jobs[5];
    int i;

    for (i = 0; i < (int)COUNT(jobs); i++)
        jobs[i] = wait_in_job(kind, o, LONG);
    serve_all(kind, o, COUNT(jobs));
    for (i = 0; i < (int)COUNT(jobs); i++) {
        join(jobs[i]->task);
        assert_int_equal(jobs[i]->rc, kind->good);
        if (kind->serves != ALL)
            assert_int_equal(jobs[i]->place, i);
    }
}

static void test_who_waits_longest_is_served_first(void **state)
{
    (void)state;
    for_each_kind(serves_in_order);
}

/* First, in the middle, and last. */
static void leaves_the_queue(const struct kind *kind, struct objects *o)
{
    struct job *jobs[5];
    int i;

    for (i = 0; i < (int)COUNT(jobs); i++)
        jobs[i] = begin_job(kind, o, i % 2 ? LONG : 0.05 + i / 100.0);
    for (i = 0; i < (int)COUNT(jobs); i += 2) {
        join(jobs[i]->task);
        assert_int_equal(jobs[i]->rc, -1);
        assert_int_equal(jobs[i]->err, ETIMEDOUT);
    }
    wait_until_parked(jobs[1]->task);
    wait_until_parked(jobs[3]->task);
    serve_all(kind, o, 2);
    for (i = 1; i < (int)COUNT(jobs); i += 2) {
        join(jobs[i]->task);
        assert_int_equal(jobs[i]->rc, kind->good);
    }
}

static void test_who_gives_up_leaves_the_others_in_the_queue(void **state)
{
    (void)state;
    for_each_kind(leaves_the_queue);
}

static void names_itself(const struct kind *kind, struct objects *o)
{
    if (kind->serves == CHAIN)
        return; /* the test's own mutex: see below */
    assert_fails(kind->call(o, 0), EAGAIN);
    assert_contains(krait_errmsg(), kind->op);
    assert_fails(kind->call(o, 1e-6), ETIMEDOUT);
    assert_contains(krait_errmsg(), kind->op);
    assert_contains(krait_errmsg(), "timed out");
}

static void test_failures_name_the_call(void **state)
{
    (void)state;
    for_each_kind(names_itself);
}

static void test_no_object_is_einval(void **state)
{
    krait_mutex m = KRAIT_MUTEX_INIT;
    krait_cond c = KRAIT_COND_INIT;
    int item = 0;

    (void)state;
    assert_fails(krait_mutex_lock(NULL, KRAIT_FOREVER), EINVAL);
    assert_contains(krait_errmsg(), "mutex_lock");
    assert_fails(krait_mutex_unlock(NULL), EINVAL);
    assert_contains(krait_errmsg(), "mutex_unlock");
    assert_fails(krait_cond_wait(NULL, &m, KRAIT_FOREVER), EINVAL);
    assert_fails(krait_cond_wait(&c, NULL, KRAIT_FOREVER), EINVAL);
    assert_contains(krait_errmsg(), "cond_wait");
    assert_fails(krait_cond_signal(NULL), EINVAL);
    assert_contains(krait_errmsg(), "cond_signal");
    assert_fails(krait_cond_broadcast(NULL), EINVAL);
    assert_contains(krait_errmsg(), "cond_broadcast");
    assert_fails(krait_sem_wait(NULL, KRAIT_FOREVER), EINVAL);
    assert_contains(krait_errmsg(), "sem_wait");
    assert_fails(krait_sem_post(NULL), EINVAL);
    assert_contains(krait_errmsg(), "sem_post");
    assert_fails(krait_group_add(NULL, 1), EINVAL);
    assert_contains(krait_errmsg(), "group_add");
    assert_fails(krait_group_done(NULL), EINVAL);
    assert_contains(krait_errmsg(), "group_done");
    assert_fails(krait_group_wait(NULL, KRAIT_FOREVER), EINVAL);
    assert_contains(krait_errmsg(), "group_wait");
    assert_fails(krait_chan_send(NULL, &item, KRAIT_FOREVER), EINVAL);
    assert_contains(krait_errmsg(), "chan_send");
    assert_fails(krait_chan_recv(NULL, &item, KRAIT_FOREVER), EINVAL);
    assert_contains(krait_errmsg(), "chan_recv");
    assert_fails(krait_chan_close(NULL), EINVAL);
    assert_contains(krait_errmsg(), "chan_close");
}

/* --- deadline scopes --------------------------------------------------- */

/* The call in a scope that passes while it waits, one that has passed before,
 * and, in that, without waiting. */
struct scoped {
    struct job job;
    int cut, past, at_once, err_cut, err_past, err_at_once;
};

static void do_scoped(void *arg)
{
    struct scoped *s = (struct scoped *)arg;
    krait_deadline d;

    krait_deadline_begin(&d, 0.02);
    s->cut = s->job.kind->call(s->job.o, KRAIT_FOREVER);
    s->err_cut = errno;
    s->past = s->job.kind->call(s->job.o, LONG);
    s->err_past = errno;
    s->at_once = s->job.kind->call(s->job.o, 0);
    s->err_at_once = errno;
    krait_deadline_end(&d);
}

static void obeys_scopes(const struct kind *kind, struct objects *o)
{
    struct scoped s = {.job = {.kind = kind, .o = o}};

    /* call_cond locks a mutex first, which the scope makes fail. */
    if (kind->call == call_cond)
        return;
    join(start(do_scoped, &s));
    assert_int_equal(s.cut, -1);
    assert_int_equal(s.err_cut, ETIMEDOUT);
    assert_int_equal(s.past, -1);
    assert_int_equal(s.err_past, ETIMEDOUT);
    assert_int_equal(s.at_once, -1);
    assert_int_equal(s.err_at_once, EAGAIN);
}

static void test_scopes_end_waits(void **state)
{
    (void)state;
    for_each_kind(obeys_scopes);
}

/* Even what need not wait fails once the scope has passed; what gives does not,
 * and a condition gives its mutex back. */
static void test_a_scope_that_has_passed(void **state)
{
    krait_mutex m = KRAIT_MUTEX_INIT;
    krait_cond c = KRAIT_COND_INIT;
    krait_sem s = KRAIT_SEM_INIT(1);
    krait_group g = KRAIT_GROUP_INIT;
    krait_chan *ch = krait_chan_new(0, 1);
    krait_deadline d;

    (void)state;
    assert_non_null(ch);
    assert_works(krait_mutex_lock(&m, KRAIT_FOREVER));
    assert_works(krait_deadline_begin(&d, 0));
    assert_fails(krait_cond_wait(&c, &m, KRAIT_FOREVER), ETIMEDOUT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_works(krait_cond_signal(&c));
    assert_works(krait_cond_broadcast(&c));
    assert_works(krait_mutex_unlock(&m));
    assert_fails(krait_mutex_lock(&m, 1), ETIMEDOUT);
    assert_works(krait_mutex_lock(&m, 0));
    assert_works(krait_mutex_unlock(&m));
    assert_fails(krait_sem_wait(&s, 1), ETIMEDOUT);
    assert_works(krait_sem_wait(&s, 0));
    assert_works(krait_sem_post(&s));
    assert_fails(krait_group_wait(&g, 1), ETIMEDOUT);
    assert_works(krait_group_wait(&g, 0));
    assert_works(krait_group_add(&g, 1));
    assert_works(krait_group_done(&g));
    assert_fails(krait_chan_send(ch, NULL, 1), ETIMEDOUT);
    assert_works(krait_chan_send(ch, NULL, 0));
    assert_fails(krait_chan_recv(ch, NULL, 1), ETIMEDOUT);
    assert_int_equal(krait_chan_recv(ch, NULL, 0), 1);
    assert_works(krait_chan_close(ch));
    assert_int_equal(krait_deadline_end(&d), 1);
    krait_chan_free(ch);
}

/* In a scope that passes while a condition is waited for, the mutex comes back
 * all the same. */
static void test_a_condition_in_a_scope_that_passes(void **state)
{
    krait_mutex m = KRAIT_MUTEX_INIT;
    krait_cond c = KRAIT_COND_INIT;
    krait_deadline d;

    (void)state;
    assert_works(krait_mutex_lock(&m, KRAIT_FOREVER));
    assert_works(krait_deadline_begin(&d, 0.02));
    assert_fails(krait_cond_wait(&c, &m, KRAIT_FOREVER), ETIMEDOUT);
    assert_int_equal(krait_deadline_end(&d), 1);
    assert_works(krait_mutex_unlock(&m));
}

/* --- signals, which are a thread's ------------------------------------- */

static atomic_int hook_calls, hook_answer;
static _Atomic(struct task *) hooked; /* whom the hook is about */
static krait_sem hook_sem;

static void on_signal(int signo)
{
    (void)signo;
}

/* Waits in its turn, which must not use up what the call under it waits for.
 * In fibers all are asked that wait on the same worker. */
static int count_hook(void *arg)
{
    struct task *task = atomic_load(&hooked);

    (void)arg;
    if (!task || !runs_here(task))
        return 0;
    krait_sem_wait(&hook_sem, 1e-5);
    atomic_fetch_add(&hook_calls, 1);
    return atomic_load(&hook_answer);
}

static void watch_signals(int answer)
{
    struct sigaction sa = {.sa_handler = on_signal};

    sigaction(SIGUSR1, &sa, NULL);
    atomic_store(&hook_calls, 0);
    atomic_store(&hook_answer, answer);
    krait_set_signal_hook(count_hook, NULL);
}

static struct job *wait_in_hooked_job(const struct kind *kind,
                                      struct objects *o)
{
    struct job *job = wait_in_job(kind, o, LONG);

    atomic_store(&hooked, job->task);
    return job;
}

static void stop_watching(void)
{
    krait_set_signal_hook(NULL, NULL);
    atomic_store(&hooked, NULL);
}

static bool was_asked_often(void *unused)
{
    (void)unused;
    return atomic_load(&hook_calls) >= 3;
}

static void goes_on(const struct kind *kind, struct objects *o)
{
    struct hail hail = {0};
    struct job *job;
    bool asked;
    int rc;

    watch_signals(0);
    job = wait_in_hooked_job(kind, o);
    begin_hail(&hail, &job->task->tid, SIGUSR1);
    asked = wait_for(was_asked_often, NULL);
    rc = kind->serve(o);
    join(job->task);
    end_hail(&hail);
    stop_watching();
    assert_works(rc);
    assert_true(asked);
    assert_int_equal(job->rc, kind->good);
}

static void test_calls_go_on_after_signals(void **state)
{
    (void)state;
    for_each_kind(goes_on);
}

static void is_stopped(const struct kind *kind, struct objects *o)
{
    struct job *job, *late;

    watch_signals(1);
    job = wait_in_hooked_job(kind, o);
    hail_until_done(job->task, SIGUSR1);
    join(job->task);
    stop_watching();
    assert_int_equal(job->rc, -1);
    assert_int_equal(job->err, EINTR);
    late = wait_in_job(kind, o, LONG);
    assert_works(kind->serve(o));
    join(late->task);
    assert_int_equal(late->rc, kind->good);
}

static void test_the_hook_can_stop_a_call(void **state)
{
    (void)state;
    for_each_kind(is_stopped);
}

/* --- the queue itself -------------------------------------------------- */

struct counter {
    struct krait__lock lock;
    struct krait__wait_queue queue;
    int64_t timeout;
    int rc;
    struct task *task;
};

static void do_queue(void *arg)
{
    struct counter *c = (struct counter *)arg;

    krait__lock(&c->lock);
    c->rc = krait__wait(&c->queue, &c->lock, NULL, KRAIT_WAIT_SEM, c->timeout);
}

static bool wants_the_lock(void *arg)
{
    struct counter *c = (struct counter *)arg;
    unsigned long op, word;

    return futex_of(atomic_load(&c->task->tid), &op, &word) &&
           word == (uintptr_t)&c->lock.word;
}

static bool queue_or_end(void *arg)
{
    struct counter *c = (struct counter *)arg;

    krait__lock(&c->lock);
    if (c->queue.first)
        return true; /* with the lock */
    krait__unlock(&c->lock);
    return atomic_load(&c->task->done);
}

/* The waiter's time is up and it wants the lock, to leave the queue; who has
 * the lock serves it. Since it holds an inner lock for a while, which no fiber
 * does, the waiter is a thread. */
static void test_served_at_the_last_moment(void **state)
{
    struct counter *c = (struct counter *)own_block(sizeof *c);

    (void)state;
    for (c->timeout = 20 * KRAIT__NS_PER_MS;; c->timeout *= 2) {
        c->task = start_thread(do_queue, c);
        assert_true(wait_for(queue_or_end, c));
        if (!atomic_load(&c->task->done))
            break; /* seen in time */
        join(c->task);
        assert_int_equal(c->rc, -KRAIT__ETIMEOUT);
        assert_true(c->timeout < 5 * KRAIT__NS_PER_SEC);
    }
    if (sleeping_call(atomic_load(&c->task->tid)) == -2) {
        krait__unlock(&c->lock);
        skip_because("/proc does not tell in which call a thread sleeps");
    }
    if (!wait_for(wants_the_lock, c)) {
        krait__unlock(&c->lock);
        fail_msg("its time does not pass");
    }
    assert_true(krait__serve(&c->queue, 7));
    krait__unlock(&c->lock);
    join(c->task);
    assert_int_equal(c->rc, 7);
}

static void test_a_wake_for_no_reason_ends_no_wait(void **state)
{
    struct counter *c = (struct counter *)own_block(sizeof *c);
    int i;

    (void)state;
    c->timeout = KRAIT__NEVER;
    c->task = start(do_queue, c);
    for (i = 0; i < 100; i++) {
        wait_until_parked(c->task);
        krait__lock(&c->lock);
        assert_non_null(c->queue.first);
        krait__unpark(c->queue.first->parker);
        krait__unlock(&c->lock);
    }
    krait__lock(&c->lock);
    assert_true(krait__serve(&c->queue, 3));
    assert_false(krait__serve(&c->queue, 4));
    krait__unlock(&c->lock);
    join(c->task);
    assert_int_equal(c->rc, 3);
}

/* --- mutex ------------------------------------------------------------- */

static void test_a_mutex_is_locked_once(void **state)
{
    krait_mutex m = KRAIT_MUTEX_INIT;

    (void)state;
    assert_fails(krait_mutex_unlock(&m), EPERM);
    assert_contains(krait_errmsg(), "does not hold");
    assert_works(krait_mutex_lock(&m, KRAIT_FOREVER));
    assert_fails(krait_mutex_lock(&m, KRAIT_FOREVER), EDEADLK);
    assert_contains(krait_errmsg(), "mutex_lock");
    assert_contains(krait_errmsg(), "holds the mutex already");
    assert_fails(krait_mutex_lock(&m, 1), EDEADLK);
    assert_fails(krait_mutex_lock(&m, 0), EDEADLK);
    assert_works(krait_mutex_unlock(&m));
    assert_fails(krait_mutex_unlock(&m), EPERM);
}

static void test_zeroed_memory_is_an_object(void **state)
{
    struct {
        krait_mutex mutex;
        krait_cond cond;
        krait_sem sem;
        krait_group group;
    } *o = own_block(sizeof *o);

    (void)state;
    assert_works(krait_mutex_lock(&o->mutex, 0));
    assert_fails(krait_cond_wait(&o->cond, &o->mutex, 0.001), ETIMEDOUT);
    assert_works(krait_mutex_unlock(&o->mutex));
    assert_fails(krait_sem_wait(&o->sem, 0), EAGAIN);
    assert_works(krait_group_wait(&o->group, 0));
}

static void unlock_others(void *arg)
{
    struct job *job = (struct job *)arg;

    job->rc = krait_mutex_unlock(&job->o->mutex);
    job->err = errno;
}

static void test_only_its_owner_unlocks_a_mutex(void **state)
{
    struct objects *o = new_objects();
    struct job job = {.o = o};

    (void)state;
    join(start(unlock_others, &job));
    assert_int_equal(job.rc, -1);
    assert_int_equal(job.err, EPERM);
    assert_works(krait_mutex_unlock(&o->mutex));
    free_objects(o);
}

struct handed {
    krait_mutex mutex;
    krait_sem leave;
    int rc;
};

static void lock_until_told(void *arg)
{
    struct handed *h = (struct handed *)arg;

    h->rc = krait_mutex_lock(&h->mutex, LONG);
    krait_sem_wait(&h->leave, LONG);
    krait_mutex_unlock(&h->mutex);
}

static void test_an_unlock_hands_the_mutex_over(void **state)
{
    struct handed *h = (struct handed *)own_block(sizeof *h);
    struct task *task;

    (void)state;
    assert_works(krait_mutex_lock(&h->mutex, KRAIT_FOREVER));
    task = start(lock_until_told, h);
    wait_until_parked(task);
    assert_works(krait_mutex_unlock(&h->mutex));
    /* Whether the other has run yet or not. */
    assert_fails(krait_mutex_lock(&h->mutex, 0), EAGAIN);
    assert_fails(krait_mutex_unlock(&h->mutex), EPERM);
    assert_works(krait_sem_post(&h->leave));
    assert_works(krait_mutex_lock(&h->mutex, LONG));
    join(task);
    assert_int_equal(h->rc, 0);
}

/* --- many at a time ---------------------------------------------------- */

#define CROWD 8

/* What a crowd shares. `plain` numbers are guarded by what is tested. */
struct crowd {
    void (*run)(void *crowd);
    krait_group gate; /* so that all begin at once, and get in each other's
                       * way */
    krait_mutex mutex;
    krait_cond not_empty, not_full;
    krait_sem sem;
    krait_group group;
    int rounds;
    long plain, buffered, most;
    bool inside;
    atomic_long wins, losses, wrongs, now_inside, given;
    atomic_uint seed;
};

static struct crowd *new_crowd(int n)
{
    struct crowd *c = (struct crowd *)own_block(sizeof *c);

    c->rounds = rounds(n);
    return c;
}

static void run_with_all(void *arg)
{
    struct crowd *c = (struct crowd *)arg;

    krait_group_wait(&c->gate, KRAIT_FOREVER);
    c->run(c);
}

static void run_crowd(struct crowd *c, void (*run)(void *))
{
    struct task *tasks[CROWD];
    int i;

    c->run = run;
    assert_works(krait_group_add(&c->gate, 1));
    for (i = 0; i < CROWD; i++)
        tasks[i] = start(run_with_all, c);
    for (i = 0; i < CROWD; i++)
        wait_until_parked(tasks[i]);
    assert_works(krait_group_done(&c->gate));
    for (i = 0; i < CROWD; i++)
        join(tasks[i]);
    assert_int_equal(atomic_load(&c->wrongs), 0);
}

/* Numbers that differ from task to task; each has its own. */
static unsigned seed_of(struct crowd *c)
{
    return atomic_fetch_add(&c->seed, 7919) + 12345;
}

/* A timeout of 0 to `most` seconds. */
static double some_time(unsigned *seed, double most)
{
    *seed = *seed * 1103515245 + 12345;
    return most * (double)(*seed >> 16) / 65536;
}

static void count_in_mutex(struct crowd *c)
{
    if (c->inside)
        atomic_fetch_add(&c->wrongs, 1);
    c->inside = true;
    c->plain++;
    c->inside = false;
}

static void lock_and_count(void *arg)
{
    struct crowd *c = (struct crowd *)arg;
    int i;

    for (i = 0; i < c->rounds; i++) {
        if (krait_mutex_lock(&c->mutex, KRAIT_FOREVER) < 0) {
            atomic_fetch_add(&c->wrongs, 1);
            continue;
        }
        count_in_mutex(c);
        if (krait_mutex_unlock(&c->mutex) < 0)
            atomic_fetch_add(&c->wrongs, 1);
    }
}

static void test_a_mutex_excludes(void **state)
{
    struct crowd *c = new_crowd(5000);

    (void)state;
    run_crowd(c, lock_and_count);
    assert_int_equal(c->plain, CROWD * c->rounds);
}

static void try_lock_and_count(void *arg)
{
    struct crowd *c = (struct crowd *)arg;
    unsigned seed = seed_of(c);
    int i;

    for (i = 0; i < c->rounds; i++) {
        if (krait_mutex_lock(&c->mutex, some_time(&seed, 2e-4)) < 0) {
            atomic_fetch_add(&c->losses, 1);
            if (errno != ETIMEDOUT && errno != EAGAIN)
                atomic_fetch_add(&c->wrongs, 1);
            continue;
        }
        atomic_fetch_add(&c->wins, 1);
        count_in_mutex(c);
        if (krait_mutex_unlock(&c->mutex) < 0)
            atomic_fetch_add(&c->wrongs, 1);
    }
}

static void test_a_mutex_with_timeouts_is_neither_lost_nor_doubled(void **state)
{
    struct crowd *c = new_crowd(3000);

    (void)state;
    run_crowd(c, try_lock_and_count);
    assert_int_equal(c->plain, atomic_load(&c->wins));
    assert_int_equal(atomic_load(&c->wins) + atomic_load(&c->losses),
                     CROWD * c->rounds);
    assert_works(krait_mutex_lock(&c->mutex, 0)); /* it is free */
}

/* --- condition --------------------------------------------------------- */

static void test_a_condition_needs_its_mutex(void **state)
{
    krait_mutex m = KRAIT_MUTEX_INIT;
    krait_cond c = KRAIT_COND_INIT;

    (void)state;
    assert_fails(krait_cond_wait(&c, &m, KRAIT_FOREVER), EPERM);
    assert_fails(krait_cond_wait(&c, &m, 0), EPERM);
    assert_contains(krait_errmsg(), "does not hold the mutex");
    assert_works(krait_cond_signal(&c)); /* nobody waits */
    assert_works(krait_cond_broadcast(&c));
    assert_works(krait_mutex_lock(&m, 0));
    assert_fails(krait_cond_wait(&c, &m, 0), EAGAIN);
    assert_fails(krait_cond_wait(&c, &m, 0.001), ETIMEDOUT);
    assert_works(krait_mutex_unlock(&m)); /* it was held again */
}

static void test_a_signal_that_nobody_waits_for_is_gone(void **state)
{
    krait_mutex m = KRAIT_MUTEX_INIT;
    krait_cond c = KRAIT_COND_INIT;

    (void)state;
    assert_works(krait_mutex_lock(&m, 0));
    assert_works(krait_cond_signal(&c));
    assert_fails(krait_cond_wait(&c, &m, 0.001), ETIMEDOUT);
    assert_works(krait_mutex_unlock(&m));
}

static const struct kind *const cond_kind = &kinds[1];

static void test_a_broadcast_wakes_all(void **state)
{
    struct objects *o = new_objects();
    struct job *jobs[5];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(jobs); i++)
        jobs[i] = wait_in_job(cond_kind, o, LONG);
    assert_works(krait_cond_broadcast(&o->cond));
    for (i = 0; i < COUNT(jobs); i++) {
        join(jobs[i]->task);
        assert_int_equal(jobs[i]->rc, 0);
    }
    free_objects(o);
}

static bool cond_mutex_is_free(void *arg)
{
    struct objects *o = (struct objects *)arg;

    return krait_mutex_lock(&o->cond_mutex, 0) == 0;
}

/* It waits for the mutex however long that takes, and fails only then. */
static void test_a_condition_gives_its_mutex_back_late(void **state)
{
    struct objects *o = new_objects();
    struct job *job = begin_job(cond_kind, o, 0.05);

    (void)state;
    /* While it is in its wait; or after that, where this test was slow. */
    wait_for(cond_mutex_is_free, o);
    nap(0.1);
    if (atomic_load(&job->task->done)) {
        join(job->task);
    } else {
        wait_until_parked(job->task);
        assert_works(krait_mutex_unlock(&o->cond_mutex));
        join(job->task);
        assert_true(job->took >= 0.05);
    }
    assert_int_equal(job->rc, -1);
    assert_int_equal(job->err, ETIMEDOUT);
    free_objects(o);
}

/* Two wait; the first gives up about when the signal comes. Either the first
 * has it, or the second. */
static void test_who_gives_up_swallows_no_signal(void **state)
{
    struct objects *o = new_objects();
    unsigned seed = 1;
    int i;

    (void)state;
    for (i = 0; i < rounds(200); i++) {
        struct job *first, *second;

        first = begin_job(cond_kind, o, 0.0005 + some_time(&seed, 0.001));
        second = wait_in_job(cond_kind, o, LONG);
        assert_works(serve_cond(o));
        join(first->task);
        if (first->rc == 0)
            assert_works(serve_cond(o));
        join(second->task);
        assert_int_equal(second->rc, 0);
    }
    free_objects(o);
}

#define ROOM 3

static void put(void *arg)
{
    struct crowd *c = (struct crowd *)arg;
    int i;

    for (i = 0; i < c->rounds; i++) {
        krait_mutex_lock(&c->mutex, KRAIT_FOREVER);
        while (c->buffered == ROOM)
            krait_cond_wait(&c->not_full, &c->mutex, KRAIT_FOREVER);
        c->buffered++;
        if (c->buffered > c->most)
            c->most = c->buffered;
        krait_cond_signal(&c->not_empty);
        krait_mutex_unlock(&c->mutex);
    }
}

static void get(void *arg)
{
    struct crowd *c = (struct crowd *)arg;
    int i;

    for (i = 0; i < c->rounds; i++) {
        krait_mutex_lock(&c->mutex, KRAIT_FOREVER);
        while (c->buffered == 0)
            krait_cond_wait(&c->not_empty, &c->mutex, KRAIT_FOREVER);
        c->buffered--;
        c->plain++;
        krait_mutex_unlock(&c->mutex);
        krait_cond_signal(&c->not_full);
    }
}

static void put_or_get(void *arg)
{
    struct crowd *c = (struct crowd *)arg;

    if (atomic_fetch_add(&c->given, 1) % 2)
        put(c);
    else
        get(c);
}

/* One lost signal, and it hangs. */
static void test_conditions_guard_a_bounded_buffer(void **state)
{
    struct crowd *c = new_crowd(2000);

    (void)state;
    run_crowd(c, put_or_get);
    assert_int_equal(c->plain, CROWD / 2 * c->rounds);
    assert_int_equal(c->buffered, 0);
    assert_true(c->most <= ROOM);
}

/* --- semaphore --------------------------------------------------------- */

static void test_a_semaphore_counts(void **state)
{
    krait_sem s = KRAIT_SEM_INIT(2), none = KRAIT_SEM_INIT(0);
    krait_sem full = KRAIT_SEM_INIT(KRAIT_SEM_MAX - 1);

    (void)state;
    assert_works(krait_sem_wait(&s, KRAIT_FOREVER));
    assert_works(krait_sem_wait(&s, 0));
    assert_fails(krait_sem_wait(&s, 0), EAGAIN);
    assert_works(krait_sem_post(&s));
    assert_works(krait_sem_wait(&s, 0));
    assert_fails(krait_sem_wait(&none, 0), EAGAIN);
    assert_works(krait_sem_post(&full));
    assert_fails(krait_sem_post(&full), EOVERFLOW);
    assert_contains(krait_errmsg(), "sem_post");
    assert_works(krait_sem_wait(&full, 0));
    assert_works(krait_sem_post(&full));
}

static void test_a_unit_that_is_given_is_taken(void **state)
{
    struct objects *o = new_objects();
    struct job *job = wait_in_job(&kinds[2], o, LONG);

    (void)state;
    assert_works(krait_sem_post(&o->sem));
    assert_fails(krait_sem_wait(&o->sem, 0), EAGAIN); /* it is the other's */
    join(job->task);
    assert_int_equal(job->rc, 0);
    free_objects(o);
}

static void take_units(void *arg)
{
    struct crowd *c = (struct crowd *)arg;
    unsigned seed = seed_of(c);
    int i;

    for (i = 0; i < c->rounds; i++) {
        if (krait_sem_wait(&c->sem, some_time(&seed, 3e-4)) == 0)
            atomic_fetch_add(&c->wins, 1);
        else if (errno == ETIMEDOUT || errno == EAGAIN)
            atomic_fetch_add(&c->losses, 1);
        else
            atomic_fetch_add(&c->wrongs, 1);
    }
}

static void give_units(void *arg)
{
    struct crowd *c = (struct crowd *)arg;
    unsigned seed = seed_of(c);
    int i;

    for (i = 0; i < c->rounds; i++) {
        if (krait_sem_post(&c->sem) < 0)
            atomic_fetch_add(&c->wrongs, 1);
        nap(some_time(&seed, 1e-4));
    }
}

static void take_and_give_units(void *arg)
{
    struct crowd *c = (struct crowd *)arg;

    if (atomic_fetch_add(&c->given, 1) % 4 == 0)
        give_units(arg);
    else
        take_units(arg);
}

static void test_a_semaphore_with_timeouts_loses_no_unit(void **state)
{
    struct crowd *c = new_crowd(1500);
    long left = 0;

    (void)state;
    run_crowd(c, take_and_give_units);
    while (krait_sem_wait(&c->sem, 0) == 0)
        left++;
    assert_int_equal(atomic_load(&c->wins) + left, CROWD / 4 * c->rounds);
}

static void enter_and_leave(void *arg)
{
    struct crowd *c = (struct crowd *)arg;
    int i;

    for (i = 0; i < c->rounds; i++) {
        if (krait_sem_wait(&c->sem, KRAIT_FOREVER) < 0)
            atomic_fetch_add(&c->wrongs, 1);
        if (atomic_fetch_add(&c->now_inside, 1) >= ROOM)
            atomic_fetch_add(&c->wrongs, 1);
        atomic_fetch_sub(&c->now_inside, 1);
        krait_sem_post(&c->sem);
    }
}

static void test_a_semaphore_limits(void **state)
{
    struct crowd *c = new_crowd(3000);
    krait_sem some = KRAIT_SEM_INIT(ROOM);

    (void)state;
    c->sem = some;
    run_crowd(c, enter_and_leave);
}

/* --- wait group -------------------------------------------------------- */

static void test_a_group_counts(void **state)
{
    krait_group g = KRAIT_GROUP_INIT;

    (void)state;
    assert_works(krait_group_wait(&g, KRAIT_FOREVER)); /* nothing to be done */
    assert_fails(krait_group_done(&g), EINVAL);
    assert_contains(krait_errmsg(), "group_done: the count would");
    assert_works(krait_group_add(&g, 2));
    assert_fails(krait_group_add(&g, -3), EINVAL);
    assert_contains(krait_errmsg(), "group_add");
    assert_fails(krait_group_add(&g, INT_MIN), EINVAL);
    assert_fails(krait_group_add(&g, INT_MAX), EOVERFLOW);
    assert_works(krait_group_done(&g));
    assert_fails(krait_group_wait(&g, 0), EAGAIN);
    assert_works(krait_group_add(&g, 0));
    assert_works(krait_group_add(&g, INT_MAX - 1));
    assert_fails(krait_group_add(&g, 1), EOVERFLOW);
    assert_works(krait_group_add(&g, -INT_MAX));
    assert_works(krait_group_wait(&g, 0));
}

/* Added to again before those who were woken have run: they were served. */
static void test_a_group_is_used_again(void **state)
{
    struct objects *o = new_objects();
    struct job *job;
    int i;

    (void)state;
    for (i = 0; i < 20; i++) {
        job = wait_in_job(&kinds[3], o, LONG);
        assert_works(krait_group_done(&o->group));
        assert_works(krait_group_add(&o->group, 1));
        join(job->task);
        assert_int_equal(job->rc, 0);
    }
    free_objects(o);
}

static void finish_one(void *arg)
{
    struct crowd *c = (struct crowd *)arg;

    atomic_fetch_add(&c->given, 1);
    krait_group_done(&c->group);
}

static void test_a_group_waits_for_all(void **state)
{
    struct crowd *c = new_crowd(1);
    int i;

    (void)state;
    assert_works(krait_group_add(&c->group, CROWD));
    for (i = 0; i < CROWD; i++)
        start(finish_one, c);
    assert_works(krait_group_wait(&c->group, LONG));
    assert_int_equal(atomic_load(&c->given), CROWD);
}

/* --- channel ----------------------------------------------------------- */

static void test_a_channel_has_a_size(void **state)
{
    static const size_t beyond[][2] = {
        {SIZE_MAX, 2}, {2, SIZE_MAX},           {SIZE_MAX, 1},
        {1, SIZE_MAX}, {SIZE_MAX / 2, 2},       {(size_t)1 << 33, 1u << 31},
        {0, SIZE_MAX}, {1, (size_t)PTRDIFF_MAX}};
    krait_chan *ch;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(beyond); i++) {
        assert_null_with(krait_chan_new(beyond[i][0], beyond[i][1]), EOVERFLOW);
        assert_contains(krait_errmsg(), "chan_new");
    }
    ch = krait_chan_new(0, PTRDIFF_MAX); /* events take no room */
    assert_non_null(ch);
    for (i = 0; i < 100; i++)
        assert_works(krait_chan_send(ch, NULL, 0));
    for (i = 0; i < 100; i++)
        assert_int_equal(krait_chan_recv(ch, NULL, 0), 1);
    assert_fails(krait_chan_recv(ch, NULL, 0), EAGAIN);
    krait_chan_free(ch);
    ch = krait_chan_new(SIZE_MAX, 0); /* and what is handed over neither */
    assert_non_null(ch);
    errno = EXDEV;
    krait_chan_free(ch);
    krait_chan_free(NULL);
    assert_int_equal(errno, EXDEV);
}

static void test_a_channel_wants_items(void **state)
{
    krait_chan *ch = krait_chan_new(1, 1);

    (void)state;
    assert_non_null(ch);
    assert_fails(krait_chan_send(ch, NULL, 0), EINVAL);
    assert_contains(krait_errmsg(), "chan_send: no item");
    assert_fails(krait_chan_recv(ch, NULL, 0), EINVAL);
    assert_contains(krait_errmsg(), "chan_recv: no item");
    krait_chan_free(ch);
}

static void test_a_channel_keeps_the_order(void **state)
{
    krait_chan *ch = krait_chan_new(sizeof(int), 5);
    int sent = 0, got = 0, item, i;

    (void)state;
    assert_non_null(ch);
    while (sent < 100) { /* 5 in, 3 out, ...: round and round the ring */
        while (krait_chan_send(ch, &sent, 0) == 0)
            sent++;
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(sent - got, 5);
        for (i = 0; i < 3; i++) {
            assert_int_equal(krait_chan_recv(ch, &item, 0), 1);
            assert_int_equal(item, got++);
        }
    }
    krait_chan_free(ch);
}

static void test_what_is_left_comes_before_the_end(void **state)
{
    krait_chan *ch = krait_chan_new(sizeof(int), 3);
    int item = 1;

    (void)state;
    assert_non_null(ch);
    assert_works(krait_chan_send(ch, &item, 0));
    item = 2;
    assert_works(krait_chan_send(ch, &item, 0));
    assert_works(krait_chan_close(ch));
    assert_works(krait_chan_close(ch));
    assert_fails(krait_chan_send(ch, &item, KRAIT_FOREVER), EPIPE);
    assert_contains(krait_errmsg(), "chan_send: the channel was closed");
    assert_fails(krait_chan_send(ch, &item, 0), EPIPE);
    assert_int_equal(krait_chan_recv(ch, &item, KRAIT_FOREVER), 1);
    assert_int_equal(item, 1);
    assert_int_equal(krait_chan_recv(ch, &item, 0), 1);
    assert_int_equal(item, 2);
    assert_int_equal(krait_chan_recv(ch, &item, KRAIT_FOREVER), 0);
    assert_int_equal(krait_chan_recv(ch, &item, 0), 0);
    krait_chan_free(ch);
}

/* kinds[4], [5]: those who send; [6], [7]: those who receive. */
static void test_a_close_wakes_all(void **state)
{
    struct objects *o = new_objects();
    struct job *jobs[8];
    size_t i;
    int item;

    (void)state;
    for (i = 0; i < 6; i++)
        jobs[i] = wait_in_job(&kinds[i < 3 ? 4 : 6], o, LONG);
    for (i = 6; i < COUNT(jobs); i++)
        jobs[i] = wait_in_job(&kinds[5], o, LONG);
    assert_works(krait_chan_close(o->full));
    assert_works(krait_chan_close(o->empty));
    assert_works(krait_chan_close(o->meeting));
    for (i = 0; i < COUNT(jobs); i++) {
        join(jobs[i]->task);
        if (jobs[i]->kind->good == 1) {
            assert_int_equal(jobs[i]->rc, 0);
        } else {
            assert_int_equal(jobs[i]->rc, -1);
            assert_int_equal(jobs[i]->err, EPIPE);
        }
    }
    /* What they wanted to send was not sent. */
    assert_int_equal(krait_chan_recv(o->full, &item, 0), 1);
    assert_int_equal(item, 0);
    assert_int_equal(krait_chan_recv(o->full, &item, 0), 0);
    assert_int_equal(krait_chan_recv(o->meeting, &item, 0), 0);
    free_objects(o);
}

/* Who sends late comes after those who wait, though there was room between. */
static void test_waiting_senders_move_up(void **state)
{
    struct objects *o = new_objects();
    struct job *job = wait_in_job(&kinds[4], o, LONG); /* sends 1 */
    int item = 2;

    (void)state;
    assert_int_equal(krait_chan_recv(o->full, &item, 0), 1);
    assert_int_equal(item, 0);
    item = 2;
    assert_fails(krait_chan_send(o->full, &item, 0), EAGAIN);
    assert_int_equal(krait_chan_recv(o->full, &item, 0), 1);
    assert_int_equal(item, 1);
    join(job->task);
    assert_int_equal(job->rc, 0);
    free_objects(o);
}

/* Several send numbered items to several, with or without giving up now and
 * then; every item arrives once, whole, and each sender's in order. */
enum { SENDERS = 4, RECEIVERS = 4, MOST_ITEMS = 1500, BIG_ITEM = 100 };

struct traffic {
    krait_chan *ch;
    size_t size;
    int items;
    bool impatient;
    atomic_uint senders, seed;
    atomic_int arrived[SENDERS][MOST_ITEMS];
    atomic_long all, wrongs;
};

/* `size` bytes that tell who sent them; of 1 byte there is only that. */
static void fill_item(unsigned char *item, size_t size, unsigned sender,
                      unsigned number)
{
    size_t i;

    for (i = 0; i < size; i++)
        item[i] = (unsigned char)(number * 31 + i + sender * 7);
    if (size > 0)
        item[0] = (unsigned char)sender;
    if (size >= 3) {
        item[1] = (unsigned char)number;
        item[2] = (unsigned char)(number >> 8);
    }
}

static double patience_of(const struct traffic *t, unsigned *seed)
{
    return t->impatient ? some_time(seed, 2e-4) : KRAIT_FOREVER;
}

static bool gave_up(int rc)
{
    return rc < 0 && (errno == ETIMEDOUT || errno == EAGAIN);
}

static void send_traffic(void *arg)
{
    struct traffic *t = (struct traffic *)arg;
    unsigned char item[BIG_ITEM];
    unsigned sender = atomic_fetch_add(&t->senders, 1);
    unsigned seed = atomic_fetch_add(&t->seed, 7919);
    int i, rc;

    for (i = 0; i < t->items; i++) {
        fill_item(item, t->size, sender, (unsigned)i);
        do
            rc = krait_chan_send(t->ch, item, patience_of(t, &seed));
        while (gave_up(rc));
        if (rc < 0)
            atomic_fetch_add(&t->wrongs, 1);
    }
}

static bool take_item(struct traffic *t, const unsigned char *item, int *last)
{
    unsigned char wanted[BIG_ITEM];
    int number;

    atomic_fetch_add(&t->all, 1);
    if (t->size == 0)
        return true;
    if (item[0] >= SENDERS)
        return false;
    if (t->size < 3)
        return true;
    number = item[1] | item[2] << 8;
    fill_item(wanted, t->size, item[0], (unsigned)number);
    if (number >= t->items || memcmp(item, wanted, t->size) != 0 ||
        number <= last[item[0]])
        return false;
    last[item[0]] = number;
    return atomic_fetch_add(&t->arrived[item[0]][number], 1) == 0;
}

static void recv_traffic(void *arg)
{
    struct traffic *t = (struct traffic *)arg;
    unsigned char item[BIG_ITEM];
    unsigned seed = atomic_fetch_add(&t->seed, 7919);
    int last[SENDERS] = {-1, -1, -1, -1}, rc;

    do {
        rc = krait_chan_recv(t->ch, item, patience_of(t, &seed));
        if (rc == 1 && !take_item(t, item, last))
            atomic_fetch_add(&t->wrongs, 1);
    } while (rc == 1 || gave_up(rc));
    if (rc < 0)
        atomic_fetch_add(&t->wrongs, 1);
}

static void send_it_all(size_t size, size_t capacity, bool impatient)
{
    struct traffic *t = (struct traffic *)own_block(sizeof *t);
    struct task *senders[SENDERS], *receivers[RECEIVERS];
    int i;

    t->ch = krait_chan_new(size, capacity);
    assert_non_null(t->ch);
    t->size = size;
    t->impatient = impatient;
    t->items = rounds(impatient ? 500 : MOST_ITEMS);
    for (i = 0; i < RECEIVERS; i++)
        receivers[i] = start(recv_traffic, t);
    for (i = 0; i < SENDERS; i++)
        senders[i] = start(send_traffic, t);
    for (i = 0; i < SENDERS; i++)
        join(senders[i]);
    assert_works(krait_chan_close(t->ch));
    for (i = 0; i < RECEIVERS; i++)
        join(receivers[i]);
    krait_chan_free(t->ch);
    assert_int_equal(atomic_load(&t->wrongs), 0);
    assert_int_equal(atomic_load(&t->all), SENDERS * t->items);
}

static void send_every_size(bool impatient)
{
    static const size_t sizes[] = {0, 1, BIG_ITEM}, capacities[] = {0, 1, 7};
    size_t i, j;

    for (i = 0; i < COUNT(sizes); i++)
        for (j = 0; j < COUNT(capacities); j++)
            send_it_all(sizes[i], capacities[j], impatient);
}

static void test_a_channel_loses_and_doubles_nothing(void **state)
{
    (void)state;
    send_every_size(false);
}

static void test_a_channel_with_timeouts_loses_and_doubles_nothing(void **state)
{
    (void)state;
    send_every_size(true);
}

/* --- freed at once ----------------------------------------------------- */

/* One makes an object, lends it to another through `lent`, waits until that one
 * has given it what it waits for, and frees it, while the other is perhaps
 * still on its way out of its call. ASan and TSan look on. */
struct short_life {
    krait_chan *lent, *ready;
    int rounds, wrongs;
    void (*live)(struct short_life *); /* once */
    void (*lend)(struct short_life *, void *object);
};

struct guarded {
    krait_mutex mutex;
    krait_cond cond;
    bool flag;
};

static void wants(struct short_life *s, int rc, int good)
{
    s->wrongs += rc != good;
}

static void live_mutex(struct short_life *s)
{
    krait_mutex *m = (krait_mutex *)calloc(1, sizeof *m);

    wants(s, krait_chan_send(s->lent, &m, LONG), 0);
    wants(s, krait_chan_recv(s->ready, NULL, LONG), 1);
    wants(s, krait_mutex_lock(m, LONG), 0);
    wants(s, krait_mutex_unlock(m), 0);
    free(m);
}

static void lend_mutex(struct short_life *s, void *object)
{
    krait_mutex_lock((krait_mutex *)object, LONG);
    krait_chan_send(s->ready, NULL, LONG);
    krait_mutex_unlock((krait_mutex *)object);
}

static void live_cond(struct short_life *s)
{
    struct guarded *g = (struct guarded *)calloc(1, sizeof *g);

    krait_mutex_lock(&g->mutex, LONG);
    wants(s, krait_chan_send(s->lent, &g, LONG), 0);
    while (!g->flag)
        wants(s, krait_cond_wait(&g->cond, &g->mutex, LONG), 0);
    wants(s, krait_mutex_unlock(&g->mutex), 0);
    free(g);
}

static void lend_cond(struct short_life *s, void *object)
{
    struct guarded *g = (struct guarded *)object;

    (void)s;
    krait_mutex_lock(&g->mutex, LONG);
    g->flag = true;
    krait_cond_signal(&g->cond);
    krait_mutex_unlock(&g->mutex);
}

static void live_sem(struct short_life *s)
{
    krait_sem *sem = (krait_sem *)calloc(1, sizeof *sem);

    wants(s, krait_chan_send(s->lent, &sem, LONG), 0);
    wants(s, krait_sem_wait(sem, LONG), 0);
    free(sem);
}

static void lend_sem(struct short_life *s, void *object)
{
    (void)s;
    krait_sem_post((krait_sem *)object);
}

static void live_group(struct short_life *s)
{
    krait_group *g = (krait_group *)calloc(1, sizeof *g);

    krait_group_add(g, 1);
    wants(s, krait_chan_send(s->lent, &g, LONG), 0);
    wants(s, krait_group_wait(g, LONG), 0);
    free(g);
}

static void lend_group(struct short_life *s, void *object)
{
    (void)s;
    krait_group_done((krait_group *)object);
}

static void live_chan(struct short_life *s)
{
    /* With room for the item: a sender that has to wait is woken by us, and
     * is inside until it has seen that. */
    krait_chan *ch = krait_chan_new(sizeof(int), 1);
    int item = 0;

    wants(s, krait_chan_send(s->lent, &ch, LONG), 0);
    wants(s, krait_chan_recv(ch, &item, LONG), 1);
    wants(s, item, 5);
    krait_chan_free(ch);
}

static void lend_chan(struct short_life *s, void *object)
{
    int item = 5;

    (void)s;
    krait_chan_send((krait_chan *)object, &item, LONG);
}

static void live_closed(struct short_life *s)
{
    krait_chan *ch = krait_chan_new(sizeof(int), 1);
    int item;

    wants(s, krait_chan_send(s->lent, &ch, LONG), 0);
    wants(s, krait_chan_recv(ch, &item, LONG), 0);
    krait_chan_free(ch);
}

static void lend_closed(struct short_life *s, void *object)
{
    (void)s;
    krait_chan_close((krait_chan *)object);
}

static void live_on(void *arg)
{
    struct short_life *s = (struct short_life *)arg;
    int i;

    for (i = 0; i < s->rounds; i++)
        s->live(s);
    krait_chan_close(s->lent);
}

static void lend_on(void *arg)
{
    struct short_life *s = (struct short_life *)arg;
    void *object;

    while (krait_chan_recv(s->lent, &object, LONG) == 1)
        s->lend(s, object);
}

static void test_what_is_over_may_be_freed(void **state)
{
    struct short_life lives[] = {
        {.live = live_mutex, .lend = lend_mutex},
        {.live = live_cond, .lend = lend_cond},
        {.live = live_sem, .lend = lend_sem},
        {.live = live_group, .lend = lend_group},
        {.live = live_chan, .lend = lend_chan},
        {.live = live_closed, .lend = lend_closed},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(lives); i++) {
        struct short_life *s = &lives[i];
        struct task *a, *b;

        s->rounds = rounds(2000);
        s->lent = krait_chan_new(sizeof(void *), 0);
        s->ready = krait_chan_new(0, 0);
        assert_true(s->lent && s->ready);
        a = start(live_on, s);
        b = start(lend_on, s);
        join(a);
        join(b);
        assert_int_equal(s->wrongs, 0);
        krait_chan_free(s->lent);
        krait_chan_free(s->ready);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_timeout_0_does_not_wait), ONCE},
        {TEST(test_a_timeout_passes_and_takes_nothing), ONCE},
        {TEST(test_the_shortest_timeout_is_no_0), ONCE},
        {TEST(test_a_timeout_has_its_range), ONCE},
        {TEST(test_who_waits_is_served), ONCE},
        {TEST(test_who_waits_longest_is_served_first), ONCE},
        {TEST(test_who_gives_up_leaves_the_others_in_the_queue), ONCE},
        {TEST(test_failures_name_the_call), ONCE},
        {TEST(test_no_object_is_einval), ONCE},
        {TEST(test_scopes_end_waits), ONCE},
        {TEST(test_a_scope_that_has_passed), ONCE},
        {TEST(test_a_condition_in_a_scope_that_passes), ONCE},
        {TEST(test_calls_go_on_after_signals), ONCE},
        {TEST(test_the_hook_can_stop_a_call), ONCE},
        {TEST(test_served_at_the_last_moment), ONCE},
        {TEST(test_a_wake_for_no_reason_ends_no_wait), ONCE},
        {TEST(test_a_mutex_is_locked_once), ONCE},
        {TEST(test_zeroed_memory_is_an_object), ONCE},
        {TEST(test_only_its_owner_unlocks_a_mutex), ONCE},
        {TEST(test_an_unlock_hands_the_mutex_over), ONCE},
        {TEST(test_a_mutex_excludes), ONCE},
        {TEST(test_a_mutex_with_timeouts_is_neither_lost_nor_doubled), ONCE},
        {TEST(test_a_condition_needs_its_mutex), ONCE},
        {TEST(test_a_signal_that_nobody_waits_for_is_gone), ONCE},
        {TEST(test_a_broadcast_wakes_all), ONCE},
        {TEST(test_a_condition_gives_its_mutex_back_late), ONCE},
        {TEST(test_who_gives_up_swallows_no_signal), ONCE},
        {TEST(test_conditions_guard_a_bounded_buffer), ONCE},
        {TEST(test_a_semaphore_counts), ONCE},
        {TEST(test_a_unit_that_is_given_is_taken), ONCE},
        {TEST(test_a_semaphore_with_timeouts_loses_no_unit), ONCE},
        {TEST(test_a_semaphore_limits), ONCE},
        {TEST(test_a_group_counts), ONCE},
        {TEST(test_a_group_is_used_again), ONCE},
        {TEST(test_a_group_waits_for_all), ONCE},
        {TEST(test_a_channel_has_a_size), ONCE},
        {TEST(test_a_channel_wants_items), ONCE},
        {TEST(test_a_channel_keeps_the_order), ONCE},
        {TEST(test_what_is_left_comes_before_the_end), ONCE},
        {TEST(test_a_close_wakes_all), ONCE},
        {TEST(test_waiting_senders_move_up), ONCE},
        {TEST(test_a_channel_loses_and_doubles_nothing), ONCE},
        {TEST(test_a_channel_with_timeouts_loses_and_doubles_nothing), ONCE},
        {TEST(test_what_is_over_may_be_freed), ONCE},
    };

    return run_all(argc, argv, "sync", tests, COUNT(tests));
}
