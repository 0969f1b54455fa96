/* SPDX-License-Identifier: ISC
 *
 * Datagrams to be sent: in memory of their own or in the batch that is being handed out, and the address that an answer
 * leaves from.
 */
#include <loop/kernel/memory.h>
#include <net/datagram/lent.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

/* ---- memory ---- */

static bool is_in(const void *pointer, size_t len, const void *from, const void *end)
{
    uintptr_t at = (uintptr_t)pointer;

    return at >= (uintptr_t)from && at <= (uintptr_t)end && len <= (uintptr_t)end - at;
}

static bool is_lent_by(const struct loop_datagram_batch *batch, const void *data, size_t len)
{
    return is_in(data, len, batch->bytes, (const char *)batch + batch->size_bytes);
}

static void set_destination(struct loop_outgoing *outgoing, const struct loop_address *to,
                            const struct loop_datagram_batch *batch)
{
    if (!to || (batch && is_in(to, sizeof *to, batch->senders, batch->senders + LOOP_DATAGRAMS_AT_ONCE))) {
        outgoing->to = to;
    } else {
        outgoing->address = *to;
        outgoing->to = &outgoing->address;
    }
}

static void clear(struct loop_outgoing *outgoing, size_t len)
{
    outgoing->promise = 0;
    outgoing->len = len;
    outgoing->first_error = 0;
    outgoing->origin.family = 0;
    outgoing->is_lent = false;
}

struct loop_outgoing *loop_outgoing_of(const struct loop_address *to, const void *data, size_t len)
{
    struct loop_outgoing *outgoing = loop_kernel_malloc(sizeof *outgoing);

    if (outgoing) {
        clear(outgoing, len);
        outgoing->data = data;
        set_destination(outgoing, to, NULL);
    }
    return outgoing;
}

struct loop_outgoing *loop_outgoing_copy(const struct loop_address *to, const void *data, size_t len)
{
    struct loop_outgoing *outgoing = loop_kernel_malloc(sizeof *outgoing + len);

    if (outgoing) {
        clear(outgoing, len);
        outgoing->data = outgoing + 1;
        set_destination(outgoing, to, NULL);
        if (len > 0) {
            memcpy(outgoing + 1, data, len);
        }
    }
    return outgoing;
}

/* Returns the bytes in the batch, which they are part of or copied into, or NULL when the batch has no room. */
static const void *bring_in(struct loop_datagram_batch *batch, const void *data, size_t len)
{
    assert(batch->n_copied <= sizeof batch->copies);
    if (len == 0 || is_lent_by(batch, data, len)) {
        return data;
    }
    if (len > sizeof batch->copies - batch->n_copied) {
        return NULL;
    }
    char *copied = memcpy(batch->copies + batch->n_copied, data, len);
    batch->n_copied += len;
    return copied;
}

struct loop_outgoing *loop_outgoing_answer(struct loop_datagram_batch *batch, const struct loop_address *to,
                                           const void *data, size_t len)
{
    assert(batch->at > 0 && batch->at <= batch->n);
    if (batch->n_outgoing == LOOP_DATAGRAMS_AT_ONCE) {
        return NULL;
    }
    const void *inside = bring_in(batch, data, len);
    if (!inside && len > 0) {
        return NULL;
    }
    struct loop_outgoing *outgoing = &batch->outgoing[batch->n_outgoing++];
    clear(outgoing, len);
    outgoing->data = inside;
    set_destination(outgoing, to, batch);
    outgoing->is_lent = true;
    return outgoing;
}

/* ---- origin ---- */

static bool is_same_address(const struct loop_address *one, const struct loop_address *other)
{
    return one->length == other->length && memcmp(&one->u, &other->u, one->length) == 0;
}

/* Stores the origin of an answer to a datagram of the batch: the address that this datagram was sent to. */
static void find_origin(const struct loop_datagram_socket *socket, const struct loop_address *to,
                        struct loop_net_origin *origin)
{
    const struct loop_datagram_batch *batch = socket->batch;

    origin->family = 0;
    if (!to || !socket->has_origins || !socket->is_delivering) {
        return;
    }
    assert(batch && batch->at > 0 && batch->at <= batch->n);
    unsigned at = batch->at - 1;
    if (is_in(to, sizeof *to, batch->senders, batch->senders + LOOP_DATAGRAMS_AT_ONCE)) {
        at = (unsigned)(to - batch->senders);
    } else if (!is_same_address(to, &batch->senders[at])) {
        return;
    }
    loop_net_read_origin(&batch->headers[at].msg_hdr, origin);
}

int loop_datagram_choose_origin(const struct loop_datagram_socket *socket, const struct loop_address *from,
                                const struct loop_address *to, struct loop_net_origin *origin)
{
    if (!from || from->length == 0) {
        find_origin(socket, to, origin);
        return 0;
    }
    bool is_of_socket = from->u.any.sa_family == socket->local.u.any.sa_family;
    return is_of_socket && loop_net_origin_of(from, origin) ? 0 : -EINVAL;
}
