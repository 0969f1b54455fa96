/* SPDX-License-Identifier: ISC
 *
 * Making channels, and passing them from one look-up to the next.
 */
#include <loop/kernel/memory.h>
#include <net/names/dns/channel.h>

#include <arpa/inet.h>

#define NEVER_MS (24 * 3600 * 1000)

/* The callback of c-ares for the state of a socket. */
static void on_state(void *arg, ares_socket_t number, int to_read, int to_write)
{
    struct loop_names_channel *channel = arg;

    if (channel->sockets) {
        loop_names_sockets_state(channel->sockets, number, to_read, to_write);
    }
}

static int init(struct loop_names_channel *channel)
{
    struct in_addr none = {.s_addr = htonl(INADDR_LOOPBACK)};
    char lookups[] = "b";
    /* Everything that c-ares would otherwise read in resolv.conf is set. NOCHECKRESP: it passes failures on. Without
     * STAYOPEN it closes its sockets with the last question: each look-up has ports of its own, taken at random. */
    struct ares_options options = {.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP |
                                            ARES_FLAG_EDNS,
                                   .timeout = NEVER_MS,
                                   .tries = 1,
                                   .ndots = 1,
                                   .servers = &none,
                                   .nservers = 1,
                                   .lookups = lookups,
                                   .sock_state_cb = on_state,
                                   .sock_state_cb_data = channel,
                                   .ednspsz = 1232};
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_SERVERS |
               ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_SORTLIST | ARES_OPT_SOCK_STATE_CB | ARES_OPT_NOROTATE |
               ARES_OPT_EDNSPSZ;

#ifdef ARES_OPT_QUERY_CACHE
    mask |= ARES_OPT_QUERY_CACHE; /* of 0 seconds: none */
#endif
#ifdef ARES_OPT_MAXTIMEOUTMS
    mask |= ARES_OPT_MAXTIMEOUTMS; /* otherwise 1.32 and newer let no timeout be longer than 5 seconds */
    options.maxtimeout = NEVER_MS;
#endif
    return ares_init_options(&channel->channel, &options, mask);
}

int loop_names_channel_create(struct loop_names_channel **created)
{
    struct loop_names_channel *channel = loop_kernel_calloc(1, sizeof *channel);
    int status = channel ? init(channel) : ARES_ENOMEM;

    if (status != ARES_SUCCESS) {
        loop_kernel_free(channel);
        channel = NULL;
    }
    *created = channel;
    return status;
}

void loop_names_channel_use(struct loop_names_channel *channel, struct loop_names_sockets *sockets)
{
    channel->sockets = sockets;
    loop_names_sockets_use(channel->channel, sockets);
}

void loop_names_channels_destroy(struct loop_names_channel *first)
{
    while (first) {
        struct loop_names_channel *channel = first;

        first = channel->next;
        ares_destroy(channel->channel);
        loop_kernel_free(channel);
    }
}

/* ---- from one look-up to the next ---- */

/* Takes a channel out of the list of the idle ones, or returns NULL. */
static struct loop_names_channel *unlink_idle(struct loop_names_resolver *resolver)
{
    struct loop_names_channel *channel = resolver->idle;

    if (channel) {
        resolver->idle = channel->next;
        resolver->n_idle--;
        channel->next = NULL;
    }
    return channel;
}

struct loop_names_channel *loop_names_channel_take(struct loop_names_resolver *resolver,
                                                   struct loop_names_sockets *sockets)
{
    struct loop_names_channel *channel = unlink_idle(resolver);

    if (channel) {
        loop_names_channel_use(channel, sockets);
    }
    return channel;
}

int loop_names_channel_forget_server(struct loop_names_channel *channel)
{
    return ares_set_servers_ports(channel->channel, NULL);
}

/* Ends all that a channel does, and has it forget the server. Returns false where a socket is left: a late answer could
 * come by it. */
static bool clear(struct loop_names_channel *channel)
{
    ares_cancel(channel->channel);
    return loop_names_channel_forget_server(channel) == ARES_SUCCESS && loop_names_sockets_are_closed(channel->sockets);
}

/* A channel that cannot be cleared is not kept. There are no more idle ones than look-ups in progress, each of which
 * has a reference to the resolver, and one. */
void loop_names_channel_give(struct loop_names_resolver *resolver, struct loop_names_channel *channel)
{
    if (!clear(channel)) {
        loop_names_channels_destroy(channel);
        return;
    }
    channel->sockets = NULL;
    channel->next = resolver->idle;
    resolver->idle = channel;
    resolver->n_idle++;
    resolver->destroy_idle = loop_names_channels_destroy;
    while (resolver->n_idle > resolver->references) {
        loop_names_channels_destroy(unlink_idle(resolver));
    }
}
