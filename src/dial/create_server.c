/* SPDX-License-Identifier: MIT
 *
 * create_server.c - Python's create_server.
 */
#include <errno.h>
#include <krait/dial.h>

#include "base/options.h"
#include "dial/listener.h"

/* 0, or a code and *why. */
static int check(const krait_addr *addr, const krait_listen_options *o,
                 const char **why)
{
    *why = "a backlog is 0 (the default) or more";
    if (o->backlog < 0)
        return -EINVAL;
    *why = "dualstack_ipv6 is for an IPv6 address";
    if (o->dualstack_ipv6 && addr->kind_ == KRAIT__SOCKADDR &&
        krait_addr_family(*addr) != AF_INET6)
        return -EINVAL;
    *why = "reuse_port is for IPv4 and IPv6";
    if (o->reuse_port && krait_addr_family(*addr) == AF_UNIX)
        return -EOPNOTSUPP;
    return 0;
}

krait_sock *krait_create_server_sized(krait_addr addr,
                                      const krait_listen_options *options,
                                      size_t size)
{
    struct krait__socket_file none;
    struct krait__listen_options how;
    krait_listen_options o;
    const char *why = KRAIT__UNKNOWN_OPTION;
    int code = krait__options(&o, sizeof o, options, size);

    if (code == 0)
        code = check(&addr, &o, &why);
    if (code < 0) {
        krait__fail_because("create_server", code, why, &addr);
        return NULL;
    }
    how = (struct krait__listen_options){
        .type = addr.type_ ? addr.type_ : SOCK_STREAM,
        .backlog = o.backlog ? o.backlog : KRAIT_BACKLOG,
        .reuse_address = !o.no_reuse_address,
        .reuse_port = o.reuse_port,
        .dual = o.dualstack_ipv6,
    };
    return krait__listener(&addr, &how, &none);
}

int krait_has_dualstack_ipv6(void)
{
    struct krait__failure tried = {0}, *mine = krait__failure_swap(&tried);
    int saved = errno;
    krait_sock *s = krait_socket(AF_INET6, SOCK_STREAM, 0);
    int has = s && krait_setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, 0) == 0;

    krait_close(s);
    krait__failure_swap(mine);
    errno = saved;
    return has;
}
