/* SPDX-License-Identifier: ISC
 *
 * What newer kernels have and the headers of liburing 2.3 do not. Whether the running kernel has it is asked when a
 * ring is made (struct io_uring_params.features); with a newer liburing its own definitions count.
 */
#ifndef LOOP_BACKEND_URING_COMPAT_H
#define LOOP_BACKEND_URING_COMPAT_H

#include <loop/kernel/ring.h>

/* Linux 6.15: a ring that waits needn't be counted as waiting for a disk. Without it an idle loop shows as iowait. */
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif
#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#endif

/* Linux 6.7: IORING_OP_READ_MULTISHOT, which is an enumerator in newer headers. */
#define LOOP_URING_OP_READ_MULTISHOT 49

#endif
