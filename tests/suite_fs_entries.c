/* SPDX-License-Identifier: ISC
 *
 * Directories that are read where there is no memory.
 */
#include "harness.h"

/* ---- no memory ---- */

#if !HAS_SANITIZER
/* The release hook of the entries frees them at once where there is no memory for it. */
LOOP_TEST(p02_fs_no_memory_at_any_step_of_reading_a_directory)
{
    static struct loop_scope *scope;
    static struct loop_entries *entries;
    static struct once opened, end;
    static bool is_over;
    static int with_stat;
    static unsigned n;

    BEGIN;
    for (with_stat = 0; with_stat < 2; with_stat++) {
        for (n = 1, is_over = false; !is_over; n++) {
            opened = end = (struct once){.count = 0};
            entries = NULL;
            scope = loop_scope_open(env->scope, ONCE(&end));
            CHECK(scope != NULL);
            fail_allocation(n, false);
            if (loop_fs_read_dir(scope, env->fs, "/proc/self", with_stat, &entries, ONCE(&opened))) {
                WAIT_UNTIL(opened.count);
                CHECK((opened.result == 0) == (entries != NULL));
                CHECK(opened.result == 0 || opened.result == -ENOMEM);
            }
            is_over = !allocation_failed();
            WAIT_UNTIL(end.count);
            ONCE_IS(end, 0);
            fail_allocation(0, false); /* what was freed is looked at */
        }
        CHECK(n > 3);
    }
    END;
}
#endif
