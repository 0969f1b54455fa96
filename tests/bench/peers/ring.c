/* SPDX-License-Identifier: ISC
 *
 * A minimal io_uring for the handwritten servers. See ring.h.
 */
#include "ring.h"

#include "bench.h"

#include <errno.h>
#include <unistd.h>

#define FILES 65536
#define SUBMISSIONS 4096
#define COMPLETIONS 32768 /* as many as connections may have events at once */

void ring_open(struct io_uring *ring, unsigned flags)
{
    struct io_uring_params params = {.flags = flags | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
                                     .cq_entries = COMPLETIONS};
    int error = io_uring_queue_init_params(SUBMISSIONS, ring, &params);

    if (error == 0) {
        error = io_uring_register_ring_fd(ring);
    }
    if (error < 0) {
        errno = -error;
        bench_fail("io_uring");
    }
}

void ring_make_files(struct io_uring *ring)
{
    long most = sysconf(_SC_OPEN_MAX);

    errno = -io_uring_register_files_sparse(ring, most < FILES ? (unsigned)most : FILES);
    if (errno != 0) {
        bench_fail("the ring's files");
    }
}

struct io_uring_sqe *ring_sqe(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

    while (!sqe) {
        io_uring_submit(ring);
        sqe = io_uring_get_sqe(ring);
    }
    return sqe;
}

static void wait_for_batch(struct io_uring *ring, unsigned batch)
{
    struct __kernel_timespec patience = {.tv_nsec = RING_PATIENCE_NS};
    struct io_uring_cqe *cqe;

    if (batch > 1) {
        io_uring_submit_and_wait_timeout(ring, &cqe, batch, &patience, NULL);
        if (io_uring_cq_ready(ring) > 0) {
            return;
        }
    }
    io_uring_submit_and_wait(ring, batch > 0);
}

void ring_run(struct io_uring *ring, const unsigned *batch, void (*before)(void),
              void (*on_completion)(const struct io_uring_cqe *cqe))
{
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;

        wait_for_batch(ring, *batch);
        before();
        io_uring_for_each_cqe(ring, head, cqe)
        {
            on_completion(cqe);
            n++;
        }
        io_uring_cq_advance(ring, n);
    }
}
