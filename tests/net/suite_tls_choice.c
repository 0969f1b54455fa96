/* SPDX-License-Identifier: ISC
 *
 * What a client and a server agree on: names, application protocols, versions, sessions; and what a reload changes.
 */
#include "tls.h"

static struct tls_pair pair;
static struct loop_tls_info info;
static char buf[64];

/* ---- names ---- */

LOOP_TEST(tls_chooses_the_certificate_for_the_name)
{
    static const char *const hosts[] = {TLS_HOST, "second.example", "third.wild.example"};
    static struct issued issued[3];
    static struct loop_tls_certificate certificates[3];

    BEGIN;
    tls_prepare();
    issued[0] = tls.server;
    issued[1] = issue(
        &(struct issue){.name = "Second", .hosts = "DNS:second.example", .issuer = &tls.authority, .is_ed25519 = true});
    issued[2] = issue(&(struct issue){.name = "Third", .hosts = "DNS:*.wild.example", .issuer = &tls.authority});
    for (size_t i = 0; i < 3; i++) {
        certificates[i] = presented(&issued[i]);
    }
    tls.options[TLS_SERVER].certificates = certificates;
    tls.options[TLS_SERVER].n_certificates = 3;
    TLS_OPEN(env->scope);
    for (script.row = 0; script.row < 3; script.row++) {
        TLS_MEET(env->scope, &pair, hosts[script.row]);
        TLS_ARE_UP(&pair);
        CHECK(loop_tls_peer_subject(pair.flows[TLS_CLIENT], buf, sizeof buf) > 0);
        CHECK_TEXT(buf, script.row == 0 ? "CN=" TLS_HOST : script.row == 1 ? "CN=Second" : "CN=Third");
        CHECK_IS(loop_tls_get_info(pair.flows[TLS_SERVER], &info), 0);
        CHECK_TEXT(info.server_name, hosts[script.row]);
    }
    TLS_MEET(env->scope, &pair, "127.0.0.1"); /* asks for no name: the first */
    TLS_ARE_UP(&pair);
    END;
}

/* The wildcards come first in the list. */
LOOP_TEST(tls_chooses_the_certificate_with_the_name_before_one_with_a_wildcard)
{
    static const struct {
        const char *host, *subject;
    } asked[] = {{"one.wild.example", "CN=Exact"},
                 {"two.wild.example", "CN=Wild"},
                 {"a.two.wild.example", "CN=Wild"}, /* the first of all */
                 {"wild.example", "CN=Wild"}};
    static struct issued issued[3];
    static struct loop_tls_certificate certificates[3];

    BEGIN;
    tls_prepare();
    issued[0] = issue(&(struct issue){.name = "Wild",
                                      .hosts = "DNS:*.wild.example,DNS:wild.example,DNS:a.two.wild.example",
                                      .issuer = &tls.authority});
    issued[1] = issue(&(struct issue){.name = "Other", .hosts = "DNS:*.wild.example", .issuer = &tls.authority});
    issued[2] = issue(&(struct issue){.name = "Exact", .hosts = "DNS:one.wild.example", .issuer = &tls.authority});
    for (size_t i = 0; i < COUNT_OF(certificates); i++) {
        certificates[i] = presented(&issued[i]);
    }
    tls.options[TLS_SERVER].certificates = certificates;
    tls.options[TLS_SERVER].n_certificates = COUNT_OF(certificates);
    TLS_OPEN(env->scope);
    for (script.row = 0; script.row < (int)COUNT_OF(asked); script.row++) {
        TLS_MEET(env->scope, &pair, asked[script.row].host);
        TLS_ARE_UP(&pair);
        CHECK(loop_tls_peer_subject(pair.flows[TLS_CLIENT], buf, sizeof buf) > 0);
        CHECK_TEXT(buf, asked[script.row].subject);
    }
    END;
}

/* ---- application protocols ---- */

static const char *const both[] = {"h2", "http/1.1"}, *const old[] = {"http/1.1"}, *const strange[] = {"xmpp"};

static const struct {
    const char *const *client;
    size_t n_client;
    const char *const *server;
    size_t n_server;
    const char *chosen; /* NULL: the handshake fails */
} protocols[] = {
    {both, 2, both, 2, "h2"}, {old, 1, both, 2, "http/1.1"}, {both, 2, old, 1, "http/1.1"},
    {both, 2, NULL, 0, ""},   {NULL, 0, both, 2, ""},        {both, 2, strange, 1, NULL},
};

LOOP_TEST_ROWS(tls_chooses_the_application_protocol, COUNT_OF(protocols))
{
    BEGIN;
    tls_prepare();
    tls.options[TLS_CLIENT].protocols = protocols[script.row].client;
    tls.options[TLS_CLIENT].n_protocols = protocols[script.row].n_client;
    tls.options[TLS_SERVER].protocols = protocols[script.row].server;
    tls.options[TLS_SERVER].n_protocols = protocols[script.row].n_server;
    TLS_OPEN(env->scope);
    TLS_MEET(env->scope, &pair, TLS_HOST);
    if (!protocols[script.row].chosen) {
        ONCE_IS(pair.done[TLS_CLIENT], -EPROTO);
        ONCE_IS(pair.done[TLS_SERVER], -EPROTO);
        CHECK_HAS(pair.errors[TLS_CLIENT].text, "no application protocol in common");
        CHECK_HAS(pair.errors[TLS_SERVER].text, "no application protocol in common");
    } else {
        TLS_ARE_UP(&pair);
        for (int side = 0; side < 2; side++) {
            CHECK_IS(loop_tls_get_info(pair.flows[side], &info), 0);
            CHECK_TEXT(info.protocol, protocols[script.row].chosen);
        }
    }
    END;
}

/* ---- versions ---- */

static const struct {
    enum loop_tls_version client_most, server_least;
    const char *agreed;
} versions[] = {
    {LOOP_TLS_VERSION_DEFAULT, LOOP_TLS_VERSION_DEFAULT, "TLSv1.3"},
    {LOOP_TLS_VERSION_1_2, LOOP_TLS_VERSION_DEFAULT, "TLSv1.2"},
    {LOOP_TLS_VERSION_1_2, LOOP_TLS_VERSION_1_3, NULL},
};

LOOP_TEST_ROWS(tls_agrees_on_a_version, COUNT_OF(versions))
{
    BEGIN;
    tls_prepare();
    tls.options[TLS_CLIENT].greatest_version = versions[script.row].client_most;
    tls.options[TLS_SERVER].least_version = versions[script.row].server_least;
    TLS_OPEN(env->scope);
    TLS_MEET(env->scope, &pair, TLS_HOST);
    if (versions[script.row].agreed) {
        TLS_ARE_UP(&pair);
        CHECK_IS(loop_tls_get_info(pair.flows[TLS_SERVER], &info), 0);
        CHECK_TEXT(info.version, versions[script.row].agreed);
    } else {
        ONCE_IS(pair.done[TLS_CLIENT], -EPROTO);
        ONCE_IS(pair.done[TLS_SERVER], -EPROTO);
        CHECK_HAS(pair.errors[TLS_CLIENT].text, "version");
        CHECK_HAS(pair.errors[TLS_SERVER].text, "version");
    }
    END;
}

/* ---- sessions ---- */

static struct once greeted;

/* Moves a byte to the client, which also reads the tickets. */
#define TLS_GREET                                                                                                      \
    do {                                                                                                               \
        memset(&greeted, 0, sizeof greeted);                                                                           \
        START(loop_write(&pair.flows[TLS_SERVER]->sink, "x", 1, ONCE(&greeted)));                                      \
        AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, buf, 1, GO));                                                 \
        CHECK_IS(result, 1);                                                                                           \
        CHECK_IS(loop_tls_get_info(pair.flows[TLS_CLIENT], &info), 0);                                                 \
    } while (0)

static const struct {
    enum loop_tls_version version;
    bool client_forbids, server_forbids;
} sessions[] = {
    {LOOP_TLS_VERSION_1_3, false, false}, {LOOP_TLS_VERSION_1_2, false, false}, {LOOP_TLS_VERSION_1_3, true, false},
    {LOOP_TLS_VERSION_1_3, false, true},  {LOOP_TLS_VERSION_1_2, true, false},  {LOOP_TLS_VERSION_1_2, false, true},
};

LOOP_TEST_ROWS(tls_resumes_sessions, COUNT_OF(sessions))
{
    static bool can_resume;
    static int i;

    BEGIN;
    tls_prepare();
    can_resume = !sessions[script.row].client_forbids && !sessions[script.row].server_forbids;
    tls.options[TLS_CLIENT].greatest_version = sessions[script.row].version;
    tls.options[TLS_CLIENT].no_resumption = sessions[script.row].client_forbids;
    tls.options[TLS_SERVER].no_resumption = sessions[script.row].server_forbids;
    TLS_OPEN(env->scope);
    for (i = 0; i < 4; i++) {
        TLS_CONNECTED(env->scope, &pair);
        TLS_GREET;
        CHECK_IS(info.is_resumed, can_resume && i > 0);
        CHECK(info.is_verified);
        CHECK_IS(loop_tls_get_info(pair.flows[TLS_SERVER], &info), 0);
        CHECK(info.server_name && strcmp(info.server_name, TLS_HOST) == 0);
    }
    TLS_MEET(env->scope, &pair, "127.0.0.1"); /* another host */
    TLS_ARE_UP(&pair);
    TLS_GREET;
    CHECK(!info.is_resumed);
    END;
}

/* ---- reload ---- */

LOOP_TEST(tls_reload_is_for_new_connections)
{
    static struct tls_pair before;
    static struct issued renewed;
    static struct loop_tls_certificate certificate;
    static struct loop_tls_error error;

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &before);
    renewed = issue(&(struct issue){.name = "Renewed", .hosts = "DNS:" TLS_HOST, .issuer = &tls.authority});
    certificate = presented(&renewed);
    tls.options[TLS_SERVER].certificates = &certificate;
    AWAIT(loop_tls_reload(tls.contexts[TLS_SERVER], &tls.options[TLS_SERVER], &error, GO));
    CHECK_IS(result, 0);
    TLS_CONNECTED(env->scope, &pair);
    CHECK(loop_tls_peer_subject(pair.flows[TLS_CLIENT], buf, sizeof buf) > 0);
    CHECK_TEXT(buf, "CN=Renewed");
    /* A bad one changes nothing. */
    certificate.key = pem(tls.server.key);
    AWAIT(loop_tls_reload(tls.contexts[TLS_SERVER], &tls.options[TLS_SERVER], &error, GO));
    CHECK_IS(result, -EKEYREJECTED);
    CHECK_HAS(error.text, "is not the key of the certificate");
    TLS_CONNECTED(env->scope, &pair);
    TLS_GREET;
    CHECK(loop_tls_peer_subject(pair.flows[TLS_CLIENT], buf, sizeof buf) > 0);
    CHECK_TEXT(buf, "CN=Renewed");
    /* The old connection goes on. */
    AWAIT(loop_write(&before.flows[TLS_CLIENT]->sink, "x", 1, GO));
    AWAIT(loop_read(&before.flows[TLS_SERVER]->source, buf, 1, GO));
    CHECK_IS(result, 1);
    END;
}

enum { AUTHORITIES = 2000 };

/* Two reloads at a time. The first takes long, and so it ends last. The second, which began last, decides. */
LOOP_TEST(tls_reload_that_began_last_decides)
{
    static struct issued first, last;
    static struct loop_tls_certificate certificates[2];
    static struct loop_tls_options options[2];
    static struct once reloaded[2];
    static char *many;

    BEGIN;
    TLS_SET_UP(env->scope);
    first = issue(&(struct issue){.name = "First", .hosts = "DNS:" TLS_HOST, .issuer = &tls.authority});
    last = issue(&(struct issue){.name = "Last", .hosts = "DNS:" TLS_HOST, .issuer = &tls.authority});
    certificates[0] = presented(&first);
    certificates[1] = presented(&last);
    many = calloc(AUTHORITIES, strlen(tls.authority.chain) + 1);
    for (size_t i = 0; i < AUTHORITIES; i++) {
        memcpy(many + i * strlen(tls.authority.chain), tls.authority.chain, strlen(tls.authority.chain));
    }
    for (int i = 0; i < 2; i++) {
        options[i] = tls.options[TLS_SERVER];
        options[i].certificates = &certificates[i];
    }
    options[0].verify = LOOP_TLS_VERIFY_OPTIONAL;
    options[0].authorities = pem(many);
    START(loop_tls_reload(tls.contexts[TLS_SERVER], &options[0], NULL, ONCE(&reloaded[0])));
    START(loop_tls_reload(tls.contexts[TLS_SERVER], &options[1], NULL, ONCE(&reloaded[1])));
    free(many);
    WAIT_UNTIL(reloaded[0].count && reloaded[1].count);
    ONCE_IS(reloaded[0], 0);
    ONCE_IS(reloaded[1], 0);
    TLS_CONNECTED(env->scope, &pair);
    CHECK(loop_tls_peer_subject(pair.flows[TLS_CLIENT], buf, sizeof buf) > 0);
    CHECK_TEXT(buf, "CN=Last");
    END;
}

enum { CONNECTIONS = 60 };

/* Connections come all the time while certificates are replaced: each has the old one or a new one. */
LOOP_TEST(tls_reload_in_the_middle_of_load)
{
    static struct tls_pair pairs[CONNECTIONS];
    static struct once reloaded[CONNECTIONS / 4];
    static struct tally tally;
    static int i;

    BEGIN;
    TLS_SET_UP(env->scope);
    for (i = 0; i < CONNECTIONS; i++) {
        CHECK_IS(loop_socketpair(env->scope, &pairs[i].below[0], &pairs[i].below[1]), 0);
        tls_shake(&pairs[i], TLS_HOST);
        if (i % 4 == 0) {
            START(loop_tls_reload(tls.contexts[TLS_SERVER], &tls.options[TLS_SERVER], NULL, ONCE(&reloaded[i / 4])));
        }
        if (i % 7 == 0) {
            AWAIT(turns(env->scope, 2, GO));
        }
    }
    for (i = 0; i < CONNECTIONS; i++) {
        TLS_AWAIT(&pairs[i]);
        TLS_ARE_UP(&pairs[i]);
        START(loop_write(&pairs[i].flows[TLS_CLIENT]->sink, "x", 1, TALLY(&tally)));
        AWAIT(loop_read(&pairs[i].flows[TLS_SERVER]->source, buf, 1, GO));
        CHECK_IS(result, 1);
    }
    for (i = 0; i < CONNECTIONS / 4; i++) {
        WAIT_UNTIL(reloaded[i].count);
        ONCE_IS(reloaded[i], 0);
    }
    END;
}

/* ---- the key log ---- */

static unsigned n_lines;

static void on_line(void *arg, const char *line)
{
    CHECK_TEXT(arg, "for the log");
    CHECK(strstr(line, "_SECRET") || strncmp(line, "CLIENT_RANDOM", 13) == 0);
    n_lines++;
}

LOOP_TEST(tls_logs_keys_when_asked)
{
    static char arg[] = "for the log";

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    CHECK_IS(n_lines, 0);
    tls.options[TLS_CLIENT].key_log = on_line;
    tls.options[TLS_CLIENT].key_log_arg = arg;
    TLS_OPEN(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    CHECK(n_lines >= 4);
    END;
}
