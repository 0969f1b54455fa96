/* SPDX-License-Identifier: ISC
 *
 * How accepts on a listener fail and recover, for the code that accepts in a loop.
 */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include <net/local.h>
#include <net/net.h>

/* Does what loop_listen does. With `is_shared` further listeners of this program may bind the address with `reuse_port`
 * afterwards, and no other program could have before. */
int loop_net_listen(struct loop_scope *scope, const struct loop_address *address,
                    const struct loop_listen_options *options, bool is_shared, struct loop_listener **listener);

/* Decides what follows an accept that failed with `error`. Returns 0 to accept again at once, nanoseconds to wait for a
 * descriptor before accepting again, or a negative errno when the listener has failed for good. Logs a warning when
 * something has run out. */
int64_t loop_net_accept_failed(struct loop_listener *listener, int64_t error);

/* Records that an accept succeeded: the next wait is short again. */
void loop_net_accept_succeeded(struct loop_listener *listener);

/* Returns whether the connections of the listener are of packets. */
bool loop_net_has_packets(const struct loop_listener *listener);

/* Makes a listener of a socket that listens, in the scope's memory. It owns the number, also when this fails. The file
 * is removed when the listener closes; a path of NULL is none. Returns 0 or -ENOMEM. */
int loop_net_make_listener(struct loop_scope *scope, int number, bool has_packets, struct loop_net_file *file,
                           struct loop_listener **listener);

/* Leaves the file of a Unix socket where it is when the listener closes. Returns whether there is one. */
bool loop_net_leave_file(struct loop_listener *listener);

/* Takes the file from a listener, which leaves it where it is from now on. `*file` is a copy as of loop_net_copy_file,
 * without a path where there is none. Returns 0 or -ENOMEM, and then the listener has it still. */
int loop_net_take_file(struct loop_listener *listener, struct loop_net_file *file);

/* Gives a file to a listener, which removes it when it closes. Without a path this does nothing. One that has been
 * closed removes it now. Frees the path. */
void loop_net_give_file(struct loop_listener *listener, struct loop_net_file *file);

#endif
