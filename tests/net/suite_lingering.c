/* SPDX-License-Identifier: ISC
 *
 * The sockets for which the demo httpd lingers.
 */
#include "harness.h"

#include "../../demos/http/shared/lingering.c" /* NOLINT(bugprone-suspicious-include) */

static struct lingering lingering;

/* A close with unread bytes is a reset. */
LOOP_TEST(a_socket_whose_time_is_over_is_not_reset_by_what_has_come)
{
    static struct loop_scope *scope;
    static int fds[2];
    static char answer[8];

    BEGIN;
    make_pair(fds);
    lingering = (struct lingering){.env = env};
    scope = loop_scope_open(env->scope, NULL, NULL);
    CHECK(lingering_take(&lingering, adopt(scope, fds[0]), scope));
    while (lingering.n == 0) {
        AWAIT(turns(env->scope, 1, GO));
    }
    CHECK_IS(send(lingering.socket[0].number, "answer", 6, 0), 6);
    CHECK_IS(send(fds[1], "more", 4, 0), 4);
    lingering.socket[0].expires_ns = 0;
    while (lingering.n > 0) {
        AWAIT(turns(env->scope, 1, GO));
    }
    CHECK_IS(recv(fds[1], answer, sizeof answer, 0), 6);
    CHECK_IS(recv(fds[1], answer, sizeof answer, 0), 0);
    close(fds[1]);
    END;
}
