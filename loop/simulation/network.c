/* SPDX-License-Identifier: ISC
 *
 * Links, rules and partitions of a world.
 */
#include <loop/kernel/simulated/network/network.h>
#include <loop/simulation/misuse.h>
#include <loop/simulation/world.h>

static const struct loop_sim_node *sim_of(const struct loop_node *node)
{
    return node ? node->sim : NULL;
}

void loop_world_set_link(struct loop_world *world, const struct loop_node *from, const struct loop_node *to,
                         const struct loop_link *link)
{
    LOOP_SIM_NEED(world, "world");
    LOOP_SIM_NEED(link, "link");
    loop_sim_link_set(world->sim, sim_of(from), sim_of(to),
                      &(struct loop_sim_link){.delay_ns = link->delay_ns,
                                              .jitter_ns = link->jitter_ns,
                                              .bytes_per_s = link->bytes_per_s,
                                              .queue_bytes = link->queue_bytes,
                                              .loss_ppm = link->loss_ppm,
                                              .duplicate_ppm = link->duplicate_ppm,
                                              .reorder_ppm = link->reorder_ppm});
}

/* ---- rules ---- */

static struct loop_sim_rule_pair *add_pair(struct loop_world *world)
{
    world->rules = loop_sim_realloc(world->rules, (world->n_rules + 1) * sizeof *world->rules);
    struct loop_sim_rule_pair *pair = &world->rules[world->n_rules++];
    *pair = (struct loop_sim_rule_pair){{0}};
    return pair;
}

static enum loop_sim_kind kind_of(enum loop_rule_kind kind)
{
    switch (kind) {
    case LOOP_RULE_ANY: break;
    case LOOP_RULE_CONNECT: return LOOP_SIM_KIND_CONNECT;
    case LOOP_RULE_STREAM: return LOOP_SIM_KIND_STREAM;
    case LOOP_RULE_DATAGRAM: return LOOP_SIM_KIND_DATAGRAM;
    }
    return LOOP_SIM_KIND_ANY;
}

static enum loop_sim_action action_of(enum loop_rule_action action)
{
    switch (action) {
    case LOOP_RULE_PASS: break;
    case LOOP_RULE_DELAY: return LOOP_SIM_RULE_DELAY;
    case LOOP_RULE_DROP: return LOOP_SIM_RULE_DROP;
    case LOOP_RULE_RESET: return LOOP_SIM_RULE_RESET;
    }
    return LOOP_SIM_RULE_PASS;
}

unsigned loop_world_add_rule(struct loop_world *world, const struct loop_rule *rule)
{
    LOOP_SIM_NEED(world, "world");
    LOOP_SIM_NEED(rule, "rule");
    struct loop_sim_rule_pair *pair = add_pair(world);
    pair->numbers[0] = loop_sim_rule_add(world->sim, &(struct loop_sim_rule){.from = sim_of(rule->from),
                                                                             .to = sim_of(rule->to),
                                                                             .kind = kind_of(rule->kind),
                                                                             .least_bytes = rule->least_bytes,
                                                                             .most_bytes = rule->most_bytes,
                                                                             .action = action_of(rule->action),
                                                                             .delay_ns = rule->delay_ns});
    return (unsigned)world->n_rules;
}

static unsigned add_drop(struct loop_world *world, const struct loop_node *from, const struct loop_node *to)
{
    return loop_sim_rule_add(
        world->sim, &(struct loop_sim_rule){.from = sim_of(from), .to = sim_of(to), .action = LOOP_SIM_RULE_DROP});
}

unsigned loop_world_partition(struct loop_world *world, const struct loop_node *one, const struct loop_node *other)
{
    LOOP_SIM_NEED(world, "world");
    LOOP_SIM_NEED(one, "node");
    struct loop_sim_rule_pair *pair = add_pair(world);
    pair->numbers[0] = add_drop(world, one, other);
    pair->numbers[1] = add_drop(world, other, one);
    return (unsigned)world->n_rules;
}

unsigned loop_world_partition_one_way(struct loop_world *world, const struct loop_node *from,
                                      const struct loop_node *to)
{
    LOOP_SIM_NEED(world, "world");
    struct loop_sim_rule_pair *pair = add_pair(world);
    pair->numbers[0] = add_drop(world, from, to);
    return (unsigned)world->n_rules;
}

void loop_world_remove_rule(struct loop_world *world, unsigned number)
{
    LOOP_SIM_NEED(world, "world");
    for (unsigned i = 0; i < 2 && number > 0 && number <= world->n_rules; i++) {
        loop_sim_rule_remove(world->sim, world->rules[number - 1].numbers[i]);
        world->rules[number - 1].numbers[i] = 0;
    }
}

void loop_world_heal(struct loop_world *world)
{
    LOOP_SIM_NEED(world, "world");
    loop_sim_rules_clear(world->sim);
}
