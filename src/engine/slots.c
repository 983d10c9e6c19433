/* SPDX-License-Identifier: MIT
 *
 * slots.c - how the table of slots.h grows.
 */
#include "engine/slots.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_ROOM = 64 };

int krait__slots_reach(struct krait__slots *slots, int fd)
{
    size_t room = slots->room ? slots->room : FIRST_ROOM;
    struct krait__slot *at;

    if ((size_t)fd < slots->room)
        return 0;
    while (room <= (size_t)fd)
        room *= 2;
    at = realloc(slots->at, room * sizeof *at);
    if (!at)
        return -ENOMEM;
    /* The first node of a list points back to the list's head. */
    for (size_t i = 0; i < slots->room; i++)
        if (at[i].waiting)
            at[i].waiting->link = &at[i].waiting;
    for (size_t i = slots->room; i < room; i++)
        at[i] = (struct krait__slot){0};
    *slots = (struct krait__slots){at, room};
    return 0;
}

void krait__slots_free(struct krait__slots *slots)
{
    free(slots->at);
    *slots = (struct krait__slots){0};
}
