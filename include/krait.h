/* SPDX-License-Identifier: MIT
 *
 * krait.h - all of Krait's public face in one include.
 *
 * Krait is Python's `socket` and `socketserver` for C: POSIX signatures,
 * Python semantics. Whoever knows recv(2) or socket.recv() can guess
 * krait_recv(). Each room has a header of its own, which is its reference.
 */
#ifndef KRAIT_H
#define KRAIT_H

#include <krait/version.h> /* which Krait this is */
#include <krait/error.h>   /* what went wrong, in a line fit to print */
#include <krait/scope.h>   /* deadline scopes: one limit over many calls */
#include <krait/fiber.h>   /* fibers: what waits costs no thread */
#include <krait/sync.h>    /* what fibers and threads share things with */
#include <krait/io.h>      /* what all waiting calls have in common */
#include <krait/address.h> /* addresses, as values */
#include <krait/socket.h>  /* sockets: Python's `socket` objects */
#include <krait/stream.h>  /* so many bytes, lines, frames */
#include <krait/dial.h>    /* connect to a name, whichever address works */
#include <krait/server.h>  /* servers: Python's `socketserver` */

#endif
