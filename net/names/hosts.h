/* SPDX-License-Identifier: ISC
 *
 * The hosts file: a table that is found in by name and by address.
 */
#ifndef NET_NAMES_HOSTS_H
#define NET_NAMES_HOSTS_H

#include <net/names/records.h>

struct loop_names_hosts;

/* Parses a hosts file, hosts(5). `text` belongs to the table from now on, also after an error. For threads of the pool.
 * Returns 0; -ENOMEM; -ECANCELED when the work is cancelled. */
int loop_names_hosts_parse(char *text, struct loop_names_hosts **hosts);

/* Frees the table; NULL is ignored. */
void loop_names_hosts_free(struct loop_names_hosts *hosts);

/* Adds the addresses of `family` (0: any) of a name, in the order of the file. Returns whether the file has the name;
 * -ENOMEM. */
int loop_names_hosts_find(const struct loop_names_hosts *hosts, const char *name, int family,
                          struct loop_names_records *records);

/* Adds the names of an address, in the order of the file. Returns whether the file has the address; -ENOMEM. */
int loop_names_hosts_reverse(const struct loop_names_hosts *hosts, const struct loop_address *address,
                             struct loop_names_records *records);

#endif
