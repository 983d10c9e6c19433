/* SPDX-License-Identifier: MIT
 *
 * handle.c - the life of a handle: who is inside, who is the last to leave.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "engine/engine.h"

/* --- forks ------------------------------------------------------------- */

atomic_uint krait__generations = 1;

static void in_child(void)
{
    atomic_fetch_add(&krait__generations, 1);
}

/* Before any thread of the program's, so that no fork goes unseen. Without
 * memory for it (ENOMEM) a fork is as it was: the child of a process with
 * threads must keep away from sockets that those used. */
__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

/* Nobody but the caller's process is inside any more. */
void krait__handle_adopt(struct krait__handle *h)
{
    enum { BUSY = 0 };
    unsigned now = krait__generation();
    unsigned was = atomic_load(&h->generation);

    if (was != BUSY && was != now &&
        atomic_compare_exchange_strong(&h->generation, &was, BUSY)) {
        h->waiters = NULL;
        atomic_store(&h->lock.word, 0);
        atomic_store(&h->visitors, 0);
        atomic_store(&h->state,
                     (atomic_load(&h->state) & (KRAIT__ONE_REF - 1)) |
                         KRAIT__ONE_REF);
        atomic_store(&h->generation, now);
    }
    while (atomic_load(&h->generation) != now)
        sched_yield(); /* another thread is at it */
}

/* --- in and out -------------------------------------------------------- */

/* After four thousand million handles they repeat: to be mistaken for another
 * a handle would have to have its fd, too, and a file that outlived it. */
static uint32_t next_serial(void)
{
    static atomic_uint last;
    uint32_t serial;

    do
        serial = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
    while (serial == 0);
    return serial;
}

void krait__handle_init(struct krait__handle *h, int fd, int family, int type,
                        int (*end)(struct krait__handle *h))
{
    h->fd = fd;
    h->family = (uint8_t)family;
    h->type = (uint8_t)type;
    h->serial = next_serial();
    h->waiters = NULL;
    h->end = end;
    atomic_init(&h->lock.word, 0);
    atomic_init(&h->kept, 0);
    atomic_init(&h->plain_tcp, false);
    atomic_init(&h->visitors, 0);
    atomic_init(&h->generation, krait__generation());
    atomic_init(&h->state, KRAIT__ONE_REF);
}

int krait__handle_end(struct krait__handle *h)
{
    krait__await_visitors(&h->visitors);
    return h->end(h);
}

void krait__await_visitors(atomic_uint *visitors)
{
    struct timespec moment = {.tv_nsec = 50000};

    /* A sleep and no yield: the visitor may have the lower priority. */
    while (atomic_load_explicit(visitors, memory_order_acquire))
        nanosleep(&moment, NULL);
}

/* --- the list of those who wait ----------------------------------------- */

static void wake_listed(struct krait__handle *h)
{
    for (struct krait__node *n = h->waiters; n; n = n->next) {
        struct krait__waiter *w = (struct krait__waiter *)n;

        w->wake(w);
    }
}

/* Whoever finds the lock held leaves a flag, and its holder does the work. */
void krait__handle_wake(struct krait__handle *h)
{
    int saved = errno;
    bool again = true;

    while (again && krait__lock_or_flag(&h->lock)) {
        wake_listed(h);
        again = krait__unlock(&h->lock);
    }
    errno = saved;
}

/* --- marks -------------------------------------------------------------- */

void krait__handle_mark(struct krait__handle *h, unsigned bits)
{
    if (atomic_load_explicit(&h->generation, memory_order_acquire) !=
        krait__generation())
        krait__handle_adopt(h);
    krait__visit(&h->visitors);
    /* First the mark, then the list; a waiter goes on the list first and looks
     * for the mark then. The list's lock orders the two, so that one of them
     * sees the other. */
    atomic_fetch_or_explicit(&h->state, bits, memory_order_release);
    krait__handle_wake(h);
    krait__visited(&h->visitors);
}

void krait__handle_unmark(struct krait__handle *h, unsigned bits)
{
    atomic_fetch_and_explicit(&h->state, ~bits, memory_order_release);
}
