/* SPDX-License-Identifier: ISC
 *
 * The door: memory.
 */
#ifndef LOOP_KERNEL_MEMORY_H
#define LOOP_KERNEL_MEMORY_H

#include <loop/kernel/door.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

/* ---- the allocator ---- */

LOOP_KERNEL_CALL_POINTER(void *, loop_kernel_aligned_alloc, (size_t alignment, size_t size),
                         aligned_alloc(alignment, size))
LOOP_KERNEL_CALL_POINTER(void *, loop_kernel_calloc, (size_t count, size_t size), calloc(count, size))
LOOP_KERNEL_CALL_POINTER(void *, loop_kernel_malloc, (size_t size), malloc(size))
LOOP_KERNEL_CALL_POINTER(void *, loop_kernel_realloc, (void *old, size_t size), realloc(old, size))
LOOP_KERNEL_CALL_POINTER(char *, loop_kernel_strdup, (const char *text), strdup(text))
LOOP_KERNEL_CALL_POINTER(char *, loop_kernel_strndup, (const char *text, size_t len), strndup(text, len))
LOOP_KERNEL_CALL_VOID(loop_kernel_free, (void *memory), free(memory))

/* Called with memory that the library has allocated and the program is to free by free(): the simulated kernel does not
 * know when it does. Nothing on the real one. */
LOOP_KERNEL_CALL_VOID(loop_kernel_give, (const void *memory), (void)memory)

/* ---- pages ---- */

LOOP_KERNEL_CALL_OR(MAP_FAILED, void *, loop_kernel_mmap,
                    (void *at, size_t size, int prot, int flags, int number, off_t offset),
                    mmap(at, size, prot, flags, number, offset))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_munmap, (void *at, size_t size), munmap(at, size))
LOOP_KERNEL_CALL(int, loop_kernel_madvise, (void *at, size_t size, int advice), madvise(at, size, advice))

#endif
