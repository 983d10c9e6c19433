/* SPDX-License-Identifier: MIT
 *
 * slots.h - who waits for which fd in an epoll set: a table by fd.
 *
 * An event carries its slot's fd and tag. A slot whose tag has become another
 * has nothing to do with an event that was registered under the old one.
 */
#ifndef KRAIT__SLOTS_H
#define KRAIT__SLOTS_H

#include "engine/engine.h"

struct krait__slot {
    struct krait__node *waiting; /* operations: the newest first */
    uint32_t tag;                /* the set's own; 0 at first */
    /* watch.c's: */
    bool quiet;   /* a receive has found it empty, and nothing has come since */
    bool careful; /* short receives mean nothing any more */
};

struct krait__slots {
    struct krait__slot *at; /* by fd */
    size_t room;            /* how many */
};

/* So that `fd` has a slot: 0, or a negative code. Slots may move. */
int krait__slots_reach(struct krait__slots *slots, int fd);

void krait__slots_free(struct krait__slots *slots);

static inline uint64_t krait__slot_event(int fd, uint32_t tag)
{
    return (uint64_t)tag << 32 | (uint32_t)fd;
}

static inline int krait__slot_fd(uint64_t event)
{
    return (int)(uint32_t)event;
}

static inline uint32_t krait__slot_tag(uint64_t event)
{
    return (uint32_t)(event >> 32);
}

#endif
