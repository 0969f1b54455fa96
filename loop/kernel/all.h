/* SPDX-License-Identifier: ISC
 *
 * All that the library asks of the system. See <loop/kernel/door.h>.
 */
#ifndef LOOP_KERNEL_ALL_H
#define LOOP_KERNEL_ALL_H

#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/name.h>
#include <loop/kernel/path.h>
#include <loop/kernel/process.h>
#include <loop/kernel/program.h>
#include <loop/kernel/ring.h>
#include <loop/kernel/signal.h>
#include <loop/kernel/socket.h>
#include <loop/kernel/thread.h>
#include <loop/kernel/time.h>

#endif
