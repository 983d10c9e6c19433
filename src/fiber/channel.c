/* SPDX-License-Identifier: MIT
 *
 * channel.c - items passed from one flow of control to another, in order.
 *
 * A ring of items, and two queues of which one at most has anybody in it:
 * receivers wait only while the ring is empty and nobody sends, senders only
 * while it is full. An item goes straight to a receiver that waits, and the
 * first sender's moves up as soon as there is room; it is copied by whoever
 * comes second, from or to the stack of the one who waits.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <krait/sync.h>

#include "base/failure.h"
#include "fiber/sync_call.h"
#include "fiber/wait_queue.h"

struct krait_chan {
    struct krait__lock lock;
    bool closed; /* nobody waits any more */
    size_t item_size, capacity;
    size_t first, count; /* of the ring */
    struct krait__wait_queue senders, receivers;
    char ring[];
};

/* Allocations end below PTRDIFF_MAX, and so do sums of two indices. */
static bool size_of(size_t item_size, size_t capacity, size_t *size)
{
    return !__builtin_mul_overflow(item_size, capacity, size) &&
           !__builtin_add_overflow(*size, sizeof(krait_chan), size) &&
           *size <= PTRDIFF_MAX && capacity <= PTRDIFF_MAX;
}

krait_chan *krait_chan_new(size_t item_size, size_t capacity)
{
    krait_chan *ch = NULL;
    size_t size;

    if (!size_of(item_size, capacity, &size)) {
        krait__sync_end("chan_new", -EOVERFLOW);
        return NULL;
    }
    ch = malloc(size);
    if (!ch) {
        krait__sync_end("chan_new", -ENOMEM);
        return NULL;
    }
    /* Not the ring: what is huge and never filled takes no memory. */
    memset(ch, 0, sizeof *ch);
    ch->item_size = item_size;
    ch->capacity = capacity;
    return ch;
}

void krait_chan_free(krait_chan *ch)
{
    int saved = errno;

    free(ch);
    errno = saved;
}

/* --- items, under the lock --------------------------------------------- */

static void copy(const krait_chan *ch, void *to, const void *from)
{
    if (ch->item_size > 0) /* else they may be NULL */
        memcpy(to, from, ch->item_size);
}

static char *slot(krait_chan *ch, size_t n)
{
    return ch->ring + (ch->first + n) % ch->capacity * ch->item_size;
}

static void push(krait_chan *ch, const void *item)
{
    copy(ch, slot(ch, ch->count), item);
    ch->count++;
}

static void pop(krait_chan *ch, void *item)
{
    copy(ch, item, slot(ch, 0));
    ch->first = (ch->first + 1) % ch->capacity;
    ch->count--;
}

/* What may be sent without waiting is sent: true. */
static bool send_now(krait_chan *ch, const void *item)
{
    if (ch->receivers.first) {
        copy(ch, ch->receivers.first->item, item);
        return krait__serve(&ch->receivers, 1);
    }
    if (ch->count == ch->capacity)
        return false;
    push(ch, item);
    return true;
}

/* Likewise; the first sender's item takes the room that has become free. */
static bool recv_now(krait_chan *ch, void *item)
{
    struct krait__place *sender = ch->senders.first;

    if (ch->count > 0) {
        pop(ch, item);
        if (sender)
            push(ch, sender->item);
    } else if (sender) {
        copy(ch, item, sender->item);
    } else {
        return false;
    }
    krait__serve(&ch->senders, 0);
    return true;
}

/* --- the calls --------------------------------------------------------- */

static int send_item(krait_chan *ch, const void *item, int64_t timeout)
{
    int code = 0;

    krait__lock(&ch->lock);
    if (ch->closed)
        code = -EPIPE;
    else if (!send_now(ch, item))
        return krait__wait(&ch->senders, &ch->lock, (void *)item,
                           KRAIT_WAIT_CHAN, timeout);
    krait__unlock(&ch->lock);
    return code;
}

static int recv_item(krait_chan *ch, void *item, int64_t timeout)
{
    int got = 1;

    krait__lock(&ch->lock);
    if (!recv_now(ch, item)) {
        if (!ch->closed)
            return krait__wait(&ch->receivers, &ch->lock, item, KRAIT_WAIT_CHAN,
                               timeout);
        got = 0;
    }
    krait__unlock(&ch->lock);
    return got;
}

static bool begin(const char *op, krait_chan *ch, const void *item,
                  double timeout, int64_t *ns)
{
    if (!krait__sync_begin(op, ch, timeout, ns))
        return false;
    if (item || ch->item_size == 0)
        return true;
    krait__fail(op, -EINVAL, "no item (NULL)", NULL, NULL, 0);
    return false;
}

int krait_chan_send(krait_chan *ch, const void *item, double timeout)
{
    int64_t ns;

    if (!begin("chan_send", ch, item, timeout, &ns))
        return -1;
    return krait__sync_end("chan_send", send_item(ch, item, ns));
}

int krait_chan_recv(krait_chan *ch, void *item, double timeout)
{
    int64_t ns;

    if (!begin("chan_recv", ch, item, timeout, &ns))
        return -1;
    return krait__sync_end("chan_recv", recv_item(ch, item, ns));
}

int krait_chan_close(krait_chan *ch)
{
    if (!krait__sync_object("chan_close", ch))
        return -1;
    krait__lock(&ch->lock);
    ch->closed = true;
    while (krait__serve(&ch->senders, -EPIPE))
        ;
    while (krait__serve(&ch->receivers, 0))
        ;
    krait__unlock(&ch->lock);
    return 0;
}
