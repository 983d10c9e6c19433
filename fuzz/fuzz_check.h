/* SPDX-License-Identifier: MIT
 *
 * fuzz_check.h - what must hold of every address, whatever it was made from.
 *
 * Texts and socket addresses are handed over in heap blocks of exactly their
 * size, so that AddressSanitizer sees a byte too many.
 */
#ifndef KRAIT_FUZZ_CHECK_H
#define KRAIT_FUZZ_CHECK_H

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <krait.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

/* A copy that ends where its block ends. */
static inline void *block_of(const void *data, size_t size)
{
    void *block = malloc(size ? size : 1);

    require(block, "no memory");
    if (size)
        memcpy(block, data, size);
    return block;
}

static inline char *string_of(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    require(text, "no memory");
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

typedef char *print_fn(krait_addr addr, char *buf, size_t size);

/* Cut to a size: a NUL within it, nothing written behind, and the beginning of
 * what a larger buffer gets. */
static inline void check_cut_to(size_t size, print_fn *print, krait_addr addr,
                                const char *all)
{
    enum { UNTOUCHED = 0x5a };
    char buf[KRAIT_ADDR_TEXT_MAX + 8];

    memset(buf, UNTOUCHED, sizeof buf);
    require(print(addr, buf, size) == buf, "not the buffer is returned");
    require(buf[size] == UNTOUCHED, "written behind the buffer");
    if (size > 0)
        require(memchr(buf, '\0', size) && strncmp(buf, all, strlen(buf)) == 0,
                "a cut text is no beginning of the whole");
}

/* The sizes where something can go wrong, and one of chance: all of them would
 * cost the fuzzer most of its runs. */
static inline void check_cut(print_fn *print, krait_addr addr, const char *all)
{
    size_t len = strlen(all);
    size_t sizes[] = {0, 1, 2, 7, len * 7 / 11, len, len + 1, len + 2};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] <= KRAIT_ADDR_TEXT_MAX)
            check_cut_to(sizes[i], print, addr, all);
}

/* No byte that a terminal could obey. */
static inline void check_printable(const char *text)
{
    for (; *text; text++)
        require((unsigned char)*text >= ' ' && *text != 0x7f,
                "a control character is printed");
}

/* As text, in a block of exactly the size that is always enough; freed by the
 * caller. */
static inline char *printed(print_fn *print, krait_addr addr)
{
    char *text = malloc(KRAIT_ADDR_TEXT_MAX);

    require(text, "no memory");
    print(addr, text, KRAIT_ADDR_TEXT_MAX);
    require(krait_addr_error(addr) || strlen(text) < KRAIT_ADDR_TEXT_MAX - 1,
            "the text of a good address was cut");
    check_printable(text);
    check_cut(print, addr, text);
    return text;
}

static inline size_t unix_path_len(const struct sockaddr_un *un)
{
    return strnlen(un->sun_path, sizeof un->sun_path);
}

/* Whether the text says all there is to say of an address: not a flow label,
 * an unnamed socket, a path that fills sun_path, or an unknown family. A file
 * "@x" is printed as "./@x", which is the same file but another address. */
static inline bool text_says_all(krait_addr addr)
{
    const struct sockaddr *sa = (const struct sockaddr *)&addr.u_.sa;
    const struct sockaddr_un *un = (const struct sockaddr_un *)sa;

    switch (krait_addr_family(addr)) {
    case AF_UNSPEC: /* a name */
    case AF_INET:
        return krait_addr_port(addr) >= 0;
    case AF_INET6:
        return ((const struct sockaddr_in6 *)sa)->sin6_flowinfo == 0;
    case AF_UNIX:
        return addr.len_ > offsetof(struct sockaddr_un, sun_path) &&
               unix_path_len(un) < sizeof un->sun_path &&
               un->sun_path[0] != '@';
    default:
        return false;
    }
}

/* A host of such a name: its "udp:80" says something else. */
static inline bool named_like_a_prefix(krait_addr addr)
{
    static const char *const prefixes[] = {"tcp", "udp", "seqpacket", "unix"};
    char host[KRAIT_ADDR_TEXT_MAX];

    krait_addr_host(addr, host, sizeof host);
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strcmp(host, prefixes[i]) == 0)
            return krait_addr_family(addr) == AF_UNSPEC;
    return false;
}

/* What was printed is read back, unless bytes in it don't print. */
static inline void check_read_back(krait_addr addr, const char *text)
{
    krait_addr back;

    if (strchr(text, '\\') || !text_says_all(addr) || named_like_a_prefix(addr))
        return;
    back = krait_addr_parse(text);
    require(krait_addr_error(back) == 0, "what was printed doesn't parse");
    require(krait_addr_equal(addr, back) && krait_addr_equal(back, addr),
            "what was printed is another address");
    require(krait_addr_type(back) == krait_addr_type(addr) ||
                krait_addr_type(addr) == SOCK_STREAM,
            "what was printed is of another type");
}

static inline void check_sockaddr(krait_addr addr)
{
    struct sockaddr none, *sa;
    socklen_t len = 0, had;

    if (krait_addr_sockaddr(addr, &none, &len) < 0) {
        require(krait_addr_family(addr) == AF_UNSPEC && errno == EINVAL,
                "a socket address can't be had");
        return; /* a name has none */
    }
    require(len <= sizeof(struct sockaddr_storage),
            "a socket address longer than any");
    sa = malloc(len);
    require(sa, "no memory");
    had = len;
    require(krait_addr_sockaddr(addr, sa, &len) == 0 && len == had,
            "a socket address changes its length");
    require(krait_addr_equal(krait_addr_from(sa, len), addr),
            "a socket address does not come back as it was");
    free(sa);
}

/* Who is given a bad address fails with its error, and says it in one line. */
static inline void check_bad(krait_addr addr)
{
    krait_addr out;
    int error = krait_addr_error(addr);

    require(error == EINVAL || error == ENAMETOOLONG || error == ENODEV,
            "a bad address has an error that isn't documented");
    require(krait_addr_family(addr) == AF_UNSPEC, "a bad address has a family");
    require(krait_addr_resolve(addr, AF_UNSPEC, 0, &out, 1) == -1 &&
                errno == error && krait_errno() == error,
            "a bad address's error is not that of the call");
    check_printable(krait_errmsg());
}

static inline void check_good(krait_addr addr, const char *text)
{
    krait_addr out;
    int n = krait_addr_resolve(addr, AF_UNSPEC, 0, &out, 1);

    /* With no time at all nobody is asked for a name. */
    if (n < 0)
        require(errno == EAGAIN && krait_addr_family(addr) == AF_UNSPEC,
                "a good address can't be resolved");
    else if (krait_addr_family(addr) != AF_UNSPEC)
        require(n == 1 && krait_addr_equal(out, addr),
                "an address is resolved to another");
    require(krait_addr_equal(addr, addr), "an address differs from itself");
    require(krait_addr_port(addr) >= -1 && krait_addr_port(addr) <= 65535,
            "a port outside 0-65535");
    check_read_back(addr, text);
    check_sockaddr(addr);
}

static inline void check_addr(krait_addr addr)
{
    char *text = printed(krait_addr_text, addr);

    free(printed(krait_addr_host, addr));
    if (krait_addr_error(addr))
        check_bad(addr);
    else
        check_good(addr, text);
    free(text);
}

#endif
