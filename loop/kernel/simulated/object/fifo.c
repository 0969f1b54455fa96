/* SPDX-License-Identifier: ISC
 *
 * FIFOs: pipes with a name, which any number of files may read and write; and the door's pipe2(2).
 */
#include <loop/kernel/simulated/object/fifo.h>
#include <loop/kernel/simulated/object/pipe.h>
#include <loop/kernel/simulated/object/signal.h>

#include <loop/kernel/file.h>

/* ---- FIFOs ---- */

/* Returns which side a file waits for that is opened without O_NONBLOCK. */
static enum loop_sim_side other_side(const struct loop_sim_file *file)
{
    return (file->flags & O_ACCMODE) == O_RDONLY ? LOOP_SIM_WRITERS : LOOP_SIM_READERS;
}

struct loop_sim_file *loop_sim_fifo_open(struct loop_sim_node *node, struct loop_sim_fifo *fifo, int flags, int *error)
{
    bool is_write_only = (flags & O_ACCMODE) == O_WRONLY;
    bool has_readers = fifo->pipe && loop_sim_pipe_has(fifo->pipe, LOOP_SIM_READERS);
    if (is_write_only && flags & O_NONBLOCK && !has_readers) {
        *error = -ENXIO;
        return NULL;
    }
    if (!fifo->pipe) {
        fifo->pipe = loop_sim_pipe_make(0);
        fifo->pipe->fifo = fifo;
    }
    struct loop_sim_pipe *pipe = fifo->pipe;
    uint64_t writers = pipe->opened[LOOP_SIM_WRITERS];
    bool has_writers = loop_sim_pipe_has(pipe, LOOP_SIM_WRITERS);
    struct loop_sim_file *file = loop_sim_pipe_open(node, pipe, flags);
    ((struct loop_sim_pipe_end *)file)->writers_before = has_writers ? 0 : writers;
    loop_sim_queue_wake(&pipe->opened_by_one, 0);
    loop_sim_pipe_wake(pipe, LOOP_SIM_READERS, 0);
    return file;
}

int loop_sim_fifo_wait(struct loop_sim_file *file)
{
    if (file->kind != &loop_sim_pipe_kind || file->flags & O_NONBLOCK || (file->flags & O_ACCMODE) == O_RDWR) {
        return 0;
    }
    struct loop_sim_pipe *pipe = loop_sim_pipe_of(file);
    enum loop_sim_side side = other_side(file);
    uint64_t before = pipe->opened[side];
    if (loop_sim_pipe_has(pipe, side)) {
        return 0;
    }
    struct loop_sim_hold *hold = loop_sim_file_hold(file);
    loop_sim_file_unref(file); /* should the node crash meanwhile, the hold is dropped, but not the caller's use */
    int result = 0;
    while (result == 0 && pipe->opened[side] == before) {
        result = loop_sim_wait(&pipe->opened_by_one, LOOP_SIM_NEVER);
        if (result == -EINTR && loop_sim_signals_handle()) {
            result = 0;
        }
    }
    (void)loop_sim_file_ref(file);
    loop_sim_file_let_go(hold);
    return pipe->opened[side] == before ? result : 0;
}

/* ---- pipes ---- */

void loop_sim_pipe_create(struct loop_sim_node *node, int flags, struct loop_sim_file *files[2])
{
    struct loop_sim_pipe *pipe = loop_sim_pipe_make(loop_sim_file_next_inode(node));
    files[0] = loop_sim_pipe_open(node, pipe, O_RDONLY | (flags & O_NONBLOCK));
    files[1] = loop_sim_pipe_open(node, pipe, O_WRONLY | (flags & (O_NONBLOCK | O_DIRECT)));
    if (flags & O_DIRECT) {
        files[0]->whole_bytes = SIZE_MAX; /* a read of less would lose the rest of a packet */
    }
}

static int make_pipe(int numbers[2], int flags)
{
    if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) {
        return -EINVAL;
    }
    struct loop_sim_node *node = loop_sim_here();
    struct loop_sim_file *files[2];
    loop_sim_pipe_create(node, flags, files);
    int from = loop_sim_file_install(node, files[0], 0, flags & O_CLOEXEC);
    int to = from < 0 ? from : loop_sim_file_reserve(node, 0);
    if (to < 0) {
        loop_sim_file_unref(files[1]);
        if (from >= 0) {
            (void)loop_sim_file_close(node, from);
        }
        return to;
    }
    loop_sim_file_put(node, to, files[1], flags & O_CLOEXEC);
    numbers[0] = from;
    numbers[1] = to;
    return 0;
}

int loop_kernel_pipe2(int numbers[2], int flags)
{
    return (int)loop_sim_return(make_pipe(numbers, flags));
}
