/* SPDX-License-Identifier: ISC
 *
 * Writes requests, and compares ranges.
 */
#include "fetch_request.h"

#include <openssl/evp.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- ranges ---- */

static bool read_number(const char **text, uint64_t *number)
{
    char *end;

    if (**text < '0' || **text > '9') {
        return false;
    }
    errno = 0;
    *number = strtoull(*text, &end, 10);
    *text = end;
    return errno == 0;
}

bool range_parse(struct range *range, const char *text)
{
    *range = (struct range){.last = UINT64_MAX};
    range->is_from_end = !read_number(&text, &range->first);
    if (*text++ != '-') {
        return false;
    }
    bool has_last = read_number(&text, &range->last);
    if (*text != '\0' || (range->is_from_end && (!has_last || range->last == 0))) {
        return false;
    }
    return range->is_from_end || range->first <= range->last;
}

bool range_is_answered(const struct range *range, const struct response *response, uint64_t *n_bytes)
{
    uint64_t first, last, total, wanted_first = range->first, wanted_last = range->last;

    if (!response_range(response, &first, &last, &total)) {
        return false;
    }
    if (range->is_from_end) {
        wanted_first = total - (range->last < total ? range->last : total);
        wanted_last = UINT64_MAX;
    }
    if (total != UINT64_MAX && wanted_last >= total) {
        wanted_last = total - 1;
    }
    *n_bytes = last - first + 1;
    bool has_length = response->framing == FRAMING_LENGTH;
    return first == wanted_first && last == wanted_last && (!has_length || response->length == *n_bytes);
}

/* ---- requests ---- */

/* Appends a line, "NAME: VALUE". There is room for all of them: every part of them is bounded. */
static void add(char text[REQUEST_SIZE], const char *name, const char *value)
{
    size_t len = strlen(text);

    snprintf(text + len, REQUEST_SIZE - len, "%s: %s\r\n", name, value);
}

static void add_user(char text[REQUEST_SIZE], const struct url *url)
{
    char value[sizeof "Basic " + 4 * ((URL_USER_SIZE + 2) / 3)] = "Basic ";

    EVP_EncodeBlock((unsigned char *)value + strlen(value), (const unsigned char *)url->user, (int)strlen(url->user));
    add(text, "Authorization", value);
}

static void add_range(char text[REQUEST_SIZE], const struct range *range, const char *validator)
{
    char value[64];
    int len = snprintf(value, sizeof value, "bytes=");

    if (!range->is_from_end) {
        len += snprintf(value + len, sizeof value - (size_t)len, "%" PRIu64, range->first);
    }
    len += snprintf(value + len, sizeof value - (size_t)len, "-");
    if (range->last != UINT64_MAX) {
        snprintf(value + len, sizeof value - (size_t)len, "%" PRIu64, range->last);
    }
    add(text, "Range", value);
    if (validator[0]) {
        add(text, "If-Range", validator);
    }
}

void request_write(char text[REQUEST_SIZE], const struct url *url, const struct range *range, const char *validator)
{
    char authority[sizeof url->host + sizeof url->service + 4];

    snprintf(text, REQUEST_SIZE, "GET %s HTTP/1.1\r\n", url->target);
    add(text, "Host", url_authority(url, authority, sizeof authority));
    add(text, "User-Agent", "noria-fetch");
    add(text, "Accept", "*/*");
    add(text, "Accept-Encoding", "identity"); /* the length and the ranges of the content itself */
    if (url->user[0]) {
        add_user(text, url);
    }
    if (range) {
        add_range(text, range, validator);
    }
    size_t len = strlen(text);
    snprintf(text + len, REQUEST_SIZE - len, "\r\n");
}
