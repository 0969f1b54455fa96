/* SPDX-License-Identifier: ISC
 *
 * fetch URL...: downloads files over HTTP/1.1, with or without TLS.
 *
 * A file has its name only when it is whole. What breaks off stays as NAME.part, and the next fetch of the same URL
 * asks for the rest, unless the content has changed. A body whose end is missing is an error, however it ends.
 */
#include "../common/arguments.h"
#include "../common/printable.h"
#include "fetch_part.h"
#include "fetch_request.h"
#include "fetch_task.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_ANSWERS 64 /* of names */

static struct {
    const char *output, *range, *authorities;
    bool is_fresh, allows_downgrade, is_insecure;
    unsigned n_tasks, most_redirects, most_retries, most_head_kib, most_mib;
    int64_t timeout_ns, stall_ns;
} asked = {.n_tasks = 1, .most_redirects = 10, .most_head_kib = 64, .stall_ns = 30 * LOOP_SECOND};

static const struct arguments_option options[] = {
    {.name = "output",
     .letter = 'o',
     .placeholder = "FILE",
     .text = &asked.output,
     .help = "write to this file; - is standard output (default: the last part of each URL)"},
    {.name = "range",
     .letter = 'r',
     .placeholder = "A-B",
     .text = &asked.range,
     .help = "fetch these bytes, the first is 0; A- is up to the end, -N the last N"},
    {.name = "fresh", .flag = &asked.is_fresh, .help = "fetch all of it, in place of resuming"},
    {.name = "parallel",
     .letter = 'p',
     .placeholder = "N",
     .count = &asked.n_tasks,
     .least = 1,
     .most = 256,
     .help = "fetch so many URLs at a time (1)"},
    {.name = "timeout",
     .placeholder = "SECONDS",
     .duration_ns = &asked.timeout_ns,
     .help = "how long a URL may take (0, the default: no limit)"},
    {.name = "stall",
     .placeholder = "SECONDS",
     .duration_ns = &asked.stall_ns,
     .help = "how long to wait for a connection, an answer, or more of it (30; 0: no limit)"},
    {.name = "retries",
     .placeholder = "N",
     .count = &asked.most_retries,
     .most = 1000000,
     .help = "try so many times again when the network fails, and resume (0)"},
    {.name = "redirects",
     .placeholder = "N",
     .count = &asked.most_redirects,
     .most = 1000,
     .help = "follow at most so many redirects (10)"},
    {.name = "allow-downgrade", .flag = &asked.allows_downgrade, .help = "follow redirects from https to http as well"},
    {.name = "max-head",
     .placeholder = "KIB",
     .count = &asked.most_head_kib,
     .least = 1,
     .most = 1 << 20,
     .help = "refuse an answer with a longer head (64)"},
    {.name = "max-body",
     .placeholder = "MIB",
     .count = &asked.most_mib,
     .most = 1u << 31,
     .help = "refuse an answer with a longer body (0, the default: no limit)"},
    {.name = "ca", .placeholder = "FILE", .text = &asked.authorities, .help = "trust these authorities only (PEM)"},
    {.name = "insecure", .flag = &asked.is_insecure, .help = "accept any certificate: others can read and change all"},
};

static const struct arguments_program program = {
    .name = "fetch",
    .operands = "URL...",
    .about = "Downloads files over HTTP and HTTPS. A file has its name only when it is whole: until then it is\n"
             "NAME.part, which a later fetch of the same URL resumes if the content is still the same.\n"
             "Status 1 when one could not be fetched.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 1,
    .most_operands = 10000,
};

/* ---- arguments ---- */

/* Returns the name of the file, on the heap; NULL for standard output. */
static char *name_for(const struct url *url, const char *operand)
{
    char name[256 - sizeof PART_LONGEST_SUFFIX], text[PRINTABLE_IN_LINE];

    if (asked.output && strcmp(asked.output, "-") == 0) {
        return NULL;
    }
    if (!asked.output && (!url_file_name(url, name, sizeof name) || part_has_name(name))) {
        arguments_refuse("%s: a file can't have the name of that; --output gives one",
                         printable(text, sizeof text, operand));
    }
    if (asked.output && (!*asked.output || strlen(asked.output) >= URL_SIZE)) {
        arguments_refuse("--output: '%s' is no name of a file", printable(text, sizeof text, asked.output));
    }
    char *copy = strdup(asked.output ? asked.output : name);
    if (!copy) {
        exit(arguments_fail("can't begin", -ENOMEM));
    }
    return copy;
}

static int compare_names(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

/* Two downloads into one file would be one of them. */
static void refuse_same_names(const struct fetcher *fetcher)
{
    char text[PRINTABLE_IN_LINE], **names = calloc(fetcher->n_downloads, sizeof *names);

    if (!names) {
        exit(arguments_fail("can't begin", -ENOMEM));
    }
    for (size_t i = 0; i < fetcher->n_downloads; i++) {
        names[i] = fetcher->downloads[i].name;
    }
    qsort(names, fetcher->n_downloads, sizeof *names, compare_names);
    for (size_t i = 1; i < fetcher->n_downloads; i++) {
        if (strcmp(names[i - 1], names[i]) == 0) {
            arguments_refuse("two URLs would be written to '%s'", printable(text, sizeof text, names[i]));
        }
    }
    free(names);
}

static void read_operands(struct fetcher *fetcher, char **operands)
{
    char text[PRINTABLE_IN_LINE];

    while (operands[fetcher->n_downloads]) {
        fetcher->n_downloads++;
    }
    fetcher->downloads = calloc(fetcher->n_downloads, sizeof *fetcher->downloads);
    if (!fetcher->downloads) {
        exit(arguments_fail("can't begin", -ENOMEM));
    }
    for (size_t i = 0; i < fetcher->n_downloads; i++) {
        struct download *download = &fetcher->downloads[i];
        const char *wrong = url_parse(&download->url, operands[i]);
        if (wrong) {
            arguments_refuse("'%s' %s", printable(text, sizeof text, operands[i]), wrong);
        }
        download->name = name_for(&download->url, operands[i]);
    }
    if (fetcher->downloads[0].name) {
        refuse_same_names(fetcher);
    } else if (asked.n_tasks > 1) {
        arguments_refuse("several at a time can't be written to standard output");
    }
}

/* ---- running ---- */

static int start(struct loop_env *env, void *arg)
{
    struct fetcher *fetcher = arg;

    fetcher->env = env;
    fetcher->resolver = loop_resolver_open(env->scope, &(struct loop_resolver_options){.cache_limit = KEPT_ANSWERS});
    fetcher->progress = fetcher->downloads[0].name ? progress_start(env, env->scope) : NULL;
    for (unsigned i = 0; i < asked.n_tasks && i < fetcher->n_downloads; i++) {
        if (!fetcher->resolver || !task_begin(fetcher)) {
            return arguments_fail("can't begin", -ENOMEM);
        }
    }
    return 0;
}

static void release(const struct fetcher *fetcher)
{
    for (size_t i = 0; i < fetcher->n_downloads; i++) {
        free(fetcher->downloads[i].name);
    }
    free(fetcher->downloads);
}

int main(int argc, char **argv)
{
    char **operands = arguments_parse(&program, argc, argv);
    struct range range;
    struct fetcher fetcher = {.range = asked.range,
                              .authorities = asked.authorities,
                              .is_fresh = asked.is_fresh,
                              .allows_downgrade = asked.allows_downgrade,
                              .is_insecure = asked.is_insecure,
                              .most_redirects = asked.most_redirects,
                              .most_retries = asked.most_retries,
                              .most_head_bytes = (size_t)asked.most_head_kib << 10,
                              .most_bytes = asked.most_mib > 0 ? (uint64_t)asked.most_mib << 20 : UINT64_MAX,
                              .timeout_ns = asked.timeout_ns > 0 ? asked.timeout_ns : LOOP_NEVER,
                              .stall_ns = asked.stall_ns > 0 ? asked.stall_ns : LOOP_NEVER};

    if (asked.range && !range_parse(&range, asked.range)) {
        arguments_refuse("--range: '%s' is none of A-B, A- and -N", asked.range);
    }
    read_operands(&fetcher, operands);
    int status = arguments_run(start, &fetcher);
    release(&fetcher);
    return status != 0 ? status : fetcher.n_failed > 0;
}
