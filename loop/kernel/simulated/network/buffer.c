/* SPDX-License-Identifier: ISC
 *
 * What sockets queue: bytes of streams, and messages.
 */
#include <loop/ground/list.h>
#include <loop/kernel/simulated/network/buffer.h>

#include <assert.h>
#include <string.h>

/* ---- bytes ---- */

unsigned char *loop_sim_bytes_append(struct loop_sim_bytes *bytes, size_t len)
{
    if (bytes->begin > 0 && bytes->begin + bytes->size + len > bytes->room) {
        memmove(bytes->data, bytes->data + bytes->begin, bytes->size);
        bytes->begin = 0;
    }
    if (bytes->size + len > bytes->room) {
        size_t room = bytes->room * 2 > bytes->size + len ? bytes->room * 2 : bytes->size + len;
        bytes->data = loop_sim_realloc(bytes->data, room);
        bytes->room = room;
    }
    unsigned char *at = bytes->data + bytes->begin + bytes->size;
    bytes->size += len;
    return at;
}

void loop_sim_bytes_drop(struct loop_sim_bytes *bytes, size_t len)
{
    assert(len <= bytes->size);
    bytes->begin += len;
    bytes->size -= len;
    if (bytes->size == 0) {
        bytes->begin = 0;
    }
}

void loop_sim_bytes_finish(struct loop_sim_bytes *bytes)
{
    loop_sim_free(bytes->data);
    *bytes = (struct loop_sim_bytes){0};
}

/* ---- messages ---- */

struct loop_sim_message *loop_sim_message_create(size_t size)
{
    struct loop_sim_message *message = loop_sim_alloc(sizeof *message + size);
    loop_list_init(&message->link);
    message->size = size;
    message->charge_bytes = loop_sim_message_charge(size);
    return message;
}

struct loop_sim_message *loop_sim_message_append(struct loop_sim_message *message, const void *data, size_t len)
{
    struct loop_list *next = message->link.next;
    loop_list_remove(&message->link);
    message = loop_sim_realloc(message, sizeof *message + message->size + len);
    loop_list_push_back(next, &message->link); /* in front of the one that was behind it */
    memcpy(message->data + message->size, data, len);
    message->size += len;
    message->charge_bytes = loop_sim_message_charge(message->size);
    return message;
}

void loop_sim_message_destroy(struct loop_sim_message *message)
{
    loop_list_remove(&message->link);
    for (size_t i = 0; i < message->n_rights; i++) {
        loop_sim_file_unref(message->rights[i]);
    }
    loop_sim_free(message->rights);
    loop_sim_free(message);
}

/* The head of a packet, and its data with what is behind them, in the size that the kernel's allocator has for it. What
 * is longer is in pages. */
size_t loop_sim_message_charge(size_t size)
{
    enum { HEAD = 256, TAIL = 320, ALIGNMENT = 64, LEAST = 512, MOST = 32768, PAGE = 4096 };
    size_t needed = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + TAIL;
    size_t charge = LEAST;
    if (needed > MOST) {
        return HEAD + LEAST + (size + PAGE - 1) / PAGE * PAGE;
    }
    while (charge < needed) {
        charge *= 2;
    }
    return charge + HEAD;
}

void loop_sim_message_fill(struct loop_sim_message *message, const struct msghdr *from, size_t skip)
{
    size_t n = loop_sim_vectors_take(from->msg_iov, from->msg_iovlen, skip, message->data, message->size);
    assert(n == message->size);
    (void)n;
}
