/* SPDX-License-Identifier: ISC
 *
 * What a protocol such as QUIC needs of UDP: ECN, trains, and errors with the peer that they are about.
 */
#include <loop/loop.h>
#include <net/net.h>

#include <stdio.h>
#include <string.h>

enum { PACKETS = 3, PACKET_BYTES = 1200, ECN_ECT0 = 2 };

static struct loop_datagram_socket *server, *client;
static char packets[PACKETS * PACKET_BYTES - 1000]; /* the last one is shorter */
static unsigned n_received;

static void on_packet(void *arg, int64_t result, const struct loop_datagram *packet)
{
    struct loop_address nobody;

    (void)arg;
    if (packet && result >= 0) {
        printf("%zu bytes, ECN %d\n", packet->len, packet->traffic_class & 3);
        if (++n_received == PACKETS) {
            loop_datagram_close(server);
            loop_address_parse(&nobody, "udp:127.0.0.1:1");
            loop_datagram_put(client, &nobody, "lost", 4);
        }
    }
}

static void on_answer(void *arg, int64_t result, const struct loop_datagram *answer)
{
    char peer[LOOP_ADDRESS_TEXT_SIZE];

    (void)arg;
    if (answer && result < 0) {
        loop_address_format(answer->destination, peer, sizeof peer);
        printf("%s: %s\n", peer, strerror((int)-result));
        loop_datagram_close(client);
    }
}

static int start(struct loop_env *env, void *arg)
{
    static const struct loop_datagram_send_options train = {
        .segment_bytes = PACKET_BYTES, .has_traffic_class = true, .traffic_class = ECN_ECT0};
    struct loop_address address;

    (void)arg;
    loop_address_parse(&address, "udp:127.0.0.1:0");
    int error =
        loop_datagram_open(env->scope,
                           &(struct loop_datagram_options){
                               .bind_to = &address, .reports = LOOP_DATAGRAM_TRAFFIC_CLASS, .dont_fragment = true},
                           &server);
    if (error == 0) {
        error = loop_datagram_open(env->scope,
                                   &(struct loop_datagram_options){
                                       .bind_to = &address, .reports = LOOP_DATAGRAM_ERRORS, .dont_fragment = true},
                                   &client);
    }
    if (error < 0) {
        return error;
    }
    loop_datagram_address(server, &address);
    loop_datagram_stream(server, on_packet, NULL);
    loop_datagram_stream(client, on_answer, NULL);
    loop_datagram_put_with(client, &train, &address, packets, sizeof packets);
    return 0;
}

int main(void)
{
    return loop_run(0, 0, 0, NULL, start, NULL) == 0 ? 0 : 1;
}
