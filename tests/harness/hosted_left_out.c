/* SPDX-License-Identifier: ISC
 *
 * The tests that do not hold for loops with a host (TESTS_HOSTED), and why. A left out test runs when it is asked for
 * by its whole name.
 */
#include "account.h"

static const struct {
    const char *test, *reason;
} left_out[] = {
    /* suite_busy_poll */
    {"busy_polling_begins_again_where_sleeps_are_short", "a turn with a host never waits"},
    {"busy_polling_looks_until_a_timer_is_due", "a turn with a host never waits"},
    {"p18_busy_polling_is_left_out_where_nothing_comes_soon", "a turn with a host never waits"},
    {"p21_a_busy_polling_loop_sees_posts_without_being_woken", "a turn with a host never waits"},
    /* suite_ring_failure */
    {"a_long_shortage_is_told_once", "the ring is not entered while nothing is submitted"},
    {"a_program_whose_memory_the_kernel_may_still_write_to_is_stopped", "the ring is not entered without a reason"},
    {"a_ring_of_polls_alone_needs_no_stop", "the ring is not entered while nothing is submitted"},
    /* suite_urgent, suite_way */
    {"bytes_that_no_stream_takes_stay_in_the_socket", "the kernel goes on between turns"},
    {"many_flows_with_input_at_once_are_received_for_where_calls_are_cheap_too", "flows move bytes by readiness"},
    {"a_pipe_that_was_full_is_written_by_the_ring_once_many_flows_have_input", "flows move bytes by readiness"},
    {"multishot_receives_go_on_behind_urgent_data", "the kernel goes on between turns"},
    {"unix_multishot_receives_go_on_behind_passed_descriptors", "the kernel goes on between turns"},
};

const char *hosted_left_out(const char *test)
{
    for (size_t i = 0; i < COUNT_OF(left_out); i++) {
        if (strcmp(left_out[i].test, test) == 0) {
            return left_out[i].reason;
        }
    }
    return NULL;
}
