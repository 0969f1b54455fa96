/* SPDX-License-Identifier: ISC
 *
 * Creating and closing rings.
 */
#include <loop/kernel/simulated/ring/queue.h>
#include <loop/kernel/simulated/ring/registered.h>
#include <loop/kernel/simulated/ring/request.h>
#include <loop/kernel/simulated/ring/setup.h>

#if NORIA_URING

#include <string.h>

#define MOST_ENTRIES 32768u
#define MOST_COMPLETIONS (2 * MOST_ENTRIES)

#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#endif

#define KNOWN_FLAGS                                                                                                    \
    (IORING_SETUP_IOPOLL | IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |      \
     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER |    \
     IORING_SETUP_DEFER_TASKRUN)
#define DEFERS (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN)

/* Those of Linux 6.18 that are simulated: all but bundles, the shortest wait and attributes of reads. */
#define FEATURES                                                                                                       \
    (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_RW_CUR_POS |               \
     IORING_FEAT_CUR_PERSONALITY | IORING_FEAT_FAST_POLL | IORING_FEAT_POLL_32BITS | IORING_FEAT_SQPOLL_NONFIXED |     \
     IORING_FEAT_EXT_ARG | IORING_FEAT_NATIVE_WORKERS | IORING_FEAT_RSRC_TAGS | IORING_FEAT_CQE_SKIP |                 \
     IORING_FEAT_LINKED_FILE | IORING_FEAT_NO_IOWAIT)

/* What Linux allows at first: bounded workers, and others. */
enum { BOUNDED_WORKERS = 8, OTHER_WORKERS = 1024 };

/* ---- files ---- */

static uint32_t poll_ring(struct loop_sim_file *file)
{
    const struct loop_sim_ring *ring = loop_sim_ring_of(file);
    if (ring->is_closed) {
        return EPOLLERR;
    }
    bool is_full = ring->memory->sq_tail - ring->sq_head >= ring->memory->sq_entries;
    bool has_something =
        loop_sim_ring_ready(ring) > 0 || !loop_list_is_empty(&ring->overflow) || !loop_list_is_empty(&ring->work);
    return (is_full ? 0 : EPOLLOUT) | (has_something ? EPOLLIN : 0U);
}

static int status_of(struct loop_sim_file *file, struct stat *status)
{
    (void)file;
    memset(status, 0, sizeof *status);
    status->st_mode = S_IRUSR | S_IWUSR;
    status->st_nlink = 1;
    status->st_blksize = 4096;
    return 0;
}

/* Ends everything in flight without completions, and frees what is registered. Harmless when it has been called. A
 * request that is dropped may close a file, and so wake another request, which is then put in line for task work. */
static void close_ring(struct loop_sim_ring *ring)
{
    struct loop_list *node;
    if (ring->is_closed) {
        return;
    }
    ring->is_closed = true;
    while ((node = loop_list_first(&ring->requests))) {
        loop_sim_request_drop(LOOP_CONTAINER(node, struct loop_sim_request, link));
    }
    loop_sim_event_cancel(&ring->work_event);
    loop_sim_event_cancel(&ring->submit_event);
    while ((node = loop_list_pop_front(&ring->overflow))) {
        loop_sim_free(LOOP_CONTAINER(node, struct loop_sim_ring_overflow, link));
    }
    loop_sim_ring_unregister(ring);
    loop_sim_ring_unlock(ring, ring->locked_bytes);
    loop_list_remove(&ring->link);
    loop_sim_ring_memory_unref(ring->memory);
}

static void release(struct loop_sim_file *file)
{
    struct loop_sim_ring *ring = loop_sim_ring_of(file);
    close_ring(ring);
    loop_sim_free(ring);
}

static const struct loop_sim_file_kind ring_kind = {
    .name = "ring", .poll = poll_ring, .status = status_of, .release = release};

struct loop_sim_ring *loop_sim_ring_of(struct loop_sim_file *file)
{
    return file && file->kind == &ring_kind ? (struct loop_sim_ring *)(void *)file : NULL;
}

/* ---- parameters ---- */

static uint32_t power_of_two(uint32_t n)
{
    uint32_t power = 1;
    while (power < n) {
        power *= 2;
    }
    return power;
}

static int check_flags(const struct loop_sim_node *node, uint32_t flags)
{
    bool polls = flags & IORING_SETUP_SQPOLL;
    if (flags & (~(uint32_t)KNOWN_FLAGS | node->ring_setup_refused) || (flags & IORING_SETUP_SQ_AFF && !polls)) {
        return -EINVAL;
    }
    if (polls && flags & (DEFERS | IORING_SETUP_TASKRUN_FLAG)) {
        return -EINVAL;
    }
    if (flags & IORING_SETUP_TASKRUN_FLAG && !(flags & DEFERS)) {
        return -EINVAL;
    }
    return flags & IORING_SETUP_DEFER_TASKRUN && !(flags & IORING_SETUP_SINGLE_ISSUER) ? -EINVAL : 0;
}

/* Clamps a size. Returns 0 when it is wrong. */
static uint32_t clamp(uint32_t size, uint32_t most, uint32_t flags)
{
    return size <= most ? size : flags & IORING_SETUP_CLAMP ? most : 0;
}

static int fill_in_sizes(unsigned entries, struct io_uring_params *params)
{
    entries = clamp(entries, MOST_ENTRIES, params->flags);
    if (entries == 0) {
        return -EINVAL;
    }
    params->sq_entries = power_of_two(entries);
    if (!(params->flags & IORING_SETUP_CQSIZE)) {
        params->cq_entries = 2 * params->sq_entries;
        return 0;
    }
    uint32_t completions = clamp(params->cq_entries, MOST_COMPLETIONS, params->flags);
    if (completions == 0) {
        return -EINVAL;
    }
    params->cq_entries = power_of_two(completions);
    return params->cq_entries < params->sq_entries ? -EINVAL : 0;
}

/* ---- creation ---- */

static struct loop_sim_ring_memory *make_memory(const struct io_uring_params *params)
{
    struct loop_sim_ring_memory *memory = loop_sim_alloc(sizeof *memory);
    memory->uses = 1;
    memory->sq_entries = params->sq_entries;
    memory->sq_mask = params->sq_entries - 1;
    memory->cq_entries = params->cq_entries;
    memory->cq_mask = params->cq_entries - 1;
    memory->array = loop_sim_alloc(params->sq_entries * sizeof *memory->array);
    memory->sqes = loop_sim_alloc(params->sq_entries * sizeof *memory->sqes);
    memory->cqes = loop_sim_alloc(params->cq_entries * sizeof *memory->cqes);
    memory->sq_flags = params->flags & IORING_SETUP_SQPOLL ? IORING_SQ_NEED_WAKEUP : 0;
    loop_list_init(&memory->link);
    return memory;
}

static struct loop_sim_ring *make_ring(struct loop_sim_node *node, const struct io_uring_params *params)
{
    struct loop_sim_ring *ring = loop_sim_alloc(sizeof *ring);
    loop_sim_file_init(&ring->file, &ring_kind, node, O_RDWR);
    ring->memory = make_memory(params);
    ring->flags = params->flags;
    ring->features = params->features;
    ring->owner = params->flags & IORING_SETUP_SINGLE_ISSUER ? loop_sim_fiber_number(loop_sim_fiber_now()) : 0;
    ring->workers[0] = BOUNDED_WORKERS;
    ring->workers[1] = OTHER_WORKERS;
    loop_list_init(&ring->requests);
    loop_list_init(&ring->work);
    loop_list_init(&ring->overflow);
    loop_list_init(&ring->groups);
    loop_sim_queue_init(&ring->waiting);
    loop_list_push_back(&loop_sim_rings_of(node)->rings, &ring->link);
    return ring;
}

/* Fills in what liburing keeps of a ring. */
static void map(struct loop_sim_ring *ring, int number, struct io_uring *out)
{
    struct loop_sim_ring_memory *memory = ring->memory;
    memset(out, 0, sizeof *out);
    out->sq.khead = &memory->sq_head;
    out->sq.ktail = &memory->sq_tail;
    out->sq.kring_mask = &memory->sq_mask;
    out->sq.kring_entries = &memory->sq_entries;
    out->sq.kflags = &memory->sq_flags;
    out->sq.kdropped = &memory->sq_dropped;
    out->sq.array = memory->array;
    out->sq.sqes = memory->sqes;
    out->cq.khead = &memory->cq_head;
    out->cq.ktail = &memory->cq_tail;
    out->cq.kring_mask = &memory->cq_mask;
    out->cq.kring_entries = &memory->cq_entries;
    out->cq.kflags = &memory->cq_flags;
    out->cq.koverflow = &memory->cq_overflow;
    out->cq.cqes = memory->cqes;
    out->sq.ring_mask = memory->sq_mask;
    out->sq.ring_entries = memory->sq_entries;
    out->cq.ring_mask = memory->cq_mask;
    out->cq.ring_entries = memory->cq_entries;
    out->sq.ring_ptr = out->cq.ring_ptr = memory;
    out->flags = ring->flags;
    out->features = ring->features;
    out->ring_fd = out->enter_ring_fd = number;
    memory->uses++;
    loop_list_push_back(&loop_sim_rings_of(ring->file.node)->mappings, &memory->link);
    for (unsigned i = 0; i < memory->sq_entries; i++) {
        memory->array[i] = i;
    }
}

/* Returns the error with which a node's kernel refuses every ring, or 0. */
static int find_refusal(const struct loop_sim_node *node)
{
    if (node->backend == LOOP_SIM_BACKEND_EPOLL) {
        return -ENOSYS;
    }
    return node->ring_error_is_of_enter ? 0 : -node->ring_error;
}

int loop_kernel_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
    struct loop_sim_node *node = loop_sim_here();
    int error = find_refusal(node);
    if (!error) {
        error = check_flags(node, params->flags);
    }
    if (!error) {
        error = fill_in_sizes(entries, params);
    }
    if (error) {
        return error;
    }
    params->features = FEATURES & ~node->ring_features_masked;
    struct loop_sim_ring *made = make_ring(node, params);
    int number = loop_sim_ring_lock(made, loop_sim_ring_queue_bytes(params));
    if (number == 0) {
        number = loop_sim_file_reserve(node, 0);
    }
    if (number < 0) {
        loop_sim_file_unref(&made->file);
        return number;
    }
    loop_sim_file_put(node, number, &made->file, O_CLOEXEC);
    map(made, number, ring);
    return 0;
}

void loop_kernel_io_uring_queue_exit(struct io_uring *ring)
{
    struct loop_sim_ring_memory *memory = ring->sq.ring_ptr;
    loop_list_remove(&memory->link);
    loop_sim_ring_memory_unref(memory);
    if (ring->int_flags & LOOP_SIM_RING_IS_REGISTERED) {
        struct loop_sim_ring_registered *registered = loop_sim_ring_registered_find((unsigned)ring->enter_ring_fd);
        if (registered) {
            loop_sim_ring_registered_drop(registered);
        }
    }
    if (ring->ring_fd != -1) {
        (void)loop_sim_file_close(loop_sim_here(), ring->ring_fd);
    }
}

bool loop_sim_ring_is_foreign(const struct loop_sim_ring *ring)
{
    return ring->owner && ring->owner != loop_sim_fiber_number(loop_sim_fiber_now());
}

struct loop_sim_ring *loop_sim_ring_to_register(const struct io_uring *ring, int *error)
{
    struct loop_sim_file *file = loop_sim_file_of(ring->ring_fd);
    struct loop_sim_ring *found = loop_sim_ring_of(file);
    *error = !file ? -EBADF : !found ? -EOPNOTSUPP : loop_sim_ring_is_foreign(found) ? -EEXIST : 0;
    return *error ? NULL : found;
}

/* ---- nodes ---- */

static void node_stopped(struct loop_sim_node *node, bool has_crashed)
{
    struct loop_list *link;
    (void)has_crashed;
    if (!node->rings) {
        return;
    }
    while ((link = loop_list_first(&node->rings->registered))) {
        loop_sim_ring_registered_drop(LOOP_CONTAINER(link, struct loop_sim_ring_registered, link));
    }
    while ((link = loop_list_pop_front(&node->rings->mappings))) {
        loop_sim_ring_memory_unref(LOOP_CONTAINER(link, struct loop_sim_ring_memory, link));
    }
    while ((link = loop_list_first(&node->rings->rings))) {
        struct loop_sim_ring *ring = LOOP_CONTAINER(link, struct loop_sim_ring, link);
        loop_sim_file_ref(&ring->file); /* a request of it may have the last use */
        close_ring(ring);
        loop_sim_file_unref(&ring->file);
    }
    loop_sim_free(node->rings);
    node->rings = NULL;
}

const struct loop_sim_part loop_sim_ring_part = {.node_stopped = node_stopped};

#else

const struct loop_sim_part loop_sim_ring_part = {.node_stopped = NULL};

#endif
