/* SPDX-License-Identifier: MIT
 *
 * option_copy.c - see options.h.
 */
#include <errno.h>
#include <string.h>

#include "base/options.h"

int krait__options(void *out, size_t out_size, const void *in, size_t in_size)
{
    const unsigned char *bytes = in;

    memset(out, 0, out_size);
    if (!in)
        return 0;
    memcpy(out, in, in_size < out_size ? in_size : out_size);
    for (size_t i = out_size; i < in_size; i++)
        if (bytes[i])
            return -E2BIG;
    return 0;
}
