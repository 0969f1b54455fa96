/* SPDX-License-Identifier: ISC
 *
 * The order of a host's addresses.
 */
#ifndef NET_NAMES_SORT_H
#define NET_NAMES_SORT_H

#include <net/net.h>

/* Sorts addresses as RFC 6724 does, with its own table of policies, the one to try first at the front. What it asks of
 * the system does not block: which local address the kernel would send from, for the first 16 of each family. Where
 * that is unknown for lack of a descriptor, the rules that need it are left out. */
void loop_names_sort(struct loop_address *addresses, size_t count);

#endif
