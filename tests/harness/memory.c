/* SPDX-License-Identifier: ISC
 *
 * Counts the allocations that this program's own code makes, which includes the library. Allocations inside the C
 * library (such as the dtv of a thread whose stack it caches) are not counted.
 */
#include "account.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include <sys/mman.h>
#include <sys/syscall.h>

#if !HAS_SANITIZER

enum { MOST_BLOCKS = 1 << 19 };

struct block {
    uintptr_t address;
    size_t size_bytes;
    void *caller;
};

static struct block *blocks;
static size_t n_blocks, n_bytes;
static unsigned long n_allocations, fail_at;
static bool fail_rest, has_failed;
static atomic_flag blocks_lock = ATOMIC_FLAG_INIT;

/* The linker's --wrap redirects calls of malloc to __wrap_malloc; __real_malloc is the C library's malloc. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **block, size_t alignment, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **block, size_t alignment, size_t size);
void __wrap_free(void *block);
extern char __executable_start, etext;

static void lock_blocks(void)
{
    while (atomic_flag_test_and_set_explicit(&blocks_lock, memory_order_acquire)) {
        sched_yield();
    }
}

static void unlock_blocks(void)
{
    atomic_flag_clear_explicit(&blocks_lock, memory_order_release);
}

static unsigned hidden;

void account_hide_allocations(bool is_hidden)
{
    hidden += is_hidden ? 1 : -1u;
}

static bool is_ours(const void *caller)
{
    return hidden == 0 && (uintptr_t)caller >= (uintptr_t)&__executable_start && (uintptr_t)caller < (uintptr_t)&etext;
}

static size_t home_of(uintptr_t address)
{
    return (size_t)((address >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20) % MOST_BLOCKS;
}

static void make_blocks(void)
{
    long map = syscall(SYS_mmap, NULL, sizeof *blocks * MOST_BLOCKS, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L);
    if (map == -1) {
        abort();
    }
    blocks = (struct block *)map;
    pthread_atfork(lock_blocks, unlock_blocks, unlock_blocks);
}

static void note_block(void *address, size_t size_bytes, void *caller)
{
    lock_blocks();
    if (!blocks) {
        make_blocks();
    }
    if (n_blocks > MOST_BLOCKS / 2) {
        abort();
    }
    size_t at = home_of((uintptr_t)address);
    while (blocks[at].address) {
        at = (at + 1) % MOST_BLOCKS;
    }
    blocks[at] = (struct block){(uintptr_t)address, size_bytes, caller};
    n_blocks++;
    n_bytes += size_bytes;
    unlock_blocks();
}

/* Closes the gap at `hole`: the entries behind it move up as far as their home slots allow. */
static void close_gap(size_t hole)
{
    for (size_t at = (hole + 1) % MOST_BLOCKS; blocks[at].address; at = (at + 1) % MOST_BLOCKS) {
        size_t home = home_of(blocks[at].address);
        if ((at - home) % MOST_BLOCKS >= (at - hole) % MOST_BLOCKS) {
            blocks[hole] = blocks[at];
            hole = at;
        }
    }
    blocks[hole].address = 0;
}

size_t account_forget_block(const void *address)
{
    size_t size_bytes = 0;

    lock_blocks();
    if (blocks && address) {
        size_t at = home_of((uintptr_t)address);
        while (blocks[at].address && blocks[at].address != (uintptr_t)address) {
            at = (at + 1) % MOST_BLOCKS;
        }
        if (blocks[at].address) {
            size_bytes = blocks[at].size_bytes;
            n_blocks--;
            n_bytes -= size_bytes;
            close_gap(at);
        }
    }
    unlock_blocks();
    return size_bytes;
}

bool account_allocation_fails(const void *caller)
{
    if (!is_ours(caller)) {
        return false;
    }
    unsigned long number = __atomic_add_fetch(&n_allocations, 1, __ATOMIC_RELAXED);
    if (fail_at == 0 || number < fail_at || (number > fail_at && !fail_rest)) {
        return false;
    }
    has_failed = true;
    errno = ENOMEM;
    return true;
}

void *account_noted(void *block, size_t size_bytes, void *caller)
{
    if (block && is_ours(caller)) {
        note_block(block, size_bytes, caller);
    }
    return block;
}

void *__wrap_malloc(size_t size)
{
    void *caller = __builtin_return_address(0);
    return account_allocation_fails(caller) ? NULL : account_noted(__real_malloc(size), size, caller);
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *caller = __builtin_return_address(0);
    return account_allocation_fails(caller) ? NULL : account_noted(__real_calloc(count, size), count * size, caller);
}

void *__wrap_realloc(void *old, size_t size)
{
    void *caller = __builtin_return_address(0);
    if (account_allocation_fails(caller)) {
        return NULL;
    }
    account_forget_block(old);
    return account_noted(__real_realloc(old, size), size, caller);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    void *caller = __builtin_return_address(0);
    return account_allocation_fails(caller) ? NULL : account_noted(__real_aligned_alloc(alignment, size), size, caller);
}

int __wrap_posix_memalign(void **block, size_t alignment, size_t size)
{
    void *caller = __builtin_return_address(0);
    int error = account_allocation_fails(caller) ? ENOMEM : __real_posix_memalign(block, alignment, size);
    if (error == 0) {
        account_noted(*block, size, caller);
    }
    return error;
}

/* While allocations fail, freed blocks are overwritten and kept for a while, and checked before they are released:
 * error paths often free memory too early. */
enum { MOST_KEPT = 64, FREED = 0xdd };

static struct {
    unsigned char *block;
    size_t size_bytes;
} kept[MOST_KEPT];
static unsigned next_kept;

static void give_back(unsigned at)
{
    unsigned char *block = kept[at].block;

    for (size_t i = 0; block && i < kept[at].size_bytes; i++) {
        if (block[i] != FREED) {
            static const char text[] = "harness: memory was written to after it had been freed\n";
            (void)!write(STDERR_FILENO, text, sizeof text - 1);
            abort();
        }
    }
    kept[at].block = NULL;
    __real_free(block);
}

static void keep_freed(void *block, size_t size_bytes)
{
    lock_blocks();
    give_back(next_kept);
    memset(block, FREED, size_bytes);
    kept[next_kept].block = block;
    kept[next_kept].size_bytes = size_bytes;
    next_kept = (next_kept + 1) % MOST_KEPT;
    unlock_blocks();
}

static void give_back_kept(void)
{
    lock_blocks();
    for (unsigned at = 0; at < MOST_KEPT; at++) {
        give_back(at);
    }
    unlock_blocks();
}

void __wrap_free(void *block)
{
    size_t size_bytes = account_forget_block(block);

    if (size_bytes > 0 && fail_at > 0) {
        keep_freed(block, size_bytes);
    } else {
        __real_free(block);
    }
}

#if !defined(NORIA_SIMULATED) /* on the simulated kernel the library calls loop_kernel_mmap */
void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    void *caller = __builtin_return_address(0);
    if (account_allocation_fails(caller)) {
        return MAP_FAILED;
    }
    long map = syscall(SYS_mmap, address, size, protection, flags, fd, offset);
    if (map == -1) {
        return MAP_FAILED;
    }
    return account_noted((void *)map, size, caller);
}

int munmap(void *address, size_t size)
{
    account_forget_block(address);
    return (int)syscall(SYS_munmap, address, size);
}
#endif

unsigned long allocations(void)
{
    return __atomic_load_n(&n_allocations, __ATOMIC_RELAXED);
}

void fail_allocation(unsigned long n, bool all_after)
{
    fail_at = n ? allocations() + n : 0;
    fail_rest = all_after;
    has_failed = false;
    if (!n) {
        give_back_kept();
    }
}

bool allocation_failed(void)
{
    return has_failed;
}

size_t live_bytes(void)
{
    return n_bytes;
}

ptrdiff_t account_left_block(void)
{
    for (size_t at = MOST_BLOCKS; blocks && at-- > 0;) {
        if (blocks[at].address) {
            return (char *)blocks[at].caller - &__executable_start;
        }
    }
    return 0;
}

#else

const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "detect_leaks=1:detect_stack_use_after_return=1:allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "die_after_fork=0:allocator_may_return_null=1";
}

size_t live_bytes(void)
{
    return 0;
}

ptrdiff_t account_left_block(void)
{
    return 0;
}

#endif
