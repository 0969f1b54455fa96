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
    struct loop_shares *shares = loop_kernel_calloc(1, sizeof *shares + count * sizeof *shares->returned);
    if (shares) {
        atomic_init(&shares->references, 1);
        shares->count = count;
        loop_kernel_pthread_mutex_init(&shares->mutex, NULL);
    }
    return shares;
}

struct loop_share loop_shares_take(struct loop_shares *shares)
{
    struct loop_share share = {NULL, 0};
    loop_kernel_pthread_mutex_lock(&shares->mutex);
    if (shares->n_returned > 0) {
        share = (struct loop_share){shares, shares->returned[--shares->n_returned]};
    } else if (shares->n_begun < shares->count) {
        share = (struct loop_share){shares, shares->n_begun++};
    }
    loop_kernel_pthread_mutex_unlock(&shares->mutex);
    return share;
}

void loop_shares_return(struct loop_share share)
{
    struct loop_shares *shares = share.shares;
    loop_kernel_pthread_mutex_lock(&shares->mutex);
    shares->returned[shares->n_returned++] = share.index;
    loop_kernel_pthread_mutex_unlock(&shares->mutex);
}

static size_t whole_lines(size_t bytes)
{
    return (bytes + LOOP_SHARE_ALIGNMENT - 1) & ~(LOOP_SHARE_ALIGNMENT - 1);
}

static int map(struct loop_shares *shares)
{
    char *records = loop_kernel_aligned_alloc(LOOP_SHARE_ALIGNMENT, shares->count * shares->records_bytes);
    if (!records) {
        return -ENOMEM;
    }
    char *memory =
        loop_kernel_mmap(NULL, loop_shares_size(shares), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        loop_kernel_free(records);
        return -ENOMEM;
    }
    memset(records, 0, shares->count * shares->records_bytes);
    shares->records = records;
    shares->memory = memory;
    return 0;
}

/* One share alone is exactly as large as wanted. */
int loop_shares_map(struct loop_shares *shares, size_t share_bytes, size_t records_bytes)
{
    size_t each = shares->count == 1 ? share_bytes : whole_lines(share_bytes), records = whole_lines(records_bytes);
    int error = 0;
    loop_kernel_pthread_mutex_lock(&shares->mutex);
    if (!shares->memory) {
        shares->share_bytes = each;
        shares->records_bytes = records;
        error = map(shares);
    } else if (shares->share_bytes != each || shares->records_bytes != records) {
        error = -EINVAL;
    }
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
