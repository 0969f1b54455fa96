/* SPDX-License-Identifier: ISC
 *
 * The configuration of names: which servers, which domains, which sources.
 */
#include <net/names/config.h>

#include <arpa/inet.h>
#include <string.h>

#define DNS_PORT 53

/* The bounds of resolv.conf(5). */
#define MOST_DOTS 15
#define MOST_TIMEOUT_S 30
#define MOST_ATTEMPTS 5

static void add_server(struct loop_names_config *config, const char *word)
{
    struct loop_address *server = &config->servers[config->n_servers];

    if (word && config->n_servers < LOOP_NAMES_MOST_SERVERS && loop_names_parse_numeric(word, server) == 1) {
        server->u.ipv4.sin_port = htons(DNS_PORT); /* the port of both families is at one place */
        config->n_servers++;
    }
}

/* The last line with domains counts. */
static void set_search(struct loop_names_config *config, char *line, bool only_first)
{
    config->search_len = 0;
    for (char *word = loop_names_word(&line); word; word = only_first ? NULL : loop_names_word(&line)) {
        size_t size = strlen(word) + 1;
        if (size - 1 <= LOOP_NAMES_HOST_MAX && size <= sizeof config->search - config->search_len) {
            memcpy(config->search + config->search_len, word, size);
            config->search_len += size;
        }
    }
}

/* Returns whether the word is "NAME:" and a number, which is stored, at most `most`. */
static bool is_option(const char *word, const char *name, unsigned long most, unsigned long *number)
{
    size_t len = strlen(name);

    if (strncmp(word, name, len) != 0 || !loop_names_number(word + len, UINT32_MAX, number)) {
        return false;
    }
    *number = *number < most ? *number : most;
    return true;
}

static void set_options(struct loop_names_config *config, char *line)
{
    unsigned long number;

    for (char *word = loop_names_word(&line); word; word = loop_names_word(&line)) {
        if (is_option(word, "ndots:", MOST_DOTS, &number)) {
            config->n_dots = (unsigned)number;
        } else if (is_option(word, "timeout:", MOST_TIMEOUT_S, &number) && number > 0) {
            config->timeout_ns = (int64_t)number * LOOP_SECOND;
        } else if (is_option(word, "attempts:", MOST_ATTEMPTS, &number) && number > 0) {
            config->attempts = (unsigned)number;
        } else if (strcmp(word, "rotate") == 0) {
            config->rotates = true;
        }
    }
}

void loop_names_config_parse(char *text, struct loop_names_config *config)
{
    static const unsigned char here[] = {127, 0, 0, 1};
    char *line;

    *config = (struct loop_names_config){.n_dots = 1, .attempts = 2, .timeout_ns = 5 * LOOP_SECOND};
    while ((line = loop_names_line(&text, "#;"))) {
        char *word = loop_names_word(&line);
        if (!word) {
            continue;
        }
        if (strcmp(word, "nameserver") == 0) {
            add_server(config, loop_names_word(&line));
        } else if (strcmp(word, "search") == 0 || strcmp(word, "domain") == 0) {
            set_search(config, line, word[0] == 'd');
        } else if (strcmp(word, "options") == 0) {
            set_options(config, line);
        }
    }
    if (config->n_servers == 0) {
        config->servers[0] = loop_names_address(AF_INET, here, 0);
        config->servers[0].u.ipv4.sin_port = htons(DNS_PORT);
        config->n_servers = 1;
    }
}

/* ---- the order of sources ---- */

static void add_source(struct loop_names_order *order, enum loop_names_source source)
{
    if (order->count == 0 || (order->count == 1 && order->sources[0] != source)) {
        order->sources[order->count++] = source;
    }
}

/* Parses the words behind "hosts:". An action in brackets belongs to the source in front of it. */
static void parse_hosts(struct loop_names_order *order, char *line)
{
    bool is_ours = false;

    for (char *word = loop_names_word(&line); word; word = loop_names_word(&line)) {
        if (word[0] == '[') {
            bool ends = strstr(word, "NOTFOUND=return") || strstr(word, "!SUCCESS=return");
            order->first_is_last |= is_ours && ends && order->count == 1;
            continue;
        }
        is_ours = true;
        if (strcmp(word, "files") == 0) {
            add_source(order, LOOP_NAMES_FILES);
        } else if (strcmp(word, "dns") == 0) {
            add_source(order, LOOP_NAMES_DNS);
        } else if (strcmp(word, "resolve") == 0) { /* systemd-resolved, which looks at the hosts file first */
            add_source(order, LOOP_NAMES_FILES);
            add_source(order, LOOP_NAMES_DNS);
        } else {
            is_ours = false;
        }
    }
}

void loop_names_order_parse(char *text, struct loop_names_order *order)
{
    char *line;

    *order = (struct loop_names_order){.count = 0};
    while ((line = loop_names_line(&text, "#"))) {
        char *word = loop_names_word(&line);
        if (word && strcmp(word, "hosts:") == 0) {
            parse_hosts(order, line);
        }
    }
    if (order->count == 0) {
        order->sources[0] = LOOP_NAMES_FILES;
        order->sources[1] = LOOP_NAMES_DNS;
        order->count = 2;
    }
}
