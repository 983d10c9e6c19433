/* SPDX-License-Identifier: MIT
 *
 * load_latency.c - a histogram of times, log-linear: what is below 128 ns has a
 * bucket of its own, and every power of two from there has 128.
 */
#include <string.h>
#include "load.h"

#define SUB_COUNT (1U << LATENCY_SUB_BITS)

void latency_clear(struct latency *l)
{
    memset(l, 0, sizeof *l);
}

static unsigned bucket_of(uint64_t ns)
{
    unsigned shift;

    if (ns < SUB_COUNT)
        return (unsigned)ns;
    if (ns >> LATENCY_BITS)
        return LATENCY_BUCKETS - 1;
    shift = 63U - (unsigned)__builtin_clzll(ns) - LATENCY_SUB_BITS;
    return (shift << LATENCY_SUB_BITS) + (unsigned)(ns >> shift);
}

/* The middle of a bucket. */
static uint64_t value_of(unsigned bucket)
{
    unsigned shift;

    if (bucket < 2 * SUB_COUNT)
        return bucket;
    shift = (bucket >> LATENCY_SUB_BITS) - 1;
    return ((uint64_t)(bucket - (shift << LATENCY_SUB_BITS)) << shift) +
           ((uint64_t)1 << shift) / 2;
}

void latency_add(struct latency *l, uint64_t ns)
{
    l->buckets[bucket_of(ns)]++;
    l->count++;
    if (ns > l->most)
        l->most = ns;
}

uint64_t latency_quantile(const struct latency *l, double share)
{
    const double wanted = share * (double)l->count;
    uint64_t seen = 0;

    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        seen += l->buckets[i];
        if (seen > 0 && (double)seen >= wanted)
            return value_of(i) < l->most ? value_of(i) : l->most;
    }
    return l->most;
}
