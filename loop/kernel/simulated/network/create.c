/* SPDX-License-Identifier: ISC
 *
 * Making sockets: which protocol a call of socket(2) asks for.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/network/udp/datagram.h>
#include <loop/kernel/simulated/network/network.h>
#include <loop/kernel/simulated/network/option.h>
#include <loop/kernel/simulated/network/tcp/stream.h>
#include <loop/kernel/simulated/network/unix/unix.h>

static int number_of(int family, int type, int protocol)
{
    if (family == AF_UNIX) {
        bool is_known = type == SOCK_STREAM || type == SOCK_DGRAM || type == SOCK_SEQPACKET;
        return protocol != 0 && protocol != PF_UNIX ? -EPROTONOSUPPORT : is_known ? 0 : -ESOCKTNOSUPPORT;
    }
    if (family != AF_INET && family != AF_INET6) {
        return -EAFNOSUPPORT;
    }
    if (type != SOCK_STREAM && type != SOCK_DGRAM) {
        return -ESOCKTNOSUPPORT;
    }
    int number = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
    return protocol == 0 || protocol == number ? number : -EPROTONOSUPPORT;
}

static const struct loop_sim_protocol *protocol_of(int number)
{
    return number == IPPROTO_TCP ? &loop_sim_tcp : number == IPPROTO_UDP ? &loop_sim_udp : &loop_sim_unix;
}

struct loop_sim_file *loop_sim_socket_create(struct loop_sim_node *node, int family, int type, int protocol, int *error)
{
    enum { FLAGS = SOCK_CLOEXEC | SOCK_NONBLOCK, MOST_TYPE = 11 };
    int kind = type & ~FLAGS;
    if (kind < 0 || kind >= MOST_TYPE) {
        *error = -EINVAL;
        return NULL;
    }
    int number = number_of(family, kind, protocol);
    *error = number < 0 ? number : loop_sim_happens(LOOP_SIM_NO_BUFFERS) ? -ENOBUFS : 0;
    if (*error) {
        return NULL;
    }
    struct loop_sim_socket *socket = loop_sim_socket_make(node, protocol_of(number), family, kind);
    loop_sim_options_init(socket);
    socket->file.flags |= type & SOCK_NONBLOCK ? O_NONBLOCK : 0;
    return &socket->file;
}
