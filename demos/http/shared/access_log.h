/* SPDX-License-Identifier: ISC
 *
 * The access log: a line for each answer, in the common log format. The main loop writes it, for all loops of the
 * server.
 */
#ifndef DEMOS_HTTP_ACCESS_LOG_H
#define DEMOS_HTTP_ACCESS_LOG_H

#include "../request.h"

#include <net/net.h>

#define ACCESS_LOG_CLIENT_SIZE INET6_ADDRSTRLEN

struct access_log;

struct access {
    const struct loop_clock *clock; /* of the loop that has answered */
    const char *client;             /* its address */
    const struct http_request *request;
    int status;
    uint64_t body_bytes;
};

/* Creates the log: in the file `path`, or on standard output for "-". It lives as long as the scope of `env`. Where it
 * `is_shared`, other loops than that of `env` add the lines, and have ended when the log is closed. Returns NULL
 * without memory. */
struct access_log *access_log_create(struct loop_env *env, const char *path, bool is_shared);

/* Opens the file, or opens it again after it was renamed. The file from before is closed when the new one is open, and
 * stays in use where it cannot be opened. Resumes with 0, or with an error. Returns 0 without memory. */
loop_job access_log_open(struct access_log *log, loop_fn *fn, void *arg);

/* Writes the address of a client as it stands in the log. */
void access_log_write_client(char text[ACCESS_LOG_CLIENT_SIZE], const struct loop_address *address);

/* Adds a line, on the thread of a loop of the server. It never waits: what does not fit into the memory of the log is
 * dropped, and the log has a line with the count when it goes on. NULL for `log` is ignored. */
void access_log_add(struct access_log *log, const struct access *access);

/* Writes what is left, for at most a second, and closes the file. NULL is ignored. */
void access_log_close(struct access_log *log);

#endif
