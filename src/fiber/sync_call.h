/* SPDX-License-Identifier: MIT
 *
 * sync_call.h - how the calls of krait/sync.h begin and end.
 */
#ifndef KRAIT__SYNC_CALL_H
#define KRAIT__SYNC_CALL_H

#include <stdbool.h>
#include <stdint.h>

/* False: there is no object, and the call `op` has failed with EINVAL. */
bool krait__sync_object(const char *op, const void *object);

/* A call with a timeout begins: false if it has failed already, for want of an
 * object, of a timeout that is one, or because the caller is to stop. */
bool krait__sync_begin(const char *op, const void *object, double seconds,
                       int64_t *timeout);

/* It ends: `code`, or -1 and errno where that is negative. */
int krait__sync_end(const char *op, int code);

#endif
