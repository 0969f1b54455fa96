/* SPDX-License-Identifier: ISC
 *
 * What is served under which names of hosts.
 */
#include "sites.h"
#include "text/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct opening {
    struct sites *sites;
    struct loop_env *env;
    unsigned at, files_each;
    int64_t fresh_ns;
    const char **failed;
    loop_job promise;
};

/* Ends `*rest` at the separator and returns what was before it. `*rest` is behind it then, or NULL. */
static char *cut(char **rest, char separator)
{
    char *text = *rest, *end = text ? strchr(text, separator) : NULL;

    *rest = end ? end + 1 : NULL;
    if (end) {
        *end = '\0';
    }
    return text;
}

const char *sites_add(struct sites *sites, const char *text)
{
    if (sites->n == MOST_SITES) {
        return "there are too many hosts";
    }
    char *rest = strdup(text);
    if (!rest) {
        return "there is no memory";
    }
    struct site *site = &sites->site[sites->n];
    site->name = cut(&rest, '=');
    site->directory = cut(&rest, ',');
    site->chain = cut(&rest, ',');
    site->key = rest;
    if (!site->name || site->name[0] == '\0' || strpbrk(site->name, ":/, ")) {
        return "the name of the host is missing or wrong";
    }
    if (!site->directory || site->directory[0] == '\0') {
        return "the directory is missing";
    }
    if ((site->chain && site->chain[0] == '\0') || (site->key && site->key[0] == '\0')) {
        return "the name of a file is missing";
    }
    sites->n++;
    return NULL;
}

/* ---- opening ---- */

static void open_next(struct opening *opening);

static void end(struct opening *opening, int64_t result)
{
    *opening->failed = opening->sites->site[opening->at].directory;
    loop_resolve(opening->env->loop, opening->promise, result);
}

static void on_directory(void *arg, int64_t result)
{
    struct opening *opening = arg;
    struct site *site = &opening->sites->site[opening->at];

    if (result == 0) {
        site->cache = file_cache_create(opening->env->scope, site->dir, opening->files_each, opening->fresh_ns);
    }
    if (result < 0 || !site->cache) {
        end(opening, result < 0 ? result : -ENOMEM);
    } else if (++opening->at < opening->sites->n) {
        open_next(opening);
    } else {
        loop_resolve(opening->env->loop, opening->promise, 0);
    }
}

static void open_next(struct opening *opening)
{
    struct site *site = &opening->sites->site[opening->at];
    struct loop_env *env = opening->env;

    if (!loop_fs_open_dir(env->scope, env->fs, site->directory, &site->dir, on_directory, opening)) {
        end(opening, -ENOMEM);
    }
}

loop_job sites_open(struct sites *sites, struct loop_env *env, unsigned most_files, int64_t fresh_ns,
                    const char **failed, loop_fn *fn, void *arg)
{
    struct opening *opening = loop_scope_alloc(env->scope, sizeof *opening);

    if (!opening) {
        return 0;
    }
    *opening = (struct opening){
        .sites = sites, .env = env, .files_each = most_files / sites->n, .fresh_ns = fresh_ns, .failed = failed};
    opening->promise = loop_promise(env->scope, NULL, NULL, fn, arg);
    if (opening->promise) {
        open_next(opening);
    }
    return opening->promise;
}

const struct site *sites_find(const struct sites *sites, const char *host, size_t host_len)
{
    for (unsigned i = 1; i < sites->n; i++) {
        if (host_is(host, host_len, sites->site[i].name)) {
            return &sites->site[i];
        }
    }
    return &sites->site[0];
}
