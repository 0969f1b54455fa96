/* SPDX-License-Identifier: ISC
 *
 * Sends the bytes of an answer: from memory, and from files.
 */
#ifndef DEMOS_HTTP_SEND_H
#define DEMOS_HTTP_SEND_H

#include "cache.h"
#include "head.h"
#include "text/range.h"

#define SEND_VECTORS 3

typedef void sending_fn(void *arg);

/* An answer that is being sent. It is a part of an object that its scope owns. */
struct sending {
    struct loop_scope *scope; /* of the answer: ends when all has been sent, or fails */
    struct loop_flow *peer;
    struct head head;
    struct iovec vectors[SEND_VECTORS]; /* of the write in flight */
    struct loop_source *part;           /* of a file, while it is sent; or NULL */
    struct range range;                 /* of `part` */
    uint64_t sent;                      /* all bytes before `part` */
    unsigned n_pending;
    bool is_last;   /* nothing is sent behind it */
    bool has_ended; /* the end of the output has been sent with the last bytes */
    sending_fn *then;
    void *arg;
};

/* Sends the head, with what has been appended behind its end. */
void sending_head(struct sending *sending);

/* Sends the head and a range of a file. */
void sending_file(struct sending *sending, const struct cached_file *file, struct range range);

/* Sends the first `n` of the vectors, and calls `then` unless it fails. Bytes that they point to stay as they are until
 * then. */
void sending_write(struct sending *sending, unsigned n, sending_fn *then, void *arg);

/* Sends the first `n` of the vectors and a range of a file behind them, and calls `then` unless that fails. At least
 * one vector is left for the file. */
void sending_part(struct sending *sending, unsigned n, const struct cached_file *file, struct range range,
                  sending_fn *then, void *arg);

/* Returns how many bytes the peer's socket has accepted. */
uint64_t sending_progress(const struct sending *sending);

/* Returns whether the rest of the part that is being sent has been read, and waits for the peer. */
bool sending_is_read(const struct sending *sending);

#endif
