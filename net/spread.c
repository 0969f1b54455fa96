/* SPDX-License-Identifier: ISC
 *
 * A server with domains: the side of the parent; see branch.h.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <net/branch.h>
#include <net/listen.h>
#include <net/spread.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

/* ---- handing connections over ---- */

/* Hands a connection to the next domain that takes it. Returns false when none does. */
static bool hand_over(struct loop_spread *spread, struct loop_handover *handover)
{
    for (unsigned i = 0; i < spread->n; i++) {
        struct loop_branch *branch = &spread->branches[spread->next++ % spread->n];
        if (!branch->is_over && loop_branch_hand(branch, handover)) {
            return true;
        }
    }
    return false;
}

/* Makes what carries a connection to a domain. Returns NULL without memory. */
static struct loop_handover *pack(struct loop_spread *spread, struct loop_arrival arrival)
{
    struct loop_handover *handover = loop_kernel_calloc(1, sizeof *handover);

    if (handover) {
        handover->arrival = arrival;
        atomic_fetch_add(&spread->n_on_way, 1);
        if (spread->has_limit) {
            loop_server_count(spread->server);
        }
    }
    return handover;
}

static void uncount(const struct loop_spread *spread, unsigned n)
{
    if (spread->has_limit) {
        loop_server_uncount(spread->server, n);
    }
}

/* Frees what has carried a connection that no domain takes. */
static void unpack(struct loop_spread *spread, struct loop_handover *handover)
{
    loop_kernel_free(handover);
    uncount(spread, 1);
    if (atomic_fetch_sub(&spread->n_on_way, 1) == 1) {
        loop_server_arrived(spread->server);
    }
}

static void drop(struct loop_spread *spread, struct loop_handover *handover)
{
    loop_arrival_close(handover->arrival);
    unpack(spread, handover);
}

/* Hands a connection over. Where no domain runs it waits for one that still starts, or is closed. */
static void hand_over_or_wait(struct loop_spread *spread, struct loop_handover *handover)
{
    bool is_stopped = spread->server->is_stopped;

    if (!is_stopped && hand_over(spread, handover)) {
        return;
    }
    if (!is_stopped && spread->n_living > spread->n_running) {
        handover->next = spread->waiting;
        spread->waiting = handover;
    } else {
        drop(spread, handover);
    }
}

static void hand_over_waiting(struct loop_spread *spread)
{
    struct loop_handover *next, *handover = spread->waiting;

    spread->waiting = NULL;
    for (; handover; handover = next) {
        next = handover->next;
        hand_over_or_wait(spread, handover);
    }
}

/* A domain has handed it back: it ends, or has no memory. */
static void on_returned(void *arg, int64_t result)
{
    struct loop_handover *handover = arg;
    struct loop_spread *spread = handover->branch->spread;

    (void)result;
    if (handover->domain_is_over) {
        handover->branch->is_over = true;
        handover->domain_is_over = false;
    } else {
        handover->returns++;
    }
    if (handover->returns > spread->n) {
        drop(spread, handover);
    } else {
        hand_over_or_wait(spread, handover);
    }
}

int loop_spread_adopt(struct loop_spread *spread, struct loop_arrival arrival)
{
    struct loop_handover *handover = pack(spread, arrival);

    if (!handover) {
        return -ENOMEM;
    }
    if (hand_over(spread, handover)) {
        return 0;
    }
    unpack(spread, handover);
    return -ESHUTDOWN;
}

static void take(void *arg, int number)
{
    const struct loop_arrival arrival = {.number = number};
    struct loop_handover *handover = pack(arg, arrival);

    if (handover) {
        hand_over_or_wait(arg, handover);
    } else {
        loop_arrival_close(arrival);
    }
}

/* Connections have ended, of which the parent keeps count. */
static void on_over(void *arg, int64_t result)
{
    struct loop_spread *spread = arg;

    (void)result;
    atomic_store(&spread->over_is_posted, false);
    uncount(spread, atomic_exchange(&spread->n_over, 0));
}

/* The parent has closed its listener, and stops when every connection has begun. */
static bool is_carrying(void *arg)
{
    struct loop_spread *spread = arg;

    atomic_store(&spread->is_retiring, true);
    for (unsigned i = 0; i < spread->n; i++) {
        const struct loop_acceptor *acceptor = &spread->branches[i].acceptor;
        if (acceptor->job && !loop_fd_is_open(loop_listener_fd(acceptor->listener))) {
            return true;
        }
    }
    return atomic_load(&spread->n_on_way) > 0;
}

static void on_arrived(void *arg, int64_t result)
{
    struct loop_spread *spread = arg;

    (void)result;
    atomic_store(&spread->arrived_is_posted, false);
    loop_server_arrived(spread->server);
}

void loop_spread_get_stats(const struct loop_spread *spread, struct loop_server_stats *stats)
{
    stats->accepted = atomic_load_explicit(&spread->accepted, memory_order_relaxed);
    stats->failed = atomic_load_explicit(&spread->failed, memory_order_relaxed);
    stats->connections_now = atomic_load_explicit(&spread->connections_now, memory_order_relaxed);
    stats->connections_most = atomic_load_explicit(&spread->connections_most, memory_order_relaxed);
}

/* ---- accepting for a domain that has ended ---- */

static bool may_accept(void *arg)
{
    const struct loop_branch *branch = arg;
    const struct loop_spread *spread = branch->spread;

    bool is_over = spread->server->is_stopped || spread->server->is_retiring;

    return branch->has_ended && !is_over && spread->n_running > 0;
}

static void take_for(void *arg, int number)
{
    take(((struct loop_branch *)arg)->spread, number);
}

static void on_accepting_over(void *arg, int64_t error)
{
    struct loop_server *server = ((struct loop_branch *)arg)->spread->server;

    if (server->is_retiring) {
        loop_server_arrived(server);
    } else {
        loop_server_fail(server, error);
    }
}

static const struct loop_acceptor_ops acceptor_ops = {
    .may_accept = may_accept, .take = take_for, .over = on_accepting_over};

/* Accepts wherever that is the parent's affair, now that a domain runs. */
static void accept_here(struct loop_spread *spread)
{
    if (!spread->is_shared) {
        spread->server->accepts = true;
        loop_acceptor_go_on(&spread->server->acceptor);
        return;
    }
    for (unsigned i = 0; i < spread->n; i++) {
        loop_acceptor_go_on(&spread->branches[i].acceptor);
    }
}

/* ---- the domains ---- */

static void on_started(void *arg, int64_t result)
{
    struct loop_branch *branch = arg;
    struct loop_spread *spread = branch->spread;

    if (result < 0) {
        return; /* the domain ends, or has ended */
    }
    branch->has_started = true;
    branch->inbox = loop_domains_inbox(branch->group, 0);
    spread->n_running++;
    if (spread->server->is_stopped) {
        loop_branch_stop(branch, spread->server->deadline_ns);
        return;
    }
    hand_over_waiting(spread);
    accept_here(spread);
    if (++spread->n_started == spread->n && loop_server_started(spread->server) < 0) {
        loop_server_fail(spread->server, -ENOMEM);
    }
}

/* The domain has failed, or was ended by the program. Others serve the connections that would have been its own. */
static void lose(struct loop_branch *branch, int64_t result)
{
    struct loop_spread *spread = branch->spread;
    int64_t error = result < 0 ? result : -ESHUTDOWN;

    if (!branch->has_started || spread->n_living == 0) {
        loop_server_fail(spread->server, error);
        return;
    }
    loop_log(spread->server->loop, LOOP_LOG_WARNING, "domain %u of a server has ended (%s): the others serve for it",
             branch->index, result < 0 ? strerror((int)-result) : "by itself");
    if (spread->n_running > 0) {
        accept_here(spread);
    }
}

static void on_ended(void *arg, int64_t result)
{
    struct loop_branch *branch = arg;
    struct loop_spread *spread = branch->spread;

    branch->has_ended = true;
    branch->inbox = NULL;
    spread->n_living--;
    spread->n_running -= branch->has_started;
    loop_arrival_close((struct loop_arrival){.number = branch->number});
    branch->number = -1;
    if (!spread->server->is_stopped) {
        lose(branch, result);
    }
}

static int start_branch(struct loop_branch *branch)
{
    static const struct loop_domains_options defaults;
    struct loop_spread *spread = branch->spread;
    struct loop_scope *scope = spread->server->scope;
    struct loop_domains_options options = spread->options.domain_options ? *spread->options.domain_options : defaults;

    options.first_index += branch->index;
    options.region = options.region ? options.region : spread->region;
    if (!loop_domains(scope, 1, &options, &branch->group, loop_branch_main, branch, on_ended, branch)) {
        loop_arrival_close((struct loop_arrival){.number = branch->number});
        return -ENOMEM;
    }
    spread->n_living++;
    return !branch->group || loop_domains_wait_started(scope, branch->group, on_started, branch) ? 0 : -ENOMEM;
}

/* ---- listeners ---- */

bool loop_spread_shares(const struct loop_address *address, const struct loop_serve_options *options)
{
    bool has_one = options->one_listener || options->max_connections > 0;

    return options->domains > 0 && !has_one && address->u.any.sa_family != AF_UNIX;
}

/* Makes the listener of a branch, with the address of the first, and the duplicate for its domain. */
static int listen_for(struct loop_branch *branch, const struct loop_address *address)
{
    struct loop_server *server = branch->spread->server;
    struct loop_listen_options options = branch->spread->options.listen;
    int error = 0;

    options.reuse_port = true;
    branch->acceptor = (struct loop_acceptor){
        .ops = &acceptor_ops, .arg = branch, .scope = server->scope, .listener = server->acceptor.listener};
    if (branch->index > 0) {
        error = loop_net_listen(server->scope, address, &options, false, &branch->acceptor.listener);
    }
    if (error < 0) {
        return error;
    }
    branch->number = loop_kernel_dup(loop_fd_peek(loop_listener_fd(branch->acceptor.listener)), 3);
    return branch->number < 0 ? -errno : 0;
}

static int listen_for_all(struct loop_spread *spread)
{
    struct loop_address address;
    int error = spread->is_shared ? loop_listener_address(spread->server->acceptor.listener, &address) : 0;

    for (unsigned i = 0; i < spread->n && error == 0 && spread->is_shared; i++) {
        error = listen_for(&spread->branches[i], &address);
    }
    return error;
}

/* ---- the parent's server ---- */

static void on_stop(void *arg, int64_t deadline_ns)
{
    struct loop_spread *spread = arg;

    hand_over_waiting(spread); /* closes them */
    for (unsigned i = 0; i < spread->n; i++) {
        struct loop_branch *branch = &spread->branches[i];
        if (branch->acceptor.listener) {
            loop_acceptor_stop(&branch->acceptor);
        }
        loop_branch_stop(branch, deadline_ns);
    }
}

/* The domains drain their own listeners when they stop: here, those of domains that have ended. */
static void on_drain(void *arg)
{
    struct loop_spread *spread = arg;

    for (unsigned i = 0; i < spread->n; i++) {
        struct loop_branch *branch = &spread->branches[i];
        if (branch->acceptor.listener && branch->has_ended) {
            loop_acceptor_drain(&branch->acceptor);
            loop_acceptor_stop(&branch->acceptor);
        }
    }
}

static void on_server_over(void *arg)
{
    loop_kernel_free(arg);
}

static const struct loop_server_hooks hooks = {
    .take = take, .drain = on_drain, .is_carrying = is_carrying, .stop = on_stop, .over = on_server_over};

static struct loop_spread *create(struct loop_server *server, const struct loop_serve_options *options)
{
    size_t size_bytes = sizeof(struct loop_spread) + options->domains * sizeof(struct loop_branch);
    struct loop_spread *spread = loop_kernel_aligned_alloc(64, (size_bytes + 63) / 64 * 64);

    if (!spread) {
        return NULL;
    }
    memset(spread, 0, size_bytes);
    spread->server = server;
    spread->inbox = loop_inbox_of(server->loop);
    spread->options = *options;
    spread->has_limit = options->max_connections > 0;
    spread->on_returned = on_returned;
    spread->over = (struct loop_task){.fn = on_over, .arg = spread};
    spread->arrived = (struct loop_task){.fn = on_arrived, .arg = spread};
    spread->n = options->domains;
    for (unsigned i = 0; i < spread->n; i++) {
        spread->branches[i].spread = spread;
        spread->branches[i].index = i;
        spread->branches[i].number = -1;
    }
    return spread;
}

/* The duplicates of listeners that no thread has been created for. */
static void close_duplicates(struct loop_spread *spread, unsigned first)
{
    for (unsigned i = first; i < spread->n; i++) {
        loop_arrival_close((struct loop_arrival){.number = spread->branches[i].number});
    }
}

static int start_all(struct loop_spread *spread)
{
    int error = 0;

    spread->region = loop_domain_region_create(spread->n); /* without memory each has its own */
    for (unsigned i = 0; i < spread->n && error == 0; i++) {
        error = start_branch(&spread->branches[i]);
        if (error < 0) {
            close_duplicates(spread, i + 1);
        }
    }
    loop_domain_region_destroy(spread->region);
    spread->region = NULL;
    return error;
}

int loop_spread_start(struct loop_server *server, const struct loop_serve_options *options, bool is_shared)
{
    struct loop_spread *spread = create(server, options);

    if (!spread) {
        return -ENOMEM;
    }
    spread->is_shared = is_shared;
    server->spread = spread;
    server->hooks = &hooks;
    server->hooks_arg = spread;
    server->accepts = false; /* until a domain runs */
    int error = listen_for_all(spread);
    error = error == 0 ? loop_server_start(server, options->stop_on_signals) : error;
    if (error < 0) {
        close_duplicates(spread, 0);
        return error;
    }
    return start_all(spread);
}
