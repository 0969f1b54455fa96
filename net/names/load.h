/* SPDX-License-Identifier: ISC
 *
 * Files of which what was made of them is kept until they change.
 */
#ifndef NET_NAMES_LOAD_H
#define NET_NAMES_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Which state of a file was loaded. Zeros: none. */
struct loop_names_identity {
    bool is_known, exists;
    bool is_local; /* its file system answers for a file in memory without waiting */
    uint64_t device, inode;
    int64_t size;
    struct timespec modified, changed;
};

/* For threads of the pool. Loads a regular file unless it is in the state `*identity`, which then becomes that of the
 * file. Stores its contents with a NUL behind, which the caller frees by loop_kernel_free; NUL bytes in it become
 * newlines. A file that does not exist is empty.
 *
 * Returns 1 when it was loaded; 0 when it has not changed; -ECANCELED when the work is cancelled; -EINVAL for a file
 * that is not regular; -EFBIG; -ENOMEM; or the errno of open(2) or read(2). */
int loop_names_load(const char *path, struct loop_names_identity *identity, char **text);

/* Returns whether a file is in a state that was loaded before, as far as the kernel knows without waiting for a disk or
 * a network. False where it is not, and where only loop_names_load can say. For the loop's thread. */
bool loop_names_is_current(const char *path, const struct loop_names_identity *identity);

#endif
