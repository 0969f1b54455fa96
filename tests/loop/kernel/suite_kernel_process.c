/* SPDX-License-Identifier: ISC
 *
 * The door's functions for the process: the real kernel and the simulated one must give the same answers.
 *
 * Suites named suite_kernel_NAME call functions of the door directly. Each is built twice, as suite_kernel_NAME on the
 * real kernel and as simulated_suite_kernel_NAME on the simulated one, and must pass as both.
 */
#include <loop/kernel/all.h> /* first: parameters in it have names that harness.h gives to functions */

#include "harness.h"

TEST(process_has_one_id_and_one_thread_id)
{
    CHECK(loop_kernel_getpid() > 0);
    CHECK_IS(loop_kernel_gettid(), loop_kernel_getpid());
    CHECK_IS(loop_kernel_getpid(), loop_kernel_getpid());
}

TEST(process_knows_how_many_files_it_may_open)
{
    struct rlimit limit;

    CHECK_IS(loop_kernel_getrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK(limit.rlim_cur > 0);
    CHECK(limit.rlim_cur <= limit.rlim_max);
}

TEST(process_random_fills_the_whole_buffer)
{
    unsigned char bytes[256] = {0};
    unsigned zeros = 0;

    CHECK_IS(loop_kernel_getrandom(bytes, sizeof bytes, 0), sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        zeros += bytes[i] == 0;
    }
    CHECK(zeros < 32);
}
