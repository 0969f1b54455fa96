/* SPDX-License-Identifier: ISC
 *
 * The table of host names of a world.
 */
#include <loop/kernel/simulated/network/name.h>
#include <loop/kernel/simulated/network/network.h>

#include <string.h>

struct name {
    struct loop_list link;
    struct in6_addr address;
    char text[];
};

int loop_sim_name_add(struct loop_sim_world *world, const char *text, const char *address)
{
    struct in6_addr parsed;
    if (*text == '\0' || loop_sim_address_parse(address, &parsed)) {
        return -EINVAL;
    }
    size_t size = strlen(text) + 1;
    struct name *name = loop_sim_alloc(sizeof *name + size);
    memcpy(name->text, text, size);
    name->address = parsed;
    loop_list_push_back(&loop_sim_network_of(world)->names, &name->link);
    return 0;
}

size_t loop_sim_name_find(struct loop_sim_world *world, const char *text, struct in6_addr *addresses, size_t most)
{
    struct loop_list *names = &loop_sim_network_of(world)->names;
    size_t n = 0;
    for (struct loop_list *at = names->next; at != names; at = at->next) {
        const struct name *name = LOOP_CONTAINER(at, struct name, link);
        if (strcmp(name->text, text) == 0 && n++ < most) {
            addresses[n - 1] = name->address;
        }
    }
    return n;
}

void loop_sim_names_finish(struct loop_sim_network *network)
{
    for (struct loop_list *at; (at = loop_list_pop_front(&network->names));) {
        loop_sim_free(LOOP_CONTAINER(at, struct name, link));
    }
}
