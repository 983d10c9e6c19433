/* SPDX-License-Identifier: MIT
 *
 * server_life.c - a server made, stopped, ended.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/options.h"
#include "dial/listener.h"
#include "server/serving.h"

/* --- options ----------------------------------------------------------- */

static int default_timeout(double *seconds)
{
    int64_t ns;

    if (!krait__timeout(*seconds, &ns))
        return -EINVAL;
    if (ns == 0)
        *seconds = KRAIT_FOREVER;
    return 0;
}

/* Fills in the defaults. A negative code where that can't be; *why says what an
 * errno can't, or is NULL. */
static int check_options(krait_server_options *o, const char **why)
{
    int64_t ns;
    int named = krait_addr_type(o->address);

    *why = "no function to handle requests was given";
    if (!o->handle)
        return -EINVAL;
    *why = "an option is out of its range";
    if (o->backlog < 0 || o->max_threads < 0 || o->max_packet_size > INT_MAX ||
        default_timeout(&o->timeout) < 0 ||
        !krait__timeout(o->request_timeout, &ns))
        return -EINVAL;
    *why = "this version serves serially and in threads";
    if (o->mode == KRAIT_MODE_DEFAULT)
        o->mode = KRAIT_THREADS;
    if (o->mode != KRAIT_SERIAL && o->mode != KRAIT_THREADS)
        return -ENOTSUP;
    *why = NULL;
    if (o->type && named && o->type != named)
        return -EPROTOTYPE;
    if (!o->type)
        o->type = named ? named : SOCK_STREAM;
    if (o->type != SOCK_STREAM && o->type != SOCK_DGRAM &&
        o->type != SOCK_SEQPACKET)
        return -ENOTSUP;
    o->backlog = o->backlog ? o->backlog : KRAIT_BACKLOG;
    o->max_threads = o->max_threads ? o->max_threads : KRAIT_MAX_THREADS;
    if (!o->max_packet_size)
        o->max_packet_size = KRAIT_MAX_PACKET;
    return 0;
}

/* --- made -------------------------------------------------------------- */

static int activate(krait_server *server)
{
    const krait_server_options *o = &server->opt;
    struct krait__listen_options listen = {
        .type = o->type,
        .backlog = o->backlog,
        .reuse_address = !o->no_reuse_address,
        .unix_cleanup = o->unix_cleanup,
    };

    if (o->mode == KRAIT_THREADS) {
        server->slots = eventfd((unsigned)o->max_threads,
                                EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
        if (server->slots < 0)
            return krait__fail_at("serve", -errno, &o->address);
    }
    server->sock = krait__listener(&o->address, &listen, &server->file);
    if (!server->sock)
        return -1;
    server->address = krait_getsockname(server->sock);
    if (krait_addr_error(server->address)) {
        krait__file_remove(&o->address, &server->file);
        krait__sock_unuse(server->sock);
        return krait__fail_again();
    }
    if (o->type != SOCK_STREAM)
        server->address.type_ = (unsigned char)o->type;
    return 0;
}

static void free_server(krait_server *server)
{
    int saved = errno;

    if (server->slots >= 0)
        close(server->slots);
    free(server);
    errno = saved;
}

krait_server *krait_server_new_sized(const krait_server_options *options,
                                     size_t size)
{
    krait_server *server = calloc(1, sizeof *server);
    const char *why = NULL;
    int rc = -ENOMEM;

    if (!server)
        goto failed;
    server->slots = -1;
    rc = krait__options(&server->opt, sizeof server->opt, options, size);
    if (rc < 0)
        why = KRAIT__UNKNOWN_OPTION;
    else
        rc = check_options(&server->opt, &why);
    if (rc < 0)
        goto failed;
    if (activate(server) == 0)
        return server;
    free_server(server);
    return NULL;
failed:
    krait__fail_because("serve", rc, why, server ? &server->opt.address : NULL);
    if (server)
        free_server(server);
    return NULL;
}

/* --- stopped ----------------------------------------------------------- */

/* Signal handlers may stop a server: no record is touched. */
static int no_server(void)
{
    errno = EBADF;
    return -1;
}

int krait_server_shutdown(krait_server *server)
{
    if (!server)
        return no_server();
    krait__visit(&server->visitors);
    krait__handle_mark(&server->sock->h, KRAIT__NO_IN);
    krait__visited(&server->visitors);
    return 0;
}

int krait_server_cancel(krait_server *server)
{
    if (!server)
        return no_server();
    krait__visit(&server->visitors);
    atomic_store(&server->cancelled, true);
    krait__handle_mark(&server->sock->h, KRAIT__NO_IN | KRAIT__NO_OUT);
    /* The flag is for ourselves, or for whoever holds the lock: unlocking
     * does the work. */
    if (krait__lock_or_flag(&server->lock)) {
        krait__lock_or_flag(&server->lock);
        krait__server_unlock(server);
    }
    krait__visited(&server->visitors);
    return 0;
}

/* --- ended ------------------------------------------------------------- */

int krait_server_close(krait_server *server)
{
    int saved = errno;

    if (!server)
        return 0;
    if (krait__in_handler(server))
        return krait__fail("server_close", -EDEADLK,
                           "a handler can't end its own server: "
                           "krait_server_shutdown",
                           NULL, NULL, 0);
    if (atomic_load(&server->serving))
        return krait__fail("server_close", -EBUSY,
                           "it is still serving: krait_server_shutdown first",
                           NULL, NULL, 0);
    krait_server_cancel(server);
    krait__file_remove(&server->opt.address, &server->file);
    if (server->opt.type != SOCK_DGRAM)
        krait__sock_close_fd(server->sock);
    krait__requests_join(server, true);
    krait__await_visitors(&server->visitors);
    krait_close(server->sock);
    free_server(server);
    errno = saved;
    return 0;
}

/* --- asked ------------------------------------------------------------- */

krait_addr krait_server_address(krait_server *server)
{
    if (server)
        return server->address;
    krait__fail("server_address", -EBADF, "no server (NULL)", NULL, NULL, 0);
    return krait__addr_bad("", EBADF, KRAIT__BAD_ERRNO);
}

krait_sock *krait_server_socket(krait_server *server)
{
    if (!server)
        krait__fail("server_socket", -EBADF, "no server (NULL)", NULL, NULL, 0);
    return server ? server->sock : NULL;
}
