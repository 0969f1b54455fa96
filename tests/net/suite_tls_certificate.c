/* SPDX-License-Identifier: ISC
 *
 * Which certificates are accepted, and what is said about those that are not.
 */
#include "tls.h"

#include <stdio.h>

static struct tls_pair pair;
static char buf[64];

/* ---- the certificates of servers ---- */

static struct issued other, middle;

static struct issued make(const char *hosts, int64_t begins_s, int64_t ends_s)
{
    return issue(&(struct issue){
        .name = TLS_HOST, .hosts = hosts, .issuer = &tls.authority, .begins_s = begins_s, .ends_s = ends_s});
}

static void make_good(void)
{
}

static void make_expired(void)
{
    tls.server = make("DNS:" TLS_HOST, -7200, -3600);
}

static void make_early(void)
{
    tls.server = make("DNS:" TLS_HOST, 3600, 7200);
}

static void make_for_others(void)
{
    tls.server = make("DNS:a.example,DNS:*.b.example", 0, 0);
}

static void make_for_terminals(void)
{
    tls.server = make("DNS:a\033[2Jb", 0, 0);
}

static void make_self_signed(void)
{
    tls.server = issue(&(struct issue){.name = TLS_HOST, .hosts = "DNS:" TLS_HOST});
}

static void make_unknown(void)
{
    other = issue(&(struct issue){.name = "Other", .is_authority = true});
    tls.server = issue(&(struct issue){.name = TLS_HOST, .hosts = "DNS:" TLS_HOST, .issuer = &other});
}

static void make_revoked(void)
{
    const struct issued *revoked[] = {&tls.server};
    tls.options[TLS_CLIENT].revocations = pem(list_of_revoked(&tls.authority, revoked, 1));
}

static void make_not_revoked(void)
{
    other = make("DNS:" TLS_HOST, 0, 0);
    const struct issued *revoked[] = {&other};
    tls.options[TLS_CLIENT].revocations = pem(list_of_revoked(&tls.authority, revoked, 1));
}

static void make_without_list(void)
{
    other = issue(&(struct issue){.name = "Other", .is_authority = true});
    tls.options[TLS_CLIENT].revocations = pem(list_of_revoked(&other, NULL, 0));
}

static void make_chain(void)
{
    middle = issue(&(struct issue){.name = "Middle", .is_authority = true, .issuer = &tls.authority});
    tls.server = issue(
        &(struct issue){.name = TLS_HOST, .hosts = "DNS:" TLS_HOST, .issuer = &middle, .intermediate = {&middle}});
}

/* Lists of the authority and of the one between, in one text. */
static void give_lists(const char *of_authority, const char *of_middle)
{
    static char lists[4096];

    snprintf(lists, sizeof lists, "%s%s", of_authority, of_middle);
    tls.options[TLS_CLIENT].revocations = pem(lists);
}

static void make_chain_with_lists(void)
{
    make_chain();
    give_lists(list_of_revoked(&tls.authority, NULL, 0), list_of_revoked(&middle, NULL, 0));
}

static void make_chain_without_a_list(void)
{
    make_chain();
    give_lists("", list_of_revoked(&middle, NULL, 0));
}

static void make_chain_with_revoked_authority(void)
{
    make_chain();
    const struct issued *revoked[] = {&middle};
    give_lists(list_of_revoked(&tls.authority, revoked, 1), list_of_revoked(&middle, NULL, 0));
}

static void make_broken_chain(void)
{
    middle = issue(&(struct issue){.name = "Middle", .is_authority = true, .issuer = &tls.authority});
    tls.server = issue(&(struct issue){.name = TLS_HOST, .hosts = "DNS:" TLS_HOST, .issuer = &middle});
}

static void make_ignored(void)
{
    make_self_signed();
    tls.options[TLS_CLIENT].verify = LOOP_TLS_VERIFY_NONE;
}

static const struct {
    void (*make)(void);
    const char *host;
    int result;
    const char *text; /* the client's */
} servers[] = {
    {make_good, TLS_HOST, 0, ""},
    {make_good, "SERVER.example.", 0, ""},
    {make_good, "127.0.0.1", 0, ""},
    {make_good, "127.0.0.2", -EKEYREJECTED, "host name mismatch: '127.0.0.2' was asked for"},
    {make_good, "::1", -EKEYREJECTED, "host name mismatch"},
    {make_for_others, TLS_HOST, -EKEYREJECTED, "and the certificate is for a.example, *.b.example"},
    {make_for_terminals, TLS_HOST, -EKEYREJECTED, "is for a?[2Jb"},
    {make_for_others, "any.b.example", 0, ""},
    {make_for_others, "too.deep.b.example", -EKEYREJECTED, "host name mismatch"},
    {make_expired, TLS_HOST, -EKEYEXPIRED, "certificate has expired: CN=" TLS_HOST ", on "},
    {make_early, TLS_HOST, -EKEYEXPIRED, "certificate is not yet valid"},
    {make_self_signed, TLS_HOST, -EKEYREJECTED, "self-signed certificate"},
    {make_unknown, TLS_HOST, -EKEYREJECTED, "unknown CA"},
    {make_chain, TLS_HOST, 0, ""},
    {make_broken_chain, TLS_HOST, -EKEYREJECTED, "send the whole chain"},
    {make_revoked, TLS_HOST, -EKEYREVOKED, "certificate revoked"},
    {make_not_revoked, TLS_HOST, 0, ""},
    {make_without_list, TLS_HOST, -EKEYREJECTED, "`revocations`"},
    {make_chain_with_lists, TLS_HOST, 0, ""},
    {make_chain_without_a_list, TLS_HOST, -EKEYREJECTED, "`revocations`"},
    {make_chain_with_revoked_authority, TLS_HOST, -EKEYREVOKED, "certificate revoked: CN=Middle"},
    {make_ignored, TLS_HOST, 0, ""},
    {make_ignored, NULL, 0, ""},
};

LOOP_TEST_ROWS(p31_certificates_of_servers, COUNT_OF(servers))
{
    BEGIN;
    tls_prepare();
    servers[script.row].make();
    tls.certificate = presented(&tls.server);
    TLS_OPEN(env->scope);
    TLS_MEET(env->scope, &pair, servers[script.row].host);
    CHECK_HAS(pair.errors[TLS_CLIENT].text, servers[script.row].text);
    ONCE_IS(pair.done[TLS_CLIENT], servers[script.row].result);
    CHECK(!pair.flows[TLS_CLIENT] == (servers[script.row].result < 0));
    if (servers[script.row].result < 0) {
        CHECK_IS(loop_fd_close(pair.below[TLS_CLIENT]->fd), -EBADF);
        if (pair.done[TLS_SERVER].result == 0) { /* the alert comes later */
            AWAIT(loop_read(&pair.flows[TLS_SERVER]->source, buf, sizeof buf, GO));
            CHECK_IS(result, -EPROTO);
            CHECK_HAS(loop_tls_why(pair.flows[TLS_SERVER]), "the peer");
        } else {
            CHECK_IS(pair.done[TLS_SERVER].result, -EPROTO);
            CHECK_HAS(pair.errors[TLS_SERVER].text, "the peer");
        }
    }
    END;
}

/* ---- the certificates of clients ---- */

enum { NOTHING, GOOD, STRANGE };

static const struct {
    enum loop_tls_verify verify;
    enum loop_tls_version version;
    int presents;
    int result; /* the server's */
    const char *text;
} clients[] = {
    {LOOP_TLS_VERIFY_REQUIRED, LOOP_TLS_VERSION_1_3, GOOD, 0, ""},
    {LOOP_TLS_VERIFY_REQUIRED, LOOP_TLS_VERSION_1_2, GOOD, 0, ""},
    {LOOP_TLS_VERIFY_REQUIRED, LOOP_TLS_VERSION_1_3, NOTHING, -ENOKEY, "presented no certificate"},
    {LOOP_TLS_VERIFY_REQUIRED, LOOP_TLS_VERSION_1_2, NOTHING, -ENOKEY, "presented no certificate"},
    {LOOP_TLS_VERIFY_REQUIRED, LOOP_TLS_VERSION_1_3, STRANGE, -EKEYREJECTED, "unknown CA"},
    {LOOP_TLS_VERIFY_REQUIRED, LOOP_TLS_VERSION_1_2, STRANGE, -EKEYREJECTED, "unknown CA"},
    {LOOP_TLS_VERIFY_OPTIONAL, LOOP_TLS_VERSION_1_3, GOOD, 0, ""},
    {LOOP_TLS_VERIFY_OPTIONAL, LOOP_TLS_VERSION_1_3, NOTHING, 0, ""},
    {LOOP_TLS_VERIFY_OPTIONAL, LOOP_TLS_VERSION_1_3, STRANGE, -EKEYREJECTED, "unknown CA"},
    {LOOP_TLS_VERIFY_NONE, LOOP_TLS_VERSION_1_3, STRANGE, 0, ""},
};

static void prepare_client(int row)
{
    static struct issued client;
    static struct loop_tls_certificate certificate;

    tls_prepare();
    other = issue(&(struct issue){.name = "Other", .is_authority = true});
    client = issue(
        &(struct issue){.name = "client 7", .issuer = clients[row].presents == STRANGE ? &other : &tls.authority});
    certificate = presented(&client);
    tls.options[TLS_CLIENT].certificates = &certificate;
    tls.options[TLS_CLIENT].n_certificates = clients[row].presents != NOTHING;
    tls.options[TLS_CLIENT].greatest_version = clients[row].version;
    tls.options[TLS_SERVER].verify = clients[row].verify;
    tls.options[TLS_SERVER].authorities = pem(tls.authority.chain);
}

LOOP_TEST_ROWS(p31_certificates_of_clients, COUNT_OF(clients))
{
    static struct loop_tls_info info;

    BEGIN;
    prepare_client(script.row);
    TLS_OPEN(env->scope);
    TLS_MEET(env->scope, &pair, TLS_HOST);
    CHECK_HAS(pair.errors[TLS_SERVER].text, clients[script.row].text);
    ONCE_IS(pair.done[TLS_SERVER], clients[script.row].result);
    if (clients[script.row].result == 0) {
        CHECK_IS(loop_tls_get_info(pair.flows[TLS_SERVER], &info), 0);
        CHECK_IS(info.is_verified, clients[script.row].presents == GOOD);
        if (info.is_verified) {
            CHECK(loop_tls_peer_subject(pair.flows[TLS_SERVER], buf, sizeof buf) > 0);
            CHECK_TEXT(buf, "CN=client 7");
        }
    } else if (clients[script.row].version == LOOP_TLS_VERSION_1_3) {
        ONCE_IS(pair.done[TLS_CLIENT], 0); /* it has ended before the server looked at the certificate */
        AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, buf, sizeof buf, GO));
        CHECK_IS(result, -EPROTO);
        CHECK_HAS(loop_tls_why(pair.flows[TLS_CLIENT]), "certificate");
    } else {
        CHECK_IS(pair.done[TLS_CLIENT].result, -EPROTO);
    }
    END;
}
