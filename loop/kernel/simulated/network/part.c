/* SPDX-License-Identifier: ISC
 *
 * The network as a part of the simulated kernel: what begins and ends with a node and with a world.
 */
#include <loop/kernel/simulated/network/name.h>
#include <loop/kernel/simulated/network/network.h>
#include <loop/kernel/simulated/network/tcp/end.h>
#include <loop/kernel/simulated/network/tcp/segment.h>
#include <loop/kernel/simulated/network/transport.h>

static void node_started(struct loop_sim_node *node)
{
    loop_sim_host_of(node)->is_up = true;
}

/* Drops messages of Unix sockets: they may hold the sockets that they are in. */
static void drop_messages(struct loop_sim_host *host)
{
    struct loop_list *at = host->sockets.next;
    while (at != &host->sockets) {
        struct loop_sim_socket *socket = LOOP_CONTAINER(at, struct loop_sim_socket, link);
        struct loop_list *first = socket->family == AF_UNIX ? loop_list_first(&socket->messages) : NULL;
        if (first) {
            socket->local_socket.urgent = NULL;
            loop_sim_socket_drop_message(LOOP_CONTAINER(first, struct loop_sim_message, link));
            at = host->sockets.next;
        } else {
            at = at->next;
        }
    }
}

/* Ends every connection of a host without a word to the peers. Listeners come first: they have connections that no
 * descriptor names, which go with them. */
static void forget_connections(struct loop_sim_host *host)
{
    struct loop_list *at = host->sockets.next;
    while (at != &host->sockets) {
        struct loop_sim_socket *socket = LOOP_CONTAINER(at, struct loop_sim_socket, link);
        bool listens = socket->number == IPPROTO_TCP && socket->stream.state == LOOP_SIM_TCP_LISTEN;
        at = at->next;
        if (listens) {
            loop_sim_stream_forget(socket);
            at = host->sockets.next;
        }
    }
    struct loop_list *next;
    for (at = host->sockets.next; at != &host->sockets; at = next) {
        struct loop_sim_socket *socket = LOOP_CONTAINER(at, struct loop_sim_socket, link);
        next = at->next;
        loop_sim_stream_forget(socket);
        if (socket->is_released) {
            loop_sim_socket_discard(socket);
        }
    }
}

static void node_stopped(struct loop_sim_node *node, bool has_crashed)
{
    struct loop_sim_host *host = loop_sim_host_of(node);
    loop_sim_network_enter(node->world);
    drop_messages(host);
    if (has_crashed) {
        host->is_up = false;
        forget_connections(host);
        loop_sim_stream_host_lost(node);
    }
    loop_sim_network_leave(node->world);
}

static void node_destroyed(struct loop_sim_node *node)
{
    struct loop_sim_host *host = node->host;
    if (!host) {
        return;
    }
    loop_sim_network_enter(node->world);
    for (struct loop_list *at; (at = loop_list_first(&host->sockets));) {
        struct loop_sim_socket *socket = LOOP_CONTAINER(at, struct loop_sim_socket, link);
        loop_sim_stream_forget(socket);
        loop_sim_socket_discard(socket);
    }
    loop_sim_network_leave(node->world);
    loop_sim_free(host->busy_until_ns);
    loop_sim_free(host);
    node->host = NULL;
}

static void world_created(struct loop_sim_world *world)
{
    (void)loop_sim_network_of(world);
}

static void world_destroyed(struct loop_sim_world *world)
{
    struct loop_sim_network *network = world->network;
    if (network) {
        loop_sim_transport_finish(network);
        loop_sim_names_finish(network);
        loop_sim_free(network->owned);
        loop_sim_free(network);
        world->network = NULL;
    }
}

const struct loop_sim_part loop_sim_network_part = {.node_started = node_started,
                                                    .node_stopped = node_stopped,
                                                    .node_destroyed = node_destroyed,
                                                    .world_created = world_created,
                                                    .world_destroyed = world_destroyed};
