/* SPDX-License-Identifier: ISC
 *
 * ping ADDRESS: a load client for an echo server. It checks every byte that comes back and measures the round trip of
 * every message. It costs little CPU time, because it usually shares the machine with the server.
 *
 * Each connection sends a fixed pattern, over and over, from a start of its own. So the position of a byte in the
 * pattern follows from the connection and from the number of bytes before it: bytes that were lost, duplicated, swapped
 * or mixed up between connections do not match. Consecutive messages are adjacent in the pattern, so several leave in
 * one write, and one memcmp checks what comes back.
 */
#include "../common/arguments.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* A prime: messages of common sizes start at every position. Small enough for the first-level cache. */
#define PATTERN_PERIOD 16381u
#define PATTERN_STEP 1021u /* distance between the starts of two connections */

#define MOST_BYTES_IN_FLIGHT (1u << 30) /* per connection: the pattern has this length */
#define MOST_COMPLAINTS 5
#define DRAIN_TIME (5 * LOOP_SECOND) /* time limit for the messages in flight at the end */
#define RETRY_TIME (10 * LOOP_MILLISECOND)

/* ---- times of round trips ---- */

/* A histogram. Exact below 2^7; above, 2^7 ranges for each power of two, which is less than one percent off. Times
 * above 2^41 ns (36 minutes) count as 2^41 ns. */
#define PRECISION_BITS 7
#define PRECISION (1u << PRECISION_BITS)
#define LONGEST_BITS 41
#define N_RANGES ((LONGEST_BITS - PRECISION_BITS + 1) * PRECISION)

struct histogram {
    uint64_t total;
    uint64_t counters[N_RANGES];
};

static void histogram_add(struct histogram *histogram, int64_t value_ns)
{
    uint64_t value = value_ns < 0 ? 0 : (uint64_t)value_ns;
    unsigned shift = 0;

    if (value >> LONGEST_BITS) {
        value = (UINT64_C(1) << LONGEST_BITS) - 1;
    }
    if (value >= PRECISION) {
        shift = 63u - PRECISION_BITS - (unsigned)__builtin_clzll(value);
    }
    histogram->counters[shift * PRECISION + (value >> shift)]++;
    histogram->total++;
}

/* Returns the middle of a range, in microseconds. */
static double range_middle(size_t range)
{
    size_t shift = range < 2 * PRECISION ? 0 : range / PRECISION - 1;
    uint64_t low = (uint64_t)(range - shift * PRECISION) << shift;
    uint64_t width = UINT64_C(1) << shift;

    return ((double)low + (double)(width - 1) / 2) / (double)LOOP_MICROSECOND;
}

/* Returns the time in microseconds that `share` of all round trips did not exceed. */
static double histogram_quantile(const struct histogram *histogram, double share)
{
    double wanted = share * (double)histogram->total;
    uint64_t seen = 0;

    for (size_t i = 0; i < N_RANGES; i++) {
        seen += histogram->counters[i];
        if (seen > 0 && (double)seen >= wanted) {
            return range_middle(i);
        }
    }
    return 0;
}

/* ---- the program's state ---- */

struct ping {
    struct loop_address address;
    const char *address_text;
    unsigned n_connections, size, pipeline;
    bool churn;
    int64_t seconds_ns, warmup_ns;

    struct loop *loop;
    struct loop_scope *scope; /* of all clients */
    const unsigned char *pattern;
    bool measuring, stopping;
    int64_t began, ended;
    uint64_t counted; /* messages, or with --churn connections, counted while measuring */
    uint64_t errors, port_waits;
    struct histogram round_trips;
    char backend[32];
};

struct client {
    struct ping *ping;
    unsigned index;
    struct loop_scope *scope;
    struct loop_flow *flow;
    const char *trouble; /* the error, if it has no errno */
    bool failed;

    size_t to_send, to_receive; /* positions in the pattern */
    size_t in_flight;           /* bytes */
    size_t partial;             /* bytes received of an incomplete message */
    int64_t *sent_at;           /* of each message in flight: a ring that starts at `oldest` */
    unsigned oldest, newest;

    unsigned char *reply; /* with --churn */
};

static void client_fail(struct client *client, int64_t error, const char *trouble)
{
    if (!client->failed) {
        client->failed = true;
        client->trouble = trouble;
        loop_scope_fail(client->scope, error);
    }
}

static void count(struct ping *ping, int64_t round_trip_ns)
{
    if (ping->measuring) {
        ping->counted++;
        histogram_add(&ping->round_trips, round_trip_ns);
    }
}

static size_t pattern_after(size_t place, size_t n_bytes)
{
    place += n_bytes;
    return place < PATTERN_PERIOD ? place : place % PATTERN_PERIOD;
}

static unsigned ring_after(const struct client *client, unsigned index)
{
    return index + 1 < client->ping->pipeline ? index + 1 : 0;
}

/* ---- persistent connections ---- */

static void send_messages(struct client *client, size_t n_messages, int64_t now)
{
    const struct ping *ping = client->ping;
    size_t n_bytes = n_messages * ping->size;

    for (size_t i = 0; i < n_messages; i++) {
        client->sent_at[client->newest] = now;
        client->newest = ring_after(client, client->newest);
    }
    if (!loop_write(&client->flow->sink, ping->pattern + client->to_send, n_bytes, NULL, NULL)) {
        client_fail(client, -ENOMEM, NULL);
        return;
    }
    client->to_send = pattern_after(client->to_send, n_bytes);
    client->in_flight += n_bytes;
}

/* Counts bytes that were checked. Returns how many messages they completed. */
static size_t take_bytes(struct client *client, size_t n_bytes, int64_t now)
{
    size_t size = client->ping->size;
    size_t n_messages = 0;

    client->to_receive = pattern_after(client->to_receive, n_bytes);
    client->in_flight -= n_bytes;
    for (client->partial += n_bytes; client->partial >= size; client->partial -= size) {
        count(client->ping, now - client->sent_at[client->oldest]);
        client->oldest = ring_after(client, client->oldest);
        n_messages++;
    }
    return n_messages;
}

static bool is_as_sent(const struct client *client, const void *data, size_t n_bytes)
{
    return n_bytes <= client->in_flight && memcmp(data, client->ping->pattern + client->to_receive, n_bytes) == 0;
}

static void on_stream_ended(struct client *client, int64_t result)
{
    if (result < 0) {
        client_fail(client, result, NULL);
    } else if (client->in_flight > 0 || !client->ping->stopping) {
        client_fail(client, -ECONNRESET, "the server closed the connection");
    }
}

static void on_data(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct client *client = arg;
    size_t n_messages;
    int64_t now;

    if (client->failed) {
        return;
    }
    if (!chunk) {
        on_stream_ended(client, result);
        return;
    }
    if (!is_as_sent(client, loop_chunk_data(chunk), (size_t)result)) {
        client_fail(client, -EBADMSG, "other bytes came back than were sent");
        return;
    }
    now = loop_now(client->ping->loop);
    n_messages = take_bytes(client, (size_t)result, now);
    if (!client->ping->stopping && n_messages > 0) {
        send_messages(client, n_messages, now);
    } else if (client->ping->stopping && client->in_flight == 0) {
        loop_shutdown(&client->flow->sink, NULL, NULL); /* the stream ends when the server closes too */
    }
}

static void begin_stream(struct client *client)
{
    struct ping *ping = client->ping;

    loop_sink_limit(&client->flow->sink, (size_t)ping->pipeline * ping->size + 1);
    if (!loop_stream(&client->flow->source, on_data, client)) {
        client_fail(client, -ENOMEM, NULL);
    } else if (ping->stopping) {
        loop_shutdown(&client->flow->sink, NULL, NULL);
    } else {
        send_messages(client, ping->pipeline, loop_now(ping->loop));
    }
}

/* ---- one connection after another (--churn) ---- */

static void on_reply(void *arg, int64_t result)
{
    struct client *client = arg;
    struct ping *ping = client->ping;

    if (result < 0) {
        client_fail(client, result, NULL);
    } else if (result < (int64_t)ping->size) {
        client_fail(client, -ECONNRESET, "the server closed the connection");
    } else if (memcmp(client->reply, ping->pattern + client->to_send, ping->size) != 0) {
        client_fail(client, -EBADMSG, "other bytes came back than were sent");
    } else {
        client->to_send = pattern_after(client->to_send, ping->size);
        count(ping, loop_now(ping->loop) - client->sent_at[0]);
    }
    /* Nothing is left in the connection's scope: it ends and closes the socket. */
}

static void send_once(struct client *client)
{
    struct ping *ping = client->ping;

    if (!loop_write(&client->flow->sink, ping->pattern + client->to_send, ping->size, NULL, NULL) ||
        !loop_read_exact(&client->flow->source, client->reply, ping->size, on_reply, client)) {
        client_fail(client, -ENOMEM, NULL);
    }
}

/* ---- connecting ---- */

static void client_connect(struct client *client);

static void on_retry(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result < 0) {
        client_fail(client, result, NULL);
    } else if (!client->ping->stopping) {
        client_connect(client);
    } else if (!client->ping->churn) {
        client_fail(client, -ETIMEDOUT, "found no way to connect until the end");
    }
}

static void on_connected(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result == -EADDRNOTAVAIL || result == -EAGAIN) {
        /* Every local port is in use by a connection that was closed a moment ago, or the backlog of a Unix socket is
         * full: retry. */
        client->ping->port_waits++;
        loop_sleep(client->scope, RETRY_TIME, on_retry, client);
    } else if (result < 0) {
        client_fail(client, result, NULL);
    } else if (client->ping->churn) {
        send_once(client);
    } else {
        begin_stream(client);
    }
}

static void client_connect(struct client *client)
{
    if (!loop_connect(client->scope, &client->ping->address, NULL, &client->flow, on_connected, client)) {
        client_fail(client, -ENOMEM, NULL);
    }
}

static void client_begin(struct client *client);

static void on_client_ended(void *arg, int64_t error)
{
    struct client *client = arg;
    struct ping *ping = client->ping;

    if (error != 0) {
        if (++ping->errors <= MOST_COMPLAINTS) {
            arguments_complain("connection %u: %s", client->index,
                               client->trouble ? client->trouble : strerror((int)-error));
        }
    } else if (ping->churn && !ping->stopping) {
        client_begin(client);
    }
}

static void client_begin(struct client *client)
{
    struct ping *ping = client->ping;

    client->scope = loop_scope_open(ping->scope, on_client_ended, client);
    if (!client->scope) {
        ping->errors++;
        return;
    }
    client->sent_at[0] = loop_now(ping->loop);
    client_connect(client);
}

/* ---- warm-up, measuring, end ---- */

static void on_warm(void *arg, int64_t result)
{
    struct ping *ping = arg;

    if (result == 0) {
        ping->measuring = true;
        ping->began = loop_now(ping->loop);
    }
}

/* Sends no more messages. Those in flight may come back within DRAIN_TIME. */
static void stop(struct ping *ping)
{
    if (!ping->stopping) {
        ping->stopping = true;
        ping->ended = loop_now(ping->loop);
        ping->began = ping->measuring ? ping->began : ping->ended;
        ping->measuring = false;
        loop_scope_deadline(ping->scope, ping->ended + DRAIN_TIME);
    }
}

static void on_time_up(void *arg, int64_t result)
{
    if (result == 0) {
        stop(arg);
    }
}

static void on_interrupt(void *arg, int64_t result)
{
    if (result > 0) {
        stop(arg);
    }
}

static void on_all_ended(void *arg, int64_t error)
{
    (void)error; /* the errors of the clients were counted */
    stop(arg);
}

static unsigned char *make_pattern(struct loop_scope *scope, size_t n_bytes)
{
    unsigned char *pattern = loop_scope_alloc(scope, n_bytes);
    uint64_t random = UINT64_C(0x9E3779B97F4A7C15);

    if (!pattern) {
        return NULL;
    }
    for (size_t i = 0; i < PATTERN_PERIOD; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        pattern[i] = (unsigned char)(random >> 56);
    }
    for (size_t i = PATTERN_PERIOD; i < n_bytes; i++) {
        pattern[i] = pattern[i - PATTERN_PERIOD];
    }
    return pattern;
}

static int make_clients(struct ping *ping, struct loop_scope *scope)
{
    struct client *clients = loop_scope_alloc(scope, ping->n_connections * sizeof *clients);
    int64_t *times = loop_scope_alloc(scope, (size_t)ping->n_connections * ping->pipeline * sizeof *times);
    unsigned char *replies = loop_scope_alloc(scope, ping->churn ? (size_t)ping->n_connections * ping->size : 1);

    if (!clients || !times || !replies) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < ping->n_connections; i++) {
        size_t place = (size_t)i * PATTERN_STEP % PATTERN_PERIOD;

        clients[i] = (struct client){.ping = ping,
                                     .index = i,
                                     .to_send = place,
                                     .to_receive = place,
                                     .sent_at = times + (size_t)i * ping->pipeline,
                                     .reply = ping->churn ? replies + (size_t)i * ping->size : NULL};
        client_begin(&clients[i]);
    }
    return 0;
}

/* Sets the end of the measurement. Neither the timer nor the signal keeps the program running when every client has
 * ended. */
static void set_end(struct ping *ping, struct loop_scope *scope)
{
    loop_daemon(ping->loop, loop_sleep(scope, ping->warmup_ns, on_warm, ping));
    loop_daemon(ping->loop, loop_sleep(scope, ping->warmup_ns + ping->seconds_ns, on_time_up, ping));
    loop_daemon(ping->loop, loop_signal(scope, SIGINT, on_interrupt, ping));
}

static int start(struct loop_env *env, void *arg)
{
    struct ping *ping = arg;
    int error = -ENOMEM;

    ping->loop = env->loop;
    snprintf(ping->backend, sizeof ping->backend, "%s", loop_backend_name(env->loop));
    ping->pattern = make_pattern(env->scope, PATTERN_PERIOD + (size_t)ping->pipeline * ping->size);
    ping->scope = loop_scope_open(env->scope, on_all_ended, ping);
    if (ping->pattern && ping->scope) {
        error = make_clients(ping, env->scope);
    }
    if (error != 0) {
        return arguments_fail("can't begin", error);
    }
    set_end(ping, env->scope);
    return 0;
}

static int print(const struct ping *ping)
{
    double seconds = (double)(ping->ended - ping->began) / (double)LOOP_SECOND;

    printf("ping %s: %u connections%s, %u bytes, pipeline %u, %.3f s\n", ping->address_text, ping->n_connections,
           ping->churn ? " at a time" : "", ping->size, ping->pipeline, seconds);
    if (ping->port_waits > 0) {
        printf("waited %" PRIu64 " times to connect: no free port, or the server's line was full\n", ping->port_waits);
    }
    printf("rate %.0f %s, p50 %.1f us, p99 %.1f us, p99.9 %.1f us, errors %" PRIu64 ", backend %s\n",
           seconds > 0 ? (double)ping->counted / seconds : 0, ping->churn ? "connections/s" : "msg/s",
           histogram_quantile(&ping->round_trips, 0.5), histogram_quantile(&ping->round_trips, 0.99),
           histogram_quantile(&ping->round_trips, 0.999), ping->errors, ping->backend);
    return fflush(stdout) == 0 ? 0 : arguments_fail("standard output", -errno);
}

static struct ping ping = {
    .n_connections = 10, .size = 64, .pipeline = 1, .seconds_ns = 3 * LOOP_SECOND, .warmup_ns = 300 * LOOP_MILLISECOND};

static const struct arguments_option options[] = {
    {.name = "connections",
     .placeholder = "N",
     .count = &ping.n_connections,
     .least = 1,
     .most = 100000,
     .help = "how many connections at the same time (10)"},
    {.name = "size",
     .placeholder = "BYTES",
     .count = &ping.size,
     .least = 1,
     .most = MOST_BYTES_IN_FLIGHT,
     .help = "bytes of a message (64)"},
    {.name = "pipeline",
     .placeholder = "N",
     .count = &ping.pipeline,
     .least = 1,
     .most = 65536,
     .help = "messages in flight on each connection (1)"},
    {.name = "seconds", .placeholder = "SECONDS", .duration_ns = &ping.seconds_ns, .help = "how long to measure (3)"},
    {.name = "warmup", .placeholder = "SECONDS", .duration_ns = &ping.warmup_ns, .help = "how long before that (0.3)"},
    {.name = "churn", .flag = &ping.churn, .help = "connect, one message, close, over and over"},
};

static const struct arguments_program program = {
    .name = "ping",
    .operands = "ADDRESS",
    .about = "Sends messages to an echo server, checks every byte that comes back and prints how fast it was.\n"
             "The last line is for programs to read. Status 1 after any wrong byte or failed connection.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 1,
    .most_operands = 1,
};

int main(int argc, char **argv)
{
    int status;

    ping.address_text = arguments_parse(&program, argc, argv)[0];
    ping.address = arguments_address(ping.address_text);
    if (ping.churn && ping.pipeline != 1) {
        arguments_refuse("--pipeline and --churn don't go together");
    }
    if ((uint64_t)ping.pipeline * ping.size > MOST_BYTES_IN_FLIGHT) {
        arguments_refuse("--pipeline and --size together are more than %u bytes", MOST_BYTES_IN_FLIGHT);
    }
    status = arguments_run(start, &ping);
    if (status != 0) {
        return status;
    }
    status = print(&ping);
    return ping.errors > 0 ? 1 : status;
}
