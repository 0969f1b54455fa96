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
#include <loop/ground/list.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>

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
    struct loop_hlist *at = loop_kernel_calloc(capacity, sizeof *at);
    if (!at) {
        return false;
    }
    for (unsigned i = 0; i < numbers->capacity; i++) {
        at[i] = numbers->at[i];
        if (at[i].first) {
            at[i].first->at = &at[i].first;
        }
    }
    loop_kernel_free(numbers->at);
    numbers->at = at;
    numbers->capacity = capacity;
    return true;
}

struct loop_hnode *loop_number_first(const struct loop *loop, int number)
{
    bool is_known = number >= 0 && (unsigned)number < loop->numbers.capacity;
    return is_known ? loop->numbers.at[number].first : NULL;
}

void loop_number_lose(struct loop *loop, struct loop_fd *fd)
{
    assert(fd->is_borrowed);
    loop_log_options(
        &loop->options, LOOP_LOG_WARNING,
        "the borrowed descriptor %d was closed before its object: call loop_fd_close or loop_fd_destroy first",
        fd->number);
    loop_hlist_remove(&fd->in_number);
    loop_hlist_push(&loop->numbers.lost, &fd->in_number);
    fd->number = -1;
}

/* Takes the number from borrowed objects that have it for another file. */
static void check_older(struct loop *loop, int number)
{
    struct loop_hnode *next, *node = loop_number_first(loop, number);
    uint64_t identity = node ? loop_number_identity(number) : 0;
    for (; node && identity; node = next) {
        next = node->next;
        struct loop_fd *older = LOOP_CONTAINER(node, struct loop_fd, in_number);
        if (older->is_borrowed && older->identity != identity) {
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
    loop_hlist_push(&loop->numbers.at[number], &fd->in_number);
    return true;
}

void loop_number_leave(struct loop_fd *fd)
{
    loop_hlist_remove(&fd->in_number);
}

static void each_in(struct loop *loop, const struct loop_hlist *list, void (*fn)(struct loop *loop, struct loop_fd *fd))
{
    struct loop_hnode *next;
    for (struct loop_hnode *node = list->first; node; node = next) {
        next = node->next;
        fn(loop, LOOP_CONTAINER(node, struct loop_fd, in_number));
    }
}

void loop_number_each(struct loop *loop, void (*fn)(struct loop *loop, struct loop_fd *fd))
{
    for (unsigned i = 0; i < loop->numbers.capacity; i++) {
        each_in(loop, &loop->numbers.at[i], fn);
    }
    each_in(loop, &loop->numbers.lost, fn);
}

void loop_numbers_finish(struct loop *loop)
{
    loop_kernel_free(loop->numbers.at);
}
