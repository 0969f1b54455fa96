/* SPDX-License-Identifier: ISC
 *
 * Sockets that have sent all, and wait for their peers to close.
 */
#include "lingering.h"

#include <loop/fd.h>

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_NS (20 * LOOP_MILLISECOND)
#define MOST_READS 16 /* of a socket in a look, so that no peer holds up the loop */

/* A connection whose socket is being taken. */
struct leaving {
    struct lingering *lingering;
    struct loop_scope *scope;
};

/* Drops what has come. Returns whether more may come. */
static bool drop_input(int number)
{
    char dropped[1 << 14];
    ssize_t n = 1;

    for (int i = 0; i < MOST_READS && n > 0; i++) {
        n = recv(number, dropped, sizeof dropped, MSG_DONTWAIT);
    }
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Closes the sockets whose peers have ended, or whose time is over. What has come by then is dropped first: a close
 * with unread bytes is a reset, and what the kernel still has to send would be lost. */
static void sweep(struct lingering *lingering, int64_t now_ns)
{
    for (unsigned i = 0; i < lingering->n;) {
        if (drop_input(lingering->socket[i].number) && lingering->socket[i].expires_ns > now_ns) {
            i++;
        } else {
            close(lingering->socket[i].number);
            lingering->socket[i] = lingering->socket[--lingering->n];
        }
    }
}

static void look(void *arg, int64_t result);

/* Without memory for the timer the sockets are closed. */
static void look_later(struct lingering *lingering)
{
    lingering->is_watching = lingering->n > 0 && loop_sleep(lingering->env->scope, LOOK_NS, look, lingering);
    if (!lingering->is_watching) {
        sweep(lingering, INT64_MAX);
    }
}

static void look(void *arg, int64_t result)
{
    struct lingering *lingering = arg;

    sweep(lingering, result < 0 ? INT64_MAX : loop_now(lingering->env->loop));
    look_later(lingering);
}

static void on_taken(void *arg, int64_t number)
{
    struct leaving *leaving = arg;
    struct lingering *lingering = leaving->lingering;

    lingering->n_expected--;
    loop_scope_cancel(leaving->scope);
    if (number < 0) {
        return; /* it has been closed */
    }
    lingering->socket[lingering->n].number = (int)number;
    lingering->socket[lingering->n++].expires_ns = loop_now(lingering->env->loop) + LINGERING_NS;
    if (!lingering->is_watching) {
        look_later(lingering);
    }
}

bool lingering_take(struct lingering *lingering, struct loop_fd *fd, struct loop_scope *scope)
{
    struct leaving *leaving =
        lingering->n + lingering->n_expected < MOST_LINGERING ? loop_scope_alloc(scope, sizeof *leaving) : NULL;

    if (!leaving) {
        return false;
    }
    *leaving = (struct leaving){.lingering = lingering, .scope = scope};
    if (!loop_fd_take(fd, on_taken, leaving)) {
        return false;
    }
    lingering->n_expected++;
    return true;
}
