/* SPDX-License-Identifier: ISC
 *
 * One connection: OpenSSL's object, and between it and the flow below the records on their way. OpenSSL makes no system
 * call: it takes bytes from `in` and appends bytes to `out`, and transport.c moves them.
 *
 * References: the program's, dropped when the scope ends or the handshake fails, and one for each job on the flow
 * below. So the memory that such a job uses is there until it has ended, also when the program closes the flow before.
 */
#ifndef NET_TLS_CONNECTION_H
#define NET_TLS_CONNECTION_H

#include <loop/part.h>
#include <net/tls/context.h>
#include <net/tls/error.h>

/* OpenSSL appends to `out` while it has fewer bytes than this; then it has to wait. Written bytes are encrypted only
 * while it has fewer than the other, so that alerts and answers always have room. */
enum { LOOP_TLS_MOST_OUT_BYTES = 80 << 10, LOOP_TLS_MOST_WRITTEN_BYTES = 64 << 10, LOOP_TLS_MOST_VECTORS = 8 };

/* A read, or a wait for something to read. */
struct loop_tls_request {
    struct loop_tls_request *next;
    loop_job job;
    void *buf; /* NULL: a wait */
    size_t len;
};

/* The write that the sink's queue has passed on. */
struct loop_tls_write {
    loop_job job; /* 0: none */
    const struct iovec *iov;
    size_t n_iov, at;     /* what is left: vectors, of the first of them from `at` */
    int64_t done;         /* bytes encrypted */
    int64_t flushed;      /* of them, those whose records the flow below has accepted */
    bool is_last;         /* the close_notify has been encrypted behind it */
    bool is_cancelled;    /* with its scope: it ends when the write below has */
    bool waits_for_input; /* OpenSSL needs a record of the peer first */
};

/* Bytes given back by the program, in front of all others. */
struct loop_tls_unread {
    size_t at, end;
    char bytes[];
};

enum loop_tls_shutdown { LOOP_TLS_OPEN, LOOP_TLS_NOTIFYING, LOOP_TLS_NOTIFIED, LOOP_TLS_ENDING, LOOP_TLS_ENDED };

struct loop_tls_handshake;

struct loop_tls_connection {
    struct loop_flow flow; /* the program's */
    struct loop *loop;
    struct loop_scope *scope;
    struct loop_flow *under;
    struct loop_fd *pinned; /* that of `under`; or NULL */
    struct loop_tls_context *context;
    struct loop_tls_setup *setup;
    struct loop_hook *hook;
    SSL *ssl;
    struct loop_tls_note note;
    unsigned refs;
    unsigned depth; /* calls of `step` and reads on the stack, which use `ssl` */
    bool is_closed;
    bool has_closed_source, has_closed_sink; /* the program has called these functions */

    /* Continues what waits for the flow below. Set by the layer above. */
    void (*step)(struct loop_tls_connection *connection);
    struct loop_tls_handshake *handshake; /* NULL when it is over */

    /* input */
    struct loop_tls_block *in; /* NULL: empty */
    struct loop_tls_block *receiving;
    loop_job waiting; /* a job of the source below */
    int in_status;    /* 1: open; 0: has ended; -errno */
    bool cannot_wait; /* the source below has no wait_readable */
    bool stops_waiting;

    /* output */
    struct loop_tls_block *out, *last_out; /* NULL: empty */
    struct loop_tls_block *sending;        /* in use by the write below */
    struct iovec vectors[LOOP_TLS_MOST_VECTORS];
    size_t out_bytes, sending_bytes;
    bool holds_tickets;           /* those in `out` wait for the first answer, as long as none has to be waited for */
    struct loop_part_after after; /* sends `out` */
    loop_job writing;             /* a job of the sink below */
    int out_status;               /* 1: open; -errno */

    /* reads */
    struct loop_tls_request *first_request, *last_request;
    struct loop_tls_unread *unread;
    int read_status;       /* 1: open; 0: the peer has ended its stream; -errno */
    bool waits_for_output; /* OpenSSL has to send an answer before it reads on */

    /* writes */
    struct loop_tls_write write;
    enum loop_tls_shutdown shutdown;
    loop_job shutdown_job;
    bool sends_end;                /* the close_notify is in `sending` */
    bool shutdown_waits_for_input; /* the peer's message that has begun is to end before the close_notify */
    int shutdown_status;
    int write_status; /* 1: open; -errno */
};

/* Makes a connection with one reference, in the scope of `under`. Returns NULL when there is no memory, or the scope
 * has ended. */
struct loop_tls_connection *loop_tls_connection_create(struct loop_flow *under, struct loop_tls_context *context);

/* Takes a reference. */
void loop_tls_connection_ref(struct loop_tls_connection *connection);

/* Drops a reference. */
void loop_tls_connection_unref(struct loop_tls_connection *connection);

/* Drops the program's reference, and the hook that would. */
void loop_tls_connection_disown(struct loop_tls_connection *connection);

/* Begins to use `ssl`, which stays valid until the matching loop_tls_connection_leave, also after a close. */
void loop_tls_connection_enter(struct loop_tls_connection *connection);

/* Ends to use `ssl`. Frees it where the connection has been closed and nothing else uses it. */
void loop_tls_connection_leave(struct loop_tls_connection *connection);

#endif
