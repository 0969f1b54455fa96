/* SPDX-License-Identifier: ISC
 *
 * The table of a hosts file. The names stay in the file's text. Lines and names refer to each other by their indices,
 * counted from 1, and each bucket of a hash is a list in the order of the file.
 */
#include <loop/event.h>
#include <loop/kernel/memory.h>
#include <net/names/hosts.h>

#include <assert.h>
#include <string.h>

/* A line: an address and its names, which follow each other in the array. */
struct line {
    uint8_t bytes[16];
    uint32_t zone;
    uint32_t first_name, n_names;
    uint32_t next; /* the next line of its bucket; 0: none */
    bool is_ipv6;
};

struct name {
    uint32_t at; /* in the text */
    uint32_t line;
    uint32_t next;
};

struct loop_names_hosts {
    char *text;
    struct line *lines;
    struct name *names;
    uint32_t n_lines, lines_room, n_names, names_room;
    uint32_t *line_buckets, *name_buckets; /* of n_buckets each, a power of two */
    uint32_t n_buckets;
};

void loop_names_hosts_free(struct loop_names_hosts *hosts)
{
    if (hosts) {
        loop_kernel_free(hosts->text);
        loop_kernel_free(hosts->lines);
        loop_kernel_free(hosts->names);
        loop_kernel_free(hosts->line_buckets);
        loop_kernel_free(hosts->name_buckets);
        loop_kernel_free(hosts);
    }
}

/* ---- parsing ---- */

/* Makes room for one more element of an array. Returns the array, or NULL without memory: then it stays as it is. */
static void *with_room(void *array, uint32_t count, uint32_t *room, size_t size)
{
    if (count < *room) {
        return array;
    }
    uint32_t more = *room ? 2 * *room : 64;
    void *grown = loop_kernel_realloc(array, more * size);
    if (grown) {
        *room = more;
    }
    return grown;
}

static int add_line(struct loop_names_hosts *hosts, const struct loop_address *address)
{
    struct line *lines = with_room(hosts->lines, hosts->n_lines, &hosts->lines_room, sizeof *lines);
    size_t len;
    const unsigned char *bytes = loop_names_bytes(address, &len);

    if (!lines) {
        return -ENOMEM;
    }
    hosts->lines = lines;
    struct line *line = &lines[hosts->n_lines++];
    *line = (struct line){.is_ipv6 = len == sizeof line->bytes, .first_name = hosts->n_names};
    line->zone = line->is_ipv6 ? address->u.ipv6.sin6_scope_id : 0;
    memcpy(line->bytes, bytes, len);
    return 0;
}

static int add_name(struct loop_names_hosts *hosts, const char *text)
{
    struct name *names = with_room(hosts->names, hosts->n_names, &hosts->names_room, sizeof *names);

    if (!names) {
        return -ENOMEM;
    }
    hosts->names = names;
    names[hosts->n_names++] = (struct name){.at = (uint32_t)(text - hosts->text), .line = hosts->n_lines};
    hosts->lines[hosts->n_lines - 1].n_names++;
    return 0;
}

/* Adds a line of the file. One without an address, or without names, is left out. */
static int parse_line(struct loop_names_hosts *hosts, char *line)
{
    char *word = loop_names_word(&line);
    struct loop_address address;

    if (!word || loop_names_parse_numeric(word, &address) != 1) {
        return 0;
    }
    word = loop_names_word(&line);
    int error = word ? add_line(hosts, &address) : 0;
    for (; word && error == 0; word = loop_names_word(&line)) {
        if (strlen(word) <= LOOP_NAMES_HOST_MAX) {
            error = add_name(hosts, word);
        }
    }
    return error;
}

static int parse_lines(struct loop_names_hosts *hosts)
{
    char *rest = hosts->text;
    char *line;
    int error = 0;

    for (unsigned n = 1; error == 0 && (line = loop_names_line(&rest, "#")); n++) {
        error = n % 4096 == 0 && loop_work_is_cancelled() ? -ECANCELED : parse_line(hosts, line);
    }
    return error;
}

static uint32_t hash_of_bytes(const uint8_t *bytes)
{
    uint32_t hash = 2166136261u;

    for (unsigned i = 0; i < 16; i++) {
        hash = (hash ^ bytes[i]) * 16777619u;
    }
    return hash;
}

/* Links lines and names into buckets. From the last to the first, each at the front. */
static int link_all(struct loop_names_hosts *hosts)
{
    uint32_t n_buckets = 64;

    while (n_buckets < hosts->n_names) {
        n_buckets *= 2;
    }
    hosts->n_buckets = n_buckets;
    hosts->line_buckets = loop_kernel_calloc(n_buckets, sizeof *hosts->line_buckets);
    hosts->name_buckets = loop_kernel_calloc(n_buckets, sizeof *hosts->name_buckets);
    if (!hosts->line_buckets || !hosts->name_buckets) {
        return -ENOMEM;
    }
    for (uint32_t i = hosts->n_lines; i > 0; i--) {
        struct line *line = &hosts->lines[i - 1];
        uint32_t *bucket = &hosts->line_buckets[hash_of_bytes(line->bytes) & (n_buckets - 1)];
        line->next = *bucket;
        *bucket = i;
    }
    for (uint32_t i = hosts->n_names; i > 0; i--) {
        struct name *name = &hosts->names[i - 1];
        uint32_t *bucket = &hosts->name_buckets[loop_names_hash(hosts->text + name->at) & (n_buckets - 1)];
        name->next = *bucket;
        *bucket = i;
    }
    return 0;
}

int loop_names_hosts_parse(char *text, struct loop_names_hosts **hosts)
{
    struct loop_names_hosts *made = loop_kernel_calloc(1, sizeof *made);

    if (!made) {
        loop_kernel_free(text);
        return -ENOMEM;
    }
    made->text = text;
    int error = parse_lines(made);
    if (error == 0) {
        error = link_all(made);
    }
    if (error < 0) {
        loop_names_hosts_free(made);
        return error;
    }
    *hosts = made;
    return 0;
}

/* ---- finding ---- */

int loop_names_hosts_find(const struct loop_names_hosts *hosts, const char *host, int family,
                          struct loop_names_records *records)
{
    uint32_t at = hosts ? hosts->name_buckets[loop_names_hash(host) & (hosts->n_buckets - 1)] : 0;
    int is_found = 0;

    for (; at; at = hosts->names[at - 1].next) {
        const struct name *name = &hosts->names[at - 1];
        const struct line *line = &hosts->lines[name->line - 1];
        int family_of_line = line->is_ipv6 ? AF_INET6 : AF_INET;
        if (!loop_names_equal(hosts->text + name->at, host)) {
            continue;
        }
        if (!is_found) {
            loop_names_copy(records->canonical, sizeof records->canonical,
                            hosts->text + hosts->names[line->first_name].at);
        }
        is_found = 1;
        if ((family == 0 || family == family_of_line) &&
            loop_names_add_bytes(records, family_of_line, line->bytes, line->zone) < 0) {
            return -ENOMEM;
        }
    }
    return is_found;
}

static int add_names(const struct loop_names_hosts *hosts, const struct line *line, struct loop_names_records *records)
{
    for (uint32_t i = 0; i < line->n_names; i++) {
        if (loop_names_add_name(records, hosts->text + hosts->names[line->first_name + i].at) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

int loop_names_hosts_reverse(const struct loop_names_hosts *hosts, const struct loop_address *address,
                             struct loop_names_records *records)
{
    uint8_t bytes[16] = {0};
    size_t len;
    const unsigned char *sent = loop_names_bytes(address, &len);
    int is_found = 0;

    memcpy(bytes, sent, len);
    uint32_t at = hosts ? hosts->line_buckets[hash_of_bytes(bytes) & (hosts->n_buckets - 1)] : 0;
    for (; at; at = hosts->lines[at - 1].next) {
        const struct line *line = &hosts->lines[at - 1];
        bool is_same = line->is_ipv6 == (len == sizeof bytes) && memcmp(line->bytes, bytes, sizeof bytes) == 0 &&
                       (!line->is_ipv6 || line->zone == 0 || line->zone == address->u.ipv6.sin6_scope_id);
        if (is_same && line->n_names > 0) {
            is_found = 1;
            if (add_names(hosts, line, records) < 0) {
                return -ENOMEM;
            }
        }
    }
    assert(is_found >= 0);
    return is_found;
}
