/* SPDX-License-Identifier: ISC
 *
 * The library that parses HTTP: llhttp, or http_parser, its predecessor. Their callbacks have the same names and
 * meanings; what differs is here.
 */
#ifndef DEMOS_HTTP_LIBRARY_H
#define DEMOS_HTTP_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if HTTP_WITH_LLHTTP

#include <llhttp.h>

typedef llhttp_t http_state;
typedef llhttp_settings_t http_settings;

/* Begins a message of the kind `type`, HTTP_REQUEST or HTTP_RESPONSE. The callbacks find their own data in
 * `state->data`, which is set afterwards. */
static inline void http_begin(http_state *state, llhttp_type_t type, const http_settings *settings)
{
    llhttp_init(state, type, settings);
}

/* Parses the next bytes of the message. Returns false when the library or a callback refuses them. */
static inline bool http_parse(http_state *state, const http_settings *settings, const char *bytes, size_t len)
{
    (void)settings;
    return llhttp_execute(state, bytes, len) == HPE_OK;
}

/* Returns whether another message may follow on the connection. */
static inline bool http_may_go_on(const http_state *state)
{
    return llhttp_should_keep_alive(state);
}

/* Returns the name of a request's method. */
static inline const char *http_method_name(const http_state *state)
{
    return llhttp_method_name((llhttp_method_t)state->method);
}

/* Returns whether the library has refused a request for its method. */
static inline bool http_is_method_unknown(const http_state *state)
{
    return llhttp_get_errno(state) == HPE_INVALID_METHOD;
}

/* Returns whether the head has a Content-Length, which is then in `state->content_length`. */
static inline bool http_has_length(const http_state *state)
{
    return (state->flags & F_CONTENT_LENGTH) != 0;
}

#else

#include <http_parser.h>

typedef http_parser http_state;
typedef http_parser_settings http_settings;

static inline void http_begin(http_state *state, enum http_parser_type type, const http_settings *settings)
{
    (void)settings;
    http_parser_init(state, type);
}

static inline bool http_parse(http_state *state, const http_settings *settings, const char *bytes, size_t len)
{
    return http_parser_execute(state, settings, bytes, len) == len && HTTP_PARSER_ERRNO(state) == HPE_OK;
}

static inline bool http_may_go_on(const http_state *state)
{
    return http_should_keep_alive(state);
}

static inline const char *http_method_name(const http_state *state)
{
    return http_method_str((enum http_method)state->method);
}

static inline bool http_is_method_unknown(const http_state *state)
{
    return HTTP_PARSER_ERRNO(state) == HPE_INVALID_METHOD;
}

static inline bool http_has_length(const http_state *state)
{
    return (state->flags & F_CONTENTLENGTH) != 0;
}

#endif

#endif
