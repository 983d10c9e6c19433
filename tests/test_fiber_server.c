/* SPDX-License-Identifier: MIT
 *
 * test_fiber_server.c - servers that serve, and are ended, in fibers.
 *
 * ctest: timeout=120
 */
#include "fiber_support.h"

#include <sys/file.h>

static int hear_to_the_end(krait_request *req)
{
    char buf[64];
    ssize_t n;

    while ((n = krait_recv(req->sock, buf, sizeof buf, 0)) > 0)
        ;
    return (int)n;
}

static krait_server *local_server(enum krait_mode mode)
{
    krait_server_options o = {.handle = hear_to_the_end, .mode = mode};
    krait_server *server;

    o.address = krait_inet("127.0.0.1", 0);
    server = krait_server_new(&o);
    see(server);
    return server;
}

static int serve(void *server)
{
    return krait_serve_forever((krait_server *)server);
}

static int serve_one(void *server)
{
    return krait_handle_request((krait_server *)server);
}

static krait_sock *client_of(krait_server *server)
{
    krait_sock *client =
        krait_create_connection(krait_server_address(server), KRAIT_FOREVER);

    see(client);
    return client;
}

static bool waits_to_receive(void *n)
{
    krait_stats s;

    return krait_runtime_stats(&s) == 0 &&
           s.waiting_for[KRAIT_WAIT_RECV] == *(uint64_t *)n;
}

static bool receiving(uint64_t n)
{
    return wait_for(waits_to_receive, &n);
}

/* --- handlers ------------------------------------------------------------ */

/* What a fiber has left on its stack is used by nobody. */
static int scribble(void *unused)
{
    volatile char room[60000];

    (void)unused;
    for (size_t i = 0; i < sizeof room; i++)
        room[i] = 0x5a;
    return 0;
}

/* Two handlers of one worker, the first to begin being the first to end. */
static int overlap_handlers(void *unused)
{
    krait_server *servers[2];
    krait_sock *clients[2];
    krait_fiber *serving[2];
    int i;

    (void)unused;
    for (i = 0; i < 2; i++) {
        servers[i] = local_server(KRAIT_SERIAL);
        serving[i] = krait_spawn(serve, servers[i], NULL);
        clients[i] = client_of(servers[i]);
        see(receiving((uint64_t)i + 1));
        /* This fiber is in no handler, though its worker is. */
        see_fails(krait_server_close(servers[i]), EBUSY);
    }
    for (i = 0; i < 2; i++) {
        krait_close(clients[i]);
        see(receiving(1 - (uint64_t)i));
        krait_server_shutdown(servers[i]);
        see(joined(serving[i]) == 0);
    }
    for (i = 0; i < 2; i++)
        krait_release(krait_spawn(scribble, NULL, NULL));
    krait_yield();
    see(krait_server_close(servers[0]) == 0);
    see(krait_server_close(servers[1]) == 0);
    return 0;
}

static void test_handlers_are_each_fibers_own(void **state)
{
    assert_int_equal(run_fibers(state, overlap_handlers, NULL), 0);
}

/* --- the end ------------------------------------------------------------- */

static int fail_when_cancelled(void *server)
{
    int rc = serve(server);

    see_fails(rc, ECANCELED);
    see_fails(serve_one(server), ECANCELED);
    return rc;
}

static int cancel_a_server(void *unused)
{
    krait_server *server = local_server(KRAIT_SERIAL);
    krait_fiber *f = spawn_at(2, fail_when_cancelled, server);

    (void)unused;
    see(until_parked(f));
    krait_cancel(f);
    see(joined(f) == -1);
    /* It was not shut down: that is still to come. */
    f = spawn_at(2, serve, server);
    see(until_parked(f));
    krait_server_shutdown(server);
    see(joined(f) == 0);
    see(krait_server_close(server) == 0);
    return 0;
}

static void test_a_cancelled_server_says_so(void **state)
{
    assert_int_equal(run_fibers(state, cancel_a_server, NULL), 0);
}

static krait_sem handler_may_end;

static int await_a_fiber(krait_request *req)
{
    krait_server *server = req->server;

    return krait_sem_wait(&handler_may_end, KRAIT_FOREVER) +
           krait_server_shutdown(server);
}

static int let_it_end(void *unused)
{
    (void)unused;
    return krait_sem_post(&handler_may_end);
}

/* The handler's thread waits for a fiber of the worker of the closer, whom
 * neither a cancellation nor a scope moves to leave it alone. */
static int close_with_a_busy_handler(void *unused)
{
    krait_server_options o = {.handle = await_a_fiber, .mode = KRAIT_THREADS};
    krait_server *server;
    krait_deadline d;
    krait_sock *client;

    (void)unused;
    o.address = krait_inet("127.0.0.1", 0);
    server = krait_server_new(&o);
    see(server);
    client = client_of(server);
    see(krait_handle_request(server) == 1);
    krait_release(krait_spawn(let_it_end, NULL, NULL));
    krait_deadline_begin(&d, 0);
    krait_cancel(krait_self());
    see(krait_server_close(server) == 0);
    krait_deadline_end(&d);
    krait_close(client);
    return 0;
}

static void test_who_closes_a_server_keeps_nobody_from_running(void **state)
{
    assert_int_equal(run_fibers(state, close_with_a_busy_handler, NULL), 0);
}

/* --- socket files -------------------------------------------------------- */

static int clean_up_and_listen(void *path)
{
    krait_server_options o = {.handle = hear_to_the_end, .unix_cleanup = 1};
    krait_server *server;

    o.address = krait_unix((const char *)path);
    server = krait_server_new(&o);
    if (!server)
        return errno;
    krait_server_close(server);
    return 0;
}

/* The folder is locked, by this open file of it. */
static int wait_for_the_folder(void *path)
{
    krait_fiber *f = spawn_at(2, clean_up_and_listen, path);
    krait_deadline d;

    krait_cancel(f);
    see(joined(f) == ECANCELED);
    f = spawn_at(2, clean_up_and_listen, path);
    see(until_parked(f));
    krait_cancel(f);
    see(joined(f) == ECANCELED);
    krait_deadline_begin(&d, 0);
    see(clean_up_and_listen(path) == ETIMEDOUT);
    krait_deadline_end(&d);
    return 0;
}

static void test_a_wait_for_a_folder_ends_early(void **state)
{
    const char *path = own_path("waits");
    char folder[128];
    int fd;

    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    fd = own_fd(open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(run_fibers(state, wait_for_the_folder, (void *)path), 0);
}

int main(int argc, char **argv)
{
    static const struct fiber_test tests[] = {
        {TEST(test_handlers_are_each_fibers_own), false},
        {TEST(test_a_cancelled_server_says_so), false},
        {TEST(test_who_closes_a_server_keeps_nobody_from_running), false},
        {TEST(test_a_wait_for_a_folder_ends_early), false},
    };

    return run_fiber_tests(argc, argv, "fiber_server", tests, COUNT(tests));
}
