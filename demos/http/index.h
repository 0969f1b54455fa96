/* SPDX-License-Identifier: ISC
 *
 * Lists of directories, written while the directory is read.
 */
#ifndef DEMOS_HTTP_INDEX_H
#define DEMOS_HTTP_INDEX_H

#include "send.h"

#include <fs/fs.h>

#define INDEX_BUFFER_SIZE 16384

struct listing {
    struct sending *sending;
    const char *path; /* of the directory, as decoded, with a slash at its end; "./" for the first one */
    bool is_chunked;  /* otherwise the list ends with the connection */
    struct loop_entries *entries;
    size_t at;   /* the next entry of those that were read */
    bool is_end; /* of the directory */
    size_t len;
    char size[24]; /* of the chunk */
    char buffer[INDEX_BUFFER_SIZE];
};

/* Opens the directory. The members `sending`, `path` and `is_chunked` have been set. Resumes with the results of
 * loop_fs_read_dir. */
loop_job listing_open(struct listing *listing, struct loop_dir *dir, loop_fn *fn, void *arg);

/* Sends the head, which has ended, and the list. */
void listing_send(struct listing *listing);

#endif
