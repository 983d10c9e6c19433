/* SPDX-License-Identifier: MIT
 *
 * instruments.h - is this a build for a sanitizer, and can Valgrind be told
 * things? What is missing is an empty statement. Valgrind's requests cost a few
 * instructions where it doesn't run, so that they are in every build.
 */
#ifndef KRAIT__INSTRUMENTS_H
#define KRAIT__INSTRUMENTS_H

#if defined(__SANITIZE_ADDRESS__)
#define KRAIT__ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define KRAIT__TSAN 1
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(KRAIT__ASAN)
#define KRAIT__ASAN 1
#endif
#if __has_feature(thread_sanitizer) && !defined(KRAIT__TSAN)
#define KRAIT__TSAN 1
#endif
#endif

#ifndef KRAIT__ASAN
#define KRAIT__ASAN 0
#endif
#ifndef KRAIT__TSAN
#define KRAIT__TSAN 0
#endif

#if KRAIT__ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#if KRAIT__TSAN
#include <sanitizer/tsan_interface.h>
#endif

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif
#endif

#ifndef VALGRIND_STACK_REGISTER
#define VALGRIND_STACK_REGISTER(low, high)      ((void)(low), (void)(high), 0u)
#define VALGRIND_STACK_DEREGISTER(id)           ((void)(id))
#define VALGRIND_MAKE_MEM_UNDEFINED(start, len) ((void)(start), (void)(len))
#endif

#endif
