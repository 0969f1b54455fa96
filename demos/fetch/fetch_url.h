/* SPDX-License-Identifier: ISC
 *
 * URLs of http and https, as RFC 3986 has them. Nothing in a parsed URL can end a line of a request: control
 * characters, spaces and other than ASCII characters are refused, and have to be percent-encoded.
 */
#ifndef DEMOS_FETCH_URL_H
#define DEMOS_FETCH_URL_H

#include <stdbool.h>
#include <stddef.h>

#define URL_SIZE ((size_t)4096)
#define URL_USER_SIZE 256

struct url {
    bool is_secure;           /* https */
    char host[256];           /* in lower case; an IPv6 address without brackets */
    char service[6];          /* the port */
    char user[URL_USER_SIZE]; /* "NAME:PASSWORD", decoded; "" for none */
    char target[URL_SIZE];    /* path and query, as in a request */
};

/* Parses a URL. Returns NULL, or what is wrong with it. */
const char *url_parse(struct url *url, const char *text);

/* Resolves what a server at `base` refers to. Name and password stay with their origin, and cannot be in `reference`.
 * Returns NULL, or what is wrong with it. */
const char *url_resolve(struct url *url, const struct url *base, const char *reference);

/* Returns whether both have the same scheme, host and port. */
bool url_same_origin(const struct url *one, const struct url *other);

/* Writes "HOST", or "HOST:PORT" for another port than that of the scheme. Returns `text`. */
const char *url_authority(const struct url *url, char *text, size_t size);

/* Writes the URL without name and password. Returns `text`. */
const char *url_text(const struct url *url, char *text, size_t size);

/* Writes the name for a file, the decoded last part of the path. Returns false where that cannot be a name. */
bool url_file_name(const struct url *url, char *name, size_t size);

#endif
