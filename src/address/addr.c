/* SPDX-License-Identifier: MIT
 *
 * addr.c - addresses as values: made from their parts, asked for them.
 */
#include "address/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "base/failure.h"

/* For ever: programs are compiled against it. */
_Static_assert(sizeof(krait_addr) == 272, "the ABI fixes krait_addr's size");
_Static_assert(sizeof(krait_addr) == KRAIT__SUBJECT_MAX,
               "a failure's record holds an address");
/* unix(7): a path that fills sun_path has no NUL, and getsockname then tells
 * one byte more than there is. */
_Static_assert(KRAIT__UNIX_MAX < sizeof((struct sockaddr_un *)0)->sun_path,
               "a Unix path has room for its NUL");

/* --- bad ones ---------------------------------------------------------- */

krait_addr krait__addr_bad(const char *text, int error, int cause)
{
    krait_addr addr = {.kind_ = KRAIT__BAD_ADDR};

    addr.error_ = error;
    addr.cause_ = cause;
    addr.len_ = (unsigned)strnlen(text, sizeof addr.u_.text - 1);
    memcpy(addr.u_.text, text, addr.len_);
    addr.u_.text[addr.len_] = '\0';
    return addr;
}

const char *krait__addr_reason(const krait_addr *addr)
{
    static const char *const reasons[] = {
        [KRAIT__BAD_TEXT] = "no address: host:port, [v6]:port, unix:/path or "
                            "unix:@name is wanted",
        [KRAIT__BAD_PORT] = "the port is not a number from 0 to 65535",
        [KRAIT__BAD_HOST] = "no host has such a name",
        [KRAIT__BAD_NO_PORT] = "no port: host:port is wanted",
        [KRAIT__BAD_BRACKETS] = "brackets go round an IPv6 address, and "
                                "only there: [::1]:8001",
        [KRAIT__BAD_PATH_LONG] = "a Unix path or name of more than 107 bytes",
        [KRAIT__BAD_PATH_NUL] = "no path",
        [KRAIT__BAD_NAME_LONG] = "a host name of more than 253 bytes",
        [KRAIT__BAD_SCOPE] = "no interface has the name behind the %; "
                             "`ip link` lists them",
        [KRAIT__BAD_LEN] = "a socket address of an impossible length",
    };

    if (addr->kind_ == KRAIT__NO_ADDR)
        return "no address was given";
    return addr->kind_ == KRAIT__BAD_ADDR ? reasons[addr->cause_] : NULL;
}

static void describe(const void *subject, char *buf, size_t size)
{
    krait_addr addr;

    memcpy(&addr, subject, sizeof addr);
    krait_addr_text(addr, buf, size);
}

int krait__fail_because(const char *op, int code, const char *reason,
                        const krait_addr *addr)
{
    return krait__fail(op, code, reason, describe, addr,
                       addr ? sizeof *addr : 0);
}

int krait__fail_at(const char *op, int code, const krait_addr *addr)
{
    return krait__fail_because(op, code, addr ? krait__addr_reason(addr) : NULL,
                               addr);
}

/* --- made -------------------------------------------------------------- */

/* A path ends at its NUL, which counts where it has room: bind(2) takes it with
 * or without, and getsockname(2) gives it with. */
static socklen_t unix_len(const struct sockaddr_un *un, socklen_t len)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t path = len > head && *un->sun_path
                      ? strnlen(un->sun_path, len - head) + 1
                      : len - head;

    return (socklen_t)(head + path < sizeof *un ? head + path : sizeof *un);
}

/* One form for each address: a caller's length may be that of a
 * sockaddr_storage, and its padding anything. Equal addresses become equal
 * bytes, and no family's address is longer than its struct. */
static krait_addr normalised(krait_addr addr)
{
    switch (addr.u_.sa.ss_family) {
    case AF_INET: {
        struct sockaddr_in *in = (struct sockaddr_in *)&addr.u_.sa;

        memset(in->sin_zero, 0, sizeof in->sin_zero);
        addr.len_ = sizeof *in;
        break;
    }
    case AF_INET6:
        addr.len_ = sizeof(struct sockaddr_in6);
        break;
    case AF_UNIX:
        addr.len_ =
            unix_len((const struct sockaddr_un *)&addr.u_.sa, addr.len_);
        break;
    }
    return addr;
}

krait_addr krait_addr_from(const struct sockaddr *sa, socklen_t len)
{
    krait_addr addr = {.kind_ = KRAIT__SOCKADDR, .len_ = len};

    if (!sa || len < sizeof sa->sa_family || len > sizeof addr.u_.sa ||
        (sa->sa_family == AF_INET && len < sizeof(struct sockaddr_in)) ||
        (sa->sa_family == AF_INET6 && len < sizeof(struct sockaddr_in6)))
        return krait__addr_bad("", EINVAL, KRAIT__BAD_LEN);
    memcpy(&addr.u_.sa, sa, len);
    return normalised(addr);
}

/* A number, or the name of an interface; 0: neither. */
static unsigned scope_id(const char *scope)
{
    char *end;
    unsigned long id = strtoul(scope, &end, 10);

    if (*scope >= '0' && *scope <= '9' && !*end && id <= UINT32_MAX)
        return (unsigned)id;
    return if_nametoindex(scope);
}

/* "::1", "fe80::1%eth0". False: no IPv6 address; a bad scope is one, and makes
 * the address bad. */
static bool ipv6(const char *host, int port, krait_addr *addr)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    char plain[INET6_ADDRSTRLEN];
    size_t len = strcspn(host, "%");

    if (len >= sizeof plain)
        return false;
    memcpy(plain, host, len);
    plain[len] = '\0';
    if (inet_pton(AF_INET6, plain, &in6.sin6_addr) != 1)
        return false;
    in6.sin6_port = htons((uint16_t)port);
    if (host[len] && (in6.sin6_scope_id = scope_id(host + len + 1)) == 0)
        *addr = krait__addr_bad(host, ENODEV, KRAIT__BAD_SCOPE);
    else
        *addr = krait_addr_from((struct sockaddr *)&in6, sizeof in6);
    return true;
}

static bool ipv4(const char *host, int port, krait_addr *addr)
{
    struct sockaddr_in in = {.sin_family = AF_INET};

    if (strcmp(host, "<broadcast>") == 0)
        in.sin_addr.s_addr = htonl(INADDR_BROADCAST);
    else if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
        return false;
    in.sin_port = htons((uint16_t)port);
    *addr = krait_addr_from((struct sockaddr *)&in, sizeof in);
    return true;
}

/* Whether a resolver may be asked for it: no blanks, control characters, bytes
 * that are no UTF-8, or the characters that structure an address. What is left
 * is its to judge. */
static bool may_be_a_name(const char *host, size_t len)
{
    const unsigned char *p = (const unsigned char *)host;
    size_t n;

    for (; len > 0; p += n, len -= n) {
        n = krait__printable(p, len);
        if (n == 0 || strchr(" /[]@:\\\"", *p))
            return false;
    }
    return true;
}

krait_addr krait_inet(const char *host, int port)
{
    krait_addr addr = {.kind_ = KRAIT__HOSTNAME};
    size_t len;

    host = host ? host : "";
    len = strlen(host);
    if (port < 0 || port > 65535) {
        char text[sizeof addr.u_.text];

        snprintf(text, sizeof text,
                 strchr(host, ':') ? "[%.240s]:%d" : "%.240s:%d", host, port);
        return krait__addr_bad(text, EINVAL, KRAIT__BAD_PORT);
    }
    if (ipv4(host, port, &addr) || ipv6(host, port, &addr))
        return addr;
    if (len > 253)
        return krait__addr_bad(host, ENAMETOOLONG, KRAIT__BAD_NAME_LONG);
    if (!may_be_a_name(host, len))
        return krait__addr_bad(host, EINVAL, KRAIT__BAD_HOST);
    addr.port_ = (unsigned short)port;
    addr.len_ = (unsigned)len;
    memcpy(addr.u_.text, host, len + 1);
    return addr;
}

krait_addr krait_unix_abstract(const void *name, size_t len)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    if (!name && len)
        return krait__addr_bad("", EINVAL, KRAIT__BAD_PATH_NUL);
    if (len > KRAIT__UNIX_MAX)
        return krait__addr_bad("@...", ENAMETOOLONG, KRAIT__BAD_PATH_LONG);
    if (len)
        memcpy(un.sun_path + 1, name, len);
    return krait_addr_from(
        (struct sockaddr *)&un,
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len));
}

krait_addr krait_unix(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len;

    if (!path)
        return krait__addr_bad("", EINVAL, KRAIT__BAD_PATH_NUL);
    len = strlen(path);
    if (len > (*path == '@' ? KRAIT__UNIX_MAX + 1u : KRAIT__UNIX_MAX))
        return krait__addr_bad(path, ENAMETOOLONG, KRAIT__BAD_PATH_LONG);
    if (*path == '@')
        return krait_unix_abstract(path + 1, len - 1);
    memcpy(un.sun_path, path, len);
    /* The NUL counts, but for the unnamed address. */
    return krait_addr_from((struct sockaddr *)&un,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                       (len ? len + 1 : 0)));
}

/* --- asked ------------------------------------------------------------- */

int krait_addr_error(krait_addr addr)
{
    if (addr.kind_ == KRAIT__NO_ADDR)
        return EDESTADDRREQ;
    return addr.kind_ == KRAIT__BAD_ADDR ? addr.error_ : 0;
}

int krait_addr_family(krait_addr addr)
{
    return addr.kind_ == KRAIT__SOCKADDR ? addr.u_.sa.ss_family : AF_UNSPEC;
}

int krait_addr_type(krait_addr addr)
{
    return addr.type_;
}

int krait_addr_port(krait_addr addr)
{
    if (addr.kind_ == KRAIT__HOSTNAME)
        return addr.port_;
    switch (krait_addr_family(addr)) {
    case AF_INET:
        return ntohs(((struct sockaddr_in *)&addr.u_.sa)->sin_port);
    case AF_INET6:
        return ntohs(((struct sockaddr_in6 *)&addr.u_.sa)->sin6_port);
    default:
        return -1;
    }
}

int krait_addr_sockaddr(krait_addr addr, struct sockaddr *sa, socklen_t *len)
{
    int error = krait_addr_error(addr);

    if (addr.kind_ == KRAIT__HOSTNAME)
        error = EINVAL;
    if (error)
        return krait__fail_at("sockaddr", -error, &addr);
    memcpy(sa, &addr.u_.sa, *len < addr.len_ ? *len : addr.len_);
    *len = addr.len_;
    return 0;
}

int krait_addr_equal(krait_addr a, krait_addr b)
{
    if (a.kind_ != b.kind_ || a.len_ != b.len_)
        return 0;
    switch (a.kind_) {
    case KRAIT__SOCKADDR:
        return memcmp(&a.u_.sa, &b.u_.sa, a.len_) == 0;
    case KRAIT__HOSTNAME:
        return a.port_ == b.port_ && strcasecmp(a.u_.text, b.u_.text) == 0;
    default:
        return a.kind_ == KRAIT__NO_ADDR;
    }
}
