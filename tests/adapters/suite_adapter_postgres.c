/* SPDX-License-Identifier: ISC
 *
 * <adapters/postgres.h>, with a PostgreSQL server.
 */
#include "servers.h"

#include <adapters/postgres.h>
#include <libgen.h>
#include <pwd.h>

static struct server server;
static char conninfo[PATH_MAX + 40];
static struct loop_postgres *postgres;
static PGresult *answer;

/* ---- the server ---- */

/* The server refuses to run as root. */
static uid_t other_user(void)
{
    const struct passwd *nobody = getuid() == 0 ? getpwnam("nobody") : NULL;

    return nobody ? nobody->pw_uid : 0;
}

/* The database: made by the first test, used by all, and removed by the process that starts them. */
static char database[PATH_MAX];
static pid_t owner;

__attribute__((constructor)) static void name_database(void)
{
    CHECK(snprintf(database, sizeof database, "%s", make_directory()) > 0);
    owner = getpid();
}

__attribute__((destructor)) static void remove_database(void)
{
    if (getpid() == owner) {
        remove_directory(database);
    }
}

static void make_database(const char *data, uid_t user)
{
    static char initdb[PATH_MAX], command[] = ADAPTER_SERVER;

    CHECK_IS(user ? chown(database, user, user) : 0, 0);
    CHECK(snprintf(initdb, sizeof initdb, "%s/initdb", dirname(command)) > 0);
    const char *const make[] = {initdb,   "-D",        data,          "-A", "trust", "-U",
                                "tester", "--no-sync", "--no-locale", "-E", "UTF8",  NULL};
    server_run(make, user);
}

static void start_postgres(void)
{
    static char data[PATH_MAX + 10];
    uid_t user = other_user();

    server_prepare(&server);
    CHECK_IS(user ? chown(server.directory, user, user) : 0, 0);
    CHECK(snprintf(data, sizeof data, "%s/data", database) > 0);
    if (access(data, F_OK) != 0) {
        make_database(data, user);
    }
    const char *const serve[] = {ADAPTER_SERVER,       "-D", data,        "-k", server.directory,     "-c",
                                 "listen_addresses=",  "-c", "fsync=off", "-c", "shared_buffers=1MB", "-c",
                                 "max_connections=10", NULL};
    server_start(&server, serve, user, "ready to accept connections");
    CHECK(snprintf(conninfo, sizeof conninfo, "host=%s user=tester dbname=postgres", server.directory) > 0);
}

/* Ends the server and its processes at once: the processes of connections notice that the first is gone. */
static void kill_postgres(void)
{
    server_end(&server, SIGQUIT);
}

/* A script beside a server, once for each row of a table. */
#define POSTGRES_TEST_ROWS(name, count)                                                                                \
    static void name##_steps(struct loop_env *env, int64_t result);                                                    \
    TEST_ROWS(name, count, row)                                                                                        \
    {                                                                                                                  \
        script.row = row;                                                                                              \
        start_postgres();                                                                                              \
        script_run(&(struct loop_options){.queue_depth = 0}, name##_steps);                                            \
        if (server.pid) {                                                                                              \
            kill_postgres();                                                                                           \
        }                                                                                                              \
        server_finish(&server);                                                                                        \
    }                                                                                                                  \
    static void name##_steps(struct loop_env *env, int64_t result)

#define POSTGRES_TEST(name) POSTGRES_TEST_ROWS(name, 1)

static PGconn *connection(void)
{
    return loop_postgres_connection(postgres);
}

#define CONNECT(scope)                                                                                                 \
    AWAIT(loop_postgres_connect((scope), conninfo, &postgres, GO));                                                    \
    CHECK_IS(result, 0)

#define SEND(text) CHECK_IS(PQsendQuery(connection(), (text)), 1)

/* Gets the only result of a command, and its end. */
#define GET(status)                                                                                                    \
    AWAIT(loop_postgres_get_result(postgres, &answer, GO));                                                            \
    CHECK_IS(result, 1);                                                                                               \
    CHECK_IS(PQresultStatus(answer), status)

#define GET_END                                                                                                        \
    PQclear(answer);                                                                                                   \
    AWAIT(loop_postgres_get_result(postgres, &answer, GO));                                                            \
    CHECK_IS(result, 0);                                                                                               \
    CHECK(!answer)

/* ---- queries, COPY, notifications ---- */

POSTGRES_TEST(results_of_queries)
{
    BEGIN;
    CONNECT(env->scope);
    SEND("SELECT 6 * 7; SELECT nothing");
    GET(PGRES_TUPLES_OK);
    CHECK_TEXT(PQgetvalue(answer, 0, 0), "42");
    PQclear(answer);
    GET(PGRES_FATAL_ERROR); /* that of a command is a result */
    GET_END;
    SEND("SELECT repeat('x', 5000000)");
    GET(PGRES_TUPLES_OK);
    CHECK_IS(PQgetlength(answer, 0, 0), 5000000);
    GET_END;
    END;
}

POSTGRES_TEST(rows_that_are_copied_in)
{
    static char rows[20000];
    static int i;

    BEGIN;
    CONNECT(env->scope);
    SEND("CREATE TEMPORARY TABLE numbers (n integer); COPY numbers FROM STDIN");
    GET(PGRES_COMMAND_OK);
    PQclear(answer);
    GET(PGRES_COPY_IN);
    PQclear(answer);
    for (i = 0; i < 100; i++) {
        for (size_t n = 0; n < sizeof rows; n += 2) {
            memcpy(rows + n, i % 2 ? "7\n" : "3\n", 2);
        }
        AWAIT(loop_postgres_put_copy(postgres, rows, sizeof rows, GO));
        CHECK_IS(result, sizeof rows);
    }
    AWAIT(loop_postgres_end_copy(postgres, NULL, GO));
    CHECK_IS(result, 0);
    GET(PGRES_COMMAND_OK);
    CHECK_TEXT(PQcmdTuples(answer), "1000000");
    GET_END;
    END;
}

POSTGRES_TEST(rows_that_are_copied_out)
{
    static char *row;
    static int n;

    BEGIN;
    CONNECT(env->scope);
    SEND("COPY (SELECT 7 FROM generate_series(1, 100000)) TO STDOUT");
    GET(PGRES_COPY_OUT);
    PQclear(answer);
    for (n = 0;; n++) {
        AWAIT(loop_postgres_get_copy(postgres, &row, GO));
        if (result <= 0) {
            break;
        }
        CHECK_IS(result, 2);
        PQfreemem(row);
    }
    CHECK_IS(result, 0);
    CHECK_IS(n, 100000);
    GET(PGRES_COMMAND_OK);
    GET_END;
    END;
}

POSTGRES_TEST(a_copy_that_the_program_gives_up)
{
    BEGIN;
    CONNECT(env->scope);
    SEND("CREATE TEMPORARY TABLE numbers (n integer); COPY numbers FROM STDIN");
    GET(PGRES_COMMAND_OK);
    PQclear(answer);
    GET(PGRES_COPY_IN);
    PQclear(answer);
    AWAIT(loop_postgres_end_copy(postgres, "changed my mind", GO));
    CHECK_IS(result, 0);
    GET(PGRES_FATAL_ERROR);
    GET_END;
    AWAIT(loop_postgres_put_copy(postgres, "7\n", 2, GO));
    CHECK_IS(result, -EIO); /* no copy goes on */
    END;
}

POSTGRES_TEST(notifications_come_beside_queries)
{
    static PGnotify *notification;
    static struct once notified;

    BEGIN;
    CONNECT(env->scope);
    SEND("LISTEN news");
    GET(PGRES_COMMAND_OK);
    GET_END;
    START(loop_postgres_get_notification(postgres, &notification, ONCE(&notified)));
    AWAIT(loop_sleep(env->scope, 10 * LOOP_MILLISECOND, GO));
    CHECK_IS(notified.count, 0);
    SEND("NOTIFY news, 'hello'"); /* beside the job that waits */
    GET(PGRES_COMMAND_OK);
    GET_END;
    WAIT_UNTIL(notified.count);
    ONCE_IS(notified, 0);
    CHECK_TEXT(notification->relname, "news");
    CHECK_TEXT(notification->extra, "hello");
    PQfreemem(notification);
    END;
}

/* ---- ends ---- */

POSTGRES_TEST(a_server_that_ends_in_mid_answer_ends_each_job_once)
{
    static struct once results, notified, busy;
    static PGnotify *notification;
    static PGresult *other;

    BEGIN;
    CONNECT(env->scope);
    SEND("SELECT repeat('x', 50000000) FROM pg_sleep(0)");
    START(loop_postgres_get_result(postgres, &answer, ONCE(&results)));
    START(loop_postgres_get_notification(postgres, &notification, ONCE(&notified)));
    START(loop_postgres_get_result(postgres, &other, ONCE(&busy)));
    WAIT_UNTIL(busy.count);
    ONCE_IS(busy, -EBUSY);
    CHECK_IS(results.count, 0);
    kill_postgres();
    WAIT_UNTIL(results.count && notified.count);
    ONCE_IS(notified, -ECONNRESET);
    CHECK_IS(results.count, 1);
    CHECK(results.result == -ECONNRESET || PQresultStatus(answer) == PGRES_FATAL_ERROR);
    PQclear(answer);
    CHECK_IS(PQstatus(connection()), CONNECTION_BAD);
    AWAIT(loop_postgres_connect(env->scope, conninfo, &postgres, GO));
    CHECK_IS(result, -ECONNREFUSED);
    CHECK(strstr(PQerrorMessage(connection()), "No such file or directory") ||
          strstr(PQerrorMessage(connection()), "refused"));
    END;
}

/* Rows that have come are not lost. */
POSTGRES_TEST(a_server_that_ends_between_rows_ends_them)
{
    static unsigned n;
    static ExecStatusType status;

    BEGIN;
    CONNECT(env->scope);
    SEND("SELECT generate_series(1, 10000000)");
    CHECK_IS(PQsetSingleRowMode(connection()), 1);
    for (n = 0;; n++) {
        AWAIT(loop_postgres_get_result(postgres, &answer, GO));
        status = answer ? PQresultStatus(answer) : PGRES_FATAL_ERROR;
        PQclear(answer);
        if (status != PGRES_SINGLE_TUPLE) {
            break;
        }
        if (n == 10) {
            kill_postgres();
        }
    }
    CHECK(n > 10 && n < 10000000);
    CHECK_IS(status, PGRES_FATAL_ERROR);
    CHECK(result == 1 || result == -ECONNRESET);
    AWAIT(loop_postgres_get_result(postgres, &answer, GO));
    CHECK(result <= 0);
    END;
}

POSTGRES_TEST_ROWS(a_job_may_be_cancelled_and_its_result_got_later, 2)
{
    static struct once cancelled, ended, late;
    static struct loop_scope *scope;
    static loop_job job;
    static PGnotify *notification;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    CONNECT(scope);
    SEND("SELECT 1 FROM pg_sleep(0.05)");
    job = START(loop_postgres_get_result(postgres, &answer, ONCE(&cancelled)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(cancelled.count);
    ONCE_IS(cancelled, -ECANCELED);
    GET(PGRES_TUPLES_OK);
    GET_END;
    SEND("SELECT 1 FROM pg_sleep(1000)");
    START(loop_postgres_get_result(postgres, &answer, ONCE(&late)));
    START(loop_postgres_get_notification(postgres, &notification, NULL, NULL));
    AWAIT(turns(env->scope, 3, GO));
    if (script.row) {
        loop_postgres_close(postgres);
        loop_postgres_close(postgres);
        CHECK(!connection());
    }
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(late, -ECANCELED);
    CHECK(!answer && !notification);
    END;
}

static void close_it(void *arg, int64_t result)
{
    once_resumed(arg, result);
    PQclear(answer);
    loop_postgres_close(postgres);
}

POSTGRES_TEST(a_connection_may_be_closed_in_a_continuation)
{
    static struct once got;
    static PGresult *other;

    BEGIN;
    CONNECT(env->scope);
    SEND("SELECT 1");
    START(loop_postgres_get_result(postgres, &answer, close_it, &got));
    WAIT_UNTIL(got.count);
    ONCE_IS(got, 1);
    AWAIT(turns(env->scope, 2, GO));
    AWAIT(loop_postgres_get_result(postgres, &other, GO));
    CHECK_IS(result, -ENOTCONN);
    END;
}

POSTGRES_TEST(what_goes_wrong_while_it_connects)
{
    static rlim_t limit;
    static unsigned long i;
    static struct once connected;
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    AWAIT(loop_postgres_connect(env->scope, "nonsense", &postgres, GO));
    CHECK_IS(result, -ECONNREFUSED);
    CHECK(strstr(PQerrorMessage(connection()), "nonsense"));
    loop_postgres_close(postgres);
    AWAIT(loop_postgres_connect(env->scope, strcat(conninfo, "x"), &postgres, GO)); /* no such database */
    CHECK_IS(result, -ECONNREFUSED);
    CHECK(strstr(PQerrorMessage(connection()), "does not exist"));
    conninfo[strlen(conninfo) - 1] = 0;
    for (i = 0; i < 3; i++) {
        limit = limit_fds((rlim_t)limit_with_free_fds((unsigned)i));
        AWAIT(loop_postgres_connect(env->scope, conninfo, &postgres, GO));
        limit_fds(limit);
        CHECK(i < 2 ? result == -EMFILE || result == -ECONNREFUSED : result == 0);
        loop_postgres_close(postgres);
    }
    for (i = 0; i < 6; i++) {
        scope = loop_scope_open(env->scope, ONCE(&ended));
        connected = ended = (struct once){0};
        START(loop_postgres_connect(scope, conninfo, &postgres, ONCE(&connected)));
        if (i > 0) {
            AWAIT(turns(env->scope, (unsigned)i, GO));
        }
        loop_scope_cancel(scope);
        WAIT_UNTIL(ended.count);
        CHECK_IS(connected.count, 1);
        CHECK(connected.result == -ECANCELED || connected.result == 0);
    }
#if !HAS_SANITIZER
    for (i = 1; i < 12; i++) {
        fail_allocation(i, i % 2);
        postgres = NULL;
        connected = (struct once){0};
        if (loop_postgres_connect(env->scope, conninfo, &postgres, ONCE(&connected))) {
            WAIT_UNTIL(connected.count);
            fail_allocation(0, false);
            CHECK_IS(connected.count, 1);
        } else {
            fail_allocation(0, false);
            CHECK(!postgres);
        }
        loop_postgres_close(postgres);
    }
#endif
    END;
}
