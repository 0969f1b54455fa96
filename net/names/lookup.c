/* SPDX-License-Identifier: ISC
 *
 * The steps of a look-up.
 */
#include <loop/kernel/name.h>
#include <net/names/lookup.h>

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- beginning ---- */

/* Returns whether a text can be the name of a host: printable ASCII without blanks, and no empty label. */
static bool is_name(const char *host)
{
    size_t len = strlen(host);

    if (len == 0 || len > LOOP_NAMES_HOST_MAX - 1 || host[0] == '.' || strstr(host, "..")) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (host[i] <= ' ' || host[i] > '~' || strchr("\\/:%[]\"", host[i])) {
            return false;
        }
    }
    return true;
}

static int set_service(struct loop_names_lookup *lookup, const char *service)
{
    unsigned long number = 0;

    lookup->knows_port = !service || !*service || loop_names_number(service, 65535, &number);
    lookup->port = htons((in_port_t)number);
    if (lookup->knows_port) {
        return 0;
    }
    if (service[strspn(service, "0123456789")] == '\0') {
        lookup->fault = "the port is above 65535";
        return -EINVAL;
    }
    if (strlen(service) >= sizeof lookup->service) {
        lookup->fault = "the name of the service is too long";
        return -EINVAL;
    }
    loop_names_copy(lookup->service, sizeof lookup->service, service);
    return 0;
}

static const char *fault_of_name(const char *host)
{
    bool is_ascii = true;

    for (const char *byte = host; *byte; byte++) {
        is_ascii &= (unsigned char)*byte < 0x80;
    }
    return is_ascii ? "neither the name of a host nor an address"
                    : "a name with other characters than those of ASCII has to be given in its encoded form (xn--...)";
}

static int set_host(struct loop_names_lookup *lookup, const char *host)
{
    struct loop_address address;

    if (!host) {
        return -EINVAL;
    }
    int result = *host ? loop_names_parse_numeric(host, &address) : -EINVAL;
    lookup->is_numeric = result > 0;
    if (result > 0) {
        loop_names_copy(lookup->records.canonical, sizeof lookup->records.canonical, host);
        bool is_wanted = lookup->family == 0 || lookup->family == address.u.any.sa_family;
        return is_wanted ? loop_names_add_address(&lookup->records, &address) : 0;
    }
    if (result == 0 && is_name(host)) {
        return 0;
    }
    lookup->fault = *host && result < 0 ? "there is no such interface" : fault_of_name(host);
    return -EINVAL;
}

int loop_names_lookup_init(struct loop_names_lookup *lookup, struct loop_scope *scope, const char *host,
                           const char *service, const struct loop_resolve_options *options)
{
    loop_names_records_init(&lookup->records);
    loop_list_init(&lookup->wait.node);
    loop_names_copy(lookup->host, sizeof lookup->host, host ? host : "");
    lookup->scope = scope;
    lookup->family = options->family;
    lookup->is_datagram = options->datagram;
    if (options->resolver && !loop_names_resolver_is_good(scope, options->resolver)) {
        return -EINVAL;
    }
    lookup->resolver = loop_names_resolver_take(scope, options->resolver);
    if (!lookup->resolver) {
        return -ENOMEM;
    }
    if (lookup->family != 0 && lookup->family != AF_INET && lookup->family != AF_INET6) {
        return -EINVAL;
    }
    int error = set_service(lookup, service);
    return error < 0 || lookup->is_reverse ? error : set_host(lookup, host);
}

/* ---- sources ---- */

static void end(struct loop_names_lookup *lookup, int outcome)
{
    assert(!lookup->is_over && outcome <= 0);
    lookup->is_over = true;
    lookup->outcome = outcome;
}

static bool has_records(const struct loop_names_lookup *lookup)
{
    return lookup->is_reverse ? lookup->records.n_names > 0 : lookup->records.n_addresses > 0;
}

/* Returns whether a name is "localhost" or below it, RFC 6761. */
static bool is_localhost(const char *host)
{
    const char word[] = "localhost";
    size_t len = strlen(host), word_len = sizeof word - 1;

    len -= len > 0 && host[len - 1] == '.';
    return len >= word_len && loop_names_equal(host + len - word_len, word) &&
           (len == word_len || host[len - word_len - 1] == '.');
}

static int add_loopback(struct loop_names_lookup *lookup)
{
    static const unsigned char ipv4[4] = {127, 0, 0, 1}, ipv6[16] = {[15] = 1};
    int error = lookup->family == AF_INET ? 0 : loop_names_add_bytes(&lookup->records, AF_INET6, ipv6, 0);

    if (error == 0 && lookup->family != AF_INET6) {
        error = loop_names_add_bytes(&lookup->records, AF_INET, ipv4, 0);
    }
    return error;
}

/* Adds the addresses of a host that the kernel knows, which only a simulated one does. Returns 0 or -ENOMEM. */
static int find_known(struct loop_names_lookup *lookup)
{
    struct in6_addr known;
    int error = 0;

    for (size_t i = 0; error == 0 && loop_kernel_known_host(lookup->host, i, &known); i++) {
        bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&known);
        int family = is_ipv4 ? AF_INET : AF_INET6;
        lookup->has_name = true;
        if (lookup->family == 0 || lookup->family == family) {
            error = loop_names_add_bytes(&lookup->records, family, known.s6_addr + (is_ipv4 ? 12 : 0), 0);
        }
    }
    return error;
}

/* Looks in the hosts file. Returns 0 or -ENOMEM. */
static int find_in_files(struct loop_names_lookup *lookup)
{
    const struct loop_names_hosts *hosts = lookup->resolver->hosts;
    int result = lookup->is_reverse ? loop_names_hosts_reverse(hosts, &lookup->address, &lookup->records)
                                    : loop_names_hosts_find(hosts, lookup->host, lookup->family, &lookup->records);

    lookup->has_name |= result > 0;
    return result == 0 && !lookup->is_reverse ? find_known(lookup) : result < 0 ? result : 0;
}

static void next_source(struct loop_names_lookup *lookup);

static void on_ask_change(void *arg)
{
    struct loop_names_lookup *lookup = arg;

    if (lookup->ask.is_over) {
        int outcome = lookup->ask.outcome;
        loop_names_ask_stop(&lookup->ask);
        lookup->has_name |= outcome == -ENODATA;
        if (outcome == 0 || (outcome != -ENOENT && outcome != -ENODATA)) {
            end(lookup, outcome);
        } else {
            next_source(lookup);
        }
    }
    lookup->on_change(lookup->arg);
}

static int start_asking(struct loop_names_lookup *lookup)
{
    struct loop_names_ask *ask = &lookup->ask;

    lookup->has_asked = true;
    *ask = (struct loop_names_ask){.scope = lookup->scope,
                                   .resolver = lookup->resolver,
                                   .name = lookup->host,
                                   .records = &lookup->records,
                                   .on_change = on_ask_change,
                                   .arg = lookup};
    ask->address = &lookup->address;
    ask->wanted = lookup->is_reverse           ? LOOP_NAMES_PTR
                  : lookup->family == AF_INET  ? LOOP_NAMES_A
                  : lookup->family == AF_INET6 ? LOOP_NAMES_AAAA
                                               : LOOP_NAMES_A | LOOP_NAMES_AAAA;
    return loop_names_ask_start(ask);
}

/* Goes to the next source until one has records or begins to ask. */
static void next_source(struct loop_names_lookup *lookup)
{
    const struct loop_names_order *order = &lookup->resolver->order;
    bool is_local = !lookup->is_reverse && is_localhost(lookup->host);
    int error = 0;

    while (error == 0 && !has_records(lookup) && lookup->source < order->count &&
           !(lookup->source == 1 && order->first_is_last)) {
        if (order->sources[lookup->source++] == LOOP_NAMES_FILES) {
            error = find_in_files(lookup);
        } else if (!is_local) {
            error = start_asking(lookup);
            if (error == 0) {
                return;
            }
        }
    }
    if (error == 0 && is_local && !has_records(lookup)) {
        error = add_loopback(lookup);
    }
    if (error == 0 && !has_records(lookup)) {
        error = lookup->has_name && !lookup->is_reverse ? -ENODATA : -ENOENT;
    }
    end(lookup, error);
}

/* ---- files ---- */

/* What follows when the files have been read. */
static void look(struct loop_names_lookup *lookup)
{
    const struct loop_names_services *services = lookup->resolver->services;

    if (!lookup->knows_port) {
        in_port_t port = 0;
        lookup->knows_port = loop_names_services_find(services, lookup->service, lookup->is_datagram, &port);
        lookup->port = htons(port);
    }
    if (!lookup->knows_port) {
        end(lookup, -EPROTONOSUPPORT);
    } else if (lookup->is_numeric) {
        end(lookup, has_records(lookup) ? 0 : -ENODATA);
    } else {
        next_source(lookup);
    }
}

static void on_files(void *arg, int error)
{
    struct loop_names_lookup *lookup = arg;

    if (error < 0) {
        lookup->failed_path = error == -ENOMEM ? NULL : lookup->resolver->failed_path;
        end(lookup, error);
    } else {
        look(lookup);
    }
    if (lookup->is_over) {
        lookup->on_change(lookup->arg);
    }
}

void loop_names_lookup_start(struct loop_names_lookup *lookup)
{
    struct loop_names_wait *wait = &lookup->wait;

    if (lookup->is_numeric && lookup->knows_port) {
        end(lookup, has_records(lookup) ? 0 : -ENODATA);
        return;
    }
    wait->scope = lookup->scope;
    wait->fn = on_files;
    wait->arg = lookup;
    if (!lookup->is_numeric) {
        wait->wanted = 1u << LOOP_NAMES_HOSTS_FILE | 1u << LOOP_NAMES_RESOLV_CONF | 1u << LOOP_NAMES_NSSWITCH;
    }
    if (!lookup->knows_port || lookup->is_reverse) {
        wait->wanted |= 1u << LOOP_NAMES_SERVICES_FILE;
    }
    loop_names_resolver_read(lookup->resolver, wait);
}

void loop_names_lookup_stop(struct loop_names_lookup *lookup)
{
    loop_names_resolver_leave(&lookup->wait);
    loop_names_ask_stop(&lookup->ask);
}

void loop_names_lookup_give_up(struct loop_names_lookup *lookup)
{
    loop_names_lookup_stop(lookup);
    end(lookup, -ETIMEDOUT);
}

void loop_names_lookup_finish(struct loop_names_lookup *lookup)
{
    if (!lookup->scope) {
        return; /* it has not begun */
    }
    assert(!lookup->ask.asking && !loop_list_is_linked(&lookup->wait.node));
    loop_names_records_finish(&lookup->records);
    if (lookup->resolver) {
        loop_names_resolver_drop(lookup->resolver);
    }
}

const char *loop_names_lookup_service(const struct loop_names_lookup *lookup)
{
    in_port_t port = ntohs(lookup->address.u.ipv4.sin_port); /* the port of both families is at one place */

    return loop_names_services_name(lookup->resolver->services, port, lookup->is_datagram);
}

bool loop_names_lookup_awaits_ipv6(const struct loop_names_lookup *lookup)
{
    return !lookup->is_over && lookup->ask.asking && lookup->ask.pending & LOOP_NAMES_AAAA;
}

/* ---- errors ---- */

static const char *family_text(int family)
{
    return family == AF_INET ? "IPv4 " : family == AF_INET6 ? "IPv6 " : "";
}

/* Where was looked: the servers, or the hosts file alone. */
static void say_where(const struct loop_names_lookup *lookup, struct loop_name_error *text)
{
    const struct loop_names_resolver *resolver = lookup->resolver;

    if (lookup->has_asked && lookup->ask.asked[0]) {
        loop_names_say(text, " (asked %s)", lookup->ask.asked);
    } else if (resolver && !lookup->is_numeric && !lookup->has_asked) {
        loop_names_say(text, " in %s, and %s has no dns", resolver->paths[LOOP_NAMES_HOSTS_FILE],
                       resolver->paths[LOOP_NAMES_NSSWITCH]);
    }
}

/* What to look at when servers do not answer. */
static void say_servers(const struct loop_names_lookup *lookup, const char *what, struct loop_name_error *text)
{
    const struct loop_names_resolver *resolver = lookup->resolver;

    loop_names_say(text, "%s: %s", what, lookup->ask.asked);
    if (resolver->n_servers == 0) {
        loop_names_say(text, "; see nameserver in %s", resolver->paths[LOOP_NAMES_RESOLV_CONF]);
    }
}

void loop_names_lookup_explain(const struct loop_names_lookup *lookup, int64_t error, struct loop_name_error *text)
{
    bool is_of_servers = lookup->is_over && lookup->outcome == error && lookup->ask.asked[0];

    switch (error) {
    case -ENOENT:
        loop_names_say(text, lookup->is_reverse ? "there is no name" : "there is no such host");
        say_where(lookup, text);
        break;
    case -ENODATA:
        loop_names_say(text, "the host has no %saddress", family_text(lookup->family));
        say_where(lookup, text);
        break;
    case -EPROTONOSUPPORT:
        loop_names_say(text, "there is no service %s of %s in %s", lookup->service, lookup->is_datagram ? "UDP" : "TCP",
                       lookup->resolver->paths[LOOP_NAMES_SERVICES_FILE]);
        break;
    case -EINVAL:
        loop_names_say(text, "%s", lookup->fault ? lookup->fault : "not a host, a service or an option");
        break;
    case -EOPNOTSUPP: loop_names_say(text, "built without c-ares, which the options of the resolver need"); break;
    default:
        if (error == -ETIMEDOUT && lookup->ask.asked[0]) {
            say_servers(lookup, is_of_servers ? "no server has answered" : "no answer in time", text);
        } else if (!is_of_servers) {
            loop_names_say(text, "%s%s%s", lookup->failed_path ? lookup->failed_path : "",
                           lookup->failed_path ? ": " : "", strerror((int)-error));
        } else if (error == -EAGAIN) {
            say_servers(lookup, "the servers cannot answer", text);
        } else {
            loop_names_say(text, "asking the servers: %s: ", strerror((int)-error));
            loop_names_say(text, "%s", lookup->ask.asked);
        }
        break;
    }
}
