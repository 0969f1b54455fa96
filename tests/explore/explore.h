/* SPDX-License-Identifier: ISC
 *
 * What the worlds of tests/explore share: nodes whose kernels differ by choice, links, and bytes that can be checked.
 */
#ifndef TESTS_EXPLORE_H
#define TESTS_EXPLORE_H

#include <loop/loop.h>
#include <loop/simulation.h>

/* Adds a node. Its kernel is chosen: with io_uring, with an io_uring that lacks some features, or with epoll alone. It
 * may fail, when it has no memory or descriptors; a daemon is then started again. */
struct loop_node *explore_node(struct loop_world *world, struct loop_node_options options);

/* Fails the scope with -ENOMEM unless something has started: for programs under LOOP_FAULT_MEMORY. */
void explore_must(struct loop_scope *scope, bool has_started);

/* Returns whether a node has ended because it had no memory or descriptors. Then its work need not be done. */
bool explore_gave_up(const struct loop_node *node);

/* Sets the links between all nodes: by choice they are slow, narrow, or late by different times. */
void explore_links(struct loop_world *world);

/* Cuts `node` off at a chosen time, in one direction or both, and heals the network at a later one. By choice it does
 * not. */
void explore_partition(struct loop_world *world, struct loop_node *node);

/* Crashes `node` at a chosen time up to `most_ns`, and restarts it later. By choice it does not. */
void explore_crash(struct loop_world *world, struct loop_node *node, int64_t most_ns);

/* Returns one of n values by choice; the first is the ordinary one. */
#define EXPLORE_ONE_OF(values) ((values)[loop_simulation_choose(sizeof(values) / sizeof((values)[0]))])

/* Fills memory with bytes of the stream `key`, from the position `at` on. */
void explore_fill(void *data, size_t len, uint64_t key, uint64_t at);

/* Returns whether memory holds the bytes of the stream `key`, from the position `at` on. */
bool explore_matches(const void *data, size_t len, uint64_t key, uint64_t at);

/* ioctl(2) of demos, on the simulated kernel: see kernel_calls.h. */
int explore_ioctl(int number, unsigned long what, ...);

/* asprintf(3) of demos, into memory of the node. */
__attribute__((format(printf, 2, 3))) int explore_asprintf(char **text, const char *format, ...);

#endif
