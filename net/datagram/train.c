/* SPDX-License-Identifier: ISC
 *
 * Datagrams that pass through the kernel together. See train.h.
 */
#include <net/datagram/train.h>

#include <assert.h>
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#define MOST_JOINED 64         /* datagrams of a train: what every kernel allows */
#define MOST_TRAIN_BYTES 65000 /* less than what IPv6 and IPv4 allow */
#define REFUSED_FOR 1024       /* datagrams are sent by themselves after a train was refused */

/* ---- joining ---- */

static bool is_same_peer(const struct loop_address *one, const struct loop_address *other)
{
    return one == other ||
           (one && other && one->length == other->length && memcmp(&one->u, &other->u, one->length) == 0);
}

/* Returns whether a train may be made of this datagram and others of this length, or of the train that it is. */
static bool may_lead(const struct loop_datagram_socket *socket, const struct loop_outgoing *first, size_t len)
{
    bool is_short = len <= socket->joined_most_bytes || socket->stats.sent >= socket->joins_again;

    return socket->has_segments && !first->is_alone && len > 0 && is_short;
}

/* Returns whether `next` may follow in a train of `bytes`. Only the last one may be shorter than the first. */
static bool may_follow(const struct loop_outgoing *first, const struct loop_outgoing *next, size_t bytes)
{
    bool is_whole = bytes % first->len == 0;

    return is_whole && next->len > 0 && next->len <= first->len && next->len <= MOST_TRAIN_BYTES - bytes &&
           !next->is_alone && next->segment_bytes == 0 && is_same_peer(first->to, next->to) &&
           loop_net_is_same_envelope(&first->envelope, &next->envelope);
}

/* ---- gathering ---- */

/* Where in the queue the next message begins: in a train of the program's own, behind `sent_bytes` of it. */
struct place {
    const struct loop_outgoing *outgoing;
    size_t sent_bytes;
};

static void add_piece(struct loop_trains *trains, struct msghdr *header, const void *data, size_t len)
{
    assert(trains->n_pieces < LOOP_TRAINS_PIECES_AT_ONCE);
    trains->pieces[trains->n_pieces++] = (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    header->msg_iovlen++;
}

/* Adds `first` and what may follow it. Returns how many datagrams it has added. */
static size_t add_joined(const struct loop_datagram_socket *socket, struct loop_trains *trains, struct msghdr *header,
                         struct place *place)
{
    const struct loop_outgoing *first = place->outgoing, *next = first->next;
    size_t bytes = first->len, n = 1;

    add_piece(trains, header, first->data, first->len);
    if (next && may_lead(socket, first, first->len)) {
        while (next && n < MOST_JOINED && trains->n_pieces < LOOP_TRAINS_PIECES_AT_ONCE && bytes < MOST_TRAIN_BYTES &&
               may_follow(first, next, bytes)) {
            bytes += next->len;
            n++;
            add_piece(trains, header, next->data, next->len);
            next = next->next;
        }
    }
    *place = (struct place){next, next ? next->sent_bytes : 0};
    return n;
}

/* Adds as much of a train of the program's own as one message may have, or one datagram of it. Returns how many
 * datagrams that is. */
static size_t add_part(const struct loop_datagram_socket *socket, struct loop_trains *trains, struct msghdr *header,
                       struct place *place)
{
    const struct loop_outgoing *outgoing = place->outgoing;
    size_t segment_bytes = outgoing->segment_bytes, left = outgoing->len - place->sent_bytes;
    size_t n = segment_bytes < MOST_TRAIN_BYTES ? MOST_TRAIN_BYTES / segment_bytes : 1;

    n = !may_lead(socket, outgoing, segment_bytes) ? 1 : n < MOST_JOINED ? n : MOST_JOINED;
    size_t len = n * segment_bytes < left ? n * segment_bytes : left;
    add_piece(trains, header, (const char *)outgoing->data + place->sent_bytes, len);
    place->sent_bytes += len;
    if (place->sent_bytes == outgoing->len) {
        *place = (struct place){outgoing->next, outgoing->next ? outgoing->next->sent_bytes : 0};
    }
    return (len + segment_bytes - 1) / segment_bytes;
}

/* Makes one message, and finds the place of the next. */
static void add_message(const struct loop_datagram_socket *socket, struct loop_trains *trains, struct place *place)
{
    const struct loop_outgoing *first = place->outgoing;
    struct msghdr *header = &trains->headers[trains->n].msg_hdr;
    char *control = trains->control[trains->n];

    *header = (struct msghdr){.msg_name = first->to ? (void *)(uintptr_t)&first->to->u : NULL,
                              .msg_namelen = first->to ? first->to->length : 0,
                              .msg_iov = &trains->pieces[trains->n_pieces]};
    loop_net_write_envelope(&first->envelope, control, header);
    size_t n =
        first->segment_bytes > 0 ? add_part(socket, trains, header, place) : add_joined(socket, trains, header, place);
    if (n > 1) {
        uint16_t segment_bytes = (uint16_t)(first->segment_bytes > 0 ? first->segment_bytes : first->len);
        loop_net_add_control(header, control, IPPROTO_UDP, UDP_SEGMENT, &segment_bytes, sizeof segment_bytes);
    }
    trains->n_datagrams[trains->n++] = n;
}

void loop_trains_gather(const struct loop_datagram_socket *socket, struct loop_trains *trains)
{
    struct place place = {socket->first, socket->first->sent_bytes};

    trains->n = 0;
    trains->n_pieces = 0;
    while (place.outgoing && trains->n < LOOP_TRAINS_AT_ONCE && trains->n_pieces < LOOP_TRAINS_PIECES_AT_ONCE) {
        add_message(socket, trains, &place);
    }
}

/* ---- refused ---- */

void loop_trains_refuse(struct loop_datagram_socket *socket, size_t n, int error)
{
    struct loop_outgoing *outgoing = socket->first;
    size_t segment_bytes = outgoing->segment_bytes > 0 ? outgoing->segment_bytes : outgoing->len;

    assert(n > 0 && error < 0);
    socket->stats.trains_refused++;
    for (; n > 0; n--, outgoing = outgoing->next) {
        outgoing->is_alone = true;
    }
    switch (error) {
    case -EINVAL:   /* longer than a packet of the path, or a socket without checksums */
    case -EMSGSIZE: /* the same */
        socket->joined_most_bytes = segment_bytes - 1;
        socket->joins_again = socket->stats.sent + REFUSED_FOR;
        break;
    case -EIO: /* the device cannot compute checksums */
    case -ENOPROTOOPT:
    case -EOPNOTSUPP:
        socket->joined_most_bytes = 0;
        socket->joins_again = socket->stats.sent + REFUSED_FOR;
        break;
    default: break;
    }
}
