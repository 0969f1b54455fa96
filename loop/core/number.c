/* SPDX-License-Identifier: ISC
 *
 * The table of descriptor objects by number. The owner of a borrowed number closes it, and the kernel reuses it at
 * once. An object that still has the number then loses it, so that it can neither read data of the new file nor end its
 * watch.
 */
#include <loop/core/fd.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/number.h>
#include <loop/ground/index_list.h>
#include <loop/ground/slab.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>

#include <string.h>
#include <sys/stat.h>

#define FIRST_CAPACITY 64u

/* A prime near 2^64 divided by the golden ratio: spreads the device's number over all bits. */
#define SPREAD UINT64_C(0x9e3779b97f4a7c55)

/* Files of the kernel without an inode of their own, such as eventfds, share one. */
uint64_t loop_number_identity(int number)
{
    struct stat status;
    return loop_kernel_fstat(number, &status) ? 0 : ((uint64_t)status.st_dev * SPREAD) ^ (uint64_t)status.st_ino;
}

static bool grow(struct loop_numbers *numbers, unsigned number)
{
    unsigned capacity = numbers->capacity ? numbers->capacity : FIRST_CAPACITY;
    while (capacity <= number) {
        capacity *= 2;
    }
    uint32_t *at = loop_kernel_realloc(numbers->at, capacity * sizeof *at);
    if (!at) {
        return false;
    }
    memset(at + numbers->capacity, 0, (capacity - numbers->capacity) * sizeof *at);
    numbers->at = at;
    numbers->capacity = capacity;
    return true;
}

struct loop_fd *loop_number_first(const struct loop *loop, int number)
{
    bool is_known = number >= 0 && (unsigned)number < loop->numbers.capacity;
    return is_known ? loop_index_object(&loop->fds, loop->numbers.at[number]) : NULL;
}

struct loop_fd *loop_number_next(const struct loop *loop, const struct loop_fd *fd)
{
    return fd->has_more ? loop_index_object(&loop->fds, loop_fd_more(fd)->next_of_number) : NULL;
}

/* Nearly every number has one object, which is found at once. */
void loop_number_leave(struct loop_fd *fd)
{
    struct loop *loop = fd->scope->loop;
    if (fd->number < 0) {
        return; /* it was lost */
    }
    uint32_t index = loop_index_of(fd), *at = &loop->numbers.at[fd->number];
    while (*at != index) {
        assert(*at);
        at = &loop_fd_more(loop_index_object(&loop->fds, *at))->next_of_number;
    }
    const struct loop_fd *next = loop_number_next(loop, fd);
    *at = next ? loop_index_of(next) : 0;
    if (next) {
        loop_fd_more(fd)->next_of_number = 0;
    }
}

void loop_number_lose(struct loop *loop, struct loop_fd *fd)
{
    assert(fd->is_borrowed);
    loop_log_options(
        &loop->options, LOOP_LOG_WARNING,
        "the borrowed descriptor %d was closed before its object: call loop_fd_close or loop_fd_destroy first",
        fd->number);
    loop_number_leave(fd);
    fd->number = -1;
}

/* Takes the number from borrowed objects that have it for another file. */
static void check_older(struct loop *loop, int number)
{
    struct loop_fd *next, *older = loop_number_first(loop, number);
    uint64_t identity = older ? loop_number_identity(number) : 0;
    for (; older && identity; older = next) {
        next = loop_number_next(loop, older);
        if (older->is_borrowed && loop_fd_more(older)->identity != identity) {
            loop_number_lose(loop, older);
        }
    }
}

bool loop_number_enter(struct loop *loop, struct loop_fd *fd)
{
    unsigned number = (unsigned)fd->number;
    if (number >= loop->numbers.capacity && !grow(&loop->numbers, number)) {
        return false;
    }
    check_older(loop, fd->number);
    uint32_t *at = &loop->numbers.at[number];
    struct loop_fd_more *more = *at ? loop_fd_get_more(fd) : NULL;
    if (*at && !more) {
        return false;
    }
    if (more) {
        more->next_of_number = *at;
    }
    *at = loop_index_of(fd);
    return true;
}

void loop_number_each(struct loop *loop, void (*fn)(struct loop *loop, struct loop_fd *fd))
{
    for (uint32_t i = 0; i < loop_slab_capacity(&loop->fds); i++) {
        struct loop_slot *slot = loop_slab_at(&loop->fds, i);
        struct loop_fd *fd = slot->id & LOOP_SLAB_FREE ? NULL : (struct loop_fd *)(void *)slot;
        if (fd && fd->state < LOOP_FD_CLOSED) {
            fn(loop, fd);
        }
    }
}

void loop_numbers_finish(struct loop *loop)
{
    loop_kernel_free(loop->numbers.at);
}
