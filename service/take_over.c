/* SPDX-License-Identifier: ISC
 *
 * The successor's side of a replacement. The connection to the predecessor stays open from loop_service_take_over until
 * the predecessor closes it. It has a scope of its own, which the reads on it hold open; with that, all of it ends.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/process.h>
#include <loop/part.h>
#include <net/local.h>
#include <net/pass.h>
#include <service/message.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAUSE_NS LOOP_MILLISECOND /* before a connection that was refused is tried again */

struct loop_service_taking {
    struct loop_service *service;
    struct loop_scope *scope;
    struct loop_address at;
    struct loop_flow *flow;
    loop_job taken; /* the promise of loop_service_take_over, or 0 */
    loop_job ready; /* that of loop_service_ready, or 0 */
    bool is_ready;  /* the program has said so */
    bool has_told;  /* the manager and the predecessor have been told */
    bool has_sockets;
    bool is_refused;                 /* and nobody was about to listen after that */
    bool was_cut;                    /* a connection has ended before anything came */
    struct loop_service_files files; /* of servers here whose sockets the predecessor has too */
    struct loop_fd *fds[LOOP_SERVICE_MOST];
    struct loop_passed passed;
    size_t len;
    char text[LOOP_SERVICE_MESSAGE_SIZE], byte;
};

/* ---- telling ---- */

static void tell_manager(struct loop_service *service, pid_t process)
{
    char state[64];

    if (process > 0) {
        (void)snprintf(state, sizeof state, "MAINPID=%d\nREADY=1", (int)process);
    } else {
        (void)snprintf(state, sizeof state, "READY=1");
    }
    (void)loop_service_notify(service, state);
}

static void tell_ready_to_manager(struct loop_service *service)
{
    tell_manager(service, service->has_replaced ? loop_kernel_getpid() : 0);
}

/* An error of the write is that of a predecessor which has gone: the read finds the end. */
static void on_written(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
}

/* ---- the end ---- */

static void resolve(struct loop_service_taking *taking, loop_job *promise, int64_t result)
{
    loop_job job = *promise;

    *promise = 0;
    if (job) {
        (void)loop_resolve(taking->service->loop, job, result);
    }
}

/* A program that said that it was ready, and then has no predecessor, is ready. */
static void end_ready(struct loop_service_taking *taking, int64_t result)
{
    if (result == 0 && taking->is_ready && !taking->has_told) {
        taking->has_told = true;
        tell_ready_to_manager(taking->service);
    }
    resolve(taking, &taking->ready, result);
}

/* By now the files are this program's, or the predecessor's. */
static void on_scope_end(void *arg, int64_t error)
{
    struct loop_service_taking *taking = arg;
    struct loop_service *service = taking->service;

    (void)error;
    loop_service_disown_files(&taking->files);
    resolve(taking, &taking->taken, -ECANCELED);
    end_ready(taking, loop_scope_is_cancelled(service->scope) ? -ECANCELED : 0);
    service->taking = NULL;
    service->shared = NULL;
    loop_kernel_free(taking);
}

/* Ends the connection. Without a predecessor both calls succeed. */
static void end(struct loop_service_taking *taking, int64_t taken, int64_t ready)
{
    resolve(taking, &taking->taken, taken);
    end_ready(taking, ready);
    loop_scope_cancel(taking->scope);
}

/* Ends it after an error: what has come is the predecessor's. */
static void fail(struct loop_service_taking *taking, int64_t error)
{
    loop_service_unshare(taking->service, true);
    end(taking, error, 0);
}

/* The predecessor has not waited. The manager may know this process as the main one. */
static void be_late(struct loop_service_taking *taking)
{
    struct loop_credentials predecessor;

    taking->service->is_late = true;
    loop_service_unshare(taking->service, true);
    if (taking->has_told && loop_flow_peer_credentials(taking->flow, &predecessor) == 0) {
        tell_manager(taking->service, predecessor.pid);
    }
    end(taking, -ETIMEDOUT, -ETIMEDOUT);
}

/* ---- receiving ---- */

/* The predecessor has closed the connection, or has been killed: either way it accepts no more, and has left its files
 * to this program. Or it has something to say, and that is only one thing. Where this program is cancelled, or its
 * deadline has passed, the files are the predecessor's. */
static void on_gone(void *arg, int64_t result)
{
    struct loop_service_taking *taking = arg;

    if (result == -ECANCELED || result == -ETIMEDOUT) {
        return;
    }
    if (result > 0) {
        be_late(taking);
        return;
    }
    loop_service_own_files(&taking->files);
    loop_service_unshare(taking->service, false);
    end(taking, 0, 0);
}

/* Stores duplicates of the sockets in the service. Returns their number or -errno. */
static int64_t keep_sockets(struct loop_service_taking *taking, size_t n)
{
    struct loop_service_socket socket;

    if (taking->passed.n != n || taking->passed.is_truncated) {
        return taking->passed.is_truncated ? -EMFILE : -EPROTO;
    }
    for (size_t i = 0; i < n; i++) {
        if (!loop_service_read_line(taking->text, taking->len, i, &socket)) {
            return -EPROTO;
        }
        socket.is_shared = true;
        socket.number = loop_kernel_dup(loop_fd_peek(taking->fds[i]), 3);
        if (socket.number < 0) {
            return -errno;
        }
        loop_service_add(taking->service, &socket);
        loop_fd_destroy(taking->fds[i]);
    }
    return (int64_t)n;
}

static void tell_ready(struct loop_service_taking *taking)
{
    taking->has_told = true;
    tell_ready_to_manager(taking->service);
    if (!loop_write(&taking->flow->sink, LOOP_SERVICE_READY, sizeof LOOP_SERVICE_READY - 1, on_written, NULL)) {
        end(taking, 0, -ENOMEM);
    }
}

/* Whether the predecessor has said so in the same bytes as the message. */
static bool ends_late(const struct loop_service_taking *taking)
{
    static const char late[] = "\n" LOOP_SERVICE_LATE;
    size_t len = sizeof late - 1;

    return taking->len >= len && memcmp(taking->text + taking->len - len, late, len) == 0;
}

static void read_more(struct loop_service_taking *taking);
static void on_pause_over(void *arg, int64_t result);

/* A predecessor that has sent nothing was killed, or has given way to another successor, which listens in its place. A
 * second connection finds out, or ends in the same way. Returns whether it is tried. */
static bool connect_again(struct loop_service_taking *taking, int64_t result)
{
    bool is_cut = taking->len == 0 && (result == 0 || result == -ECONNRESET);

    if (!is_cut || taking->was_cut) {
        return false;
    }
    taking->was_cut = true;
    loop_fd_destroy(taking->flow->fd);
    return loop_sleep(taking->scope, PAUSE_NS, on_pause_over, taking) != 0;
}

static void on_bytes(void *arg, int64_t result)
{
    struct loop_service_taking *taking = arg;

    if (result <= 0) {
        if (!connect_again(taking, result)) {
            fail(taking, result == 0 ? -EPROTO : result);
        }
        return;
    }
    taking->len += (size_t)result;
    if (ends_late(taking)) {
        be_late(taking);
        return;
    }
    int64_t n = loop_service_read_message(taking->text, taking->len);
    if (n == -EAGAIN && taking->len < sizeof taking->text) {
        read_more(taking);
        return;
    }
    n = n < 0 ? n : keep_sockets(taking, (size_t)n);
    if (n < 0 || !loop_read(&taking->flow->source, &taking->byte, 1, on_gone, taking)) {
        fail(taking, n < 0 ? n : -ENOMEM);
        return;
    }
    taking->service->has_replaced = taking->has_sockets = true;
    resolve(taking, &taking->taken, n);
    if (taking->is_ready) {
        tell_ready(taking);
    }
}

static void read_more(struct loop_service_taking *taking)
{
    if (!loop_read(&taking->flow->source, taking->text + taking->len, sizeof taking->text - taking->len, on_bytes,
                   taking)) {
        fail(taking, -ENOMEM);
    }
}

static void on_connected(void *arg, int64_t result);

static void on_pause_over(void *arg, int64_t result)
{
    struct loop_service_taking *taking = arg;

    if (result < 0 || !loop_connect(taking->scope, &taking->at, NULL, &taking->flow, on_connected, taking)) {
        end(taking, result < 0 ? result : -ENOMEM, 0);
    }
}

/* A socket has its file before it listens, and is locked until it does. Returns whether the predecessor may be about to
 * listen, or has begun to since it refused: then the connection is tried again. */
static bool try_again(struct loop_service_taking *taking)
{
    bool is_about_to_listen = loop_net_is_locked(&taking->at), tries = is_about_to_listen || !taking->is_refused;

    taking->is_refused = !is_about_to_listen;
    return tries && loop_sleep(taking->scope, PAUSE_NS, on_pause_over, taking) != 0;
}

/* The sockets come with the first bytes. */
static void on_connected(void *arg, int64_t result)
{
    struct loop_service_taking *taking = arg;
    bool is_none = result == -ENOENT || result == -ECONNREFUSED;

    if (result == -ECONNREFUSED && try_again(taking)) {
        return;
    }
    if (result < 0) {
        end(taking, is_none ? 0 : result, 0);
        return;
    }
    taking->passed = (struct loop_passed){.fds = taking->fds, .room = LOOP_SERVICE_MOST};
    if (!loop_receive_fds(taking->scope, taking->flow, taking->text, sizeof taking->text, &taking->passed, on_bytes,
                          taking)) {
        end(taking, -ENOMEM, 0);
    }
}

/* ---- the calls ---- */

static void on_cancel(void *arg, loop_job job)
{
    struct loop_service_taking *taking = arg;

    (void)job;
    loop_scope_cancel(taking->scope); /* resolves it at the end */
}

/* What the predecessor has been told cannot be taken back. The connection stays, to learn which has the files. */
static void on_ready_cancel(void *arg, loop_job job)
{
    struct loop_service_taking *taking = arg;

    (void)job;
    taking->is_ready = taking->has_told;
    resolve(taking, &taking->ready, -ECANCELED);
}

/* Returns a job that ends with `result`. */
static loop_job at_once(struct loop_service *service, int64_t result, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(service->scope, NULL, NULL, fn, arg);

    if (job) {
        (void)loop_resolve(service->loop, job, result);
    }
    return job;
}

static struct loop_service_taking *make(struct loop_service *service)
{
    struct loop_service_taking *taking = loop_kernel_calloc(1, sizeof *taking);

    if (!taking) {
        return NULL;
    }
    taking->service = service;
    taking->scope = loop_scope_open(service->scope, on_scope_end, taking);
    if (!taking->scope) {
        loop_kernel_free(taking);
        return NULL;
    }
    service->taking = taking;
    service->shared = &taking->files;
    return taking;
}

loop_job loop_service_take_over(struct loop_service *service, const struct loop_address *at, loop_fn *fn, void *arg)
{
    if (!loop_service_is_good(service, __func__)) {
        return 0;
    }
    if (!at || at->u.any.sa_family != AF_UNIX || service->taking) {
        return at_once(service, service->taking ? -EBUSY : -EINVAL, fn, arg);
    }
    struct loop_service_taking *taking = make(service);
    if (!taking) {
        return 0;
    }
    taking->at = *at;
    loop_job job = loop_promise(service->scope, on_cancel, taking, fn, arg);
    taking->taken = job;
    if (!job || !loop_connect(taking->scope, at, NULL, &taking->flow, on_connected, taking)) {
        end(taking, -ENOMEM, 0);
    }
    return job;
}

loop_job loop_service_ready(struct loop_service *service, loop_fn *fn, void *arg)
{
    if (!loop_service_is_good(service, __func__)) {
        return 0;
    }
    struct loop_service_taking *taking = service->taking;
    if (service->is_late || (taking && taking->ready)) {
        return at_once(service, service->is_late ? -ETIMEDOUT : -EBUSY, fn, arg);
    }
    if (!taking || loop_scope_is_cancelled(taking->scope)) {
        tell_ready_to_manager(service);
        return at_once(service, 0, fn, arg);
    }
    loop_job job = loop_promise(service->scope, on_ready_cancel, taking, fn, arg);
    if (!job) {
        end(taking, 0, 0);
        return 0;
    }
    taking->ready = job;
    taking->is_ready = true;
    if (taking->has_sockets && !taking->has_told) {
        tell_ready(taking);
    }
    return job;
}
