/* SPDX-License-Identifier: ISC
 *
 * Transfers of libcurl (7.62 or newer) as jobs of the loop.
 *
 *     struct loop_curl *curl = loop_curl_open(env->scope);
 *     CURL *easy = curl_easy_init();
 *     curl_easy_setopt(easy, CURLOPT_URL, "http://127.0.0.1:8080/");
 *     loop_curl_perform(curl, easy, on_done, easy);
 *
 *     in on_done(easy, result): result is a CURLcode, 0 for CURLE_OK; curl_easy_cleanup(easy)
 *
 * The easy handles are the program's: it makes them, sets any option, and cleans them up when their job has ended.
 * libcurl calls their callbacks on the loop's thread, and they may start and cancel transfers, and end scopes. Call
 * curl_global_init before the loop.
 *
 * Connections, and what else the handles share, are kept in the multi handle until the scope has ended. The names of
 * hosts are resolved as libcurl was built: by a thread of its own, or by c-ares. (A libcurl with neither blocks.)
 */
#ifndef ADAPTERS_CURL_H
#define ADAPTERS_CURL_H

#include <loop/loop.h>
#include <loop/part.h>

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LOOP_CURL_BUCKETS 256u

/* A transfer, until its job has its result. */
struct loop_curl_transfer {
    struct loop_curl_transfer *next;
    struct loop_curl *curl;
    CURL *easy;
    loop_job job;
    bool is_added, is_cancelled;
};

/* A multi handle on a loop. */
struct loop_curl {
    struct loop *loop;
    struct loop_scope *scope;
    CURLM *multi;
    loop_job timer;
    bool is_inside; /* libcurl is on the stack, and accepts no handle */
    bool has_due;   /* transfers wait to be added or removed */
    int64_t error;  /* with which all of them are to end, or 0 */
    struct loop_curl_transfer *buckets[LOOP_CURL_BUCKETS];
};

/* A socket of libcurl, until its job has ended. */
struct loop_curl_socket {
    struct loop_curl *curl; /* NULL: libcurl does not use it any more */
    curl_socket_t number;
    loop_job polling;
};

/* ---- for the adapter itself: transfers ---- */

static inline struct loop_curl_transfer **loop_curl_bucket(struct loop_curl *curl, const CURL *easy)
{
    uintptr_t value = (uintptr_t)easy;

    return &curl->buckets[(value >> 4 ^ value >> 12) % LOOP_CURL_BUCKETS];
}

/* Returns the transfer of a handle that is in use, or NULL. */
static inline struct loop_curl_transfer *loop_curl_find(struct loop_curl *curl, const CURL *easy)
{
    struct loop_curl_transfer *transfer = *loop_curl_bucket(curl, easy);

    while (transfer && transfer->easy != easy) {
        transfer = transfer->next;
    }
    return transfer;
}

/* Ends a transfer: its handle belongs to the program again. libcurl is not on the stack. */
static inline void loop_curl_end(struct loop_curl_transfer *transfer, int64_t result)
{
    struct loop_curl *curl = transfer->curl;
    struct loop_curl_transfer **at = loop_curl_bucket(curl, transfer->easy);

    while (*at != transfer) {
        at = &(*at)->next;
    }
    *at = transfer->next;
    if (transfer->is_added) {
        curl->is_inside = true;
        (void)curl_multi_remove_handle(curl->multi, transfer->easy);
        curl->is_inside = false;
    }
    (void)loop_resolve(curl->loop, transfer->job, result);
    free(transfer);
}

static inline void loop_curl_add(struct loop_curl_transfer *transfer)
{
    CURLMcode code;

    transfer->curl->is_inside = true;
    code = curl_multi_add_handle(transfer->curl->multi, transfer->easy);
    transfer->curl->is_inside = false;
    transfer->is_added = code == CURLM_OK;
    if (code != CURLM_OK) {
        loop_curl_end(transfer, code == CURLM_OUT_OF_MEMORY ? -ENOMEM : -EINVAL);
    }
}

/* Ends what libcurl has completed. */
static inline void loop_curl_collect(struct loop_curl *curl)
{
    const CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(curl->multi, &left))) {
        CURLcode code = message->data.result; /* the message is gone with the handle */
        struct loop_curl_transfer *transfer = loop_curl_find(curl, message->easy_handle);

        if (transfer && message->msg == CURLMSG_DONE) {
            loop_curl_end(transfer, (int64_t)code);
        }
    }
}

/* Does for each transfer what had to wait while libcurl was on the stack. */
static inline void loop_curl_sweep(struct loop_curl *curl)
{
    int64_t error = curl->error;
    unsigned i;

    curl->has_due = false;
    curl->error = 0;
    for (i = 0; i < LOOP_CURL_BUCKETS; i++) {
        struct loop_curl_transfer *next, *transfer;

        for (transfer = curl->buckets[i]; transfer; transfer = next) {
            next = transfer->next;
            if (transfer->is_cancelled || error) {
                loop_curl_end(transfer, error ? error : -ECANCELED);
            } else if (!transfer->is_added) {
                loop_curl_add(transfer);
            }
        }
    }
}

/* Has all transfers end with `error`. libcurl would take an error of a callback for the end of its multi handle. */
static inline void loop_curl_fail(struct loop_curl *curl, int64_t error)
{
    curl->error = error;
    curl->has_due = true;
}

static inline void loop_curl_settle(struct loop_curl *curl)
{
    while (curl->has_due) {
        loop_curl_sweep(curl);
    }
}

/* Lets libcurl act. Its callbacks may start and cancel transfers. */
static inline void loop_curl_act(struct loop_curl *curl, curl_socket_t number, int events)
{
    CURLMcode code;
    int running;

    curl->is_inside = true;
    code = curl_multi_socket_action(curl->multi, number, events, &running);
    curl->is_inside = false;
    loop_curl_collect(curl);
    if (code != CURLM_OK) {
        loop_curl_fail(curl, code == CURLM_OUT_OF_MEMORY ? -ENOMEM : -EIO); /* nothing says which transfer it was */
    }
    loop_curl_settle(curl);
}

static inline void loop_curl_on_cancel(void *arg, loop_job job)
{
    struct loop_curl_transfer *transfer = (struct loop_curl_transfer *)arg;
    struct loop_curl *curl = transfer->curl;

    (void)job;
    if (curl->is_inside) {
        transfer->is_cancelled = curl->has_due = true;
    } else {
        loop_curl_end(transfer, -ECANCELED);
        loop_curl_settle(curl);
    }
}

/* ---- for the adapter itself: sockets and the timer ---- */

static inline void loop_curl_on_socket(void *arg, int64_t result)
{
    struct loop_curl_socket *socket = (struct loop_curl_socket *)arg;
    struct loop_curl *curl = socket->curl;
    int events = 0;

    if (result < 0) {
        if (curl) {
            (void)curl_multi_assign(curl->multi, socket->number, NULL);
            loop_curl_fail(curl, result);
            loop_curl_settle(curl);
        }
        free(socket);
        return;
    }
    events |= result & (POLLIN | POLLHUP) ? CURL_CSELECT_IN : 0;
    events |= result & POLLOUT ? CURL_CSELECT_OUT : 0;
    events |= result & POLLERR ? CURL_CSELECT_ERR : 0;
    if (curl) {
        loop_curl_act(curl, socket->number, events);
    }
}

static inline void loop_curl_forget(struct loop_curl *curl, struct loop_curl_socket *socket)
{
    if (socket) {
        socket->curl = NULL;
        (void)curl_multi_assign(curl->multi, socket->number, NULL);
        (void)loop_cancel(curl->loop, socket->polling);
    }
}

/* Polls a socket that libcurl has begun to use. */
static inline void loop_curl_watch(struct loop_curl *curl, curl_socket_t number, unsigned events)
{
    struct loop_curl_socket *socket = (struct loop_curl_socket *)calloc(1, sizeof *socket);

    if (socket) {
        socket->polling = loop_poll_number(curl->scope, (int)number, events, loop_curl_on_socket, socket);
    }
    if (!socket || !socket->polling) {
        free(socket);
        loop_curl_fail(curl, -ENOMEM);
        return;
    }
    socket->curl = curl;
    socket->number = number;
    (void)loop_daemon(curl->loop, socket->polling);
    (void)curl_multi_assign(curl->multi, number, socket);
}

static inline int loop_curl_on_change(CURL *easy, curl_socket_t number, int what, void *arg, void *socket_)
{
    struct loop_curl *curl = (struct loop_curl *)arg;
    struct loop_curl_socket *socket = (struct loop_curl_socket *)socket_;
    unsigned events = (what & CURL_POLL_IN ? (unsigned)POLLIN : 0) | (what & CURL_POLL_OUT ? (unsigned)POLLOUT : 0);

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        loop_curl_forget(curl, socket);
    } else if (!socket || loop_poll_change(curl->loop, socket->polling, events) < 0) {
        loop_curl_forget(curl, socket); /* the number is another socket by now */
        loop_curl_watch(curl, number, events);
    }
    return 0;
}

static inline void loop_curl_on_timer(void *arg, int64_t result)
{
    struct loop_curl *curl = (struct loop_curl *)arg;

    if (result == 0) {
        loop_curl_act(curl, CURL_SOCKET_TIMEOUT, 0);
    }
}

static inline int loop_curl_on_timeout(CURLM *multi, long timeout_ms, void *arg)
{
    struct loop_curl *curl = (struct loop_curl *)arg;

    (void)multi;
    (void)loop_cancel(curl->loop, curl->timer);
    curl->timer = 0;
    if (timeout_ms >= 0) {
        curl->timer = loop_sleep(curl->scope, timeout_ms * LOOP_MILLISECOND, loop_curl_on_timer, curl);
        (void)loop_daemon(curl->loop, curl->timer);
        if (!curl->timer) {
            loop_curl_fail(curl, -ENOMEM);
        }
    }
    return 0;
}

/* The release hook. All jobs of the scope have ended by now. */
static inline void loop_curl_finish(void *arg)
{
    struct loop_curl *curl = (struct loop_curl *)arg;

    (void)curl_multi_setopt(curl->multi, CURLMOPT_SOCKETFUNCTION, NULL);
    (void)curl_multi_setopt(curl->multi, CURLMOPT_TIMERFUNCTION, NULL);
    (void)curl_multi_cleanup(curl->multi);
}

/* ---- for programs ---- */

/* Opens a multi handle on the loop. It belongs to `scope`, and does not hold it open: transfers do. Returns NULL when
 * there is no memory or the scope has ended. */
static inline struct loop_curl *loop_curl_open(struct loop_scope *scope)
{
    struct loop_curl *curl;

    if (!loop_check_scope(scope, __func__)) {
        return NULL;
    }
    curl = (struct loop_curl *)loop_scope_alloc(scope, sizeof *curl);
    if (!curl) {
        return NULL;
    }
    curl->loop = loop_scope_loop(scope);
    curl->scope = scope;
    curl->multi = curl_multi_init();
    if (!curl->multi) {
        return NULL;
    }
    (void)curl_multi_setopt(curl->multi, CURLMOPT_SOCKETFUNCTION, loop_curl_on_change);
    (void)curl_multi_setopt(curl->multi, CURLMOPT_SOCKETDATA, curl);
    (void)curl_multi_setopt(curl->multi, CURLMOPT_TIMERFUNCTION, loop_curl_on_timeout);
    (void)curl_multi_setopt(curl->multi, CURLMOPT_TIMERDATA, curl);
    return loop_scope_defer(scope, loop_curl_finish, curl) ? curl : NULL;
}

/* Returns the multi handle, for options such as CURLMOPT_MAX_TOTAL_CONNECTIONS. Those of its socket and timer functions
 * are the adapter's, and so are the functions that add and remove handles. */
static inline CURLM *loop_curl_multi(const struct loop_curl *curl)
{
    return loop_check_pointer(curl, "multi handle", __func__) ? curl->multi : NULL;
}

/* Performs a transfer. `easy` is the job's until the continuation is resumed, and is then as after curl_easy_perform:
 * it can be asked, used again, or cleaned up. The job belongs to the scope of `curl`. After a cancel no callback of the
 * handle is called any more, except where one of them is what cancels: that one returns to libcurl.
 *
 * Resumes with a CURLcode, which is 0 (CURLE_OK) or greater; -ECANCELED or -ETIMEDOUT; -EINVAL when `easy` is NULL or
 * in use already; or with the errno for which a socket cannot be polled, such as -EMFILE, or libcurl gives up: then all
 * transfers of `curl` end with it. Returns job 0 when there is no memory or the scope has ended. */
static inline loop_job loop_curl_perform(struct loop_curl *curl, CURL *easy, loop_fn *fn, void *arg)
{
    struct loop_curl_transfer *transfer, **bucket;
    loop_job job;

    if (!loop_check_pointer(curl, "multi handle", __func__)) {
        return 0;
    }
    if (loop_curl_find(curl, easy)) {
        job = loop_promise(curl->scope, NULL, NULL, fn, arg);
        (void)loop_resolve(curl->loop, job, -EINVAL);
        return job;
    }
    transfer = (struct loop_curl_transfer *)calloc(1, sizeof *transfer);
    if (!transfer) {
        return 0;
    }
    job = loop_promise(curl->scope, loop_curl_on_cancel, transfer, fn, arg);
    if (!job || loop_scope_is_cancelled(curl->scope)) {
        free(transfer);
        return job;
    }
    transfer->curl = curl;
    transfer->easy = easy;
    transfer->job = job;
    bucket = loop_curl_bucket(curl, easy);
    transfer->next = *bucket;
    *bucket = transfer;
    if (curl->is_inside) {
        curl->has_due = true;
    } else {
        loop_curl_add(transfer);
        loop_curl_settle(curl);
    }
    return job;
}

#ifdef __cplusplus
}
#endif

#endif
