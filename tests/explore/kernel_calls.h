/* SPDX-License-Identifier: ISC
 *
 * The system calls that demos make by themselves, on the simulated kernel, and their memory, which a crash of the node
 * frees. The compiler is given this header before each source of a demo (-include).
 */
#ifndef TESTS_EXPLORE_KERNEL_CALLS_H
#define TESTS_EXPLORE_KERNEL_CALLS_H

#pragma redefine_extname asprintf explore_asprintf
#pragma redefine_extname calloc loop_kernel_calloc
#pragma redefine_extname close loop_kernel_close
#pragma redefine_extname free loop_kernel_free
#pragma redefine_extname getrandom loop_kernel_getrandom
#pragma redefine_extname getrlimit loop_kernel_getrlimit
#pragma redefine_extname ioctl explore_ioctl
#pragma redefine_extname isatty loop_kernel_isatty
#pragma redefine_extname malloc loop_kernel_malloc
#pragma redefine_extname poll loop_kernel_poll
#pragma redefine_extname realloc loop_kernel_realloc
#pragma redefine_extname recv loop_kernel_recv
#pragma redefine_extname strdup loop_kernel_strdup
#pragma redefine_extname strndup loop_kernel_strndup

#endif
