/* SPDX-License-Identifier: ISC
 *
 * io_uring, as the sources of ring/ share it: rings, their requests, and the operations.
 *
 * A ring is an open file. Each entry of its submission queue becomes a request, which is tried at once. A request that
 * would wait becomes a waiter of its file's queue; when it is woken, it is put in line as task work, and is tried again
 * when the work is run. Operations that a kernel has done by a worker thread are done by an event, after the latency of
 * the disk. The result of a request is a completion.
 *
 * A ring that polls devices (IORING_SETUP_IOPOLL) accepts reads and writes of files on a disk that are O_DIRECT. Their
 * completions are found when the program enters the ring for events, and wake nobody before.
 *
 * The semantics are those of Linux 6.18, seen on it and read in its sources.
 */
#ifndef LOOP_KERNEL_SIMULATED_RING_RING_H
#define LOOP_KERNEL_SIMULATED_RING_RING_H

#include <loop/kernel/ring.h>
#include <loop/kernel/simulated/object/file.h>

#if NORIA_URING

#include <sys/epoll.h>
#include <sys/socket.h>

/* ---- the queues ---- */

/* The queues that the program maps. They exist until neither the ring nor the program uses them. */
struct loop_sim_ring_memory {
    struct loop_list link; /* in the node's, while the program has them */
    unsigned uses;
    uint32_t sq_head, sq_tail, sq_mask, sq_entries, sq_flags, sq_dropped;
    uint32_t cq_head, cq_tail, cq_mask, cq_entries, cq_flags, cq_overflow;
    uint32_t *array;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
};

/* A completion for which the queue had no room. */
struct loop_sim_ring_overflow {
    struct loop_list link;
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
};

/* ---- rings ---- */

/* A group of provided buffers. */
struct loop_sim_ring_group {
    struct loop_list link;
    const struct io_uring_buf_ring *buffers; /* memory of the program */
    uint32_t mask;
    uint16_t number;
    uint16_t head; /* the next buffer */
};

/* Buffers that are registered. Rings that have cloned them share them: the bytes are locked once, until the last ring
 * has dropped them. */
struct loop_sim_ring_buffers {
    unsigned uses;
    size_t locked_bytes;
    unsigned count;
    struct iovec vectors[];
};

struct loop_sim_ring {
    struct loop_sim_file file; /* must be first */
    struct loop_list link;     /* in the node's rings */
    struct loop_sim_ring_memory *memory;
    uint32_t flags, features;
    uint64_t owner; /* the number of the only fiber that may enter it: IORING_SETUP_SINGLE_ISSUER. 0: any may */
    bool is_closed;
    uint32_t sq_head, cq_tail; /* of the queues: the program's copies are only written */
    uint32_t posted;           /* completions so far */
    struct loop_list requests; /* in flight, in the order of their entries */
    struct loop_list work;     /* requests in line for task work */
    unsigned n_work;
    unsigned n_counting; /* timeouts that completions may end */
    struct loop_list overflow;
    struct loop_sim_queue waiting; /* fibers in enter */
    struct loop_sim_event work_event, submit_event;
    struct loop_list groups;
    struct loop_sim_ring_buffers *buffers; /* registered ones, or NULL */
    struct loop_sim_file **files;          /* registered ones */
    unsigned n_files;
    unsigned workers[2];
    size_t locked_bytes; /* without the registered buffers, which clones may share */
};

/* What a node has of io_uring. */
struct loop_sim_rings {
    struct loop_list rings, mappings;
    struct loop_list registered; /* struct loop_sim_ring_registered */
    size_t locked_bytes;         /* of all rings */
};

/* ---- requests ---- */

struct loop_sim_request;

/* An operation that waits returns this, and has its file's queue wake it. */
#define LOOP_SIM_REQUEST_WAITS (-EAGAIN)

/* How an operation is done. */
struct loop_sim_ring_op {
    /* Checks the entry and copies what the kernel copies. Returns 0 or the negative errno of the request. */
    int (*prepare)(struct loop_sim_request *request);
    /* Tries the operation. Returns its result, or LOOP_SIM_REQUEST_WAITS. */
    int32_t (*issue)(struct loop_sim_request *request);
    /* Returns the result of a request that is cancelled: what it has done so far. NULL: -ECANCELED. */
    int32_t (*cancelled)(const struct loop_sim_request *request);
    /* Does the task work of a request that its file has woken. NULL: the operation is tried again. */
    void (*woken)(struct loop_sim_request *request);
    uint32_t events; /* EPOLLIN or EPOLLOUT: what it waits for. 0: it does not wait */
    bool has_file;   /* the entry names one */
    bool is_slow;    /* always done by a worker thread */
    bool is_of_disk; /* takes the latency of the node's disk */
    bool selects;    /* may take a provided buffer */
    bool is_polled;  /* may be in a ring that polls devices */
};

/* One entry that has been submitted and is not complete. */
enum loop_sim_request_state {
    LOOP_SIM_REQUEST_NEW,
    LOOP_SIM_REQUEST_ARMED,  /* waits for its file */
    LOOP_SIM_REQUEST_RETRY,  /* in line to be tried */
    LOOP_SIM_REQUEST_TIMED,  /* waits for a time */
    LOOP_SIM_REQUEST_WORKER, /* done by a worker, by an event */
    LOOP_SIM_REQUEST_DONE    /* in line to be completed */
};

struct loop_sim_request {
    struct loop_list link, work_link;
    struct loop_sim_ring *ring;
    const struct loop_sim_ring_op *op;
    void (*run)(struct loop_sim_request *request); /* its task work */
    struct io_uring_sqe entry;
    struct loop_sim_file *file; /* NULL: none */
    enum loop_sim_request_state state;
    struct loop_sim_waiter waiter;
    struct loop_sim_event event;
    uint32_t poll_events; /* what a wake-up must have */
    uint32_t wake_mask;   /* of the first wake-up since the work was run last; 0: look at the file */
    unsigned wakes;       /* wake-ups since then */
    unsigned retries;
    bool is_multishot, is_nowait, has_waited, is_cancelled;
    bool is_drained;  /* the last receive has left nothing */
    bool is_counting; /* a timeout that completions may end */
    int32_t result;
    uint32_t flags; /* of the completion */
    size_t done;    /* bytes moved by earlier tries */
    void *data;     /* a copy that the operation has made; freed with the request */
    size_t n_data;
    struct loop_sim_ring_group *group; /* of the selected buffer */
    uint32_t target;                   /* of a timeout: how many completions end it */
};

/* ---- the rings of a node ---- */

/* Returns what a node has of io_uring. */
struct loop_sim_rings *loop_sim_rings_of(struct loop_sim_node *node);

/* Return how many bytes the queues of a ring lock, or buffers that are registered. */
size_t loop_sim_ring_queue_bytes(const struct io_uring_params *params);
size_t loop_sim_ring_vector_bytes(const struct iovec *vectors, size_t count);

/* Counts bytes that the rings of a node lock, in whole pages. Returns 0, or -ENOMEM when RLIMIT_MEMLOCK does not allow
 * them. */
int loop_sim_rings_lock(struct loop_sim_node *node, size_t bytes);
void loop_sim_rings_unlock(struct loop_sim_node *node, size_t bytes);

/* The same for bytes that one ring locks until it is closed. */
int loop_sim_ring_lock(struct loop_sim_ring *ring, size_t bytes);
void loop_sim_ring_unlock(struct loop_sim_ring *ring, size_t bytes);

#endif

/* What the ring does with nodes and worlds. */
extern const struct loop_sim_part loop_sim_ring_part;

#endif
