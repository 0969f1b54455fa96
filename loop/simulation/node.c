/* SPDX-License-Identifier: ISC
 *
 * Nodes: their options, their first fiber, what they leave.
 */
#include <loop/kernel/simulated/disk/disk.h>
#include <loop/kernel/simulated/machine/trace.h>
#include <loop/kernel/simulated/network/network.h>
#include <loop/kernel/simulated/object/file.h>
#include <loop/kernel/simulated/object/process.h>
#include <loop/simulation/misuse.h>
#include <loop/simulation/world.h>

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* ---- running ---- */

static size_t count_fibers(const struct loop_sim_node *node)
{
    size_t count = 0;
    for (const struct loop_list *link = node->fibers.next; link != &node->fibers; link = link->next) {
        count++;
    }
    return count;
}

/* Fails the run when the loop has left something of the node's. */
static void check_left(struct loop_node *node, unsigned n_files, size_t n_bytes)
{
    const struct loop_sim_node *sim = node->sim;
    if (loop_sim_files_count(sim) > n_files) {
        loop_world_fail(node->world, "%s leaves descriptors: %u", sim->name, loop_sim_files_count(sim) - n_files);
    }
    if (count_fibers(sim) > 1) {
        loop_world_fail(node->world, "%s leaves threads: %zu", sim->name, count_fibers(sim) - 1);
    }
    if (sim->memory_bytes > n_bytes) {
        loop_world_fail(node->world, "%s leaves memory of the library: %zu bytes", sim->name,
                        sim->memory_bytes - n_bytes);
    }
}

/* The first fiber of a node. */
static void *run_node(void *arg)
{
    struct loop_node *node = arg;
    unsigned n_files = loop_sim_files_count(node->sim);
    size_t n_bytes = node->sim->memory_bytes;
    node->status = loop_run_with(node->has_options ? &node->options : NULL, node->main, node->arg);
    node->has_returned = true;
    loop_sim_trace("return", node->sim, NULL, "%d", node->status);
    if (node->status != 0 && !node->may_fail) {
        loop_world_fail(node->world, "loop_run of %s returned %d: %s", node->sim->name, node->status,
                        node->status < 0 ? strerror(-node->status) : "the program's own status");
    }
    check_left(node, n_files, n_bytes);
    return NULL;
}

static void start(struct loop_node *node)
{
    node->has_returned = false;
    loop_sim_node_start(node->sim, run_node, node);
}

void loop_sim_nodes_start(struct loop_world *world)
{
    world->is_running = true;
    for (size_t i = 0; i < world->n_nodes; i++) {
        if (world->nodes[i]->sim->state == LOOP_SIM_NODE_NEW) {
            start(world->nodes[i]);
        }
    }
}

/* ---- adding ---- */

static bool name_is_taken(const struct loop_world *world, const char *name)
{
    for (size_t i = 0; i < world->n_nodes; i++) {
        if (!strcmp(world->nodes[i]->sim->name, name)) {
            return true;
        }
    }
    return false;
}

static char *copy_text(struct loop_world *world, const char *text)
{
    assert(text);
    size_t size = strlen(text) + 1;
    return memcpy(loop_world_alloc(world, size), text, size);
}

/* Gives a node its addresses; the default ones it has already. Returns false after a failure. */
static bool add_addresses(struct loop_node *node, const char *const *addresses)
{
    char own[2][32];
    const char *defaults[3] = {own[0], own[1], NULL};
    unsigned number = node->sim->index + 1;
    (void)snprintf(own[0], sizeof own[0], "10.0.%u.%u", number / 256, number % 256);
    (void)snprintf(own[1], sizeof own[1], "fd00::%x", number);
    const char *const *list = addresses ? addresses : defaults;
    while (list[node->n_addresses]) {
        node->n_addresses++;
    }
    node->addresses = loop_world_alloc(node->world, (node->n_addresses + 1) * sizeof *node->addresses);
    for (size_t i = 0; i < node->n_addresses; i++) {
        int error = addresses ? loop_sim_host_add_address(node->sim, list[i]) : 0;
        if (error) {
            loop_world_fail(node->world, "the address %s of %s: %s", list[i], node->sim->name, strerror(-error));
            return false;
        }
        node->addresses[i] = copy_text(node->world, list[i]);
    }
    return true;
}

static void apply_options(struct loop_node *node, const struct loop_node_options *options)
{
    struct loop_sim_node *sim = node->sim;
    node->main = options->main;
    node->arg = options->arg;
    node->is_daemon = options->is_daemon;
    node->may_fail = options->may_fail;
    node->has_options = options->options != NULL;
    if (options->options) {
        node->options = *options->options;
    }
    sim->backend = options->backend == LOOP_BACKEND_EPOLL ? LOOP_SIM_BACKEND_EPOLL : LOOP_SIM_BACKEND_AUTO;
    sim->wall_offset_ns = options->wall_offset_ns;
    sim->wall_drift_ppb = options->wall_drift_ppb;
    sim->ring_features_masked = options->ring_features_masked;
    sim->ring_setup_refused = options->ring_setup_refused;
    sim->ring_refuses_clones = options->ring_refuses_clones;
    loop_sim_disk_set(sim, &(struct loop_sim_disk_options){.size_bytes = options->disk_size_bytes,
                                                           .latency_ns = options->disk_latency_ns});
}

static struct loop_node *create(struct loop_world *world, const char *name)
{
    struct loop_node *node = loop_world_alloc(world, sizeof *node);
    node->world = world;
    node->sim = loop_sim_node_create(world->sim, name);
    world->nodes = loop_sim_realloc(world->nodes, (world->n_nodes + 1) * sizeof(void *));
    world->nodes[world->n_nodes++] = node;
    return node;
}

struct loop_node *loop_world_add_node(struct loop_world *world, const struct loop_node_options *options)
{
    char name[LOOP_SIM_NAME_SIZE];
    LOOP_SIM_NEED(world, "world");
    LOOP_SIM_NEED(options, "pointer to the options");
    int len = options->name ? snprintf(name, sizeof name, "%s", options->name)
                            : snprintf(name, sizeof name, "node%zu", world->n_nodes + 1);
    if (!options->main || len <= 0 || len >= (int)sizeof name || name_is_taken(world, name)) {
        loop_world_fail(world, "the node \"%s\" %s", options->name ? options->name : name,
                        !options->main            ? "has no main function"
                        : len >= (int)sizeof name ? "has a name that is too long"
                        : len <= 0                ? "has an empty name"
                                                  : "is there already");
        return NULL;
    }
    struct loop_node *node = create(world, name);
    apply_options(node, options);
    if (!add_addresses(node, options->addresses)) {
        return NULL;
    }
    if (node->n_addresses > 0) {
        (void)loop_sim_name_add(world->sim, name, node->addresses[0]);
    }
    if (world->is_running) {
        start(node);
    }
    return node;
}

/* ---- asking ---- */

struct loop_world *loop_node_world(const struct loop_node *node)
{
    LOOP_SIM_NEED(node, "node");
    return node->world;
}

const char *loop_node_name(const struct loop_node *node)
{
    LOOP_SIM_NEED(node, "node");
    return node->sim->name;
}

const char *loop_node_address(const struct loop_node *node, size_t number)
{
    LOOP_SIM_NEED(node, "node");
    return number < node->n_addresses ? node->addresses[number] : NULL;
}

enum loop_node_state loop_node_state(const struct loop_node *node)
{
    LOOP_SIM_NEED(node, "node");
    switch (node->sim->state) {
    case LOOP_SIM_NODE_NEW: return LOOP_NODE_NEW;
    case LOOP_SIM_NODE_RUNNING: return LOOP_NODE_RUNNING;
    case LOOP_SIM_NODE_PAUSED: return LOOP_NODE_PAUSED;
    case LOOP_SIM_NODE_ENDED: return LOOP_NODE_ENDED;
    case LOOP_SIM_NODE_CRASHED: break;
    }
    return LOOP_NODE_CRASHED;
}

int loop_node_status(const struct loop_node *node)
{
    LOOP_SIM_NEED(node, "node");
    return node->status;
}

/* ---- ending and going on ---- */

static bool is_alive(const struct loop_node *node)
{
    return node->sim->state == LOOP_SIM_NODE_RUNNING || node->sim->state == LOOP_SIM_NODE_PAUSED;
}

void loop_node_crash(struct loop_node *node)
{
    LOOP_SIM_NEED(node, "node");
    if (is_alive(node)) {
        loop_sim_node_crash(node->sim);
    }
}

void loop_node_restart(struct loop_node *node)
{
    LOOP_SIM_NEED(node, "node");
    if (node->sim->state == LOOP_SIM_NODE_ENDED || node->sim->state == LOOP_SIM_NODE_CRASHED) {
        start(node);
    }
}

void loop_node_pause(struct loop_node *node)
{
    LOOP_SIM_NEED(node, "node");
    if (node->sim->state == LOOP_SIM_NODE_RUNNING) {
        loop_sim_node_pause(node->sim);
    }
}

void loop_node_resume(struct loop_node *node)
{
    LOOP_SIM_NEED(node, "node");
    if (node->sim->state == LOOP_SIM_NODE_PAUSED) {
        loop_sim_node_go_on(node->sim);
    }
}

void loop_node_signal(struct loop_node *node, int signal)
{
    LOOP_SIM_NEED(node, "node");
    if (signal < 1 || signal >= NSIG) {
        loop_sim_misuse(__func__, "there is no such signal", "signal(7) lists them");
    }
    if (is_alive(node)) {
        loop_sim_signal_send(node->sim, signal);
    }
}

/* ---- streams and files ---- */

void loop_node_set_input(struct loop_node *node, const void *data, size_t len)
{
    LOOP_SIM_NEED(node, "node");
    if (is_alive(node)) {
        loop_sim_misuse(__func__, "the node runs", "call it before the node starts");
    }
    loop_sim_standard_input(node->sim, data, len);
}

const char *loop_node_output(const struct loop_node *node, int number, size_t *len)
{
    LOOP_SIM_NEED(node, "node");
    LOOP_SIM_NEED(len, "length");
    if (number != 1 && number != 2) {
        loop_sim_misuse(__func__, "there is no such output", "1 is standard output, 2 standard error");
    }
    return loop_sim_standard_output(node->sim, number, len);
}

int loop_node_put_file(struct loop_node *node, const char *path, const void *data, size_t len)
{
    LOOP_SIM_NEED(node, "node");
    LOOP_SIM_NEED(path, "path");
    return loop_sim_disk_put(node->sim, path, data, len);
}

int loop_node_get_file(struct loop_node *node, const char *path, void **data, size_t *len)
{
    LOOP_SIM_NEED(node, "node");
    LOOP_SIM_NEED(path, "path");
    LOOP_SIM_NEED(data, "pointer to the data");
    LOOP_SIM_NEED(len, "length");
    void *own;
    int error = loop_sim_disk_get(node->sim, path, &own, len);
    if (error) {
        return error;
    }
    *data = loop_world_alloc(node->world, *len + 1); /* a 0 byte behind it, for text */
    memcpy(*data, own, *len);
    loop_sim_free(own);
    return 0;
}
