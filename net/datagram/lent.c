/* SPDX-License-Identifier: ISC
 *
 * Datagrams to be sent: in memory of their own or in the batch that is being handed out, and the address that an answer
 * leaves from.
 */
#include <loop/kernel/memory.h>
#include <net/datagram/lent.h>

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#define ROUNDED_TO 256 /* bytes of a datagram */

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
    outgoing->segment_bytes = 0;
    outgoing->sent_bytes = 0;
    outgoing->is_lent = false;
    outgoing->is_alone = false;
}

/* Returns memory for a datagram and `len` bytes behind it, or NULL. */
static struct loop_outgoing *allocate(struct loop_datagram_socket *socket, size_t len)
{
    struct loop_outgoing *outgoing = socket->spare;

    if (outgoing && outgoing->room_bytes >= len) {
        socket->spare = outgoing->next;
        socket->spare_bytes -= sizeof *outgoing + outgoing->room_bytes;
        return outgoing;
    }
    size_t room_bytes = (len + ROUNDED_TO - 1) / ROUNDED_TO * ROUNDED_TO;
    outgoing = loop_kernel_malloc(sizeof *outgoing + room_bytes);
    if (outgoing) {
        outgoing->room_bytes = room_bytes;
    }
    return outgoing;
}

void loop_outgoing_destroy(struct loop_datagram_socket *socket, struct loop_outgoing *outgoing)
{
    size_t size_bytes = sizeof *outgoing + outgoing->room_bytes;

    if (socket->spare_bytes + size_bytes > socket->limit_bytes / 2) {
        loop_kernel_free(outgoing);
        return;
    }
    outgoing->next = socket->spare;
    socket->spare = outgoing;
    socket->spare_bytes += size_bytes;
}

void loop_outgoing_free_spares(struct loop_datagram_socket *socket)
{
    while (socket->spare) {
        struct loop_outgoing *outgoing = socket->spare;
        socket->spare = outgoing->next;
        loop_kernel_free(outgoing);
    }
    socket->spare_bytes = 0;
}

struct loop_outgoing *loop_outgoing_of(struct loop_datagram_socket *socket, const struct loop_address *to,
                                       const void *data, size_t len)
{
    struct loop_outgoing *outgoing = allocate(socket, 0);

    if (outgoing) {
        clear(outgoing, len);
        outgoing->data = data;
        set_destination(outgoing, to, NULL);
    }
    return outgoing;
}

struct loop_outgoing *loop_outgoing_copy(struct loop_datagram_socket *socket, const struct loop_address *to,
                                         const void *data, size_t len)
{
    struct loop_outgoing *outgoing = allocate(socket, len);

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
    assert(batch->current < batch->n);
    if (batch->n_outgoing == LOOP_DATAGRAM_ANSWERS) {
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

void loop_outgoing_take_over(struct loop_outgoing *by, const struct loop_outgoing *outgoing)
{
    by->envelope = outgoing->envelope;
    by->segment_bytes = outgoing->segment_bytes;
    by->sent_bytes = outgoing->sent_bytes;
    by->first_error = outgoing->first_error;
    by->is_alone = outgoing->is_alone;
}

/* ---- what goes with it ---- */

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
    assert(batch && batch->current < batch->n);
    const struct loop_address *sender = &batch->senders[batch->current];
    if (to == sender || is_same_address(to, sender)) {
        *origin = batch->report.origin;
    }
}

static bool is_ipv4(const struct loop_datagram_socket *socket, const struct loop_address *to)
{
    if (!to) {
        return socket->is_peer_ipv4;
    }
    return to->u.any.sa_family == AF_INET ||
           (to->u.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&to->u.ipv6.sin6_addr));
}

/* Stores the origin that the options have, or that an answer has. An interface alone goes with the address of no host.
 * Returns 0 or -EINVAL. */
static int choose_origin(const struct loop_datagram_socket *socket, const struct loop_datagram_send_options *options,
                         const struct loop_address *to, struct loop_net_envelope *envelope)
{
    struct loop_net_origin *origin = &envelope->origin;
    sa_family_t family = socket->local.u.any.sa_family;
    const struct loop_address *from = options->from;

    if (from && from->length > 0 && (from->u.any.sa_family != family || !loop_net_origin_of(from, origin))) {
        return -EINVAL;
    }
    if (origin->family == 0) {
        find_origin(socket, to, origin);
    }
    if (options->interface > 0 && origin->family == 0) {
        *origin = (struct loop_net_origin){.family = family};
        if (family == AF_INET6 && envelope->is_ipv4) {
            memcpy(&origin->u.ipv6, (const unsigned char[16]){[10] = 0xff, [11] = 0xff}, sizeof origin->u.ipv6);
        }
    }
    if (options->interface > 0) {
        origin->interface = options->interface;
    }
    return 0;
}

static bool is_good(const struct loop_datagram_socket *socket, const struct loop_datagram_send_options *options)
{
    bool is_unix = socket->local.length == 0 || socket->local.u.any.sa_family == AF_UNIX;
    bool has_any =
        options->interface > 0 || options->has_traffic_class || options->hop_limit != 0 || options->segment_bytes > 0;

    return options->traffic_class >= 0 && options->traffic_class <= UINT8_MAX && options->hop_limit >= 0 &&
           options->hop_limit <= UINT8_MAX && options->interface <= INT_MAX && !(is_unix && has_any);
}

int loop_datagram_seal(const struct loop_datagram_socket *socket, const struct loop_datagram_send_options *options,
                       const struct loop_address *to, struct loop_net_envelope *envelope)
{
    int error = 0;

    envelope->traffic_class = -1;
    envelope->hop_limit = -1;
    envelope->is_ipv4 = false;
    envelope->origin.family = 0;
    if (options) {
        if (!is_good(socket, options)) {
            return -EINVAL;
        }
        envelope->is_ipv4 = is_ipv4(socket, to);
        envelope->traffic_class = options->has_traffic_class ? (int16_t)options->traffic_class : -1;
        envelope->hop_limit = options->hop_limit > 0 ? (int16_t)options->hop_limit : -1;
        error = choose_origin(socket, options, to, envelope);
    } else {
        find_origin(socket, to, &envelope->origin);
    }
    return error;
}
