/* SPDX-License-Identifier: ISC
 *
 * Resolvers: the settings, what was made of the files, and the answers kept.
 */
#ifndef NET_NAMES_RESOLVER_H
#define NET_NAMES_RESOLVER_H

#include <net/names/cache.h>
#include <net/names/config.h>
#include <net/names/hosts.h>
#include <net/names/load.h>
#include <net/names/services.h>

enum loop_names_file {
    LOOP_NAMES_HOSTS_FILE,
    LOOP_NAMES_SERVICES_FILE,
    LOOP_NAMES_RESOLV_CONF,
    LOOP_NAMES_NSSWITCH,
    LOOP_NAMES_N_FILES
};

struct loop_names_channel;

/* Counted: the public object, each look-up, and what looks at the files have a reference each. */
struct loop_names_resolver {
    unsigned references;
    struct loop *loop;
    /* What the program has set. */
    char *paths[LOOP_NAMES_N_FILES];
    struct loop_address servers[LOOP_NAMES_MOST_SERVERS];
    unsigned n_servers, attempts;
    int64_t timeout_ns;
    bool sets_resolv_conf;
    /* What was made of the files, as far as they have been asked for. */
    struct loop_names_identity identities[LOOP_NAMES_N_FILES];
    struct loop_names_hosts *hosts;
    struct loop_names_services *services;
    struct loop_names_config config; /* with the program's settings in it */
    struct loop_names_order order;
    /* Reading them: `served` wait for the thread that is at it, `waiting` for the next look. */
    bool is_reading;         /* a thread is at it, or a look is about to begin */
    const char *failed_path; /* the file that could not be read last */
    struct loop_list served, waiting;
    struct loop_names_cache cache;
    /* Channels of c-ares that no look-up uses: what has been made once serves the next ones. */
    struct loop_names_channel *idle;
    unsigned n_idle;
    void (*destroy_idle)(struct loop_names_channel *first);
    unsigned turn; /* which server is asked first, if they are asked in turns */
};

/* Called when the files have been looked at: `error` is 0, or why one could not be read. */
typedef void loop_names_files_fn(void *arg, int error);

/* A look-up that waits for files. */
struct loop_names_wait {
    struct loop_list node;
    struct loop_scope *scope; /* which is cancelled when the look-up leaves */
    unsigned wanted;          /* bits 1u << enum loop_names_file */
    loop_names_files_fn *fn;
    void *arg;
};

/* Returns whether a resolver of the program has not been freed, and belongs to the loop of `scope`. */
bool loop_names_resolver_is_good(const struct loop_scope *scope, const struct loop_resolver *resolver);

/* Returns the resolver of the options with a reference for the caller: that of the loop for NULL. NULL without
 * memory. */
struct loop_names_resolver *loop_names_resolver_take(struct loop_scope *scope, struct loop_resolver *resolver);

/* Drops a reference. */
void loop_names_resolver_drop(struct loop_names_resolver *resolver);

/* Looks whether the files `wait->wanted` have changed, has a thread of the pool read those that have, and then calls
 * `wait->fn`, inside this call only with -ENOMEM. The state of the files is one of after this call. */
void loop_names_resolver_read(struct loop_names_resolver *resolver, struct loop_names_wait *wait);

/* Waits no longer. Harmless when `fn` has been called. */
void loop_names_resolver_leave(struct loop_names_wait *wait);

#endif
