/* SPDX-License-Identifier: MIT
 *
 * wait_queue.c - the queue of wait_queue.h.
 */
#include "fiber/wait_queue.h"

#include <errno.h>
#include <stddef.h>

#include "base/deadline.h"

static void join_queue(struct krait__wait_queue *queue,
                       struct krait__place *place)
{
    place->next = NULL;
    place->prev = queue->last;
    if (queue->last)
        queue->last->next = place;
    else
        queue->first = place;
    queue->last = place;
}

static void leave_queue(struct krait__wait_queue *queue,
                        struct krait__place *place)
{
    if (place->prev)
        place->prev->next = place->next;
    else
        queue->first = place->next;
    if (place->next)
        place->next->prev = place->prev;
    else
        queue->last = place->prev;
}

int krait__wait(struct krait__wait_queue *queue, struct krait__lock *lock,
                void *item, enum krait_wait what, int64_t timeout)
{
    struct krait__place place = {.parker = krait__parker(), .item = item};
    int64_t until = krait__deadline(timeout);
    int code = timeout == KRAIT__AT_ONCE ? -EAGAIN : 0;

    join_queue(queue, &place);
    while (!place.served && code == 0) {
        krait__unlock(lock);
        code = krait__park(what, until);
        krait__lock(lock);
    }
    if (!place.served)
        leave_queue(queue, &place);
    krait__unlock(lock);
    return place.served ? place.answer : code;
}

void krait__wait_anyhow(struct krait__wait_queue *queue,
                        struct krait__lock *lock, enum krait_wait what)
{
    struct krait__place place = {.parker = krait__parker()};

    join_queue(queue, &place);
    while (!place.served) {
        krait__unlock(lock);
        krait__park_anyhow(what);
        krait__lock(lock);
    }
    krait__unlock(lock);
}

bool krait__serve(struct krait__wait_queue *queue, int answer)
{
    struct krait__place *first = queue->first;

    if (!first)
        return false;
    leave_queue(queue, first);
    first->answer = answer;
    first->served = true;
    krait__unpark(first->parker);
    return true;
}
