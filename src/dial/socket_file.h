/* SPDX-License-Identifier: MIT
 *
 * socket_file.h - the files of Unix sockets, which outlive their servers.
 *
 * A server that manages its file takes the place, binds, notes the file as its
 * own, and gives the place back:
 *
 *     krait__place_take(addr, &place)     nothing is in the way now
 *     bind, listen
 *     krait__place_note(addr, &file)
 *     krait__place_leave(&place)
 *
 * and at its end krait__file_remove(addr, &file). All of it does nothing for
 * addresses without a file.
 */
#ifndef KRAIT__SOCKET_FILE_H
#define KRAIT__SOCKET_FILE_H

#include <krait/address.h>
#include <sys/types.h>

/* The right to start a server in a folder. */
struct krait__place {
    int lock; /* a locked fd of the folder; -1: none */
};

/* Which file it is, whatever has its name meanwhile; all zero: none. */
struct krait__socket_file {
    dev_t dev;
    ino_t ino;
};

/* Removes the socket file at a Unix address if nobody listens on it. 0; or a
 * negative code, as a bind's: -EADDRINUSE somebody listens, -EEXIST it is no
 * socket, -EMFILE, -ENFILE, -ENOMEM, unlink(2)'s. In both cases the place is to
 * be left. */
int krait__place_take(const krait_addr *addr, struct krait__place *place);

void krait__place_note(const krait_addr *addr, struct krait__socket_file *file);

void krait__place_leave(struct krait__place *place);

/* Removes the file, if it is still that one. */
void krait__file_remove(const krait_addr *addr,
                        const struct krait__socket_file *file);

#endif
