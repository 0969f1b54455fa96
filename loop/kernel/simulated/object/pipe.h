/* SPDX-License-Identifier: ISC
 *
 * Pipes: what FIFOs, splice(2) and fcntl(2) know of them.
 */
#ifndef LOOP_KERNEL_SIMULATED_OBJECT_PIPE_H
#define LOOP_KERNEL_SIMULATED_OBJECT_PIPE_H

#include <loop/kernel/simulated/object/object.h>

enum { LOOP_SIM_PAGE_BYTES = 4096 };

/* The sides of a pipe. */
enum loop_sim_side { LOOP_SIM_READERS, LOOP_SIM_WRITERS };

/* A page of a pipe. */
struct loop_sim_page {
    unsigned char *data; /* NULL: not yet allocated */
    unsigned begin, end; /* of what is unread */
    bool is_packet;      /* a read takes it as a whole, and a write begins another page */
    bool is_fixed;       /* spliced: a write begins another page */
};

struct loop_sim_pipe {
    struct loop_sim_page *pages;
    unsigned size;        /* a power of two: page n is pages[n % size] */
    unsigned first, next; /* the pages in use: from `first` on, below `next` */
    struct loop_list sides[2];
    uint64_t opened[2];                  /* how many files each side has had */
    struct loop_sim_queue opened_by_one; /* who waits in open(2) for the other side */
    struct loop_sim_fifo *fifo;          /* NULL: a pipe without a name */
    ino_t inode;
};

/* A file of a pipe: it reads, writes, or does both. */
struct loop_sim_pipe_end {
    struct loop_sim_file file;
    struct loop_sim_pipe *pipe;
    struct loop_list links[2]; /* in the sides of the pipe */
    uint64_t writers_before;   /* how many had been there when it was opened: without more, there is no EPOLLHUP */
};

static inline struct loop_sim_pipe *loop_sim_pipe_of(struct loop_sim_file *file)
{
    return ((struct loop_sim_pipe_end *)file)->pipe;
}

/* Makes an empty pipe without files. */
struct loop_sim_pipe *loop_sim_pipe_make(ino_t inode);

/* Makes a file of a pipe. */
struct loop_sim_file *loop_sim_pipe_open(struct loop_sim_node *node, struct loop_sim_pipe *pipe, int flags);

/* Wakes those who wait for the files of a side. */
void loop_sim_pipe_wake(struct loop_sim_pipe *pipe, enum loop_sim_side side, uint32_t events);

static inline bool loop_sim_pipe_has(const struct loop_sim_pipe *pipe, enum loop_sim_side side)
{
    return !loop_list_is_empty(&pipe->sides[side]);
}

extern const struct loop_sim_file_kind loop_sim_pipe_kind;

/* Returns the size of a pipe in bytes (F_GETPIPE_SZ), or sets it (F_SETPIPE_SZ). The file must be a pipe's. */
int loop_sim_pipe_size(struct loop_sim_file *file);
int loop_sim_pipe_resize(struct loop_sim_file *file, int bytes);

/* Returns whether the ends are of one pipe. */
bool loop_sim_pipe_is_same(const struct loop_sim_file *one, const struct loop_sim_file *other);

/* Returns the oldest bytes of a pipe that are in one piece, and their number; 0 and NULL when it is empty. `has_ended`
 * tells whether nothing more can come. */
const void *loop_sim_pipe_peek(struct loop_sim_file *file, size_t *len, bool *has_ended);

/* Removes bytes that loop_sim_pipe_peek has returned. A page that this frees wakes the writers if the pipe was full, as
 * a read does, or anyway, as a splice does. */
void loop_sim_pipe_drop(struct loop_sim_file *file, size_t len, bool wakes_anyway);

/* Returns how many bytes loop_sim_pipe_append may append: those of the free pages. */
size_t loop_sim_pipe_room(struct loop_sim_file *file, bool *has_readers);

/* Appends bytes in pages of their own. */
void loop_sim_pipe_append(struct loop_sim_file *file, const void *data, size_t len);

/* The pipe has become one of packets. */
void loop_sim_pipe_make_packets(struct loop_sim_file *file);

#endif
