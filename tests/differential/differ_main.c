/* SPDX-License-Identifier: MIT
 *
 * differ_main.c - seeds, processes, and what to do about a difference.
 *
 *     differ [--programs N] [--first SEED] [--jobs N] [--performers a,b,...]
 *     differ --seed SEED       one program, and what each performer saw; with
 *                              --list the program only; with --shrink it is
 *                              made as short as it can be first
 *     differ --census          ... and at the end what programs have reached
 *     differ --reach           ... which fails where that is too little
 *     differ --mutate          performers that are wrong on purpose are found
 *
 * Each process (--jobs) takes its share of the seeds, in batches, in a network
 * namespace of its own where it may have one: ports and ICMP are then nobody
 * else's. Leaves with 0, or with 1 at the first difference, whose program is
 * made as short as it can be before it is printed.
 *
 * ctest: timeout=600
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "differ.h"

enum { BATCH = 64, JOBS_MAX = 64 };

/* A program may take this long: far more than the slowest does, and its waits
 * of 60 s are meant never to pass. */
static unsigned watchdog_seconds = 50;

/* --- performers ---------------------------------------------------------- */

enum { LIBC, THREAD, EPOLL, URING, PERFORMERS };

static struct performer performers[PERFORMERS] = {
    [LIBC] = {"libc", &libc_api, &thread_flows},
    [THREAD] = {"thread", &krait_api, &thread_flows},
    [EPOLL] = {"fiber-epoll", &krait_api, &fiber_flows},
    [URING] = {"fiber-uring", &krait_api, &fiber_flows},
};

static bool wanted[PERFORMERS] = {true, true, true, true};

static struct {
    uint64_t first, programs;
    bool one, list, shrink, census, reach, mutate;
    unsigned jobs;
} options = {.programs = 1000, .jobs = 1};

static struct census *census;

/* --- the watchdog -------------------------------------------------------- */

static struct world *watched[WATCHED];
static char folder[] = "/tmp/krait-differ-XXXXXX";

static void say(const char *text)
{
    if (write(2, text, strlen(text)) < 0)
        return;
}

/* NOLINTBEGIN(bugprone-signal-handler,cert-sig30-c): snprintf of integers takes
 * no lock, and the process ends here. */
static void hangs(int signal)
{
    char line[160];
    unsigned i;

    (void)signal;
    for (i = 0; i < WATCHED; i++)
        if (watched[i] && watched[i]->program) {
            snprintf(
                line, sizeof line, "differ: seed %llu hangs: %s, step %u\n",
                (unsigned long long)watched[i]->program->seed,
                watched[i]->performer->name, atomic_load(&watched[i]->now));
            say(line);
        }
    _exit(1);
}
/* NOLINTEND(bugprone-signal-handler,cert-sig30-c) */

static void feed(void)
{
    alarm(watchdog_seconds);
}

/* --- a process of its own ------------------------------------------------ */

static void loopback_up(void)
{
    struct ifreq ifr = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (ioctl(fd, SIOCGIFFLAGS, &ifr) == 0) {
        ifr.ifr_flags |= IFF_UP;
        ioctl(fd, SIOCSIFFLAGS, &ifr);
    }
    close(fd);
}

/* Where it can't be had, programs may in rare cases meet each other's ports. */
static void isolate(void)
{
    if (unshare(CLONE_NEWNET) == 0 ||
        unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)
        loopback_up();
}

static unsigned open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

struct batch {
    struct program programs[BATCH];
    struct record records[PERFORMERS][BATCH];
    struct flows_state *threads;
    struct world world[2]; /* libc's, and Krait's in threads */
    char where[4][48];
    unsigned count, fds;
};

static void set_up(struct batch *b)
{
    unsigned i;

    isolate();
    signal(SIGALRM, hangs);
    signal(SIGPIPE, SIG_DFL);
    unsetenv("KRAIT_ENGINE"); /* which goes before what is asked for */
    for (i = 0; i < 4; i++)
        snprintf(b->where[i], sizeof b->where[i], "%s/%d%c", folder,
                 (int)getpid(), 'l' + (int)i);
    make_dead_addresses(b->where[0]);
    b->threads = threads_new();
    for (i = 0; i < 2; i++) {
        world_init(&b->world[i], &performers[i], b->threads, b->where[i]);
        watched[i] = &b->world[i];
    }
}

static void tear_down(struct batch *b)
{
    alarm(0);
    world_free(&b->world[0]);
    world_free(&b->world[1]);
    threads_free(b->threads);
}

/* --- a batch ------------------------------------------------------------- */

static bool run_fibers(struct batch *b, unsigned performer)
{
    struct fiber_batch f = {
        .performer = &performers[performer],
        .engine = performer == EPOLL ? KRAIT_ENGINE_EPOLL : KRAIT_ENGINE_URING,
        .where = b->where[performer],
        .programs = b->programs,
        .lead = b->records[LIBC],
        .records = b->records[performer],
        .count = b->count,
        .now = watched + 2,
        .finished = feed,
    };
    bool ran;

    feed();
    ran = run_in_fibers(&f) == 0;
    for (unsigned i = 2; i < WATCHED; i++)
        watched[i] = NULL;
    return ran;
}

static void run_batch(struct batch *b)
{
    unsigned i;

    for (i = 0; i < b->count; i++) {
        feed();
        run_program(&b->world[LIBC], &b->programs[i], NULL,
                    &b->records[LIBC][i]);
        if (wanted[THREAD])
            run_program(&b->world[THREAD], &b->programs[i],
                        &b->records[LIBC][i], &b->records[THREAD][i]);
        if (census)
            census_take(census, &b->programs[i], &b->records[LIBC][i]);
    }
    for (i = EPOLL; i <= URING; i++)
        if (wanted[i] && !run_fibers(b, i)) {
            fprintf(stderr, "differ: no %s here: %s\n", performers[i].name,
                    strerror(errno));
            wanted[i] = false;
        }
    alarm(0);
}

/* The first difference of program `i` from libc; NULL: there is none. */
static const char *difference(const struct batch *b, unsigned i)
{
    static char text[1200];
    char words[1024];
    unsigned k, at;

    for (k = THREAD; k < PERFORMERS; k++)
        if (wanted[k] && differs(&b->programs[i], &b->records[LIBC][i],
                                 &b->records[k][i], words, sizeof words, &at)) {
            snprintf(text, sizeof text, "%s: %s", performers[k].name, words);
            return text;
        }
    return NULL;
}

/* --- shrinking ----------------------------------------------------------- */

/* Runs `fn` in a process of its own; its status. */
static int in_a_child(int (*fn)(void *arg), void *arg)
{
    pid_t pid;
    int status;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        int rc = fn(arg);

        fflush(NULL);
        _exit(rc);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int run_one(struct batch *b, const struct program *p)
{
    set_up(b);
    b->programs[0] = *p;
    b->count = 1;
    run_batch(b);
    return difference(b, 0) ? 1 : 0;
}

/* 1: it still differs; a hang counts. */
static int try(void *arg)
{
    struct batch *b = calloc(1, sizeof *b);

    if (!b || !freopen("/dev/null", "w", stderr))
        return 0;
    rest_ns /= 20;
    watchdog_seconds /= 10;
    return run_one(b, arg);
}

static void shrink(struct program *p)
{
    unsigned i;

    for (i = p->count; i-- > 0;) {
        p->skip[i] = true;
        if (in_a_child(try, p) != 1)
            p->skip[i] = false;
    }
}

static void show_one(struct batch *b)
{
    struct performer shown[PERFORMERS];
    struct record *records = calloc(PERFORMERS, sizeof *records);
    unsigned i, n = 0;

    if (!records)
        return;
    for (i = 0; i < PERFORMERS; i++)
        if (wanted[i]) {
            shown[n] = performers[i];
            records[n++] = b->records[i][0];
        }
    show_program(stderr, &b->programs[0], shown, n, records);
    free(records);
}

static int print(void *arg)
{
    struct batch *b = calloc(1, sizeof *b);
    const char *what;
    int rc;

    if (!b)
        return 1;
    rc = run_one(b, arg);
    show_one(b);
    what = difference(b, 0);
    fprintf(stderr, "%s\n", what ? what : "no difference");
    return rc;
}

static int complain(const struct program *found, const char *what)
{
    struct program p = *found;

    fprintf(stderr, "differ: seed %llu: %s\n", (unsigned long long)p.seed,
            what);
    shrink(&p);
    fprintf(stderr, "differ: what is left of the program when steps are left "
                    "out:\n");
    if (in_a_child(print, &p) != 1)
        fprintf(stderr, "differ: this time there was no difference\n");
    fprintf(stderr, "differ: replay it with: make differential SEED=%llu\n",
            (unsigned long long)p.seed);
    return 1;
}

/* --- a second look ------------------------------------------------------- */

/* Who is first in TCP's queue, when a segment is acknowledged: the kernel's
 * timing decides that, and under load now and then another way than the program
 * waited for. So a difference counts if it is there again in one of so many
 * more runs, as a hang does at once; or if there are more that are not than one
 * in so many programs. All are printed. */
enum { MORE_RUNS = 3, STEADY_OF = 1000 };

static int once_more(void *program)
{
    struct batch *b = calloc(1, sizeof *b);

    return b ? run_one(b, program) : 1;
}

static bool is_real(struct program *p, const char *what, uint64_t programs)
{
    static uint64_t unsteady;
    unsigned i;

    for (i = 0; i < MORE_RUNS; i++)
        if (in_a_child(once_more, p) != 0)
            return true;
    fprintf(stderr, "differ: seed %llu: %s; not so in %d more runs\n",
            (unsigned long long)p->seed, what, MORE_RUNS);
    return ++unsteady > 1 + programs / STEADY_OF;
}

/* --- a share of the seeds ------------------------------------------------ */

struct share {
    uint64_t first, end, stride;
};

/* Krait's threads keep an eventfd each: the first batch makes what stays. */
static bool leaks(struct batch *b, bool first)
{
    unsigned n = open_fds();

    if (!first && n != b->fds) {
        fprintf(stderr, "differ: seeds %llu and after: %u fds, %u before\n",
                (unsigned long long)b->programs[0].seed, n, b->fds);
        return true;
    }
    b->fds = n;
    return false;
}

static int run_share(void *arg)
{
    struct share *s = arg;
    struct batch *b = calloc(1, sizeof *b);
    uint64_t seed = s->first;
    unsigned i;

    if (!b)
        return 1;
    set_up(b);
    while (seed < s->end) {
        for (b->count = 0; b->count < BATCH && seed < s->end; b->count++) {
            generate(&b->programs[b->count], seed);
            seed += s->stride;
        }
        run_batch(b);
        for (i = 0; i < b->count; i++) {
            const char *what = difference(b, i);

            if (what && options.mutate)
                return 1;
            if (what &&
                is_real(&b->programs[i], what, (s->end - s->first) / s->stride))
                return complain(&b->programs[i], what);
        }
        if (leaks(b, b->fds == 0))
            return 1;
    }
    tear_down(b);
    free(b);
    if (atomic_load(&unsettled))
        fprintf(stderr, "differ: loopback was waited for in vain %u times\n",
                atomic_load(&unsettled));
    return 0;
}

static int run_all(void)
{
    pid_t pid[JOBS_MAX];
    unsigned i, left;
    int rc = 0, status;

    for (i = 0; i < options.jobs; i++) {
        struct share s = {options.first + i, options.first + options.programs,
                          options.jobs};

        fflush(NULL);
        pid[i] = fork();
        if (pid[i] == 0) {
            rc = run_share(&s);
            fflush(NULL);
            exit(rc);
        }
    }
    for (left = options.jobs; left; left--) {
        pid_t ended = wait(&status);

        if (ended < 0)
            return 1;
        for (i = 0; i < options.jobs; i++)
            if (pid[i] == ended)
                pid[i] = 0;
        if (status == 0 || rc)
            continue;
        if (WIFSIGNALED(status))
            fprintf(stderr, "differ: ended by signal %d\n", WTERMSIG(status));
        rc = 1;
        for (i = 0; i < options.jobs; i++)
            if (pid[i] > 0)
                kill(pid[i], SIGTERM);
    }
    return rc;
}

/* --- wrong on purpose ---------------------------------------------------- */

static int run_mutants(void)
{
    struct share s = {options.first, options.first + options.programs, 1};
    const struct api *api;
    const char *what;
    unsigned i;
    int rc = 0;

    /* One that hangs is found, too. */
    watchdog_seconds /= 10;
    rest_ns /= 10;
    for (i = 0; (api = mutant_api(i, &what)); i++) {
        performers[THREAD].api = api;
        if (in_a_child(run_share, &s) != 1) {
            fprintf(stderr, "differ: not found: one that %s\n", what);
            rc = 1;
        }
    }
    printf("%u mutants of Krait, %s\n", i, rc ? "not all found" : "all found");
    return rc;
}

/* --- the command line ---------------------------------------------------- */

static int usage(void)
{
    fprintf(stderr,
            "differ [--programs N] [--first SEED] [--jobs N]\n"
            "       [--seed SEED [--list] [--shrink]]\n"
            "       [--performers thread,fiber-epoll,fiber-uring] [--census]\n"
            "       [--reach] [--mutate]\n");
    return 2;
}

static bool choose(char *names)
{
    char *name, *rest = names;
    unsigned i;

    memset(wanted + 1, 0, sizeof wanted - sizeof *wanted);
    while ((name = strsep(&rest, ","))) {
        for (i = 0; i < PERFORMERS && strcmp(performers[i].name, name) != 0;)
            i++;
        if (i == PERFORMERS)
            return false;
        wanted[i] = true;
    }
    return true;
}

static bool parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"programs", required_argument, NULL, 'p'},
        {"first", required_argument, NULL, 'f'},
        {"seed", required_argument, NULL, 's'},
        {"shrink", no_argument, NULL, 'S'},
        {"list", no_argument, NULL, 'l'},
        {"jobs", required_argument, NULL, 'j'},
        {"performers", required_argument, NULL, 'P'},
        {"census", no_argument, NULL, 'c'},
        {"reach", no_argument, NULL, 'r'},
        {"mutate", no_argument, NULL, 'm'},
        {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) >= 0) {
        switch (c) {
        case 'p':
            options.programs = strtoull(optarg, NULL, 0);
            break;
        case 'f':
            options.first = strtoull(optarg, NULL, 0);
            break;
        case 's':
            options.first = strtoull(optarg, NULL, 0);
            options.one = true;
            break;
        case 'S':
            options.shrink = true;
            break;
        case 'l':
            options.list = true;
            break;
        case 'j':
            options.jobs = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 'P':
            if (!choose(optarg))
                return false;
            break;
        case 'c':
            options.census = true;
            break;
        case 'r':
            options.reach = true;
            break;
        case 'm':
            options.mutate = true;
            break;
        default:
            return false;
        }
    }
    return optind == argc && options.jobs >= 1 && options.jobs <= JOBS_MAX;
}

static int go(void)
{
    int rc;

    if (options.one) {
        struct program p;

        generate(&p, options.first);
        if (options.shrink)
            shrink(&p);
        if (options.list) {
            show_program(stdout, &p, performers, 0, NULL);
            return 0;
        }
        rc = in_a_child(print, &p);
        return rc == 0 ? 0 : 1;
    }
    if (options.mutate)
        return run_mutants();
    rc = run_all();
    if (rc == 0 && options.census)
        census_show(stdout, census);
    if (rc == 0 && options.reach && !census_enough(stderr, census))
        rc = 1;
    if (rc == 0)
        printf("%llu programs, no difference\n",
               (unsigned long long)options.programs);
    return rc;
}

static void remove_folder(void)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(folder);
}

int main(int argc, char **argv)
{
    int rc;

    if (!parse(argc, argv))
        return usage();
    if (options.census || options.reach)
        census = census_new();
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    rc = go();
    remove_folder();
    return rc;
}
