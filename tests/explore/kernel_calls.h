/* SPDX-License-Identifier: ISC
 *
 * The system calls that demos make by themselves, on the simulated kernel. The compiler is given this header before
 * each source of a demo (-include).
 */
#ifndef TESTS_EXPLORE_KERNEL_CALLS_H
#define TESTS_EXPLORE_KERNEL_CALLS_H

#pragma redefine_extname close loop_kernel_close
#pragma redefine_extname getrandom loop_kernel_getrandom
#pragma redefine_extname getrlimit loop_kernel_getrlimit
#pragma redefine_extname ioctl explore_ioctl
#pragma redefine_extname isatty loop_kernel_isatty
#pragma redefine_extname poll loop_kernel_poll
#pragma redefine_extname recv loop_kernel_recv

#endif
