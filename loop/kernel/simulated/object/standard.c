/* SPDX-License-Identifier: ISC
 *
 * How a process begins and ends, with its descriptors and signals. It begins with standard streams: pipes, as between
 * the commands of a shell. Their other ends belong to the world, which writes the node's input as fast as the node
 * reads it, and keeps the node's output.
 */
#include <loop/kernel/simulated/object/fifo.h>
#include <loop/kernel/simulated/object/pipe.h>
#include <loop/kernel/simulated/object/process.h>
#include <loop/kernel/simulated/object/signal.h>
#include <loop/kernel/simulated/object/standard.h>

#include <assert.h>
#include <string.h>

/* One of the streams. */
struct stream {
    struct loop_sim_waiter waiter; /* in the queue of the world's end */
    struct loop_sim_file *end;     /* the world's; NULL: closed */
    char *data;
    size_t len, size; /* of `data`: with room for a 0 byte behind `len` */
    size_t done;      /* of the input: written to the pipe */
};

struct loop_sim_standard {
    struct stream streams[3];
};

/* Returns the standard streams of a node; makes them when it has none yet. */
static struct loop_sim_standard *standard_of(struct loop_sim_node *node)
{
    struct loop_sim_files *files = loop_sim_files_of(node);
    if (!files->standard) {
        files->standard = loop_sim_alloc(sizeof *files->standard);
    }
    return files->standard;
}

static void append(struct stream *stream, const void *data, size_t len)
{
    if (stream->len + len >= stream->size) {
        stream->size = 2 * (stream->len + len) + 1;
        stream->data = loop_sim_realloc(stream->data, stream->size);
    }
    memcpy(stream->data + stream->len, data, len);
    stream->len += len;
    stream->data[stream->len] = 0;
}

static void close_end(struct stream *stream)
{
    if (stream->end) {
        struct loop_sim_file *end = stream->end;
        stream->end = NULL;
        loop_sim_queue_remove(&stream->waiter);
        loop_sim_file_unref(end);
    }
}

/* Writes to the pipe what it has room for. After the last byte the pipe is closed. */
static void feed(struct loop_sim_waiter *waiter, uint32_t events)
{
    (void)events;
    struct stream *stream = LOOP_CONTAINER(waiter, struct stream, waiter);
    while (stream->end && stream->done < stream->len) {
        struct iovec one = {stream->data + stream->done, stream->len - stream->done};
        bool has_readers;
        if (loop_sim_pipe_room(stream->end, &has_readers) == 0 && has_readers) {
            return;
        }
        struct loop_sim_move move = {.iov = &one, .n_iov = 1, .offset = LOOP_SIM_POSITION};
        ssize_t n = has_readers ? stream->end->kind->write(stream->end, &move) : -EPIPE;
        stream->done = n > 0 ? stream->done + (size_t)n : stream->len;
    }
    close_end(stream);
}

/* Keeps what the node has written. */
static void drain(struct loop_sim_waiter *waiter, uint32_t events)
{
    (void)events;
    struct stream *stream = LOOP_CONTAINER(waiter, struct stream, waiter);
    const void *data;
    size_t len;
    bool has_ended;
    while ((data = loop_sim_pipe_peek(stream->end, &len, &has_ended))) {
        append(stream, data, len);
        loop_sim_pipe_drop(stream->end, len, false);
    }
}

static void open_stream(struct loop_sim_node *node, int number)
{
    struct stream *stream = &standard_of(node)->streams[number];
    bool is_input = number == 0;
    struct loop_sim_file *files[2];
    loop_sim_pipe_create(node, 0, files);
    stream->end = files[is_input ? 1 : 0];
    stream->waiter.wake = is_input ? feed : drain;
    loop_sim_queue_add(&stream->end->queue, &stream->waiter);
    loop_sim_file_put(node, number, files[is_input ? 0 : 1], 0);
    if (is_input) {
        stream->done = 0;
        feed(&stream->waiter, 0);
    } else {
        stream->len = 0;
    }
}

static void open_streams(struct loop_sim_node *node)
{
    for (int number = 0; number < 3; number++) {
        open_stream(node, number);
    }
}

static void close_streams(struct loop_sim_node *node)
{
    for (int number = 0; number < 3; number++) {
        close_end(&standard_of(node)->streams[number]);
    }
}

/* Frees what the streams have read and written. NULL does nothing. */
static void destroy_streams(struct loop_sim_standard *standard)
{
    for (int number = 0; standard && number < 3; number++) {
        assert(!standard->streams[number].end);
        loop_sim_free(standard->streams[number].data);
    }
    loop_sim_free(standard);
}

void loop_sim_standard_input(struct loop_sim_node *node, const void *data, size_t len)
{
    append(&standard_of(node)->streams[0], data, len);
}

const char *loop_sim_standard_output(const struct loop_sim_node *node, int number, size_t *len)
{
    const struct loop_sim_standard *standard = node->files ? node->files->standard : NULL;
    const struct stream *stream = standard && (number == 1 || number == 2) ? &standard->streams[number] : NULL;
    *len = stream ? stream->len : 0;
    return stream && stream->len > 0 ? stream->data : "";
}

/* ---- the life of a node ---- */

static void started(struct loop_sim_node *node)
{
    struct loop_sim_files *files = loop_sim_files_of(node);
    files->random = (uint64_t)node->index << 32 | node->incarnation;
    open_streams(node);
    loop_sim_signals_start(node);
}

/* Fibers that waited are gone: their uses are dropped here. */
static void stopped(struct loop_sim_node *node, bool has_crashed)
{
    (void)has_crashed;
    struct loop_sim_files *files = loop_sim_files_of(node);
    for (unsigned number = 0; number < files->size; number++) {
        (void)loop_sim_file_close(node, (int)number);
    }
    while (!loop_list_is_empty(&files->held)) {
        loop_sim_file_let_go(LOOP_CONTAINER(loop_list_first(&files->held), struct loop_sim_hold, link));
    }
    close_streams(node);
    loop_sim_free(files->table);
    files->table = NULL;
    files->size = 0;
    files->lowest_free = 0;
    loop_sim_signals_stop(node);
}

static void destroyed(struct loop_sim_node *node)
{
    if (node->files) {
        destroy_streams(node->files->standard);
        loop_sim_free(node->files);
        node->files = NULL;
    }
}

const struct loop_sim_part loop_sim_object_part = {
    .node_started = started, .node_stopped = stopped, .node_destroyed = destroyed};
