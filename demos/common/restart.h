/* SPDX-License-Identifier: ISC
 *
 * Servers that are replaced by their next version while they serve, and that a service manager starts.
 */
#ifndef DEMOS_RESTART_H
#define DEMOS_RESTART_H

#include "arguments.h"

#include <service/service.h>

/* The option --restart, and what becomes of it. */
struct restart {
    const char *path; /* NULL: none was given */
    struct loop_env *env;
    struct loop_service *service;
    struct loop_address at;
    void (*serve)(void *arg);
    void (*replaced)(void *arg); /* NULL, or called when a successor serves */
    void *arg;
    bool (*announce)(void *arg); /* of restart_ready */
    void *announce_arg;
    bool has_predecessor, has_failed;
};

#define RESTART_OPTION(restart)                                                                                        \
    {                                                                                                                  \
        .name = "restart", .placeholder = "PATH", .text = &(restart).path,                                             \
        .help = "take the sockets of the server that waits at PATH, and wait there for the next"                       \
    }

/* Takes what the manager and the predecessor have, and calls serve(arg), which serves in restart->service. Returns 0,
 * or the result of arguments_fail. Errors that come later end the loop with such a result. */
int restart_begin(struct restart *restart, struct loop_env *env, void (*serve)(void *arg), void *arg);

/* Says that the program serves, and waits for its successor if it has been asked to. Calls announce(arg) when nothing
 * can keep it from waiting; that returns false where it has ended the program. Where it cannot wait, the loop ends with
 * an error, and nothing is announced. */
void restart_ready(struct restart *restart, bool (*announce)(void *arg), void *arg);

#endif
