/* SPDX-License-Identifier: MIT
 *
 * version.c - the version of the library that runs.
 */
#include <krait/version.h>

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

const char *krait_version(void)
{
    return TEXT(KRAIT_VERSION_MAJOR) "." TEXT(KRAIT_VERSION_MINOR) "." TEXT(
        KRAIT_VERSION_PATCH);
}
