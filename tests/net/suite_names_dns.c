/* SPDX-License-Identifier: ISC
 *
 * loop_resolve_name and loop_resolve_address with a server, also one that misbehaves.
 */
#include "name_server.h"

#include <net/names/dns/answer.h>
#include <net/names/dns/channel.h>

static struct loop_addresses *found;
static struct loop_host_names *names;
static struct loop_name_error error;
static struct loop_resolver *resolver;
static struct loop_resolve_options how;

static void open_server(struct loop_env *env, const char *resolv_conf, const char *hosts)
{
    resolver = make_resolver(env->scope, resolv_conf, hosts);
    how = (struct loop_resolve_options){.resolver = resolver, .family = AF_INET};
}

/* Opens another resolver with the options in resolver_files. */
static void reopen(struct loop_env *env)
{
    resolver = loop_resolver_open(env->scope, &resolver_files.options);
    CHECK(resolver);
    how.resolver = resolver;
}

static void check_found(const char *text)
{
    CHECK(found);
    CHECK_TEXT(text_of(found), text);
    CHECK_TEXT(error.text, "");
    free(found);
    found = NULL;
}

/* ---- good answers ---- */

LOOP_TEST(both_families_are_asked_for)
{
    static int64_t now;

    BEGIN;
    open_server(env, "", "");
    how.family = 0;
    now = loop_now(env->loop);
    AWAIT(loop_resolve_name(env->scope, "host.test", "80", &how, &found, &error, GO));
    CHECK_IS(result, 2);
    CHECK(strstr(text_of(found), "192.0.2.1:80") && strstr(text_of(found), "[2001:db8::1]:80"));
    CHECK_TEXT(found->name, "host.test");
    CHECK(found->expires_ns >= now + 60 * LOOP_SECOND);
    CHECK(found->expires_ns <= loop_now(env->loop) + 60 * LOOP_SECOND);
    CHECK_IS(name_server.queries, 2);
    free(found);
    remove_files();
    END;
}

static const struct {
    const char *host;
    int family;
    int64_t result;
    const char *text; /* what was found, or a part of the error */
} answers[] = {
    {"host.test", AF_INET, 1, "192.0.2.1:80"},
    {"host.test", AF_INET6, 1, "[2001:db8::1]:80"},
    {"alias.test", AF_INET, 1, "192.0.2.1:80"},
    {"late.test", AF_INET, 1, "192.0.2.6:80"},
    {"wrong.test", AF_INET, 1, "192.0.2.7:80"},
    {"HOST.Test.", AF_INET, 1, "192.0.2.1:80"},
    {"plus+at@x;y.test", AF_INET, 1, "192.0.2.9:80"},
    {LONGEST_NAME, AF_INET, 1, "192.0.2.8:80"},
    {"nothing.test", 0, -ENOENT, "looking up nothing.test: there is no such host (asked 127.0.0.1:"},
    {"gone.test", 0, -ENODATA, "looking up gone.test: the host has no address (asked 127.0.0.1:"},
    {"late.test", AF_INET6, -ENODATA, "looking up late.test: the host has no IPv6 address (asked 127.0.0.1:"},
    {"servfail.test", 0, -EAGAIN, "looking up servfail.test: the servers cannot answer: 127.0.0.1:"},
    {"refused.test", 0, -EAGAIN, "looking up refused.test: the servers cannot answer: 127.0.0.1:"},
    {"broken.test", 0, -EAGAIN, "looking up broken.test: the servers cannot answer: 127.0.0.1:"},
    {"half.test", 0, -EAGAIN, "looking up half.test: the servers cannot answer: 127.0.0.1:"},
    {"circle.test", 0, -ENODATA, "looking up circle.test: the host has no address"},
};

LOOP_TEST_ROWS(what_servers_answer, COUNT_OF(answers))
{
    BEGIN;
    open_server(env, "", "");
    how.family = answers[script.row].family;
    AWAIT(loop_resolve_name(env->scope, answers[script.row].host, "80", &how, &found, &error, GO));
    CHECK_IS(result, answers[script.row].result);
    if (result > 0) {
        check_found(answers[script.row].text);
    } else {
        CHECK(!found);
        if (!strstr(error.text, answers[script.row].text)) {
            CHECK_TEXT(error.text, answers[script.row].text);
        }
    }
    remove_files();
    END;
}

/* An alias may have any bytes. The name that the program gets is one of a host. */
LOOP_TEST(the_name_of_a_host_has_no_odd_bytes)
{
    BEGIN;
    open_server(env, "", "");
    AWAIT(loop_resolve_name(env->scope, "odd.test", "80", &how, &found, &error, GO));
    CHECK_IS(result, 1);
    CHECK_TEXT(found->name, "odd.test");
    check_found("192.0.2.10:80");
    remove_files();
    END;
}

LOOP_TEST(a_truncated_answer_comes_by_tcp)
{
    BEGIN;
    open_server(env, "", "");
    AWAIT(loop_resolve_name(env->scope, "big.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, 100);
    CHECK_IS(found->count, 100);
    CHECK_IS(name_server.by_tcp, 1);
    CHECK(strstr(text_of(found), "198.51.100.0:1 ") && strstr(text_of(found), " 198.51.100.99:1"));
    free(found);
    remove_files();
    END;
}

/* ---- no good answer ---- */

static const char *const mute[] = {"silent.test", "garbage.test"};

LOOP_TEST_ROWS(servers_that_do_not_answer_are_waited_for_once, COUNT_OF(mute))
{
    static int64_t start;

    BEGIN;
    make_resolver(env->scope, "", "");
    resolver_files.options.timeout_ns = 200 * LOOP_MILLISECOND;
    resolver_files.options.attempts = 2;
    reopen(env);
    start = loop_now(env->loop);
    AWAIT(loop_resolve_name(env->scope, mute[script.row], "1", &how, &found, &error, GO));
    CHECK_IS(result, -ETIMEDOUT);
    CHECK(loop_now(env->loop) - start >= 400 * LOOP_MILLISECOND);
    CHECK_IS(name_server.queries, 4);
    CHECK(strstr(error.text, "no server has answered: 127.0.0.1:"));
    remove_files();
    END;
}

/* An answer comes after 20 ms. */
static const int64_t patience_ns[] = {LOOP_NEVER, LOOP_NEVER - 1};

LOOP_TEST_ROWS(servers_may_have_any_time_to_answer, COUNT_OF(patience_ns))
{
    BEGIN;
    make_resolver(env->scope, "", "");
    resolver_files.options.timeout_ns = patience_ns[script.row];
    reopen(env);
    how.family = AF_INET;
    AWAIT(loop_resolve_name(env->scope, "late.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, 1);
    check_found("192.0.2.6:1");
    remove_files();
    END;
}

LOOP_TEST(the_next_server_is_asked_when_one_is_not_there)
{
    static struct loop_address servers[3];

    BEGIN;
    make_resolver(env->scope, "", "");
    servers[0] = parsed("udp:127.0.0.1:1"); /* nothing listens there: refused at once, or it does not answer */
    servers[1] = parsed("udp:127.0.0.1:2");
    servers[2] = name_server.address;
    resolver_files.options.servers = servers;
    resolver_files.options.n_servers = 3;
    resolver_files.options.timeout_ns = 200 * LOOP_MILLISECOND;
    reopen(env);
    how.family = AF_INET;
    AWAIT(loop_resolve_name(env->scope, "host.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, 1);
    check_found("192.0.2.1:1");
    resolver_files.options.n_servers = 2;
    reopen(env);
    AWAIT(loop_resolve_name(env->scope, "host.test", "1", &how, &found, &error, GO));
    CHECK(result == -ECONNREFUSED || result == -ETIMEDOUT);
    remove_files();
    END;
}

LOOP_TEST(deadlines_end_lookups)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    open_server(env, "", "");
    how.timeout_ns = 20 * LOOP_MILLISECOND;
    AWAIT(loop_resolve_name(env->scope, "silent.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ETIMEDOUT);
    CHECK(error.text[0]);
    how.timeout_ns = 0;
    scope = open_held(env->scope, &ended);
    loop_scope_deadline(scope, loop_now(env->loop) + 20 * LOOP_MILLISECOND);
    AWAIT(loop_resolve_name(scope, "silent.test", "1", &how, &found, NULL, GO));
    CHECK_IS(result, -ETIMEDOUT);
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    remove_files();
    END;
}

/* An answer that comes after the cancel finds no socket. */
LOOP_TEST(p04_a_cancel_closes_the_sockets_at_once)
{
    static struct once once;
    static loop_job job;
    static unsigned fds, n;

    BEGIN;
    open_server(env, "", "");
    AWAIT(loop_resolve_name(env->scope, "host.test", "1", &how, &found, &error, GO));
    free(found);
    AWAIT(turns(env->scope, 4, GO));
    fds = count_fds();
    n = name_server.queries;
    job = START(loop_resolve_name(env->scope, "late.test", "1", &how, &found, &error, ONCE(&once)));
    WAIT_UNTIL(name_server.queries > n || once.count);
    script_poke();
    WAIT_UNTIL(true);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(once.count);
    ONCE_IS(once, -ECANCELED);
    AWAIT(turns(env->scope, 8, GO));
    CHECK_IS(count_fds(), fds);
    AWAIT(loop_sleep(env->scope, 40 * LOOP_MILLISECOND, GO));
    ONCE_IS(once, -ECANCELED);
    remove_files();
    END;
}

/* ---- channels that are kept ---- */

/* The channel of a cancelled look-up serves the next one, which the late answer does not reach. */
LOOP_TEST(p04_a_late_answer_reaches_no_other_lookup)
{
    static struct once once;
    static loop_job job;
    static unsigned n;
    static int i;

    BEGIN;
    open_server(env, "", "");
    for (i = 0; i < 5; i++) {
        memset(&once, 0, sizeof once);
        n = name_server.queries;
        job = START(loop_resolve_name(env->scope, "late.test", "1", &how, &found, &error, ONCE(&once)));
        WAIT_UNTIL(name_server.queries > n || once.count);
        CHECK_IS(loop_cancel(env->loop, job), 0);
        WAIT_UNTIL(once.count);
        ONCE_IS(once, -ECANCELED);
        loop_resolver_flush(resolver);
        AWAIT(loop_resolve_name(env->scope, i % 2 ? "wrong.test" : "alias.test", "80", &how, &found, &error, GO));
        CHECK_IS(result, 1);
        check_found(i % 2 ? "192.0.2.7:80" : "192.0.2.1:80");
        AWAIT(loop_resolve_name(env->scope, "late.test", "80", &how, &found, &error, GO));
        CHECK_IS(result, 1);
        check_found("192.0.2.6:80");
        loop_resolver_flush(resolver);
    }
    remove_files();
    END;
}

/* What went wrong in one look-up does not follow its channel. */
LOOP_TEST(an_error_of_one_lookup_is_not_that_of_the_next)
{
    static const char *const bad[] = {"servfail.test", "refused.test", "broken.test", "half.test", "nothing.test"};
    static unsigned i, fds;

    BEGIN;
    open_server(env, "", "");
    AWAIT(loop_resolve_name(env->scope, "host.test", "80", &how, &found, &error, GO));
    check_found("192.0.2.1:80");
    AWAIT(turns(env->scope, 4, GO));
    fds = count_fds();
    for (i = 0; i < COUNT_OF(bad); i++) {
        AWAIT(loop_resolve_name(env->scope, bad[i], "80", &how, &found, &error, GO));
        CHECK(result == -EAGAIN || result == -ENOENT);
        loop_resolver_flush(resolver);
        AWAIT(loop_resolve_name(env->scope, "host.test", "80", &how, &found, &error, GO));
        CHECK_IS(result, 1);
        check_found("192.0.2.1:80");
        AWAIT(turns(env->scope, 4, GO));
        CHECK_IS(count_fds(), fds);
    }
    remove_files();
    END;
}

/* What resolv.conf says is set for each question. */
LOOP_TEST(a_kept_channel_asks_as_resolv_conf_says_now)
{
    BEGIN;
    open_server(env, "", "");
    AWAIT(loop_resolve_name(env->scope, "host.test", "80", &how, &found, &error, GO));
    check_found("192.0.2.1:80");
    write_text(resolver_files.resolv_conf, "search one.test\n");
    AWAIT(loop_resolve_name(env->scope, "www", "80", &how, &found, &error, GO));
    CHECK_IS(result, 1);
    check_found("192.0.2.2:80");
    write_text(resolver_files.resolv_conf, "search two.test\noptions attempts:1\n");
    AWAIT(loop_resolve_name(env->scope, "www", "80", &how, &found, &error, GO));
    CHECK_IS(result, 1);
    check_found("192.0.2.3:80");
    remove_files();
    END;
}

/* As many are kept as look-ups may need at once; without a descriptor or a job, so that no loop waits for them. */
TEST(channels_are_kept_for_the_next_lookups)
{
    struct loop_names_resolver kept = {.references = 2};
    struct loop_names_sockets sockets = {.error = 0};
    struct loop_names_channel *channels[3];
    struct ares_addr_port_node *servers = NULL;

    CHECK_IS(ares_library_init(ARES_LIB_INIT_ALL), ARES_SUCCESS);
    CHECK(!loop_names_channel_take(&kept, &sockets));
    for (int i = 0; i < 3; i++) {
        CHECK_IS(loop_names_channel_create(&channels[i]), ARES_SUCCESS);
        loop_names_channel_use(channels[i], &sockets);
    }
    for (int i = 0; i < 3; i++) {
        loop_names_channel_give(&kept, channels[i]);
    }
    CHECK_IS(kept.n_idle, 2);
    CHECK_IS(ares_get_servers_ports(kept.idle->channel, &servers), ARES_SUCCESS);
    CHECK(!servers); /* newer versions of c-ares keep times, failures and cookies of a server */
    channels[0] = loop_names_channel_take(&kept, &sockets);
    CHECK(channels[0] && channels[0]->sockets == &sockets);
    CHECK_IS(kept.n_idle, 1);
    kept.references = 1;
    loop_names_channel_give(&kept, channels[0]);
    CHECK_IS(kept.n_idle, 1);
    CHECK(kept.idle && !kept.idle->sockets && !kept.idle->next);
    kept.destroy_idle(kept.idle);
    ares_library_cleanup();
}

LOOP_TEST(many_lookups_at_once)
{
    enum { MANY = 50 };
    static struct loop_addresses *all[MANY];
    static struct tally tally;
    static int i;

    BEGIN;
    open_server(env, "", "");
    for (i = 0; i < MANY; i++) {
        START(loop_resolve_name(env->scope, i % 2 ? "host.test" : "nothing.test", "1", &how, &all[i], NULL,
                                TALLY(&tally)));
    }
    WAIT_UNTIL(tally.count == MANY);
    for (i = 0; i < MANY; i++) {
        CHECK((i % 2 != 0) == (all[i] != NULL));
        free(all[i]);
    }
    remove_files();
    END;
}

LOOP_TEST(no_descriptor_for_a_socket_is_emfile)
{
    static rlim_t limit;

    BEGIN;
    open_server(env, "", "");
    AWAIT(loop_resolve_name(env->scope, "host.test", "1", &how, &found, &error, GO));
    free(found);
    AWAIT(loop_sleep(env->scope, 200 * LOOP_MILLISECOND, GO)); /* the files are not read again */
    AWAIT(loop_resolve_name(env->scope, "host.test", "1", &how, &found, &error, GO));
    free(found);
    AWAIT(turns(env->scope, 4, GO));
    limit = forbid_fds();
    AWAIT(loop_resolve_name(env->scope, "host.test", "1", &how, &found, &error, GO));
    limit_fds(limit);
    CHECK(result == -EMFILE);
    remove_files();
    END;
}

/* ---- search domains and sources ---- */

#define LABEL_TOO_LONG "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"

static const struct {
    const char *resolv_conf, *host, *text;
} searches[] = {
    {"search one.test two.test\n", "www", "192.0.2.2:1"},
    {"search none.test two.test\n", "www", "192.0.2.3:1"},
    {"domain two.test\n", "www", "192.0.2.3:1"},
    {"search one.test\nsearch two.test\n", "www", "192.0.2.3:1"},
    {"search one.test\noptions ndots:2\n", "a.b", "192.0.2.4:1"},
    {"search one.test\n", "a.b", "192.0.2.4:1"},
    {"search test\n", "www.one", "192.0.2.2:1"},
    {"search one.test\n", "www.", NULL},
    {"", "www", NULL},
    {"search servfail.test two.test\n", "www", "192.0.2.3:1"},
    {"search .test a..test two.test\n", "www", "192.0.2.3:1"},
    {"search " LABEL_TOO_LONG ".test two.test\n", "www", "192.0.2.3:1"},
    {"search .test\n", "www", NULL},
};

LOOP_TEST_ROWS(search_domains_of_resolv_conf, COUNT_OF(searches))
{
    BEGIN;
    open_server(env, searches[script.row].resolv_conf, "");
    AWAIT(loop_resolve_name(env->scope, searches[script.row].host, "1", &how, &found, &error, GO));
    if (searches[script.row].text) {
        CHECK_IS(result, 1);
        check_found(searches[script.row].text);
    } else {
        CHECK_IS(result, -ENOENT);
    }
    remove_files();
    END;
}

static const struct {
    const char *nsswitch, *text;
    unsigned queries;
} orders[] = {
    {"hosts: files dns\n", "192.0.2.77:1", 0},
    {"hosts: dns files\n", "192.0.2.1:1", 1},
    {"hosts: mymachines resolve [!UNAVAIL=return] files\n", "192.0.2.77:1", 0},
    {"hosts: dns\n", "192.0.2.1:1", 1},
    {"# hosts: dns\npasswd: dns\n", "192.0.2.77:1", 0},
};

LOOP_TEST_ROWS(the_order_of_nsswitch, COUNT_OF(orders))
{
    BEGIN;
    open_server(env, "", "192.0.2.77 host.test\n");
    write_text(resolver_files.nsswitch, orders[script.row].nsswitch);
    AWAIT(loop_resolve_name(env->scope, "host.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, 1);
    check_found(orders[script.row].text);
    CHECK_IS(name_server.queries, orders[script.row].queries);
    remove_files();
    END;
}

LOOP_TEST(not_found_may_be_final)
{
    BEGIN;
    open_server(env, "", "");
    write_text(resolver_files.nsswitch, "hosts: files [NOTFOUND=return] dns\n");
    AWAIT(loop_resolve_name(env->scope, "host.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENOENT);
    CHECK_IS(name_server.queries, 0);
    remove_files();
    END;
}

/* ---- the cache ---- */

LOOP_TEST(answers_are_kept_for_their_ttl)
{
    static int64_t expires;

    BEGIN;
    make_resolver(env->scope, "", "");
    resolver_files.options.cache_limit = 2;
    reopen(env);
    how.family = AF_INET;
    AWAIT(loop_resolve_name(env->scope, "short.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, 1);
    expires = found->expires_ns;
    free(found);
    AWAIT(loop_resolve_name(env->scope, "SHORT.test.", "2", &how, &found, &error, GO));
    CHECK_IS(result, 1);
    CHECK_IS(found->expires_ns, expires);
    check_found("192.0.2.5:2");
    CHECK_IS(name_server.queries, 1);
    AWAIT(loop_sleep_until(env->scope, expires, GO));
    AWAIT(loop_resolve_name(env->scope, "short.test", "1", &how, &found, &error, GO));
    check_found("192.0.2.5:1");
    CHECK_IS(name_server.queries, 2);
    remove_files();
    END;
}

LOOP_TEST(negative_answers_are_kept_too_and_the_oldest_makes_room)
{
    BEGIN;
    make_resolver(env->scope, "", "");
    resolver_files.options.cache_limit = 2;
    reopen(env);
    how.family = AF_INET;
    AWAIT(loop_resolve_name(env->scope, "nothing.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_resolve_name(env->scope, "nothing.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENOENT);
    CHECK_IS(name_server.queries, 1);
    AWAIT(loop_resolve_name(env->scope, "gone.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENODATA);
    AWAIT(loop_resolve_name(env->scope, "host.test", "1", &how, &found, &error, GO));
    check_found("192.0.2.1:1");
    CHECK_IS(name_server.queries, 3);
    AWAIT(loop_resolve_name(env->scope, "gone.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENODATA);
    CHECK_IS(name_server.queries, 3);
    AWAIT(loop_resolve_name(env->scope, "nothing.test", "1", &how, &found, &error, GO));
    CHECK_IS(name_server.queries, 4);
    loop_resolver_flush(resolver);
    AWAIT(loop_resolve_name(env->scope, "nothing.test", "1", &how, &found, &error, GO));
    CHECK_IS(name_server.queries, 5);
    remove_files();
    END;
}

/* Answers are not kept for longer than is sensible, whatever their server says. */
TEST(ttls_have_bounds)
{
    struct dns_message message = {.bytes = {0, 0, 0x81, 0x83, 0, 1}, .len = 12};
    struct loop_names_records records;
    const unsigned char address[4] = {192, 0, 2, 1}, soa[22] = {[18] = 0x7f, 0xff, 0xff, 0xff};
    uint32_t ttl_s;

    loop_names_records_init(&records);
    put_name(&message, "a.test");
    put16(&message, TYPE_A);
    put16(&message, 1);
    size_t len = message.len;
    put_record(&message, NULL, TYPE_SOA, INT32_MAX, soa, sizeof soa);
    message.bytes[9] = 1;
    CHECK_IS(loop_names_answer_read((struct loop_names_message){message.bytes, message.len}, "a.test", TYPE_A, &records,
                                    &ttl_s),
             -ENOENT);
    CHECK_IS(ttl_s, 3 * 3600);
    message.len = len;
    message.bytes[9] = 0;
    message.bytes[3] = 0x80;
    message.bytes[7] = 1;
    put_record(&message, NULL, TYPE_A, INT32_MAX, address, sizeof address);
    CHECK_IS(loop_names_answer_read((struct loop_names_message){message.bytes, message.len}, "a.test", TYPE_A, &records,
                                    &ttl_s),
             1);
    CHECK_IS(ttl_s, 7 * 24 * 3600);
    loop_names_records_finish(&records);
}

/* The owner of the address is a pointer to the last of a chain of pointers, at the end of which is the name. */
static int read_chain(unsigned pointers)
{
    struct dns_message message = {.bytes = {0, 0, 0x81, 0x80, 0, 1, 0, 2}, .len = 12};
    struct loop_names_records records;
    const unsigned char chain[400] = {0};
    size_t at;
    uint32_t ttl_s;

    loop_names_records_init(&records);
    put_name(&message, "a.test");
    put16(&message, TYPE_A);
    put16(&message, 1);
    put_record(&message, NULL, TYPE_SOA, 1, chain, 2 * (pointers - 1));
    at = message.len - 2 * (pointers - 1);
    for (unsigned i = 1; i < pointers; i++, at += 2) {
        size_t target = i == 1 ? 12 : at - 2;
        message.bytes[at] = (unsigned char)(0xc0 | target >> 8);
        message.bytes[at + 1] = (unsigned char)target;
    }
    put16(&message, 0xc000 | (unsigned)(at - 2));
    put16(&message, TYPE_A);
    put16(&message, 1);
    put16(&message, 0);
    put16(&message, 60);
    put16(&message, 4);
    put16(&message, 0x7f00);
    put16(&message, 1);
    int result = loop_names_answer_read((struct loop_names_message){message.bytes, message.len}, "a.test", TYPE_A,
                                        &records, &ttl_s);
    CHECK_IS(records.n_addresses, result > 0);
    loop_names_records_finish(&records);
    return result;
}

/* A message may have thousands of records, and each may lead through the same chain. */
TEST(a_name_has_no_more_pointers_than_labels)
{
    CHECK_IS(read_chain(2), 1);
    CHECK_IS(read_chain(127), 1);
    CHECK_IS(read_chain(128), -EAGAIN);
}

LOOP_TEST(without_a_limit_nothing_is_kept)
{
    BEGIN;
    open_server(env, "", "");
    AWAIT(loop_resolve_name(env->scope, "host.test", "1", &how, &found, &error, GO));
    free(found);
    AWAIT(loop_resolve_name(env->scope, "host.test", "1", &how, &found, &error, GO));
    free(found);
    CHECK_IS(name_server.queries, 2);
    remove_files();
    END;
}

/* ---- names of addresses ---- */

static const struct {
    const char *address;
    int64_t result;
    const char *name, *service;
} reverses[] = {
    {"tcp:192.0.2.1:80", 1, "host.test", "http"},
    {"tcp:[2001:db8::1]:9", 1, "six.test", NULL},
    {"tcp:[::ffff:192.0.2.1]:8", 1, "host.test", "exotic"},
    {"tcp:192.0.2.2:0", -ENOENT, NULL, NULL}, /* its name could do harm */
    {"tcp:192.0.2.3:0", -ENOENT, NULL, NULL},
    {"tcp:192.0.2.50:80", 2, "fifty.test", "http"},
    {"tcp:[2001:db8::50]:80", 1, "six.fifty.test", "http"},
    {"unix:/path", -EAFNOSUPPORT, NULL, NULL},
};

LOOP_TEST_ROWS(names_of_addresses, COUNT_OF(reverses))
{
    static struct loop_address address;

    BEGIN;
    open_server(env, "", "192.0.2.50 fifty.test fifty\n2001:db8::50 six.fifty.test\n");
    address = parsed(reverses[script.row].address);
    AWAIT(loop_resolve_address(env->scope, &address, &how, &names, &error, GO));
    CHECK_IS(result, reverses[script.row].result);
    if (result > 0) {
        CHECK_IS(names->count, result);
        CHECK_TEXT(names->items[0], reverses[script.row].name);
        CHECK(!names->service == !reverses[script.row].service);
        CHECK(!names->service || strcmp(names->service, reverses[script.row].service) == 0);
        CHECK(result < 2 || strcmp(names->items[1], "fifty") == 0);
        free(names);
    } else {
        CHECK(!names);
        CHECK(strstr(error.text, "looking up the name of "));
    }
    remove_files();
    END;
}

/* The table that had the name of the port is gone when the server answers. */
LOOP_TEST(the_services_change_while_a_server_is_asked)
{
    static struct loop_address address;
    static struct once named;

    BEGIN;
    make_resolver(env->scope, "", "");
    resolver_files.options.timeout_ns = 50 * LOOP_MILLISECOND;
    resolver_files.options.attempts = 1000;
    reopen(env);
    how = (struct loop_resolve_options){.resolver = resolver};
    address = parsed("tcp:192.0.2.1:80");
    name_server.is_deaf = true;
    START(loop_resolve_address(env->scope, &address, &how, &names, &error, ONCE(&named)));
    AWAIT(loop_resolve_name(env->scope, "127.0.0.1", "http", &how, &found, NULL, GO)); /* reads after that one */
    CHECK_IS(result, 1);
    free(found);
    write_text(resolver_files.services, "renamed 80/tcp\n");
    AWAIT(loop_resolve_name(env->scope, "127.0.0.1", "renamed", &how, &found, NULL, GO));
    CHECK_IS(result, 1);
    free(found);
    CHECK_IS(named.count, 0);
    name_server.is_deaf = false;
    WAIT_UNTIL(named.count);
    ONCE_IS(named, 1);
    CHECK_TEXT(names->service, "renamed");
    free(names);
    remove_files();
    END;
}
