/* SPDX-License-Identifier: MIT
 *
 * socketserver.c - the server of server.c as a handler, in threads: any number
 * of clients at once. The documentation's own program, to the letter. */
/* clang-format off */
#include <krait.h>

static int handle(krait_request *req)
{
    char buf[1024];
    ssize_t n;

    while ((n = krait_recv(req->sock, buf, sizeof buf, 0)) > 0)
        if (krait_sendstr(req->sock, "server received you message.") < 0)
            return -1;
    return (int)n;                       /* 0: the client has finished; -1: handle_error */
}

int main(void)
{
    krait_server *server = krait_server_new(&(krait_server_options){
        .address = krait_inet("127.0.0.1", 8001),
        .handle  = handle,
        .mode    = KRAIT_THREADS,        /* or KRAIT_SERIAL, KRAIT_FORK, KRAIT_FIBERS */
    });
    int rc = krait_serve_forever(server);         /* NULL: fails with the error of _new */

    if (rc < 0)
        krait_perror("server");
    krait_server_close(server);
    return rc < 0;
}
