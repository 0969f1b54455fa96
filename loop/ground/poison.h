/* SPDX-License-Identifier: ISC
 *
 * Poison: marks memory that the library keeps and that no code may use, for AddressSanitizer. It then reports a use as
 * it does for freed memory of malloc. Does nothing in other builds.
 */
#ifndef LOOP_GROUND_POISON_H
#define LOOP_GROUND_POISON_H

#if defined(__SANITIZE_ADDRESS__)
#define LOOP_HAS_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LOOP_HAS_POISON 1
#endif
#endif

#ifdef LOOP_HAS_POISON
#include <sanitizer/asan_interface.h>
#define LOOP_POISON(memory, size_bytes) __asan_poison_memory_region((memory), (size_bytes))
#define LOOP_UNPOISON(memory, size_bytes) __asan_unpoison_memory_region((memory), (size_bytes))
#else
#define LOOP_POISON(memory, size_bytes) ((void)(memory), (void)(size_bytes))
#define LOOP_UNPOISON(memory, size_bytes) ((void)(memory), (void)(size_bytes))
#endif

/* Marks a function that may read poisoned memory, to report what was there. */
#ifdef LOOP_HAS_POISON
#define LOOP_LOOKS_AT_FREED __attribute__((no_sanitize_address))
#else
#define LOOP_LOOKS_AT_FREED
#endif

#endif
