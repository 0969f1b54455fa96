/* SPDX-License-Identifier: ISC
 *
 * Paths walked component by component beneath a directory.
 */
#ifndef FS_WALK_H
#define FS_WALK_H

#include <linux/openat2.h>
#include <stdbool.h>

/* Returns whether a path names the directory that it is relative to: ".", "./", "./.". */
bool loop_fs_is_itself(const char *path);

/* Does what openat2 with RESOLVE_BENEATH does (and RESOLVE_NO_SYMLINKS, where asked for), component by component.
 * Returns a descriptor or -errno: -EAGAIN when another process has moved a directory on the way. */
int loop_fs_walk(int base, const char *path, const struct open_how *how);

/* Stores the path without links, "." and ".." in `*real`, to be freed by the caller. Returns 0 or -errno. */
int loop_fs_walk_real(int base, const char *path, char **real);

#endif
