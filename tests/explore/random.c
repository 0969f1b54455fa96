/* SPDX-License-Identifier: ISC
 *
 * One or two nodes that each run a random program: operations of every kind in scopes that are cancelled, fail, or pass
 * their deadlines, on connections to each other and to themselves, pipes, files, directories, datagrams, threads,
 * signals and timers. Jobs are cancelled at chosen times, streams are paused, and descriptors are closed under them.
 * Nodes get signals, are paused, crash and start again, and the network is parted. Runs may lack memory and
 * descriptors.
 *
 * Judges: every job that was made is resumed exactly once, never from inside the call, and its handle is stale then;
 * its result is one that its kind of operation may have; -ECANCELED, -ETIMEDOUT and -EBADF have a cause; timers and
 * deadlines are not early; connections and pipes deliver exactly the bytes whose writing was reported, without a gap,
 * and end only when the other side has ended them; files have only what was written into them; a signal that is waited
 * for comes, and a watch misses no new directory. When faults have ended both programs end.
 */
#include "explore.h"
#include "random/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is read and written ---- */

void random_note_start(const struct op *op)
{
    loop_simulation_note("%s starts%s", random_kind_names[op->kind], op->is_started ? "" : ", without memory");
}

void random_received(struct end *end, const void *data, int64_t len)
{
    if (!explore_matches(data, (size_t)len, end->read_key, end->read_at)) {
        loop_world_fail(NULL, "other bytes than were written: at %u", (unsigned)end->read_at);
    }
    end->read_at += (uint64_t)len;
    if (end->peer && end->read_at > end->peer->write_at + end->peer->writing) {
        loop_world_fail(NULL, "more bytes than were written: %u", (unsigned)end->read_at);
    }
}

static void at_end(const struct end *end)
{
    const struct end *peer = end->peer;

    if (!peer) {
        return;
    }
    if (!peer->has_ended && !peer->is_closed) {
        loop_world_fail(NULL, "an end that nobody has sent");
    } else if (!peer->is_lost && !end->has_dropped && end->read_at < peer->write_at) {
        loop_world_fail(NULL, "an end that came too early: %u of %u", (unsigned)end->read_at, (unsigned)peer->write_at);
    }
}

/* Destroys a reader. The bytes that it still has go back, with memory and without. */
static void destroy_reader(struct op *op)
{
    struct loop_fd *fd = op->end->source->ops->fd(op->end->source);
    size_t left, unread = loop_fd_unread_length(fd);

    loop_reader_peek(op->reader, &left);
    loop_reader_destroy(op->reader);
    if (loop_fd_is_open(fd) && loop_fd_unread_length(fd) != unread + left) {
        loop_world_fail(NULL, "a reader that lost bytes: %zu", left);
    }
}

static void take_from_reader(struct op *op, size_t consumed)
{
    size_t len;
    const char *data = loop_reader_data(op->reader, &len);

    if (op->is_line ? len > consumed || len + 2 < consumed : len != consumed) {
        loop_world_fail(NULL, "a reader with other bytes than its result: %zu", len);
    }
    random_received(op->end, data, (int64_t)len);
    op->end->read_at += consumed - len;
}

static void take_from_memory(struct op *op, int64_t result)
{
    size_t len = 0;
    const void *data = loop_memory_data(op->sink, &len);

    if (len != (size_t)result || op->outcome.bytes != result) {
        loop_world_fail(NULL, "a copy of another length than its result: %zu", len);
    } else {
        random_received(op->end, data, result);
    }
}

/* Counts the bytes of a copy between two ends. Those who read them check them. */
static void finish_relay(struct op *op, int64_t result)
{
    uint64_t n = result > 0 ? (uint64_t)result : 0;

    op->end->read_at += n;
    op->other->write_at += n;
    op->other->is_writing = false;
    op->other->writing = 0;
    op->other->has_failed |= op->outcome.error != 0;
    if (n > 0) {
        loop_simulation_sometimes(op->outcome.error == 0 ? "bytes went on, and the end"
                                                         : "bytes went on, then no more");
    }
}

/* Returns the error that an end has reported to an operation that reads, or 0. A copy may have moved bytes before. */
static int64_t read_error_of(const struct op *op, int64_t result)
{
    if (op->kind == COPY) {
        return op->outcome.is_sink_error ? 0 : op->outcome.error;
    }
    return result < 0 ? result : 0;
}

static void finish_read(struct op *op, int64_t result)
{
    struct end *end = op->end;
    int64_t error = read_error_of(op, result);

    end->is_reading = false;
    end->has_dropped |= error != 0 && error != -ECANCELED && error != -ETIMEDOUT;
    switch (op->kind) {
    case READ:
    case READ_EXACT:
    case RING_READ:
        if (result > 0) {
            random_received(end, op->data, result);
        } else if (result == 0) {
            at_end(end);
        }
        break;
    case READER:
        if (result > 0) {
            take_from_reader(op, (size_t)result);
        }
        destroy_reader(op);
        break;
    case COPY:
        end->is_reading = op->outcome.lost_bytes > 0;
        end->has_dropped |= end->is_reading;
        if (op->other) {
            finish_relay(op, result);
        } else if (result > 0) {
            take_from_memory(op, result);
        }
        break;
    default: break;
    }
}

static void finish_write(struct op *op, int64_t result)
{
    struct end *end = op->end;

    end->is_writing = false;
    end->has_failed |= result < op->full;
    if (op->kind == FLUSH) {
        end->is_lost |= result != 0;
        end->write_at += end->writing;
        loop_writer_destroy(op->writer);
    } else {
        end->write_at += result > 0 ? (uint64_t)result : 0;
    }
    end->writing = 0;
}

/* The error of a TCP socket is reported once, also to an operation that writes. What had come before is gone then, and
 * the next read finds the end. */
static void note_reset(const struct op *op, int64_t result)
{
    bool is_part = op->kind > READER && op->kind <= FLUSH && result < op->full;
    int64_t error = op->outcome.error != 0 ? op->outcome.error : result;

    if (op->end && op->end->is_tcp && (is_part || error < 0) && error != -ECANCELED && error != -ETIMEDOUT) {
        op->end->has_dropped = true;
    }
    if (op->other && op->other->is_tcp && op->outcome.is_sink_error) {
        op->other->has_dropped = true;
    }
}

/* ---- the ends of operations ---- */

static void finish_other(struct op *op, int64_t result)
{
    switch (op->kind) {
    case CONNECT:
    case ACCEPT:
        if (result == 0) {
            bool is_ours = op->kind == CONNECT;
            random_add_end(op->group, op->flow, NULL, NULL, is_ours ? 1 : 2, is_ours ? 2 : 1);
        } else if (op->flow) {
            loop_world_fail(NULL, "a connection beside an error");
        }
        break;
    case CHUNK:
        if (result == 0) {
            loop_chunk_free(op->program->env->loop, op->memory);
        }
        break;
    case TAKE:
        if (result >= 0) {
            loop_fd_adopt(op->group->scope, (int)result);
        }
        break;
    case POST: loop_inbox_unref(op->memory); break;
    default: break;
    }
}

void random_on_end(void *arg, int64_t result)
{
    struct op *op = arg;

    random_judge(op, result);
    note_reset(op, result);
    if (op->kind <= READER) {
        finish_read(op, result);
    } else if (op->kind <= FLUSH) {
        finish_write(op, result);
    } else if (op->kind >= SAVE && op->kind <= WATCH) {
        random_finish_file(op, result);
    } else if (op->kind == SIGNAL) {
        random_finish_signal(op, result);
    } else {
        finish_other(op, result);
    }
}

void random_on_streamed(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct op *op = arg;

    if (op->has_ended || (chunk && op->is_paused)) {
        loop_world_fail(NULL, "a stream that goes on after its end, or while it is paused");
    } else if (chunk) {
        random_received(op->end, loop_chunk_data(chunk), result);
        if (op->kind == STREAM && loop_simulation_choose(8) == 7) {
            op->is_cancelled |= loop_cancel(op->program->env->loop, op->job) == 0;
        }
    } else {
        if (loop_scope_is_cancelled(op->group->scope)) {
            op->end->has_dropped = true;
        } else if (result == 0) {
            at_end(op->end);
        }
        random_on_end(op, result);
    }
}

void random_on_datagram(void *arg, int64_t result, const struct loop_datagram *datagram)
{
    struct op *op = arg;

    if (!datagram) {
        random_on_end(op, result);
    } else if (op->is_paused || op->has_ended) {
        loop_world_fail(NULL, "a datagram after the end, or while they are paused");
    } else if (datagram->data &&
               (result != (int64_t)datagram->len || !explore_matches(datagram->data, datagram->len, DATAGRAM_KEY, 0))) {
        loop_world_fail(NULL, "a datagram that was not sent");
    }
}

/* ---- programs ---- */

static void step(void *arg, int64_t result);

static void end_all(struct program *program)
{
    unsigned how = loop_simulation_choose(3);

    for (struct group *group = program->groups; group; group = group->next) {
        if (group->has_ended) {
            continue;
        }
        if (how == 0) {
            random_set_deadline(group, LOOP_SECOND);
        } else {
            loop_scope_cancel(group->scope);
        }
    }
}

static void step(void *arg, int64_t result)
{
    static const int64_t pauses[] = {0, 20 * LOOP_MICROSECOND, 300 * LOOP_MICROSECOND, 5 * LOOP_MILLISECOND,
                                     200 * LOOP_MILLISECOND};
    struct program *program = arg;

    for (unsigned n = result < 0 ? 0 : 2; n > 0; n--) {
        random_start(program);
    }
    if (result < 0 || ++program->n_steps >= program->most_steps ||
        !loop_sleep(program->env->scope, EXPLORE_ONE_OF(pauses), step, program)) {
        end_all(program);
    }
}

static int begin(struct loop_env *env, void *arg)
{
    struct program *program = arg;

    program->env = env;
    if (random_listen(program)) {
        step(program, 0);
    }
    return 0;
}

/* ---- the world ---- */

static void check(struct loop_world *world, void *arg)
{
    const struct program *program = arg;
    bool is_killed = loop_node_state(program->node) == LOOP_NODE_CRASHED; /* by a signal that was not blocked yet */

    for (const struct op *op = is_killed ? NULL : program->ops; op; op = op->next) {
        if (op->is_started && !op->has_ended) {
            loop_world_fail(world, "never resumed: %s", random_kind_names[op->kind]);
        }
        if (op->n_released != (op->is_started && op->kind == HANDED_WORK)) {
            loop_world_fail(world, "memory of work was handed back another number of times: %u", op->n_released);
        }
    }
    int status = loop_node_status(program->node);
    if (status != 0 && status != -ENOMEM && status != -EMFILE && status != -ENFILE) {
        loop_world_fail(world, "a loop ended with a wrong status: %d", status);
    }
}

/* Puts a file on the disk of the node, and so the directory of all files. */
static void put_file(const struct program *program)
{
    enum { SIZE = 5000 };
    char bytes[SIZE];

    explore_fill(bytes, sizeof bytes, FILE_KEY, 0);
    if (loop_node_put_file(program->node, "/data/one", bytes, sizeof bytes) != 0) {
        loop_world_fail(program->world, "a file cannot be put on the disk");
    }
}

/* Chooses of which kinds most operations are: those of a few kinds meet more often. */
static void choose_kinds(struct program *program)
{
    static const unsigned first[] = {READ, READ, READ, SLEEP, SAVE}, last[] = {SCOPE, SCOPE, TAKE, CHUNK, WATCH};
    unsigned family = loop_simulation_choose(sizeof first / sizeof *first);

    program->first_kind = first[family];
    program->n_kinds = last[family] - first[family] + 1;
}

static int build(struct loop_world *world, void *arg)
{
    static const struct loop_options options[] = {{0}, {.queue_depth = 4, .n_blocks = 2}, {.pool_threads = 1}};
    static const unsigned steps[] = {5, 20, 10, 60};
    struct program *programs[2];
    unsigned n_nodes = 1 + loop_simulation_choose(2);

    (void)arg;
    for (unsigned i = 0; i < n_nodes; i++) {
        struct program *program = programs[i] = loop_world_alloc(world, sizeof *program);
        program->world = world;
        program->n_nodes = n_nodes;
        program->most_steps = EXPLORE_ONE_OF(steps);
        choose_kinds(program);
        program->node = explore_node(
            world, (struct loop_node_options){
                       .main = begin, .arg = program, .options = &EXPLORE_ONE_OF(options), .may_fail = true});
        loop_world_at_end(world, check, program);
        if (loop_simulation_choose(2)) {
            put_file(program);
        }
    }
    explore_links(world);
    random_plan_events(world, programs, n_nodes);
    return 0;
}

int main(int argc, char **argv)
{
    return loop_simulation_main(argc, argv, build, NULL,
                                &(struct loop_simulation_options){.faults = LOOP_FAULT_ALL,
                                                                  .faults_end_ns = 30 * LOOP_SECOND,
                                                                  .liveness_ns = 60 * LOOP_SECOND,
                                                                  .shrink_limit_ns = 60 * LOOP_SECOND,
                                                                  .marks = random_marks()});
}
