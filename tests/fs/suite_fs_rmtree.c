/* SPDX-License-Identifier: ISC
 *
 * loop_fs_rmtree: links, many entries, any depth, and directories without permission to enter.
 */
#include "directory.h"

#include <semaphore.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- names ---- */

LOOP_TEST(fs_rmtree_removes_links_not_what_they_lead_to)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    make_tree("tree", 5, 3);
    make_tree("kept", 2, 2);
    CHECK_IS(symlink("../kept", "tree/dir0/link"), 0);
    CHECK_IS(symlink("kept", "link"), 0);
    CHECK_IS(mkfifo("tree/dir1/fifo", 0600), 0);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "tree//", GO));
    CHECK_IS(result, 0);
    CHECK(!exists("tree"));
    CHECK(exists("kept/file1") && exists("kept/dir1/file1"));
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "link/", GO));
    CHECK_IS(result, -ENOTDIR);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "link", GO));
    CHECK_IS(result, 0);
    CHECK(exists("kept/file1") && !exists("link"));
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "kept/file1", GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "kept/file1", GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "kept/.", GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "kept/dir0/..", GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "", GO));
    CHECK_IS(result, -ENOENT);
    CHECK(exists("kept/file0"));
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_rmtree_of_many_entries_in_one_directory)
{
    static const char *directory;
    static char name[64];

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("tree", 0755), 0);
    for (unsigned i = 0; i < 1200; i++) {
        snprintf(name, sizeof name, "tree/a-name-of-some-length-%u", i);
        if (i % 3 == 0) {
            CHECK_IS(mkdir(name, 0755), 0);
        } else {
            put(name, "");
        }
    }
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "tree", GO));
    CHECK_IS(result, 0);
    CHECK(!exists("tree"));
    leave_directory(directory);
    END;
}

/* ---- descriptors and depth ---- */

#define DEPTH 200

LOOP_TEST(fs_rmtree_of_any_depth_needs_two_descriptors)
{
    static const char *directory;
    static rlim_t limit;

    BEGIN;
    directory = enter_directory();
    for (int i = 0; i < DEPTH; i++) {
        CHECK_IS(mkdir("directory", 0755), 0);
        put_bytes("file", "", 0);
        CHECK_IS(chdir("directory"), 0);
    }
    CHECK_IS(chdir(directory), 0);
    limit = limit_fds((rlim_t)limit_with_free_fds(3));
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "directory", GO));
    CHECK_IS(result, 0);
    limit_fds(limit);
    leave_directory(directory);
    END;
}

/* ---- a directory that may be read but not searched ---- */

/* As rm -r does: an empty directory takes no permission for itself. */
LOOP_TEST(fs_rmtree_removes_empty_directories_that_it_may_not_enter)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("tree", 0755), 0);
    CHECK_IS(mkdir("tree/unreadable", 0000), 0);
    CHECK_IS(mkdir("tree/unsearchable", 0444), 0);
    CHECK_IS(mkdir("tree/full", 0755), 0);
    put("tree/full/file", "text");
    CHECK_IS(chmod("tree/full", 0444), 0);
    CHECK(geteuid() != 0 || (chown("tree", 12345, 0) == 0 && chown("tree/unreadable", 12345, 0) == 0 &&
                             chown("tree/unsearchable", 12345, 0) == 0 && chown("tree/full", 12345, 0) == 0));
    become_nobody();
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "tree/unreadable", GO));
    CHECK_IS(result, 0);
    CHECK_IS(mkdir("tree/unreadable", 0000), 0);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "tree", GO));
    CHECK_IS(result, -EACCES);
    CHECK_IS(chmod("tree/full", 0755), 0);
    CHECK(exists("tree/full/file"));
    become_root();
    CHECK_IS(chmod(".", 0777), 0);
    become_nobody();
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "tree", GO));
    CHECK_IS(result, 0);
    CHECK(!exists("tree"));
    become_root();
    leave_directory(directory);
    END;
}
