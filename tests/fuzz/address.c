/* SPDX-License-Identifier: ISC
 *
 * Fuzzes addresses as text. loop_address_parse accepts what a second, independent parser accepts, and the printed
 * address parses to the same address. Addresses of arbitrary bytes print to a text or return an error.
 */
#include "fuzz.h"

#include <net/net.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <stddef.h>

/* ---- the model: it answers only whether a text is an address ---- */

static bool is_number(const char *text, unsigned long long most)
{
    size_t len = strlen(text);
    char again[32];

    if (len == 0 || len > 10 || strspn(text, "0123456789") != len) {
        return false;
    }
    unsigned long long value = strtoull(text, NULL, 10);
    snprintf(again, sizeof again, "%llu", value);
    return strcmp(again, text) == 0 && value <= most;
}

static bool is_zone(const char *zone)
{
    return if_nametoindex(zone) != 0 || (is_number(zone, UINT32_MAX) && strcmp(zone, "0") != 0);
}

static bool is_ipv6(const char *text)
{
    char host[512];
    struct in6_addr any;

    snprintf(host, sizeof host, "%s", text);
    char *zone = strchr(host, '%');
    if (zone) {
        *zone++ = '\0';
    }
    return (!zone || is_zone(zone)) && inet_pton(AF_INET6, host, &any) == 1;
}

static bool is_internet(const char *text)
{
    char host[512];
    struct in_addr any;

    snprintf(host, sizeof host, "%s", text);
    char *port = strrchr(host, ':');
    if (!port || !is_number(port + 1, 65535)) {
        return false;
    }
    *port = '\0';
    size_t len = strlen(host);
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        return is_ipv6(host + 1);
    }
    return len == 0 || inet_pton(AF_INET, host, &any) == 1;
}

static int expected_answer(const char *text)
{
    if (strncmp(text, "tcp:", 4) == 0 || strncmp(text, "udp:", 4) == 0) {
        return is_internet(text + 4) ? 0 : -EINVAL;
    }
    if (strncmp(text, "unix:", 5) != 0 || !text[5] || strcmp(text, "unix:@") == 0) {
        return -EINVAL;
    }
    size_t room = sizeof((struct sockaddr_un *)0)->sun_path - (text[5] != '@');
    return strlen(text + 5) > room ? -ENAMETOOLONG : 0;
}

/* ---- the target ---- */

/* Formats an address, with enough room and with one byte too little. */
static int format(const struct loop_address *address, char text[LOOP_ADDRESS_TEXT_SIZE])
{
    int len = loop_address_format(address, text, LOOP_ADDRESS_TEXT_SIZE);

    FUZZ_MUST(len < LOOP_ADDRESS_TEXT_SIZE && (len < 0 || strlen(text) == (size_t)len));
    if (len > 0) {
        char *tight = malloc((size_t)len + 1);
        FUZZ_MUST(tight && loop_address_format(address, tight, (size_t)len) == -ENOSPC);
        FUZZ_MUST(loop_address_format(address, tight, (size_t)len + 1) == len && strcmp(tight, text) == 0);
        free(tight);
    }
    return len;
}

static bool can_read_back(const char *text)
{
    return !strchr(text, '\\');
}

static void parse(const char *text)
{
    struct loop_address address, again;
    char formatted[LOOP_ADDRESS_TEXT_SIZE];

    FUZZ_MUST(loop_address_parse(&address, text) == expected_answer(text));
    if (expected_answer(text) < 0) {
        return;
    }
    FUZZ_MUST(format(&address, formatted) > 0);
    if (can_read_back(formatted)) {
        FUZZ_MUST(loop_address_parse(&again, formatted) == 0);
        FUZZ_MUST(again.length == address.length && memcmp(&again.u, &address.u, again.length) == 0);
    }
}

static void format_anything(const uint8_t *data, size_t size)
{
    struct loop_address address;
    char text[LOOP_ADDRESS_TEXT_SIZE];

    memset(&address, 0, sizeof address);
    memcpy(&address.u, data, size < sizeof address.u ? size : sizeof address.u);
    address.length = (socklen_t)(size < sizeof address.u ? size : sizeof address.u);
    format(&address, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[400];

    if (size > 0 && data[0] == 0) {
        format_anything(data + 1, size - 1);
    } else if (size < sizeof text) {
        memcpy(text, data, size);
        text[size] = '\0';
        parse(text);
    }
    return 0;
}
