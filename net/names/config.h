/* SPDX-License-Identifier: ISC
 *
 * resolv.conf and the hosts line of nsswitch.conf.
 */
#ifndef NET_NAMES_CONFIG_H
#define NET_NAMES_CONFIG_H

#include <net/names/records.h>

#define LOOP_NAMES_MOST_SERVERS 8

/* What resolv.conf says, resolv.conf(5). */
struct loop_names_config {
    struct loop_address servers[LOOP_NAMES_MOST_SERVERS];
    unsigned n_servers;
    char search[1024]; /* domains, each with a NUL behind; those that do not fit are left out */
    size_t search_len;
    unsigned n_dots, attempts;
    int64_t timeout_ns;
    bool rotates;
};

enum loop_names_source { LOOP_NAMES_FILES, LOOP_NAMES_DNS };

/* The sources of nsswitch.conf(5) for hosts, in their order. */
struct loop_names_order {
    enum loop_names_source sources[2];
    unsigned count;
    bool first_is_last; /* the second is asked only when the first fails: [NOTFOUND=return] */
};

/* Parses resolv.conf. Lines that it does not understand are left out. `text` is changed. */
void loop_names_config_parse(char *text, struct loop_names_config *config);

/* Parses nsswitch.conf. `text` is changed. */
void loop_names_order_parse(char *text, struct loop_names_order *order);

#endif
