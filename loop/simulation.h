/* SPDX-License-Identifier: ISC
 *
 * The simulated kernel. A program that is linked with noria::simulated in place of noria::noria runs with its peers in
 * one thread, in virtual time, on a network and disks that fail as the run decides.
 *
 * A world is made of nodes. A node is a main function as loop_run calls it, with a host name, addresses, a disk and
 * clocks of its own. Everything that a real kernel leaves open is chosen: which node runs first, how long a packet
 * takes, whether a read is short, what of a file survives a crash. The list of choices is the run: the same list gives
 * the same run, byte for byte. Choice 0 is always the ordinary outcome, so the empty list is the most ordinary run.
 *
 *     static int build(struct loop_world *world, void *arg)
 *     {
 *         loop_world_add_node(world, &(struct loop_node_options){.name = "server", .main = server, .is_daemon = true});
 *         loop_world_add_node(world, &(struct loop_node_options){.name = "client", .main = client});
 *         return 0;
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         return loop_simulation_main(argc, argv, build, NULL, NULL);
 *     }
 *
 * searches 1000 runs for one that fails, and prints that one: the seed, the choices that matter, and a trace. The
 * server listens on tcp:0.0.0.0:7000 as anywhere; the client connects to tcp:10.0.0.1:7000, the address of the first
 * node. Time passes only while every node waits.
 *
 * What is simulated is the kernel below the library, not the C library: a program's own calls of socket, open, sleep,
 * fork or pthread_create go to the real kernel, and then a run is no longer determined by its choices. The same happens
 * when the program reads the C library's clocks or random numbers, or decides by addresses of memory. Descriptors are
 * numbers of the simulated kernel: to pass one of the real kernel to the library is a mistake. The simulated kernel has
 * what the library asks of a kernel, and refuses the rest.
 *
 * Static variables are shared by all nodes and all runs. The state of a node therefore goes through `arg`; the world
 * function, which is called once for each run, allocates it by loop_world_alloc. When a node crashes, none of its
 * continuations runs any more, and memory that it has allocated by malloc is never freed: use loop_world_alloc or
 * loop_scope_alloc for memory that is in use while a node may crash.
 *
 * An assertion of <assert.h> that fails, a call of abort and a segmentation fault inside a world fail the run, and do
 * not end the process. The reason quotes the last line that the node has written to standard error. With
 * AddressSanitizer or ThreadSanitizer a segmentation fault ends the process with their report.
 *
 * Mistakes in calls of this header are detected in every build: NULL in place of a world, a node or another argument,
 * unless the comment of the function allows it, and whatever else the comment forbids. In a run they fail it, with a
 * reason that names the call. Outside of a run they abort the process, after that line on standard error.
 *
 * All functions belong to the thread that runs the world, and a process runs one world at a time: to search on several
 * processors, start several processes. Needs the GNU C library.
 */
#ifndef LOOP_SIMULATION_H
#define LOOP_SIMULATION_H

#include <loop/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

struct loop_simulation_trace;
struct loop_world;
struct loop_node;

/* ---- worlds ---- */

/* Builds a world before its time begins: adds nodes, links, rules and events. Called once for each run. A value other
 * than 0 fails the run. It may choose, for example how many clients there are. It must not keep `world`, which is freed
 * after the run. */
typedef int loop_world_fn(struct loop_world *world, void *arg);

/* Called at a time of a world, outside of all nodes. It may add, crash, pause and restart nodes, change links and
 * rules, and set further events. It must not call functions that need a loop. */
typedef void loop_world_event_fn(struct loop_world *world, void *arg);

/* Calls fn(world, arg) once, at a virtual time in nanoseconds since the start of the world. A time in the past means
 * now, after the caller has returned. */
LOOP_API void loop_world_at(struct loop_world *world, int64_t time_ns, loop_world_event_fn *fn, void *arg);

/* Calls fn(world, arg) after the run, unless the run has failed: to check conditions over all nodes, their files and
 * their output. `fn` fails the run by loop_world_fail. Functions are called in the order in which they were added. */
LOOP_API void loop_world_at_end(struct loop_world *world, loop_world_event_fn *fn, void *arg);

/* Returns the virtual time since the start of the world, in nanoseconds. */
LOOP_API int64_t loop_world_now(const struct loop_world *world);

/* Returns zeroed memory that is freed with the world, aligned for any object. Never returns NULL: the run fails when
 * there is no memory. */
LOOP_API void *loop_world_alloc(struct loop_world *world, size_t size);

/* Fails the run, which ends after the current step; the call returns. Only the first failure of a run counts. The
 * formatted reason is cut to 255 bytes. A search shrinks the choices to fewer that fail with the same reason, compared
 * up to the first colon: put numbers and other details behind a colon, as in "lost an update: 3 of 4". `world` may be
 * NULL: the world that runs. Does nothing when none does. */
LOOP_API void loop_world_fail(struct loop_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds a host name and its address to the table by which all nodes resolve names. The names of nodes are in it already.
 * Returns 0, or -EINVAL for an empty name or a text that is no address. Texts are copied. */
LOOP_API int loop_world_add_name(struct loop_world *world, const char *name, const char *address);

/* ---- nodes ---- */

/* The options of a node. A field that is zero has its default. All texts are copied. */
struct loop_node_options {
    const char *name LOOP_ZERO; /* its host name, up to 31 bytes; default: "node1" for the first node, ... */
    const char *const *addresses LOOP_ZERO;       /* ends with NULL; default: 10.0.0.N and fd00::N for the N-th node */
    loop_main_fn *main LOOP_ZERO;                 /* what loop_run_with calls in it */
    void *arg LOOP_ZERO;                          /* passed to `main`, also after a restart */
    const struct loop_options *options LOOP_ZERO; /* of its loop; copied. Default: those of loop_run_with */
    /* With LOOP_BACKEND_EPOLL its kernel has no io_uring, otherwise it has. A program whose options demand io_uring
     * gets the error of loop_run_with when there is none. */
    enum loop_backend backend LOOP_ZERO;
    uint32_t ring_features_masked LOOP_ZERO; /* IORING_FEAT_... that its ring lacks, io_uring_setup(2) */
    uint32_t ring_setup_refused LOOP_ZERO;   /* IORING_SETUP_... that its ring refuses */
    bool ring_refuses_clones LOOP_ZERO;      /* its ring does not clone registered buffers, as before Linux 6.12 */
    int64_t wall_offset_ns LOOP_ZERO;        /* of its wall clock; its monotonic clock is that of the world */
    int64_t wall_drift_ppb LOOP_ZERO;        /* how much faster its wall clock goes, in 10^-9 */
    uint64_t disk_size_bytes LOOP_ZERO;      /* 0: no limit; beyond it writes end with -ENOSPC */
    int64_t disk_latency_ns LOOP_ZERO;       /* of each operation that reaches the disk */
    bool is_daemon LOOP_ZERO;                /* the run does not wait for its end: a server that runs for ever */
    bool may_fail LOOP_ZERO;                 /* a status of loop_run other than 0 does not fail the run */
};

/* Adds a node. It starts when the world function has returned, or at once when the world already runs. Returns NULL and
 * fails the run when `main` is missing, or a name or an address is wrong or in use. The world owns the node. */
LOOP_API struct loop_node *loop_world_add_node(struct loop_world *world, const struct loop_node_options *options);

/* Returns the node that runs, or NULL outside of one: in a world function, an event, a program without a world. */
LOOP_API struct loop_node *loop_node_here(void);

/* Returns the world of a node. */
LOOP_API struct loop_world *loop_node_world(const struct loop_node *node);

/* Returns the name of a node, valid as long as its world. */
LOOP_API const char *loop_node_name(const struct loop_node *node);

/* Returns the `number`-th address of a node as text without a port, "10.0.0.1", counted from 0; NULL beyond the last.
 * Valid as long as its world. */
LOOP_API const char *loop_node_address(const struct loop_node *node, size_t number);

/* Ends a node at once, as a loss of power does. None of its continuations runs any more. Its peers get an error when
 * they next send to it. Its disk keeps what was synced, and by choice parts of the rest. Does not return when the node
 * calls it for itself. Does nothing for a node that does not run. */
LOOP_API void loop_node_crash(struct loop_node *node);

/* Starts a node that has ended or crashed, on its disk as it is. Does nothing for one that runs or is paused. */
LOOP_API void loop_node_restart(struct loop_node *node);

/* Pauses a node: none of its continuations runs, and packets and timers wait for it. Does nothing for a node that does
 * not run. */
LOOP_API void loop_node_pause(struct loop_node *node);

/* Ends the pause of a node. Does nothing for a node that is not paused. */
LOOP_API void loop_node_resume(struct loop_node *node);

/* The state of a node. */
enum loop_node_state {
    LOOP_NODE_NEW,     /* it has not started */
    LOOP_NODE_RUNNING, /* it runs, or waits */
    LOOP_NODE_PAUSED,  /* loop_node_pause */
    LOOP_NODE_ENDED,   /* loop_run has returned in it */
    LOOP_NODE_CRASHED  /* loop_node_crash, or a signal */
};

/* Returns the state of a node. */
LOOP_API enum loop_node_state loop_node_state(const struct loop_node *node);

/* Returns what loop_run returned in the node when it last ended; 0 before. */
LOOP_API int loop_node_status(const struct loop_node *node);

/* Appends bytes to what a node reads from standard input; then input ends. Copied. Without a call input is empty. Must
 * not be called while the node runs. */
LOOP_API void loop_node_set_input(struct loop_node *node, const void *data, size_t len);

/* Returns what a node has written to standard output (number 1) or standard error (2) since it started, and its length
 * in `*len`. Valid until the node runs again. */
LOOP_API const char *loop_node_output(const struct loop_node *node, int number, size_t *len);

/* Stores a file on the disk of a node, with its directories. It is durable at once, and replaces a file of that name.
 * Returns 0 or a negative errno of open(2) or write(2). */
LOOP_API int loop_node_put_file(struct loop_node *node, const char *path, const void *data, size_t len);

/* Reads a file of the disk of a node, as programs see it now. Stores the content in `*data`, memory of the world, and
 * its length in `*len`. Returns 0 or a negative errno of open(2) or read(2). */
LOOP_API int loop_node_get_file(struct loop_node *node, const char *path, void **data, size_t *len);

/* Sends a signal, 1 to 64, to a node that runs, as kill(2). One that ends a process by default crashes the node unless
 * the program handles it. */
LOOP_API void loop_node_signal(struct loop_node *node, int signal);

/* ---- the network ---- */

/* How bytes go from one node to another. Values that are set apply whatever faults are allowed. A jitter, loss,
 * duplication or reordering of 0 is not set: with LOOP_FAULT_NETWORK each run draws its own, without it there is
 * none. */
struct loop_link {
    int64_t delay_ns LOOP_ZERO;       /* from sending to delivery */
    int64_t jitter_ns LOOP_ZERO;      /* by choice up to this much is added; 0: not set, up to 20 ms */
    uint64_t bytes_per_s LOOP_ZERO;   /* 0: no limit */
    size_t queue_bytes LOOP_ZERO;     /* room for bytes that bytes_per_s delays; 0: 256 KiB */
    uint32_t loss_ppm LOOP_ZERO;      /* datagrams lost, of 10^6; lost bytes of a stream are sent again, later */
    uint32_t duplicate_ppm LOOP_ZERO; /* datagrams that arrive twice, of 10^6 */
    uint32_t reorder_ppm LOOP_ZERO;   /* datagrams that later ones overtake, of 10^6 */
};

/* Sets the link from one node to another, in this direction only. NULL stands for every node. Of several links that
 * match a packet the last one that was set applies. A link that is not set delivers after 100 µs. */
LOOP_API void loop_world_set_link(struct loop_world *world, const struct loop_node *from, const struct loop_node *to,
                                  const struct loop_link *link);

/* What a rule matches. */
enum loop_rule_kind {
    LOOP_RULE_ANY,
    LOOP_RULE_CONNECT, /* the opening of a connection */
    LOOP_RULE_STREAM,  /* bytes of a connection */
    LOOP_RULE_DATAGRAM
};

/* What a rule does. */
enum loop_rule_action {
    LOOP_RULE_PASS,  /* nothing: the next rule that matches decides */
    LOOP_RULE_DELAY, /* delivers the packet `delay_ns` later */
    LOOP_RULE_DROP,  /* loses the packet; a stream sends it again until it passes or the connection times out */
    LOOP_RULE_RESET  /* resets the connection, or refuses it; loses a datagram */
};

/* A rule for packets from one node to another. A field that is zero matches everything. */
struct loop_rule {
    const struct loop_node *from LOOP_ZERO, *to LOOP_ZERO;
    enum loop_rule_kind kind LOOP_ZERO;
    size_t least_bytes LOOP_ZERO, most_bytes LOOP_ZERO;
    enum loop_rule_action action LOOP_ZERO;
    int64_t delay_ns LOOP_ZERO; /* of LOOP_RULE_DELAY */
};

/* Appends a rule, which is copied. The first rule that matches a packet decides, except LOOP_RULE_PASS. Returns the
 * number of the rule, from 1. */
LOOP_API unsigned loop_world_add_rule(struct loop_world *world, const struct loop_rule *rule);

/* Separates two nodes, in both directions. `other` may be NULL: separates `one` from all other nodes. Open connections
 * remain and wait. Returns the number of the partition, for loop_world_remove_rule. */
LOOP_API unsigned loop_world_partition(struct loop_world *world, const struct loop_node *one,
                                       const struct loop_node *other);

/* Loses all packets from one node to another, and none in the other direction. NULL stands for all other nodes.
 * Returns the number of the partition, for loop_world_remove_rule. */
LOOP_API unsigned loop_world_partition_one_way(struct loop_world *world, const struct loop_node *from,
                                               const struct loop_node *to);

/* Removes a rule or a partition. Does nothing when it was removed before. */
LOOP_API void loop_world_remove_rule(struct loop_world *world, unsigned number);

/* Removes all rules and partitions. */
LOOP_API void loop_world_heal(struct loop_world *world);

/* ---- for programs under test ---- */

/* Returns a number below n, which the run chooses; all are equally likely. 0 should mean the ordinary outcome. Returns
 * 0 outside of a world, and when n is 0. */
LOOP_API unsigned loop_simulation_choose(unsigned n);

/* Records that a state worth testing was reached: "a retry", "the log was cut". A search counts the runs that reach
 * each mark, and fails when one of loop_simulation_options.marks is never reached. `name` must stay valid: a literal.
 * Does nothing outside of a world. */
LOOP_API void loop_simulation_sometimes(const char *name);

/* Adds a line to the trace, cut to 111 bytes, with the node that runs and the time. Does nothing without a trace. */
LOOP_API void loop_simulation_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- runs ---- */

/* What may go wrong, as bits. LOOP_FAULT_LIMITS and LOOP_FAULT_MEMORY also occur while loop_run begins: it then returns
 * -EMFILE, -ENFILE, -ENOBUFS or -ENOMEM, which fails the run unless `may_fail` of the node is set. */
enum loop_fault {
    LOOP_FAULT_ORDER = 1 << 0,       /* the order of events at one time */
    LOOP_FAULT_SHORT = 1 << 1,       /* short reads and writes */
    LOOP_FAULT_SPURIOUS = 1 << 2,    /* EAGAIN though ready, EINTR */
    LOOP_FAULT_LIMITS = 1 << 3,      /* EMFILE, ENFILE, ENOBUFS */
    LOOP_FAULT_MEMORY = 1 << 4,      /* ENOMEM */
    LOOP_FAULT_NETWORK = 1 << 5,     /* jitter, loss, duplicates, reordering of links that do not state them */
    LOOP_FAULT_CONNECTIONS = 1 << 6, /* connections that are reset, refused or aborted, or time out */
    LOOP_FAULT_DISK = 1 << 7,        /* latency, EIO, ENOSPC, fsync that fails; more than the least survives a crash */
    /* What the program asks for by loop_simulation_choose, which is always allowed: alone it allows no other fault. */
    LOOP_FAULT_PROGRAM = 1 << 8,
    LOOP_FAULT_ALL = (1 << 9) - 1
};

/* The options of a run or a search. A field that is zero has its default. At most one of `choices`, `bytes` and
 * `is_exhaustive` can be set, and an exhaustive search has no `seed`. Rules of the world have their effect whatever
 * `faults` allows. */
struct loop_simulation_options {
    uint64_t seed LOOP_ZERO; /* of the first run; the next has one more. 0: a fresh one, stored in the result */
    const uint32_t *choices LOOP_ZERO; /* a replay: these, then only 0. With n_choices 0: the most ordinary run */
    size_t n_choices LOOP_ZERO;
    /* the choices of a fuzzer, then only 0; a byte below 128 is choice 0 */
    const uint8_t *bytes LOOP_ZERO;
    size_t n_bytes LOOP_ZERO;
    /* enum loop_fault. 0: all but MEMORY and LIMITS; of an exhaustive search: ORDER. Choices of a list that are not
     * allowed count as 0, so replay a run with the faults with which it was found */
    unsigned faults LOOP_ZERO;
    int64_t start_wall_ns LOOP_ZERO; /* the wall clock at the start of the world; 0: 2030-01-01 00:00 UTC */
    uint64_t most_steps LOOP_ZERO;   /* of a run; 0: 10^7 */
    int64_t most_time_ns LOOP_ZERO;  /* virtual, of a run; 0: one day */
    /* > 0: from this virtual time on all rules are removed, and every choice is 0 */
    int64_t faults_end_ns LOOP_ZERO;
    /* > 0: every node that is no daemon must end within this time after faults_end_ns, which must be set too */
    int64_t liveness_ns LOOP_ZERO;
    bool is_traced LOOP_ZERO; /* loop_simulation_run records a trace. A search always records that of the failure */

    /* For loop_simulation_explore. */
    uint64_t runs LOOP_ZERO;            /* 0: 1000; of an exhaustive search: no limit */
    int64_t time_limit_ns LOOP_ZERO;    /* real time for the search, without shrinking; 0: no limit */
    bool is_exhaustive LOOP_ZERO;       /* tries every list of choices, instead of seeds */
    const char *const *marks LOOP_ZERO; /* marks that the search must reach, at least one; ends with NULL */
    int64_t shrink_limit_ns LOOP_ZERO;  /* real time for shrinking; 0: 10 s; < 0: does not shrink */
};

/* How many runs reached a mark. */
struct loop_simulation_mark {
    const char *name;
    uint64_t runs;
};

/* The result of a run or a search. Must be zeroed before its first use. Free it by loop_simulation_result_finish. */
struct loop_simulation_result {
    bool has_failed;
    bool is_complete;  /* an exhaustive search has tried every list of choices */
    char reason[256];  /* why it failed, in one line */
    uint64_t seed;     /* of the failed run, or of the last one. 0: the choices did not come from a seed */
    uint32_t *choices; /* of the failed run, shrunk; of loop_simulation_run those of the run */
    size_t n_choices;
    size_t n_departures;    /* choices other than 0, by which the run departs from the most ordinary one */
    size_t n_choices_found; /* before shrinking */
    uint64_t runs;          /* without those that shrinking made */
    uint64_t shrink_runs;
    uint64_t steps;  /* of all runs that `runs` counts */
    int64_t time_ns; /* virtual time of the last run */
    struct loop_simulation_mark *marks;
    size_t n_marks;
    struct loop_simulation_trace *trace; /* of the failed or the traced run; NULL: none */
};

/* Runs one world, with the first of these that is set: `choices`, `bytes`, `seed`. Returns 0 when it ended well, 1 when
 * it failed, -EINVAL for wrong options, -EDEADLK inside a world. `result` may be NULL. Its earlier content is freed.
 *
 * A run ends when every node that is no daemon has ended, or has crashed and no event of loop_world_at is left. A world
 * of daemons alone ends when no event is left, or at a limit. A run fails when
 *  - the world function returns a value other than 0, or loop_run does in a node without may_fail;
 *  - no node was added, by the world function or an event;
 *  - loop_world_fail is called, an assertion fails, or the program aborts, exits or is stopped by a fault of memory;
 *  - nodes wait, and no event is left that could wake them; the reason names them, the trace their sockets and pipes;
 *  - a limit of steps, time or liveness is reached; the reason names the nodes that have not ended;
 *  - a node has ended without closing a descriptor, or leaves a thread or memory of the library. */
LOOP_API int loop_simulation_run(loop_world_fn *build, void *arg, const struct loop_simulation_options *options,
                                 struct loop_simulation_result *result);

/* Runs worlds until one fails, `runs` are made, or the time is over; at least one. Each run with a seed draws its own
 * mix of faults: about half of the kinds do not occur in it, the others with probabilities from 0.1 % up to 20 %, of
 * resets up to 2 %, of order, short transfers and latency up to 100 %. Shrinks the choices of the failed run to few
 * that still fail for the same reason, and records the trace of those. Returns what loop_simulation_run returns, and 1
 * when a mark was not reached. */
LOOP_API int loop_simulation_explore(loop_world_fn *build, void *arg, const struct loop_simulation_options *options,
                                     struct loop_simulation_result *result);

/* Frees what a result holds, and zeroes it. NULL does nothing. */
LOOP_API void loop_simulation_result_finish(struct loop_simulation_result *result);

/* Returns a result as text that a person reads: the reason, how to replay the run, marks, and the trace
 * without TCP acknowledgements that carry no bytes. Allocated by malloc, the caller frees it; NULL without memory. */
LOOP_API char *loop_simulation_result_text(const struct loop_simulation_result *result);

/* The main function of a program that searches: calls loop_simulation_explore with `options`, NULL for the defaults,
 * and prints the result. Arguments change the options:
 *
 *     --runs N --seconds N --seed N --exhaustive    how long, from where, and how to search
 *     --replay "CHOICES"                            runs these choices once, and prints the trace; prints on standard
 *                                                   error when the run could not make one of them
 *     --trace FILE --svg FILE --pcap FILE           writes the trace as text, as a diagram, for Wireshark
 *
 * There is a trace of a run that failed and of one that was replayed. Returns the exit status: 0; 1 when a run failed
 * or a mark was not reached; 2 after a line on standard error, for wrong arguments or options, and when the result
 * could not be written. */
LOOP_API int loop_simulation_main(int argc, char **argv, loop_world_fn *build, void *arg,
                                  const struct loop_simulation_options *options);

/* ---- traces ----
 *
 * A trace keeps the first 100 000 and the last 100 000 events of a run. */

/* Returns a trace as text, one line for each event. The text of NULL is empty. Allocated by malloc, the caller frees
 * it; NULL without memory. */
LOOP_API char *loop_simulation_trace_text(const struct loop_simulation_trace *trace);

/* Returns a trace as a sequence diagram in text: a column for each node, time downwards, an arrow
 * for each packet when it arrives or is lost, without TCP acknowledgements that carry no bytes. Of more than 200 events
 * it shows the first and the last 100. The text of NULL is empty. Allocated by malloc, the caller frees it; NULL
 * without memory. */
LOOP_API char *loop_simulation_trace_diagram(const struct loop_simulation_trace *trace);

/* Returns the diagram of loop_simulation_trace_diagram as an SVG document. The document of NULL is empty. Allocated by
 * malloc, the caller frees it; NULL without memory. */
LOOP_API char *loop_simulation_trace_svg(const struct loop_simulation_trace *trace);

/* Returns the packets of a trace as a capture file that Wireshark reads, and its size in `*size`. That of NULL has no
 * packets. Allocated by malloc, the caller frees it; NULL without memory. */
LOOP_API void *loop_simulation_trace_pcap(const struct loop_simulation_trace *trace, size_t *size);

/* Returns choices as text: numbers with spaces between them, N zeros in a row as "Nx0", as in "12 0 3x0 1". Allocated
 * by malloc, the caller frees it; NULL without memory. */
LOOP_API char *loop_simulation_choices_format(const uint32_t *choices, size_t n_choices);

/* Reads choices from text in the form of loop_simulation_choices_format. Stores their number in `*n_choices`. Allocated
 * by malloc, the caller frees it; NULL for other text, for more than 2^24 choices, and without memory. */
LOOP_API uint32_t *loop_simulation_choices_parse(const char *text, size_t *n_choices);

#ifdef __cplusplus
}
#endif

#endif
