/* SPDX-License-Identifier: ISC
 *
 * Descriptors that leave their loop. The descriptor is taken (loop_fd_take), so that no backend watches it any more;
 * what it has kept for its next reads is copied. Between two loops it is plain memory that belongs to whoever has the
 * pointer.
 */
#include <domain/domain.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>

#include <errno.h>

/* Unread bytes, of one message where the socket has messages. */
struct piece {
    struct piece *next;
    size_t len;
    char bytes[];
};

struct loop_detached {
    int number;         /* -1: none yet */
    int64_t error;      /* behind the bytes; or 0 */
    struct piece *last; /* the pieces, from the last to the first: in the order in which they are given back */
};

/* The state of a loop_fd_detach. The program has the descriptor until it is resumed, and may close or destroy it. */
struct detaching {
    struct loop *loop;
    struct loop_scope *scope;
    struct loop_fd *fd; /* pinned until the end */
    loop_job promise;
    struct loop_detached **result;
    struct loop_detached *detached;
    struct loop_task look;
    loop_fn *fn;
    void *arg;
};

/* ---- what has been detached ---- */

static void drop_pieces(struct loop_detached *detached)
{
    while (detached->last) {
        struct piece *piece = detached->last;
        detached->last = piece->next;
        loop_kernel_free(piece);
    }
}

void loop_detached_destroy(struct loop_detached *detached)
{
    if (!detached) {
        return;
    }
    drop_pieces(detached);
    if (detached->number >= 0) {
        loop_kernel_close(detached->number);
    }
    loop_kernel_free(detached);
}

/* Gives the bytes and the error to the descriptor that has got the number. Returns 0 or -ENOMEM. */
static int give_back(struct loop_fd *fd, const struct loop_detached *detached)
{
    for (const struct piece *piece = detached->last; piece; piece = piece->next) {
        int error = loop_fd_unread(fd, piece->bytes, piece->len);
        if (error < 0) {
            return error;
        }
    }
    if (detached->error < 0) {
        loop_fd_keep_error(fd, detached->error);
    }
    return 0;
}

struct loop_fd *loop_fd_attach(struct loop_scope *scope, struct loop_detached *detached)
{
    if (!loop_check_pointer(detached, "descriptor", __func__)) {
        return NULL;
    }
    struct loop_fd *fd = NULL;
    if (loop_check_scope(scope, __func__)) {
        fd = loop_fd_adopt(scope, detached->number);
        detached->number = -1;
    }
    if (fd && give_back(fd, detached) < 0) {
        loop_fd_destroy(fd);
        fd = NULL;
    }
    loop_detached_destroy(detached);
    return fd;
}

/* ---- detaching ---- */

/* Copies what is kept for the next reads. Returns 0 or -ENOMEM. */
static int take_kept(struct loop_detached *detached, struct loop_fd *fd)
{
    size_t left;

    while ((left = loop_fd_unread_length(fd)) > 0) {
        struct piece *piece = loop_kernel_malloc(sizeof *piece + left);
        if (!piece) {
            return -ENOMEM;
        }
        piece->len = loop_fd_take_unread(fd, piece->bytes, left);
        piece->next = detached->last;
        detached->last = piece;
    }
    detached->error = loop_fd_take_error(fd);
    return 0;
}

static void on_end(void *arg, int64_t result)
{
    struct detaching *detaching = arg;

    if (result == 0) {
        loop_fd_destroy(detaching->fd);
        *detaching->result = detaching->detached;
    } else {
        loop_detached_destroy(detaching->detached);
    }
    loop_fd_unpin(detaching->fd);
    loop_part_continue(detaching->scope, detaching->fn, detaching->arg, result);
    loop_kernel_free(detaching);
}

static void finish(struct detaching *detaching, int64_t result)
{
    loop_resolve(detaching->loop, detaching->promise, result);
}

/* A descriptor that was destroyed while it was being taken has left its scope, and its bytes are gone. */
static void on_taken(void *arg, int64_t number)
{
    struct detaching *detaching = arg;

    if (number < 0) {
        finish(detaching, number);
        return;
    }
    detaching->detached->number = (int)number;
    bool is_destroyed = loop_fd_scope(detaching->fd) != detaching->scope;
    finish(detaching, is_destroyed ? -EBADF : take_kept(detaching->detached, detaching->fd));
}

static int64_t check(const struct loop_fd *fd)
{
    if (!loop_fd_is_open(fd)) {
        return -EBADF;
    }
    if (loop_fd_is_borrowed(fd)) {
        return -EINVAL;
    }
    return loop_fd_count_uses(fd) > 1 ? -EBUSY : 0; /* one is the pin of the detaching itself */
}

/* The continuation that has called loop_fd_detach has returned, and with it what the loop did for it. */
static void on_look(void *arg, int64_t result)
{
    struct detaching *detaching = arg;
    int64_t error = result < 0 ? -ECANCELED : check(detaching->fd);

    if (error == 0 && loop_fd_take(detaching->fd, on_taken, detaching) == 0) {
        error = -ENOMEM;
    }
    if (error < 0) {
        finish(detaching, error);
    }
}

/* A cancel has no effect: the number would leak. */
static void on_cancel(void *arg, loop_job job)
{
    (void)arg;
    (void)job;
}

static struct detaching *create(struct loop_fd *fd, struct loop_detached **result)
{
    struct detaching *detaching = loop_kernel_calloc(1, sizeof *detaching);
    struct loop_detached *detached = loop_kernel_calloc(1, sizeof *detached);

    if (!detaching || !detached) {
        loop_kernel_free(detaching);
        loop_kernel_free(detached);
        return NULL;
    }
    detached->number = -1;
    detaching->scope = loop_fd_scope(fd);
    detaching->loop = loop_scope_loop(detaching->scope);
    detaching->fd = fd;
    detaching->result = result;
    detaching->detached = detached;
    detaching->look = (struct loop_task){.fn = on_look, .arg = detaching};
    return detaching;
}

loop_job loop_fd_detach(struct loop_fd *fd, struct loop_detached **detached, loop_fn *fn, void *arg)
{
    if (!loop_check_fd(fd, __func__) || !loop_check_pointer(detached, "descriptor", __func__)) {
        return 0;
    }
    *detached = NULL;
    struct loop_scope *scope = loop_fd_scope(fd);
    if (loop_scope_is_cancelled(scope)) {
        return loop_promise(scope, NULL, NULL, fn, arg);
    }
    struct detaching *detaching = create(fd, detached);
    if (!detaching) {
        return 0;
    }
    detaching->fn = fn;
    detaching->arg = arg;
    loop_job job = detaching->promise = loop_promise(scope, on_cancel, detaching, on_end, detaching);
    if (!job) {
        loop_kernel_free(detaching->detached);
        loop_kernel_free(detaching);
        return 0;
    }
    loop_fd_pin(fd);
    if (loop_post_task(loop_inbox_of(detaching->loop), &detaching->look) < 0) {
        on_look(detaching, -ECANCELED); /* main's scope has ended, and this one is about to */
    }
    return job;
}
