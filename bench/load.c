/* SPDX-License-Identifier: MIT
 *
 * load.c - the benchmark's load generator: one thread that keeps a server
 * busy, looks at every byte that comes back, and measures.
 *
 *     load --port N --connections C [--active A] [--size S]
 *          [--mode echo|stream|connect] [--pid SERVER] [--spin]
 *
 * It opens its connections and says `ready`. Each line of stdin then is a
 * number of seconds: so long is a slice, which ends with a line of key=value
 * pairs. Between slices nothing is in flight, and no CPU is used. At the end of
 * stdin it closes everything and leaves.
 *
 *     requests, bytes    answered as they should be, within the slice (stream:
 *                        written, and acknowledged by the other end's kernel)
 *     seconds            the slice
 *     p50_us ... max_us  from before a request was sent until its answer was
 *                        seen; those that are answered after the slice count
 *                        too, lest the slowest ones be overlooked
 *     client_cpu         this program's share of a core, within the slice
 *     server_cpu         the server's, all its threads together
 *     server_us          the server's CPU time for a request, until the last
 *                        one has been answered and the server is at rest
 *     errors             answers that were wrong, short, late or missing; the
 *                        first of them is told on stderr
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "load.h"

#define SECOND 1000000000ULL

/* After its end a slice waits so long for answers. */
#define PATIENCE (5 * SECOND)
/* The server is at rest when it has used no CPU for so long; but no more is
 * waited for than ... */
#define REST_NS      500000
#define REST_PERIODS 200

#define SIZE_DEFAULT 64
#define SIZE_MOST    (1L << 20)

uint64_t random_next(struct load *load)
{
    /* splitmix64, which any state is good for. */
    uint64_t z = (load->random += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

void mistake(struct load *load, const char *format, ...)
{
    static bool told;
    va_list args;

    load->errors++;
    if (told)
        return;
    told = true;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

int dial(const struct load *load)
{
    const struct sockaddr_in addr = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)load->port),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0 &&
        connect(fd, (const struct sockaddr *)&addr, sizeof addr) == 0)
        return fd;
    fprintf(stderr, "load: connect: %s\n", strerror(errno));
    return -1;
}

/* --- a slice --- */

/* The server's CPU time so far, in ns, threads that have ended included: which
 * is why it isn't added up from /proc. 0 where it is not told. */
static uint64_t server_ns(const struct load *load)
{
    clockid_t clock;

    if (!load->pid || clock_getcpuclockid((pid_t)load->pid, &clock) != 0)
        return 0;
    return clock_ns(clock);
}

static void let_server_rest(const struct load *load)
{
    uint64_t before, after = server_ns(load);
    int periods = 0;

    do {
        before = after;
        nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
        after = server_ns(load);
    } while (after != before && ++periods < REST_PERIODS);
}

/* Puts the active ones in front, chosen anew. */
static void choose(struct load *load)
{
    const uint64_t all = (uint64_t)load->connections;

    if (load->active == load->connections)
        return;
    for (uint64_t i = 0; i < (uint64_t)load->active; i++) {
        const uint64_t other = i + random_next(load) % (all - i);
        const unsigned index = load->chosen[other];

        load->chosen[other] = load->chosen[i];
        load->chosen[i] = index;
    }
}

/* Waits for what is still in flight. */
static void drain(struct load *load)
{
    const uint64_t deadline = now_ns() + PATIENCE;

    while (load->in_flight > 0 && load->now < deadline)
        ring_turn(load, deadline);
    if (load->in_flight > 0)
        load->mode->abandon(load);
    while (load->mode->outstanding(load) > 0 && now_ns() < deadline)
        nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
}

static double micro(uint64_t ns)
{
    return (double)ns / 1e3;
}

/* What a request costs the server is taken over all of them, those that were
 * answered after the slice included: half of what is in flight then may have
 * been worked on. */
static void run_slice(struct load *load, double seconds)
{
    const uint64_t server_before = server_ns(load);
    const uint64_t client_before = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    const uint64_t began = now_ns();
    uint64_t requests, bytes, client, server, server_all;
    double took;

    load->requests = load->bytes = load->errors = 0;
    load->stopped = false;
    latency_clear(&load->latency);
    choose(load);
    ring_timer(load, (uint64_t)(seconds * 1e9));
    load->mode->begin(load);
    while (!load->stopped)
        ring_turn(load, 0);

    took = (double)(now_ns() - began);
    client = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - client_before;
    server = server_ns(load) - server_before;
    requests = load->requests;
    bytes = load->bytes - load->mode->outstanding(load);
    drain(load);
    let_server_rest(load);
    server_all = server_ns(load) - server_before;

    printf("requests=%llu seconds=%.6f p50_us=%.2f p99_us=%.2f p999_us=%.2f "
           "max_us=%.2f bytes=%llu client_cpu=%.4f server_cpu=%.4f "
           "server_us=%.4f errors=%llu\n",
           (unsigned long long)requests, took / 1e9,
           micro(latency_quantile(&load->latency, 0.5)),
           micro(latency_quantile(&load->latency, 0.99)),
           micro(latency_quantile(&load->latency, 0.999)),
           micro(load->latency.most), (unsigned long long)bytes,
           (double)client / took, (double)server / took,
           load->requests ? micro(server_all) / (double)load->requests : 0.0,
           (unsigned long long)load->errors);
    fflush(stdout);
}

/* --- the command line --- */

static void __attribute__((noreturn)) usage(void)
{
    fputs("usage: load --port N --connections C [--active A] [--size S]\n"
          "            [--mode echo|stream|connect] [--pid SERVER] [--spin]\n",
          stderr);
    exit(2);
}

static long number(const char *text, long most)
{
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < 1 || value > most)
        usage();
    return value;
}

static const struct mode *mode_named(const char *name)
{
    enum { MODES = 3 };
    static const struct mode *const modes[MODES] = {&echo_mode, &stream_mode,
                                                    &connect_mode};

    for (size_t i = 0; i < MODES; i++)
        if (strcmp(modes[i]->name, name) == 0)
            return modes[i];
    usage();
}

static void parse(struct load *load, int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},
        {"connections", required_argument, NULL, 'c'},
        {"active", required_argument, NULL, 'a'},
        {"size", required_argument, NULL, 's'},
        {"mode", required_argument, NULL, 'm'},
        {"pid", required_argument, NULL, 'i'},
        {"spin", no_argument, NULL, 'b'},
        {0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'p')
            load->port = number(optarg, UINT16_MAX);
        else if (c == 'c')
            load->connections = number(optarg, 1000000);
        else if (c == 'a')
            load->active = number(optarg, 1000000);
        else if (c == 's')
            load->size = number(optarg, SIZE_MOST);
        else if (c == 'm')
            load->mode = mode_named(optarg);
        else if (c == 'i')
            load->pid = number(optarg, INT32_MAX);
        else if (c == 'b')
            load->spin = 1;
        else
            usage();
    }
    if (optind != argc || !load->port || !load->connections ||
        load->active > load->connections)
        usage();
    if (!load->active)
        load->active = load->connections;
}

static bool start(struct load *load)
{
    const size_t count = (size_t)load->connections;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    load->connection = calloc(count, sizeof *load->connection);
    load->chosen = calloc(count, sizeof *load->chosen);
    if (!load->connection || !load->chosen || !bytes_make((size_t)load->size)) {
        fprintf(stderr, "load: out of memory\n");
        return false;
    }
    for (unsigned i = 0; i < count; i++)
        load->chosen[i] = i;
    return ring_open(load) && load->mode->open(load);
}

int main(int argc, char **argv)
{
    static struct load load = {.mode = &echo_mode, .size = SIZE_DEFAULT};
    char line[64];

    load.random = now_ns();
    parse(&load, argc, argv);
    if (!start(&load))
        return 1;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        char *end;
        double seconds = strtod(line, &end);

        if (end == line || *end != '\n' || !(seconds > 0 && seconds < 3600)) {
            fprintf(stderr, "load: not a number of seconds: %s\n", line);
            return 2;
        }
        run_slice(&load, seconds);
    }
    return 0;
}
