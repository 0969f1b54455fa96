/* SPDX-License-Identifier: ISC
 *
 * The status of one name, for the sources that list and open.
 */
#ifndef FS_ATTRIBUTES_H
#define FS_ATTRIBUTES_H

#include <fs/fs.h>

/* Returns the kind of a file by the type in its mode (st_mode). */
enum loop_kind loop_fs_kind_of(unsigned mode);

/* Stores the status of `name` in the directory `dir`, or of `dir` itself when that is ""; never follows a link. Returns
 * 0 or -errno. */
int loop_fs_stat_name(int dir, const char *name, struct loop_fs_status *stat);

#endif
