/* SPDX-License-Identifier: ISC
 *
 * What a look-up finds: addresses, names, and how long they are valid.
 */
#ifndef NET_NAMES_RECORDS_H
#define NET_NAMES_RECORDS_H

#include <net/names/text.h>

struct loop_names_records {
    struct loop_address *addresses; /* without a port */
    size_t n_addresses, addresses_room;
    char *names; /* each ends with a NUL */
    size_t n_names, names_len, names_room;
    char canonical[LOOP_NAMES_HOST_MAX + 1]; /* "": unknown */
    int64_t expires_ns;                      /* the first of all times; LOOP_NEVER */
};

/* Begins without records, which are valid for ever. */
void loop_names_records_init(struct loop_names_records *records);

/* Frees what the records have allocated. */
void loop_names_records_finish(struct loop_names_records *records);

/* Adds an address unless it is there. Returns 0 or -ENOMEM. */
int loop_names_add_address(struct loop_names_records *records, const struct loop_address *address);

/* Adds an address of `family` from its bytes as they are sent, of the interface `zone` or 0. Returns 0 or -ENOMEM. */
int loop_names_add_bytes(struct loop_names_records *records, int family, const void *bytes, uint32_t zone);

/* Adds a name unless it is there. Returns 0 or -ENOMEM. */
int loop_names_add_name(struct loop_names_records *records, const char *name);

/* Returns whether there is an address of `family`. */
bool loop_names_has_family(const struct loop_names_records *records, int family);

/* Makes an address from its bytes. */
struct loop_address loop_names_address(int family, const void *bytes, uint32_t zone);

/* Returns the bytes of an internet address as they are sent, and stores their number. */
const unsigned char *loop_names_bytes(const struct loop_address *address, size_t *len);

/* Returns whether both are the same, ports aside. */
bool loop_names_same_address(const struct loop_address *one, const struct loop_address *other);

/* Parses a numeric host: inet_pton(3), an IPv6 address also in brackets and with a zone. Returns 1 when it is one, 0
 * when it is none, -EINVAL for one with an unknown zone. */
int loop_names_parse_numeric(const char *host, struct loop_address *address);

/* Room for the text of an address with its port, and a NUL. */
#define LOOP_NAMES_ADDRESS_TEXT 96

/* Writes "192.0.2.1:53" or "[2001:db8::1]:53". Returns `text`. */
const char *loop_names_address_text(const struct loop_address *address, char text[LOOP_NAMES_ADDRESS_TEXT]);

#endif
