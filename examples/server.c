/* SPDX-License-Identifier: MIT
 *
 * server.c - the server that everybody writes first: it waits for a client,
 * prints what the client says and answers each message. One client at a time.
 *
 * Read it beside python/server.py: the same calls, line for line. Another
 * address may be given: `server 127.0.0.1:9001` (port 0: any free one).
 */
#include <stdio.h>
#include <krait.h>

#define HOST "127.0.0.1"
#define PORT 8001

/* Answers one client until it has finished: 0; or -1, with the error kept. */
static int talk(krait_sock *conn)
{
    char data[1024];
    ssize_t n;

    while ((n = krait_recv(conn, data, sizeof data, 0)) > 0) {
        fwrite(data, 1, (size_t)n, stdout);
        if (krait_sendstr(conn, "server received you message.") < 0)
            return -1;
    }
    return (int)n;
}

int main(int argc, char **argv)
{
    krait_addr addr =
        argc > 1 ? krait_addr_parse(argv[1]) : krait_inet(HOST, PORT);
    char name[KRAIT_ADDR_TEXT_MAX];
    krait_sock *s, *conn;

    setvbuf(stdout, NULL, _IONBF, 0); /* what is printed appears at once */

    s = krait_socket(AF_INET, SOCK_STREAM, 0);
    if (!s || krait_setsockopt(s, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
        krait_bind(s, addr) < 0 || krait_listen(s, 5) < 0) {
        krait_perror("server");
        krait_close(s);
        return 1;
    }
    addr = krait_getsockname(s);
    printf("Server start at: %s\n", krait_addr_text(addr, name, sizeof name));
    printf("wait for connection...\n");

    while ((conn = krait_accept(s, &addr))) {
        krait_addr_text(addr, name, sizeof name);
        printf("Connected by %s\n", name);
        if (talk(conn) < 0)
            krait_perror(name); /* this client is lost; the next may come */
        krait_close(conn);
    }

    krait_perror("server");
    krait_close(s);
    return 1;
}
