/* SPDX-License-Identifier: ISC
 *
 * Public functions of <service/service.h> called with NULL, or in a scope that has ended.
 */
#include "misuse.h"

#include <service/service.h>

TEST(p23_null_and_what_is_gone_are_named_in_service)
{
    misuse_check_all();
}

#define FN NULL, NULL
#define ENDED "opened by loop_scope_open (at suite_misuse_service+0x"

static struct loop_service *service;

static void on_connection(struct loop_flow *peer, void *arg)
{
    (void)peer;
    (void)arg;
}

MISUSE(loop_service_open, "service is NULL", loop_service_open(here->scope, NULL) == -EINVAL)
MISUSE(loop_service_open, "the scope is NULL", loop_service_open(NULL, &service) == -EINVAL)
MISUSE(loop_service_open, ENDED, loop_service_open(gone.scope, &service) == -EINVAL)
MISUSE(loop_service_count, "the service is NULL", loop_service_count(NULL) == 0)
MISUSE(loop_service_name, "the service is NULL", loop_service_name(NULL, 0) == NULL)
MISUSE(loop_service_take, "the service is NULL", loop_service_take(NULL, NULL) == -EINVAL)
MISUSE(loop_service_serve, "the service is NULL",
       loop_service_serve(NULL, "a", NULL, NULL, NULL, on_connection, NULL) == -EINVAL)
MISUSE(loop_service_notify, "the service is NULL", loop_service_notify(NULL, "READY=1") == -EINVAL)
MISUSE(loop_service_watchdog_ns, "the service is NULL", loop_service_watchdog_ns(NULL) == 0)
MISUSE(loop_service_take_over, "the service is NULL", loop_service_take_over(NULL, NULL, FN) == 0)
MISUSE(loop_service_ready, "the service is NULL", loop_service_ready(NULL, FN) == 0)
MISUSE(loop_service_offer, "the service is NULL", loop_service_offer(NULL, NULL, NULL, FN) == 0)
