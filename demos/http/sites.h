/* SPDX-License-Identifier: ISC
 *
 * What is served under which names of hosts.
 */
#ifndef DEMOS_HTTP_SITES_H
#define DEMOS_HTTP_SITES_H

#include "cache.h"
#include "request.h"

#define MOST_SITES 64

struct site {
    const char *name; /* of the host, or "*." and what is behind the first label of all its hosts; NULL for the first
                       * site, which has all other hosts */
    const char *directory;
    const char *chain, *key; /* files of its certificate; NULL: none of its own, or the key is in `chain` */
    struct loop_dir *dir;
    struct file_cache *cache;
};

/* Each loop has its own, with the same texts. */
struct sites {
    struct site site[MOST_SITES];
    unsigned n;
};

/* Parses "NAME=DIRECTORY[,CERTIFICATE[,KEY]]". Returns NULL, or what is wrong with it. The texts are copied, and stay
 * as long as the program. */
const char *sites_add(struct sites *sites, const char *text);

/* Opens the directories, each with a cache of `most_files` / n files that stay `fresh_ns`. Resumes with 0, or with an
 * error: `*failed` is the directory's name then. `sites` and `failed` are in use until then. */
loop_job sites_open(struct sites *sites, struct loop_env *env, unsigned most_files, int64_t fresh_ns,
                    const char **failed, loop_fn *fn, void *arg);

/* Returns the site of a host, which may have a port behind it. A site with its name comes before one with "*.". */
const struct site *sites_find(const struct sites *sites, const char *host, size_t host_len);

/* Returns the host that a request is for, and stores its length, or NULL. That in the target comes first. */
const char *host_of_request(const struct http_request *request, size_t *len);

#endif
