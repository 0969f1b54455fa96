/* SPDX-License-Identifier: ISC
 *
 * The io_uring backend. Only with NORIA_URING.
 */
#ifndef LOOP_BACKEND_URING_URING_H
#define LOOP_BACKEND_URING_URING_H

#include <loop/core/backend.h>

/* The functions of the io_uring backend. */
extern const struct loop_backend_ops loop_backend_uring;

#endif
