/* SPDX-License-Identifier: MIT
 *
 * addr_text.c - addresses parsed from text, and printed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "address/addr.h"

/* The types that text can name. A stream is what an address is for when it
 * says nothing, and is printed so. */
static const struct {
    const char *prefix;
    int type;
} types[] = {
    {"tcp:", SOCK_STREAM},
    {"udp:", SOCK_DGRAM},
    {"seqpacket:", SOCK_SEQPACKET},
};

enum { TYPES = sizeof types / sizeof *types };

/* --- parsed ------------------------------------------------------------ */

/* 0 to 65535; -1: no number, or another one. */
static int port_number(const char *text)
{
    int port = 0;

    if (!*text || strlen(text) > 5)
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        port = port * 10 + (*text - '0');
    }
    return port <= 65535 ? port : -1;
}

/* Where the host ends and ":port" begins, in "host:port" and "[v6]:port";
 * *host moves behind the bracket. NULL: *cause is why. */
static const char *split(const char **host, int *cause)
{
    const char *colon = strrchr(*host, ':');

    if (**host == '[') {
        const char *end = strrchr(++*host, ']');

        *cause = KRAIT__BAD_BRACKETS;
        return end && end[1] == ':' ? end : NULL;
    }
    *cause = colon ? KRAIT__BAD_BRACKETS : KRAIT__BAD_NO_PORT;
    return colon == strchr(*host, ':') ? colon : NULL;
}

/* `all` is the text as it was given. */
static krait_addr parse_inet(const char *text, const char *all)
{
    bool brackets = *text == '[';
    char host[256];
    krait_addr addr;
    int port, cause;
    const char *end = split(&text, &cause);
    size_t len;

    if (!end)
        return krait__addr_bad(all, EINVAL, cause);
    len = (size_t)(end - text);
    if (len >= sizeof host)
        return krait__addr_bad(all, ENAMETOOLONG, KRAIT__BAD_NAME_LONG);
    memcpy(host, text, len);
    host[len] = '\0';
    port = port_number(end + (brackets ? 2 : 1));
    if (port < 0)
        return krait__addr_bad(all, EINVAL, KRAIT__BAD_PORT);
    addr = krait_inet(host, port);
    if (addr.kind_ == KRAIT__BAD_ADDR)
        return krait__addr_bad(all, addr.error_, addr.cause_);
    if (brackets && krait_addr_family(addr) != AF_INET6)
        return krait__addr_bad(all, EINVAL, KRAIT__BAD_BRACKETS);
    return addr;
}

static krait_addr parse_unix(const char *path, const char *all)
{
    krait_addr addr;

    if (!*path)
        return krait__addr_bad(all, EINVAL, KRAIT__BAD_PATH_NUL);
    addr = krait_unix(path);
    return addr.kind_ == KRAIT__BAD_ADDR
               ? krait__addr_bad(all, addr.error_, addr.cause_)
               : addr;
}

krait_addr krait_addr_parse(const char *text)
{
    const char *rest = text;
    krait_addr addr;
    int type = 0;

    if (!text || !*text)
        return krait__addr_bad("", EINVAL, KRAIT__BAD_TEXT);
    for (int i = 0; i < TYPES; i++) {
        size_t len = strlen(types[i].prefix);

        if (strncmp(text, types[i].prefix, len) == 0) {
            type = types[i].type;
            rest = text + len;
            break;
        }
    }
    addr = strncmp(rest, "unix:", 5) == 0 ? parse_unix(rest + 5, text)
                                          : parse_inet(rest, text);
    addr.type_ = (unsigned char)type;
    return addr;
}

/* --- printed ----------------------------------------------------------- */

/* A cut-off place to write to: always ends in a NUL while size > 0. */
struct sink {
    char *at;
    size_t left;
};

static void put(struct sink *out, const char *text)
{
    size_t len = strlen(text);

    if (out->left == 0)
        return;
    if (len >= out->left)
        len = out->left - 1;
    memcpy(out->at, text, len);
    out->at += len;
    out->left -= len;
    *out->at = '\0';
}

size_t krait__printable(const unsigned char *bytes, size_t len)
{
    static const unsigned least[] = {0, 0, 0xa0, 0x800, 0x10000};
    unsigned char c = bytes[0];
    size_t n = c < 0x80 ? 1 : c < 0xc0 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    unsigned code = c & (0xffu >> (n + 1));

    if (n < 2)
        return n && c >= ' ' && c != 0x7f;
    if (n > len || c > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (bytes[i] & 0x3f);
    }
    if (code < least[n] || code > 0x10ffff || (code >> 11) == 0xd800 >> 11)
        return 0;
    return n;
}

/* What doesn't print, and a terminal could misunderstand, as \xNN. */
static void put_bytes(struct sink *out, const char *bytes, size_t len)
{
    while (len > 0) {
        size_t n = krait__printable((const unsigned char *)bytes, len);
        char text[8];

        if (n)
            snprintf(text, sizeof text, "%.*s", (int)n, bytes);
        else
            snprintf(text, sizeof text, "\\x%02x", (unsigned char)*bytes);
        put(out, text);
        bytes += n ? n : 1;
        len -= n ? n : 1;
    }
}

static void put_ipv6(struct sink *out, const struct sockaddr_in6 *in6)
{
    char text[INET6_ADDRSTRLEN], scope[IF_NAMESIZE];

    put(out, inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text));
    if (in6->sin6_scope_id == 0)
        return;
    if (!if_indextoname(in6->sin6_scope_id, scope))
        snprintf(scope, sizeof scope, "%u", in6->sin6_scope_id);
    put(out, "%");
    put(out, scope);
}

static void put_unix(struct sink *out, const struct sockaddr_un *un, size_t len)
{
    const char *path = un->sun_path;

    len -= offsetof(struct sockaddr_un, sun_path);
    if (len && !*path) {
        put(out, "@");
        path++;
        len--;
    } else {
        len = strnlen(path, len);
        if (len && *path == '@')
            put(out, "./"); /* a file; else it would read as abstract */
    }
    put_bytes(out, path, len);
}

static void put_host(struct sink *out, const krait_addr *addr)
{
    const struct sockaddr *sa = (const struct sockaddr *)&addr->u_.sa;
    char text[INET_ADDRSTRLEN];

    if (addr->kind_ != KRAIT__SOCKADDR) {
        put_bytes(out, addr->u_.text, addr->len_);
        return;
    }
    switch (sa->sa_family) {
    case AF_INET:
        put(out, inet_ntop(AF_INET, &((const struct sockaddr_in *)sa)->sin_addr,
                           text, sizeof text));
        break;
    case AF_INET6:
        put_ipv6(out, (const struct sockaddr_in6 *)sa);
        break;
    case AF_UNIX:
        put_unix(out, (const struct sockaddr_un *)sa, addr->len_);
        break;
    default:
        snprintf(text, sizeof text, "family %d", sa->sa_family);
        put(out, text);
    }
}

char *krait_addr_host(krait_addr addr, char *buf, size_t size)
{
    struct sink out = {buf, size};

    put(&out, "");
    put_host(&out, &addr);
    return buf;
}

char *krait_addr_text(krait_addr addr, char *buf, size_t size)
{
    struct sink out = {buf, size};
    int family = krait_addr_family(addr);
    char port[8];

    put(&out, "");
    for (int i = 0; i < TYPES && addr.kind_ != KRAIT__BAD_ADDR; i++)
        if (types[i].type == addr.type_ && addr.type_ != SOCK_STREAM)
            put(&out, types[i].prefix);
    if (family == AF_UNIX)
        put(&out, "unix:");
    if (family == AF_INET6)
        put(&out, "[");
    put_host(&out, &addr);
    if (family == AF_INET6)
        put(&out, "]");
    if (krait_addr_port(addr) >= 0) {
        snprintf(port, sizeof port, ":%d", krait_addr_port(addr));
        put(&out, port);
    }
    return buf;
}
