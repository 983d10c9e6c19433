/* SPDX-License-Identifier: MIT
 *
 * client.c - the client that everybody writes first: it sends each line that
 * is typed, and prints the answer.
 *
 * Read it beside python/client.py: the same calls, line for line. Another
 * address may be given: `client 127.0.0.1:9001`.
 */
#define _GNU_SOURCE 1 /* getline */
#include <stdio.h>
#include <stdlib.h>
#include <krait.h>

#define HOST "127.0.0.1"
#define PORT 8001

/* 0 when the keyboard or the server has finished; -1, with the error kept.
 * `*cmd` is the line that getline keeps its memory in. */
static int talk(krait_sock *s, char **cmd)
{
    char data[1024];
    size_t size = 0;
    ssize_t n;

    for (;;) {
        printf("Please input msg:");
        n = getline(cmd, &size, stdin);
        if (n < 0)
            return 0;
        if (krait_send(s, *cmd, (size_t)n, 0) < 0)
            return -1;
        n = krait_recv(s, data, sizeof data, 0);
        if (n <= 0)
            return (int)n;
        printf("%.*s\n", (int)n, data);
    }
}

int main(int argc, char **argv)
{
    krait_addr addr =
        argc > 1 ? krait_addr_parse(argv[1]) : krait_inet(HOST, PORT);
    krait_sock *s = krait_socket(AF_INET, SOCK_STREAM, 0);
    char *cmd = NULL;
    int rc = -1;

    setvbuf(stdout, NULL, _IONBF, 0); /* the prompt appears at once */

    if (s && krait_connect(s, addr) == 0)
        rc = talk(s, &cmd);
    if (rc < 0)
        krait_perror("client");
    free(cmd);
    krait_close(s);
    return rc < 0;
}
