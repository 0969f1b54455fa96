/* SPDX-License-Identifier: ISC
 *
 * Sockets: addresses, listening, serving, connecting; TCP over IPv4 and IPv6, and Unix sockets; and datagrams.
 *
 * TCP sockets have TCP_NODELAY set, because the loop gathers what one continuation writes; `nagle` in the options
 * leaves it off. Everything is CLOEXEC and nonblocking.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <loop/loop.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- addresses ---- */

/* A socket address and its exact length. */
struct loop_address {
    socklen_t length;
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
        struct sockaddr_un local;
    } u;
};

/* Longest text loop_address_format makes, with its NUL. */
#define LOOP_ADDRESS_TEXT_SIZE 512

/* Reads "tcp:127.0.0.1:80", "tcp:[::1]:80" (a zone as in "[fe80::1%eth0]" allowed), "unix:/path" and "unix:@name", the
 * abstract one; "udp:" reads as "tcp:". Names are not looked up here. An empty host, "tcp::80", is every address of
 * both families ("[::]"). Returns 0; -EINVAL for what is none of these; -ENAMETOOLONG for a path beyond sun_path. */
LOOP_API int loop_address_parse(struct loop_address *address, const char *text);

/* The same text back; bytes of a Unix name that don't print are written as \xNN. Returns its length, or -ENOSPC. */
LOOP_API int loop_address_format(const struct loop_address *address, char *text, size_t size_bytes);

/* The addresses of the two ends. 0 or -errno (-ENOTCONN, -EBADF). */
LOOP_API int loop_flow_local_address(struct loop_flow *flow, struct loop_address *address);
LOOP_API int loop_flow_peer_address(struct loop_flow *flow, struct loop_address *address);

/* ---- socket options ---- */

enum loop_socket_option {
    LOOP_SO_BROADCAST,
    LOOP_SO_DONTROUTE,
    LOOP_SO_KEEPALIVE,
    LOOP_SO_LINGER_S, /* -1: off. 0: a close resets the connection. More: the loop never waits in close(2), the kernel
                         goes on sending as with -1 */
    LOOP_SO_OOBINLINE,
    LOOP_SO_PRIORITY,
    LOOP_SO_RCVBUF,
    LOOP_SO_RCVLOWAT,
    LOOP_SO_REUSEADDR,
    LOOP_SO_REUSEPORT,
    LOOP_SO_SNDBUF,
    LOOP_IP_FREEBIND,
    LOOP_IP_TOS,
    LOOP_IP_TTL,
    LOOP_IPV6_ONLY,
    LOOP_TCP_CORK,
    LOOP_TCP_DEFER_ACCEPT_S,
    LOOP_TCP_FASTOPEN,
    LOOP_TCP_KEEPCNT,
    LOOP_TCP_KEEPIDLE_S,
    LOOP_TCP_KEEPINTVL_S,
    LOOP_TCP_MAXSEG,
    LOOP_TCP_NODELAY,
    LOOP_TCP_QUICKACK,
    LOOP_TCP_SYNCNT,
    LOOP_TCP_USER_TIMEOUT_MS,
    LOOP_SOCKET_OPTION_COUNT
};

/* setsockopt(2) and getsockopt(2) by one name. 0; -EINVAL for a value out of the option's range, found before any
 * system call; -ENOPROTOOPT or -EOPNOTSUPP where this kind of socket hasn't got it; -EBADF; -ENOTSOCK. The kernel
 * doubles SNDBUF and RCVBUF: reading them back shows it (socket(7)). */
LOOP_API int loop_socket_set(struct loop_fd *fd, enum loop_socket_option option, int value);
LOOP_API int loop_socket_get(struct loop_fd *fd, enum loop_socket_option option, int *value);

/* An option to be set before bind and connect; an array of these ends with its count beside it. */
struct loop_socket_setting {
    enum loop_socket_option option LOOP_ZERO;
    int value LOOP_ZERO;
};

/* ---- connecting ---- */

struct loop_connect_options {
    const struct loop_address *bind_to LOOP_ZERO; /* NULL: the kernel chooses */
    const struct loop_socket_setting *settings LOOP_ZERO;
    size_t n_settings LOOP_ZERO;
    bool nagle LOOP_ZERO;
    int64_t timeout_ns LOOP_ZERO; /* 0: the kernel's own; after so long -ETIMEDOUT */
};

/* Connects: `*flow` is set before the continuation is resumed with 0; it belongs to `scope`. -errno otherwise
 * (-ECONNREFUSED, -ENOENT for a Unix path, -ETIMEDOUT, -EMFILE, …), with `*flow` NULL and the socket closed.
 * `options` may be NULL; it and `address` are copied or used before the call returns. */
LOOP_API loop_job loop_connect(struct loop_scope *scope, const struct loop_address *address,
                               const struct loop_connect_options *options, struct loop_flow **flow, loop_fn *fn,
                               void *arg);

/* Two ends of a Unix stream connected to each other, for tests and for talking to a child. 0 or -errno. */
LOOP_API int loop_socketpair(struct loop_scope *scope, struct loop_flow **one, struct loop_flow **other);

/* ---- listening ---- */

struct loop_listener;

struct loop_listen_options {
    int backlog LOOP_ZERO;     /* 0: SOMAXCONN */
    bool reuse_addr LOOP_ZERO; /* TCP: SO_REUSEADDR. Unix: a socket file that nobody listens on is replaced */
    bool reuse_port LOOP_ZERO; /* SO_REUSEPORT: one listener for each of several loops */
    bool ipv6_only LOOP_ZERO;
    bool nagle LOOP_ZERO;
    unsigned mode LOOP_ZERO; /* Unix: permissions of the socket file; 0: what the umask gives */
    const struct loop_socket_setting *settings LOOP_ZERO;
    size_t n_settings LOOP_ZERO;
};

/* Listens. The file of a Unix socket is removed when the listener closes, if it is still the one made here. While it is
 * made a second file, whose name has ".lock" added, is locked (flock(2)) and then removed: of two programs that start
 * at the same moment one listens, and the other gets -EADDRINUSE. Returns 0, and `*listener`, which belongs to `scope`;
 * or -errno (-EADDRINUSE, -EACCES, -EADDRNOTAVAIL, -EMFILE, …; -ECANCELED in a scope that is cancelled). */
LOOP_API int loop_listen(struct loop_scope *scope, const struct loop_address *address,
                         const struct loop_listen_options *options, struct loop_listener **listener);

/* The address it really has, with the port the kernel chose. */
LOOP_API int loop_listener_address(const struct loop_listener *listener, struct loop_address *address);
LOOP_API struct loop_fd *loop_listener_fd(struct loop_listener *listener);
LOOP_API int loop_listener_close(struct loop_listener *listener);

/* Accepts one connection into `scope`; `*flow` as in loop_connect. At the limit of descriptors it waits until one comes
 * free (any the loop closes, or after 10 ms to 1 s, doubling); a connection that was gone before it was taken is
 * skipped. */
LOOP_API loop_job loop_accept(struct loop_scope *scope, struct loop_listener *listener, struct loop_flow **flow,
                              loop_fn *fn, void *arg);

/* ---- serving ---- */

struct loop_server;

/* A connection. `peer->scope` is its own: it ends, and closes the socket, when nothing is left running in it. A failure
 * in it ends this connection only. */
typedef void loop_connection_fn(struct loop_flow *peer, void *arg);

struct loop_serve_options {
    struct loop_listen_options listen LOOP_ZERO;
    unsigned max_connections LOOP_ZERO; /* 0: no limit. At the limit new ones wait in the backlog */
    /* > 0: a connection's whole life. A deadline of `peer->scope` holds beside it */
    int64_t connection_timeout_ns LOOP_ZERO;
    /* SIGINT and SIGTERM stop it gracefully; a second one stops it at once */
    bool stop_on_signals LOOP_ZERO;
    /* How long connections may go on after such a signal; 0: as long as they like */
    int64_t grace_ns LOOP_ZERO;
    struct loop_server **server LOOP_ZERO; /* where to put the server; NULL where it isn't needed */
    /* When it has stopped and its connections are done: 0 or the error that ended it */
    loop_fn *on_end LOOP_ZERO;
    void *on_end_arg LOOP_ZERO;
};

/* Serves until stopped, in a scope of its own inside `scope`. Where accepting fails for good and there is no on_end,
 * `scope` fails with that error. Returns 0, or -errno from listening. `options` may be NULL. */
LOOP_API int loop_serve(struct loop_scope *scope, const struct loop_address *address,
                        const struct loop_serve_options *options, loop_connection_fn *on_connection, void *arg);

/* Stops: no new connections from now on, the listening socket closes. Those that run may finish until `deadline_ns`
 * (LOOP_NEVER: as long as they like), then they are cancelled. A second call may only make the deadline earlier. The
 * server is good until its on_end. */
LOOP_API void loop_server_stop(struct loop_server *server, int64_t deadline_ns);

LOOP_API struct loop_listener *loop_server_listener(struct loop_server *server);

struct loop_server_stats {
    uint64_t accepted, failed; /* `failed`: connections whose scope ended with an error */
    uint64_t connections_now, connections_most;
};
LOOP_API void loop_server_get_stats(const struct loop_server *server, struct loop_server_stats *stats);

/* ---- datagrams ---- */

/* A socket of datagrams: UDP over IPv4 or IPv6, or a Unix socket. What is sent arrives whole, more than once, out of
 * order or not at all, and the kernel says so at best by an error later on (Unix sockets neither lose nor reorder). */
struct loop_datagram_socket;

struct loop_datagram_options {
    /* Where to receive; NULL: the kernel chooses when something is sent */
    const struct loop_address *bind_to LOOP_ZERO;
    /* The only one to talk to; NULL: everybody. One of the two must be given */
    const struct loop_address *connect_to LOOP_ZERO;
    /* UDP: SO_REUSEADDR. Unix: a socket file that nobody has open is replaced */
    bool reuse_addr LOOP_ZERO;
    /* SO_REUSEPORT: one socket for each of several loops */
    bool reuse_port LOOP_ZERO;
    bool ipv6_only LOOP_ZERO;
    unsigned mode LOOP_ZERO; /* Unix: permissions of the socket file; 0: what the umask gives */
    const struct loop_socket_setting *settings LOOP_ZERO;
    size_t n_settings LOOP_ZERO;
    /* Longer datagrams are received truncated; 0: 65536, which UDP's never are */
    size_t max_bytes LOOP_ZERO;
    size_t limit_bytes LOOP_ZERO; /* of the queue of datagrams that wait to be sent; 0: 1 MiB */
};

/* Opens a socket, bound, connected or both. The addresses' texts are those of streams, where "udp:" in place of "tcp:"
 * reads the same. A Unix socket that is to be answered must be bound: to a path, whose file is removed when it closes,
 * to an abstract name, or to an address of length sizeof(sa_family_t), for which the kernel finds a name.
 * 0, and `*socket`, which is good until `scope` has ended; or -errno (-EADDRINUSE, -EACCES, -EADDRNOTAVAIL, -EMFILE,
 * -ENETUNREACH, -ENOENT and -ECONNREFUSED for a Unix path, …; -EINVAL without an address, with addresses of two
 * families, or a `max_bytes` beyond 1 MiB; -ECANCELED in a scope that is cancelled). */
LOOP_API int loop_datagram_open(struct loop_scope *scope, const struct loop_datagram_options *options,
                                struct loop_datagram_socket **socket);

/* The same for a socket that is there already, one of socketpair(2) or from whoever started the program: `number` is
 * taken over, whatever happens. Of the options, which may be NULL, max_bytes and limit_bytes count. -ENOTSOCK or
 * -EPROTOTYPE for what is no datagram socket. */
LOOP_API int loop_datagram_adopt(struct loop_scope *scope, int number, const struct loop_datagram_options *options,
                                 struct loop_datagram_socket **socket);

/* The address it has now, with the port the kernel chose. 0 or -errno (-EBADF). */
LOOP_API int loop_datagram_address(struct loop_datagram_socket *socket, struct loop_address *address);
LOOP_API struct loop_fd *loop_datagram_fd(struct loop_datagram_socket *socket);

/* Closes. A stream hears what had been received before and then -ECANCELED; what waits to be sent is dropped, and its
 * jobs hear -ECANCELED. 0, or -EBADF where it was closed before. loop_fd_close on its descriptor and the end of its
 * scope do the same, but that a socket file goes with the scope. */
LOOP_API int loop_datagram_close(struct loop_datagram_socket *socket);

/* ---- receiving datagrams ---- */

/* One that has come. It is lent for the duration of the call, all that it points to included. */
struct loop_datagram {
    const void *data;                  /* NULL in one that tells of an error */
    size_t len;                        /* 0 is a length as any other */
    const struct loop_address *sender; /* of length 0 where it has no name: a Unix socket that isn't bound */
    /* The address of this machine that it was sent to, with the socket's port. For one that came by broadcast or
     * multicast, the address to answer from, or for IPv6 the socket's own. */
    const struct loop_address *receiver;
    bool is_truncated; /* it was longer than max_bytes; the rest is gone */
};

/* For each datagram: `result` is its length. For each error that the network has told of an earlier datagram of a
 * connected socket: `result` is -ECONNREFUSED, -EHOSTUNREACH or the like, and `datagram` has no data; the stream goes
 * on. (Of several such errors the kernel may tell only one.) At the end, once: `datagram` is NULL, and `result` is
 * -ECANCELED, or the -errno of a receive that can't go on. */
typedef void loop_datagram_fn(void *arg, int64_t result, const struct loop_datagram *datagram);

/* Receives until cancelled. Up to 32 datagrams are taken by one system call and handed out one after the other; after
 * four times as many others have their turn. What a continuation sends leaves when all those of its call have been
 * handed out; scopes that it empties end when it is others' turn. One that has been received is handed out, also after
 * a cancel or a close: nothing is lost. An idle socket holds no memory for it. One stream at a time: another one ends
 * with -EBUSY. */
LOOP_API loop_job loop_datagram_stream(struct loop_datagram_socket *socket, loop_datagram_fn *fn, void *arg);

/* Holds the stream back, and lets it go on; both are idempotent. What has been received already is kept; what comes
 * meanwhile stays in the socket, which drops it when that is full. Return 0, or -ENOENT when there is no stream. */
LOOP_API int loop_datagram_pause(struct loop_datagram_socket *socket);
LOOP_API int loop_datagram_resume(struct loop_datagram_socket *socket);

/* ---- sending datagrams ----
 *
 * All that is sent on a socket leaves in the order of the calls; what one continuation, or the continuations of
 * datagrams that were received together, have sent leaves together, by one system call for up to 64. What the kernel
 * doesn't take waits in a queue, behind which all the rest waits too, also when it is for somebody else: a Unix socket
 * that nobody reads holds its senders up.
 *
 * `to` is copied; NULL is the one the socket is connected to. */

/* Copies the datagram, and sends it soon; what becomes of it is counted, and nobody hears. It holds the scope open
 * until it has left. What is lent to a stream of this socket, `data` and `to`, isn't copied: to answer with it costs
 * nothing. Returns 0; -ENOBUFS when the queue is full (nothing else is refused because of it: drop this one, or wait
 * with loop_datagram_wait_drained); -EINVAL or -EAFNOSUPPORT for a `to` that is no address, -EDESTADDRREQ where there
 * is none or it has no name; -EMSGSIZE beyond INT_MAX; -ENOMEM; -EBADF; -ECANCELED in a scope that is cancelled. */
LOOP_API int loop_datagram_put(struct loop_datagram_socket *socket, const struct loop_address *to, const void *data,
                               size_t len);

/* loop_datagram_put from the address `from` of this machine, for a UDP socket that is bound to every address: the
 * `receiver` of a datagram that is answered later. Its port does not count. NULL, or length 0, is loop_datagram_put: an
 * answer that is sent from inside a stream's continuation to the sender of the datagram that was handed to it leaves
 * from the address that it was sent to; for anything else the kernel chooses. Returns what loop_datagram_put does, and
 * -EINVAL for a `from` of another family than the socket's. An address that is not this machine's fails when it is sent
 * (-EINVAL or -ENETUNREACH from the kernel), which is counted. */
LOOP_API int loop_datagram_put_from(struct loop_datagram_socket *socket, const struct loop_address *from,
                                    const struct loop_address *to, const void *data, size_t len);

/* The same as a job, without a copy: `data` is the job's until the continuation, which hears `len` when the kernel has
 * taken it; or -errno, as above and those of the kernel: -EMSGSIZE, -ENETUNREACH, -EACCES, -EPERM, and for a Unix
 * socket -ENOENT and -ECONNREFUSED. One that was cancelled before it left ends with -ECANCELED, and never leaves.
 * Without a continuation an error is the scope's. What the network tells of an earlier datagram fails no later one: the
 * stream hears it, and the datagram is sent. Without a stream, it is in the statistics. */
LOOP_API loop_job loop_datagram_send(struct loop_datagram_socket *socket, const struct loop_address *to,
                                     const void *data, size_t len, loop_fn *fn, void *arg);

/* loop_datagram_send from the address `from`, which counts as in loop_datagram_put_from. The continuation is resumed
 * with the kernel's error for an address that is not this machine's. */
LOOP_API loop_job loop_datagram_send_from(struct loop_datagram_socket *socket, const struct loop_address *from,
                                          const struct loop_address *to, const void *data, size_t len, loop_fn *fn,
                                          void *arg);

/* How many bytes wait in the queue, with some for each datagram's own needs; whether the next one would be refused. */
LOOP_API size_t loop_datagram_queued(const struct loop_datagram_socket *socket);
LOOP_API bool loop_datagram_is_full(const struct loop_datagram_socket *socket);

/* Resumes with 0 when at most half of the limit is queued; -ECANCELED when it was cancelled or the socket closes;
 * -EBADF where it was closed before. */
LOOP_API loop_job loop_datagram_wait_drained(struct loop_datagram_socket *socket, loop_fn *fn, void *arg);

struct loop_datagram_stats {
    uint64_t received, truncated;   /* `truncated` of those received */
    uint64_t sent, failed, dropped; /* taken by the kernel; refused by it; still waiting when the socket closed */
    uint64_t errors_told;           /* by the network, of earlier datagrams */
    int last_error;                 /* of those failed and those told; 0: none */
};
LOOP_API void loop_datagram_get_stats(const struct loop_datagram_socket *socket, struct loop_datagram_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
