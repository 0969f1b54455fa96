/* SPDX-License-Identifier: ISC
 *
 * The getters of descriptor objects, and their rarer part. adopt.c creates them, close.c ends them.
 */
#include <loop/core/check.h>
#include <loop/core/fd.h>
#include <loop/core/log.h>
#include <loop/core/scope.h>
#include <loop/ground/list.h>
#include <loop/ground/poison.h>
#include <loop/ground/slab.h>
#include <loop/part.h>

struct loop_fd_more *loop_fd_get_more(struct loop_fd *fd)
{
    if (fd->has_more) {
        return loop_fd_more(fd);
    }
    struct loop_fd_more *more = loop_slab_get(&fd->scope->loop->fds_more);
    if (!more) {
        return NULL;
    }
    loop_list_init(&more->pollers);
    for (unsigned turn = 0; turn < LOOP_TURNS; turn++) {
        loop_list_init(&more->lines[turn]);
    }
    more->late_number = -1;
    more->second_jobs = fd->second_jobs;
    fd->more = loop_index_of(more);
    fd->has_more = true;
    return more;
}

void loop_fd_free(struct loop_fd *fd)
{
    struct loop *loop = fd->scope->loop;
    if (fd->has_more) {
        loop_slab_put(&loop->fds_more, loop_fd_more(fd));
    }
    loop_slab_put(&loop->fds, fd);
}

int loop_fd_peek(const struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return -1;
    }
    return fd->state == LOOP_FD_OPEN ? fd->number : -1;
}

bool loop_fd_is_open(const struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return false;
    }
    return fd->state == LOOP_FD_OPEN;
}

struct loop_scope *loop_fd_scope(const struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return NULL;
    }
    return fd->scope;
}

/* ---- checks ---- */

LOOP_LOOKS_AT_FREED bool loop_bad_fd(const struct loop_fd *fd, const char *function)
{
#if NORIA_DEBUG
    if (fd && fd->destroyed.function) {
        char place[LOOP_PLACE_TEXT_SIZE];
        struct loop_place destroyed = fd->destroyed;
        loop_place_format(&destroyed, place);
        loop_stop_gone(function, "the descriptor %d was destroyed by %s", fd->was_number, place);
    } else if (fd) {
        loop_stop_gone(function, "the descriptor %d went with its scope, which has ended", fd->was_number);
    }
#endif
    return fd ? false : loop_bad_null(function, "descriptor");
}

bool loop_check_fd(const struct loop_fd *fd, const char *function)
{
    return loop_fd_is_good(fd, function);
}

uint32_t loop_fd_count_uses(const struct loop_fd *fd)
{
    return loop_fd_is_good(fd, __func__) ? fd->uses + fd->pins : 0;
}

bool loop_fd_is_borrowed(const struct loop_fd *fd)
{
    return loop_fd_is_good(fd, __func__) && fd->is_borrowed;
}
