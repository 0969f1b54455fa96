/* SPDX-License-Identifier: ISC
 *
 * All that the library asks of the system. See <loop/kernel/door.h>.
 */
#ifndef LOOP_KERNEL_ALL_H
#define LOOP_KERNEL_ALL_H

#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/path.h>

#endif
