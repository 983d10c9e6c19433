/* SPDX-License-Identifier: MIT
 *
 * micro_sharing.c - what fibers share things with: mutexes and channels.
 */
#include <krait.h>

#include "micro.h"

/* --- mutex ------------------------------------------------------------- */

static krait_mutex mutex;

static void lock_mutex(long times)
{
    while (times-- > 0) {
        krait_mutex_lock(&mutex, KRAIT_FOREVER);
        krait_mutex_unlock(&mutex);
    }
}

/* --- channels ---------------------------------------------------------- */

static krait_chan *chan;
static krait_fiber *receiver;

static void begin_chan(size_t capacity)
{
    chan = krait_chan_new(sizeof(long), capacity);
    micro_check(chan, "krait_chan_new");
}

static void begin_alone(void)
{
    begin_chan(1);
}

static void end_alone(void)
{
    krait_chan_free(chan);
}

static void send_and_receive(long times)
{
    long item = 0;

    while (times-- > 0) {
        krait_chan_send(chan, &item, KRAIT_FOREVER);
        krait_chan_recv(chan, &item, KRAIT_FOREVER);
    }
}

static int receive(void *arg)
{
    long item;

    (void)arg;
    while (krait_chan_recv(chan, &item, KRAIT_FOREVER) > 0)
        ;
    return 0;
}

static void begin_receiver(int worker)
{
    receiver =
        krait_spawn(receive, NULL, &(krait_spawn_options){.worker = worker});
    micro_check(receiver, "krait_spawn");
}

static void begin_narrow(void)
{
    begin_chan(0);
    begin_receiver(0);
}

static void begin_wide(void)
{
    begin_chan(64);
    begin_receiver(0);
}

static void begin_narrow_apart(void)
{
    begin_chan(0);
    begin_receiver(2);
}

static void begin_wide_apart(void)
{
    begin_chan(64);
    begin_receiver(2);
}

static void end_chan(void)
{
    krait_chan_close(chan);
    krait_join(receiver, NULL);
    krait_chan_free(chan);
}

static void send_items(long times)
{
    while (times > 0) {
        krait_chan_send(chan, &times, KRAIT_FOREVER);
        times--;
    }
}

const struct micro_item micro_sharing[] = {
    {
        .name = "mutex, lock and unlock",
        .places = IN_THREAD | ON_URING,
        .run = lock_mutex,
        .yardstick = "pthread_mutex",
    },
    {
        .name = "channel, send and receive, one fiber",
        .places = IN_THREAD | ON_URING,
        .run = send_and_receive,
        .begin = begin_alone,
        .end = end_alone,
        .yardstick = "pthread_mutex",
    },
    {
        .name = "channel of 64 items, two fibers",
        .places = IN_FIBER,
        .run = send_items,
        .begin = begin_wide,
        .end = end_chan,
        .yardstick = "pthread_mutex",
    },
    {
        .name = "channel of 0 items, two fibers",
        .places = IN_FIBER,
        .run = send_items,
        .begin = begin_narrow,
        .end = end_chan,
        .yardstick = "getppid",
    },
    {
        .name = "channel of 64 items, fibers of two workers",
        .places = ON_TWO,
        .run = send_items,
        .begin = begin_wide_apart,
        .end = end_chan,
        .yardstick = "getppid",
    },
    {
        .name = "channel of 0 items, fibers of two workers",
        .places = ON_TWO,
        .run = send_items,
        .begin = begin_narrow_apart,
        .end = end_chan,
        .yardstick = "getppid",
    },
    {0},
};
