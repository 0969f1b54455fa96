/* SPDX-License-Identifier: ISC
 *
 * Sends the bytes of an answer.
 *
 * A write and the copy of a part of a file that follows it are started together, because they leave together then.
 */
#include "send.h"

#include <errno.h>

static uint64_t total(const struct sending *sending)
{
    uint64_t len = 0;

    for (unsigned i = 0; i < SEND_VECTORS; i++) {
        len += sending->vectors[i].iov_len;
    }
    return len;
}

static void settle(struct sending *sending)
{
    sending_fn *then = sending->then;

    if (--sending->n_pending == 0 && then && !loop_scope_is_cancelled(sending->scope)) {
        sending->then = NULL;
        then(sending->arg);
    }
}

/* The scope was held until now, because it has the bytes. */
static void on_written(void *arg, int64_t result)
{
    struct sending *sending = arg;
    struct loop_scope *scope = sending->scope;

    sending->sent += result > 0 ? (uint64_t)result : 0;
    if (result < (int64_t)total(sending)) {
        loop_scope_fail(scope, result < 0 ? result : -EPIPE);
    }
    settle(sending);
    loop_scope_unhold(scope);
}

/* Ends the connection where the file was truncated meanwhile: the peer was promised more bytes. */
static void on_part_sent(void *arg, int64_t result)
{
    struct sending *sending = arg;

    sending->part = NULL;
    sending->sent += result > 0 ? (uint64_t)result : 0;
    if (result < (int64_t)sending->range.len) {
        loop_scope_fail(sending->peer->scope, result < 0 ? result : -EIO);
    }
    settle(sending);
}

static void write_vectors(struct sending *sending, unsigned n)
{
    for (unsigned i = n; i < SEND_VECTORS; i++) {
        sending->vectors[i].iov_len = 0;
    }
    sending->n_pending++;
    loop_scope_hold(sending->scope);
    if (!loop_writev(&sending->peer->sink, sending->vectors, n, on_written, sending)) {
        sending->n_pending--;
        loop_scope_unhold(sending->scope);
        loop_scope_fail(sending->scope, -ENOMEM);
    }
}

/* The scope was held until now: what ends the output of TLS is sent. */
static void on_output_ended(void *arg, int64_t result)
{
    struct sending *sending = arg;

    sending->has_ended = result == 0;
    loop_scope_unhold(sending->scope);
}

/* Ends the output behind what has been written, so that both leave together. Behind a copy it would come too early. */
static void end_output(struct sending *sending)
{
    if (sending->is_last && !sending->then && sending->n_pending > 0) {
        loop_scope_hold(sending->scope);
        if (!loop_shutdown(&sending->peer->sink, on_output_ended, sending)) {
            loop_scope_unhold(sending->scope);
        }
    }
}

static void copy_part(struct sending *sending, const struct cached_file *file)
{
    const struct range *range = &sending->range;
    int error = loop_range_source(sending->scope, file->fd, range->begin, range->len, &sending->part);

    sending->n_pending++;
    if (error || !loop_copy(sending->part, &sending->peer->sink, on_part_sent, sending)) {
        sending->n_pending--;
        loop_scope_fail(sending->scope, error ? error : -ENOMEM);
    }
}

void sending_write(struct sending *sending, unsigned n, sending_fn *then, void *arg)
{
    sending->then = then;
    sending->arg = arg;
    write_vectors(sending, n);
    end_output(sending);
}

void sending_part(struct sending *sending, unsigned n, const struct cached_file *file, struct range range,
                  sending_fn *then, void *arg)
{
    sending->then = then;
    sending->arg = arg;
    sending->range = range;
    if (file->data && range.len > 0) {
        sending->vectors[n++] = (struct iovec){(char *)(uintptr_t)file->data + range.begin, range.len};
    }
    write_vectors(sending, n);
    if (!file->data && range.len > 0) {
        copy_part(sending, file);
    } else {
        end_output(sending);
    }
}

void sending_head(struct sending *sending)
{
    sending->vectors[0] = (struct iovec){sending->head.text, sending->head.len};
    sending_write(sending, 1, NULL, NULL);
}

void sending_file(struct sending *sending, const struct cached_file *file, struct range range)
{
    sending->vectors[0] = (struct iovec){sending->head.text, sending->head.len};
    sending_part(sending, 1, file, range, NULL, NULL);
}

uint64_t sending_progress(const struct sending *sending)
{
    return sending->sent + (sending->part ? sending->range.len - loop_range_left(sending->part) : 0);
}

bool sending_is_read(const struct sending *sending)
{
    return sending->part && loop_range_left(sending->part) == 0;
}
