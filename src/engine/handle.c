/* SPDX-License-Identifier: MIT
 *
 * handle.c - the life of a handle: who is inside, who is the last to leave.
 */
#include "engine/engine.h"
#include "engine/waiter.h"

void krait__handle_init(struct krait__handle *h, int fd, int family, int type,
                        int (*end)(struct krait__handle *h))
{
    h->fd = fd;
    h->family = (uint8_t)family;
    h->type = (uint8_t)type;
    h->waiters = NULL;
    h->end = end;
    atomic_init(&h->lock.word, 0);
    atomic_init(&h->kept[0], 0);
    atomic_init(&h->kept[1], 0);
    atomic_init(&h->state, KRAIT__ONE_REF);
}

bool krait__enter(struct krait__handle *h)
{
    unsigned was = atomic_fetch_add_explicit(&h->state, KRAIT__ONE_REF,
                                             memory_order_acquire);

    if (!(was & KRAIT__CLOSING))
        return true;
    krait__leave(h);
    return false;
}

int krait__leave(struct krait__handle *h)
{
    /* Release what this call did to whoever ends the handle, and acquire what
     * all the others did where that is us. */
    unsigned now = atomic_fetch_sub_explicit(&h->state, KRAIT__ONE_REF,
                                             memory_order_acq_rel) -
                   KRAIT__ONE_REF;

    if (now < KRAIT__ONE_REF && (now & KRAIT__CLOSING))
        return h->end(h);
    return 0;
}

void krait__handle_mark(struct krait__handle *h, unsigned bits)
{
    /* First the mark, then the list; a waiter goes on the list first and looks
     * for the mark then. The list's lock orders the two, so that one of them
     * sees the other. */
    atomic_fetch_or_explicit(&h->state, bits, memory_order_release);
    krait__wake_waiters(h);
}

void krait__handle_unmark(struct krait__handle *h, unsigned bits)
{
    atomic_fetch_and_explicit(&h->state, ~bits, memory_order_release);
}
