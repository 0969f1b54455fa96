/* SPDX-License-Identifier: ISC
 *
 * Functions of <adapters/postgres.h> called with NULL, or in a scope that has ended.
 */
#include "misuse.h"

#include <adapters/postgres.h>

TEST(p23_null_and_what_is_gone_are_named_in_postgres)
{
    misuse_check_all();
}

/* NULL, which the compiler does not know. */
static struct loop_postgres *volatile nothing;

#define ENDED "opened by loop_scope_open (at suite_misuse_adapter_postgres+0x"

#define FN NULL, NULL

static struct loop_postgres *postgres, none;
static PGresult *result;
static PGnotify *notification;
static char *row;

MISUSE(loop_postgres_connect, "the scope is NULL", loop_postgres_connect(NULL, "", &postgres, FN) == 0)
MISUSE(loop_postgres_connect, ENDED, loop_postgres_connect(gone.scope, "", &postgres, FN) == 0)
MISUSE(loop_postgres_connect, "connection is NULL", loop_postgres_connect(here->scope, "", NULL, FN) == 0)
MISUSE(loop_postgres_connect, "conninfo is NULL", loop_postgres_connect(here->scope, NULL, &postgres, FN) == 0)
MISUSE(loop_postgres_connection, "connection is NULL", loop_postgres_connection(nothing) == NULL)
MISUSE(loop_postgres_get_result, "connection is NULL", loop_postgres_get_result(nothing, &result, FN) == 0)
MISUSE(loop_postgres_get_result, "result is NULL", loop_postgres_get_result(&none, NULL, FN) == 0)
MISUSE(loop_postgres_get_copy, "connection is NULL", loop_postgres_get_copy(nothing, &row, FN) == 0)
MISUSE(loop_postgres_get_copy, "row is NULL", loop_postgres_get_copy(&none, NULL, FN) == 0)
MISUSE(loop_postgres_put_copy, "connection is NULL", loop_postgres_put_copy(nothing, "", 0, FN) == 0)
MISUSE(loop_postgres_put_copy, "bytes is NULL", loop_postgres_put_copy(&none, NULL, 0, FN) == 0)
MISUSE(loop_postgres_end_copy, "connection is NULL", loop_postgres_end_copy(nothing, NULL, FN) == 0)
MISUSE(loop_postgres_get_notification, "connection is NULL",
       loop_postgres_get_notification(nothing, &notification, FN) == 0)
MISUSE(loop_postgres_get_notification, "notification is NULL", loop_postgres_get_notification(&none, NULL, FN) == 0)
