/* SPDX-License-Identifier: ISC
 *
 * Copies a symbolic link.
 */
#ifndef DEMOS_CP_LINK_H
#define DEMOS_CP_LINK_H

#include "cp_report.h"

/* Copies a symbolic link itself (not its target) and its times. The copy replaces what has the target's name. Resumes
 * `fn` with 0 or a negative errno. Returns false without memory or when the scope has ended: `fn` is not called. */
bool cp_link(struct cp *cp, const struct cp_names *names, const struct loop_fs_status *stat, loop_fn *fn, void *arg);

#endif
