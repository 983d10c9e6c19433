/* SPDX-License-Identifier: MIT
 *
 * million.c - a million connections at once, a fiber for each, and every one of
 * them answers.
 *
 *     million [--connections N] [--seconds S]
 *
 * Both ends are here: N sockets of the servers', N of the clients'. Where
 * memory, or the kernel's table of files, is too small for N (1,000,000), it
 * takes fewer and says so; and it stops early where memory becomes short on the
 * way. Then every connection sends a message of its own, twice, and has to get
 * it back. Status 0: all that were held have answered, each time, rightly; 1:
 * not so, or S seconds (600) were not enough; 2: usage; 77: there is no room
 * for any.
 *
 * The servers are million_server.c, the clients million_client.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "million.h"

/* What a connection takes, both of its ends and its fiber, rounded up: see
 * docs/benchmarks.md. */
#define EACH ((uint64_t)16 << 10)

/* Connections of one process, where the limit of its fds is higher. */
#define MOST 20000

/* fds that a process has beside its connections. */
#define OTHER_FDS 32

/* Connections of a client between two looks at the memory. */
#define STEP 500

/* Seconds that the servers may take to see what the clients have done. */
#define CATCH_UP 60

/* Seconds between two lines of progress. */
#define LINE_EVERY 5

#define SWEEPS 2

/* The exit status that a test skips by. */
#define NO_ROOM 77

struct plan {
    unsigned wanted, connections, processes, limit;
    double seconds;
};

/* Before the first connection, or with all of them. It leaves out what a
 * process has however many there are: rings, a table of fds. The kernel's count
 * of free pages would know of those; but it misses what waits in lists of each
 * CPU, which can be a gigabyte for half a minute. */
struct memory {
    uint64_t all, objects, tables, servers, clients;
};

/* --- saying it --------------------------------------------------------- */

/* 1,000,000; in one of a few buffers, in turn. */
static const char *grouped(uint64_t number)
{
    static char buffers[8][32];
    static unsigned next;
    char *p = buffers[next = (next + 1) % 8] + sizeof *buffers;
    int digits = 0;

    *--p = '\0';
    do {
        if (digits > 0 && digits % 3 == 0)
            *--p = ',';
        *--p = (char)('0' + number % 10);
        number /= 10;
        digits++;
    } while (number > 0);
    return p;
}

static double gib(uint64_t bytes)
{
    return (double)bytes / (1 << 30);
}

struct progress {
    struct family *family;
    const struct member *members;
    const char *verb;
    enum counted which;
    uint64_t before; /* of that count */
    double last;     /* line */
};

static void show(void *arg)
{
    struct progress *p = arg;
    double now = million_now();

    if (now - p->last < LINE_EVERY)
        return;
    p->last = now;
    printf("  %s %s, %.1f GiB available\n",
           grouped(million_sum(p->family, p->members, p->which) - p->before),
           p->verb, gib(million_available()));
}

/* --- the plan ---------------------------------------------------------- */

static unsigned fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur < MOST ? (unsigned)limit.rlim_cur : MOST;
}

/* The kernel spreads connections over the servers by a hash: each gets its
 * share give or take the share's root, and room for five times that. */
static unsigned fair_share(unsigned limit)
{
    unsigned spread = 0;

    while (spread * spread < 25 * limit)
        spread++;
    return limit > OTHER_FDS + spread ? limit - OTHER_FDS - spread : 0;
}

/* Connections that the kernel's table of files has room for. */
static uint64_t files_allow(void)
{
    FILE *file = fopen("/proc/sys/fs/file-nr", "re");
    char line[128] = "", *p = line;
    uint64_t used, most, both;

    if (!file)
        return UINT64_MAX;
    if (!fgets(line, sizeof line, file))
        line[0] = '\0';
    fclose(file);
    used = strtoull(p, &p, 10);
    strtoull(p, &p, 10); /* always 0 */
    most = strtoull(p, &p, 10);
    both = most > used ? (most - used) / 2 : 0;
    return both - both / 64;
}

static uint64_t memory_allows(void)
{
    uint64_t available = million_available();

    return available > MEMORY_RESERVE ? (available - MEMORY_RESERVE) / EACH : 0;
}

static void at_most(struct plan *plan, uint64_t allowed, const char *what)
{
    if (allowed >= plan->connections)
        return;
    printf("million: fewer than %s connections: %s has room for %s\n",
           grouped(plan->connections), what, grouped(allowed));
    plan->connections = (unsigned)allowed;
}

static bool make_plan(struct plan *plan)
{
    unsigned share;

    plan->limit = fd_limit();
    share = fair_share(plan->limit);
    plan->connections = plan->wanted;
    at_most(plan, memory_allows(), "memory");
    at_most(plan, files_allow(), "fs.file-max");
    if (plan->connections == 0 || share == 0) {
        fprintf(stderr, "million: not even one connection\n");
        return false;
    }
    plan->processes = (plan->connections + share - 1) / share;
    return true;
}

/* --- up ------------------------------------------------------------------ */

/* Bound, and no listener: keeps the port for the servers. */
static bool reserve_port(struct sockaddr_in *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof *addr;
    int on = 1;

    *addr = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    if (fd >= 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
        bind(fd, (struct sockaddr *)addr, len) == 0 &&
        getsockname(fd, (struct sockaddr *)addr, &len) == 0)
        return true;
    perror("million: port");
    return false;
}

/* Children inherit it; one may always make it worse for oneself. */
static void offer_ourselves(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, "1000", 4) < 0)
        perror("million: oom_score_adj");
    close(fd);
}

static struct memory memory_now(const struct family *f)
{
    struct memory m = {
        .objects = million_meminfo("Slab:"),
        .tables = million_meminfo("PageTables:"),
    };

    for (unsigned i = 0; i < f->size; i++) {
        m.servers += million_status(f->servers[i].pid, "RssAnon:");
        m.clients += million_status(f->clients[i].pid, "RssAnon:");
    }
    m.all = m.objects + m.tables + m.servers + m.clients;
    return m;
}

/* Waits until the servers' count is `n`; the kernel may have told the clients
 * earlier. */
static bool servers_reach(struct family *f, enum counted which, uint64_t n)
{
    double until = million_now() + CATCH_UP;

    while (million_sum(f, f->servers, which) != n) {
        if (million_now() > until) {
            fprintf(stderr, "million: clients count %s, servers %s\n",
                    grouped(n), grouped(million_sum(f, f->servers, which)));
            return false;
        }
        if (!million_may_go_on(f))
            return false;
        poll(NULL, 0, 5);
    }
    return true;
}

/* One step for all clients: each up to its share of `goal`. */
static bool open_until(struct family *f, uint64_t goal)
{
    for (unsigned i = 0; i < f->size; i++) {
        uint64_t share = goal / f->size + (i < goal % f->size);
        uint64_t has = atomic_load(&f->clients[i].tally->counts[HELD]);

        if (!million_order(&f->clients[i],
                           (struct order){OPEN, (unsigned)(share - has)}))
            return false;
    }
    return million_await(f, f->clients, NULL, NULL) &&
           servers_reach(f, HELD, million_sum(f, f->clients, HELD));
}

/* All connections of the plan, or as many as memory turns out to allow. */
static bool ramp_up(struct family *f, const struct plan *plan)
{
    struct progress p = {
        .family = f, .members = f->clients, .verb = "held", .which = HELD};
    double begin = p.last = million_now();
    uint64_t held = 0;

    while (held < plan->connections) {
        uint64_t goal = held + (uint64_t)STEP * f->size;

        if (goal > plan->connections)
            goal = plan->connections;
        if (million_available() < MEMORY_RESERVE + (goal - held) * EACH) {
            printf("million: memory is short: no more than %s connections\n",
                   grouped(held));
            break;
        }
        if (!open_until(f, goal))
            return false;
        held = million_sum(f, f->clients, HELD);
        if (held < goal) /* the client has said why */
            return false;
        show(&p);
    }
    printf("held      %s connections, after %.1f s\n", grouped(held),
           million_now() - begin);
    return held > 0;
}

/* --- the sweeps ---------------------------------------------------------- */

/* Each connection says something, and has to hear it back. */
static bool sweep(struct family *f, unsigned number, uint64_t held)
{
    struct progress p = {.family = f,
                         .members = f->clients,
                         .verb = "answered",
                         .which = ANSWERED,
                         .before = million_sum(f, f->clients, ANSWERED)};
    double begin = p.last = million_now(), seconds;
    uint64_t answered, wrong, failed;

    for (unsigned i = 0; i < f->size; i++)
        if (!million_order(&f->clients[i], (struct order){SWEEP, number}))
            return false;
    if (!million_await(f, f->clients, show, &p))
        return false;
    seconds = million_now() - begin;
    answered = million_sum(f, f->clients, ANSWERED) - p.before;
    wrong = million_sum(f, f->clients, WRONG);
    failed =
        million_sum(f, f->clients, FAILED) + million_sum(f, f->servers, FAILED);
    printf("sweep %u   %s answered, %s wrong, %s failed, in %.1f s: "
           "%s requests/s\n",
           number, grouped(answered), grouped(wrong), grouped(failed), seconds,
           grouped((uint64_t)((double)answered / seconds)));
    return answered == held && wrong == 0 && failed == 0;
}

static bool all_still_there(struct family *f, uint64_t held)
{
    uint64_t there =
        million_sum(f, f->servers, HELD) - million_sum(f, f->servers, ENDED);

    if (there == held)
        return true;
    fprintf(stderr, "million: only %s fibers are left\n", grouped(there));
    return false;
}

/* --- the report ---------------------------------------------------------- */

static void say_part(const char *name, uint64_t now, uint64_t before,
                     uint64_t held)
{
    double bytes = now > before ? (double)(now - before) : 0;

    printf("  %-22s %6.2f GiB  %8s bytes each\n", name, bytes / (1 << 30),
           grouped((uint64_t)(bytes / (double)held)));
}

static void report(const struct memory *before, const struct memory *with,
                   uint64_t held)
{
    puts("memory    for a connection and both of its ends");
    say_part("in all", with->all, before->all, held);
    say_part("servers' own", with->servers, before->servers, held);
    say_part("clients' own", with->clients, before->clients, held);
    say_part("page tables", with->tables, before->tables, held);
    say_part("the kernel's objects", with->objects, before->objects, held);
}

/* --- all of it ----------------------------------------------------------- */

static bool close_all(struct family *f, uint64_t held)
{
    double begin = million_now();

    for (unsigned i = 0; i < f->size; i++)
        if (!million_order(&f->clients[i], (struct order){CLOSE, 0}))
            return false;
    if (!million_await(f, f->clients, NULL, NULL) ||
        !servers_reach(f, ENDED, held))
        return false;
    printf("closed    all, and no fiber is left, after %.1f s\n",
           million_now() - begin);
    return true;
}

static bool run(struct family *f, const struct plan *plan)
{
    struct memory before, with;
    struct sockaddr_in addr;
    uint64_t held;

    if (!reserve_port(&addr) ||
        !million_start(f, f->servers, million_server, plan->limit, &addr) ||
        !million_start(f, f->clients, million_client, plan->limit - OTHER_FDS,
                       &addr))
        return false;
    printf("million: %s connections, %u server processes on %s, and as many "
           "clients\n",
           grouped(plan->connections), f->size, f->engine);
    before = memory_now(f);
    if (!ramp_up(f, plan))
        return false;
    held = million_sum(f, f->clients, HELD);
    for (unsigned number = 1; number <= SWEEPS; number++)
        if (!sweep(f, number, held))
            return false;
    with = memory_now(f);
    if (!all_still_there(f, held))
        return false;
    report(&before, &with, held);
    return close_all(f, held);
}

static bool number_argument(const char *text, double most, double *out)
{
    char *end;

    errno = 0;
    *out = strtod(text, &end);
    return *text && !*end && errno == 0 && *out >= 1 && *out <= most;
}

static bool arguments(int argc, char **argv, struct plan *plan)
{
    double number;

    *plan = (struct plan){.wanted = 1000000, .seconds = 600};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return false;
        if (strcmp(argv[i], "--connections") == 0 &&
            number_argument(argv[i + 1], 1e8, &number))
            plan->wanted = (unsigned)number;
        else if (strcmp(argv[i], "--seconds") == 0 &&
                 number_argument(argv[i + 1], 1e6, &number))
            plan->seconds = number;
        else
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct family family;
    struct plan plan;
    bool good;

    if (!arguments(argc, argv, &plan)) {
        fprintf(stderr, "usage: million [--connections N] [--seconds S]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IONBF, 0);
    if (!make_plan(&plan))
        return NO_ROOM;
    family.deadline = million_now() + plan.seconds;
    if (!million_family_init(&family, plan.processes)) {
        perror("million");
        return 1;
    }
    offer_ourselves();
    good = run(&family, &plan);
    if (good)
        good = million_end(&family);
    else
        million_kill(&family);
    puts(good ? "all answered" : "FAILED");
    return good ? 0 : 1;
}
