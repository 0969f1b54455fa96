/* SPDX-License-Identifier: ISC
 *
 * The state that the parts of cp share, and what cp reports on standard error.
 */
#ifndef DEMOS_CP_REPORT_H
#define DEMOS_CP_REPORT_H

#include "../common/progress.h"

#include <fs/fs.h>

struct cp {
    struct loop_env *env;
    struct loop_scope *scope;  /* owns all copies; a signal cancels it. Temporary files are removed in env's scope */
    struct progress *progress; /* NULL: no progress bar */
    uint64_t most_descriptors; /* the limit of open descriptors */
    int status;                /* the program's exit status */
};

/* The names of one copy. They have to stay valid until the continuation. */
struct cp_names {
    struct loop_dir *from_dir, *to_dir;
    const char *from, *to;
};

/* A file of at least this size reports its progress itself. For a smaller file the caller adds the result. */
#define CP_BIG_BYTES ((uint64_t)4 << 20)

/* Prints "cp: path: text" on standard error and makes the exit status 1. */
void cp_complain(struct cp *cp, const char *path, const char *text);

/* Reports a negative errno for `path` as cp_complain does. -ECANCELED is ignored: the user asked for it. */
void cp_fail(struct cp *cp, const char *path, int64_t error);

/* Returns the complaint for a kind that is not copied: a fifo, a socket or a device. */
const char *cp_why_special(enum loop_kind kind);

#endif
