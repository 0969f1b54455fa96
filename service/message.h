/* SPDX-License-Identifier: ISC
 *
 * The message with which a program hands its sockets to its successor. The sockets come with it, in its order.
 *
 *     noria 1 2            the version, and the number of sockets
 *     1 http               the flags of loop_listener_adopt, and the name
 *     0 control
 *
 * The successor answers with "ready\n". After that the predecessor closes the connection when it has stopped accepting.
 * To a successor that takes too long it says "late\n" and closes the connection: it serves on. A connection that ends
 * without that tells that the predecessor accepts no more.
 */
#ifndef SERVICE_MESSAGE_H
#define SERVICE_MESSAGE_H

#include <service/object.h>

#define LOOP_SERVICE_MESSAGE_SIZE 2048
#define LOOP_SERVICE_READY "ready\n"
#define LOOP_SERVICE_LATE "late\n"

/* Writes the message about the running servers, and stores the descriptors that go with it. Returns its length. */
size_t loop_service_write_message(struct loop_service *service, char text[LOOP_SERVICE_MESSAGE_SIZE],
                                  struct loop_fd *fds[LOOP_SERVICE_MOST], size_t *n_fds);

/* Returns the number of sockets in the first line: -EAGAIN while the message is not whole, -EPROTO for anything
 * else. */
int loop_service_read_message(const char *text, size_t len);

/* Reads the line of socket `index` of a whole message. Returns false for a line that is none. */
bool loop_service_read_line(const char *text, size_t len, size_t index, struct loop_service_socket *socket);

#endif
