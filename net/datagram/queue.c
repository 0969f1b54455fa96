/* SPDX-License-Identifier: ISC
 *
 * The queue of a datagram socket: the datagrams that are to be sent, in the order of the calls, and the jobs that wait
 * for room in it.
 */
#include <loop/kernel/memory.h>
#include <net/datagram/lent.h>
#include <net/datagram/queue.h>

#include <assert.h>
#include <errno.h>

/* A job that waits for room. */
struct loop_drain_wait {
    struct loop_drain_wait *next, **link;
    struct loop_datagram_socket *socket;
    loop_job promise;
};

/* ---- the queue ---- */

static size_t cost_of(const struct loop_outgoing *outgoing)
{
    return sizeof *outgoing + outgoing->len;
}

void loop_outgoing_enqueue(struct loop_datagram_socket *socket, struct loop_outgoing *outgoing)
{
    assert(!socket->first == !socket->last && (outgoing->data || outgoing->len == 0));
    outgoing->socket = socket;
    outgoing->next = NULL;
    outgoing->prev = socket->last;
    *(socket->last ? &socket->last->next : &socket->first) = outgoing;
    socket->last = outgoing;
    socket->queued_bytes += cost_of(outgoing);
}

static void dequeue(struct loop_outgoing *outgoing)
{
    struct loop_datagram_socket *socket = outgoing->socket;

    assert((outgoing->prev ? outgoing->prev->next : socket->first) == outgoing);
    assert((outgoing->next ? outgoing->next->prev : socket->last) == outgoing);
    assert(socket->queued_bytes >= cost_of(outgoing));
    *(outgoing->prev ? &outgoing->prev->next : &socket->first) = outgoing->next;
    *(outgoing->next ? &outgoing->next->prev : &socket->last) = outgoing->prev;
    socket->queued_bytes -= cost_of(outgoing);
    assert(socket->first || socket->queued_bytes == 0);
}

void loop_outgoing_discard(struct loop_outgoing *outgoing)
{
    struct loop_datagram_socket *socket = outgoing->socket;
    bool is_lent = outgoing->is_lent; /* then its memory is the batch's */

    outgoing->is_lent = false;
    dequeue(outgoing);
    if (!is_lent) {
        loop_outgoing_destroy(socket, outgoing);
    }
}

void loop_outgoing_complete(struct loop_outgoing *outgoing, int64_t result)
{
    struct loop *loop = outgoing->socket->loop;
    loop_job promise = outgoing->promise;

    if (result < 0 && outgoing->sent_bytes > 0) {
        result = (int64_t)outgoing->sent_bytes;
    }
    loop_outgoing_discard(outgoing);
    if (promise) {
        loop_resolve(loop, promise, result);
    }
}

void loop_outgoing_fail(struct loop_outgoing *outgoing, int error)
{
    assert(error < 0);
    outgoing->socket->stats.failed++;
    outgoing->socket->stats.last_error = error;
    loop_outgoing_complete(outgoing, error);
}

/* ---- what is lent ---- */

/* Puts `by` into the queue in place of a datagram in a batch. */
static void replace(struct loop_outgoing *outgoing, struct loop_outgoing *by)
{
    struct loop_datagram_socket *socket = outgoing->socket;

    assert(outgoing->is_lent && !by->is_lent);
    by->socket = socket;
    by->prev = outgoing->prev;
    by->next = outgoing->next;
    *(by->prev ? &by->prev->next : &socket->first) = by;
    *(by->next ? &by->next->prev : &socket->last) = by;
}

void loop_datagram_unlend(struct loop_datagram_batch *batch)
{
    for (unsigned i = 0; i < batch->n_outgoing; i++) {
        struct loop_outgoing *outgoing = &batch->outgoing[i];
        struct loop_outgoing *kept =
            outgoing->is_lent ? loop_outgoing_copy(outgoing->socket, outgoing->to, outgoing->data, outgoing->len)
                              : NULL;
        if (kept) {
            loop_outgoing_take_over(kept, outgoing);
            replace(outgoing, kept);
        } else if (outgoing->is_lent) {
            loop_outgoing_fail(outgoing, -ENOMEM);
        }
    }
    batch->n_outgoing = 0;
    batch->n_copied = 0;
}

/* ---- waiting for room ---- */

/* Takes the waiting job that `*link` points to out of the list and completes it. */
static void resume_drained(struct loop_drain_wait **link, int64_t result)
{
    struct loop_drain_wait *wait = *link;
    struct loop *loop = wait->socket->loop;
    loop_job promise = wait->promise;

    assert(wait->link == link && promise);
    *link = wait->next;
    if (wait->next) {
        wait->next->link = link;
    }
    loop_kernel_free(wait);
    loop_resolve(loop, promise, result);
}

static bool has_drained(const struct loop_datagram_socket *socket)
{
    return socket->queued_bytes <= socket->limit_bytes / 2;
}

void loop_datagram_tell_drained(struct loop_datagram_socket *socket, int64_t result)
{
    while (socket->drains && (result < 0 || has_drained(socket))) {
        resume_drained(&socket->drains, result);
    }
}

static void on_cancel_drained(void *arg, loop_job job)
{
    struct loop_drain_wait *wait = arg;

    (void)job;
    resume_drained(wait->link, -ECANCELED);
}

loop_job loop_datagram_answer(struct loop_scope *scope, int64_t result, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(scope, NULL, NULL, fn, arg);

    loop_resolve(loop_scope_loop(scope), job, result);
    return job;
}

loop_job loop_datagram_wait_drained(struct loop_datagram_socket *socket, loop_fn *fn, void *arg)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return 0;
    }
    if (!loop_fd_is_open(socket->fd)) {
        return loop_datagram_answer(socket->scope, -EBADF, fn, arg);
    }
    if (has_drained(socket) || loop_scope_is_cancelled(socket->scope)) {
        return loop_datagram_answer(socket->scope, 0, fn, arg);
    }
    struct loop_drain_wait *wait = loop_kernel_malloc(sizeof *wait);
    if (!wait) {
        return 0;
    }
    wait->promise = loop_promise(socket->scope, on_cancel_drained, wait, fn, arg);
    if (!wait->promise) {
        loop_kernel_free(wait);
        return 0;
    }
    struct loop_drain_wait **link = &socket->drains;
    while (*link) {
        link = &(*link)->next;
    }
    wait->socket = socket;
    wait->next = NULL;
    wait->link = link;
    *link = wait;
    return wait->promise;
}

/* ---- its length ---- */

size_t loop_datagram_queued(const struct loop_datagram_socket *socket)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return 0;
    }
    return socket->queued_bytes;
}

bool loop_datagram_is_full(const struct loop_datagram_socket *socket)
{
    if (!loop_datagram_is_good(socket, __func__)) {
        return true;
    }
    return socket->queued_bytes >= socket->limit_bytes;
}
