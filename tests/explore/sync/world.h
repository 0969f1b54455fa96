/* SPDX-License-Identifier: ISC
 *
 * The loops of the world sync, and what they share.
 */
#ifndef TESTS_EXPLORE_SYNC_H
#define TESTS_EXPLORE_SYNC_H

#include <sync/sync.h>

enum { MOST_LOOPS = 3, N_CHANNELS = 2, MOST_ITEMS = 4000, MOST_RESOURCES = 400, MOST_MEMBERS = 3, LIMIT = 2 };

enum kind { SEND, RECEIVE, ACQUIRE, WAIT, GROUP, TAKE, WORK, SLEEP, N_KINDS };

/* What has become of an item. */
enum fate { UNSENT, SENDING, SENT, REFUSED };

struct item {
    uint32_t channel, player, number;
    enum fate fate;
    bool has_arrived, is_of_thread; /* sent by a thread of the pool, at any time */
};

/* What a program has. */
struct system {
    struct loop_world *world;
    struct loop_node *node;
    unsigned n_loops, n_steps;
    struct loop_channel *channels[N_CHANNELS];
    struct loop_semaphore *semaphore;
    struct loop_condition *condition;
    unsigned n_permits, n_held, n_items;
    struct item items[MOST_ITEMS];
    struct player *players[MOST_LOOPS];
};

struct resource {
    bool is_in_use, is_disposed;
};

struct group {
    struct player *player;
    struct loop_scope *scope;
    bool has_ended;
};

/* An operation of a loop. It is kept until the end of the world. */
struct op {
    struct player *player;
    struct group *group;
    enum kind kind;
    unsigned channel;
    uint32_t item; /* its number: what is sent, and what is received */
    loop_job job;
    bool is_started, has_ended, is_cancelled, must_be_resumed;
    int64_t result;
    void *resource;
    struct loop_group *together;
    enum loop_group_kind how;
    unsigned n_members;
    struct op *members[MOST_MEMBERS];
    unsigned what; /* of work */
    struct op *next;
};

/* What one loop runs. */
struct player {
    struct system *system;
    unsigned number, n_steps, n_held, n_resources;
    struct loop_env *env;
    struct loop_resources *pool;
    struct group groups[2];
    struct resource resources[MOST_RESOURCES];
    struct op *first, **last; /* operations, in the order in which they were started */
    bool is_over;
};

/* The one of the world that runs. */
extern struct system *sync_system;

/* Makes an item for a channel, which is to be sent. Returns its number. */
uint32_t sync_make_item(const struct player *player, unsigned channel);

/* Returns an item. */
struct item *sync_item_of(uint32_t number);

/* Notes that an item has left its channel. */
void sync_arrived(uint32_t number);

/* Notes the result of sending an item. */
void sync_sent(uint32_t number, int64_t result);

/* Disposes of an item that nobody has received: of channels. */
void sync_on_dropped(void *item);

/* Notes that a loop has got a permit. */
void sync_acquired(struct player *player);

/* Gives a permit back, if the loop has one. */
void sync_release(struct player *player);

/* Makes the pool of a loop. Returns false without memory. */
bool sync_make_pool(struct player *player);

/* Takes the resource that an operation has got. */
void sync_take_resource(struct op *op);

/* Gives back all resources of a loop, or one. */
void sync_give_all_back(struct player *player, bool is_one_enough);

/* Returns whether nothing has cancelled an operation. */
bool sync_is_alive(const struct op *op);

/* Starts an operation in a scope. */
void sync_start(struct group *group, enum kind kind);

#endif
