/* SPDX-License-Identifier: MIT
 *
 * test_scope.c - deadline scopes: one limit over whatever is called in them.
 * Only lower bounds decide: how much longer a call takes is the machine's
 * affair. A scope that is over before it begins (0 seconds) tells the rest.
 *
 * ctest: flows
 */
#include "support.h"

#include <krait/scope.h>
#include <math.h>

#define SHORT 0.05
#define LONG  1000.0 /* no test takes so long */

/* --- scopes by themselves ---------------------------------------------- */

static void test_outside_of_a_scope_there_is_no_limit(void **state)
{
    (void)state;
    assert_true(krait_deadline_left() == KRAIT_FOREVER);
}

static void test_a_scope_tells_how_much_is_left(void **state)
{
    krait_deadline d;
    double left;

    (void)state;
    assert_works(krait_deadline_begin(&d, LONG));
    left = krait_deadline_left();
    assert_true(left > 0 && left <= LONG);
    assert_true(krait_deadline_left() <= left);
    assert_int_equal(krait_deadline_end(&d), 0);
    assert_true(krait_deadline_left() == KRAIT_FOREVER);
}

static void test_a_scope_that_is_over_has_nothing_left(void **state)
{
    krait_deadline d;

    (void)state;
    assert_works(krait_deadline_begin(&d, 0));
    assert_true(krait_deadline_left() == 0);
    assert_int_equal(krait_deadline_end(&d), 1);
    assert_works(krait_deadline_begin(&d, 1e-9));
    nap(1e-6);
    assert_true(krait_deadline_left() == 0);
    assert_int_equal(krait_deadline_end(&d), 1);
}

static void test_the_earliest_of_nested_scopes_holds(void **state)
{
    krait_deadline outer, inner;

    (void)state;
    assert_works(krait_deadline_begin(&outer, LONG));
    assert_works(krait_deadline_begin(&inner, 2 * LONG));
    assert_true(krait_deadline_left() <= LONG);
    assert_int_equal(krait_deadline_end(&inner), 0);
    assert_works(krait_deadline_begin(&inner, LONG / 2));
    assert_true(krait_deadline_left() <= LONG / 2);
    assert_int_equal(krait_deadline_end(&inner), 0);
    assert_true(krait_deadline_left() > LONG / 2);
    assert_works(krait_deadline_begin(&inner, 0));
    assert_true(krait_deadline_left() == 0);
    assert_int_equal(krait_deadline_end(&inner), 1);
    assert_true(krait_deadline_left() > LONG / 2);
    assert_int_equal(krait_deadline_end(&outer), 0);
}

static void test_forever_is_no_limit_and_no_way_out_of_one(void **state)
{
    krait_deadline outer, inner;

    (void)state;
    assert_works(krait_deadline_begin(&outer, KRAIT_FOREVER));
    assert_true(krait_deadline_left() == KRAIT_FOREVER);
    assert_int_equal(krait_deadline_end(&outer), 0);
    assert_works(krait_deadline_begin(&outer, LONG));
    assert_works(krait_deadline_begin(&inner, KRAIT_FOREVER));
    assert_true(krait_deadline_left() <= LONG);
    assert_int_equal(krait_deadline_end(&inner), 0);
    assert_int_equal(krait_deadline_end(&outer), 0);
}

static void test_a_time_that_is_none_begins_a_scope_without_limit(void **state)
{
    static const double bad[] = {-1, -1e-300, -KRAIT_FOREVER, (double)NAN};
    krait_deadline d;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(bad); i++) {
        assert_fails(krait_deadline_begin(&d, bad[i]), EINVAL);
        assert_true(krait_deadline_left() == KRAIT_FOREVER);
        assert_int_equal(krait_deadline_end(&d), 0);
    }
}

static void test_only_the_innermost_scope_can_end(void **state)
{
    krait_deadline outer, inner;

    (void)state;
    assert_fails(krait_deadline_end(NULL), EINVAL);
    assert_fails(krait_deadline_begin(NULL, LONG), EINVAL);
    assert_works(krait_deadline_begin(&outer, LONG));
    assert_works(krait_deadline_begin(&inner, LONG / 2));
    assert_fails(krait_deadline_end(&outer), EINVAL);
    assert_fails(krait_deadline_end(NULL), EINVAL);
    assert_true(krait_deadline_left() <= LONG / 2); /* nothing has changed */
    assert_int_equal(krait_deadline_end(&inner), 0);
    assert_fails(krait_deadline_end(&inner), EINVAL);
    assert_int_equal(krait_deadline_end(&outer), 0);
    assert_fails(krait_deadline_end(&outer), EINVAL);
}

struct onlooker {
    krait_deadline *foreign;
    double left;
    int rc, err;
};

static void look_and_end(void *arg)
{
    struct onlooker *o = (struct onlooker *)arg;

    o->left = krait_deadline_left();
    o->rc = krait_deadline_end(o->foreign);
    o->err = errno;
}

static void test_a_scope_is_that_of_who_began_it(void **state)
{
    struct onlooker other = {.left = 0}, thread = {.left = 0};
    krait_deadline d;

    (void)state;
    other.foreign = thread.foreign = &d;
    assert_works(krait_deadline_begin(&d, LONG));
    join(start(look_and_end, &other));
    join(start_thread(look_and_end, &thread));
    assert_int_equal(krait_deadline_end(&d), 0);
    assert_true(other.left == KRAIT_FOREVER);
    assert_int_equal(other.rc, -1);
    assert_int_equal(other.err, EINVAL);
    assert_true(thread.left == KRAIT_FOREVER);
    assert_int_equal(thread.rc, -1);
    assert_int_equal(thread.err, EINVAL);
}

/* --- calls that wait --------------------------------------------------- */

static void test_a_scope_ends_recv(void **state)
{
    krait_sock *pair[2];
    krait_deadline d;
    double since;
    char byte;

    connect_pair(transport_of(state), pair);
    since = now();
    assert_works(krait_deadline_begin(&d, SHORT));
    assert_fails(krait_recv(pair[0], &byte, 1, 0), ETIMEDOUT);
    assert_true(now() - since >= SHORT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_contains(krait_errmsg(), "recv");
    assert_int_equal(krait_deadline_end(&d), 1);

    /* The socket is none the worse for it. */
    assert_true(krait_gettimeout(pair[0]) == KRAIT_FOREVER);
    assert_int_equal(krait_send(pair[1], "x", 1, 0), 1);
    assert_int_equal(krait_recv(pair[0], &byte, 1, 0), 1);
}

static void test_a_scope_ends_recvfrom(void **state)
{
    krait_sock *s = bound(transport_of(state));
    double since = now();
    krait_deadline d;
    char byte;

    assert_works(krait_deadline_begin(&d, SHORT));
    assert_fails(krait_recvfrom(s, &byte, 1, 0, NULL), ETIMEDOUT);
    assert_true(now() - since >= SHORT);
    assert_int_equal(krait_deadline_end(&d), 1);
}

static void test_the_earlier_of_scope_and_timeout_ends_a_call(void **state)
{
    krait_sock *pair[2];
    krait_deadline d;
    char byte;

    connect_pair(transport_of(state), pair);
    assert_works(krait_settimeout(pair[0], SHORT));
    assert_works(krait_deadline_begin(&d, LONG));
    assert_fails(krait_recv(pair[0], &byte, 1, 0), ETIMEDOUT);
    assert_int_equal(krait_deadline_end(&d), 0);
    assert_works(krait_settimeout(pair[0], LONG));
    assert_works(krait_deadline_begin(&d, SHORT));
    assert_fails(krait_recv(pair[0], &byte, 1, 0), ETIMEDOUT);
    assert_int_equal(krait_deadline_end(&d), 1);
}

static void test_an_inner_scope_ends_without_the_outer_one(void **state)
{
    krait_deadline outer, inner;
    krait_sock *pair[2];
    char byte;

    connect_pair(transport_of(state), pair);
    assert_works(krait_deadline_begin(&outer, LONG));
    assert_works(krait_deadline_begin(&inner, SHORT));
    assert_fails(krait_recv(pair[0], &byte, 1, 0), ETIMEDOUT);
    assert_int_equal(krait_deadline_end(&inner), 1);
    assert_int_equal(krait_send(pair[1], "x", 1, 0), 1);
    assert_int_equal(krait_recv(pair[0], &byte, 1, 0), 1);
    assert_int_equal(krait_deadline_end(&outer), 0);
}

static void test_an_outer_scope_ends_what_an_inner_one_allows(void **state)
{
    krait_deadline outer, inner;
    krait_sock *pair[2];
    double since;
    char byte;

    connect_pair(transport_of(state), pair);
    since = now();
    assert_works(krait_deadline_begin(&outer, SHORT));
    assert_works(krait_deadline_begin(&inner, LONG));
    assert_fails(krait_recv(pair[0], &byte, 1, 0), ETIMEDOUT);
    assert_true(now() - since >= SHORT);
    assert_works(krait_deadline_end(&inner));
    assert_int_equal(krait_deadline_end(&outer), 1);
}

static void test_a_scope_is_for_all_calls_in_it_together(void **state)
{
    krait_sock *pair[2], *server;
    krait_deadline d;
    double since;
    char byte;
    int rounds = 0;

    connect_pair(transport_of(state), pair);
    server = listener(transport_named(INET_STREAM));
    since = now();
    assert_works(krait_deadline_begin(&d, 4 * SHORT));
    /* Each would wait for less than the scope, and ends with its timeout. */
    assert_works(krait_settimeout(pair[0], SHORT));
    assert_works(krait_settimeout(server, SHORT));
    while (krait_deadline_left() > 0) {
        assert_fails(krait_recv(pair[0], &byte, 1, 0), ETIMEDOUT);
        assert_null_with(krait_accept(server, NULL), ETIMEDOUT);
        rounds++;
    }
    assert_true(now() - since >= 4 * SHORT);
    assert_true(rounds <= 2); /* of 2 * SHORT each; the last was cut short */
    assert_int_equal(krait_deadline_end(&d), 1);
}

/* --- calls that need not wait ------------------------------------------ */

static void test_after_the_scope_s_time_data_that_is_there_stays(void **state)
{
    krait_sock *pair[2];
    krait_deadline d;
    char got[4];

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[1], "abc", 3, 0), 3);
    assert_works(krait_deadline_begin(&d, 0));
    assert_fails(krait_recv(pair[0], got, 4, 0), ETIMEDOUT);
    assert_fails(krait_recv(pair[0], got, 4, MSG_PEEK), ETIMEDOUT);
    assert_fails(krait_recv(pair[0], got, 3, MSG_WAITALL), ETIMEDOUT);
    assert_fails(krait_recvfrom(pair[0], got, 4, 0, NULL), ETIMEDOUT);
    assert_fails(krait_send(pair[0], "x", 1, 0), ETIMEDOUT);
    assert_fails(krait_sendall(pair[0], "x", 1, 0), ETIMEDOUT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_int_equal(krait_deadline_end(&d), 1);
    assert_int_equal(krait_recv(pair[0], got, 4, 0), 3);
    /* And nothing was sent. */
    assert_fails(krait_recv(pair[1], got, 4, MSG_DONTWAIT), EAGAIN);
}

static void test_calls_that_must_not_wait_go_on_after_the_time(void **state)
{
    krait_sock *pair[2];
    krait_deadline d;
    char got[4];
    int fd;

    connect_pair(transport_of(state), pair);
    fd = krait_fileno(pair[0]);
    assert_works(krait_deadline_begin(&d, 0));
    assert_int_equal(krait_send(pair[1], "abc", 3, MSG_DONTWAIT), 3);
    assert_true(wait_for(fd_is_readable, &fd));
    assert_int_equal(krait_recv(pair[0], got, 4, MSG_DONTWAIT), 3);
    assert_fails(krait_recv(pair[0], got, 4, MSG_DONTWAIT), EAGAIN);
    assert_works(krait_settimeout(pair[0], 0));
    assert_works(krait_settimeout(pair[1], 0));
    assert_int_equal(krait_send(pair[1], "abc", 3, 0), 3);
    assert_true(wait_for(fd_is_readable, &fd));
    assert_int_equal(krait_recv(pair[0], got, 4, 0), 3);
    assert_fails(krait_recv(pair[0], got, 4, 0), EAGAIN);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_OS);
    /* Nor does what never waits mind. */
    assert_int_equal(krait_addr_error(krait_getsockname(pair[0])), 0);
    assert_works(krait_setsockopt(pair[0], SOL_SOCKET, SO_KEEPALIVE, 1));
    assert_works(krait_shutdown(pair[0], SHUT_RDWR));
    assert_int_equal(shut(pair[0]), 0);
    assert_int_equal(krait_deadline_end(&d), 1);
}

/* Sends for as long as anybody lets it. */
struct babbler {
    krait_sock *sock;
    int err;
};

static void babble(void *arg)
{
    struct babbler *b = (struct babbler *)arg;
    static const char block[4096];

    while (krait_sendall(b->sock, block, sizeof block, 0) == 0)
        ;
    b->err = errno;
}

/* Byte by byte: it never runs dry, and no recv has to wait. */
static void test_a_peer_that_always_has_more_does_not_outlast_it(void **state)
{
    struct babbler babbler = {0};
    krait_sock *pair[2];
    struct task *task;
    krait_deadline d;
    ssize_t n;
    char byte;

    connect_pair(transport_of(state), pair);
    babbler.sock = pair[1];
    task = start(babble, &babbler);
    wait_until_blocked(task);
    assert_works(krait_deadline_begin(&d, SHORT));
    while ((n = krait_recv(pair[0], &byte, 1, 0)) == 1)
        ;
    assert_int_equal(n, -1);
    assert_int_equal(errno, ETIMEDOUT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_int_equal(krait_deadline_end(&d), 1);
    assert_works(krait_interrupt(pair[1]));
    join(task);
    assert_int_equal(babbler.err, ECANCELED);
}

/* Reads all that comes, at once: no sendall has to wait for long. */
static void gulp(void *arg)
{
    struct call *c = (struct call *)arg;
    char buf[16384];

    while ((c->rc = krait_recv(c->sock, buf, sizeof buf, 0)) > 0)
        ;
}

static void test_a_peer_that_always_reads_does_not_outlast_it(void **state)
{
    struct call reader = {0};
    krait_sock *pair[2];
    krait_deadline d;

    connect_pair(transport_of(state), pair);
    reader.sock = pair[1];
    reader.task = start(gulp, &reader);
    assert_works(krait_deadline_begin(&d, SHORT));
    while (krait_sendall(pair[0], "x", 1, 0) == 0)
        ;
    assert_int_equal(krait_errno(), ETIMEDOUT);
    assert_int_equal(krait_deadline_end(&d), 1);
    shut(pair[0]);
    join(reader.task);
    assert_int_equal(reader.rc, 0);
}

/* --- other calls ------------------------------------------------------- */

static void test_a_scope_ends_sendall_to_who_does_not_read(void **state)
{
    size_t len = (size_t)32 << 20;
    unsigned char *data = patterned(len);
    krait_sock *pair[2];
    krait_deadline d;
    double since;

    connect_pair(transport_of(state), pair);
    since = now();
    assert_works(krait_deadline_begin(&d, SHORT));
    assert_fails(krait_sendall(pair[0], data, len, 0), ETIMEDOUT);
    assert_true(now() - since >= SHORT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_int_equal(krait_deadline_end(&d), 1);
}

static void test_a_send_in_a_scope_tells_what_it_sent(void **state)
{
    size_t len = (size_t)32 << 20;
    unsigned char *data = patterned(len);
    krait_sock *pair[2];
    krait_deadline d;
    ssize_t n;

    connect_pair(transport_of(state), pair);
    assert_works(krait_deadline_begin(&d, SHORT));
    n = krait_send(pair[0], data, len, 0);
    assert_fails(krait_send(pair[0], data, 1, 0), ETIMEDOUT);
    assert_int_equal(krait_deadline_end(&d), 1);
    assert_true(n > 0 && (size_t)n < len);
}

static void test_msg_waitall_gives_what_came_before_the_time(void **state)
{
    krait_sock *pair[2];
    krait_deadline d;
    char got[6];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[1], "abc", 3, 0));
    assert_works(krait_deadline_begin(&d, SHORT));
    assert_int_equal(krait_recv(pair[0], got, 6, MSG_WAITALL), 3);
    assert_int_equal(krait_deadline_end(&d), 1);
    assert_memory_equal(got, "abc", 3);
    assert_works(krait_sendall(pair[1], "def", 3, 0));
    assert_int_equal(krait_recv(pair[0], got, 3, MSG_WAITALL), 3);
    assert_memory_equal(got, "def", 3);
}

static void test_a_scope_ends_accept(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = listener(t), *client = fresh(t);
    double since = now();
    krait_deadline d;

    assert_works(krait_deadline_begin(&d, SHORT));
    assert_null_with(krait_accept(server, NULL), ETIMEDOUT);
    assert_true(now() - since >= SHORT);
    assert_int_equal(krait_deadline_end(&d), 1);

    /* A client that is there already has to wait, and isn't lost. */
    assert_works(krait_connect(client, krait_getsockname(server)));
    assert_works(krait_deadline_begin(&d, 0));
    assert_null_with(krait_accept(server, NULL), ETIMEDOUT);
    assert_int_equal(krait_deadline_end(&d), 1);
    own(krait_accept(server, NULL));
}

static void test_a_scope_ends_connect(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = full_listener(t), *client = fresh(t);
    double since = now();
    krait_deadline d;

    assert_works(krait_deadline_begin(&d, SHORT));
    assert_fails(krait_connect(client, krait_getsockname(server)), ETIMEDOUT);
    assert_true(now() - since >= SHORT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_int_equal(krait_deadline_end(&d), 1);
}

static void test_a_scope_ends_create_connection(void **state)
{
    krait_addr addr = krait_getsockname(full_listener(transport_of(state)));
    double since = now();
    krait_deadline d;

    assert_works(krait_deadline_begin(&d, SHORT));
    assert_null_with(krait_create_connection(addr, KRAIT_FOREVER), ETIMEDOUT);
    assert_true(now() - since >= SHORT);
    assert_null_with(krait_create_connection(addr, LONG), ETIMEDOUT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_int_equal(krait_deadline_end(&d), 1);
}

/* How one that is under way ends is in test_slow_names.c. */
static void test_after_the_scope_s_time_no_name_is_resolved(void **state)
{
    krait_addr name = krait_inet("localhost", 80), found;
    krait_deadline d;

    (void)state;
    assert_works(krait_deadline_begin(&d, 0));
    assert_fails(krait_addr_resolve(name, AF_UNSPEC, KRAIT_FOREVER, &found, 1),
                 ETIMEDOUT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_fails(krait_addr_resolve(name, AF_UNSPEC, 0, &found, 1), EAGAIN);
    assert_int_equal(krait_deadline_end(&d), 1);
}

static void test_a_scope_ends_getline_in_the_middle_of_a_line(void **state)
{
    char *line = NULL, whole[64] = {0};
    krait_sock *pair[2];
    size_t room = 0;
    krait_deadline d;
    ssize_t n;
    FILE *in;
    int err;

    connect_pair(transport_of(state), pair);
    in = krait_makefile(pair[0], "r");
    assert_non_null(in);
    assert_works(krait_sendstr(pair[1], "half a "));
    assert_works(krait_deadline_begin(&d, SHORT));
    n = getline(&line, &room, in);
    err = errno;
    assert_int_equal(krait_deadline_end(&d), 1);
    assert_true(ferror(in));
    assert_int_equal(err, ETIMEDOUT);
    if (n > 0) /* glibc hands out what came, musl may keep it */
        strncat(whole, line, (size_t)n);

    clearerr(in);
    assert_works(krait_sendstr(pair[1], "line\n"));
    assert_true(getline(&line, &room, in) > 0);
    strcat(whole, line);
    assert_string_equal(whole, "half a line\n");
    free(line);
    fclose(in);
}

static void test_a_scope_ends_a_sleep(void **state)
{
    double since = now();
    krait_deadline d;

    (void)state;
    assert_works(krait_deadline_begin(&d, SHORT));
    assert_fails(krait_sleep(LONG), ETIMEDOUT);
    assert_true(now() - since >= SHORT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_fails(krait_sleep(0.001), ETIMEDOUT);
    assert_int_equal(krait_deadline_end(&d), 1);
    assert_works(krait_sleep(0.001));
}

/* --- side by side ------------------------------------------------------ */

struct scoped {
    struct call call;
    double seconds, took;
    int ended;
};

static void recv_in_a_scope(void *arg)
{
    struct scoped *s = (struct scoped *)arg;
    double since = now();
    krait_deadline d;

    krait_deadline_begin(&d, s->seconds);
    do_recv(&s->call);
    s->took = now() - since;
    s->ended = krait_deadline_end(&d);
}

/* Scopes of different lengths, begun by turns, by fibers of two workers and by
 * a thread: each ends at its own time, and those that wait longer go on. */
static void test_everybody_s_scope_is_his_own(void **state)
{
    enum { TASKS = 6 };
    struct scoped scoped[TASKS] = {{.seconds = 0}};
    krait_sock *pairs[TASKS][2];
    struct task *tasks[TASKS];
    char bytes[TASKS];
    int i;

    for (i = 0; i < TASKS; i++) {
        struct call *c = &scoped[i].call;

        connect_pair(transport_of(state), pairs[i]);
        scoped[i].seconds = i % 2 ? LONG : SHORT * (i + 1);
        c->sock = pairs[i][0];
        c->buf = &bytes[i];
        c->len = 1;
        tasks[i] = i >= 4 ? start_thread(recv_in_a_scope, &scoped[i])
                          : start(recv_in_a_scope, &scoped[i]);
    }
    for (i = 0; i < TASKS; i += 2) {
        join(tasks[i]);
        assert_int_equal(scoped[i].call.rc, -1);
        assert_int_equal(scoped[i].call.err, ETIMEDOUT);
        assert_true(scoped[i].took >= scoped[i].seconds);
        assert_int_equal(scoped[i].ended, 1);
    }
    for (i = 1; i < TASKS; i += 2) {
        assert_false(is_done(tasks[i]));
        assert_int_equal(krait_send(pairs[i][1], "x", 1, 0), 1);
        join(tasks[i]);
        assert_int_equal(scoped[i].call.rc, 1);
        assert_int_equal(scoped[i].ended, 0);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_outside_of_a_scope_there_is_no_limit), ONCE},
        {TEST(test_a_scope_tells_how_much_is_left), ONCE},
        {TEST(test_a_scope_that_is_over_has_nothing_left), ONCE},
        {TEST(test_the_earliest_of_nested_scopes_holds), ONCE},
        {TEST(test_forever_is_no_limit_and_no_way_out_of_one), ONCE},
        {TEST(test_a_time_that_is_none_begins_a_scope_without_limit), ONCE},
        {TEST(test_only_the_innermost_scope_can_end), ONCE},
        {TEST(test_a_scope_is_that_of_who_began_it), ONCE},
        {TEST(test_a_scope_ends_recv), EVERY},
        {TEST(test_a_scope_ends_recvfrom), DGRAMS},
        {TEST(test_the_earlier_of_scope_and_timeout_ends_a_call), EVERY},
        {TEST(test_an_inner_scope_ends_without_the_outer_one), EVERY},
        {TEST(test_an_outer_scope_ends_what_an_inner_one_allows),
         UNIX_STREAM | INET_STREAM | INET_DGRAM},
        {TEST(test_a_scope_is_for_all_calls_in_it_together),
         UNIX_STREAM | INET_STREAM},
        {TEST(test_after_the_scope_s_time_data_that_is_there_stays), EVERY},
        {TEST(test_calls_that_must_not_wait_go_on_after_the_time), EVERY},
        {TEST(test_a_peer_that_always_has_more_does_not_outlast_it), STREAMS},
        {TEST(test_a_peer_that_always_reads_does_not_outlast_it), STREAMS},
        {TEST(test_a_scope_ends_sendall_to_who_does_not_read), STREAMS},
        {TEST(test_a_send_in_a_scope_tells_what_it_sent), STREAMS},
        {TEST(test_msg_waitall_gives_what_came_before_the_time), STREAMS},
        {TEST(test_a_scope_ends_accept), CONNECTIONS},
        {TEST(test_a_scope_ends_connect), CONNECTIONS},
        {TEST(test_a_scope_ends_create_connection), STREAMS},
        {TEST(test_after_the_scope_s_time_no_name_is_resolved), ONCE},
        {TEST(test_a_scope_ends_getline_in_the_middle_of_a_line), STREAMS},
        {TEST(test_a_scope_ends_a_sleep), ONCE},
        {TEST(test_everybody_s_scope_is_his_own),
         UNIX_STREAM | INET_STREAM | INET_DGRAM},
    };

    return run_all(argc, argv, "scope", tests, COUNT(tests));
}
