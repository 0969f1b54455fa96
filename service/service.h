/* SPDX-License-Identifier: ISC
 *
 * Programs that a service manager starts and that are replaced by their next version while they serve: sockets that are
 * passed to them, and what they tell.
 *
 * The protocols are those of systemd, sd_listen_fds(3) and sd_notify(3), without its library. Where no manager has
 * started the program all calls work: there are no sockets then, and what is told is lost.
 *
 *     loop_service_open(env->scope, &service);
 *     loop_service_take_over(service, &at, on_taken, app);          the predecessor's sockets, if there is one
 *     on_taken:   loop_service_serve(service, "http", &address, &options, NULL, on_connection, app);
 *                 loop_service_ready(service, on_ready, app);       the predecessor stops accepting
 *     on_ready:   loop_service_offer(service, &at, NULL, on_replaced, app);   waits for a successor
 *
 * A replacement closes no listening socket: the successor gets a duplicate of each before the predecessor closes its
 * own. So no connection is refused, and none that waits to be accepted is lost. What the predecessor has accepted it
 * serves to the end.
 *
 * All functions must be called on the loop's thread.
 */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include <net/net.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a program knows of its manager, its predecessor and its successor. */
struct loop_service;

#define LOOP_SERVICE_MOST 32         /* sockets and servers */
#define LOOP_SERVICE_NAME_SIZE 48    /* of a name with its NUL */
#define LOOP_SERVICE_STATE_SIZE 1024 /* of what is told at once, with its NUL */

/* Reads what the manager has passed: LISTEN_FDS with LISTEN_PID and LISTEN_FDNAMES, NOTIFY_SOCKET, and WATCHDOG_USEC
 * with WATCHDOG_PID. Sets the sockets to close-on-exec. Ones that are close-on-exec already have been taken before, and
 * are left alone; so are those beyond LOOP_SERVICE_MOST. The environment is not changed.
 *
 * Where the manager watches the program, tells it twice within the time it allows that the loop makes turns, until the
 * scope is cancelled or has nothing else left.
 *
 * `*service` belongs to `scope`; sockets that have not been taken are closed with it. Returns 0; -EINVAL for variables
 * that cannot be parsed; -EBADF when one of the sockets is not open; -ENOMEM; -ECANCELED when the scope is cancelled;
 * or an error of loop_datagram_open for NOTIFY_SOCKET. After an error `*service` is NULL. */
LOOP_API int loop_service_open(struct loop_scope *scope, struct loop_service **service);

/* ---- sockets ---- */

/* Returns the number of sockets that have been passed and not been taken. */
LOOP_API size_t loop_service_count(const struct loop_service *service);

/* Returns the name of such a socket, 0 being the first: FileDescriptorName= of the socket unit, or the name of the
 * predecessor's server. "unknown" for one without. NULL beyond the last. Valid until the next call that takes one. */
LOOP_API const char *loop_service_name(const struct loop_service *service, size_t index);

/* Takes the first socket with that name, of any kind; NULL means any name. The caller owns the number from now on, and
 * can pass it to loop_serve_adopt, loop_datagram_adopt or loop_fd_adopt. Returns -ENOENT when there is none. */
LOOP_API int loop_service_take(struct loop_service *service, const char *name);

/* Serves on the first socket with that name, as loop_serve_adopt does, or, where there is none, on `address`, as
 * loop_serve does. The server is handed to a successor under this name, of at most 47 printable characters without
 * spaces. The server runs in the scope of the service.
 *
 * Returns what loop_serve and loop_serve_adopt return; -EINVAL for a bad name; -ENOENT when there is no such socket
 * and `address` is NULL; -ENOSPC beyond LOOP_SERVICE_MOST servers. */
LOOP_API int loop_service_serve(struct loop_service *service, const char *name, const struct loop_address *address,
                                const struct loop_serve_options *options, struct loop_server **server,
                                loop_connection_fn *on_connection, void *arg);

/* ---- telling the manager ---- */

/* Tells the manager a state in the form of sd_notify(3), such as "STATUS=three clients" or "STOPPING=1"; several are
 * separated by newlines. It is sent soon, in the order of the calls; a failure is logged. Keeps the scope open until it
 * is sent. Returns 0, also without a manager; -EINVAL for NULL, an empty state, or one that is too long; -ENOMEM;
 * -ENOBUFS when too much waits to be sent; -ECANCELED when the scope is cancelled. */
LOOP_API int loop_service_notify(struct loop_service *service, const char *state);

/* Returns the time within which the manager expects to be told that the program works, in nanoseconds, or 0 when it
 * does not watch. */
LOOP_API int64_t loop_service_watchdog_ns(const struct loop_service *service);

/* ---- being replaced ---- */

/* Connects to the predecessor at the Unix address `at`, and receives the sockets that it serves on. They are then found
 * by loop_service_name, beside those of the manager. Resumes with their number; 0 when there is no predecessor. Other
 * results are -EPROTO for a message that is none or is cut off, -ETIMEDOUT when the predecessor waits for this program
 * no longer, -EBUSY when a predecessor is connected, -EINVAL for another address, and errors of loop_connect and
 * loop_receive_fds. -ECANCELED after a cancel. Returns job 0 when there is no memory or the scope has ended. After a
 * connection that ends before anything was sent, as that of a predecessor that is killed, it connects once more.
 *
 * The file of a Unix socket goes with the socket: the predecessor neither removes it from then on, nor does this
 * program before it is ready or the predecessor has gone. If this program fails, the predecessor has it again. */
LOOP_API loop_job loop_service_take_over(struct loop_service *service, const struct loop_address *at, loop_fn *fn,
                                         void *arg);

/* Tells the manager that the program is ready (READY=1, with MAINPID after a replacement), and the predecessor that it
 * can stop; while loop_service_take_over runs, both as soon as that has ended. Resumes with 0 when the predecessor has
 * stopped accepting or has gone, at once without one.
 *
 * Resumes with -ETIMEDOUT when the predecessor has not waited: it serves on, and is the main process again for the
 * manager. This program has to end, as by SIGTERM: what it has accepted it may serve to the end. Sockets that it has
 * not taken yet are closed. -EBUSY: another such job waits. Cancelled, it ends with -ECANCELED; if the predecessor has
 * been told, that stops all the same. Returns job 0 when there is no memory or the scope has ended. */
LOOP_API loop_job loop_service_ready(struct loop_service *service, loop_fn *fn, void *arg);

/* How long a successor may take by default. */
#define LOOP_SERVICE_TIMEOUT_NS (60 * LOOP_SECOND)

struct loop_service_offer_options {
    /* How long a successor may take from its connect until it is ready. 0: LOOP_SERVICE_TIMEOUT_NS; LOOP_NEVER: without
     * a limit */
    int64_t timeout_ns LOOP_ZERO;
};

/* Waits at the Unix address `at` for a successor, a program of the same user or of root, and hands it the sockets of
 * loop_service_serve. Until the successor is ready this program goes on. If it fails before, or takes too long, this
 * program serves on, the log says so, and the next successor is waited for; the one that took too long is told
 * (-ETIMEDOUT of loop_service_ready). Others that come meanwhile wait in the backlog. When the successor is ready, the
 * servers are retired (loop_server_retire, without a deadline), so that they end with their last connection. `options`,
 * which may be NULL, and `at` are not used after the call.
 *
 * When this program ends while a successor has its sockets, their files are the successor's.
 *
 * Resumes with 0 when they have been retired. -EBUSY: another offer waits. -EINVAL for a negative timeout, or another
 * address. Errors of loop_listen; -EADDRINUSE while another program waits there. Cancelled, it ends with -ECANCELED,
 * and so it does with the scope. It is a daemon: it does not keep the scope open. Returns job 0 when there is no memory
 * or the scope has ended. */
LOOP_API loop_job loop_service_offer(struct loop_service *service, const struct loop_address *at,
                                     const struct loop_service_offer_options *options, loop_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
