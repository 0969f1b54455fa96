/* SPDX-License-Identifier: ISC
 *
 * Parses and resolves URLs.
 */
#include "fetch_url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define AUTHORITY_SIZE 600

static const char is_too_long[] = "is too long";

/* ---- characters ---- */

static int hex_of(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    char lower = (char)tolower((unsigned char)digit);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Returns the byte that "%XX" stands for, or -1. */
static int decoded(const char *text)
{
    int high = text[0] == '%' ? hex_of(text[1]) : -1;
    int low = high >= 0 ? hex_of(text[2]) : -1;

    return low >= 0 ? high * 16 + low : -1;
}

/* Decodes `len` bytes of percent-encoded text. Returns false for a byte that is a control character, and without room
 * for the result and a NUL. */
static bool decode(char *to, size_t size, const char *from, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        int byte = from[i] == '%' ? decoded(from + i) : (unsigned char)from[i];
        if (byte < ' ' || byte == 0x7f || n + 1 >= size) {
            return false;
        }
        to[n++] = (char)byte;
        i += from[i] == '%' ? 2 : 0;
    }
    to[n] = '\0';
    return true;
}

static const char *check_characters(const char *text)
{
    for (; *text; text++) {
        if (*text <= ' ' || *text >= 0x7f) {
            return "has a character that must be percent-encoded";
        }
        if (*text == '%' && decoded(text) < 0) {
            return "has a '%' without two hexadecimal digits";
        }
    }
    return NULL;
}

/* ---- the authority ---- */

static const char *read_service(struct url *url, const char *text)
{
    size_t len = strlen(text);
    unsigned long port = strtoul(text, NULL, 10);

    if (len == 0) {
        snprintf(url->service, sizeof url->service, "%s", url->is_secure ? "443" : "80");
        return NULL;
    }
    if (text[strspn(text, "0123456789")] != '\0' || len >= sizeof url->service || port == 0 || port > 65535) {
        return "has a bad port";
    }
    snprintf(url->service, sizeof url->service, "%lu", port);
    return NULL;
}

static const char *read_name(struct url *url, const char *text, size_t len)
{
    if (len == 0 || len > 253) {
        return "has no host name";
    }
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)text[i]) && !strchr("-._", text[i])) {
            return "has a bad host name";
        }
        url->host[i] = (char)tolower((unsigned char)text[i]);
    }
    url->host[len] = '\0';
    return NULL;
}

static const char *read_ipv6(struct url *url, const char *text, size_t len)
{
    struct in6_addr address;

    if (len >= INET6_ADDRSTRLEN) {
        return "has a bad IPv6 address";
    }
    memcpy(url->host, text, len);
    url->host[len] = '\0';
    return inet_pton(AF_INET6, url->host, &address) == 1 ? NULL : "has a bad IPv6 address";
}

/* Reads "HOST", "HOST:PORT", "[ADDRESS]" or "[ADDRESS]:PORT". */
static const char *read_host(struct url *url, const char *text)
{
    bool has_brackets = text[0] == '[';
    size_t len = strcspn(text + has_brackets, has_brackets ? "]" : ":");
    const char *rest = text + has_brackets + len;

    if (has_brackets && *rest++ != ']') {
        return "has a '[' without ']'";
    }
    if (*rest != '\0' && *rest != ':') {
        return "has a bad host name";
    }
    const char *wrong = has_brackets ? read_ipv6(url, text + 1, len) : read_name(url, text, len);
    return wrong ? wrong : read_service(url, *rest == ':' ? rest + 1 : rest);
}

static const char *read_authority(struct url *url, const char *text)
{
    const char *at = strchr(text, '@');

    if (!at) {
        return read_host(url, text);
    }
    if (strchr(at + 1, '@') || at == text || !decode(url->user, sizeof url->user, text, (size_t)(at - text))) {
        return "has a bad name or password";
    }
    return read_host(url, at + 1);
}

/* ---- the target ---- */

/* Removes "." and ".." from a path that begins with '/' (RFC 3986, 5.2.4). */
static void remove_dots(char *path)
{
    char *out = path;

    for (const char *in = path; *in;) {
        size_t len = 1 + strcspn(in + 1, "/");
        bool is_last = in[len] == '\0';
        bool is_dot = len == 2 && in[1] == '.', is_up = len == 3 && in[1] == '.' && in[2] == '.';
        if (is_up) {
            while (out > path && *--out != '/') {
            }
        }
        if (is_dot || is_up) {
            in += is_last ? len - 1 : len;
            if (is_last) {
                *out++ = '/';
                break;
            }
        } else {
            memmove(out, in, len);
            out += len;
            in += len;
        }
    }
    *out = '\0';
}

/* Stores path and query, without dots in the path. */
static const char *read_target(struct url *url, const char *text)
{
    char path[URL_SIZE];
    size_t path_len = strcspn(text, "?");

    if (strlen(text) + 2 > sizeof path) {
        return is_too_long;
    }
    snprintf(path, sizeof path, "%s%.*s", text[0] == '/' ? "" : "/", (int)path_len, text);
    remove_dots(path);
    size_t len = (size_t)snprintf(url->target, sizeof url->target, "%s%s", path, text + path_len);
    return len < sizeof url->target ? NULL : is_too_long;
}

/* ---- whole URLs ---- */

/* Returns what follows "http://" or "https://"; NULL for another text. */
static const char *behind_scheme(const char *text, bool *is_secure)
{
    *is_secure = strncasecmp(text, "https://", 8) == 0;
    if (*is_secure) {
        return text + 8;
    }
    return strncasecmp(text, "http://", 7) == 0 ? text + 7 : NULL;
}

const char *url_parse(struct url *url, const char *text)
{
    char authority[AUTHORITY_SIZE], rest[URL_SIZE];
    const char *wrong = check_characters(text);

    *url = (struct url){0};
    const char *from = behind_scheme(text, &url->is_secure);
    if (wrong || !from) {
        return wrong ? wrong : "does not begin with http:// or https://";
    }
    size_t len = strcspn(from, "/?#"), rest_len = strcspn(from + len, "#");
    if (len >= sizeof authority || rest_len >= sizeof rest) {
        return is_too_long;
    }
    snprintf(authority, sizeof authority, "%.*s", (int)len, from);
    snprintf(rest, sizeof rest, "%.*s", (int)rest_len, from + len);
    wrong = read_authority(url, authority);
    return wrong ? wrong : read_target(url, rest);
}

bool url_same_origin(const struct url *one, const struct url *other)
{
    return one->is_secure == other->is_secure && strcmp(one->host, other->host) == 0 &&
           strcmp(one->service, other->service) == 0;
}

const char *url_authority(const struct url *url, char *text, size_t size)
{
    bool is_ipv6 = strchr(url->host, ':') != NULL;
    bool is_default = strcmp(url->service, url->is_secure ? "443" : "80") == 0;

    snprintf(text, size, "%s%s%s%s%s", is_ipv6 ? "[" : "", url->host, is_ipv6 ? "]" : "", is_default ? "" : ":",
             is_default ? "" : url->service);
    return text;
}

const char *url_text(const struct url *url, char *text, size_t size)
{
    char authority[AUTHORITY_SIZE];

    snprintf(text, size, "%s://%s%s", url->is_secure ? "https" : "http",
             url_authority(url, authority, sizeof authority), url->target);
    return text;
}

/* Returns how much of the base's target precedes the reference: all for "", the path for "?QUERY", nothing for "/PATH",
 * and the directories of the path for another one. */
static size_t length_kept(const struct url *base, const char *reference)
{
    size_t path_len = strcspn(base->target, "?"), len = path_len;

    if (reference[0] == '\0' || reference[0] == '#') {
        return strlen(base->target);
    }
    if (reference[0] == '?' || reference[0] == '/') {
        return reference[0] == '?' ? path_len : 0;
    }
    while (len > 0 && base->target[len - 1] != '/') {
        len--;
    }
    return len;
}

const char *url_resolve(struct url *url, const struct url *base, const char *reference)
{
    char text[2 * URL_SIZE], authority[AUTHORITY_SIZE];
    const char *scheme = base->is_secure ? "https" : "http";
    size_t before_colon = strcspn(reference, ":/?#");
    bool is_absolute = reference[before_colon] == ':', has_host = strncmp(reference, "//", 2) == 0;

    if (strlen(reference) >= URL_SIZE) {
        return is_too_long;
    }
    if (is_absolute || has_host) {
        snprintf(text, sizeof text, "%s%s%s", is_absolute ? "" : scheme, is_absolute ? "" : ":", reference);
    } else {
        snprintf(text, sizeof text, "%s://%s%.*s%s", scheme, url_authority(base, authority, sizeof authority),
                 (int)length_kept(base, reference), base->target, reference);
    }
    const char *wrong = url_parse(url, text);
    if (wrong || url->user[0]) {
        return wrong ? wrong : "has a name and password of the server's choice";
    }
    if (url_same_origin(url, base)) {
        memcpy(url->user, base->user, sizeof url->user);
    }
    return NULL;
}

bool url_file_name(const struct url *url, char *name, size_t size)
{
    size_t path_len = strcspn(url->target, "?"), begin = path_len;

    while (begin > 0 && url->target[begin - 1] != '/') {
        begin--;
    }
    if (begin == path_len) {
        return snprintf(name, size, "index.html") < (int)size;
    }
    return decode(name, size, url->target + begin, path_len - begin) && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}
