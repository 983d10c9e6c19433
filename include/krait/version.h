/* SPDX-License-Identifier: MIT
 *
 * krait/version.h - which Krait this is, and how its functions are declared.
 *
 * The three numbers below are the only place where the version is written;
 * the build, the pkg-config file and `krait --version` read them here.
 * Semantic versioning; the SONAME changes only when the ABI breaks.
 */
#ifndef KRAIT_VERSION_H
#define KRAIT_VERSION_H

#define KRAIT_VERSION_MAJOR 0
#define KRAIT_VERSION_MINOR 1
#define KRAIT_VERSION_PATCH 0

#if defined(__cplusplus)
#define KRAIT_BEGIN_DECLS extern "C" {
#define KRAIT_END_DECLS   }
#else
#define KRAIT_BEGIN_DECLS
#define KRAIT_END_DECLS
#endif

/* On each public function: visible in the shared library. */
#define KRAIT_API __attribute__((visibility("default")))

KRAIT_BEGIN_DECLS

/* "0.1.0": the library that runs, which may be newer than these headers.
 * Never NULL. From anywhere, signal handlers included. */
KRAIT_API const char *krait_version(void);

KRAIT_END_DECLS

#endif
