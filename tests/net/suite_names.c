/* SPDX-License-Identifier: ISC
 *
 * loop_resolve_name without servers: numeric hosts, services, the hosts file, the order of sources.
 */
#include "name_server.h"

#include <sys/stat.h>

static struct loop_addresses *found;
static struct loop_name_error error;
static struct loop_resolver *resolver;
static struct loop_resolve_options how;

/* Opens a resolver without a server. */
static void open_files(struct loop_env *env, const char *hosts, const char *nsswitch)
{
    make_files("", hosts, nsswitch);
    resolver = loop_resolver_open(env->scope, &resolver_files.options);
    CHECK(resolver);
    how = (struct loop_resolve_options){.resolver = resolver};
}

static void check_found(const char *text, const char *name)
{
    CHECK(found);
    CHECK_TEXT(text_of(found), text);
    CHECK_TEXT(found->name, name);
    CHECK_TEXT(error.text, "");
    free(found);
    found = NULL;
}

/* ---- numeric ---- */

static const struct {
    const char *host, *service;
    int64_t result;
    const char *text;
} numeric[] = {
    {"192.0.2.1", "80", 1, "192.0.2.1:80"},
    {"192.0.2.1", NULL, 1, "192.0.2.1:0"},
    {"192.0.2.1", "", 1, "192.0.2.1:0"},
    {"2001:db8::1", "443", 1, "[2001:db8::1]:443"},
    {"[2001:db8::1]", "443", 1, "[2001:db8::1]:443"},
    {"fe80::1%lo", "1", 1, "[fe80::1%lo]:1"},
    {"[fe80::1%1]", "1", 1, "[fe80::1%lo]:1"},
    {"fe80::1%none-such", "1", -EINVAL, NULL},
    {"192.0.2.1", "65536", -EINVAL, NULL},
    {"", "1", -EINVAL, NULL},
    {"two words", "1", -EINVAL, NULL},
    {"a..b", "1", -EINVAL, NULL},
    {"http://host", "1", -EINVAL, NULL},
    {NULL, "1", -EINVAL, NULL},
};

LOOP_TEST_ROWS(numeric_hosts_need_no_file, COUNT_OF(numeric))
{
    static unsigned long fds;

    BEGIN;
    fds = count_fds();
    AWAIT(
        loop_resolve_name(env->scope, numeric[script.row].host, numeric[script.row].service, NULL, &found, &error, GO));
    CHECK_IS(result, numeric[script.row].result);
    CHECK_IS(count_fds(), fds);
    if (result > 0) {
        CHECK_IS(found->expires_ns, LOOP_NEVER);
        check_found(numeric[script.row].text, numeric[script.row].host);
    } else {
        CHECK(!found);
        CHECK(error.text[0]);
    }
    END;
}

static const struct {
    const char *host, *service, *text;
} bad[] = {
    {"192.0.2.1", "65536", "looking up 192.0.2.1: the port is above 65535"},
    {"a.test", "99999", "looking up a.test: the port is above 65535"},
    {"a.test", LABEL_50 LABEL_50, "looking up a.test: the name of the service is too long"},
    {"fe80::1%none-such", "1", "looking up fe80::1%none-such: there is no such interface"},
    {"", "1", "looking up : neither the name of a host nor an address"},
    {"a..b", "1", "looking up a..b: neither the name of a host nor an address"},
    {"b\303\274cher.test", "1",
     "looking up b\303\274cher.test: a name with other characters than those of ASCII has to be given in its encoded "
     "form (xn--...)"},
};

LOOP_TEST_ROWS(p31_what_is_wrong_with_a_host_or_a_service_is_named, COUNT_OF(bad))
{
    BEGIN;
    AWAIT(loop_resolve_name(env->scope, bad[script.row].host, bad[script.row].service, NULL, &found, &error, GO));
    CHECK_IS(result, -EINVAL);
    CHECK_TEXT(error.text, bad[script.row].text);
    END;
}

LOOP_TEST(a_family_leaves_out_numeric_hosts_of_the_other)
{
    BEGIN;
    how.family = AF_INET6;
    AWAIT(loop_resolve_name(env->scope, "192.0.2.1", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENODATA);
    CHECK_TEXT(error.text, "looking up 192.0.2.1: the host has no IPv6 address");
    how.family = AF_UNIX;
    AWAIT(loop_resolve_name(env->scope, "192.0.2.1", "1", &how, &found, &error, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

/* ---- services ---- */

LOOP_TEST(services_come_from_their_file)
{
    BEGIN;
    open_files(env, "", "");
    AWAIT(loop_resolve_name(env->scope, "192.0.2.1", "www", &how, &found, &error, GO));
    CHECK_IS(result, 1);
    check_found("192.0.2.1:80", "192.0.2.1");
    AWAIT(loop_resolve_name(env->scope, "192.0.2.1", "exotic", &how, &found, &error, GO));
    check_found("192.0.2.1:8", "192.0.2.1");
    how.datagram = true;
    AWAIT(loop_resolve_name(env->scope, "192.0.2.1", "exotic", &how, &found, &error, GO));
    check_found("192.0.2.1:7", "192.0.2.1");
    AWAIT(loop_resolve_name(env->scope, "192.0.2.1", "http", &how, &found, &error, GO));
    CHECK_IS(result, -EPROTONOSUPPORT);
    CHECK(strstr(error.text, "looking up 192.0.2.1: there is no service http of UDP in /"));
    remove_files();
    END;
}

/* ---- the hosts file ---- */

LOOP_TEST(hosts_are_found_with_their_aliases_and_in_any_case)
{
    BEGIN;
    open_files(env, "192.0.2.1 one.test one\n# no\n 192.0.2.2\tTwo.test one # yes\n2001:db8::5 one\nnonsense one\n",
               "hosts: files\n");
    AWAIT(loop_resolve_name(env->scope, "ONE", "1", &how, &found, &error, GO));
    CHECK_IS(result, 3);
    CHECK(strstr(text_of(found), "192.0.2.1:1 192.0.2.2:1"));
    CHECK(strstr(text_of(found), "[2001:db8::5]:1"));
    CHECK_IS(found->expires_ns, LOOP_NEVER);
    CHECK_TEXT(found->name, "one.test");
    free(found);
    AWAIT(loop_resolve_name(env->scope, "two.TEST.", "1", &how, &found, &error, GO));
    check_found("192.0.2.2:1", "Two.test");
    how.family = AF_INET6;
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    check_found("[2001:db8::5]:1", "one.test");
    AWAIT(loop_resolve_name(env->scope, "two.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENODATA);
    AWAIT(loop_resolve_name(env->scope, "three.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENOENT);
    CHECK(strstr(error.text, "looking up three.test: there is no such host in /"));
    remove_files();
    END;
}

LOOP_TEST(a_change_of_the_hosts_file_is_seen)
{
    static int i;
    static char text[100];

    BEGIN;
    open_files(env, "192.0.2.1 one\n", "hosts: files\n");
    for (i = 1; i < 20; i++) {
        snprintf(text, sizeof text, "192.0.2.%d one\n", 10 + i); /* of the same size, maybe at the same time */
        write_text(resolver_files.hosts, text);
        AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
        CHECK_IS(result, 1);
        snprintf(text, sizeof text, "192.0.2.%d:1", 10 + i);
        check_found(text, "one");
    }
    CHECK_IS(unlink(resolver_files.hosts), 0);
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENOENT);
    write_text(resolver_files.hosts, "192.0.2.9 one\n");
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    check_found("192.0.2.9:1", "one");
    remove_files();
    END;
}

/* A file that has not changed for a while has times that tell of the next change. */
LOOP_TEST(a_change_of_a_settled_hosts_file_is_seen)
{
    static char other[300];

    BEGIN;
    open_files(env, "192.0.2.1 one\n", "hosts: files\n");
    snprintf(other, sizeof other, "%s.other", resolver_files.hosts);
    write_text(other, "192.0.2.2 one\n");
    AWAIT(loop_sleep(env->scope, 200 * LOOP_MILLISECOND, GO));
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    check_found("192.0.2.1:1", "one");
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    check_found("192.0.2.1:1", "one");
    CHECK_IS(rename(other, resolver_files.hosts), 0);
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    check_found("192.0.2.2:1", "one");
    AWAIT(loop_sleep(env->scope, 200 * LOOP_MILLISECOND, GO));
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    check_found("192.0.2.2:1", "one");
    write_text(resolver_files.hosts, "192.0.2.3 one\n");
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    check_found("192.0.2.3:1", "one");
    CHECK_IS(unlink(resolver_files.hosts), 0);
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENOENT);
    CHECK_IS(symlink("/dev/null", resolver_files.hosts), 0);
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENOENT);
    CHECK_IS(unlink(resolver_files.hosts), 0);
    write_text(resolver_files.hosts, "192.0.2.4 one\n");
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    check_found("192.0.2.4:1", "one");
    remove_files();
    END;
}

#if !defined(NORIA_SIMULATED) /* where work that blocks would stop the world */

static int gate[2];

static int64_t wait_for_gate(void *unused)
{
    char byte;

    (void)unused;
    return read(gate[0], &byte, 1);
}

/* The only thread of the pool has other work all the time. */
LOOP_TEST_WITH(unchanged_files_need_no_thread, .pool_threads = 1, .pool_threads_min = 1)
{
    static struct once once;

    BEGIN;
    open_files(env, "192.0.2.1 one\n", "hosts: files\n");
    AWAIT(loop_sleep(env->scope, 200 * LOOP_MILLISECOND, GO));
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    check_found("192.0.2.1:1", "one");
    if (can_look_at_once()) {
        CHECK_IS(pipe(gate), 0);
        START(loop_work(env->scope, wait_for_gate, NULL, ONCE(&once)));
        how.timeout_ns = 20 * LOOP_SECOND;
        AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
        CHECK_IS(write(gate[1], "x", 1), 1);
        CHECK_IS(result, 1);
        check_found("192.0.2.1:1", "one");
        WAIT_UNTIL(once.count);
        close(gate[0]);
        close(gate[1]);
    }
    remove_files();
    END;
}

#endif

LOOP_TEST(files_that_cannot_be_read_are_named)
{
    BEGIN;
    open_files(env, "", "hosts: files\n");
    CHECK_IS(unlink(resolver_files.hosts), 0);
    CHECK_IS(mkdir(resolver_files.hosts, 0755), 0);
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    CHECK_IS(result, -EISDIR);
    CHECK(strstr(error.text, resolver_files.hosts) && strstr(error.text, ": Is a directory"));
    remove_files();
    END;
}

#ifndef NORIA_SIMULATED /* which has neither */
/* A FIFO is not waited for. The null device is an empty file. */
LOOP_TEST(what_is_no_file_is_named_and_not_waited_for)
{
    static struct loop_resolver_options options;

    BEGIN;
    open_files(env, "127.0.0.1 one\n", "hosts: files\n");
    options = resolver_files.options;
    options.hosts = "/dev/null";
    how.resolver = loop_resolver_open(env->scope, &options);
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENOENT);
    CHECK_IS(unlink(resolver_files.hosts), 0);
    CHECK_IS(mkfifo(resolver_files.hosts, 0600), 0);
    how.resolver = loop_resolver_open(env->scope, &resolver_files.options);
    AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENXIO);
    CHECK(strstr(error.text, resolver_files.hosts));
    remove_files();
    END;
}
#endif

/* The files of several look-ups are read together. */
LOOP_TEST(a_file_that_cannot_be_read_fails_only_who_needs_it)
{
    static struct loop_addresses *others[2];
    static struct once first, needs, needs_not;

    BEGIN;
    open_files(env, "", "hosts: files\n");
    CHECK_IS(unlink(resolver_files.hosts), 0);
    CHECK_IS(mkdir(resolver_files.hosts, 0755), 0);
    START(loop_resolve_name(env->scope, "one", "1", &how, &others[0], NULL, ONCE(&first))); /* the others wait */
    START(loop_resolve_name(env->scope, "two", "1", &how, &others[0], NULL, ONCE(&needs)));
    START(loop_resolve_name(env->scope, "127.0.0.1", "http", &how, &others[1], NULL, ONCE(&needs_not)));
    WAIT_UNTIL(needs.count && needs_not.count);
    ONCE_IS(needs, -EISDIR);
    ONCE_IS(needs_not, 1);
    free(others[1]);
    remove_files();
    END;
}

LOOP_TEST(localhost_needs_neither_file_nor_server)
{
    BEGIN;
    open_files(env, "", "hosts: files dns\n");
    AWAIT(loop_resolve_name(env->scope, "localhost", "1", &how, &found, &error, GO));
    CHECK_IS(result, 2);
    CHECK(strstr(text_of(found), "127.0.0.1:1") && strstr(text_of(found), "[::1]:1"));
    free(found);
    how.family = AF_INET;
    AWAIT(loop_resolve_name(env->scope, "a.LocalHost.", "1", &how, &found, &error, GO));
    check_found("127.0.0.1:1", "");
    remove_files();
    END;
}

/* ---- a large file ---- */

enum { LARGE = 10 << 20 };

static size_t write_large_hosts(void)
{
    char *text = malloc(LARGE + 100);
    size_t len = 0;
    unsigned n = 0;

    CHECK(text);
    for (; len < LARGE; n++) {
        len += (size_t)sprintf(text + len, "10.%u.%u.%u host%u.large.test\n", n >> 16 & 255, n >> 8 & 255, n & 255, n);
    }
    write_file(resolver_files.hosts, text, len);
    free(text);
    return n - 1;
}

static unsigned ticks;
static bool is_looking;

static void tick(void *arg, int64_t result)
{
    struct loop_scope *scope = arg;

    if (result == 0 && is_looking) {
        ticks++;
        START(loop_sleep(scope, 0, tick, scope));
    }
}

/* While a thread reads 10 MB, the loop turns; then each look-up is a matter of a few turns. */
LOOP_TEST(p28_a_hosts_file_of_ten_megabytes_does_not_stop_the_loop)
{
    static size_t last;
    static char name[50], text[50];
    static struct loop_stats before, after;

    BEGIN;
    open_files(env, "", "hosts: files\n");
    last = write_large_hosts();
    snprintf(name, sizeof name, "host%u.large.test", (unsigned)last);
    snprintf(text, sizeof text, "10.%u.%u.%u:1", (unsigned)last >> 16 & 255, (unsigned)last >> 8 & 255,
             (unsigned)last & 255);
    is_looking = true;
    tick(env->scope, 0);
    AWAIT(loop_resolve_name(env->scope, name, "1", &how, &found, &error, GO));
    is_looking = false;
    CHECK_IS(result, 1);
    check_found(text, name);
#if !defined(NORIA_SIMULATED) /* where a thread takes no time */
    CHECK(ticks > 5);         /* a loop that had to wait for the file would have turned once or twice */
#endif
    AWAIT(loop_sleep(env->scope, 200 * LOOP_MILLISECOND, GO)); /* its times tell of a change from now on */
    AWAIT(loop_resolve_name(env->scope, name, "1", &how, &found, &error, GO));
    free(found);
    loop_get_stats(env->loop, &before);
    AWAIT(loop_resolve_name(env->scope, "host0.large.test", "1", &how, &found, &error, GO));
    loop_get_stats(env->loop, &after);
    check_found("10.0.0.0:1", "host0.large.test");
    CHECK(after.turns - before.turns < 20);
    remove_files();
    END;
}

/* ---- cancel ---- */

LOOP_TEST(p04_a_lookup_is_cancelled_while_the_files_are_read)
{
    static struct once once, second;
    static loop_job job;
    static struct loop_scope *scope;

    BEGIN;
    open_files(env, "", "hosts: files\n");
    write_large_hosts();
    job = START(loop_resolve_name(env->scope, "x.large.test", "1", &how, &found, &error, ONCE(&once)));
    scope = open_held(env->scope, NULL);
    START(loop_resolve_name(scope, "y.large.test", "1", &how, &found, NULL, ONCE(&second)));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    loop_scope_cancel(scope);
    loop_scope_unhold(scope);
    WAIT_UNTIL(once.count && second.count);
    ONCE_IS(once, -ECANCELED);
    ONCE_IS(second, -ECANCELED);
    CHECK(!found);
    remove_files();
    END;
}

/* The look at the files is made in the scope of the first look-up. */
LOOP_TEST(p04_lookups_outlive_the_scope_of_the_one_that_they_share_the_look_with)
{
    static struct once once;
    static struct loop_scope *scope;
    static struct loop_addresses *none;
    static unsigned round;

    BEGIN;
    open_files(env, "192.0.2.1 one\n", "hosts: files\n");
    AWAIT(loop_sleep(env->scope, 200 * LOOP_MILLISECOND, GO));
    for (round = 0; round < 2; round++) { /* the files are read; they are as they were */
        once = (struct once){0};
        scope = open_held(env->scope, NULL);
        START(loop_resolve_name(scope, "one", "1", &how, &none, NULL, ONCE(&once)));
        loop_scope_cancel(scope);
        loop_scope_unhold(scope);
        AWAIT(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, GO));
        check_found("192.0.2.1:1", "one");
        WAIT_UNTIL(once.count);
        ONCE_IS(once, -ECANCELED);
    }
    remove_files();
    END;
}

LOOP_TEST(a_cancelled_scope_cancels_what_is_started_in_it)
{
    static struct loop_scope *scope;
    static struct loop_flow *flow;
    static struct loop_host_names *names;
    static struct loop_address address;

    BEGIN;
    scope = open_held(env->scope, NULL);
    loop_scope_cancel(scope);
    address = parsed("tcp:127.0.0.1:1");
    AWAIT(loop_resolve_name(scope, "192.0.2.1", "1", NULL, &found, &error, GO));
    CHECK_IS(result, -ECANCELED);
    AWAIT(loop_resolve_address(scope, &address, NULL, &names, &error, GO));
    CHECK_IS(result, -ECANCELED);
    AWAIT(loop_connect_name(scope, "127.0.0.1", "1", NULL, &flow, &error, GO));
    CHECK_IS(result, -ECANCELED);
    CHECK(!found && !names && !flow);
    loop_scope_unhold(scope);
    END;
}

LOOP_TEST(lookups_outlive_the_scope_of_their_resolver)
{
    static struct loop_scope *scope;
    static struct loop_resolver *inner;
    static struct once once;

    BEGIN;
    make_files("", "192.0.2.1 one\n", "hosts: files\n");
    scope = open_held(env->scope, NULL);
    inner = loop_resolver_open(scope, &resolver_files.options);
    how.resolver = inner;
    START(loop_resolve_name(env->scope, "one", "1", &how, &found, &error, ONCE(&once)));
    loop_scope_unhold(scope);
    WAIT_UNTIL(once.count);
    ONCE_IS(once, 1);
    check_found("192.0.2.1:1", "one");
    remove_files();
    END;
}

LOOP_TEST(bad_options_open_no_resolver)
{
    static struct loop_address servers[9];

    BEGIN;
    CHECK(!loop_resolver_open(env->scope, &(struct loop_resolver_options){.timeout_ns = -1}));
    CHECK(!loop_resolver_open(env->scope, &(struct loop_resolver_options){.attempts = 1001}));
    CHECK(!loop_resolver_open(env->scope, &(struct loop_resolver_options){.n_servers = 1}));
    CHECK(!loop_resolver_open(env->scope, &(struct loop_resolver_options){.servers = servers, .n_servers = 1}));
    servers[0] = parsed("unix:/x");
    CHECK(!loop_resolver_open(env->scope, &(struct loop_resolver_options){.servers = servers, .n_servers = 1}));
    CHECK(!loop_resolver_open(env->scope, &(struct loop_resolver_options){.servers = servers, .n_servers = 9}));
    CHECK(loop_resolver_open(env->scope, NULL));
    AWAIT(loop_resolve_name(env->scope, "127.0.0.1", "1", &(struct loop_resolve_options){.timeout_ns = -1}, &found,
                            &error, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

/* ---- without c-ares ---- */

#if !NORIA_CARES && !defined(NORIA_SIMULATED)
/* What the system's hosts file has, the C library finds there. Here that is the name of this machine, on most. */
LOOP_TEST(the_c_library_is_asked)
{
    static struct loop_host_names *names;
    static struct loop_address address;
    static struct loop_resolve_options system_how;
    static char host[256];

    BEGIN;
    CHECK_IS(gethostname(host, sizeof host - 1), 0);
    open_files(env, "", "hosts: files\n");
    system_how.resolver =
        loop_resolver_open(env->scope, &(struct loop_resolver_options){.nsswitch = resolver_files.nsswitch});
    AWAIT(loop_resolve_name(env->scope, host, "1", &system_how, &found, &error, GO));
    if (result > 0) {
        free(found);
        system_how.resolver =
            loop_resolver_open(env->scope, &(struct loop_resolver_options){.hosts = resolver_files.services});
        AWAIT(loop_resolve_name(env->scope, host, "1", &system_how, &found, &error, GO));
        CHECK(result > 0);
        CHECK_IS(found->expires_ns, 0);
        address = found->items[0];
        free(found);
        AWAIT(loop_resolve_address(env->scope, &address, &system_how, &names, &error, GO));
        CHECK(result > 0);
        CHECK_IS(names->expires_ns, 0);
        free(names);
    }
    AWAIT(loop_resolve_name(env->scope, "one.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, -ENOENT); /* nsswitch has no dns */
    write_text(resolver_files.nsswitch, "hosts: files dns\n");
    AWAIT(loop_resolve_name(env->scope, "one.test", "1", &how, &found, &error, GO));
    CHECK_IS(result, -EOPNOTSUPP);
    CHECK_TEXT(error.text, "looking up one.test: built without c-ares, which the options of the resolver need");
    remove_files();
    END;
}
#endif
