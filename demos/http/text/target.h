/* SPDX-License-Identifier: ISC
 *
 * Targets of requests, and hosts.
 */
#ifndef DEMOS_HTTP_TARGET_H
#define DEMOS_HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>

struct target {
    const char *name; /* after the leading slashes: the path, not decoded, then the query */
    const char *host; /* with its port; NULL where the target has none */
    size_t host_len;
};

/* Parses a target: "/path?query", or the same after a scheme and a host, as sent to proxies. Returns false for anything
 * else. Several leading slashes count as one: they would make a redirection point to another host. */
bool target_read(const char *text, struct target *target);

/* Decodes the path of a name to `path`, which has room for as many bytes as the name and for a NUL, and removes leading
 * slashes that were encoded. Returns false if it is invalid: a NUL would end the path early. */
bool target_decode(const char *name, char *path);

/* Returns whether a host, with or without a port and a dot at its end, is the one of that name. */
bool host_is(const char *host, size_t host_len, const char *name);

/* Returns whether a host, as above, is one label in front of `name`: www.example.org is below example.org, and neither
 * example.org nor a.www.example.org is. */
bool host_is_below(const char *host, size_t host_len, const char *name);

#endif
