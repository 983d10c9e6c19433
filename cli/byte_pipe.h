/* SPDX-License-Identifier: MIT
 *
 * byte_pipe.h - a connection as a pipe: stdin to the peer, the peer to stdout.
 */
#ifndef BYTE_PIPE_H
#define BYTE_PIPE_H

#include <krait.h>

struct byte_pipe_options {
    krait_sock *sock; /* connected; without a timeout */
    double timeout;   /* seconds of silence in both directions; 0: any */
    int send_only;    /* what is received is thrown away */
    int recv_only;    /* stdin is left alone */
};

/* Until the end that krait(1)'s table gives. Returns a status; the program
 * ends then, with a thread perhaps still reading stdin. */
int byte_pipe(const struct byte_pipe_options *options);

#endif
