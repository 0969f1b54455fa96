/* SPDX-License-Identifier: ISC
 *
 * The sockets of a c-ares channel. They are descriptors of a scope, opened through the door, and polled by the loop. A
 * socket that c-ares closes is closed when its polls have ended: its number is not used anew before.
 *
 * c-ares takes the ids of its questions from the system's random numbers by itself. Datagrams are sent with other ids,
 * that come through the door: so the runs of a simulated world are their choices. By TCP, where the id protects
 * nothing, they stay as they are.
 */
#ifndef NET_NAMES_DNS_SOCKET_H
#define NET_NAMES_DNS_SOCKET_H

#include <net/names/records.h>

#include <ares.h>

struct loop_names_socket;

/* How many questions c-ares may have open at once: two, and what it asks again. */
#define LOOP_NAMES_IDS 8

/* The id of a question, as c-ares has it and as it is sent. */
struct loop_names_id {
    bool is_used;
    unsigned char theirs[2], sent[2];
};

struct loop_names_sockets {
    struct loop_scope *scope;          /* owns them */
    const struct loop_address *server; /* every socket is connected to it */
    /* Called when c-ares is to handle a socket, with its number as one of both. */
    void (*on_ready)(void *arg, ares_socket_t to_read, ares_socket_t to_write);
    void *arg;
    int error; /* why a socket could not be opened, connected or polled last; 0 */
    bool is_stopped;
    struct loop_names_socket *first;
    struct loop_names_id ids[LOOP_NAMES_IDS];
    unsigned n_ids; /* all that have been used */
};

/* Has the channel use these functions, with the sockets as their state. */
void loop_names_sockets_use(ares_channel channel, struct loop_names_sockets *sockets);

/* Notes what c-ares waits for at one of the sockets. */
void loop_names_sockets_state(struct loop_names_sockets *sockets, ares_socket_t number, int to_read, int to_write);

/* Returns whether c-ares has closed all of the sockets. */
bool loop_names_sockets_are_closed(const struct loop_names_sockets *sockets);

#endif
