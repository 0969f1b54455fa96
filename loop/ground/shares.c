/* SPDX-License-Identifier: ISC
 *
 * Memory that several loops divide among themselves.
 */
#include <loop/ground/poison.h>
#include <loop/ground/shares.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/thread.h>

#include <errno.h>
#include <string.h>

struct loop_shares *loop_shares_create(unsigned count)
{
    struct loop_shares *shares = loop_kernel_calloc(1, sizeof *shares);
    if (shares) {
        atomic_init(&shares->references, 1);
        shares->count = count;
        loop_kernel_pthread_mutex_init(&shares->mutex, NULL);
    }
    return shares;
}

/* One share alone is exactly as large as wanted. */
static size_t rounded(const struct loop_shares *shares, size_t bytes)
{
    return shares->count == 1 ? bytes : (bytes + LOOP_SHARE_ALIGNMENT - 1) & ~(LOOP_SHARE_ALIGNMENT - 1);
}

static int map(struct loop_shares *shares, size_t share_bytes, size_t records_bytes)
{
    size_t each = (records_bytes + LOOP_SHARE_ALIGNMENT - 1) & ~(LOOP_SHARE_ALIGNMENT - 1);
    char *records = loop_kernel_aligned_alloc(LOOP_SHARE_ALIGNMENT, shares->count * each);
    if (!records) {
        return -ENOMEM;
    }
    shares->share_bytes = rounded(shares, share_bytes);
    char *memory =
        loop_kernel_mmap(NULL, loop_shares_size(shares), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        loop_kernel_free(records);
        return -ENOMEM;
    }
    memset(records, 0, shares->count * each);
    shares->records = records;
    shares->records_bytes = each;
    shares->memory = memory;
    return 0;
}

int loop_shares_map(struct loop_shares *shares, size_t share_bytes, size_t records_bytes)
{
    loop_kernel_pthread_mutex_lock(&shares->mutex);
    int error = shares->memory ? 0 : map(shares, share_bytes, records_bytes);
    loop_kernel_pthread_mutex_unlock(&shares->mutex);
    return error;
}

void loop_shares_ref(struct loop_shares *shares)
{
    atomic_fetch_add_explicit(&shares->references, 1, memory_order_relaxed);
}

void loop_shares_unref(struct loop_shares *shares)
{
    if (!shares || atomic_fetch_sub_explicit(&shares->references, 1, memory_order_acq_rel) > 1) {
        return;
    }
    if (shares->registration) {
        shares->unregister(shares->registration);
    }
    if (shares->memory) {
        LOOP_UNPOISON(shares->memory, loop_shares_size(shares));
        loop_kernel_munmap(shares->memory, loop_shares_size(shares));
    }
    loop_kernel_free(shares->records);
    loop_kernel_pthread_mutex_destroy(&shares->mutex);
    loop_kernel_free(shares);
}
