/* SPDX-License-Identifier: ISC
 *
 * The door's threads, which are fibers of the calling node. Nothing is kept in what the program sets aside for a mutex,
 * a condition or a call made once: those that are in use are found by their address, in lists of the node. So static
 * ones serve several nodes, and several runs.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/fiber.h>
#include <loop/kernel/thread.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- threads ---- */

uint64_t loop_sim_fiber_number(const struct loop_sim_fiber *fiber)
{
    return fiber->number;
}

bool loop_sim_fiber_is_below(const struct loop_sim_fiber *fiber, const void *address)
{
    return loop_sim_stack_is_below(&fiber->stack, address);
}

bool loop_sim_fiber_is_first(const struct loop_sim_fiber *fiber)
{
    return fiber->is_first;
}

struct loop_sim_fiber_signals *loop_sim_fiber_signals(struct loop_sim_fiber *fiber)
{
    return &fiber->signals;
}

struct loop_sim_fiber *loop_sim_fiber_next(const struct loop_sim_node *node, const struct loop_sim_fiber *fiber)
{
    struct loop_list *link = fiber ? fiber->link.next : node->fibers.next;
    return link == &node->fibers ? NULL : LOOP_CONTAINER(link, struct loop_sim_fiber, link);
}

struct loop_sim_fiber *loop_sim_fiber_of_thread(pthread_t thread)
{
    const struct loop_sim_node *node = loop_sim_here();
    struct loop_sim_fiber *fiber = loop_sim_fiber_next(node, NULL);
    while (fiber && fiber->number != thread) {
        fiber = loop_sim_fiber_next(node, fiber);
    }
    return fiber;
}

/* How long after its creation a thread begins, by choice. */
static int64_t delay_ns(void)
{
    static const int64_t delays_ns[] = {0, 10000, 1000000, 50000000};
    return delays_ns[loop_sim_choose(LOOP_SIM_THREAD, sizeof delays_ns / sizeof delays_ns[0])];
}

int loop_kernel_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg)
{
    struct loop_sim_node *node = loop_sim_here();
    if (loop_sim_happens(LOOP_SIM_NO_MEMORY)) {
        return EAGAIN;
    }
    struct loop_sim_fiber *fiber = loop_sim_fiber_create(node, run, arg, delay_ns());
    int state = PTHREAD_CREATE_JOINABLE;
    if (attributes) {
        pthread_attr_getdetachstate(attributes, &state);
    }
    fiber->is_detached = state == PTHREAD_CREATE_DETACHED;
    *thread = (pthread_t)fiber->number;
    return 0;
}

int loop_kernel_pthread_join(pthread_t thread, void **result)
{
    struct loop_sim_fiber *fiber = loop_sim_fiber_of_thread(thread);
    if (!fiber) {
        return ESRCH;
    }
    if (fiber->is_detached || fiber->is_joined) {
        return EINVAL;
    }
    if (fiber == loop_sim_fiber_now()) {
        return EDEADLK;
    }
    fiber->is_joined = true;
    while (fiber->state != LOOP_SIM_FIBER_ENDED) {
        loop_sim_wait_for(&fiber->ended, LOOP_SIM_NEVER);
    }
    if (result) {
        *result = fiber->result;
    }
    loop_sim_fiber_free(fiber);
    return 0;
}

pthread_t loop_kernel_pthread_self(void)
{
    (void)loop_sim_here();
    const struct loop_sim_fiber *fiber = loop_sim_fiber_now();
    return fiber ? (pthread_t)fiber->number : 0;
}

int loop_kernel_pthread_getname_np(pthread_t thread, char *name, size_t size)
{
    const struct loop_sim_fiber *fiber = loop_sim_fiber_of_thread(thread);
    if (!fiber) {
        return ESRCH;
    }
    if (size < LOOP_SIM_THREAD_NAME_SIZE) {
        return ERANGE;
    }
    memcpy(name, fiber->name, sizeof fiber->name);
    return 0;
}

int loop_kernel_pthread_setname_np(pthread_t thread, const char *name)
{
    struct loop_sim_fiber *fiber = loop_sim_fiber_of_thread(thread);
    if (!fiber) {
        return ESRCH;
    }
    size_t len = strlen(name);
    if (len >= sizeof fiber->name) {
        return ERANGE;
    }
    memcpy(fiber->name, name, len + 1);
    return 0;
}

int loop_kernel_sched_yield(void)
{
    (void)loop_sim_here();
    loop_sim_yield();
    return 0;
}

/* There is one processor. */
int loop_kernel_sched_getaffinity(size_t size, cpu_set_t *set)
{
    (void)loop_sim_here();
    memset(set, 0, size);
    *(unsigned char *)set = 1;
    return 0;
}

int loop_kernel_sched_setaffinity(size_t size, const cpu_set_t *set)
{
    (void)loop_sim_here();
    if (size > 0 && *(const unsigned char *)set & 1) {
        return 0;
    }
    errno = EINVAL;
    return -1;
}

void loop_kernel_relax(void)
{
    enum { RELAX_NS = 10000 };
    (void)loop_sim_wait_for(NULL, loop_sim_sum_ns(loop_sim_here()->world->now_ns, RELAX_NS));
}

void loop_kernel_pause(unsigned n)
{
    enum { PAUSE_NS = 1000 };
    (void)n;
    (void)loop_sim_wait_for(NULL, loop_sim_sum_ns(loop_sim_here()->world->now_ns, PAUSE_NS));
}

/* ---- what is found by its address ---- */

/* A mutex that is locked or waited for, a condition that is waited for, or a call that has begun. */
struct in_use {
    struct loop_list link; /* in the node's list of its kind */
    const void *address;
    const struct loop_sim_fiber *owner; /* of a mutex; NULL: it is not locked */
    unsigned waits;                     /* fibers that wait for it */
    bool is_done;                       /* the call has returned */
    struct loop_sim_queue queue;
};

static struct in_use *find(const struct loop_list *list, const void *address)
{
    for (struct loop_list *link = list->next; link != list; link = link->next) {
        struct in_use *use = LOOP_CONTAINER(link, struct in_use, link);
        if (use->address == address) {
            return use;
        }
    }
    return NULL;
}

/* Returns the one with the address, or a new one. */
static struct in_use *get(struct loop_list *list, const void *address)
{
    struct in_use *use = find(list, address);
    if (!use) {
        use = loop_sim_alloc(sizeof *use);
        use->address = address;
        loop_sim_queue_init(&use->queue);
        loop_list_push_front(list, &use->link);
    }
    return use;
}

static void drop(struct in_use *use)
{
    loop_list_remove(&use->link);
    loop_sim_free(use);
}

static void clear(struct loop_list *list)
{
    while (!loop_list_is_empty(list)) {
        drop(LOOP_CONTAINER(list->next, struct in_use, link));
    }
}

static void node_stopped(struct loop_sim_node *node, bool has_crashed)
{
    (void)has_crashed;
    clear(&node->mutexes);
    clear(&node->conditions);
    clear(&node->onces);
}

const struct loop_sim_part loop_sim_thread_part = {.node_stopped = node_stopped};

/* Waits until it is woken; where it is woken for nothing, a little. */
static void wait_for(struct in_use *use, bool for_nothing)
{
    use->waits++;
    if (for_nothing) {
        loop_sim_yield();
    } else {
        loop_sim_wait_for(&use->queue, LOOP_SIM_NEVER);
    }
    use->waits--;
}

/* Wakes the fiber that has waited longest. Its wait removes it from the queue. */
static void wake_first(struct in_use *use)
{
    struct loop_list *link = loop_list_first(&use->queue.waiters);
    if (link) {
        struct loop_sim_waiter *waiter = LOOP_CONTAINER(link, struct loop_sim_waiter, link);
        waiter->wake(waiter, 0);
    }
}

/* ---- mutexes ---- */

int loop_kernel_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    (void)mutex;
    int type = PTHREAD_MUTEX_DEFAULT;
    if (attributes) {
        pthread_mutexattr_gettype(attributes, &type);
    }
    return type == PTHREAD_MUTEX_DEFAULT ? 0 : ENOTSUP;
}

int loop_kernel_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    return find(&loop_sim_here()->mutexes, mutex) ? EBUSY : 0;
}

/* By choice another thread of the node runs first. */
int loop_kernel_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    struct loop_sim_node *node = loop_sim_here();
    if (node->fibers.next != node->fibers.prev && loop_sim_happens(LOOP_SIM_THREAD)) {
        loop_sim_yield();
    }
    struct in_use *use = get(&node->mutexes, mutex);
    while (use->owner) {
        wait_for(use, false);
    }
    use->owner = loop_sim_fiber_now();
    return 0;
}

int loop_kernel_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    struct in_use *use = find(&loop_sim_here()->mutexes, mutex);
    if (!use) {
        return 0; /* as of the C library's default kind */
    }
    use->owner = NULL;
    wake_first(use);
    if (use->waits == 0) {
        drop(use);
    }
    return 0;
}

/* ---- conditions ---- */

int loop_kernel_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes)
{
    (void)condition;
    (void)attributes;
    return 0;
}

int loop_kernel_pthread_cond_destroy(pthread_cond_t *condition)
{
    (void)condition;
    return 0;
}

/* By choice it returns without having been woken, as it may. */
int loop_kernel_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    struct in_use *use = get(&loop_sim_here()->conditions, condition);
    loop_kernel_pthread_mutex_unlock(mutex);
    wait_for(use, loop_sim_happens(LOOP_SIM_FALSE_READY));
    if (use->waits == 0) {
        drop(use);
    }
    return loop_kernel_pthread_mutex_lock(mutex);
}

int loop_kernel_pthread_cond_signal(pthread_cond_t *condition)
{
    struct in_use *use = find(&loop_sim_here()->conditions, condition);
    if (use) {
        wake_first(use);
    }
    return 0;
}

int loop_kernel_pthread_cond_broadcast(pthread_cond_t *condition)
{
    struct in_use *use = find(&loop_sim_here()->conditions, condition);
    if (use) {
        loop_sim_queue_wake(&use->queue, 0);
    }
    return 0;
}

/* ---- calls made once ---- */

/* Once for each node: what it computes may belong to that. */
int loop_kernel_pthread_once(pthread_once_t *once, void (*run)(void))
{
    struct loop_list *onces = &loop_sim_here()->onces;
    struct in_use *use = find(onces, once);
    if (!use) {
        use = get(onces, once);
        run();
        use->is_done = true;
        loop_sim_queue_wake(&use->queue, 0);
    }
    while (!use->is_done) {
        wait_for(use, false);
    }
    return 0;
}
