/* SPDX-License-Identifier: ISC
 *
 * Registers the region with the ring.
 */
#include <loop/backend/uring/region.h>
#include <loop/backend/uring/ring.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/region.h>
#include <loop/ground/hard.h>
#include <loop/ground/shares.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/process.h>
#include <loop/kernel/ring.h>
#include <loop/kernel/thread.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

void loop_uring_say_lock_limit(char *cause, size_t size)
{
    struct rlimit limit;
    if (loop_kernel_getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY) {
        (void)snprintf(cause, size, "no memory");
    } else {
        (void)snprintf(cause, size,
                       "RLIMIT_MEMLOCK is %llu bytes: raise it with ulimit -l, or LimitMEMLOCK= of systemd",
                       (unsigned long long)limit.rlim_cur);
    }
}

/* ---- the region of several loops ---- */

static void close_source(void *source)
{
    loop_uring_exit(source);
    loop_kernel_free(source);
}

/* How many bytes each buffer of the whole region has: as many shares as the kernel registers as one. */
static size_t shared_buffer_bytes(const struct loop_shares *shares)
{
    size_t most = LOOP_REGION_MAX / shares->share_bytes * shares->share_bytes;
    return most < loop_shares_size(shares) ? most : loop_shares_size(shares);
}

static int register_whole(struct io_uring *source, const struct loop_shares *shares)
{
    size_t each = shared_buffer_bytes(shares), size = loop_shares_size(shares);
    unsigned count = (unsigned)((size + each - 1) / each);
    struct iovec *vectors = loop_kernel_calloc(count, sizeof *vectors);
    if (!vectors) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < count; i++) {
        size_t left = size - i * each;
        vectors[i] = (struct iovec){shares->memory + i * each, left < each ? left : each};
    }
    int error = loop_kernel_io_uring_register_buffers(source, vectors, count);
    loop_kernel_free(vectors);
    return error;
}

/* Creates the source. Returns NULL where the kernel cannot clone, which it shows by its answer for a ring that has no
 * buffers yet, or where it does not register so much. */
static struct io_uring *open_source(struct loop_uring *uring, const struct loop_shares *shares)
{
    struct io_uring *source = loop_kernel_malloc(sizeof *source);
    if (!source || loop_uring_make_source(source)) {
        loop_kernel_free(source);
        return NULL;
    }
    if (loop_kernel_io_uring_clone_buffers(&uring->ring, source) != -ENXIO || register_whole(source, shares)) {
        close_source(source);
        return NULL;
    }
    return source;
}

/* Clones the buffers of the region, which the first loop registers for all. Returns whether it has them. */
static bool share_region(struct loop_uring *uring)
{
    struct loop_shares *shares = uring->loop->region.share.shares;
    if (shares->count == 1) {
        return false;
    }
    loop_kernel_pthread_mutex_lock(&shares->mutex);
    if (!shares->has_tried) {
        shares->has_tried = true;
        shares->registration = open_source(uring, shares);
        shares->unregister = close_source;
    }
    bool is_shared =
        shares->registration && loop_kernel_io_uring_clone_buffers(&uring->ring, shares->registration) == 0;
    loop_kernel_pthread_mutex_unlock(&shares->mutex);
    if (is_shared) {
        uring->fixed = (struct loop_uring_fixed){shares->memory, loop_shares_size(shares), shared_buffer_bytes(shares)};
        uring->has_shared_region = true;
    }
    return is_shared;
}

/* ---- that of one loop ---- */

/* Clones what the loop's other ring has, the one that polls devices or the one that does not. */
static bool clone_from_other(struct loop_uring *uring)
{
    const struct loop_uring *first = loop_uring_of(uring->loop);
    const struct loop_uring *other = uring == first ? first->iopoll : first;
    bool is_cloned =
        other && other->fixed.size_bytes > 0 && loop_kernel_io_uring_clone_buffers(&uring->ring, &other->ring) == 0;
    if (is_cloned) {
        uring->fixed = other->fixed;
    }
    return is_cloned;
}

static void register_share(struct loop_uring *uring)
{
    struct loop *loop = uring->loop;
    const struct loop_share *share = &loop->region.share;
    size_t size = share->shares->share_bytes;
    struct iovec vector = {share->shares->memory + share->index * size, size};
    int error = loop_kernel_io_uring_register_buffers(&uring->ring, &vector, 1);
    if (error) {
        char cause[160];
        loop_uring_say_lock_limit(cause, sizeof cause);
        loop_log_options(&loop->options, LOOP_LOG_WARNING,
                         "the region of %zu bytes can't be a fixed buffer: %s%s%s; it works without", vector.iov_len,
                         strerror(-error), error == -ENOMEM ? ": " : "", error == -ENOMEM ? cause : "");
    } else {
        uring->fixed = (struct loop_uring_fixed){vector.iov_base, size, size};
    }
}

void loop_uring_register_region(struct loop_uring *uring)
{
    uring->has_tried_region = true;
    if (loop_hard()->has_no_fixed || uring->loop->is_forked) {
        return;
    }
    if (!share_region(uring) && !clone_from_other(uring)) {
        register_share(uring);
    }
    if (uring == loop_uring_of(uring->loop)) {
        uring->loop->stats.region_fixed_bytes = uring->fixed.size_bytes;
    }
}

/* ---- what is asked ---- */

bool loop_uring_region_is_fixed(const struct loop *loop)
{
    struct loop_uring *uring = loop_uring_of(loop);
    if (!uring->has_tried_region) {
        loop_uring_register_region(uring);
    }
    return uring->fixed.size_bytes > 0;
}

bool loop_uring_region_is_shared(const struct loop *loop)
{
    return loop_uring_region_is_fixed(loop) && loop_uring_of(loop)->has_shared_region;
}
