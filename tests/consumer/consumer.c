/* SPDX-License-Identifier: MIT
 *
 * A program of somebody else's: it is built outside of the tree, against the
 * installed library, and leaves with 0 if the two fit together.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <krait.h>

#define TEXT2(x) #x
#define TEXT(x)  TEXT2(x)
#define VERSION \
    TEXT(KRAIT_VERSION_MAJOR) \
    "." TEXT(KRAIT_VERSION_MINOR) "." TEXT(KRAIT_VERSION_PATCH)

int main(void)
{
    krait_sock *pair[2];
    char buf[8];

    if (strcmp(krait_version(), VERSION) != 0) {
        fprintf(stderr, "headers %s, library %s\n", VERSION, krait_version());
        return 1;
    }
    if (krait_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
        krait_perror("socketpair");
        return 1;
    }
    if (krait_sendstr(pair[0], "hello") < 0 ||
        krait_recv(pair[1], buf, sizeof buf, 0) != 5 ||
        memcmp(buf, "hello", 5) != 0) {
        krait_perror("hello");
        return 1;
    }
    krait_close(pair[0]);
    krait_close(pair[1]);
    return 0;
}
