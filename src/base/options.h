/* SPDX-License-Identifier: MIT
 *
 * options.h - option structs of callers that may be older or newer than this
 * library: what theirs lacks is the default, what ours lacks they must not have
 * set.
 */
#ifndef KRAIT__OPTIONS_H
#define KRAIT__OPTIONS_H

#include <stddef.h>

/* Copies `in`, of `in_size` bytes (NULL: all defaults), to `out`. 0 or
 * -E2BIG. */
#define KRAIT__UNKNOWN_OPTION \
    "an option is set that this version of the library does not know"
int krait__options(void *out, size_t out_size, const void *in, size_t in_size);

#endif
