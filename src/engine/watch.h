/* SPDX-License-Identifier: MIT
 *
 * watch.h - which of many stream sockets have something new: an epoll set in
 * which every socket is registered once, edge-triggered, for all that can
 * happen to it. Both engines wait for sockets by one: epoll.c lives on it,
 * uring.c asks it for what a ring is no good at.
 *
 * An operation is tried by whoever wants it, and waits here only after the
 * kernel has said "not yet". Nobody asks for events between the two, so that
 * whatever makes it worth another try is an edge that is still to come. That
 * is all that edge triggering needs to be right, whoever else reads the socket,
 * or has read it: an edge too many costs an attempt.
 *
 * And one attempt is saved. Where a receive took less than it had room for, the
 * socket was empty, and is empty until an edge says otherwise: the next
 * receive waits at once. That is true of TCP (tcp_recvmsg_locked goes on while
 * there is more), but for a receive that ended at the urgent mark, or before a
 * FIN. So not where an event said PRI or RDHUP, ever; and not where the socket
 * may be more than TCP, or somebody may have taken the urgent byte: then
 * handle->plain_tcp is false.
 */
#ifndef KRAIT__WATCH_H
#define KRAIT__WATCH_H

#include "engine/engine.h"
#include "engine/slots.h"

enum {
    KRAIT__WATCH_BATCH = 256, /* events fetched by one system call, at most */
    KRAIT__WATCH_OWN = 2      /* fds of the engine's own, at most */
};

struct krait__watch {
    int set;                   /* the epoll set; -1: none */
    bool coarse;               /* epoll_pwait2 is missing: milliseconds */
    struct krait__slots slots; /* a tag is a handle's serial number */
    struct krait__node *ready; /* operations whose turn has come */
};

/* 0 or a negative code, and then krait__watch_free is still to be called. */
int krait__watch_init(struct krait__watch *w);
void krait__watch_free(struct krait__watch *w);

/* In the child of a fork: gives up what is shared with the parent. */
void krait__watch_abandon(struct krait__watch *w);

/* Registers an fd of the engine's own, for as long as it is open: level-
 * triggered, told by its number in krait__watch_fetch. */
int krait__watch_own(struct krait__watch *w, int fd);

/* The engine's submit(), cancel() for RECV, SEND, ACCEPT on a stream. What is
 * pending ends with -EAGAIN when it is worth another try. */
int krait__watch_submit(struct krait__watch *w, struct krait__op *op);
void krait__watch_cancel(struct krait__op *op);

/* Asks the kernel for what has come, at most KRAIT__WATCH_BATCH events; sleeps
 * until `until` where nothing has. What waited for them is ready. Returns how
 * many events there were, or a negative code; what they say of the engine's own
 * fds is in own[0..*nown). */
int krait__watch_fetch(struct krait__watch *w, int64_t until,
                       int own[KRAIT__WATCH_OWN], int *nown);

/* Tells at most `budget` of those that are ready; how many. */
int krait__watch_tell(struct krait__watch *w, unsigned budget);

#endif
