/* SPDX-License-Identifier: ISC
 *
 * TCP connections: their ends, on this side. Nothing is sent here.
 */
#include <loop/kernel/simulated/network/host.h>
#include <loop/kernel/simulated/network/tcp/end.h>

#include <assert.h>

static void empty(struct loop_sim_socket *socket)
{
    loop_sim_bytes_finish(&socket->stream.sending);
    loop_sim_event_cancel(&socket->stream.kept);
    loop_sim_event_cancel(&socket->stream.retry);
    loop_sim_event_cancel(&socket->stream.keepalive);
}

/* Takes a connection off its listener, which has not given it to accept yet. */
static void leave_listener(struct loop_sim_socket *socket)
{
    struct loop_sim_socket *listener = socket->stream.listener;
    if (!listener) {
        return;
    }
    if (loop_list_is_linked(&socket->stream.accept_link)) {
        loop_list_remove(&socket->stream.accept_link);
        listener->stream.n_accepts--;
    } else {
        listener->stream.n_half_open--;
    }
    socket->stream.listener = NULL;
}

void loop_sim_stream_drop_children(struct loop_sim_socket *listener)
{
    struct loop_list *next;
    struct loop_list *sockets = &listener->file.node->host->sockets;
    for (struct loop_list *at = sockets->next; at != sockets; at = next) {
        struct loop_sim_socket *child = LOOP_CONTAINER(at, struct loop_sim_socket, link);
        next = at->next;
        if (child->stream.listener == listener) {
            loop_sim_stream_forget(child);
            loop_sim_socket_discard(child);
        }
    }
    assert(listener->stream.n_accepts == 0 && listener->stream.n_half_open == 0);
}

void loop_sim_stream_forget(struct loop_sim_socket *socket)
{
    if (socket->number != IPPROTO_TCP) {
        return;
    }
    if (socket->stream.state == LOOP_SIM_TCP_LISTEN) {
        loop_sim_stream_drop_children(socket);
    }
    leave_listener(socket);
    empty(socket);
    loop_sim_host_unmatch(socket);
    socket->stream.state = LOOP_SIM_TCP_CLOSED;
}

void loop_sim_stream_end(struct loop_sim_socket *socket)
{
    empty(socket);
    loop_sim_host_unmatch(socket);
    socket->stream.state = LOOP_SIM_TCP_CLOSED;
    socket->halves = LOOP_SIM_SHUT_BOTH;
    loop_sim_host_leave_port(socket);
    if (socket->is_released) {
        loop_sim_socket_discard(socket);
    } else {
        loop_sim_socket_changed(socket, 0);
    }
}

void loop_sim_stream_fail(struct loop_sim_socket *socket, int error)
{
    if (socket->stream.state == LOOP_SIM_TCP_SYN_RECEIVED) {
        loop_sim_stream_forget(socket);
        loop_sim_socket_discard(socket);
        return;
    }
    socket->error = error;
    loop_sim_stream_end(socket);
    loop_sim_socket_changed(socket, EPOLLERR);
}

void loop_sim_stream_wait_for_late_packets(struct loop_sim_socket *socket)
{
    empty(socket);
    socket->stream.state = LOOP_SIM_TCP_TIME_WAIT;
    socket->halves = LOOP_SIM_SHUT_BOTH;
    loop_sim_host_hold_port(socket);
    loop_sim_socket_changed(socket, 0);
}
