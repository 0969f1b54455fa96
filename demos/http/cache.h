/* SPDX-License-Identifier: ISC
 *
 * Files that were served lately. They stay open for a while, and small ones in memory, so that an answer needs no
 * operation on the file.
 */
#ifndef DEMOS_HTTP_CACHE_H
#define DEMOS_HTTP_CACHE_H

#include <fs/fs.h>
#include <loop/loop.h>

struct file_cache;

/* An open file, or directory. */
struct cached_file {
    struct loop_fd *fd;
    struct loop_fs_status stat;
    const char *data; /* all its bytes; or NULL */
    /* For the user's own, all zero at first: what the answers with it have in common. */
    char tag[64];
    const char *type;
    char heads[2][256]; /* as itself, and as the encoded form of another file */
    unsigned lacks;     /* encodings that it does not have: bits */
};

/* Creates a cache of at most `most_files` files beneath `dir`, each for `fresh_ns`. It lives as long as `scope`, which
 * it does not hold open. Returns NULL without memory. */
struct file_cache *file_cache_create(struct loop_scope *scope, struct loop_dir *dir, unsigned most_files,
                                     int64_t fresh_ns);

/* Returns a file that is in the cache, or NULL. The caller gives its use back with cached_file_unuse. */
struct cached_file *file_cache_find(struct file_cache *cache, const char *path);

/* Opens a file, and keeps it if it is a regular one. `*file` is set before the continuation is resumed with 0, and has
 * a use of the caller's. Resumes with 0, or with an error of loop_fs_open_stat. */
loop_job file_cache_open(struct file_cache *cache, struct loop_scope *scope, const char *path,
                         struct cached_file **file, loop_fn *fn, void *arg);

/* Gives a use back. The last one closes the file if it is not in the cache any more. */
void cached_file_unuse(struct cached_file *file);

#endif
