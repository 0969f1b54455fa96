/* SPDX-License-Identifier: ISC
 *
 * TCP connections: what TCP_INFO tells of them. Round trips are measured and smoothed as in RFC 6298. There is no
 * congestion window: it is told as it is for a new connection.
 */
#include <loop/kernel/simulated/machine/machine.h>
#include <loop/kernel/simulated/network/tcp/info.h>

enum { FIRST_WINDOW = 10, NS_PER_US = 1000 };

static int64_t now_ns(const struct loop_sim_socket *socket)
{
    return socket->file.node->world->now_ns;
}

void loop_sim_stream_begin_trip(struct loop_sim_socket *socket, uint64_t end)
{
    struct loop_sim_trip *trip = &socket->stream.trip;
    if (trip->end == 0) {
        trip->end = end;
        trip->began_ns = now_ns(socket);
    }
}

void loop_sim_stream_end_trip(struct loop_sim_socket *socket, uint64_t acknowledged)
{
    struct loop_sim_trip *trip = &socket->stream.trip;
    if (trip->end == 0 || acknowledged < trip->end) {
        return;
    }
    int64_t took_ns = now_ns(socket) - trip->began_ns;
    int64_t off_ns = took_ns > trip->smoothed_ns ? took_ns - trip->smoothed_ns : trip->smoothed_ns - took_ns;
    trip->variance_ns = trip->is_known ? (3 * trip->variance_ns + off_ns) / 4 : took_ns / 2;
    trip->smoothed_ns = trip->is_known ? (7 * trip->smoothed_ns + took_ns) / 8 : took_ns;
    trip->is_known = true;
    trip->end = 0;
}

void loop_sim_stream_drop_trip(struct loop_sim_socket *socket)
{
    socket->stream.trip.end = 0;
}

/* As Linux numbers them. */
static uint8_t state_number(enum loop_sim_tcp_state state)
{
    switch (state) {
    case LOOP_SIM_TCP_LISTEN: return TCP_LISTEN;
    case LOOP_SIM_TCP_SYN_SENT: return TCP_SYN_SENT;
    case LOOP_SIM_TCP_SYN_RECEIVED: return TCP_SYN_RECV;
    case LOOP_SIM_TCP_ESTABLISHED: return TCP_ESTABLISHED;
    case LOOP_SIM_TCP_CLOSE_WAIT: return TCP_CLOSE_WAIT;
    case LOOP_SIM_TCP_FIN_WAIT_1: return TCP_FIN_WAIT1;
    case LOOP_SIM_TCP_FIN_WAIT_2: return TCP_FIN_WAIT2;
    case LOOP_SIM_TCP_CLOSING: return TCP_CLOSING;
    case LOOP_SIM_TCP_LAST_ACK: return TCP_LAST_ACK;
    case LOOP_SIM_TCP_CLOSED:
    case LOOP_SIM_TCP_TIME_WAIT:
    default: return TCP_CLOSE;
    }
}

/* In the microseconds of a measured time, which is never 0. */
static uint32_t microseconds(const struct loop_sim_trip *trip, int64_t time_ns)
{
    return !trip->is_known ? 0 : time_ns < NS_PER_US ? 1 : (uint32_t)(time_ns / NS_PER_US);
}

struct tcp_info loop_sim_stream_info(const struct loop_sim_socket *socket)
{
    const struct loop_sim_stream *stream = &socket->stream;
    struct tcp_info info = {.tcpi_state = state_number(stream->state), .tcpi_snd_cwnd = FIRST_WINDOW};
    if (stream->state == LOOP_SIM_TCP_LISTEN) {
        info.tcpi_unacked = stream->n_accepts;
        info.tcpi_sacked = stream->backlog;
        return info;
    }
    info.tcpi_retransmits = (uint8_t)stream->retries;
    info.tcpi_probes = (uint8_t)stream->probes;
    info.tcpi_total_retrans = stream->n_retried;
    info.tcpi_rtt = microseconds(&stream->trip, stream->trip.smoothed_ns);
    info.tcpi_rttvar = microseconds(&stream->trip, stream->trip.variance_ns);
    return info;
}
