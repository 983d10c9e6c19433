/* SPDX-License-Identifier: MIT
 *
 * hint.c - what a user can do about an error, where there is something.
 *
 * A table: the operation (NULL: any), the errno, what the address as text
 * contains (NULL: anything), and the hint. The first row that fits is taken.
 */
#include "base/failure.h"

#include <errno.h>
#include <string.h>

static const struct hint {
    const char *op;
    int err;
    const char *part;
    const char *text;
} hints[] = {
    /* clang-format off */
    {"bind", EADDRINUSE, "unix:@",
     "another program has that name; `ss -xl` shows it"},
    {"bind", EADDRINUSE, "unix:",
     "another program listens there (`ss -xl` shows it), or has left its "
     "socket file behind"},
    {"bind", EADDRINUSE, "udp:",
     "another program receives there; `ss -lunp` shows it"},
    {NULL, EADDRINUSE, NULL,
     "another program listens there; `ss -ltnp` shows it"},
    {"bind", EADDRNOTAVAIL, NULL,
     "no interface of this host has that address; `ip address` lists them"},
    {"bind", EACCES, "unix:", "the folder can't be written to"},
    {"bind", EACCES, NULL,
     "ports below 1024 need root or CAP_NET_BIND_SERVICE"},
    {"bind", ENOENT, NULL, "the folder doesn't exist"},
    {"bind", EEXIST, NULL, "what is there is no socket"},
    {"connect", ECONNREFUSED, "unix:@", "nobody has that name"},
    {"connect", ECONNREFUSED, "unix:",
     "nobody listens there, or it is no socket"},
    {"connect", ECONNREFUSED, NULL, "nothing listens there"},
    {"connect", ENOENT, NULL, "there is no such socket file"},
    {"connect", EAGAIN, "unix:", "the server's queue is full"},
    {"connect", ENETUNREACH, NULL,
     "no route leads there; `ip route` lists them"},
    {"connect", EINVAL, "[fe80:",
     "a link-local address needs its interface: [fe80::1%eth0]:80"},
    {"connect", EACCES, "unix:", "the socket file can't be written to"},
    {"connect", EACCES, NULL, "a broadcast address wants SO_BROADCAST"},
    {"socket", ESOCKTNOSUPPORT, "seqpacket:",
     "seqpacket is for unix: addresses"},
    {"socket", EPERM, NULL, "raw sockets need root or CAP_NET_RAW"},
    {NULL, EAFNOSUPPORT, NULL,
     "this kernel lacks the family, or the socket is of another"},
    {NULL, EMFILE, NULL,
     "this process has as many files open as it may; `ulimit -n` shows the "
     "limit"},
    {NULL, ENFILE, NULL, "the system has as many files open as it may"},
    {NULL, EMSGSIZE, NULL, "longer than one message can be"},
    {NULL, EPROTOTYPE, NULL, "the address is for another type of socket"},
    /* clang-format on */
};

const char *krait__hint(const char *op, int err, const char *subject)
{
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
        const struct hint *h = &hints[i];

        if (h->err == err && (!h->op || strcmp(h->op, op) == 0) &&
            (!h->part || strstr(subject, h->part)))
            return h->text;
    }
    return NULL;
}
