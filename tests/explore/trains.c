/* SPDX-License-Identifier: ISC
 *
 * Two programs send trains of datagrams to a third, which receives them on one socket and pauses at times. Trains are
 * sent as jobs, some of which are cancelled, or put into a queue with a small limit, whose drain is waited for. Sockets
 * are closed and opened again while trains are queued.
 *
 * Judges: what arrives is a datagram of a train, whole and right, from its sender; a datagram behind those that a job
 * has reported never arrives, and none of a job that has failed; a result is a number of whole datagrams; the queue is
 * empty in the end, and no more were sent than there were. When faults have ended every datagram arrives.
 */
#include "explore.h"

#include <net/net.h>

#include <errno.h>
#include <string.h>

enum { N_SENDERS = 2, N_TRAINS = 5, MOST_SEGMENTS = 12, MOST_ROUNDS = 400, LARGEST = 12000, HEADER = 8 };

/* A train that was sent. */
struct train {
    struct sender *sender;
    unsigned number;
    loop_job job;
    bool is_cancelled, has_ended;
    unsigned most_arrived; /* the number of datagrams up to the last that has arrived */
    unsigned n_reported;   /* has_ended: how many were sent, at most */
};

struct sender {
    struct loop_node *node;
    unsigned id, n_rounds, n_running;
    size_t limit_bytes, lengths[N_TRAINS], segments[N_TRAINS];
    bool sends_by_put, is_hasty, closes, is_single, is_done;
    struct loop_scope *scope;
    struct loop_datagram_socket *socket;
    uint64_t n_handed;
    bool has_arrived[N_TRAINS][MOST_SEGMENTS];
    struct train trains[MOST_ROUNDS][N_TRAINS];
    char out[N_TRAINS][LARGEST];
};

struct system {
    struct sender senders[N_SENDERS];
    struct loop_node *node;
    struct loop_env *env;
    struct loop_datagram_socket *socket;
    loop_job stream;
    bool pauses, is_paused;
};

/* ---- what a train is ---- */

static size_t length_of(const struct sender *sender, unsigned number, unsigned segment)
{
    size_t at = segment * sender->segments[number], left = sender->lengths[number] - at;

    return left < sender->segments[number] ? left : sender->segments[number];
}

static unsigned count_of(const struct sender *sender, unsigned number)
{
    return (unsigned)((sender->lengths[number] + sender->segments[number] - 1) / sender->segments[number]);
}

static void make(struct sender *sender, unsigned number)
{
    for (unsigned segment = 0; segment < count_of(sender, number); segment++) {
        char *data = sender->out[number] + segment * sender->segments[number];
        size_t len = length_of(sender, number, segment);
        const uint8_t header[HEADER] = {'T',
                                        (uint8_t)sender->id,
                                        (uint8_t)number,
                                        (uint8_t)segment,
                                        (uint8_t)sender->n_rounds,
                                        (uint8_t)(sender->n_rounds >> 8)};
        memcpy(data, header, HEADER);
        explore_fill(data + HEADER, len - HEADER, sender->id * N_TRAINS + number, segment);
    }
}

/* ---- receiving ---- */

static bool is_right(const struct sender *sender, const struct loop_datagram *datagram, unsigned number,
                     unsigned segment)
{
    return number < N_TRAINS && segment < count_of(sender, number) &&
           datagram->len == length_of(sender, number, segment) && !datagram->is_truncated &&
           explore_matches((const char *)datagram->data + HEADER, datagram->len - HEADER,
                           sender->id * N_TRAINS + number, segment) &&
           datagram->sender->u.ipv4.sin_addr.s_addr == htonl(0x0a000002 + sender->id);
}

static void take(struct system *system, const struct loop_datagram *datagram)
{
    const uint8_t *data = datagram->data;

    if (datagram->len < HEADER || data[0] != 'T' || data[1] >= N_SENDERS) {
        loop_world_fail(NULL, "a datagram that was not sent: %zu bytes", datagram->len);
        return;
    }
    struct sender *sender = &system->senders[data[1]];
    unsigned round = data[4] + 256u * data[5];
    if (round >= MOST_ROUNDS || !is_right(sender, datagram, data[2], data[3])) {
        loop_world_fail(NULL, "a datagram that is not right: %zu bytes", datagram->len);
        return;
    }
    struct train *train = &sender->trains[round][data[2]];
    if (train->has_ended && data[3] >= train->n_reported) {
        loop_world_fail(NULL, "a datagram that was reported as not sent: number %u of %u", data[3], train->n_reported);
    }
    train->most_arrived = data[3] + 1u > train->most_arrived ? data[3] + 1u : train->most_arrived;
    sender->has_arrived[data[2]][data[3]] = true;
}

static void go_on(void *arg, int64_t result)
{
    struct system *system = arg;

    (void)result;
    system->is_paused = false;
    loop_resume(system->env->loop, system->stream);
}

static void on_datagram(void *arg, int64_t result, const struct loop_datagram *datagram)
{
    struct system *system = arg;

    if (!datagram) {
        explore_must(system->env->scope, result == -ECANCELED);
        return;
    } else if (!datagram->data) {
        return;
    } else if (result != (int64_t)datagram->len || system->is_paused) {
        loop_world_fail(NULL, "a wrong result, or a datagram while they are paused");
    }
    take(system, datagram);
    if (system->pauses && loop_simulation_choose(8) == 7 &&
        loop_sleep(system->env->scope, 300 * LOOP_MICROSECOND, go_on, system)) {
        loop_simulation_sometimes("the receiver paused");
        system->is_paused = loop_pause(system->env->loop, system->stream) == 0;
    }
}

static int receive(struct loop_env *env, void *arg)
{
    struct system *system = arg;
    struct loop_address address;

    system->env = env;
    system->is_paused = false;
    loop_address_parse(&address, "udp:0.0.0.0:7000");
    int error = loop_datagram_open(env->scope, &(struct loop_datagram_options){.bind_to = &address}, &system->socket);
    if (error == 0) {
        system->stream = loop_datagram_stream(system->socket, on_datagram, system);
        explore_must(env->scope, system->stream);
    }
    return error;
}

/* ---- sending ---- */

static void on_sent(void *arg, int64_t result)
{
    struct train *train = arg;
    struct sender *sender = train->sender;
    size_t len = sender->lengths[train->number], segment = sender->segments[train->number];

    sender->n_running--;
    train->has_ended = true;
    if (result > (int64_t)len || (result >= 0 && result != (int64_t)len && result % (int64_t)segment != 0)) {
        loop_world_fail(NULL, "a wrong length was sent: %d of %zu", (int)result, len);
    } else if (result == -ECANCELED && !train->is_cancelled && !sender->closes &&
               !loop_scope_is_cancelled(sender->scope)) {
        loop_world_fail(NULL, "a train that was cancelled without a cause");
    }
    train->n_reported = result < 0 ? 0 : (unsigned)(((size_t)result + segment - 1) / segment);
    if (train->most_arrived > train->n_reported) {
        loop_world_fail(NULL, "more arrived than were sent: %u of %u", train->most_arrived, train->n_reported);
    }
    if (result >= 0 && result < (int64_t)len) {
        loop_simulation_sometimes("a part of a train was sent");
    }
}

/* Sends a train once more. Returns false when the queue is full. */
static bool send_train(struct sender *sender, unsigned number)
{
    struct train *train = &sender->trains[sender->n_rounds][number];
    const struct loop_datagram_send_options options = {.segment_bytes = sender->segments[number]};
    struct loop_address to;

    loop_address_parse(&to, "udp:10.0.0.1:7000");
    *train = (struct train){.sender = sender, .number = number};
    make(sender, number);
    if (sender->sends_by_put) {
        int error = loop_datagram_put_with(sender->socket, &options, &to, sender->out[number], sender->lengths[number]);
        sender->n_handed += error == 0 ? count_of(sender, number) : 0;
        return error != -ENOBUFS;
    }
    train->job = loop_datagram_send_with(sender->socket, &options, &to, sender->out[number], sender->lengths[number],
                                         on_sent, train);
    if (train->job) {
        sender->n_running++;
        sender->n_handed += count_of(sender, number);
        train->is_cancelled = sender->is_hasty && loop_simulation_choose(4) == 3;
        if (train->is_cancelled) {
            loop_cancel(loop_scope_loop(sender->scope), train->job);
        }
    } else {
        train->has_ended = true;
    }
    return true;
}

static bool has_arrived(const struct sender *sender, unsigned number)
{
    for (unsigned segment = 0; segment < count_of(sender, number); segment++) {
        if (!sender->has_arrived[number][segment]) {
            return false;
        }
    }
    return true;
}

static bool has_all_arrived(const struct sender *sender)
{
    unsigned number = 0;

    while (number < N_TRAINS && has_arrived(sender, number)) {
        number++;
    }
    return number == N_TRAINS;
}

static void check_statistics(const struct sender *sender)
{
    struct loop_datagram_stats stats;

    loop_datagram_get_stats(sender->socket, &stats);
    if (stats.sent > sender->n_handed) {
        loop_world_fail(NULL, "more were sent than there were: %u", (unsigned)stats.sent);
    }
    if (stats.trains_refused > 0) {
        loop_simulation_sometimes("the kernel refused a train");
    }
}

static void send_all(void *arg, int64_t result);

static int open_socket(struct sender *sender)
{
    struct loop_address any;

    loop_address_parse(&any, "udp:0.0.0.0:0");
    sender->n_handed = 0;
    return loop_datagram_open(sender->scope,
                              &(struct loop_datagram_options){
                                  .bind_to = &any, .limit_bytes = sender->limit_bytes, .single = sender->is_single},
                              &sender->socket);
}

static void on_drained(void *arg, int64_t result)
{
    struct sender *sender = arg;

    if (result == 0 && loop_datagram_is_full(sender->socket)) {
        loop_world_fail(NULL, "a queue that is full when it has drained");
    }
}

/* Begins a round, unless trains of the one before are still under way: they use the same bytes. */
static void begin_round(struct sender *sender)
{
    if (sender->n_running > 0) {
        loop_simulation_sometimes("a train was under way for long");
        return;
    }
    sender->n_rounds++;
    for (unsigned number = 0; number < N_TRAINS; number++) {
        if (!has_arrived(sender, number) && !send_train(sender, number)) {
            loop_simulation_sometimes("the queue was full");
            explore_must(sender->scope, loop_datagram_wait_drained(sender->socket, on_drained, sender));
            return;
        }
    }
}

static void send_all(void *arg, int64_t result)
{
    struct sender *sender = arg;

    if (result < 0) {
        return;
    }
    check_statistics(sender);
    sender->is_done = has_all_arrived(sender) || sender->n_rounds + 1 == MOST_ROUNDS;
    if (sender->is_done) {
        if (sender->n_running == 0 && loop_datagram_queued(sender->socket) != 0 && !sender->sends_by_put) {
            loop_world_fail(NULL, "a queue that is not empty");
        }
        loop_datagram_close(sender->socket);
        return;
    }
    begin_round(sender);
    if (sender->closes && loop_simulation_choose(4) == 3) {
        loop_simulation_sometimes("a socket was closed behind its trains");
        loop_datagram_close(sender->socket);
        int error = open_socket(sender);
        if (error != 0) {
            loop_scope_fail(sender->scope, error);
            return;
        }
    }
    explore_must(sender->scope, loop_sleep(sender->scope, 200 * LOOP_MILLISECOND, send_all, sender));
}

static int run_sender(struct loop_env *env, void *arg)
{
    struct sender *sender = arg;

    sender->scope = env->scope;
    int error = open_socket(sender);
    if (error == 0) {
        send_all(sender, 0);
    }
    return error;
}

/* ---- the world ---- */

static void check(struct loop_world *world, void *arg)
{
    const struct sender *sender = arg;

    if (!explore_gave_up(sender->node) && (!has_all_arrived(sender) || sender->n_running > 0)) {
        loop_world_fail(world, "a train that did not arrive, or did not end: %u", sender->n_running);
    }
}

static void add_sender(struct loop_world *world, struct system *system, unsigned id)
{
    static const size_t lengths[] = {1000, HEADER, 5000, LARGEST}, segments[] = {1000, 1200, 1100};
    static const size_t limits[] = {0, 3000, 20000};
    struct sender *sender = &system->senders[id];

    sender->id = id;
    sender->limit_bytes = EXPLORE_ONE_OF(limits);
    sender->sends_by_put = loop_simulation_choose(2);
    sender->is_hasty = loop_simulation_choose(2);
    sender->closes = loop_simulation_choose(2);
    sender->is_single = loop_simulation_choose(4) == 3;
    for (unsigned i = 0; i < N_TRAINS; i++) {
        sender->lengths[i] = EXPLORE_ONE_OF(lengths);
        sender->segments[i] = EXPLORE_ONE_OF(segments);
        if (sender->lengths[i] % sender->segments[i] < HEADER) {
            sender->lengths[i] += sender->lengths[i] % sender->segments[i] ? HEADER : 0;
        }
    }
    sender->node = explore_node(world, (struct loop_node_options){.main = run_sender, .arg = sender});
    loop_world_at_end(world, check, sender);
}

static int build(struct loop_world *world, void *arg)
{
    struct system *system = loop_world_alloc(world, sizeof *system);

    (void)arg;
    system->pauses = loop_simulation_choose(2);
    system->node = explore_node(
        world, (struct loop_node_options){.name = "receiver", .main = receive, .arg = system, .is_daemon = true});
    for (unsigned i = 0; i < N_SENDERS; i++) {
        add_sender(world, system, i);
    }
    explore_links(world);
    explore_partition(world, system->node);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const marks[] = {"a part of a train was sent", "the receiver paused",
                                        "a socket was closed behind its trains", NULL};

    return loop_simulation_main(argc, argv, build, NULL,
                                &(struct loop_simulation_options){.faults_end_ns = 30 * LOOP_SECOND,
                                                                  .liveness_ns = 60 * LOOP_SECOND,
                                                                  .faults = LOOP_FAULT_ALL,
                                                                  .marks = marks});
}
