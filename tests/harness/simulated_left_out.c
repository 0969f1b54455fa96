/* SPDX-License-Identifier: ISC
 *
 * The tests that the simulated kernel cannot run as they are, and why. The suites that it cannot run at all are listed
 * in tests/CMakeLists.txt. A left out test runs when it is asked for by its whole name.
 */
#include "account.h"

static const struct {
    const char *test, *reason;
} left_out[] = {
    /* suite_domain */
    {"pinned_domains_have_one_processor_each", "asks the kernel for processors"},
    {"without_a_number_there_is_one_for_each_processor", "asks the kernel for processors"},
    /* suite_file_copy */
    {"file_copies_that_share_their_files_lose_nothing", "maps a file into memory"},
    {"file_copy_ends_at_its_deadline", "a copy takes no virtual time"},
    {"p04_file_copy_stopped_before_and_between_its_pieces", "a copy takes no virtual time"},
    {"p13_file_copies_leave_threads_to_others", "a copy takes no virtual time"},
    {"p13_file_copy_lets_others_in_between", "a copy takes no virtual time"},
    /* suite_fs_copy_file, suite_fs_escape, suite_fs_path, suite_fs_whole, suite_position */
    {"fs_copy_file_of_files_that_claim_to_be_empty", "files of /proc"},
    {"fs_load_of_a_file_that_claims_more_than_it_has", "a file of /sys"},
    {"fs_load_of_files_that_claim_to_be_empty", "files of /proc"},
    {"fs_a_lease_on_a_file_is_waited_for", "leases"},
    {"p22_magic_links_of_proc", "files of /proc"},
    {"p22_a_directory_is_moved_while_we_resolve", "waits for time that does not pass"},
    {"p22_a_link_is_swapped_while_we_remove", "waits for time that does not pass"},
    {"p22_a_link_is_swapped_while_we_resolve", "waits for time that does not pass"},
    {"reads_of_a_file_of_proc_follow_each_other", "files of /proc"},
    /* suite_signal, suite_sigpipe */
    {"sigchld_tells_of_a_child", "fork"},
    /* suite_source_error */
    {"error_of_a_regular_file_stays_at_its_place", "maps a file into memory"},
    /* suite_stdio */
    {"input_from_a_terminal", "openpty"},
    {"input_from_a_terminal_that_hangs_up", "openpty"},
    {"p03_a_cancelled_write_to_a_full_terminal_uses_its_memory_until_its_end", "openpty"},
    {"p27_a_cancelled_write_to_a_full_terminal_is_interrupted", "openpty"},
    /* suite_task */
    {"p21_a_forked_child_cannot_post_a_task", "fork"},
    /* suite_unix_listener */
    {"of_servers_that_start_at_once_none_loses_its_file", "fork"},
    /* suite_unix_packet */
    {"the_peer_process_has_ended", "fork"},
};

const char *account_left_out(const char *test)
{
    for (size_t i = 0; i < COUNT_OF(left_out); i++) {
        if (strcmp(left_out[i].test, test) == 0) {
            return left_out[i].reason;
        }
    }
    return NULL;
}
