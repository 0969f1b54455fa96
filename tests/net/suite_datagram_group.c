/* SPDX-License-Identifier: ISC
 *
 * Multicast groups, on the loopback of a network of the test's own.
 */
#include "datagrams.h"
#include "network.h"
#include "sockets.h"

enum { MTU = 65536, LOOPBACK = 1 };

#if defined(NORIA_SIMULATED) && NORIA_SIMULATED
#define HAS_ETHERNET true
#else
#define HAS_ETHERNET false
#endif

static const struct family {
    const char *any, *own, *group, *other, *source, *stranger;
} families[] = {
    {"udp:0.0.0.0:0", "udp:127.0.0.1:0", "udp:232.1.2.3:0", "udp:239.1.2.4:0", "udp:127.0.0.1:0", "udp:127.0.0.9:0"},
    {"udp:[::]:0", "udp:[::1]:0", "udp:[ff31::1234]:0", "udp:[ff05::1235]:0", "udp:[::1]:0", "udp:[2001:db8::9]:0"},
};

static struct loop_datagram_socket *member, *client;
static struct loop_address member_at, client_at, group, other, source, stranger;
static struct heard heard;
static struct loop_address destination;

static void note_destination(void *arg, int64_t result, const struct loop_datagram *datagram)
{
    if (datagram && result >= 0 && datagram->destination) {
        destination = *datagram->destination;
        destination.u.ipv4.sin_port = group.u.ipv4.sin_port;
    }
    hear(arg, result, datagram);
}

static struct loop_address at_port(const char *text)
{
    struct loop_address address = parsed(text);

    address.u.ipv4.sin_port = member_at.u.ipv4.sin_port; /* IPv6 has it in the same place */
    return address;
}

/* Opens a member of no group yet, and a client. Returns false where a network of its own is not permitted. */
static bool open_both(struct loop_env *env)
{
    const struct family *family = &families[script.row];

    if (!enter_network(MTU)) {
        return false;
    }
    member_at = parsed(family->any);
    CHECK_IS(loop_datagram_open(
                 env->scope,
                 &(struct loop_datagram_options){.bind_to = &member_at, .reports = LOOP_DATAGRAM_PACKET_INFO}, &member),
             0);
    CHECK_IS(loop_datagram_address(member, &member_at), 0);
    client = bound(env->scope, family->own, &client_at);
    CHECK_IS(loop_datagram_set_multicast_interface(client, LOOPBACK), 0);
    group = at_port(family->group);
    other = at_port(family->other);
    source = parsed(family->source);
    stranger = parsed(family->stranger);
    loop_daemon(env->loop, loop_datagram_stream(member, note_destination, &heard));
    loop_scope_hold(env->scope);
    return true;
}

LOOP_TEST_ROWS(a_member_receives_what_its_group_is_sent, COUNT_OF(families))
{
    static bool is_possible;

    BEGIN;
    is_possible = open_both(env);
    if (is_possible) {
        CHECK_IS(loop_datagram_join(member, &group, NULL, LOOPBACK), 0);
        CHECK_IS(loop_datagram_join(member, &group, NULL, LOOPBACK), -EADDRINUSE);
        AWAIT(loop_datagram_send(client, &other, "x", 1, GO)); /* nobody is in that one */
        AWAIT(loop_datagram_send(client, &group, "a", 1, GO));
        CHECK_IS(result, 1);
        WAIT_UNTIL(heard.n >= 1);
        CHECK_TEXT(heard.first, "a");
        CHECK(is_same(&destination, &group));
        CHECK_IS(loop_datagram_leave(member, &group, NULL, LOOPBACK), 0);
        CHECK_IS(loop_datagram_leave(member, &group, NULL, LOOPBACK), -EADDRNOTAVAIL);
        CHECK_IS(loop_datagram_join(member, &other, NULL, LOOPBACK), 0);
        AWAIT(loop_datagram_send(client, &group, "b", 1, GO));
        AWAIT(loop_datagram_send(client, &other, "c", 1, GO));
        WAIT_UNTIL(heard.n >= 2);
        CHECK_TEXT(heard.first, "ac");
        loop_scope_unhold(env->scope);
    }
    END;
}

LOOP_TEST_ROWS(a_member_of_one_source_receives_from_no_other, COUNT_OF(families))
{
    static bool is_possible;

    BEGIN;
    is_possible = open_both(env);
    if (is_possible) {
        CHECK_IS(loop_datagram_join(member, &group, &stranger, LOOPBACK), 0);
        AWAIT(loop_datagram_send(client, &group, "a", 1, GO));
        AWAIT(turns(env->scope, 3, GO));
        CHECK_IS(heard.n, 0);
        CHECK_IS(loop_datagram_join(member, &group, &source, LOOPBACK), 0);
        AWAIT(loop_datagram_send(client, &group, "b", 1, GO));
        WAIT_UNTIL(heard.n == 1);
        CHECK_TEXT(heard.first, "b");
        CHECK_IS(loop_datagram_leave(member, &group, &source, LOOPBACK), 0);
        AWAIT(loop_datagram_send(client, &group, "c", 1, GO));
        AWAIT(turns(env->scope, 3, GO));
        CHECK_IS(heard.n, 1);
        CHECK_IS(loop_datagram_leave(member, &group, &source, LOOPBACK), -EADDRNOTAVAIL);
        loop_scope_unhold(env->scope);
    }
    END;
}

/* The kernel would narrow the membership to that source, or to no source at all. */
LOOP_TEST_ROWS(a_member_for_any_source_stays_one, COUNT_OF(families))
{
    static bool is_possible;

    BEGIN;
    is_possible = open_both(env);
    if (is_possible) {
        CHECK_IS(loop_datagram_join(member, &group, NULL, LOOPBACK), 0);
        CHECK_IS(loop_datagram_join(member, &group, &stranger, LOOPBACK), -EADDRNOTAVAIL);
        CHECK_IS(loop_datagram_leave(member, &group, &source, LOOPBACK), -EADDRNOTAVAIL);
        AWAIT(loop_datagram_send(client, &group, "a", 1, GO));
        WAIT_UNTIL(heard.n == 1);
        CHECK_TEXT(heard.first, "a");
        CHECK_IS(loop_datagram_leave(member, &group, NULL, LOOPBACK), 0);
        CHECK_IS(loop_datagram_leave(member, &group, NULL, LOOPBACK), -EADDRNOTAVAIL);
        CHECK_IS(loop_datagram_leave(member, &group, &source, LOOPBACK), -EADDRNOTAVAIL);
        loop_scope_unhold(env->scope);
    }
    END;
}

/* A call without an interface is about the one of the route, which only the kernel knows: the loopback on a network of
 * the test's own, another one on the simulated kernel. */
LOOP_TEST_ROWS(a_member_for_any_source_is_one_by_its_interface, COUNT_OF(families))
{
    static bool is_possible;

    BEGIN;
    is_possible = open_both(env);
    if (is_possible && loop_datagram_join(member, &group, NULL, 0) == 0) {
        CHECK_IS(loop_datagram_join(member, &group, &source, LOOPBACK), HAS_ETHERNET ? 0 : -EADDRNOTAVAIL);
        CHECK_IS(loop_datagram_join(member, &group, &source, 0), -EADDRNOTAVAIL);
        CHECK_IS(loop_datagram_leave(member, &group, NULL, 0), 0);
    }
    if (is_possible) {
        loop_scope_unhold(env->scope);
    }
    END;
}

/* IPv6 takes a call without an interface for one about any membership of the group. A network of the loopback alone has
 * no route to a group of IPv4. */
LOOP_TEST_ROWS(a_member_by_its_interface_is_none_by_that_of_the_route, COUNT_OF(families))
{
    static bool is_possible;

    BEGIN;
    is_possible = open_both(env);
    if (is_possible) {
        bool is_ipv4 = group.u.any.sa_family == AF_INET;
        CHECK_IS(loop_datagram_join(member, &group, NULL, LOOPBACK), 0);
        CHECK_IS(loop_datagram_join(member, &group, &source, 0), !is_ipv4       ? -EADDRNOTAVAIL
                                                                 : HAS_ETHERNET ? 0
                                                                                : -ENODEV);
        CHECK_IS(loop_datagram_join(member, &group, &source, LOOPBACK), -EADDRNOTAVAIL);
        loop_scope_unhold(env->scope);
    }
    END;
}

LOOP_TEST_ROWS(a_member_for_any_source_by_other_means_stays_one, COUNT_OF(families))
{
    static bool is_possible;

    BEGIN;
    is_possible = open_both(env);
    if (is_possible) {
        struct group_req request = {.gr_interface = LOOPBACK};
        int number = loop_fd_use(loop_datagram_fd(member));
        memcpy(&request.gr_group, &group.u, group.length);
        CHECK_IS(setsockopt(number, group.u.any.sa_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, MCAST_JOIN_GROUP,
                            &request, sizeof request),
                 0);
        loop_fd_unuse(loop_datagram_fd(member));
        CHECK_IS(loop_datagram_join(member, &group, &stranger, LOOPBACK), -EADDRNOTAVAIL);
        CHECK_IS(loop_datagram_leave(member, &group, &source, LOOPBACK), -EADDRNOTAVAIL);
        AWAIT(loop_datagram_send(client, &group, "a", 1, GO));
        WAIT_UNTIL(heard.n == 1);
        loop_scope_unhold(env->scope);
    }
    END;
}

LOOP_TEST_ROWS(a_source_is_joined_once, COUNT_OF(families))
{
    static bool is_possible;

    BEGIN;
    is_possible = open_both(env);
    if (is_possible) {
        CHECK_IS(loop_datagram_join(member, &group, &source, LOOPBACK), 0);
        CHECK_IS(loop_datagram_join(member, &group, &source, LOOPBACK), -EADDRINUSE);
        CHECK_IS(loop_datagram_join(member, &group, NULL, LOOPBACK), -EADDRINUSE);
        CHECK_IS(loop_datagram_join(member, &group, &stranger, LOOPBACK), 0);
        CHECK_IS(loop_datagram_leave(member, &group, &stranger, LOOPBACK), 0);
        CHECK_IS(loop_datagram_leave(member, &group, &stranger, LOOPBACK), -EADDRNOTAVAIL);
        AWAIT(loop_datagram_send(client, &group, "a", 1, GO));
        WAIT_UNTIL(heard.n == 1);
        CHECK_IS(loop_datagram_leave(member, &group, &source, LOOPBACK), 0);
        CHECK_IS(loop_datagram_leave(member, &group, &source, LOOPBACK), -EADDRNOTAVAIL);
        loop_scope_unhold(env->scope);
    }
    END;
}

/* Datagrams to a group are a train, too, and reach each member. */
LOOP_TEST_ROWS(a_train_reaches_each_member, COUNT_OF(families))
{
    static struct loop_datagram_socket *second;
    static struct heard by_second;
    static bool is_possible;

    BEGIN;
    is_possible = open_both(env);
    if (is_possible) {
        CHECK_IS(loop_datagram_close(member), 0);
        WAIT_UNTIL(heard.ends);
        member_at = parsed(families[script.row].any);
        for (int i = 0; i < 2; i++) {
            CHECK_IS(loop_datagram_open(env->scope,
                                        &(struct loop_datagram_options){.bind_to = &member_at, .reuse_addr = true},
                                        i ? &second : &member),
                     0);
            CHECK_IS(loop_datagram_address(member, &member_at), 0);
            CHECK_IS(loop_datagram_join(i ? second : member, &group, NULL, LOOPBACK), 0);
        }
        group = at_port(families[script.row].group);
        heard = (struct heard){0};
        loop_daemon(env->loop, listen_with(&heard, member));
        loop_daemon(env->loop, listen_with(&by_second, second));
        for (int i = 0; i < 10; i++) {
            CHECK_IS(loop_datagram_put(client, &group, &"abcdefghij"[i], 1), 0);
        }
        WAIT_UNTIL(heard.n == 10 && by_second.n == 10);
        CHECK_TEXT(heard.first, "abcdefghij");
        CHECK_TEXT(by_second.first, "abcdefghij");
        loop_scope_unhold(env->scope);
    }
    END;
}

LOOP_TEST_ROWS(own_datagrams_come_back_only_when_wanted, COUNT_OF(families))
{
    static bool is_possible;

    BEGIN;
    is_possible = open_both(env);
    if (is_possible) {
        enum loop_socket_option loops = script.row ? LOOP_IPV6_MULTICAST_LOOP : LOOP_IP_MULTICAST_LOOP;
        enum loop_socket_option hops = script.row ? LOOP_IPV6_MULTICAST_HOPS : LOOP_IP_MULTICAST_TTL;
        int value;
        CHECK_IS(loop_datagram_join(member, &group, NULL, LOOPBACK), 0);
        CHECK_IS(loop_socket_set(loop_datagram_fd(client), hops, 0), 0);
        CHECK_IS(loop_socket_get(loop_datagram_fd(client), hops, &value), 0);
        CHECK_IS(value, 0);
        CHECK_IS(loop_socket_get(loop_datagram_fd(client), loops, &value), 0);
        CHECK_IS(value, 1);
        AWAIT(loop_datagram_send(client, &group, "a", 1, GO)); /* of no hops: it stays here */
        WAIT_UNTIL(heard.n == 1);
        CHECK_TEXT(heard.first, "a");
        loop_scope_unhold(env->scope);
    }
    END;
}

/* ---- refused ---- */

LOOP_TEST_ROWS(p23_what_is_no_group_is_refused, COUNT_OF(families))
{
    static struct loop_datagram_socket *local;

    BEGIN;
    member = bound(env->scope, families[script.row].own, &member_at);
    group = parsed(families[script.row].group);
    other = parsed(families[1 - script.row].group);
    source = parsed(families[script.row].source);
    CHECK_IS(loop_datagram_join(member, NULL, NULL, 0), -EINVAL);
    CHECK_IS(loop_datagram_join(member, &source, NULL, 0), -EINVAL);
    CHECK_IS(loop_datagram_join(member, &other, NULL, 0), -EINVAL);
    source = parsed(families[1 - script.row].source);
    CHECK_IS(loop_datagram_join(member, &group, &source, 0), -EINVAL);
    CHECK_IS(loop_datagram_leave(member, &other, NULL, 0), -EINVAL);
    CHECK(loop_datagram_join(member, &group, NULL, 9999) < 0);
    CHECK(loop_datagram_set_multicast_interface(member, 9999) < 0);
    local = bound(env->scope, own_name("group"), &client_at);
    CHECK_IS(loop_datagram_join(local, &group, NULL, 0), -EINVAL);
    CHECK_IS(loop_datagram_set_multicast_interface(local, 1), -EINVAL);
    loop_datagram_close(member);
    CHECK_IS(loop_datagram_join(member, &group, NULL, 0), -EBADF);
    CHECK_IS(loop_datagram_leave(member, &group, NULL, 0), -EBADF);
    END;
}
