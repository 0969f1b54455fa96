/* SPDX-License-Identifier: ISC
 *
 * What is served under which names of hosts.
 */
#include "sites.h"
#include "text/target.h"
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

/* Whether the name of a site is valid: that of a host, or "*." and what all its hosts end with. */
static bool is_name(const char *name)
{
    const char *rest = name && strncmp(name, "*.", 2) == 0 ? name + 2 : name;

    return rest && rest[0] != '\0' && !strpbrk(rest, ":/, *");
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
    if (!is_name(site->name)) {
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

static bool is_named(const struct site *site, const char *host, size_t host_len)
{
    return host_is(host, host_len, site->name);
}

/* Whether the name of a site begins with "*." and the host is one of those. */
static bool is_covered(const struct site *site, const char *host, size_t host_len)
{
    return site->name[0] == '*' && host_is_below(host, host_len, site->name + 2);
}

/* Returns the first site of which `is` holds, without the first of all, or NULL. */
static const struct site *first_of(const struct sites *sites, const char *host, size_t host_len,
                                   bool (*is)(const struct site *site, const char *host, size_t host_len))
{
    for (unsigned i = 1; i < sites->n; i++) {
        if (is(&sites->site[i], host, host_len)) {
            return &sites->site[i];
        }
    }
    return NULL;
}

const struct site *sites_find(const struct sites *sites, const char *host, size_t host_len)
{
    const struct site *named = first_of(sites, host, host_len, is_named);
    const struct site *found = named ? named : first_of(sites, host, host_len, is_covered);

    return found ? found : &sites->site[0];
}

const char *host_of_request(const struct http_request *request, size_t *len)
{
    const char *host = request->fields[FIELD_HOST];
    struct target target;

    if (request->target[0] != '/' && target_read(request->target, &target) && target.host) {
        *len = target.host_len;
        return target.host;
    }
    *len = host ? strlen(host) : 0;
    return host;
}
