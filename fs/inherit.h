/* SPDX-License-Identifier: ISC
 *
 * What a file takes over from the one that it replaces.
 */
#ifndef FS_INHERIT_H
#define FS_INHERIT_H

#include <fs/temporary.h>

#include <stdint.h>

/* Gives the file the permissions, the access control list and, where that is allowed, the owner and group of the file
 * that it replaces, as they are now. Does nothing when it replaces none. Returns 0 or -errno. */
int64_t loop_fs_inherit(const struct loop_fs_temporary *temporary);

#endif
