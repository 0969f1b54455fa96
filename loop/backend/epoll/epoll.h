/* SPDX-License-Identifier: ISC
 *
 * The epoll backend.
 */
#ifndef LOOP_BACKEND_EPOLL_EPOLL_H
#define LOOP_BACKEND_EPOLL_EPOLL_H

#include <loop/core/backend.h>

/* The functions of the epoll backend. */
extern const struct loop_backend_ops loop_backend_epoll;

#endif
