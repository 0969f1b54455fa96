/* SPDX-License-Identifier: ISC
 *
 * Targets of requests, and hosts.
 */
#include "target.h"

#include <string.h>
#include <strings.h>

/* Returns how long a scheme that is served is, with what follows it, or 0. */
static size_t scheme_len(const char *text)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t len = strlen(schemes[i]);
        if (strncasecmp(text, schemes[i], len) == 0) {
            return len;
        }
    }
    return 0;
}

bool target_read(const char *text, struct target *target)
{
    size_t scheme = scheme_len(text);

    *target = (struct target){0};
    text += scheme;
    if (scheme > 0) {
        target->host = text;
        target->host_len = strcspn(text, "/?#");
        text += target->host_len;
        if (target->host_len == 0 || memchr(target->host, '@', target->host_len)) {
            return false;
        }
    } else if (text[0] != '/') {
        return false;
    }
    target->name = text + strspn(text, "/");
    return true;
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    digit = (char)(digit | 0x20);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool target_decode(const char *name, char *path)
{
    size_t end = strcspn(name, "?#");
    char *at = path;

    for (size_t i = 0; i < end; i++) {
        char byte = name[i];
        if (byte == '%') {
            int high = hex_digit(name[i + 1]), low = high < 0 ? -1 : hex_digit(name[i + 2]);
            if (low < 0 || high + low == 0) {
                return false;
            }
            byte = (char)(high << 4 | low);
            i += 2;
        }
        *at++ = byte;
    }
    *at = '\0';
    size_t n_slashes = strspn(path, "/");
    memmove(path, path + n_slashes, strlen(path + n_slashes) + 1);
    return true;
}

/* The colon before a port is the last one, behind the brackets of an IPv6 address. */
static size_t len_without_port(const char *host, size_t len)
{
    size_t n_digits = 0;

    while (n_digits < len && host[len - 1 - n_digits] >= '0' && host[len - 1 - n_digits] <= '9') {
        n_digits++;
    }
    return n_digits < len && host[len - 1 - n_digits] == ':' ? len - 1 - n_digits : len;
}

/* Without the port and a dot at the end. */
static size_t len_of_name(const char *host, size_t host_len)
{
    size_t len = len_without_port(host, host_len);

    return len - (len > 0 && host[len - 1] == '.');
}

bool host_is(const char *host, size_t host_len, const char *name)
{
    size_t len = len_of_name(host, host_len);

    return strlen(name) == len && strncasecmp(host, name, len) == 0;
}

bool host_is_below(const char *host, size_t host_len, const char *name)
{
    size_t len = len_of_name(host, host_len);
    const char *dot = len > 0 ? memchr(host, '.', len) : NULL;

    return dot && dot > host && host_is(dot + 1, len - (size_t)(dot + 1 - host), name);
}
