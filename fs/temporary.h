/* SPDX-License-Identifier: ISC
 *
 * Files that are complete before they get their name.
 */
#ifndef FS_TEMPORARY_H
#define FS_TEMPORARY_H

#include <fs/resolve.h>

#include <sys/stat.h>

/* Permissions of a file that no other user may read. */
#define LOOP_FS_PRIVATE_MODE 0600

/* A file that gets its name when it is complete. */
struct loop_fs_temporary {
    struct loop_fs_leaf leaf; /* where it is to be */
    bool is_exclusive;        /* nothing may have that name yet */
    int dir;                  /* of the leaf */
    bool is_opened;           /* `dir` is to be closed */
    int number;               /* the file */
    char name[32];            /* "" when there is none */
    bool is_nameless;         /* has no name at all until it is published */
    bool is_in_place;         /* has its name already, and is not published */
    bool cannot_be_linked;    /* publishing has failed for a reason that may be that of files without a name alone */
    bool replaces;            /* a regular file has the name */
    struct stat replaced;     /* its permissions and its owner */
    bool keeps_old;           /* published; `name` is now that of what was replaced */
    bool replaced_other;      /* published; what was replaced is gone */
};

/* Makes a file beside `path`, to be written to. Where it is to replace a regular file only this process's user may
 * read it, whatever `mode` says, until loop_fs_inherit. Returns 0 or -errno. Ended by loop_fs_temporary_end in
 * either case. */
int loop_fs_temporary_make(struct loop_fs_temporary *temporary, struct loop_fs_place at, const char *path,
                           unsigned mode, bool exclusive);

/* Makes a file of that mode without any name, where the file system supports it, and otherwise a private one as
 * loop_fs_temporary_make does. That `path` exists already, or is a directory, is found when the file is published: that
 * saves looking for the name, and a rename. Returns 0 or -errno. Ended by loop_fs_temporary_end in either case. */
int loop_fs_temporary_make_nameless(struct loop_fs_temporary *temporary, struct loop_fs_place at, const char *path,
                                    unsigned mode, bool exclusive);

/* Makes a file of that mode at `path`, which must not exist: the file has its name already, also while it is not
 * complete. Returns 0 or -errno. Ended by loop_fs_temporary_end in either case. */
int loop_fs_temporary_make_in_place(struct loop_fs_temporary *temporary, struct loop_fs_place at, const char *path,
                                    unsigned mode);

/* Gives the file its name. With `sync` the file is on the disk before that, and its name is after it: where that fails,
 * what was there before is there again, on file systems with RENAME_EXCHANGE. Returns 0 or -errno. */
int loop_fs_temporary_publish(struct loop_fs_temporary *temporary, bool sync);

/* Closes the file, and removes it when it has not been published. */
void loop_fs_temporary_end(struct loop_fs_temporary *temporary);

#endif
