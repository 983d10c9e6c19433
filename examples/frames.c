/* SPDX-License-Identifier: MIT
 *
 * frames.c - a protocol of messages: each that comes goes back as it came.
 *
 *     frames 127.0.0.1:8001
 *
 * A stream has no messages. Here each has its length before it, in Python
 * struct.pack("!I", len(message)) + message; and at most LIMIT bytes, whatever
 * a client claims.
 */
#include <stdio.h>
#include <krait.h>

enum { LIMIT = 4096 };

static int handle(krait_request *req)
{
    char buf[LIMIT];
    krait_piece frame = {.buf = buf, .size = sizeof buf};
    int rc;

    while ((rc = krait_recv_frame(req->sock, &frame)) > 0)
        if (krait_send_frame(req->sock, frame.buf, frame.len) < 0)
            return -1;
    return rc; /* 0: the client has finished; -1: handle_error */
}

int main(int argc, char **argv)
{
    char text[KRAIT_ADDR_TEXT_MAX];
    krait_server *server = krait_server_new(&(krait_server_options){
        .address = krait_addr_parse(argc > 1 ? argv[1] : "127.0.0.1:8001"),
        .handle = handle,
        .mode = KRAIT_THREADS,
    });
    int rc;

    if (server) {
        printf(
            "The server is at %s\n",
            krait_addr_text(krait_server_address(server), text, sizeof text));
        fflush(stdout);
    }
    rc = krait_serve_forever(server);
    if (rc < 0)
        krait_perror("frames");
    krait_server_close(server);
    return rc < 0;
}
