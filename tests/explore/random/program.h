/* SPDX-License-Identifier: ISC
 *
 * The random programs of the world random: their operations, and how they are started.
 */
#ifndef TESTS_EXPLORE_RANDOM_H
#define TESTS_EXPLORE_RANDOM_H

#include <fs/fs.h>
#include <loop/reader.h>
#include <loop/region.h>
#include <loop/writer.h>
#include <net/net.h>

/* The keys of the bytes of saved files, of datagrams, and of the first file that is opened to be written. */
enum { FILE_KEY = 7, DATAGRAM_KEY = 9, OWN_FILE_KEY = 100, LARGEST = 20000 };

/* Operations. Those up to READER read from an end, those up to FLUSH write to one, those up to TAKE need one. Those
 * from PREAD to FILE_SYNC need an open file, and those from SAVE to WATCH are all of files. */
enum kind {
    READ,
    READ_EXACT,
    RING_READ,
    STREAM,
    WAIT_READABLE,
    COPY,
    READER,
    WRITE,
    TWO_WRITES,
    WRITEV,
    RING_WRITE,
    COPY_IN,
    FLUSH,
    SHUTDOWN,
    DRAIN,
    POLL,
    TAKE,
    SLEEP,
    WORK,
    HANDED_WORK,
    POST,
    PROMISE,
    ON_CANCEL,
    SIGNAL,
    CHUNK,
    CONNECT,
    ACCEPT,
    SAVE,
    LOAD,
    OPEN,
    LIST,
    MKDIRS,
    MKDIR,
    RMDIR,
    RMTREE,
    UNLINK,
    RENAME,
    COPY_FILE,
    PREAD,
    PWRITE,
    FILE_SYNC,
    WATCH,
    SEND,
    RECEIVE,
    SCOPE,
    N_KINDS
};

/* The directories that programs make and remove. */
enum { RANDOM_DIRECTORIES = 2 };

/* Choices that are drawn for each operation. */
enum { RANDOM_DICE = 6 };

/* How operations end. */
enum ending {
    DONE,
    PARTLY,
    AT_END,
    DONE_THOUGH_CANCELLED,
    CANCELLED_AT_ONCE,
    CANCELLED_LATER,
    SCOPE_CANCELLED,
    CLOSED,
    TIMED_OUT,
    RESET,
    REFUSED,
    NO_MEMORY,
    NO_DESCRIPTOR,
    FAILED,
    N_ENDINGS
};

/* A scope of a program. */
struct group {
    struct program *program;
    struct loop_scope *scope;
    int64_t deadline_ns;
    bool has_ended;
    struct end *ends;
    struct file *files;
    struct group *next;
};

/* One end of a connection or a pipe. */
struct end {
    struct group *group;
    struct loop_flow *flow; /* NULL: of a pipe */
    struct loop_source *source;
    struct loop_sink *sink;
    struct end *peer; /* where it is in the same program and known */
    uint64_t read_key, read_at, write_key, write_at, writing;
    bool is_reading, is_writing;
    bool is_tcp; /* of a pair */
    bool is_closed;
    bool has_failed;  /* a write to it was not complete */
    bool has_ended;   /* its output: closed, shut down, or about to be */
    bool is_lost;     /* how much was written is not known */
    bool has_dropped; /* a cancelled stream may have dropped bytes */
    struct end *next;
};

/* A file that the program has created, and has open. Its bytes are those of the stream `key`, without holes. */
struct file {
    struct loop_flow *flow;
    uint64_t key;
    int64_t written_bytes; /* what has been reported as written */
    int64_t most_bytes;    /* its largest possible size */
    bool is_writing, is_closed;
    struct file *next;
};

/* An operation. It is kept until the end of the world. */
struct op {
    struct program *program;
    struct group *group;
    struct end *end;
    struct end *other; /* of a copy: what it writes to; NULL: memory */
    enum kind kind;
    loop_job job;
    bool is_started, has_ended, is_cancelled, is_cancelled_at_once;
    int64_t full;                         /* the largest legal result, > 0 where the result is a length */
    int64_t not_before_ns;                /* the earliest time for it to succeed */
    int64_t deadline_ns;                  /* of an inner scope */
    bool is_line;                         /* of a reader: its result counts the end of the line too */
    bool is_paused;                       /* of a stream */
    int64_t part_full[2], part_result[2]; /* of two writes, one behind the other */
    bool has_part_ended[2];
    struct file *file;
    int64_t offset, sure_bytes; /* of a read: where, and the file's least size when it began */
    unsigned number;            /* operations are numbered as they are started */
    int signal;
    unsigned directory; /* of RANDOM_DIRECTORIES: the one that it makes */
    int64_t due_ns;     /* of a signal: when it was sent, LOOP_NEVER if it was not; of a watch: see n_due */
    bool has_begun;     /* of a watch: its first event has come */
    bool is_doubtful;   /* of a watch: it has lost events, as it may */
    unsigned begun_at;  /* of a watch: the number of the first operation after it began */
    unsigned n_due[RANDOM_DIRECTORIES], n_seen[RANDOM_DIRECTORIES]; /* of a watch: new directories, and their events */
    char *data;
    struct iovec iov[2];
    struct loop_flow *flow;
    struct loop_sink *sink;
    struct loop_reader *reader;
    struct loop_writer *writer;
    struct loop_copy_outcome outcome;
    void *memory;
    int64_t work_ns; /* how long work takes */
    bool is_working;
    unsigned n_released; /* how often its memory was handed back */
    struct op *next;
};

/* What a node runs. */
struct program {
    struct loop_world *world;
    struct loop_node *node;
    struct loop_env *env;
    unsigned n_nodes, n_steps, most_steps, n_running, n_files, n_ops;
    unsigned dice[RANDOM_DICE], n_picked; /* what was drawn for what is done now */
    bool cancels_next;
    unsigned first_kind, n_kinds; /* of its operations most are one of these */
    unsigned n_crashes;
    bool may_have_holes;                  /* two operations that write to a path ran at once */
    bool is_data_removed;                 /* the directory of all files was, or may have been */
    int64_t resumed_ns;                   /* when the last pause of its node ended */
    unsigned signals_heard, signals_sent; /* bits 1 << number: waited for in this loop; sent to it */
    struct group *groups;
    struct group *listening;
    struct loop_listener *listener;
    struct loop_datagram_socket *socket;
    struct op *ops; /* the last one first */
};

/* The name of each kind of operation. */
extern const char *const random_kind_names[N_KINDS];

/* Names the marks. Call it once, before a search. Returns those that a search must reach, and NULL behind them. */
const char *const *random_marks(void);

/* Marks that an operation has ended in this way. */
void random_mark(enum kind kind, enum ending ending);

/* Opens what a program listens on. Returns false where it cannot; then the program ends. */
bool random_listen(struct program *program);

/* Starts an operation, or cancels, closes or ends something, by choice. */
void random_start(struct program *program);

/* Starts an operation of files. */
loop_job random_start_file(struct op *op);

/* Returns an open file that the operation may use, or NULL. */
struct file *random_choose_file(struct group *group, enum kind kind);

/* Takes and checks what an operation of files has brought. */
void random_finish_file(struct op *op, int64_t result);

/* Waits for a signal. */
loop_job random_start_signal(struct op *op);

/* Checks the end of a wait for a signal. */
void random_finish_signal(const struct op *op, int64_t result);

/* Has the world signal, pause, crash, restart and part the nodes at chosen times. */
void random_plan_events(struct loop_world *world, struct program *const *programs, unsigned n_programs);

/* Checks and counts the end of an operation. */
void random_judge(struct op *op, int64_t result);

/* Returns one of n by what was drawn; 0 is the ordinary thing. */
unsigned random_pick(struct program *program, unsigned n);

#define RANDOM_ONE_OF(program, values) ((values)[random_pick(program, sizeof(values) / sizeof((values)[0]))])

/* Adds an end of a connection, or of a pipe where `flow` is NULL. */
struct end *random_add_end(struct group *group, struct loop_flow *flow, struct loop_source *source,
                           struct loop_sink *sink, uint64_t write_key, uint64_t read_key);

/* Adds two ends that are connected, of a pipe or of sockets. */
void random_add_pair(struct group *group);

/* Returns an end that is open and has what the operation needs, or NULL. */
struct end *random_choose_end(struct group *group, enum kind kind);

/* Closes an end. */
void random_close_end(struct end *end);

/* Starts an operation on its end. */
loop_job random_start_on_end(struct op *op);

/* Sets or moves the deadline of a scope, unless it has passed or the scope is cancelled. */
void random_set_deadline(struct group *group, int64_t duration_ns);

/* Notes in the trace that an operation was started, or could not be. */
void random_note_start(const struct op *op);

/* The continuation of every operation; `op` is its struct op. */
void random_on_end(void *op, int64_t result);

/* The continuation of every stream; `op` is its struct op. */
void random_on_streamed(void *op, int64_t result, struct loop_chunk *chunk);

/* The continuation of every datagram stream; `op` is its struct op. */
void random_on_datagram(void *op, int64_t result, const struct loop_datagram *datagram);

/* The continuation of every watch; `op` is its struct op. */
void random_on_watched(void *op, int64_t result, const struct loop_watch_event *event);

/* Checks and counts bytes that an end has received. */
void random_received(struct end *end, const void *data, int64_t len);

#endif
