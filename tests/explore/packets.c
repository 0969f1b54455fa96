/* SPDX-License-Identifier: ISC
 *
 * Three sockets of a program send datagrams to a Unix socket of it, whose receiver pauses at times and so holds them
 * up. They send by jobs, some of which are cancelled, or into queues with a small limit, whose drain is waited for. By
 * choice the receiving socket is closed and opened again.
 *
 * Judges: datagrams arrive whole, once, and those of one socket in the order of the calls; what was reported as sent
 * arrives unless the receiving socket was closed, and what was not sent never does; a queue has room when its drain was
 * waited for; the statistics count what was sent. When faults have ended everything is sent.
 */
#include "explore.h"

#include <net/net.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { N_SENDERS = 3, N_PACKETS = 60, HEADER = 8, LARGEST = 3000 };

enum fate { UNSENT, PUT, SENDING, SENT, FAILED };

struct packet {
    struct sender *sender;
    enum fate fate;
    bool has_arrived, is_cancelled;
    char data[LARGEST];
};

struct sender {
    struct system *system;
    unsigned id, n_packets, n_running, n_put, n_sent;
    unsigned next_number; /* the least that may arrive: those of one socket arrive in order */
    size_t limit_bytes;
    bool sends_by_put, is_hasty;
    struct loop_datagram_socket *socket;
    struct packet packets[N_PACKETS];
};

struct system {
    struct loop_node *node;
    struct loop_env *env;
    struct loop_datagram_socket *socket;
    loop_job stream;
    bool pauses, closes, is_paused, was_closed;
    unsigned n_done;
    struct sender senders[N_SENDERS];
};

static size_t size_of(unsigned id, unsigned number)
{
    static const size_t sizes[] = {100, HEADER, LARGEST, 1000};

    return sizes[(id + number) % (sizeof sizes / sizeof sizes[0])];
}

static void make(struct packet *packet, unsigned id, unsigned number)
{
    memcpy(packet->data, (uint8_t[HEADER]){'P', (uint8_t)id, (uint8_t)number}, HEADER);
    explore_fill(packet->data + HEADER, size_of(id, number) - HEADER, id * N_PACKETS + number, 0);
}

/* ---- receiving ---- */

static bool is_right(const struct loop_datagram *datagram)
{
    const uint8_t *data = datagram->data;

    return datagram->len >= HEADER && data[0] == 'P' && data[1] < N_SENDERS && data[2] < N_PACKETS &&
           datagram->len == size_of(data[1], data[2]) && !datagram->is_truncated &&
           explore_matches(data + HEADER, datagram->len - HEADER, data[1] * N_PACKETS + data[2], 0);
}

static void take(struct system *system, const struct loop_datagram *datagram)
{
    const uint8_t *data = datagram->data;

    if (!is_right(datagram)) {
        loop_world_fail(NULL, "a datagram that was not sent: %zu bytes", datagram->len);
        return;
    }
    struct sender *sender = &system->senders[data[1]];
    struct packet *packet = &sender->packets[data[2]];
    if (packet->has_arrived || data[2] < sender->next_number) {
        loop_world_fail(NULL, "a datagram that arrived twice, or behind a later one: %u", data[2]);
    } else if (packet->fate == UNSENT || packet->fate == FAILED) {
        loop_world_fail(NULL, "a datagram that was reported as not sent: %u", data[2]);
    }
    packet->has_arrived = true;
    sender->next_number = data[2] + 1u;
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
    }
    bool is_over = loop_scope_is_cancelled(system->env->scope) || !loop_fd_is_open(loop_datagram_fd(system->socket));
    if (system->is_paused && !is_over) {
        loop_world_fail(NULL, "a datagram while they are paused");
    }
    take(system, datagram);
    if (system->pauses && !is_over && loop_simulation_choose(4) == 3 &&
        loop_sleep(system->env->scope, 300 * LOOP_MICROSECOND, go_on, system)) {
        loop_simulation_sometimes("the receiver paused");
        system->is_paused = loop_pause(system->env->loop, system->stream) == 0;
    }
}

static void open_again(void *arg, int64_t result);

static void close_for_a_while(void *arg, int64_t result)
{
    struct system *system = arg;

    if (result == 0) {
        loop_simulation_sometimes("the receiving socket was closed");
        system->was_closed = true;
        loop_datagram_close(system->socket);
        explore_must(system->env->scope, loop_sleep(system->env->scope, LOOP_MILLISECOND, open_again, system));
    }
}

static void open_again(void *arg, int64_t result)
{
    struct system *system = arg;
    struct loop_address address;

    if (result < 0) {
        return;
    }
    loop_address_parse(&address, "unix:@receiver");
    int error =
        loop_datagram_open(system->env->scope, &(struct loop_datagram_options){.bind_to = &address}, &system->socket);
    if (error == -EADDRINUSE) { /* the socket before is still being closed */
        explore_must(system->env->scope, loop_sleep(system->env->scope, LOOP_MILLISECOND, open_again, system));
        return;
    } else if (error != 0) {
        loop_scope_fail(system->env->scope, error);
        return;
    }
    system->stream = loop_datagram_stream(system->socket, on_datagram, system);
    explore_must(system->env->scope, system->stream);
    if (system->closes) {
        system->closes = false;
        explore_must(system->env->scope, loop_sleep(system->env->scope, LOOP_MILLISECOND, close_for_a_while, system));
    }
}

static void on_all_done(void *arg, int64_t result)
{
    struct system *system = arg;

    (void)result;
    loop_datagram_close(system->socket);
}

/* ---- sending ---- */

static void step(void *arg, int64_t result);

static void on_sent(void *arg, int64_t result)
{
    struct packet *packet = arg;
    struct sender *sender = packet->sender;
    unsigned number = (unsigned)(packet - sender->packets);
    bool is_over = loop_scope_is_cancelled(sender->system->env->scope);

    sender->n_running--;
    packet->fate = result < 0 ? FAILED : SENT;
    sender->n_sent += result >= 0;
    if (result >= 0 && result != (int64_t)size_of(sender->id, number)) {
        loop_world_fail(NULL, "a wrong length was sent: %d", (int)result);
    } else if (result < 0 && packet->has_arrived) {
        loop_world_fail(NULL, "a datagram that arrived, and failed: %u", number);
    } else if (result == -ECANCELED && !packet->is_cancelled && !is_over) {
        loop_world_fail(NULL, "a datagram that was cancelled without a cause");
    }
    if (result == -ECANCELED) {
        loop_simulation_sometimes("a datagram was cancelled");
    }
}

/* Sends the next datagram. Returns false when the queue is full. */
static bool send_next(struct sender *sender)
{
    unsigned number = sender->n_packets;
    struct packet *packet = &sender->packets[number];
    struct loop_address to;

    loop_address_parse(&to, "unix:@receiver");
    packet->sender = sender;
    make(packet, sender->id, number);
    if (sender->sends_by_put) {
        packet->fate = PUT;
        int error = loop_datagram_put(sender->socket, &to, packet->data, size_of(sender->id, number));
        packet->fate = error == 0 ? PUT : UNSENT;
        sender->n_put += error == 0;
        sender->n_packets += error != -ENOBUFS;
        return error != -ENOBUFS;
    }
    if (loop_datagram_is_full(sender->socket)) {
        return false;
    }
    sender->n_packets++;
    packet->fate = SENDING;
    loop_job job = loop_datagram_send(sender->socket, &to, packet->data, size_of(sender->id, number), on_sent, packet);
    packet->fate = job ? SENDING : UNSENT;
    sender->n_running += job != 0;
    packet->is_cancelled = job && sender->is_hasty && loop_simulation_choose(4) == 3;
    if (packet->is_cancelled) {
        loop_cancel(sender->system->env->loop, job);
    }
    return true;
}

static void on_drained(void *arg, int64_t result)
{
    struct sender *sender = arg;

    if (result == 0 && loop_datagram_queued(sender->socket) > sender->limit_bytes / 2) {
        loop_world_fail(NULL, "a queue that has not drained: %zu", loop_datagram_queued(sender->socket));
    } else if (result == 0 || result == -ENOMEM) {
        step(sender, 0); /* without memory the queue was dropped */
    }
}

static void check_statistics(const struct sender *sender)
{
    struct loop_datagram_stats stats;
    const struct system *system = sender->system;

    loop_datagram_get_stats(sender->socket, &stats);
    if (stats.sent > sender->n_put + sender->n_sent || stats.sent < sender->n_sent) {
        loop_world_fail(NULL, "wrong statistics: %u were sent", (unsigned)stats.sent);
    }
    bool are_all_sent = stats.sent == sender->n_put + sender->n_sent;
    for (unsigned i = 0; i < N_PACKETS && !system->was_closed; i++) {
        enum fate fate = sender->packets[i].fate;
        if ((fate == SENT || (fate == PUT && are_all_sent)) && !sender->packets[i].has_arrived) {
            loop_world_fail(NULL, "a datagram that was lost: %u", i);
        }
    }
}

static void finish(void *arg, int64_t result)
{
    struct sender *sender = arg;
    struct system *system = sender->system;

    if (result < 0) {
        return;
    }
    if (sender->n_running > 0 || loop_datagram_queued(sender->socket) > 0 || system->is_paused) {
        explore_must(system->env->scope, loop_sleep(system->env->scope, LOOP_MILLISECOND, finish, sender));
        return;
    }
    check_statistics(sender);
    if (++system->n_done == N_SENDERS) {
        explore_must(system->env->scope, loop_sleep(system->env->scope, LOOP_SECOND, on_all_done, system));
    }
}

static void step(void *arg, int64_t result)
{
    struct sender *sender = arg;
    struct loop_scope *scope = sender->system->env->scope;
    unsigned n = 1 + loop_simulation_choose(12);

    if (result < 0) {
        return;
    }
    while (n-- > 0 && sender->n_packets < N_PACKETS) {
        if (!send_next(sender)) {
            loop_simulation_sometimes("a queue was full");
            explore_must(scope, loop_datagram_wait_drained(sender->socket, on_drained, sender));
            return;
        }
    }
    if (sender->n_packets == N_PACKETS) {
        explore_must(scope, loop_sleep(scope, 50 * LOOP_MILLISECOND, finish, sender));
    } else {
        explore_must(scope, loop_sleep(scope, 50 * LOOP_MICROSECOND, step, sender));
    }
}

static int run(struct loop_env *env, void *arg)
{
    struct system *system = arg;
    struct loop_address address;
    char text[32];

    system->env = env;
    open_again(system, 0);
    for (unsigned i = 0; i < N_SENDERS && !loop_scope_is_cancelled(env->scope); i++) {
        struct sender *sender = &system->senders[i];
        snprintf(text, sizeof text, "unix:@sender%u", i);
        loop_address_parse(&address, text);
        int error = loop_datagram_open(
            env->scope, &(struct loop_datagram_options){.bind_to = &address, .limit_bytes = sender->limit_bytes},
            &sender->socket);
        if (error != 0) {
            return error;
        }
        step(sender, 0);
    }
    return 0;
}

/* ---- the world ---- */

static void check(struct loop_world *world, void *arg)
{
    const struct system *system = arg;

    if (system->n_done < N_SENDERS && !explore_gave_up(system->node)) {
        loop_world_fail(world, "a program that ended before its datagrams");
    }
}

static int build(struct loop_world *world, void *arg)
{
    static const size_t limits[] = {100000, 1000, 5000};
    struct system *system = loop_world_alloc(world, sizeof *system);

    (void)arg;
    system->pauses = loop_simulation_choose(2);
    system->closes = loop_simulation_choose(2);
    for (unsigned i = 0; i < N_SENDERS; i++) {
        struct sender *sender = &system->senders[i];
        sender->system = system;
        sender->id = i;
        sender->limit_bytes = EXPLORE_ONE_OF(limits);
        sender->sends_by_put = loop_simulation_choose(2);
        sender->is_hasty = loop_simulation_choose(2);
    }
    system->node = explore_node(world, (struct loop_node_options){.main = run, .arg = system});
    loop_world_at_end(world, check, system);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const marks[] = {"the receiver paused", "the receiving socket was closed", "a queue was full",
                                        "a datagram was cancelled", NULL};

    return loop_simulation_main(argc, argv, build, NULL,
                                &(struct loop_simulation_options){.faults_end_ns = 30 * LOOP_SECOND,
                                                                  .liveness_ns = 60 * LOOP_SECOND,
                                                                  .faults = LOOP_FAULT_ALL,
                                                                  .marks = marks});
}
