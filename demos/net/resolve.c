/* SPDX-License-Identifier: ISC
 *
 * resolve HOST...: looks up the addresses of hosts, or the names of addresses, all at the same time.
 *
 * Each answer is one line, in the order of the operands: the operand and what was found, addresses in the order in
 * which a program should try them. With --connect it connects to each host instead, and says which address answered.
 */
#include "../common/arguments.h"

#include <net/names.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SERVERS 8

/* What the options say. */
static struct {
    bool is_reverse, connects, only_ipv4, only_ipv6, is_datagram, shows_time;
    const char *service, *servers, *hosts, *resolv_conf, *nsswitch, *services;
    int64_t timeout_ns;
} asked;

/* One operand. */
struct query {
    const char *host;
    struct loop_address address; /* with --reverse */
    struct loop_addresses *addresses;
    struct loop_host_names *names;
    struct loop_flow *flow;
    struct loop_name_error error;
    int64_t result, ended_ns;
    bool has_ended;
};

static struct program {
    struct loop *loop;
    struct query *queries;
    size_t n_queries, n_printed;
    int64_t began_ns;
    int status;
} state;

/* ---- printing ---- */

/* Writes an address without "tcp:", and without a port unless there is a service. */
static void print_address(const struct loop_address *address)
{
    char text[LOOP_ADDRESS_TEXT_SIZE], *host = text + sizeof "tcp:" - 1;

    if (loop_address_format(address, text, sizeof text) < 0) {
        return;
    }
    if (!asked.service) {
        *strrchr(host, ':') = '\0';
        host += host[0] == '[';
        host[strcspn(host, "]")] = '\0';
    }
    printf(" %s", host);
}

static void print_found(const struct query *query)
{
    struct loop_address peer;

    if (query->flow && loop_flow_peer_address(query->flow, &peer) == 0) {
        print_address(&peer);
    }
    for (size_t i = 0; query->addresses && i < query->addresses->count; i++) {
        print_address(&query->addresses->items[i]);
    }
    for (size_t i = 0; query->names && i < query->names->count; i++) {
        printf(" %s", query->names->items[i]);
    }
}

/* How long the answer stays valid, and how long it took. */
static void print_times(const struct query *query)
{
    int64_t expires_ns = query->addresses ? query->addresses->expires_ns : query->names ? query->names->expires_ns : 0;

    if (expires_ns > 0 && expires_ns != LOOP_NEVER) {
        printf(" (for %lld s)", (long long)((expires_ns - query->ended_ns + LOOP_SECOND / 2) / LOOP_SECOND));
    }
    printf(" (%.1f ms)", (double)(query->ended_ns - state.began_ns) / (double)LOOP_MILLISECOND);
}

static void print(struct query *query)
{
    if (query->result < 0) {
        arguments_complain("%s", query->error.text);
        state.status = 1;
        return;
    }
    printf("%s", query->host);
    print_found(query);
    if (asked.shows_time) {
        print_times(query);
    }
    printf("\n");
    free(query->addresses);
    free(query->names);
    if (query->flow) {
        loop_flow_close(query->flow);
    }
}

/* The answers come in any order. Those that are next are printed. */
static void on_end(void *arg, int64_t result)
{
    struct query *query = arg;

    query->result = result;
    query->ended_ns = loop_now(state.loop);
    query->has_ended = true;
    while (state.n_printed < state.n_queries && state.queries[state.n_printed].has_ended) {
        print(&state.queries[state.n_printed++]);
    }
    if (state.n_printed == state.n_queries && fflush(stdout) != 0) {
        state.status = arguments_fail("standard output", -errno);
    }
}

/* ---- asking ---- */

static loop_job start_query(struct loop_env *env, struct query *query, const struct loop_resolve_options *options)
{
    const struct loop_connect_name_options connect = {.resolve = *options, .timeout_ns = asked.timeout_ns};

    if (asked.is_reverse) {
        return loop_resolve_address(env->scope, &query->address, options, &query->names, &query->error, on_end, query);
    }
    if (asked.connects) {
        return loop_connect_name(env->scope, query->host, asked.service, &connect, &query->flow, &query->error, on_end,
                                 query);
    }
    return loop_resolve_name(env->scope, query->host, asked.service, options, &query->addresses, &query->error, on_end,
                             query);
}

/* Reads "ADDRESS[:PORT],...". */
static size_t read_servers(struct loop_address servers[MOST_SERVERS])
{
    char text[128];
    size_t count = 0;

    for (const char *at = asked.servers; at && *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
        int len = (int)strcspn(at, ",");
        bool has_port = at[0] == '[' ? at[len - 1] != ']' : memchr(at, ':', (size_t)len) != NULL;
        snprintf(text, sizeof text, "udp:%.*s%s", len, at, has_port ? "" : ":53");
        if (count == MOST_SERVERS || loop_address_parse(&servers[count++], text) != 0) {
            arguments_refuse("--servers: '%.*s' is no address, or one too many", len, at);
        }
    }
    return count;
}

static int start(struct loop_env *env, void *arg)
{
    struct loop_resolver_options *files = arg;
    struct loop_resolver *resolver = loop_resolver_open(env->scope, files);
    const struct loop_resolve_options options = {.resolver = resolver,
                                                 .family = asked.only_ipv4   ? AF_INET
                                                           : asked.only_ipv6 ? AF_INET6
                                                                             : 0,
                                                 .datagram = asked.is_datagram,
                                                 .timeout_ns = asked.timeout_ns};

    state.loop = env->loop;
    state.began_ns = loop_now(env->loop);
    for (size_t i = 0; i < state.n_queries; i++) {
        if (!resolver || !start_query(env, &state.queries[i], &options)) {
            return arguments_fail("can't begin", -ENOMEM);
        }
    }
    return 0;
}

/* ---- arguments ---- */

static const struct arguments_option options[] = {
    {.name = "reverse", .letter = 'r', .flag = &asked.is_reverse, .help = "look up the names of addresses"},
    {.name = "connect", .letter = 'c', .flag = &asked.connects, .help = "connect to the service of each host"},
    {.name = "service", .letter = 's', .placeholder = "SERVICE", .text = &asked.service, .help = "a port, or its name"},
    {.name = "udp", .flag = &asked.is_datagram, .help = "the service is one of UDP"},
    {.name = "ipv4", .letter = '4', .flag = &asked.only_ipv4, .help = "IPv4 addresses only"},
    {.name = "ipv6", .letter = '6', .flag = &asked.only_ipv6, .help = "IPv6 addresses only"},
    {.name = "times", .letter = 't', .flag = &asked.shows_time, .help = "print how long it took, and is valid"},
    {.name = "timeout",
     .placeholder = "SECONDS",
     .duration_ns = &asked.timeout_ns,
     .help = "give up after this time (0, the default: as resolv.conf says)"},
    {.name = "servers",
     .placeholder = "ADDRESSES",
     .text = &asked.servers,
     .help = "ask these: addresses with commas between, \"192.0.2.1,[2001:db8::1]:5353\""},
    {.name = "hosts", .placeholder = "FILE", .text = &asked.hosts, .help = "in place of /etc/hosts"},
    {.name = "resolv-conf", .placeholder = "FILE", .text = &asked.resolv_conf, .help = "in place of /etc/resolv.conf"},
    {.name = "nsswitch", .placeholder = "FILE", .text = &asked.nsswitch, .help = "in place of /etc/nsswitch.conf"},
    {.name = "services", .placeholder = "FILE", .text = &asked.services, .help = "in place of /etc/services"},
};

static const struct arguments_program program = {
    .name = "resolve",
    .operands = "HOST...",
    .about = "Looks up the addresses of hosts, all at the same time. Each line is a host and what was found.\n"
             "Status 1 when one was not found.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 1,
    .most_operands = 1000,
};

/* Reads an address without a port, or with one after brackets. */
static struct loop_address read_address(const char *text)
{
    struct loop_address address;
    char whole[128];

    snprintf(whole, sizeof whole, strchr(text, ':') && text[0] != '[' ? "tcp:[%s]:0" : "tcp:%s:0", text);
    if (loop_address_parse(&address, whole) != 0 || !*text) {
        arguments_refuse("'%s' is no address", text);
    }
    return address;
}

static void read_operands(char **operands)
{
    while (operands[state.n_queries]) {
        state.n_queries++;
    }
    state.queries = calloc(state.n_queries, sizeof *state.queries);
    if (!state.queries) {
        exit(arguments_fail("can't begin", -ENOMEM));
    }
    for (size_t i = 0; i < state.n_queries; i++) {
        state.queries[i].host = operands[i];
        if (asked.is_reverse) {
            state.queries[i].address = read_address(operands[i]);
        }
    }
}

int main(int argc, char **argv)
{
    static struct loop_address servers[MOST_SERVERS];
    char **operands = arguments_parse(&program, argc, argv);
    struct loop_resolver_options files = {.servers = servers,
                                          .n_servers = read_servers(servers),
                                          .hosts = asked.hosts,
                                          .resolv_conf = asked.resolv_conf,
                                          .nsswitch = asked.nsswitch,
                                          .services = asked.services};

    if (asked.only_ipv4 && asked.only_ipv6) {
        arguments_refuse("--ipv4 and --ipv6 don't go together");
    }
    if (asked.connects && (asked.is_reverse || !asked.service)) {
        arguments_refuse("--connect needs --service, and no --reverse");
    }
    read_operands(operands);
    int status = arguments_run(start, &files);
    free(state.queries);
    return status ? status : state.status;
}
