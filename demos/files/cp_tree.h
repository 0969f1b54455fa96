/* SPDX-License-Identifier: ISC
 *
 * Copies a directory and everything in it.
 */
#ifndef DEMOS_CP_TREE_H
#define DEMOS_CP_TREE_H

#include "cp_report.h"

/* Copies the directory `from` to `to`, or into `to` if it exists. With `only_counts` it walks the same way and copies
 * nothing: it tells the progress bar how much there is. What cannot be copied is reported and skipped; `fn` is resumed
 * with 0 in any case. Returns false without memory; `fn` is not called then. */
bool cp_tree(struct cp *cp, const struct cp_names *names, const struct loop_fs_status *stat, bool only_counts,
             loop_fn *fn, void *arg);

#endif
