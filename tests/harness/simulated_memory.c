/* SPDX-License-Identifier: ISC
 *
 * Counts what the library allocates on the simulated kernel: the blocks that the door returns. What the simulated
 * kernel allocates for itself is not counted. The linker's --wrap redirects calls of a function to __wrap_ and its
 * name;
 * __real_ and its name is the function itself.
 */
#include "account.h"

#include <sys/mman.h>

#if !HAS_SANITIZER

/* NAME(type, name, parameters, arguments): a function whose own allocations are not counted. */
#define HIDDEN_CALL(type, name, parameters, arguments)                                                                 \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    static inline type hidden_##name parameters                                                                        \
    {                                                                                                                  \
        account_hide_allocations(true);                                                                                \
        type result = __real_##name arguments;                                                                         \
        account_hide_allocations(false);                                                                               \
        return result;                                                                                                 \
    }

HIDDEN_CALL(void *, loop_sim_alloc, (size_t size), (size))
HIDDEN_CALL(void *, loop_sim_realloc, (void *old, size_t size), (old, size))
HIDDEN_CALL(void *, loop_kernel_malloc, (size_t size), (size))
HIDDEN_CALL(void *, loop_kernel_calloc, (size_t count, size_t size), (count, size))
HIDDEN_CALL(void *, loop_kernel_realloc, (void *old, size_t size), (old, size))
HIDDEN_CALL(void *, loop_kernel_aligned_alloc, (size_t alignment, size_t size), (alignment, size))
HIDDEN_CALL(char *, loop_kernel_strdup, (const char *text), (text))
HIDDEN_CALL(char *, loop_kernel_strndup, (const char *text, size_t len), (text, len))
HIDDEN_CALL(void *, loop_kernel_mmap, (void *at, size_t size, int prot, int flags, int number, off_t offset),
            (at, size, prot, flags, number, offset))
HIDDEN_CALL(int, loop_kernel_munmap, (void *at, size_t size), (at, size))

/* What a node that has crashed had mapped goes without a call of loop_kernel_munmap. */
int __real_munmap(void *at, size_t size);
int __wrap_munmap(void *at, size_t size);
int __wrap_munmap(void *at, size_t size)
{
    account_forget_block(at);
    return __real_munmap(at, size);
}

void __real_loop_kernel_free(void *block);
void __wrap_loop_kernel_free(void *block);

void *__wrap_loop_sim_alloc(size_t size)
{
    return hidden_loop_sim_alloc(size);
}

void *__wrap_loop_sim_realloc(void *old, size_t size)
{
    return hidden_loop_sim_realloc(old, size);
}

void *__wrap_loop_kernel_malloc(size_t size)
{
    void *caller = __builtin_return_address(0);
    return account_allocation_fails(caller) ? NULL : account_noted(hidden_loop_kernel_malloc(size), size, caller);
}

void *__wrap_loop_kernel_calloc(size_t count, size_t size)
{
    void *caller = __builtin_return_address(0);
    return account_allocation_fails(caller)
               ? NULL
               : account_noted(hidden_loop_kernel_calloc(count, size), count * size, caller);
}

void *__wrap_loop_kernel_realloc(void *old, size_t size)
{
    void *caller = __builtin_return_address(0);
    if (account_allocation_fails(caller)) {
        return NULL;
    }
    account_forget_block(old);
    return account_noted(hidden_loop_kernel_realloc(old, size), size, caller);
}

void *__wrap_loop_kernel_aligned_alloc(size_t alignment, size_t size)
{
    void *caller = __builtin_return_address(0);
    return account_allocation_fails(caller)
               ? NULL
               : account_noted(hidden_loop_kernel_aligned_alloc(alignment, size), size, caller);
}

char *__wrap_loop_kernel_strdup(const char *text)
{
    void *caller = __builtin_return_address(0);
    return account_allocation_fails(caller) ? NULL
                                            : account_noted(hidden_loop_kernel_strdup(text), strlen(text) + 1, caller);
}

char *__wrap_loop_kernel_strndup(const char *text, size_t len)
{
    void *caller = __builtin_return_address(0);
    return account_allocation_fails(caller)
               ? NULL
               : account_noted(hidden_loop_kernel_strndup(text, len), strnlen(text, len) + 1, caller);
}

void *__wrap_loop_kernel_mmap(void *at, size_t size, int prot, int flags, int number, off_t offset)
{
    void *caller = __builtin_return_address(0);
    if (account_allocation_fails(caller)) {
        return MAP_FAILED;
    }
    void *map = hidden_loop_kernel_mmap(at, size, prot, flags, number, offset);
    return map == MAP_FAILED ? map : account_noted(map, size, caller);
}

int __wrap_loop_kernel_munmap(void *at, size_t size)
{
    account_forget_block(at);
    return hidden_loop_kernel_munmap(at, size);
}

void __wrap_loop_kernel_free(void *block)
{
    account_forget_block(block);
    account_hide_allocations(true);
    __real_loop_kernel_free(block);
    account_hide_allocations(false);
}

#endif
