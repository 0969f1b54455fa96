/* SPDX-License-Identifier: ISC
 *
 * The predecessor's side of a replacement.
 *
 *     the service's scope
 *       the offer's, a daemon: the listener, the accept that runs
 *         one for the successor: its connection
 */
#include <loop/kernel/memory.h>
#include <loop/kernel/process.h>
#include <loop/part.h>
#include <net/pass.h>
#include <service/message.h>

#include <errno.h>
#include <string.h>

#define LATE_NS LOOP_SECOND /* for telling a successor that it is late */

struct loop_service_offer {
    struct loop_service *service;
    struct loop_scope *scope;
    struct loop_listener *listener;
    loop_job promise; /* or 0 */
    int64_t timeout_ns;
    struct loop_scope *successor;           /* NULL: none is connected */
    struct loop_flow *flow;                 /* to the successor */
    struct loop_fd *fds[LOOP_SERVICE_MOST]; /* on their way */
    char text[LOOP_SERVICE_MESSAGE_SIZE];   /* that as well: */
    size_t len;
    char answer[sizeof LOOP_SERVICE_READY - 1];
    struct loop_service_files files; /* of what the successor gets */
    bool is_handed, is_late;         /* it has the sockets; it has taken too long */
};

/* ---- the end ---- */

static void resolve(struct loop_service_offer *offer, int64_t result)
{
    loop_job job = offer->promise;

    offer->promise = 0;
    if (job) {
        (void)loop_resolve(offer->service->loop, job, result);
    }
}

static void on_offer_end(void *arg, int64_t error)
{
    struct loop_service_offer *offer = arg;

    (void)error;
    resolve(offer, -ECANCELED);
    offer->service->offer = NULL;
    loop_kernel_free(offer);
}

static void end(struct loop_service_offer *offer, int64_t result)
{
    resolve(offer, result);
    loop_scope_cancel(offer->scope);
}

/* ---- the successor ---- */

static void accept_next(struct loop_service_offer *offer);

static void on_successor_end(void *arg, int64_t error)
{
    struct loop_service_offer *offer = arg;

    (void)error;
    offer->successor = NULL;
    if (offer->is_handed && !offer->is_late && loop_scope_is_cancelled(offer->scope)) {
        loop_service_disown_files(&offer->files); /* the successor goes on alone */
    } else {
        loop_service_own_files(&offer->files);
    }
    accept_next(offer);
}

/* Stops accepting, in an order in which the successor can listen here itself as soon as its connection is closed. */
static void give_way(struct loop_service_offer *offer)
{
    struct loop_service *service = offer->service;

    (void)loop_listener_close(offer->listener);
    loop_service_disown_files(&offer->files);
    for (size_t i = 0; i < LOOP_SERVICE_MOST; i++) {
        if (service->servers[i].server) {
            loop_server_retire(service->servers[i].server, LOOP_NEVER);
        }
    }
    end(offer, 0);
}

static void on_answer(void *arg, int64_t result)
{
    struct loop_service_offer *offer = arg;

    if (offer->is_late) {
        return; /* it is being told */
    }
    if (result == (int64_t)sizeof offer->answer &&
        memcmp(offer->answer, LOOP_SERVICE_READY, sizeof offer->answer) == 0) {
        give_way(offer);
    } else if (!loop_scope_is_cancelled(offer->successor)) {
        loop_log(offer->service->loop, LOOP_LOG_WARNING, "a successor has gone before it was ready: this one goes on");
        loop_scope_cancel(offer->successor);
    }
}

static void on_late_told(void *arg, int64_t result)
{
    struct loop_service_offer *offer = arg;

    if (result != -ECANCELED) {
        loop_scope_cancel(offer->successor);
    }
}

/* Tells the successor that it is late, for a moment at most, and waits for the next one. */
static void on_late(void *arg, int64_t result)
{
    struct loop_service_offer *offer = arg;

    if (result < 0) {
        return;
    }
    loop_log(offer->service->loop, LOOP_LOG_WARNING,
             "a successor was not ready within %lld ms: this one goes on, and waits for the next",
             (long long)(offer->timeout_ns / LOOP_MILLISECOND));
    offer->is_late = true;
    loop_scope_deadline(offer->successor, loop_now(offer->service->loop) + LATE_NS);
    if (!loop_write(&offer->flow->sink, LOOP_SERVICE_LATE, sizeof LOOP_SERVICE_LATE - 1, on_late_told, offer)) {
        loop_scope_cancel(offer->successor);
    }
}

static void on_sent(void *arg, int64_t result)
{
    struct loop_service_offer *offer = arg;

    offer->is_handed = result == (int64_t)offer->len;
    if (result < 0 && !loop_scope_is_cancelled(offer->successor)) {
        loop_log(offer->service->loop, LOOP_LOG_WARNING, "the sockets were not handed over: %s",
                 strerror((int)-result));
        loop_scope_cancel(offer->successor);
    }
}

static bool may_take_over(struct loop_service_offer *offer)
{
    struct loop_credentials peer;

    if (loop_flow_peer_credentials(offer->flow, &peer) < 0) {
        return false;
    }
    if (peer.uid != 0 && peer.uid != loop_kernel_geteuid()) {
        loop_log(offer->service->loop, LOOP_LOG_WARNING, "process %d of user %u may not take over", (int)peer.pid,
                 (unsigned)peer.uid);
        return false;
    }
    return true;
}

/* Sends what there is, and waits for the answer. */
static bool hand_over(struct loop_service_offer *offer)
{
    bool has_limit = offer->timeout_ns < LOOP_NEVER;

    if (loop_service_take_files(offer->service, &offer->files) < 0 ||
        (has_limit && !loop_sleep(offer->successor, offer->timeout_ns, on_late, offer))) {
        return false;
    }
    size_t n_fds;
    offer->len = loop_service_write_message(offer->service, offer->text, offer->fds, &n_fds);
    loop_job sent = n_fds > 0 ? loop_send_fds(offer->flow, offer->fds, n_fds, offer->text, offer->len, on_sent, offer)
                              : loop_write(&offer->flow->sink, offer->text, offer->len, on_sent, offer);

    return sent && loop_read_exact(&offer->flow->source, offer->answer, sizeof offer->answer, on_answer, offer);
}

static void on_accept(void *arg, int64_t result)
{
    struct loop_service_offer *offer = arg;

    if (result == -ECANCELED) {
        return;
    }
    if (result < 0) {
        end(offer, result);
    } else if (!may_take_over(offer) || !hand_over(offer)) {
        loop_scope_cancel(offer->successor);
    }
}

/* Waits for the next successor, unless the offer ends. */
static void accept_next(struct loop_service_offer *offer)
{
    if (loop_scope_is_cancelled(offer->scope)) {
        return;
    }
    offer->is_handed = offer->is_late = false;
    offer->successor = loop_scope_open(offer->scope, on_successor_end, offer);
    if (!offer->successor || !loop_accept(offer->successor, offer->listener, &offer->flow, on_accept, offer)) {
        end(offer, -ENOMEM);
    }
}

/* ---- the call ---- */

static void on_cancel(void *arg, loop_job job)
{
    struct loop_service_offer *offer = arg;

    (void)job;
    loop_scope_cancel(offer->scope); /* resolves it at the end */
}

static struct loop_service_offer *make(struct loop_service *service)
{
    struct loop_service_offer *offer = loop_kernel_calloc(1, sizeof *offer);

    if (!offer) {
        return NULL;
    }
    offer->service = service;
    offer->scope = loop_scope_open(service->scope, on_offer_end, offer);
    if (!offer->scope) {
        loop_kernel_free(offer);
        return NULL;
    }
    loop_scope_daemon(offer->scope);
    service->offer = offer;
    return offer;
}

static void start(struct loop_service_offer *offer, const struct loop_address *at)
{
    const struct loop_listen_options options = {.reuse_addr = true, .mode = 0600, .backlog = 8};
    bool is_local = at && at->u.any.sa_family == AF_UNIX;
    bool is_good = is_local && offer->timeout_ns > 0;
    int error = is_good ? loop_listen(offer->scope, at, &options, &offer->listener) : -EINVAL;

    if (error < 0) {
        end(offer, error);
    } else {
        accept_next(offer);
    }
}

loop_job loop_service_offer(struct loop_service *service, const struct loop_address *at,
                            const struct loop_service_offer_options *options, loop_fn *fn, void *arg)
{
    if (!loop_service_is_good(service, __func__)) {
        return 0;
    }
    struct loop_service_offer *offer = service->offer ? NULL : make(service);
    if (!offer && !service->offer) {
        return 0;
    }
    loop_job job = loop_promise(service->scope, offer ? on_cancel : NULL, offer, fn, arg);
    if (!offer) {
        (void)loop_resolve(service->loop, job, -EBUSY);
        return job;
    }
    offer->promise = job;
    offer->timeout_ns = options && options->timeout_ns ? options->timeout_ns : LOOP_SERVICE_TIMEOUT_NS;
    if (job) {
        (void)loop_daemon(service->loop, job);
        start(offer, at);
    } else {
        end(offer, 0);
    }
    return job;
}
