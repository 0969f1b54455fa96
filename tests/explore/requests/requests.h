/* SPDX-License-Identifier: ISC
 *
 * What the server and the clients of the world requests share.
 */
#ifndef TESTS_EXPLORE_REQUESTS_H
#define TESTS_EXPLORE_REQUESTS_H

#include <net/net.h>

enum { N_CLIENTS = 3, MOST_ATTEMPTS = 1000, LARGEST = 30000 };

/* How the server writes an answer. */
enum writing { BY_APPEND, BY_BORROWING, BY_CORK };

/* What a world is made of. */
struct system {
    struct loop_node *server_node;
    struct loop_env *env;
    struct loop_server *server;
    struct loop_inbox *inbox; /* of its loop */
    unsigned n_domains, most_open, n_open, n_crashes;
    int64_t stop_after_ns; /* 0: it is not stopped */
    bool has_stopped, has_ended, is_signalled;
    bool reads_lines, moves; /* connections from loop to loop */
    bool has_completions;    /* the ring moves the bytes of its domains */
    enum writing writing;
    /* Of attempts: a request has been read; the connection may end early */
    bool is_known[N_CLIENTS * MOST_ATTEMPTS], is_excused[N_CLIENTS * MOST_ATTEMPTS];
};

/* Serves until it is stopped: the main function of the server. `system` is a struct system. */
int requests_serve(struct loop_env *env, void *system);

#endif
