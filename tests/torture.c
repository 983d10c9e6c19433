/* SPDX-License-Identifier: MIT
 *
 * torture.c - the torture run: see torture.h.
 *
 * Each point runs in a process of its own, which SIGALRM ends if it hangs: so
 * a crash, a hang or a leak is one point's, and what the library does once in
 * a process (pthread_once) can fail too. A point that fails is printed in the
 * form that
 *
 *     TORTURE_ONLY=scenario:symbol:n:fault:mode build/tests/torture
 *
 * runs again: alone, in this process, for a debugger. TORTURE_ONLY=scenario
 * runs all points of one scenario.
 */
#include "torture.h"

#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

/* Seconds after which a point counts as hanging, hundreds of times what most
 * take; and of how many points one is run. A sanitizer makes them slow. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { HANGS = 40, ONE_OF = 3 };
#else
enum { HANGS = 10, ONE_OF = 1 };
#endif

/* After so many complaints the rest would say the same. */
enum { COMPLAINTS_MAX = 20 };

/* Of more calls than that of one symbol in one scenario only a part fails: all
 * of the first half, and what is spread evenly over the rest. */
enum { CALLS_MAX = 24 };

/* The count of calls varies where threads race: so many runs tell the most. */
enum { COUNTS = 3 };

/* --- points and their names -------------------------------------------- */

static const char *const mode_names[] = {
    [COUNT] = "count",
    [RETRY] = "retry",
    [GIVE_UP] = "give-up",
    [FOREVER] = "forever",
};

void point_name(const struct point *point, char *buf, size_t size)
{
    if (!point->fault)
        snprintf(buf, size, "%s (nothing fails)", point->scenario->name);
    else
        snprintf(buf, size, "TORTURE_ONLY=%s:%s:%u:%s:%s",
                 point->scenario->name, symbol_names[point->fault->symbol],
                 point->n, point->fault->name, mode_names[point->mode]);
}

static const struct scenario *scenario_at(size_t i)
{
    if (i < talk_count)
        return &talk_scenarios[i];
    i -= talk_count;
    if (i < own_count)
        return &own_scenarios[i];
    i -= own_count;
    if (i < serve_count)
        return &serve_scenarios[i];
    i -= serve_count;
    return i < fiber_count ? &fiber_scenarios[i] : NULL;
}

static const struct scenario *scenario_named(const char *name)
{
    const struct scenario *s;

    for (size_t i = 0; (s = scenario_at(i)); i++)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

/* From what point_name has printed, without its beginning. */
static bool read_point(const char *text, struct point *point)
{
    char scenario[64], symbol[64], fault[64], mode[16];

    if (sscanf(text, "%63[^:]:%63[^:]:%u:%63[^:]:%15s", scenario, symbol,
               &point->n, fault, mode) != 5)
        return false;
    point->scenario = scenario_named(scenario);
    point->fault = NULL;
    for (size_t i = 0; i < fault_count; i++)
        if (strcmp(faults[i].name, fault) == 0 &&
            strcmp(symbol_names[faults[i].symbol], symbol) == 0)
            point->fault = &faults[i];
    for (point->mode = RETRY; point->mode < FOREVER; point->mode++)
        if (strcmp(mode_names[point->mode], mode) == 0)
            break;
    return point->scenario && point->fault;
}

/* --- a process for each ------------------------------------------------ */

/* Points wait more than they compute: several for each core. */
enum { WORKERS_MAX = 16 };

static struct worker {
    pid_t pid; /* 0: free */
    struct point point;
    struct tally *tally;
    char folder[96]; /* where its socket files are */
} workers[WORKERS_MAX];

static int worker_count;
static char scratch[64];

static struct {
    unsigned possible, points, fired, complaints;
} total;

/* Empties a folder; of what is in a folder therein nobody knows. */
static void empty(const char *folder)
{
    DIR *d = opendir(folder);
    char path[512];

    if (!d)
        return;
    for (const struct dirent *e; (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.')
            remove(path);
    }
    closedir(d);
}

static void make_workers(void)
{
    const char *tmp = getenv("TMPDIR");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct tally *tallies =
        __real_mmap(NULL, WORKERS_MAX * sizeof *tallies, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    /* Paths of sockets are relative, so the folder's may be long. */
    if (!tmp || strlen(tmp) > 40)
        tmp = P_tmpdir;
    snprintf(scratch, sizeof scratch, "%s/torture-XXXXXX", tmp);
    if (tallies == MAP_FAILED || !mkdtemp(scratch)) {
        perror("torture");
        exit(1);
    }
    worker_count =
        cores > 0 && cores < WORKERS_MAX / 4 ? (int)cores * 4 : WORKERS_MAX;
    for (int i = 0; i < worker_count; i++) {
        workers[i].tally = &tallies[i];
        snprintf(workers[i].folder, sizeof workers[i].folder, "%s/%d", scratch,
                 i);
        mkdir(workers[i].folder, 0700);
    }
}

static void end_workers(void)
{
    for (int i = 0; i < worker_count; i++) {
        empty(workers[i].folder);
        rmdir(workers[i].folder);
    }
    rmdir(scratch);
}

_Noreturn static void work(struct worker *w)
{
    if (chdir(w->folder) < 0)
        _exit(1);
    alarm(HANGS);
    run_point(&w->point, w->tally);
    _exit(0);
}

static void complain(const struct point *point, int status)
{
    char name[256];

    total.complaints++;
    point_name(point, name, sizeof name);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        fprintf(stderr, "torture: %s: hangs\n", name);
    else if (WIFSIGNALED(status))
        fprintf(stderr, "torture: %s: %s\n", name, strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 1) /* a sanitizer's; 1 has said it */
        fprintf(stderr, "torture: %s: status %d\n", name, WEXITSTATUS(status));
}

/* Waits for a process; the worker that is free now. */
static struct worker *reap(void)
{
    int status;
    pid_t pid = wait(&status);

    for (int i = 0; pid > 0 && i < worker_count; i++) {
        struct worker *w = &workers[i];

        if (w->pid != pid)
            continue;
        w->pid = 0;
        if (status != 0)
            complain(&w->point, status);
        if (w->point.fault) {
            total.points++;
            total.fired += atomic_load(&w->tally->fired);
        }
        empty(w->folder);
        return w;
    }
    return NULL;
}

static struct worker *free_worker(void)
{
    for (int i = 0; i < worker_count; i++)
        if (workers[i].pid == 0)
            return &workers[i];
    return reap();
}

static void wait_for_all(void)
{
    while (reap())
        ;
}

static struct worker *submit(const struct point *point)
{
    struct worker *w = free_worker();

    w->point = *point;
    memset(w->tally, 0, sizeof *w->tally);
    fflush(stdout);
    w->pid = fork();
    if (w->pid == 0)
        work(w);
    if (w->pid < 0) {
        perror("torture: fork");
        exit(1);
    }
    return w;
}

/* --- a scenario -------------------------------------------------------- */

static bool has_ipv6(void)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = __real_socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 &&
               __real_bind(fd, (const struct sockaddr *)&in6, sizeof in6) == 0;

    if (fd >= 0)
        __real_close(fd);
    return has;
}

static int nothing(void *unused)
{
    (void)unused;
    return 0;
}

/* In a process of its own: where it can't be had, nothing is left behind. */
static bool has_uring(void)
{
    krait_run_options o = {.workers = 1, .engine = KRAIT_ENGINE_URING};
    int status = -1;
    pid_t pid = fork();

    if (pid == 0)
        _exit(krait_run(nothing, NULL, &o) == 0 ? 0 : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool uring;
static unsigned called_at_all[SYMBOLS];

/* How often each symbol is called where nothing fails; the sum. */
static unsigned count_calls(const struct scenario *scenario,
                            unsigned calls[SYMBOLS])
{
    struct point point = {.scenario = scenario, .mode = COUNT};
    unsigned sum = 0;

    memset(calls, 0, SYMBOLS * sizeof *calls);
    for (int i = 0; i < COUNTS; i++) {
        const struct tally *tally = submit(&point)->tally;

        wait_for_all();
        for (int s = 0; s < SYMBOLS; s++) {
            unsigned n = atomic_load(&tally->calls[s]);

            calls[s] = n > calls[s] ? n : calls[s];
        }
    }
    for (int s = 0; s < SYMBOLS; s++) {
        called_at_all[s] += calls[s];
        sum += calls[s];
    }
    return sum;
}

/* What is to fail after the nth call of `calls`. */
static unsigned next_call(unsigned n, unsigned calls)
{
    unsigned rest = calls - CALLS_MAX / 2;

    if (calls <= CALLS_MAX || n < CALLS_MAX / 2)
        return n + 1;
    return n + (rest + CALLS_MAX / 2 - 1) / (CALLS_MAX / 2);
}

/* Faults that would be a lie about the scenario's world. */
static bool can_be(const struct point *point)
{
    unsigned flags = point->scenario->flags;

    if (point->mode == GIVE_UP && point->fault->duty == MUST_HIDE)
        return false; /* as RETRY */
    if (point->mode == FOREVER && (flags & ONCE_ONLY))
        return false;
    return !(flags & ALIVE) || point->fault->symbol != S_CONNECT ||
           point->fault->code != ECONNREFUSED;
}

static void fail_call(struct point *point)
{
    for (point->mode = RETRY; point->mode <= FOREVER; point->mode++) {
        if (can_be(point) && total.complaints < COMPLAINTS_MAX &&
            total.possible++ % ONE_OF == 0)
            submit(point);
    }
}

static void torture(const struct scenario *scenario)
{
    struct point point = {.scenario = scenario};
    unsigned calls[SYMBOLS], before = total.points, fired = total.fired, sum;

    sum = count_calls(scenario, calls);
    for (size_t i = 0; i < fault_count; i++) {
        unsigned most = calls[faults[i].symbol];

        point.fault = &faults[i];
        for (point.n = 1; point.n <= most; point.n = next_call(point.n, most))
            fail_call(&point);
    }
    wait_for_all();
    printf("%-26s %5u calls, %5u points, %5u reached\n", scenario->name, sum,
           total.points - before, total.fired - fired);
}

static void torture_all(void)
{
    const struct scenario *s;
    bool ipv6 = has_ipv6();

    for (size_t i = 0; (s = scenario_at(i)); i++) {
        if ((s->flags & NEEDS_IPV6) && !ipv6)
            printf("%-26s skipped: the loopback has no IPv6\n", s->name);
        else if ((s->flags & NEEDS_URING) && !uring)
            printf("%-26s skipped: there is no io_uring here\n", s->name);
        else if (total.complaints < COMPLAINTS_MAX)
            torture(s);
    }
}

/* --- the run ----------------------------------------------------------- */

/* pipe2 tries a guard out, where the kernel can install some (and in no build
 * with AddressSanitizer). */
static bool need_not_be_called(int s)
{
    return s == S_PIPE2 || (IS_OF_URING(s) && !uring);
}

static void check_all_called(void)
{
    for (int s = 0; s < SYMBOLS; s++) {
        if (called_at_all[s] > 0 || need_not_be_called(s))
            continue;
        fprintf(stderr, "torture: the library never called %s\n",
                symbol_names[s]);
        total.complaints++;
    }
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int run_only(const char *only)
{
    struct point point;

    if (scenario_named(only)) {
        torture(scenario_named(only));
        return total.complaints > 0;
    }
    if (!read_point(only, &point)) {
        fprintf(stderr, "torture: no such point: %s\n", only);
        return 2;
    }
    if (chdir(workers[0].folder) < 0)
        return 2;
    run_point(&point, workers[0].tally);
    empty(".");
    printf("torture: all is well; the fault was %s\n",
           atomic_load(&workers[0].tally->fired) ? "reached" : "not reached");
    return 0;
}

int main(void)
{
    const char *only = getenv("TORTURE_ONLY");
    double begun = now();
    int status;

    unsetenv("KRAIT_ENGINE"); /* scenarios choose */
    uring = has_uring();
    make_workers();
    if (only) {
        status = run_only(only);
    } else {
        torture_all();
        if (total.complaints < COMPLAINTS_MAX)
            check_all_called();
        printf("torture: %u of %u points, %u of them reached, "
               "%u complaints, %.1f s\n",
               total.points, total.possible, total.fired, total.complaints,
               now() - begun);
        status = total.complaints > 0 || total.fired == 0;
    }
    end_workers();
    return status;
}
