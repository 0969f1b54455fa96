/* SPDX-License-Identifier: ISC
 *
 * redis-get ADDRESS KEY...: prints the values of keys of a Redis server, in the order of the operands.
 *
 * All keys are asked for at once, over one connection, by hiredis on the loop. The program ends when the last reply has
 * come and the connection is closed: nothing else holds the scope open.
 */
#include "../common/arguments.h"

#include <adapters/hiredis.h>

#include <arpa/inet.h>
#include <stdio.h>

/* What the options say. */
static struct {
    bool ends_with_nul;
    int64_t timeout_ns;
    const char *password;
} asked = {.timeout_ns = 5 * LOOP_SECOND};

static struct program {
    struct loop_address address;
    char **keys;
    redisAsyncContext *redis; /* NULL once it is closed */
    bool has_timed_out;
    int status;
} state;

/* ---- replies ---- */

static void print(const char *key, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_STRING) {
        fwrite(reply->str, 1, (size_t)reply->len, stdout);
        putchar(asked.ends_with_nul ? '\0' : '\n');
        return;
    }
    if (reply->type == REDIS_REPLY_NIL) {
        arguments_complain("%s: there is no such key", key);
    } else {
        arguments_complain("%s: %s", key, reply->type == REDIS_REPLY_ERROR ? reply->str : "the value is no string");
    }
    state.status = 1;
}

/* Without a reply the connection has ended; on_disconnect tells why. */
static void on_reply(redisAsyncContext *redis, void *reply, void *key)
{
    (void)redis;
    if (reply) {
        print(key, reply);
    }
}

static void on_password(redisAsyncContext *redis, void *reply_, void *unused)
{
    const redisReply *reply = reply_;

    (void)redis;
    (void)unused;
    if (reply && reply->type == REDIS_REPLY_ERROR) {
        arguments_complain("the password: %s", reply->str);
        state.status = 1;
    }
}

/* ---- the connection ---- */

static void on_connect(const redisAsyncContext *redis, int status)
{
    if (status != REDIS_OK) {
        arguments_complain("can't connect: %s", redis->errstr);
        state.status = 1;
        state.redis = NULL;
    }
}

static void on_disconnect(const redisAsyncContext *redis, int status)
{
    if (status != REDIS_OK && !state.has_timed_out) {
        arguments_complain("the connection has ended: %s", redis->errstr);
        state.status = 1;
    }
    state.redis = NULL;
}

static void on_timeout(void *unused, int64_t result)
{
    (void)unused;
    if (result == 0 && state.redis) {
        state.has_timed_out = true;
        state.status = 1;
        arguments_complain("the server has not answered in time");
        redisAsyncFree(state.redis);
    }
}

static redisAsyncContext *begin_connecting(const struct loop_address *address)
{
    char text[INET6_ADDRSTRLEN];

    if (address->u.any.sa_family == AF_UNIX) {
        return redisAsyncConnectUnix(address->u.local.sun_path);
    }
    if (address->u.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->u.ipv4.sin_addr, text, sizeof text);
        return redisAsyncConnect(text, ntohs(address->u.ipv4.sin_port));
    }
    inet_ntop(AF_INET6, &address->u.ipv6.sin6_addr, text, sizeof text);
    return redisAsyncConnect(text, ntohs(address->u.ipv6.sin6_port));
}

/* Asks for all keys, and disconnects when the replies have come. */
static void ask(redisAsyncContext *redis)
{
    redisAsyncSetConnectCallback(redis, on_connect);
    redisAsyncSetDisconnectCallback(redis, on_disconnect);
    if (asked.password) {
        redisAsyncCommand(redis, on_password, NULL, "AUTH %s", asked.password);
    }
    for (char **key = state.keys; *key; key++) {
        redisAsyncCommand(redis, on_reply, *key, "GET %s", *key);
    }
    redisAsyncDisconnect(redis);
}

static int start(struct loop_env *env, void *unused)
{
    redisAsyncContext *redis = begin_connecting(&state.address);
    int error = redis && !redis->err ? loop_hiredis_attach(env->scope, redis) : -ENOMEM;

    (void)unused;
    if (error) {
        arguments_complain("can't connect: %s", redis && redis->err ? redis->errstr : strerror(-error));
        if (redis) {
            redisAsyncFree(redis);
        }
        return 1;
    }
    state.redis = redis;
    ask(redis);
    loop_daemon(env->loop, loop_sleep(env->scope, asked.timeout_ns, on_timeout, NULL));
    return 0;
}

/* ---- arguments ---- */

static const struct arguments_option options[] = {
    {.name = "null", .letter = '0', .flag = &asked.ends_with_nul, .help = "end each value with a NUL, not a newline"},
    {.name = "password", .placeholder = "TEXT", .text = &asked.password, .help = "the password of the server"},
    {.name = "timeout",
     .placeholder = "SECONDS",
     .duration_ns = &asked.timeout_ns,
     .help = "give up when not all has come in this time (5)"},
};

static const struct arguments_program program = {
    .name = "redis-get",
    .operands = "ADDRESS KEY...",
    .about = "Prints the values of keys of a Redis server, all asked for at once, in this order.\n"
             "ADDRESS is tcp:127.0.0.1:6379, tcp:[::1]:6379 or unix:/path. Status 1 when one cannot be got.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 2,
    .most_operands = 100000,
};

int main(int argc, char **argv)
{
    char **operands = arguments_parse(&program, argc, argv);

    state.address = arguments_address(operands[0]);
    if (state.address.u.any.sa_family == AF_UNIX && state.address.u.local.sun_path[0] == '\0') {
        arguments_refuse("'%s': hiredis connects to paths only", operands[0]);
    }
    state.keys = operands + 1;
    int status = arguments_run(start, NULL);
    if (fflush(stdout) != 0) {
        return arguments_fail("standard output", -errno);
    }
    return status ? status : state.status;
}
