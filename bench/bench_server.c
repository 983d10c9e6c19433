/* SPDX-License-Identifier: MIT
 *
 * bench_server.c - the command line and the listener of the benchmark's
 * servers.
 */
#include "bench_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_DEFAULT 1024
#define BUFFER_MOST    (16L << 20)
#define WORK_MOST      1000000000L
#define EXTRAS_MOST    16

static void __attribute__((noreturn)) fail(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what,
            strerror(errno));
    exit(1);
}

static void __attribute__((noreturn)) usage(const struct option *options)
{
    fprintf(stderr, "usage: %s", program_invocation_short_name);
    for (; options->name; options++)
        fprintf(stderr, " [--%s%s]", options->name,
                options->has_arg ? " N" : "");
    fputc('\n', stderr);
    exit(2);
}

static bool read_number(const char *text, long most, long *value)
{
    char *end;

    errno = 0;
    *value = strtol(text, &end, 10);
    return !errno && end != text && !*end && *value >= 0 && *value <= most;
}

static void raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void end(int signo)
{
    (void)signo;
    _exit(0);
}

struct server_options server_parse(int argc, char **argv,
                                   const struct server_extra *extra)
{
    struct server_options chosen = {.buffer = BUFFER_DEFAULT};
    const struct {
        const char *name;
        long *value, most;
    } common[] = {
        {"port", &chosen.port, UINT16_MAX},
        {"work", &chosen.work, WORK_MOST},
        {"buffer", &chosen.buffer, BUFFER_MOST},
        {"sink", &chosen.sink, 0},
    };
    enum { COMMON = sizeof common / sizeof common[0] };
    struct option options[COMMON + EXTRAS_MOST + 1] = {{0}};
    int count = 0;
    int c, i;

    for (; count < COMMON; count++)
        options[count] = (struct option){common[count].name,
                                         common[count].most > 0, NULL, 0};
    for (i = 0; extra && extra[i].name && i < EXTRAS_MOST; i++)
        options[count++] =
            (struct option){extra[i].name, extra[i].has_argument, NULL, 0};

    while ((c = getopt_long(argc, argv, "", options, &i)) == 0) {
        long *value = i < COMMON ? common[i].value : extra[i - COMMON].value;
        long most = i < COMMON ? common[i].most : WORK_MOST;

        if (!options[i].has_arg)
            *value = 1;
        else if (!read_number(optarg, most, value))
            usage(options);
    }
    if (c != -1 || optind != argc || chosen.buffer < 1)
        usage(options);
    raise_fd_limit();
    signal(SIGTERM, end);
    return chosen;
}

int server_listen(const struct server_options *options, int flags)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)options->port),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    if (fd < 0)
        fail("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) < 0)
        fail("setsockopt");
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        fail("bind");
    if (listen(fd, LISTEN_BACKLOG) < 0)
        fail("listen");
    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        fail("getsockname");
    printf("port %u\n", ntohs(addr.sin_port));
    if (fflush(stdout) != 0)
        fail("stdout");
    return fd;
}
