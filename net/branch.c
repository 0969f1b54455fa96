/* SPDX-License-Identifier: ISC
 *
 * A server with domains: the side of a domain; see branch.h.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <net/branch.h>

#include <assert.h>
#include <errno.h>

/* ---- to the parent ---- */

/* The inbox of the parent is open: the job of this domain holds its scope. */
static void post_to_parent(struct loop_spread *spread, struct loop_task *task)
{
    int error = loop_post_task(spread->inbox, task);

    assert(error == 0);
    (void)error;
}

static void hand_back(struct loop_handover *handover)
{
    handover->task = (struct loop_task){.fn = handover->branch->spread->on_returned, .arg = handover};
    post_to_parent(handover->branch->spread, &handover->task);
}

/* A connection that was accepted here while the server was being cancelled. */
static void refuse(void *arg, int number)
{
    struct loop_branch *branch = arg;
    struct loop_handover *handover = loop_kernel_calloc(1, sizeof *handover);

    if (!handover) {
        loop_kernel_close(number);
        return;
    }
    handover->branch = branch;
    handover->arrival = (struct loop_arrival){.number = number};
    handover->domain_is_over = true;
    atomic_fetch_add(&branch->spread->n_on_way, 1);
    hand_back(handover);
}

/* ---- counting ---- */

static void begun(void *arg)
{
    struct loop_spread *spread = ((struct loop_branch *)arg)->spread;
    uint64_t now = atomic_fetch_add_explicit(&spread->connections_now, 1, memory_order_relaxed) + 1;
    uint64_t most = atomic_load_explicit(&spread->connections_most, memory_order_relaxed);

    atomic_fetch_add_explicit(&spread->accepted, 1, memory_order_relaxed);
    while (most < now && !atomic_compare_exchange_weak_explicit(&spread->connections_most, &most, now,
                                                                memory_order_relaxed, memory_order_relaxed)) {
    }
}

static void ended(void *arg, bool has_failed)
{
    struct loop_spread *spread = ((struct loop_branch *)arg)->spread;

    atomic_fetch_add_explicit(&spread->failed, has_failed, memory_order_relaxed);
    atomic_fetch_sub_explicit(&spread->connections_now, 1, memory_order_relaxed);
    if (!spread->has_limit) {
        return;
    }
    atomic_fetch_add(&spread->n_over, 1);
    if (!atomic_exchange(&spread->over_is_posted, true)) {
        post_to_parent(spread, &spread->over);
    }
}

static void over(void *arg)
{
    ((struct loop_branch *)arg)->server = NULL;
}

static const struct loop_server_hooks hooks = {.refuse = refuse, .begun = begun, .ended = ended, .over = over};

/* ---- from the parent ---- */

static void on_stop(void *arg, int64_t result)
{
    struct loop_branch *branch = arg;

    atomic_store(&branch->is_told, false);
    if (result == 0 && branch->server) {
        loop_server_leave(branch->server, atomic_load(&branch->deadline_ns));
    }
}

void loop_branch_stop(struct loop_branch *branch, int64_t deadline_ns)
{
    atomic_store(&branch->deadline_ns, deadline_ns);
    if (branch->inbox && !atomic_exchange(&branch->is_told, true)) {
        branch->stop = (struct loop_task){.fn = on_stop, .arg = branch};
        (void)loop_post_task(branch->inbox, &branch->stop); /* refused by one that ends by itself */
    }
}

/* A connection has begun. Either the parent sees that it was the last on its way, or it is told. */
static void arrive(struct loop_spread *spread)
{
    if (atomic_fetch_sub(&spread->n_on_way, 1) == 1 && atomic_load(&spread->is_retiring) &&
        !atomic_exchange(&spread->arrived_is_posted, true)) {
        post_to_parent(spread, &spread->arrived);
    }
}

static void on_handover(void *arg, int64_t result)
{
    struct loop_handover *handover = arg;
    struct loop_branch *branch = handover->branch;

    if (result == 0 && branch->server && loop_server_begin(branch->server, handover->arrival)) {
        loop_kernel_free(handover);
        arrive(branch->spread);
    } else {
        handover->domain_is_over = result < 0 || !branch->server || !loop_server_takes(branch->server);
        hand_back(handover);
    }
}

bool loop_branch_hand(struct loop_branch *branch, struct loop_handover *handover)
{
    handover->branch = branch;
    handover->task = (struct loop_task){.fn = on_handover, .arg = handover};
    return branch->inbox && loop_post_task(branch->inbox, &handover->task) == 0;
}

/* ---- the domain ---- */

/* An error of the accept ends the domain, whose backlog the parent serves then. */
static void on_end(void *scope, int64_t error)
{
    if (error < 0 && error != -ECANCELED) {
        loop_scope_fail(scope, error);
    }
}

static int serve(struct loop_branch *branch, struct loop_scope *scope)
{
    struct loop_spread *spread = branch->spread;
    const struct loop_serve_options options = {
        .connection_timeout_ns = spread->options.connection_timeout_ns, .on_end = on_end, .on_end_arg = scope};
    struct loop_server *server;
    int number = branch->number;
    int error = loop_server_create(scope, &options, &server);

    branch->number = -1;
    if (error < 0) {
        loop_arrival_close((struct loop_arrival){.number = number});
        return error;
    }
    server->on_connection = spread->server->on_connection;
    server->on_connection_arg = spread->server->on_connection_arg;
    server->hooks = &hooks;
    server->hooks_arg = branch;
    branch->server = server;
    error = number >= 0 ? loop_listener_adopt(server->scope, number, 0, &server->acceptor.listener) : 0;
    error = error == 0 ? loop_server_start(server, false) : error;
    if (error < 0) {
        loop_server_abandon(server);
    }
    return error;
}

int loop_branch_main(struct loop_env *env, unsigned index, void *arg)
{
    struct loop_branch *branch = arg;
    const struct loop_serve_options *options = &branch->spread->options;
    int result = 0;

    if (options->domain_main) {
        result = options->domain_main(env, index, branch->spread->server->on_connection_arg);
    }
    return result == 0 ? serve(branch, env->scope) : result;
}
