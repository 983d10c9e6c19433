/* SPDX-License-Identifier: MIT
 *
 * test_watch.c - streams that wait for edges. What an edge-triggered set would
 * miss if it were used without care: bytes that are there, and nobody says so
 * again. Each test is one in which a receive has been told "there is no more",
 * or has concluded it, and there is.
 *
 * ctest: timeout=120
 */
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "fiber_support.h"

/* Far more than any of these needs; a receive that times out has hung. */
#define HANGING 20.0

struct ends {
    krait_sock *here, *there;
    int there_fd; /* for plain calls */
};

static bool connect_ends(struct ends *e)
{
    krait_addr any = krait_inet("127.0.0.1", 0);
    krait_sock *listener = krait_socket(AF_INET, SOCK_STREAM, 0);

    *e = (struct ends){0};
    if (!see(listener && krait_bind(listener, any) == 0 &&
             krait_listen(listener, 1) == 0))
        return false;
    e->there = krait_create_connection(krait_getsockname(listener), HANGING);
    e->here = krait_accept(listener, NULL);
    krait_close(listener);
    if (!see(e->there && e->here))
        return false;
    e->there_fd = krait_fileno(e->there);
    krait_settimeout(e->here, HANGING);
    krait_setsockopt(e->there, IPPROTO_TCP, TCP_NODELAY, 1);
    return true;
}

static void close_ends(struct ends *e)
{
    see(krait_close(e->here) == 0);
    see(krait_close(e->there) == 0);
}

static bool receives(krait_sock *s, const char *wanted)
{
    char buf[100];
    ssize_t n = krait_recv(s, buf, sizeof buf, 0);

    return see(n == (ssize_t)strlen(wanted)) &&
           see(memcmp(buf, wanted, (size_t)n) == 0);
}

static int write_later(void *arg)
{
    struct ends *e = arg;

    krait_sleep(0.01);
    return (int)send(e->there_fd, "warm", 4, MSG_NOSIGNAL);
}

/* So that `here` is registered, and believed to be empty. */
static bool has_waited(struct ends *e)
{
    krait_fiber *f = krait_spawn(write_later, e, NULL);
    bool good = receives(e->here, "warm");

    return joined(f) == 4 && good;
}

/* --- others take what is there ------------------------------------------- */

struct urgent {
    krait_sock *s;
    char byte;
};

static bool takes_urgent(void *arg)
{
    struct urgent *u = arg;

    return krait_recv(u->s, &u->byte, 1, MSG_OOB) == 1;
}

static void take_urgent(void *arg)
{
    see(wait_for(takes_urgent, arg));
}

/* A receive ends at the mark, short, and there is more behind it. */
static int read_past_a_mark(void *arg)
{
    bool in_a_thread = *(bool *)arg;
    struct urgent u = {0};
    struct ends e;

    if (!connect_ends(&e) || !has_waited(&e))
        return 0;
    send(e.there_fd, "abc", 3, MSG_NOSIGNAL);
    send(e.there_fd, "x", 1, MSG_NOSIGNAL | MSG_OOB);
    send(e.there_fd, "def", 3, MSG_NOSIGNAL);
    u.s = e.here;
    if (in_a_thread)
        join(start_thread(take_urgent, &u));
    see(receives(e.here, "abc"));
    see(receives(e.here, "def"));
    see(u.byte == (in_a_thread ? 'x' : 0));
    close_ends(&e);
    return 0;
}

static void test_what_is_behind_an_urgent_mark_is_received(void **state)
{
    bool in_a_thread = false;

    assert_works(run_fibers(state, read_past_a_mark, &in_a_thread));
    in_a_thread = true;
    assert_works(run_fibers(state, read_past_a_mark, &in_a_thread));
}

static bool is_here(void *arg)
{
    struct ends *e = arg;
    char byte;

    return recv(krait_fileno(e->here), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Plain calls read a part, while the fiber believes that there was none. */
static int read_beside(void *unused)
{
    struct ends e;
    char three[3];

    (void)unused;
    if (!connect_ends(&e) || !has_waited(&e))
        return 0;
    for (int i = 0; i < 20; i++) {
        send(e.there_fd, "0123456789", 10, MSG_NOSIGNAL);
        see(wait_for(is_here, &e));
        see(recv(krait_fileno(e.here), three, 3, 0) == 3);
        see(receives(e.here, "3456789"));
    }
    see(has_waited(&e));
    close_ends(&e);
    return 0;
}

static void test_plain_calls_may_read_a_part(void **state)
{
    assert_works(run_fibers(state, read_beside, NULL));
}

/* Another process reads the same socket, and takes what woke the fiber. */
static pid_t steal_one(int fd)
{
    pid_t pid = fork();
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte;

    if (pid != 0)
        return pid;
    _exit(poll(&p, 1, (int)HANGING * 1000) != 1 || recv(fd, &byte, 1, 0) < -1);
}

static int share_with_a_child(void *unused)
{
    struct ends e;
    char byte = 0;
    int status;
    pid_t pid;

    (void)unused;
    if (!connect_ends(&e) || !has_waited(&e))
        return 0;
    pid = steal_one(krait_fileno(e.here));
    if (!see(pid > 0))
        return 0;
    send(e.there_fd, "a", 1, MSG_NOSIGNAL);
    see(krait_wait_child(pid, &status, HANGING) == 0 && status == 0);
    send(e.there_fd, "b", 1, MSG_NOSIGNAL);
    while (byte != 'b' && see(krait_recv(e.here, &byte, 1, 0) == 1))
        ;
    see(has_waited(&e));
    close_ends(&e);
    return 0;
}

static void test_a_child_may_take_what_woke_us(void **state)
{
    if (UNDER_TSAN)
        skip_because("ThreadSanitizer knows no forks of threads");
    assert_works(run_fibers(state, share_with_a_child, NULL));
}

/* --- the fd in other hands ------------------------------------------------ */

static int adopt_again(void *unused)
{
    struct ends e;

    (void)unused;
    if (!connect_ends(&e))
        return 0;
    for (int i = 0; i < 3; i++) {
        int fd;

        see(has_waited(&e));
        fd = krait_detach(e.here);
        send(e.there_fd, "between", 7, MSG_NOSIGNAL);
        e.here = krait_fd_adopt(fd);
        if (!see(e.here != NULL))
            return 0;
        krait_settimeout(e.here, HANGING);
        see(receives(e.here, "between"));
    }
    see(has_waited(&e));
    close_ends(&e);
    return 0;
}

static void test_an_fd_is_handed_back_and_adopted(void **state)
{
    assert_works(run_fibers(state, adopt_again, NULL));
}

static int close_and_open(void *unused)
{
    (void)unused;
    for (int i = 0; i < 200; i++) {
        struct ends e;

        if (!connect_ends(&e))
            return 0;
        see(has_waited(&e));
        close_ends(&e);
    }
    return 0;
}

static int close_and_open_here_and_there(void *unused)
{
    krait_fiber *f[3];

    (void)unused;
    for (int i = 0; i < 3; i++)
        f[i] = spawn_at(1 + i, close_and_open, NULL);
    for (int i = 0; i < 3; i++)
        joined(f[i]);
    return 0;
}

static void test_a_number_is_used_again(void **state)
{
    assert_works(run_fibers(state, close_and_open_here_and_there, NULL));
}

/* --- every byte, and the end --------------------------------------------- */

enum { COUNT_OF_STREAMS = 12, BYTES = 150000 };

struct stream {
    struct ends ends;
    unsigned seed;
};

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 16;
}

static unsigned char byte_at(size_t at)
{
    return (unsigned char)(at * 7 + (at >> 8));
}

static int send_at_random(void *arg)
{
    struct stream *s = arg;
    unsigned char block[3000];
    unsigned seed = s->seed;

    for (size_t at = 0; at < BYTES;) {
        size_t len = 1 + next_random(&seed) % sizeof block;

        if (next_random(&seed) % 4)
            len = 1 + len % 70;
        len = len < BYTES - at ? len : BYTES - at;
        for (size_t i = 0; i < len; i++)
            block[i] = byte_at(at + i);
        if (!see(krait_sendall(s->ends.there, block, len, 0) == 0))
            break;
        at += len;
        if (next_random(&seed) % 8 == 0)
            krait_yield();
    }
    return krait_shutdown(s->ends.there, SHUT_WR);
}

static int receive_at_random(void *arg)
{
    struct stream *s = arg;
    unsigned char block[2000];
    unsigned seed = s->seed * 31;
    size_t at = 0, wrong = 0;
    ssize_t n;

    for (;;) {
        size_t len = 1 + next_random(&seed) % sizeof block;

        if (next_random(&seed) % 2)
            len = 1 + len % 64;
        n = krait_recv(s->ends.here, block, len, 0);
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            wrong += block[i] != byte_at(at++);
    }
    see(n == 0 && at == BYTES && wrong == 0);
    return 0;
}

static int run_streams(void *unused)
{
    static struct stream streams[COUNT_OF_STREAMS];
    krait_fiber *f[2 * COUNT_OF_STREAMS];

    (void)unused;
    for (int i = 0; i < COUNT_OF_STREAMS; i++) {
        streams[i].seed = (unsigned)i + 1;
        if (!connect_ends(&streams[i].ends))
            return 0;
        f[2 * i] = spawn_at(1 + i % 3, receive_at_random, &streams[i]);
        f[2 * i + 1] = spawn_at(1 + i % 2, send_at_random, &streams[i]);
    }
    for (int i = 0; i < 2 * COUNT_OF_STREAMS; i++)
        joined(f[i]);
    for (int i = 0; i < COUNT_OF_STREAMS; i++)
        close_ends(&streams[i].ends);
    return 0;
}

static void test_every_byte_comes_and_then_the_end(void **state)
{
    assert_works(run_fibers(state, run_streams, NULL));
}

int main(int argc, char **argv)
{
    static const struct fiber_test tests[] = {
        {TEST(test_what_is_behind_an_urgent_mark_is_received), false},
        {TEST(test_plain_calls_may_read_a_part), false},
        {TEST(test_a_child_may_take_what_woke_us), false},
        {TEST(test_an_fd_is_handed_back_and_adopted), false},
        {TEST(test_a_number_is_used_again), false},
        {TEST(test_every_byte_comes_and_then_the_end), false},
    };

    return run_fiber_tests(argc, argv, "watch", tests, COUNT(tests));
}
