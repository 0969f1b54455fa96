/* SPDX-License-Identifier: ISC
 *
 * Addresses as text: parsed, printed and refused ones.
 */
#include "sockets.h"

#include <sys/mman.h>

/* ---- addresses ---- */

/* Returns a copy of the text that ends directly before an unreadable page. */
static const char *at_a_guard_page(const char *text)
{
    static char *pages;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = strlen(text) + 1;

    if (!pages) {
        pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(pages != MAP_FAILED);
        CHECK_IS(mprotect(pages + page, page, PROT_NONE), 0);
    }
    memcpy(pages + page - size, text, size);
    return pages + page - size;
}

static void drop_guard_page(void)
{
    const char *end = at_a_guard_page("");

    CHECK_IS(munmap((void *)(uintptr_t)(end + 1 - sysconf(_SC_PAGESIZE)), 2 * (size_t)sysconf(_SC_PAGESIZE)), 0);
}

static void check_round_trip(const char *text, const char *expected)
{
    struct loop_address address, again;
    char buffer[LOOP_ADDRESS_TEXT_SIZE];

    int answer = loop_address_parse(&address, at_a_guard_page(text));
    if (answer != 0) {
        ck_abort_msg("'%s' was not taken: %d", text, answer);
    }
    CHECK_IS(loop_address_format(&address, buffer, sizeof buffer), strlen(expected));
    CHECK_TEXT(buffer, expected);
    if (text[0] == expected[0]) {
        CHECK_IS(loop_address_parse(&again, at_a_guard_page(expected)), 0);
        CHECK_IS(again.length, address.length);
        CHECK(memcmp(&again.u, &address.u, address.length) == 0);
    }
}

TEST(addresses_are_parsed_and_printed)
{
    const char *pairs[][2] = {{"tcp:127.0.0.1:80", "tcp:127.0.0.1:80"},
                              {"tcp:0.0.0.0:0", "tcp:0.0.0.0:0"},
                              {"tcp:255.255.255.255:65535", "tcp:255.255.255.255:65535"},
                              {"tcp:[::1]:1", "tcp:[::1]:1"},
                              {"tcp:[2001:DB8::00ff]:443", "tcp:[2001:db8::ff]:443"},
                              {"tcp:[::ffff:1.2.3.4]:9", "tcp:[::ffff:1.2.3.4]:9"},
                              {"tcp:[fe80::1%lo]:80", "tcp:[fe80::1%lo]:80"},
                              {"tcp::8080", "tcp:[::]:8080"},
                              {"unix:/tmp/a socket", "unix:/tmp/a socket"},
                              {"unix:relative", "unix:relative"},
                              {"unix:@abstract", "unix:@abstract"}};

    for (unsigned i = 0; i < COUNT_OF(pairs); i++) {
        check_round_trip(pairs[i][0], pairs[i][1]);
    }
    drop_guard_page();
}

TEST(what_is_no_address_is_refused)
{
    const char *bad[] = {"",
                         "t",
                         "tcp",
                         "tcp:",
                         "tcp:127.0.0.1",
                         "tcp:127.0.0.1:",
                         "tcp:127.0.0.1:65536",
                         "tcp:127.0.0.1:-1",
                         "tcp:127.0.0.1:1x",
                         "tcp:127.0.0.1: 1",
                         "tcp:127.0.0.1:99999999999999999999",
                         "tcp:127.0.0:1",
                         "tcp:127.0.0.256:1",
                         "tcp:localhost:80",
                         "tcp:[::1]",
                         "tcp:[::1",
                         "tcp:[]:80",
                         "tcp:[::1]80",
                         "tcp:::1:80",
                         "tcp:[127.0.0.1]:80",
                         "tcp:[::1%]:80",
                         "tcp:[fe80::1%no-such-zone]:80",
                         "tcp:[:::1]:80",
                         "unix:",
                         "unix:@",
                         "udp:127.0.0.1",
                         "TCP:127.0.0.1:80",
                         "127.0.0.1:80",
                         "/tmp/x",
                         " tcp:127.0.0.1:80",
                         "tcp:127.0.0.1:80 ",
                         "tcp:0x7f.1:80",
                         "tcp:127.1:80",
                         "tcp:[::1]:+80"};
    struct loop_address address;

    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        int answer = loop_address_parse(&address, at_a_guard_page(bad[i]));
        if (answer != -EINVAL) {
            ck_abort_msg("'%s' gave %d", bad[i], answer);
        }
    }
    CHECK_IS(loop_address_parse(&address, NULL), -EINVAL);
    CHECK_IS(loop_address_parse(NULL, "tcp:127.0.0.1:80"), -EINVAL);
    drop_guard_page();
}

TEST(unix_paths_fit_or_are_too_long)
{
    struct loop_address address;
    char text[300] = "unix:";

    memset(text + 5, 'p', 107);
    CHECK_IS(loop_address_parse(&address, at_a_guard_page(text)), 0);
    check_round_trip(text, text);
    memset(text + 5, 'p', 108);
    CHECK_IS(loop_address_parse(&address, at_a_guard_page(text)), -ENAMETOOLONG);
    memset(text + 5, 'p', 290);
    CHECK_IS(loop_address_parse(&address, at_a_guard_page(text)), -ENAMETOOLONG);
    text[5] = '@';
    text[5 + 108] = 0;
    check_round_trip(text, text);
    text[5 + 108] = 'p';
    text[5 + 109] = 0;
    CHECK_IS(loop_address_parse(&address, at_a_guard_page(text)), -ENAMETOOLONG);
    drop_guard_page();
}

TEST(names_that_do_not_print_are_escaped)
{
    struct loop_address address = {.length = offsetof(struct sockaddr_un, sun_path) + 5};
    char buffer[LOOP_ADDRESS_TEXT_SIZE];

    address.u.local.sun_family = AF_UNIX;
    memcpy(address.u.local.sun_path, "\0a\n\xffz", 5);
    CHECK(loop_address_format(&address, buffer, sizeof buffer) > 0);
    CHECK(strstr(buffer, "unix:@a\\x0"));
    CHECK(strstr(buffer, "\\xff") || strstr(buffer, "\\xFF"));
    for (int i = 0; i < 108; i++) {
        address.u.local.sun_path[i] = (char)(i ? 0x80 + i : 0);
    }
    address.length = sizeof address.u.local;
    CHECK(loop_address_format(&address, buffer, sizeof buffer) > 0);
    CHECK(strlen(buffer) < LOOP_ADDRESS_TEXT_SIZE);
}

TEST(addresses_without_room_say_enospc)
{
    struct loop_address address;
    char buffer[32];

    CHECK_IS(loop_address_parse(&address, "tcp:127.0.0.1:80"), 0);
    for (size_t size = 0; size <= 16; size++) {
        memset(buffer, 'x', sizeof buffer);
        CHECK_IS(loop_address_format(&address, buffer, size), -ENOSPC);
        CHECK_IS(buffer[size], 'x');
    }
    CHECK_IS(loop_address_format(&address, buffer, 17), 16);
}

TEST(random_text_is_never_trouble)
{
    static const char alphabet[] = "tcpunix:.[]%@/0123456789abcdef \xff";
    struct loop_address address;
    char text[40], buffer[LOOP_ADDRESS_TEXT_SIZE];

    srand(5);
    for (int round = 0; round < 50000; round++) {
        size_t length = (size_t)rand() % sizeof text;
        for (size_t i = 0; i < length; i++) {
            text[i] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
        }
        text[length ? length - 1 : 0] = 0;
        if (round % 2) {
            memcpy(text, round % 4 == 1 ? "tcp:" : "unix:", round % 4 == 1 ? 4 : 5);
        }
        if (loop_address_parse(&address, at_a_guard_page(text)) == 0) {
            CHECK(loop_address_format(&address, buffer, sizeof buffer) > 0);
        }
    }
    drop_guard_page();
}

/* ---- addresses ---- */

/* Returns `size` bytes that end directly before an inaccessible page. */
static char *before_guard_page(size_t size)
{
    static char *pages;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (!pages) {
        pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(pages != MAP_FAILED);
        CHECK_IS(mprotect(pages + page, page, PROT_NONE), 0);
    }
    if (size == 0) {
        CHECK_IS(munmap(pages, 2 * page), 0);
        pages = NULL;
        return NULL;
    }
    return pages + page - size;
}

TEST(format_never_writes_beyond_its_room)
{
    static const char *const texts[] = {"tcp:127.0.0.1:80", "tcp:[::1]:65535", "unix:/tmp/a", "unix:@name"};
    char whole[LOOP_ADDRESS_TEXT_SIZE];

    for (unsigned i = 0; i < COUNT_OF(texts); i++) {
        struct loop_address address = parsed(texts[i]);
        int length = loop_address_format(&address, whole, sizeof whole);
        CHECK_IS(length, strlen(texts[i]));
        for (size_t size = 1; size <= (size_t)length + 1; size++) {
            char *text = before_guard_page(size);
            int answer = loop_address_format(&address, text, size);
            CHECK_IS(answer, size > (size_t)length ? length : -ENOSPC);
        }
        CHECK_TEXT(before_guard_page((size_t)length + 1), texts[i]);
        CHECK_IS(loop_address_format(&address, whole, 0), -ENOSPC);
    }
    before_guard_page(0);
}

/* The parser never reads beyond the end of a text, whatever prefix it is. */
TEST(every_beginning_of_an_address_is_parsed_in_its_bounds)
{
    static const char *const texts[] = {"tcp:[fe80::1%lo]:80", "tcp:255.255.255.255:65535", "unix:@abstract",
                                        "unix:/a"};

    for (unsigned i = 0; i < COUNT_OF(texts); i++) {
        for (size_t length = 0; length <= strlen(texts[i]); length++) {
            struct loop_address address;
            char *text = before_guard_page(length + 1);
            memcpy(text, texts[i], length);
            text[length] = '\0';
            int answer = loop_address_parse(&address, text);
            CHECK(answer == 0 || answer == -EINVAL);
            CHECK(length < strlen(texts[i]) || answer == 0);
        }
    }
    before_guard_page(0);
}

TEST(arguments_that_are_no_addresses_are_refused)
{
    struct loop_address address = parsed("tcp:127.0.0.1:1");
    char text[LOOP_ADDRESS_TEXT_SIZE];

    CHECK_IS(loop_address_parse(NULL, "tcp:127.0.0.1:1"), -EINVAL);
    CHECK_IS(loop_address_parse(&address, NULL), -EINVAL);
    address = parsed("tcp:127.0.0.1:1");
    CHECK_IS(loop_address_format(NULL, text, sizeof text), -EINVAL);
    CHECK_IS(loop_address_format(&address, NULL, sizeof text), -EINVAL);
    address.length = 3;
    CHECK_IS(loop_address_format(&address, text, sizeof text), -EINVAL);
    address.length = 0;
    CHECK_IS(loop_address_format(&address, text, sizeof text), -EINVAL);
    address.length = sizeof address.u + 1;
    CHECK_IS(loop_address_format(&address, text, sizeof text), -EINVAL);
    address = parsed("tcp:127.0.0.1:1");
    address.u.any.sa_family = AF_NETLINK;
    CHECK_IS(loop_address_format(&address, text, sizeof text), -EAFNOSUPPORT);
}

LOOP_TEST(addresses_of_a_flow_that_has_none)
{
    static struct loop_flow *flows[2];
    static struct loop_address address;

    BEGIN;
    make_flows(env->scope, flows);
    CHECK_IS(loop_flow_peer_address(flows[0], &address), 0);
    CHECK_IS(address.u.any.sa_family, AF_UNIX);
    CHECK_IS(address.length, sizeof(sa_family_t));
    CHECK_IS(loop_flow_local_address(flows[0], NULL), -EINVAL);
    loop_flow_close(flows[0]);
    CHECK_IS(loop_flow_peer_address(flows[0], &address), -EBADF);
    CHECK_IS(loop_flow_local_address(flows[0], &address), -EBADF);
    flows[0] = flow_of(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_IS(loop_flow_peer_address(flows[0], &address), -ENOTCONN);
    END;
}
