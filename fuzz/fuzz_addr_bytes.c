/* SPDX-License-Identifier: MIT
 *
 * fuzz_addr_bytes.c - addresses made from bytes: krait_addr_from, with socket
 * addresses of every family and length, and krait_unix_abstract.
 */
#include "fuzz_check.h"

/* The families that Krait has text for, so that they come up often. */
static void with_family(const uint8_t *data, size_t size, sa_family_t family)
{
    char *sa = block_of(data, size);

    if (size >= sizeof family)
        memcpy(sa, &family, sizeof family);
    check_addr(krait_addr_from((struct sockaddr *)sa, (socklen_t)size));
    free(sa);
}

/* A length that no address has is refused before a byte is read. */
static void with_impossible_length(const uint8_t *data, size_t size)
{
    struct sockaddr *sa = block_of(data, size);

    require(krait_addr_error(krait_addr_from(sa, (socklen_t)-1)) == EINVAL &&
                krait_addr_error(krait_addr_from(sa, 0)) == EINVAL &&
                krait_addr_error(krait_addr_from(sa, 1)) == EINVAL,
            "a socket address of an impossible length is taken");
    free(sa);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *name = block_of(data, size);

    check_addr(krait_unix_abstract(name, size));
    free(name);
    if (size > 200)
        size = 200; /* a sockaddr_storage has 128 */
    with_family(data, size, AF_INET);
    with_family(data, size, AF_INET6);
    with_family(data, size, AF_UNIX);
    if (size >= 2) {
        struct sockaddr *sa = block_of(data, size);

        check_addr(krait_addr_from(sa, (socklen_t)size));
        free(sa);
        with_impossible_length(data, size);
    }
    return 0;
}
