/* SPDX-License-Identifier: ISC
 *
 * Registers the region with the ring.
 */
#include <loop/backend/uring/region.h>
#include <loop/backend/uring/ring.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/ground/hard.h>
#include <loop/kernel/process.h>
#include <loop/kernel/ring.h>

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

void loop_uring_register_region(struct loop_uring *uring)
{
    struct loop *loop = uring->loop;
    struct iovec vector = {loop->region.memory, loop->region.size_bytes};
    uring->has_tried_region = true;
    if (loop_hard()->has_no_fixed || vector.iov_len == 0) {
        return;
    }
    int error = loop_kernel_io_uring_register_buffers(&uring->ring, &vector, 1);
    uring->has_region = error == 0;
    if (error) {
        char cause[160];
        loop_uring_say_lock_limit(cause, sizeof cause);
        loop_log_options(&loop->options, LOOP_LOG_WARNING,
                         "the region of %zu bytes can't be a fixed buffer: %s%s%s; it works without", vector.iov_len,
                         strerror(-error), error == -ENOMEM ? ": " : "", error == -ENOMEM ? cause : "");
    }
}

bool loop_uring_region_is_fixed(const struct loop *loop)
{
    struct loop_uring *uring = loop_uring_of(loop);
    if (!uring->has_tried_region) {
        loop_uring_register_region(uring);
    }
    return uring->has_region;
}
