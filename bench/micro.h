/* SPDX-License-Identifier: MIT
 *
 * micro.h - what micro.c measures: items, each a loop around one thing.
 */
#ifndef MICRO_H
#define MICRO_H

#include <stdbool.h>

/* Where items run. */
enum micro_place {
    IN_THREAD = 1, /* a plain thread, with no run-time */
    ON_URING = 2,  /* a fiber of a run-time's one worker */
    ON_EPOLL = 4,  /* likewise */
    IN_FIBER = ON_URING | ON_EPOLL,
    ON_TWO = 8, /* a fiber of the first of two workers, on io_uring */
    IN_PLACES = 16
};

/* One thing that is measured, in each of its places; or, without `run`, the
 * difference between two others: `more` less `less`. */
struct micro_item {
    const char *name;
    unsigned places;         /* 0: IN_THREAD */
    void (*run)(long times); /* does it that many times */
    void (*begin)(void);     /* before, untimed; NULL: nothing to do */
    void (*end)(void);       /* after */
    long each;               /* so many things at a time; 0: one */
    const char *yardstick;   /* what to compare it with; NULL: nothing */
    double target;           /* ns that it should not exceed; 0: none */
    const char *more, *less;
};

/* The tables of items; each ends with a name of NULL. */
extern const struct micro_item micro_yardsticks[];
extern const struct micro_item micro_switching[];
extern const struct micro_item micro_timers[];
extern const struct micro_item micro_sharing[];
extern const struct micro_item micro_sockets[];

/* Ends the program where `good` is false: what is measured has failed. */
void micro_check(bool good, const char *what);

#endif
