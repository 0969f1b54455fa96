/* SPDX-License-Identifier: ISC
 *
 * What the files of cp share: the program's state, one file copied (cp_file.c), a tree copied (cp_tree.c).
 */
#ifndef DEMOS_CP_H
#define DEMOS_CP_H

#include "progress.h"

#include <fs/fs.h>

struct cp {
    struct loop_env *env;
    struct loop_scope *scope;  /* of all that copies: a signal cancels it. What takes temporary files away is env's */
    struct progress *progress; /* NULL where none is to be seen */
    int status;
};

/* ---- cp.c ---- */

/* One line about `path`, and the program's status will tell. A cancel needs no words, it was asked for. */
void cp_complain(struct cp *cp, const char *path, const char *text);
void cp_fail(struct cp *cp, const char *path, int64_t error);

/* What to say about something that is neither file nor link nor directory. */
const char *cp_why_special(enum loop_kind kind);

/* ---- cp_file.c ---- */

/* From where to where: good until the continuation. */
struct cp_names {
    struct loop_dir *from_dir, *to_dir;
    const char *from, *to;
};

/* Files of so many bytes tell the progress bar themselves how far they are. Of a smaller one the result is added. */
#define CP_BIG_BYTES ((uint64_t)4 << 20)

/* Copies a regular file of that size, its permissions and times: what had the new name is replaced when the copy is
 * complete. False where there is no memory or the scope has ended; then nothing is resumed. */
bool cp_file(struct cp *cp, const struct cp_names *names, uint64_t size_bytes, loop_fn *fn, void *arg);

/* ---- cp_link.c ---- */

/* Copies a symbolic link itself, and its times. As above. */
bool cp_link(struct cp *cp, const struct cp_names *names, const struct loop_fs_status *stat, loop_fn *fn, void *arg);

/* ---- cp_tree.c ---- */

/* Copies the directory `from` as the directory `to`, or into it where that is there already. With `only_counts` it
 * goes the same way and only tells the progress bar how much there is. Each thing that can't be copied is complained
 * about and left out. */
bool cp_tree(struct cp *cp, const struct cp_names *names, const struct loop_fs_status *stat, bool only_counts,
             loop_fn *fn, void *arg);

#endif
