/* SPDX-License-Identifier: ISC
 *
 * Descriptors that count events: eventfd(2).
 */
#include <loop/kernel/simulated/object/object.h>

#include <loop/kernel/event.h>
#include <loop/kernel/file.h>

#include <string.h>

#define MOST (UINT64_MAX - 1)

struct counter {
    struct loop_sim_file file;
    uint64_t value;
    bool is_semaphore;
};

static ssize_t read_counter(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    struct counter *counter = (struct counter *)file;
    uint64_t value = counter->is_semaphore ? 1 : counter->value;
    if (loop_sim_vectors_length(move->iov, move->n_iov) < sizeof value) {
        return -EINVAL;
    }
    if (counter->value == 0) {
        return -EAGAIN;
    }
    counter->value -= value;
    (void)loop_sim_vectors_fill(move->iov, move->n_iov, 0, &value, sizeof value);
    loop_sim_file_changed(file, EPOLLOUT);
    return sizeof value;
}

/* Adds one value. Returns its size, or a negative errno. */
static ssize_t add(struct counter *counter, const struct iovec *one)
{
    uint64_t value;
    if (one->iov_len != sizeof value) {
        return -EINVAL;
    }
    memcpy(&value, one->iov_base, sizeof value);
    if (value == UINT64_MAX) {
        return -EINVAL;
    }
    if (value > MOST - counter->value) {
        return -EAGAIN;
    }
    counter->value += value;
    loop_sim_file_changed(&counter->file, EPOLLIN);
    return sizeof value;
}

/* Each vector is a write of its own, and flags are not supported. */
static ssize_t write_counter(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    if (move->flags & ~RWF_HIPRI) {
        return -EOPNOTSUPP;
    }
    ssize_t done = 0;
    for (size_t i = 0; i < move->n_iov; i++) {
        ssize_t n = add((struct counter *)file, &move->iov[i]);
        if (n < 0) {
            return done > 0 ? done : n;
        }
        done += n;
    }
    return done;
}

static uint32_t poll_counter(struct loop_sim_file *file)
{
    uint64_t value = ((struct counter *)file)->value;
    return (value > 0 ? EPOLLIN : 0) | (value < MOST ? EPOLLOUT : 0);
}

static int status_of_counter(struct loop_sim_file *file, struct stat *status)
{
    (void)file;
    return loop_sim_file_anonymous_status(status, 0600, LOOP_SIM_ANONYMOUS_INODE);
}

static void release_counter(struct loop_sim_file *file)
{
    loop_sim_free(file);
}

static const struct loop_sim_file_kind kind = {
    .name = "eventfd",
    .read = read_counter,
    .write = write_counter,
    .poll = poll_counter,
    .status = status_of_counter,
    .seek = loop_sim_file_seek_nowhere,
    .release = release_counter,
};

/* ---- the door ---- */

int loop_kernel_eventfd(unsigned value, int flags)
{
    if (flags & ~(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK)) {
        return (int)loop_sim_return(-EINVAL);
    }
    struct loop_sim_node *node = loop_sim_here();
    struct counter *counter = loop_sim_alloc(sizeof *counter);
    loop_sim_file_init(&counter->file, &kind, node, O_RDWR | (flags & EFD_NONBLOCK ? O_NONBLOCK : 0));
    counter->file.whole_bytes = SIZE_MAX;
    counter->value = value;
    counter->is_semaphore = (flags & EFD_SEMAPHORE) != 0;
    return (int)loop_sim_return(loop_sim_file_install(node, &counter->file, 0, flags & EFD_CLOEXEC ? O_CLOEXEC : 0));
}

ssize_t loop_kernel_wake(int number, const uint64_t *value)
{
    return loop_kernel_write(number, value, sizeof *value);
}
