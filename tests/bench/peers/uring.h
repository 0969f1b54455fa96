/* SPDX-License-Identifier: ISC
 *
 * The two parts of the handwritten server on io_uring: streams and datagrams.
 */
#ifndef BENCH_URING_H
#define BENCH_URING_H

#include "ring.h"
#include "server.h"

void uring_serve_streams(const struct server *server, struct io_uring *ring) __attribute__((noreturn));
void uring_serve_datagrams(const struct server *server, struct io_uring *ring) __attribute__((noreturn));

#endif
