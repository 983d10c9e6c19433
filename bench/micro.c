/* SPDX-License-Identifier: MIT
 *
 * micro.c - what the small things cost: a switch, a fiber's life, a timer, a
 * call on a socket that has not to wait.
 *
 *     micro [--pin] [--tsv] [--rounds N] [--only PART-OF-A-NAME]
 *
 * Every round measures each item once, one after another, for a few
 * milliseconds: so that whatever disturbs the machine disturbs all of them
 * alike. What is printed is the median of the rounds, the tenth of them that
 * was fastest, and the ratio to a yardstick, which is the median of each
 * round's own: a number that can be compared between machines, and on a busy
 * one. Before the first round comes one that warms up and finds out how often
 * each thing has to be done.
 *
 * With --pin, as `make bench-micro` runs it, all of it stays on one CPU, where
 * nothing moves. There two workers take turns, and what passes between them
 * costs the kernel's switch as well.
 */
#include "micro.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <krait.h>

enum { ROUNDS = 41, MOST_ROUNDS = 1001, MOST_ROWS = 128 };

/* A sample takes so long, in ns, at least. */
#define SAMPLE 2e6

/* An item in one place. */
struct row {
    const struct micro_item *item;
    struct row *yardstick, *more, *less;
    long times;
    enum micro_place place;
    bool wanted;               /* for itself, or for another's sake */
    bool measured;             /* false: can't be had here */
    double ns[MOST_ROUNDS];    /* by round */
    double ratio[MOST_ROUNDS]; /* to the yardstick of the same round */
};

static struct row rows[MOST_ROWS];
static size_t row_count;
static const char *only = "";
static int rounds = ROUNDS;
static int round_now; /* -1: warming up */
static bool tsv;

static const char *place_name(enum micro_place place)
{
    switch (place) {
    case ON_URING:
        return "io_uring";
    case ON_EPOLL:
        return "epoll";
    case ON_TWO:
        return "2 workers";
    default:
        return "thread";
    }
}

void micro_check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "micro: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- measuring --------------------------------------------------------- */

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double timed(const struct micro_item *item, long times)
{
    double begun = now();

    item->run(times);
    return now() - begun;
}

/* Finds out how often is long enough. */
static void calibrate(struct row *row)
{
    for (row->times = 1; timed(row->item, row->times) < SAMPLE;)
        row->times *= 2;
    row->measured = true;
}

static void measure(struct row *row)
{
    const struct micro_item *item = row->item;
    double each = item->each > 0 ? (double)item->each : 1;

    if (item->begin)
        item->begin();
    if (round_now < 0) {
        calibrate(row);
    } else {
        /* The run-time is a new one. */
        item->run(row->times / 8 + 1);
        row->ns[round_now] =
            timed(item, row->times) / (double)row->times / each;
    }
    if (item->end)
        item->end();
}

static int measure_all(void *place)
{
    for (size_t i = 0; i < row_count; i++)
        if (rows[i].wanted && rows[i].item->run &&
            rows[i].place == *(const enum micro_place *)place)
            measure(&rows[i]);
    return 0;
}

/* Leaves the place's items unmeasured where its engine can't be had. */
static void measure_place(enum micro_place place)
{
    krait_run_options options = {
        .workers = place == ON_TWO ? 2 : 1,
        .engine = place == ON_EPOLL ? KRAIT_ENGINE_EPOLL : KRAIT_ENGINE_URING,
    };

    if (place == IN_THREAD)
        measure_all(&place);
    else if (krait_run(measure_all, &place, &options) < 0 && errno != ENOTSUP)
        micro_check(false, "krait_run");
}

static void one_round(void)
{
    for (unsigned place = 1; place < IN_PLACES; place <<= 1)
        measure_place((enum micro_place)place);
    for (size_t i = 0; i < row_count && round_now >= 0; i++) {
        struct row *row = &rows[i];

        if (!row->item->run)
            row->ns[round_now] =
                row->more->ns[round_now] - row->less->ns[round_now];
        if (row->yardstick)
            row->ratio[round_now] =
                row->ns[round_now] / row->yardstick->ns[round_now];
    }
}

/* --- what to measure --------------------------------------------------- */

static void add_item(const struct micro_item *item)
{
    unsigned places = item->places ? item->places : IN_THREAD;

    for (unsigned place = 1; place < IN_PLACES; place <<= 1) {
        if (!(places & place))
            continue;
        errno = E2BIG;
        micro_check(row_count < MOST_ROWS, "rows");
        rows[row_count].item = item;
        rows[row_count++].place = (enum micro_place)place;
    }
}

static void add_items(const struct micro_item *items)
{
    for (; items->name; items++)
        add_item(items);
}

/* The item of that name, in the same place if it is there too. */
static struct row *find(const char *name, enum micro_place place)
{
    struct row *found = NULL;

    for (size_t i = 0; name && i < row_count; i++)
        if (strcmp(rows[i].item->name, name) == 0 &&
            (!found || rows[i].place == place))
            found = &rows[i];
    return found;
}

static void add_all(void)
{
    add_items(micro_yardsticks);
    add_items(micro_switching);
    add_items(micro_timers);
    add_items(micro_sharing);
    add_items(micro_sockets);
    for (size_t i = 0; i < row_count; i++) {
        struct row *row = &rows[i];

        row->yardstick = find(row->item->yardstick, row->place);
        row->more = find(row->item->more, row->place);
        row->less = find(row->item->less, row->place);
        errno = ENOENT;
        micro_check(row->item->run || (row->more && row->less),
                    row->item->name);
    }
}

/* With all that it needs. */
static void want(struct row *row)
{
    if (!row || row->wanted)
        return;
    row->wanted = true;
    want(row->yardstick);
    want(row->more);
    want(row->less);
}

static void choose(void)
{
    for (size_t i = 0; i < row_count; i++)
        if (strstr(rows[i].item->name, only))
            want(&rows[i]);
}

/* --- what it came to --------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The value below which `part` of the rounds lie. */
static double quantile(const double *values, double part)
{
    double sorted[MOST_ROUNDS];

    memcpy(sorted, values, (size_t)rounds * sizeof *sorted);
    qsort(sorted, (size_t)rounds, sizeof *sorted, by_size);
    return sorted[(size_t)((double)(rounds - 1) * part)];
}

static bool was_measured(const struct row *row)
{
    if (row->item->run)
        return row->measured;
    return row->more->measured && row->less->measured;
}

static void print_row(const struct row *row)
{
    const struct micro_item *item = row->item;
    double median = quantile(row->ns, .5), fast = quantile(row->ns, .1);
    double ratio = row->yardstick ? quantile(row->ratio, .5) : 0;
    const char *yardstick = row->yardstick ? row->yardstick->item->name : "";

    if (tsv) {
        printf("%s\t%s\t%.2f\t%.2f\t%.3f\t%s\t%.0f\n", item->name,
               place_name(row->place), median, fast, ratio, yardstick,
               item->target);
        return;
    }
    printf("%-46s %-9s %9.1f %9.1f", item->name, place_name(row->place), median,
           fast);
    if (row->yardstick)
        printf("  %6.2f x %s", ratio, yardstick);
    if (item->target > 0)
        printf("  (target %.0f: %s)", item->target,
               median <= item->target ? "met" : "missed");
    putchar('\n');
}

static void print_head(void)
{
    cpu_set_t cpus;

    if (tsv) {
        printf("what\twhere\tmedian_ns\tfast_ns\tratio\tyardstick\ttarget_ns"
               "\n");
        return;
    }
    micro_check(sched_getaffinity(0, sizeof cpus, &cpus) == 0, "affinity");
    printf("Krait %s, %d rounds, on %d CPU(s); ns each\n\n", krait_version(),
           rounds, CPU_COUNT(&cpus));
    printf("%-46s %-9s %9s %9s  %s\n", "what", "where", "median", "fast",
           "ratio");
}

/* --- the program ------------------------------------------------------- */

static int usage(void)
{
    fprintf(stderr, "usage: micro [--pin] [--tsv] [--rounds N] "
                    "[--only PART-OF-A-NAME]\n");
    return 2;
}

/* To the first CPU that it may use. */
static void pin(void)
{
    cpu_set_t may, one;
    size_t cpu = 0;

    micro_check(sched_getaffinity(0, sizeof may, &may) == 0, "affinity");
    while (!CPU_ISSET(cpu, &may))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    micro_check(sched_setaffinity(0, sizeof one, &one) == 0, "affinity");
}

static bool parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;

        if (strcmp(argv[i], "--tsv") == 0)
            tsv = true;
        else if (strcmp(argv[i], "--pin") == 0)
            pin();
        else if (strcmp(argv[i], "--rounds") == 0 && more)
            rounds = (int)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0 && more)
            only = argv[++i];
        else
            return false;
    }
    return rounds > 0 && rounds <= MOST_ROUNDS;
}

int main(int argc, char **argv)
{
    if (!parse(argc, argv))
        return usage();
    add_all();
    choose();
    for (round_now = -1; round_now < rounds; round_now++)
        one_round();
    print_head();
    for (size_t i = 0; i < row_count; i++)
        if (was_measured(&rows[i]))
            print_row(&rows[i]);
    return 0;
}
