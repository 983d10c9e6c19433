/* SPDX-License-Identifier: MIT
 *
 * torture_serve.c - scenarios of servers: every mode and type, one request at
 * a time or for ever, ended in every way, over a socket file that was left
 * behind.
 *
 * A server rides out what can pass, so its clients are the ones who have to be
 * patient, and to have an end to their patience.
 */
#include "torture.h"

#include <errno.h>

/* --- the server's side ------------------------------------------------- */

/* What a handler has done, to be compared in the end. */
static atomic_int set_up, finished, timed_out;

static int do_setup(krait_request *req)
{
    req->state = &set_up;
    atomic_fetch_add(&set_up, 1);
    return 0;
}

static void do_finish(krait_request *req)
{
    require(req->state == &set_up, "a request's state was changed");
    atomic_fetch_add(&finished, 1);
}

static void do_timeout(krait_server *server)
{
    require(server, "handle_timeout without a server");
    atomic_fetch_add(&timed_out, 1);
}

static void ignore_error(krait_request *req)
{
    require(req, "handle_error without a request");
}

/* A server that is closed cuts its handlers off, which is no failure: the
 * client may have its answer already. */
static ssize_t hear(krait_request *req, char *buf, size_t len)
{
    ssize_t n;

    do {
        n = krait_recv(req->sock, buf, len, 0);
        if (n < 0 && errno == ECANCELED)
            return 0;
    } while (n < 0 && again("recv"));
    return n;
}

/* Answers with what came, until the client has finished. */
static int handle_stream(krait_request *req)
{
    krait_addr peer = krait_request_peer(req);
    int *said = req->user;
    char buf[32];
    ssize_t n;

    require(krait_addr_family(peer) == krait_family(req->sock),
            "a request's peer is of another family");
    while ((n = hear(req, buf, sizeof buf)) > 0) {
        if (krait_reply(req, buf, (size_t)n) < 0) {
            stop("sendall");
            return -1;
        }
        if (said)
            *said += (int)n;
    }
    return (int)n;
}

static int handle_packet(krait_request *req)
{
    int rc;

    do
        rc = krait_reply(req, req->packet, req->packet_len);
    while (rc < 0 && again("sendto"));
    return rc;
}

/* Takes the connection away from the server, and ends it later. */
static int handle_and_take(krait_request *req)
{
    krait_sock *s = krait_request_take(req);
    char byte;

    require(s, "krait_request_take failed");
    require(!krait_request_take(req) && errno == EINVAL,
            "a connection was taken twice");
    watch(s);
    if (t_recv(s, &byte, 1, 0) > 0 && krait_sendstr(s, "taken") < 0)
        stop("sendall");
    t_close(s);
    return 0;
}

/* The operations that making a server can name. */
static const char makes_server[] =
    "serve|bind|socket|listen|setsockopt|getsockname";

static krait_server *new_server(const krait_server_options *options)
{
    krait_server *server;

    do
        server = krait_server_new(options);
    while (!server && again(makes_server));
    if (server)
        watch_server(server);
    return server;
}

/* It gives up only where nothing can be served; then it may be called again. */
static void serve(void *arg)
{
    krait_server *server = arg;

    while (krait_serve_forever(server) < 0 && again("serve"))
        ;
}

static krait_addr address_of(krait_server *server)
{
    krait_addr at;

    do
        at = krait_server_address(server);
    while (krait_addr_error(at) && again("getsockname"));
    return at;
}

/* --- the client's side ------------------------------------------------- */

/* A client that is patient, but not for ever; NULL: given up. */
static krait_sock *client_of(krait_addr at, int type)
{
    krait_sock *s = t_connected(krait_addr_family(at), type, at);

    if (s)
        t_timeout(s, patience());
    return s;
}

static void ask(krait_addr at, const char *text, const char *answer)
{
    krait_sock *s = client_of(at, SOCK_STREAM);
    size_t len = strlen(answer), got = 0;
    char buf[32];
    ssize_t n = 1;

    if (!s)
        return;
    if (t_send(s, text, strlen(text)))
        while (n > 0 && got < len &&
               (n = t_recv(s, buf + got, sizeof buf - got, 0)) > 0)
            got += (size_t)n;
    require(given_up() || (got == len && memcmp(buf, answer, len) == 0),
            "the server's answer is wrong");
    t_close(s);
}

static void ask_in_party(void *arg)
{
    ask(*(krait_addr *)arg, "in a party", "in a party");
}

/* --- whole servers ----------------------------------------------------- */

static void run_server(enum krait_mode mode, int max_threads, int clients)
{
    krait_server *server = new_server(&(krait_server_options){
        .address = krait_inet("127.0.0.1", 0),
        .handle = handle_stream,
        .setup = do_setup,
        .finish = do_finish,
        .handle_error = ignore_error,
        .mode = mode,
        .max_threads = max_threads,
        .request_timeout = 10,
    });
    struct party loop, asking[3];
    krait_addr at;

    if (!server)
        return;
    at = address_of(server);
    require(krait_fileno(krait_server_socket(server)) >= 0,
            "a server without a socket");
    start(&loop, serve, server);
    for (int i = 0; i < clients; i++)
        start(&asking[i], ask_in_party, &at);
    for (int i = 0; i < clients; i++)
        join(&asking[i]);
    krait_server_shutdown(server);
    join(&loop);
    t_server_close(server);
    require(atomic_load(&set_up) == atomic_load(&finished),
            "a request that was set up was not finished");
    require(given_up() || atomic_load(&finished) >= clients,
            "a request got lost");
}

static void server_serial(void)
{
    run_server(KRAIT_SERIAL, 0, 2);
}

/* The one thread that there may be must not get lost. */
static void server_one_thread(void)
{
    run_server(KRAIT_THREADS, 1, 2);
}

/* More clients than threads. */
static void server_threads(void)
{
    run_server(KRAIT_THREADS, 2, 3);
}

static void server_udp(void)
{
    krait_server *server = new_server(&(krait_server_options){
        .address = krait_addr_parse("udp:127.0.0.1:0"),
        .handle = handle_packet,
        .handle_error = ignore_error,
        .max_packet_size = 100,
    });
    struct party loop;
    krait_sock *s;
    char buf[16];

    if (!server)
        return;
    start(&loop, serve, server);
    s = client_of(address_of(server), SOCK_DGRAM);
    if (s && t_send(s, "a packet", 8))
        require(t_recv(s, buf, sizeof buf, 0) == 8 || given_up(),
                "a packet was not answered");
    t_close(s);
    krait_server_shutdown(server);
    join(&loop);
    t_server_close(server);
}

static void server_takes(void)
{
    krait_server *server = new_server(&(krait_server_options){
        .address = krait_unix(""),
        .handle = handle_and_take,
        .mode = KRAIT_SERIAL,
    });
    struct party loop;

    if (!server)
        return;
    start(&loop, serve, server);
    ask(address_of(server), "?", "taken");
    krait_server_shutdown(server);
    join(&loop);
    t_server_close(server);
}

/* Answers one byte, and is then cut off. */
static int handle_until_cut_off(krait_request *req)
{
    char byte;

    if (hear(req, &byte, 1) <= 0 || !t_send(req->sock, &byte, 1))
        return 0;
    require(hear(req, &byte, 1) <= 0, "a byte came from nowhere");
    return -1;
}

/* Dual stack, on every address of this host; ended while a client is there. */
static void server_cancel(void)
{
    krait_server *server = new_server(&(krait_server_options){
        .address = krait_addr_parse(":0"),
        .handle = handle_until_cut_off,
        .handle_error = ignore_error,
    });
    struct party loop;
    krait_sock *s;
    char byte;

    if (!server)
        return;
    start(&loop, serve, server);
    s = client_of(krait_inet("127.0.0.1", krait_addr_port(address_of(server))),
                  SOCK_STREAM);
    if (s && t_send(s, "x", 1) && t_recv(s, &byte, 1, 0) == 1) {
        krait_server_cancel(server);
        require(t_recv(s, &byte, 1, 0) <= 0, "a client was not cut off");
    }
    t_close(s);
    krait_server_cancel(server);
    join(&loop);
    t_server_close(server);
}

/* --- one request at a time --------------------------------------------- */

static void one_request(void)
{
    krait_server *server = new_server(&(krait_server_options){
        .address = krait_inet("localhost", 0),
        .handle = handle_stream,
        .handle_error = ignore_error,
        .handle_timeout = do_timeout,
        .timeout = 0.02,
    });
    struct party asking;
    krait_addr at;
    int rc = 0;

    if (!server)
        return;
    do
        rc = krait_handle_request(server);
    while (rc < 0 && again("serve"));
    require(rc <= 0, "a request came from nowhere");
    require(given_up() || atomic_load(&timed_out) == 1,
            "handle_timeout was not called");
    at = address_of(server);
    start(&asking, ask_in_party, &at);
    while (!atomic_load(&asking.done) && !given_up())
        if (krait_handle_request(server) < 0)
            again("serve");
    join(&asking);
    t_server_close(server);
}

/* --- the whole program in one call ------------------------------------- */

/* The client that has said something was the one; not one that gave up. */
static int handle_and_shut_down(krait_request *req)
{
    int said = 0, rc;

    req->user = &said;
    rc = handle_stream(req);
    if (said > 0 || given_up())
        krait_server_shutdown(req->server);
    return rc;
}

static void serve_in_one_call(void *arg)
{
    (void)arg;
    while (krait_serve("unix:one", handle_and_shut_down, NULL) < 0 &&
           again(makes_server))
        __real_unlink("one");
}

static bool connect_raw(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = __real_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers;

    memcpy(un.sun_path, path, strlen(path));
    answers = __real_connect(fd, (struct sockaddr *)&un, sizeof un) == 0;
    __real_close(fd);
    return answers;
}

/* Only a client can end it: if ours has given up, one without faults. */
static void one_call(void)
{
    unsigned before = calls_of(S_ACCEPT4);
    struct party server;

    start(&server, serve_in_one_call, NULL);
    wait_for_call(&server, S_ACCEPT4, before);
    if (!atomic_load(&server.done))
        ask(krait_unix("one"), "and out", "and out");
    if (!atomic_load(&server.done) && given_up())
        connect_raw("one");
    join(&server);
    __real_unlink("one");
}

/* --- socket files ------------------------------------------------------ */

static const char path[] = "file";

/* A socket of the scenario's own, at `path`. */
static int raw_listener(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "file"};
    int fd = __real_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    require(fd >= 0 &&
                __real_bind(fd, (struct sockaddr *)&un, sizeof un) == 0 &&
                __real_listen(fd, 4) == 0,
            "no listener for the scenario");
    return fd;
}

static const krait_server_options over_a_file = {
    .handle = handle_stream,
    .handle_error = ignore_error,
    .mode = KRAIT_SERIAL,
    .unix_cleanup = 1,
};

/* A socket file that was left behind makes way for a server, which takes its
 * own away in the end. */
static void stale_file(void)
{
    krait_server_options options = over_a_file;
    krait_server *server;
    struct party loop;

    options.address = krait_unix(path);
    __real_close(raw_listener());
    server = new_server(&options);
    if (server) {
        start(&loop, serve, server);
        ask(krait_unix(path), "over a file", "over a file");
        krait_server_shutdown(server);
        join(&loop);
        t_server_close(server);
    }
}

/* A live one never does, nor what is no socket. */
static void live_file(void)
{
    krait_server_options options = over_a_file;
    int fd = raw_listener();
    krait_server *server;

    options.address = krait_unix(path);
    do
        server = krait_server_new(&options);
    while (!refused(server ? 0 : -1, makes_server, EADDRINUSE));
    require(connect_raw(path), "a live socket file is gone");
    __real_close(fd);
    __real_unlink(path);
    require(mkdir(path, 0700) == 0, "no folder for the scenario");
    do
        server = given_up() ? NULL : krait_server_new(&options);
    while (!refused(server ? 0 : -1, makes_server, EEXIST));
    require(rmdir(path) == 0, "a folder is gone");
}

/* Two at once, over a file that was left behind: one of them is the server, and
 * its file stays. */
static void rival(void *arg)
{
    krait_server **server = arg;
    krait_server_options options = over_a_file;

    options.address = krait_unix(path);
    do
        *server = krait_server_new(&options);
    while (!*server && !refused(-1, makes_server, EADDRINUSE));
}

static void rival_files(void)
{
    krait_server *servers[2];
    struct party rivals[2];
    int winners = 0;

    __real_close(raw_listener());
    for (int i = 0; i < 2; i++)
        start(&rivals[i], rival, &servers[i]);
    for (int i = 0; i < 2; i++) {
        join(&rivals[i]);
        winners += servers[i] != NULL;
    }
    /* Without the lock a gap is left, which the library accepts. */
    require(winners < 2 || breaks(S_OPEN) || breaks(S_FLOCK),
            "two servers have the same file");
    require(winners > 0 || given_up() || lasting(), "nobody got the file");
    require(winners == 0 || connect_raw(path), "a live socket file is gone");
    for (int i = 0; i < 2; i++)
        t_server_close(servers[i]);
    __real_unlink(path);
}

const struct scenario serve_scenarios[] = {
    {"server_serial", server_serial, 0},
    {"server_one_thread", server_one_thread, 0},
    {"server_threads", server_threads, 0},
    {"server_udp", server_udp, 0},
    {"server_takes", server_takes, 0},
    {"server_cancel", server_cancel, 0},
    {"one_request", one_request, 0},
    {"one_call", one_call, ONCE_ONLY},
    {"stale_file", stale_file, ANY_CAUSE},
    {"live_file", live_file, ANY_CAUSE | ALIVE},
    {"rival_files", rival_files, ANY_CAUSE | ALIVE},
};

const size_t serve_count = sizeof serve_scenarios / sizeof *serve_scenarios;
