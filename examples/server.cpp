// SPDX-License-Identifier: MIT
//
// server.cpp - the program of socketserver.c in C++17. Where C has a compound
// literal, C++ has a variable; a handler is any function without captures.
// Another address may be given: `server 127.0.0.1:9001` (port 0: any free one).
#include <array>
#include <cstdio>
#include <krait.h>

static int handle(krait_request *req)
{
    std::array<char, 1024> buf;
    ssize_t n;

    while ((n = krait_recv(req->sock, buf.data(), buf.size(), 0)) > 0)
        if (krait_sendstr(req->sock, "server received you message.") < 0)
            return -1;
    return static_cast<int>(n); // 0: the client has finished
}

int main(int argc, char **argv)
{
    krait_server_options options{};
    options.address =
        argc > 1 ? krait_addr_parse(argv[1]) : krait_inet("127.0.0.1", 8001);
    options.handle = handle;
    options.mode = KRAIT_THREADS;

    krait_server *server = krait_server_new(&options);
    if (server) {
        char name[KRAIT_ADDR_TEXT_MAX];
        krait_addr_text(krait_server_address(server), name, sizeof name);
        std::printf("Server start at: %s\n", name);
        std::fflush(stdout);
    }

    int rc = krait_serve_forever(server); // nullptr: the error of _new
    if (rc < 0)
        krait_perror("server");
    krait_server_close(server);
    return rc < 0;
}
