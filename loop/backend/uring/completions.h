/* SPDX-License-Identifier: ISC
 *
 * The bytes of flows by completions: the kernel receives as they arrive, and sends what a turn has written, without a
 * system call for each.
 */
#ifndef LOOP_BACKEND_URING_COMPLETIONS_H
#define LOOP_BACKEND_URING_COMPLETIONS_H

#include <loop/backend/uring/ring.h>

/* Watches the descriptor by polls, or receives for it; see loop_backend_ops.watch. */
int loop_uring_receive_or_watch(struct loop *loop, struct loop_fd *fd, uint32_t events);

/* Handles a completion of a receive. */
void loop_uring_received(struct loop_uring *uring, struct loop_fd *fd, int32_t result, uint32_t flags);

/* Returns whether the end of a socket may be lost to a multishot receive: its peer has hung up, or has reset a TCP
 * connection. Behind the FIN of TCP a receive goes on by itself. Asks poll(2): a recv(2) that looks would take the
 * error of a reset away. */
bool loop_uring_has_hung_up(const struct loop_fd *fd);

/* Called after each event of a poll of the descriptor with that id, where the ring receives or may receive: goes over
 * to receiving, or ends a receive whose end would be lost. */
void loop_uring_receive_after(struct loop_uring *uring, uint64_t id, enum loop_uring_watch_kind kind);

/* Handles the completion of a job's receive or send. */
void loop_uring_transferred(struct loop_uring *uring, struct loop_job *job, int32_t result);

/* Chooses the way of flows by how many of them have had input in this turn and the last ones. */
void loop_uring_weigh_inputs(struct loop_uring *uring);

/* Sends bytes of a job; see loop_backend_ops.send. */
bool loop_uring_send(struct loop *loop, struct loop_job *job, struct loop_fd *fd, const struct iovec *iov, int n_iov);

#endif
