/* SPDX-License-Identifier: MIT
 *
 * sync_call.c - how the calls of krait/sync.h begin and end.
 */
#include "fiber/sync_call.h"

#include <errno.h>
#include <stddef.h>

#include "base/deadline.h"
#include "base/failure.h"
#include "fiber/park.h"

bool krait__sync_object(const char *op, const void *object)
{
    if (!object)
        krait__fail(op, -EINVAL, "no object (NULL)", NULL, NULL, 0);
    return object;
}

bool krait__sync_begin(const char *op, const void *object, double seconds,
                       int64_t *timeout)
{
    int code;

    if (!krait__sync_object(op, object))
        return false;
    if (!krait__timeout(seconds, timeout)) {
        krait__fail(op, -EINVAL, "a timeout is 0, more, or KRAIT_FOREVER", NULL,
                    NULL, 0);
        return false;
    }
    /* As with sockets: what can't wait goes on in a fiber that is cancelled. */
    code = *timeout == KRAIT__AT_ONCE ? 0 : krait__stopped();
    return krait__sync_end(op, code) == 0;
}

/* What the errno means here, where its own text says something else. */
static const char *reason(int code)
{
    switch (code) {
    case -EAGAIN:
        return "would have to wait, and the timeout is 0";
    case -EDEADLK:
        return "the caller holds the mutex already";
    case -EPERM:
        return "the caller does not hold the mutex";
    case -EPIPE:
        return "the channel was closed";
    case -EOVERFLOW:
        return "beyond what can be counted";
    default:
        return NULL;
    }
}

int krait__sync_end(const char *op, int code)
{
    if (code >= 0)
        return code;
    return krait__fail(op, code, reason(code), NULL, NULL, 0);
}
