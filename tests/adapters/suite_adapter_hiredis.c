/* SPDX-License-Identifier: ISC
 *
 * <adapters/hiredis.h>, with a redis-server.
 */
#include "servers.h"

#include <adapters/hiredis.h>

#define LARGE (32 << 20)

static struct server server;
static char path[PATH_MAX + 10];
static redisAsyncContext *redis;

static void start_redis(void)
{
    server_prepare(&server);
    CHECK(snprintf(path, sizeof path, "%s/socket", server.directory) > 0);
    const char *const arguments[] = {"redis-server",
                                     "--port",
                                     "0",
                                     "--unixsocket",
                                     path,
                                     "--save",
                                     "",
                                     "--appendonly",
                                     "no",
                                     "--dir",
                                     server.directory,
                                     "--enable-debug-command",
                                     "yes",
                                     NULL};
    server_start(&server, arguments, 0, "eady to accept connections");
}

/* A script beside a redis-server, once for each row of a table. */
#define REDIS_TEST_ROWS(name, count)                                                                                   \
    static void name##_steps(struct loop_env *env, int64_t result);                                                    \
    TEST_ROWS(name, count, row)                                                                                        \
    {                                                                                                                  \
        script.row = row;                                                                                              \
        start_redis();                                                                                                 \
        script_run(&(struct loop_options){.queue_depth = 0}, name##_steps);                                            \
        server_finish(&server);                                                                                        \
    }                                                                                                                  \
    static void name##_steps(struct loop_env *env, int64_t result)

#define REDIS_TEST(name) REDIS_TEST_ROWS(name, 1)

/* ---- recorders ---- */

struct reply {
    unsigned count;
    int type; /* -1: none */
    long long number;
    size_t length;
    char text[64];
    int err;
    void (*act)(void);
};

static void on_reply(redisAsyncContext *context, void *reply_, void *record_)
{
    const redisReply *reply = reply_;
    struct reply *record = record_;

    record->count++;
    record->type = reply ? reply->type : -1;
    record->err = context->err;
    if (reply) {
        record->number = reply->integer;
        record->length = reply->len;
        (void)snprintf(record->text, sizeof record->text, "%s", reply->str ? reply->str : "");
    }
    if (record->act) {
        record->act();
    }
    script_poke();
}

static unsigned n_disconnects;
static int disconnect_status;

static void on_disconnect(const redisAsyncContext *context, int status)
{
    (void)context;
    n_disconnects++;
    disconnect_status = status;
    redis = NULL;
    script_poke();
}

static unsigned n_connects;
static int connect_status;

static void on_connect(const redisAsyncContext *context, int status)
{
    (void)context;
    n_connects++;
    connect_status = status;
    script_poke();
}

static void attach(struct loop_scope *scope)
{
    redis = redisAsyncConnectUnix(path);
    CHECK(redis && !redis->err);
    CHECK_IS(loop_hiredis_attach(scope, redis), 0);
    CHECK_IS(redisAsyncSetConnectCallback(redis, on_connect), REDIS_OK);
    CHECK_IS(redisAsyncSetDisconnectCallback(redis, on_disconnect), REDIS_OK);
}

#define SEND(record, ...) CHECK_IS(redisAsyncCommand(redis, on_reply, &(record), __VA_ARGS__), REDIS_OK)

/* ---- commands ---- */

REDIS_TEST(commands_get_their_replies_and_a_disconnect_waits_for_them)
{
    static struct reply set, get, counts[1000];
    static unsigned i;

    BEGIN;
    attach(env->scope);
    SEND(set, "SET key %s", "value");
    SEND(get, "GET key");
    WAIT_UNTIL(get.count);
    CHECK_TEXT(set.text, "OK");
    CHECK_TEXT(get.text, "value");
    CHECK_IS(connect_status, REDIS_OK);
    for (i = 0; i < COUNT_OF(counts); i++) {
        SEND(counts[i], "INCR count");
    }
    redisAsyncDisconnect(redis);
    WAIT_UNTIL(n_disconnects);
    CHECK_IS(disconnect_status, REDIS_OK);
    for (i = 0; i < COUNT_OF(counts); i++) {
        CHECK_IS(counts[i].count, 1);
        CHECK_IS(counts[i].number, i + 1);
    }
    END;
}

REDIS_TEST(a_connection_that_is_idle_waits_and_a_connect_callback_set_before_is_called)
{
    static struct reply ping;

    BEGIN;
    redis = redisAsyncConnectUnix(path);
    CHECK(redis && !redis->err);
    CHECK_IS(redisAsyncSetConnectCallback(redis, on_connect), REDIS_OK);
    CHECK_IS(redisAsyncSetDisconnectCallback(redis, on_disconnect), REDIS_OK);
    CHECK_IS(loop_hiredis_attach(env->scope, redis), 0);
    CHECK_IS(loop_hiredis_attach(env->scope, redis), -EINVAL);
    WAIT_UNTIL(n_connects);
    CHECK_IS(connect_status, REDIS_OK);
    AWAIT(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, GO));
    SEND(ping, "PING");
    WAIT_UNTIL(ping.count);
    CHECK_TEXT(ping.text, "PONG");
    redisAsyncDisconnect(redis);
    END;
}

#if HIREDIS_MAJOR >= 1

/* As nanoseconds these are more than there are. */
REDIS_TEST(a_timeout_of_centuries_does_not_pass_at_once)
{
    static const struct timeval timeouts[] = {{.tv_sec = 10000000000}, {.tv_sec = LONG_MAX, .tv_usec = 999999}};
    static struct reply waits[COUNT_OF(timeouts)];
    static unsigned i;

    BEGIN;
    attach(env->scope);
    WAIT_UNTIL(n_connects);
    for (i = 0; i < COUNT_OF(timeouts); i++) {
        CHECK_IS(redisAsyncSetTimeout(redis, timeouts[i]), REDIS_OK);
        SEND(waits[i], "BLPOP nothing 1");
        WAIT_UNTIL(waits[i].count);
        CHECK_IS(waits[i].type, REDIS_REPLY_NIL);
    }
    redisAsyncDisconnect(redis);
    END;
}

static int set_connect_callback(void)
{
    return redisAsyncSetConnectCallback(redis, on_connect);
}

#if HIREDIS_MAJOR > 1 || HIREDIS_MINOR >= 1
static void on_connect_nc(redisAsyncContext *context, int status)
{
    on_connect(context, status);
}

static int set_connect_callback_nc(void)
{
    return redisAsyncSetConnectCallbackNC(redis, on_connect_nc);
}

static int (*const set_callbacks[])(void) = {set_connect_callback, set_connect_callback_nc};
#else
static int (*const set_callbacks[])(void) = {set_connect_callback};
#endif

/* The full backlog of a listener never lets a connect complete. The callback is set before the attach and after it. */
REDIS_TEST_ROWS(a_connect_timeout_passes_without_a_command, 2 * COUNT_OF(set_callbacks))
{
    static struct sockaddr_in address = {.sin_family = AF_INET};
    static struct timeval timeout = {.tv_usec = 20000};
    static redisOptions options;
    static socklen_t len = sizeof address;
    static int listener, client;

    BEGIN;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_IS(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_IS(listen(listener, 0), 0);
    CHECK_IS(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    client = connect_to(&address);
    REDIS_OPTIONS_SET_TCP(&options, "127.0.0.1", ntohs(address.sin_port));
    options.connect_timeout = &timeout;
    redis = redisAsyncConnectWithOptions(&options);
    CHECK(redis && !redis->err);
    if (script.row % 2 == 0) {
        CHECK_IS(set_callbacks[script.row / 2](), REDIS_OK);
    }
    CHECK_IS(loop_hiredis_attach(env->scope, redis), 0);
    if (script.row % 2 == 1) {
        CHECK_IS(set_callbacks[script.row / 2](), REDIS_OK);
    }
    WAIT_UNTIL(n_connects);
    CHECK_IS(connect_status, REDIS_ERR);
    close(client);
    close(listener);
    END;
}

#endif

REDIS_TEST(a_large_value_goes_both_ways)
{
    static struct reply set, get;
    static char *value;

    BEGIN;
    attach(env->scope);
    value = malloc(LARGE);
    fill_pattern(value, LARGE, 3);
    SEND(set, "SET large %b", value, (size_t)LARGE);
    SEND(get, "GET large");
    free(value); /* hiredis has copied it */
    WAIT_UNTIL(get.count);
    CHECK_TEXT(set.text, "OK");
    CHECK_IS(get.length, LARGE);
    redisAsyncDisconnect(redis);
    END;
}

REDIS_TEST(messages_of_a_channel_come_until_it_is_left)
{
    static struct reply messages, published;
    static redisAsyncContext *subscriber;

    BEGIN;
    attach(env->scope);
    subscriber = redis;
    SEND(messages, "SUBSCRIBE channel");
    WAIT_UNTIL(messages.count);
    attach(env->scope);
    SEND(published, "PUBLISH channel hello");
    WAIT_UNTIL(messages.count == 2);
    CHECK_IS(messages.type, REDIS_REPLY_ARRAY);
    WAIT_UNTIL(published.count);
    CHECK_IS(published.number, 1);
    redisAsyncDisconnect(redis);
    redisAsyncFree(subscriber); /* or when its callback, which may be running the script, has returned */
    WAIT_UNTIL(n_disconnects == 2);
    CHECK_IS(messages.type, -1);
    END;
}

/* ---- ends ---- */

REDIS_TEST(a_server_killed_in_mid_answer_ends_each_command_once)
{
    static struct reply set, small, large, behind[10];
    static char *value;
    static unsigned i;

    BEGIN;
    attach(env->scope);
    value = calloc(1, LARGE);
    SEND(set, "SET large %b", value, (size_t)LARGE);
    free(value);
    SEND(small, "PING");
    SEND(large, "GET large");
    for (i = 0; i < COUNT_OF(behind); i++) {
        SEND(behind[i], "PING");
    }
    WAIT_UNTIL(small.count);
    CHECK_IS(large.count, 0);
    server_kill(&server);
    WAIT_UNTIL(n_disconnects);
    CHECK_IS(disconnect_status, REDIS_ERR);
    CHECK_IS(large.count, 1);
    CHECK_IS(large.type, -1);
    CHECK(large.err != 0);
    for (i = 0; i < COUNT_OF(behind); i++) {
        CHECK_IS(behind[i].count, 1);
        CHECK_IS(behind[i].type, -1);
    }
    END;
}

REDIS_TEST(a_scope_cancelled_in_mid_answer_ends_each_command_once)
{
    static struct reply blocked, behind;
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    attach(scope);
    SEND(blocked, "BLPOP nothing 0");
    SEND(behind, "PING");
    WAIT_UNTIL(n_connects);
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(blocked.count, 0);
    loop_scope_cancel(scope);
    CHECK_IS(blocked.count, 0); /* not inside the call */
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ECANCELED);
    CHECK_IS(n_disconnects, 1);
    CHECK_IS(blocked.count, 1);
    CHECK_IS(blocked.type, -1);
    CHECK(blocked.err != 0);
    CHECK_IS(behind.count, 1);
    CHECK_IS(behind.type, -1);
    END;
}

static void free_it(void)
{
    redisAsyncFree(redis);
}

static struct loop_scope *cancelled;

static void cancel_it(void)
{
    loop_scope_cancel(cancelled);
}

static void disconnect_it(void)
{
    redisAsyncDisconnect(redis);
}

static void (*const acts[])(void) = {free_it, cancel_it, disconnect_it};

REDIS_TEST_ROWS(a_connection_may_be_ended_in_a_callback, COUNT_OF(acts))
{
    static struct reply ping, behind;
    static struct once acted;

    BEGIN;
    cancelled = loop_scope_open(env->scope, ONCE(&acted));
    attach(cancelled);
    ping.act = acts[script.row];
    SEND(ping, "PING");
    SEND(behind, "PING");
    WAIT_UNTIL(acted.count);
    ONCE_IS(acted, script.row == 1 ? -ECANCELED : 0);
    CHECK_IS(ping.count, 1);
    CHECK_TEXT(ping.text, "PONG");
    CHECK_IS(behind.count, 1);
    CHECK_IS(n_disconnects, 1);
    END;
}

/* ---- errors ---- */

REDIS_TEST(a_server_that_is_not_there_ends_the_connect)
{
    static struct reply ping;

    BEGIN;
    server_kill(&server);
    unlink(path);
    redis = redisAsyncConnectUnix(path);
    CHECK(redis && redis->err);
    CHECK_IS(loop_hiredis_attach(env->scope, redis), -EINVAL);
    redisAsyncFree(redis);
    CHECK_IS(loop_hiredis_attach(env->scope, NULL), -EINVAL);
    CHECK_IS(ping.count, 0);
    END;
}

REDIS_TEST(without_a_descriptor_the_connection_ends_with_the_reason)
{
    static struct reply ping;
    static rlim_t limit;

    BEGIN;
    redis = redisAsyncConnectUnix(path);
    limit = forbid_fds();
    CHECK_IS(loop_hiredis_attach(env->scope, redis), 0);
    limit_fds(limit);
    SEND(ping, "PING");
    WAIT_UNTIL(ping.count);
    CHECK_IS(ping.type, -1);
    CHECK(ping.err != 0);
    END;
}

#if !HAS_SANITIZER
REDIS_TEST(without_memory_a_connection_works_or_ends_with_the_reason)
{
    static struct reply ping;
    static unsigned long n;
    static int attached;

    BEGIN;
    for (n = 1; n < 12; n++) {
        ping = (struct reply){0};
        redis = redisAsyncConnectUnix(path);
        CHECK(redis && !redis->err);
        fail_allocation(n, true);
        attached = loop_hiredis_attach(env->scope, redis);
        fail_allocation(0, false);
        if (attached == 0) {
            SEND(ping, "PING");
            WAIT_UNTIL(ping.count);
            if (ping.type == REDIS_REPLY_STATUS) {
                redisAsyncDisconnect(redis);
            }
        } else {
            CHECK_IS(attached, -ENOMEM);
            redisAsyncFree(redis);
        }
    }
    END;
}
#endif
