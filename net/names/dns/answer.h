/* SPDX-License-Identifier: ISC
 *
 * Messages of DNS servers, RFC 1035.
 */
#ifndef NET_NAMES_DNS_ANSWER_H
#define NET_NAMES_DNS_ANSWER_H

#include <net/names/cache.h>
#include <net/names/records.h>

/* The numbers of types of records. */
enum {
    LOOP_NAMES_TYPE_A = 1,
    LOOP_NAMES_TYPE_CNAME = 5,
    LOOP_NAMES_TYPE_SOA = 6,
    LOOP_NAMES_TYPE_PTR = 12,
    LOOP_NAMES_TYPE_AAAA = 28
};

/* Reads the answer to a question for `name` and `type`, adds its records, and stores for how many seconds it is valid:
 * 0 for an answer that is not to be kept.
 *
 * Returns 1 with at least one record; 0 when the name has none of this type; -ENOENT when there is no such name;
 * -EAGAIN for a failure of the server, and for a message that cannot be read; -ENOMEM. */
int loop_names_answer_read(struct loop_names_message message, const char *name, int type,
                           struct loop_names_records *records, uint32_t *ttl_s);

#endif
