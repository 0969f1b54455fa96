/* SPDX-License-Identifier: ISC
 *
 * struct loop_service, and what its files call of each other.
 */
#ifndef SERVICE_OBJECT_H
#define SERVICE_OBJECT_H

#include <net/local.h>
#include <service/service.h>

#define LOOP_SERVICE_SOCKET_NAME_SIZE 256 /* of FileDescriptorName=, with its NUL */

/* A socket that has been passed and not been taken. */
struct loop_service_socket {
    int number;
    unsigned flags; /* of loop_listener_adopt */
    bool is_shared; /* a predecessor has it, too, and its file */
    char name[LOOP_SERVICE_SOCKET_NAME_SIZE];
};

/* A server that a successor gets. */
struct loop_service_server {
    struct loop_service *service;
    struct loop_server *server; /* NULL: the place is free */
    uint64_t life;              /* differs from that of an earlier server in this place */
    unsigned flags;             /* for the successor */
    char name[LOOP_SERVICE_NAME_SIZE];
    loop_fn *on_end; /* of the program */
    void *on_end_arg;
};

/* The files of sockets that two programs have, as long as it is open which of them is to remove them. */
struct loop_service_files {
    size_t n;
    struct loop_service_file {
        struct loop_service_server *entry;
        uint64_t life; /* of the server */
        struct loop_net_file file;
    } of[LOOP_SERVICE_MOST];
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
    struct loop_service_files *shared;  /* with that, what it notes of servers here; or NULL */
    struct loop_service_offer *offer;   /* or NULL */
    uint64_t lives;                     /* of servers, so far */
    bool has_replaced;                  /* sockets have come from a predecessor */
    bool is_late;                       /* a predecessor has not waited */
};

/* Whether the object may be used. */
bool loop_service_is_good(const struct loop_service *service, const char *function);

/* Adds a socket, which the service owns from now on, also when there is no room: then it is closed. The name may be
 * that in `socket`. */
void loop_service_add(struct loop_service *service, const struct loop_service_socket *socket);

/* Ends the sharing of the sockets that a predecessor has too: they are this program's alone, or, where `is_late`, are
 * closed. */
void loop_service_unshare(struct loop_service *service, bool is_late);

/* Takes the files of all running servers, which leave them where they are from now on. Returns 0 or -ENOMEM. */
int loop_service_take_files(struct loop_service *service, struct loop_service_files *files);

/* Notes the file of a socket that the predecessor of a new server has as well. Without memory it stays behind. */
void loop_service_note_file(struct loop_service_files *files, struct loop_service_server *entry, int number);

/* Gives the files to the servers, which remove them at their end; those of servers that have ended are removed now. */
void loop_service_own_files(struct loop_service_files *files);

/* The files are the other program's. */
void loop_service_disown_files(struct loop_service_files *files);

/* Parses a number that is at most `most`. Returns -1 for anything else. */
int64_t loop_service_parse(const char *text, int64_t most);

/* Reads LISTEN_FDS and what belongs to it. Returns 0 or -errno. */
int loop_service_read_sockets(struct loop_service *service);

/* Opens NOTIFY_SOCKET, and starts what the watchdog expects. Returns 0 or -errno. */
int loop_service_find_manager(struct loop_service *service);

#endif
