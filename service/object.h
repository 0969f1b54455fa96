/* SPDX-License-Identifier: ISC
 *
 * struct loop_service, and what its files call of each other.
 */
#ifndef SERVICE_OBJECT_H
#define SERVICE_OBJECT_H

#include <service/service.h>

#define LOOP_SERVICE_SOCKET_NAME_SIZE 256 /* of FileDescriptorName=, with its NUL */

/* A socket that has been passed and not been taken. */
struct loop_service_socket {
    int number;
    unsigned flags; /* of loop_listener_adopt */
    char name[LOOP_SERVICE_SOCKET_NAME_SIZE];
};

/* A server that a successor gets. */
struct loop_service_server {
    struct loop_service *service;
    struct loop_server *server; /* NULL: the place is free */
    unsigned flags;             /* for the successor */
    char name[LOOP_SERVICE_NAME_SIZE];
    loop_fn *on_end; /* of the program */
    void *on_end_arg;
};

struct loop_service_taking;
struct loop_service_offer;

struct loop_service {
    struct loop *loop;
    struct loop_scope *scope;
    size_t n_sockets;
    struct loop_service_socket sockets[LOOP_SERVICE_MOST];
    struct loop_service_server servers[LOOP_SERVICE_MOST];
    struct loop_datagram_socket *manager; /* connected to NOTIFY_SOCKET, or NULL */
    int64_t watchdog_ns;
    struct loop_service_taking *taking; /* the connection to the predecessor, or NULL */
    struct loop_service_offer *offer;   /* or NULL */
    bool has_replaced;                  /* sockets have come from a predecessor */
};

/* Whether the object may be used. */
bool loop_service_is_good(const struct loop_service *service, const char *function);

/* Adds a socket, which the service owns from now on, also when there is no room: then it is closed. */
void loop_service_add(struct loop_service *service, int number, unsigned flags, const char *name);

/* Parses a number that is at most `most`. Returns -1 for anything else. */
int64_t loop_service_parse(const char *text, int64_t most);

/* Reads LISTEN_FDS and what belongs to it. Returns 0 or -errno. */
int loop_service_read_sockets(struct loop_service *service);

/* Opens NOTIFY_SOCKET, and starts what the watchdog expects. Returns 0 or -errno. */
int loop_service_find_manager(struct loop_service *service);

#endif
