/* SPDX-License-Identifier: ISC
 *
 * The services file: ports of names, and names of ports.
 */
#ifndef NET_NAMES_SERVICES_H
#define NET_NAMES_SERVICES_H

#include <net/names/text.h>

struct loop_names_services;

/* Parses a services file, services(5). `text` belongs to the table from now on, also after an error. For threads of the
 * pool. Returns 0; -ENOMEM; -ECANCELED when the work is cancelled. */
int loop_names_services_parse(char *text, struct loop_names_services **services);

/* Frees the table; NULL is ignored. */
void loop_names_services_free(struct loop_names_services *services);

/* Finds the port of a service. Returns false when there is none. */
bool loop_names_services_find(const struct loop_names_services *services, const char *name, bool is_datagram,
                              in_port_t *port);

/* Returns the name of a port, or NULL. */
const char *loop_names_services_name(const struct loop_names_services *services, in_port_t port, bool is_datagram);

#endif
