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

/* A directory on the way from the source to what is reported. */
struct cp_way {
    const struct cp_way *parent; /* NULL for the source itself */
    const char *name;
};

/* Does what cp_complain does for `name` in a directory; "" is the directory itself. A path that is too long is cut at
 * its start. */
void cp_complain_in(struct cp *cp, const struct cp_way *way, const char *name, const char *text);

/* Reports a negative errno for `path` as cp_complain does. -ECANCELED is ignored: the user asked for it. */
void cp_fail(struct cp *cp, const char *path, int64_t error);

/* Holds the scope of a file or a directory. When it is cancelled, it is held until its temporary file has been removed,
 * or it has been renamed, in a scope that is not cancelled. */
void cp_hold(struct loop_scope *scope);

/* Returns the complaint for a kind that is not copied: a fifo, a socket or a device. */
const char *cp_why_special(enum loop_kind kind);

#endif
