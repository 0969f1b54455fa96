/* SPDX-License-Identifier: ISC
 *
 * One look-up: of the addresses of a host, or of the names of an address. It reads the files, goes through the sources
 * in their order, and asks.
 */
#ifndef NET_NAMES_LOOKUP_H
#define NET_NAMES_LOOKUP_H

#include <net/names/ask.h>

struct loop_names_lookup {
    /* Set by loop_names_lookup_init. */
    struct loop_scope *scope; /* of the steps; held open until loop_names_lookup_stop */
    char host[LOOP_NAMES_HOST_MAX + 1], service[64];
    int family;
    bool is_datagram, is_reverse;
    struct loop_address address; /* of a reverse look-up */
    /* Called when something was found or is over; not inside loop_names_lookup_start, which may be over at once. */
    void (*on_change)(void *arg);
    void *arg;
    /* The state. */
    bool is_over;
    int outcome; /* when it is over: 0 with records, or an error */
    struct loop_names_records records;
    in_port_t port;
    /* Private. */
    struct loop_names_resolver *resolver;
    struct loop_names_wait wait;
    struct loop_names_ask ask;
    bool is_numeric, knows_port, has_name, has_asked;
    const char *failed_path; /* the file that could not be read; NULL */
    const char *fault;       /* what is wrong with the host or the service; NULL */
    unsigned source;         /* the next one of the order */
};

/* Begins a look-up, without any step. Strings are copied. Returns 0; -EINVAL for a bad argument; -ENOMEM. After an
 * error too it has to be stopped. */
int loop_names_lookup_init(struct loop_names_lookup *lookup, struct loop_scope *scope, const char *host,
                           const char *service, const struct loop_resolve_options *options);

/* Starts the steps. */
void loop_names_lookup_start(struct loop_names_lookup *lookup);

/* Ends the steps. What was found stays until loop_names_lookup_finish. */
void loop_names_lookup_stop(struct loop_names_lookup *lookup);

/* Ends a look-up that is not over with -ETIMEDOUT. What was found stays. */
void loop_names_lookup_give_up(struct loop_names_lookup *lookup);

/* Frees what the look-up owns. */
void loop_names_lookup_finish(struct loop_names_lookup *lookup);

/* Returns the name that the port of a reverse look-up has, or NULL; valid until the next return to the loop. */
const char *loop_names_lookup_service(const struct loop_names_lookup *lookup);

/* Returns whether IPv6 addresses may still be found. */
bool loop_names_lookup_awaits_ipv6(const struct loop_names_lookup *lookup);

/* Appends why the look-up has failed with `error` to a text. */
void loop_names_lookup_explain(const struct loop_names_lookup *lookup, int64_t error, struct loop_name_error *text);

#endif
