/* SPDX-License-Identifier: ISC
 *
 * The simulated kernel: the same program, linked with noria::simulated in place of noria::noria, runs with its peers in
 * one thread, in virtual time, on a network and disks that fail as the run decides.
 *
 * A world is made of nodes. A node is a main function as loop_run takes it, with addresses, a disk and clocks of its
 * own. Everything that a real kernel leaves open is chosen: which node runs first, how long a packet takes, whether a
 * read is short, what of a file survives a crash. The list of choices is the run: the same list gives the same run,
 * byte for byte. Choice 0 is always the ordinary thing, so that an empty list is the most ordinary run.
 *
 *     static int world(struct loop_world *world, void *arg)
 *     {
 *         struct loop_node *server = loop_world_add_node(world, &(struct loop_node_options){
 *             .name = "server", .main = server_main});
 *         struct loop_node *client = ...
 *         return 0;
 *     }
 *
 *     struct loop_simulation_result result;
 *     int failed = loop_simulation_explore(world, NULL, &(struct loop_simulation_options){.runs = 10000}, &result);
 *
 * What is simulated is the kernel below the library, not the C library: what a program does by its own calls to socket,
 * open, sleep or pthread_create goes to the real kernel, and breaks the promise that a run is its choices. Descriptors
 * are numbers of the simulated kernel: those of the real one mean nothing to it. What it does not know is refused with
 * ENOSYS: fork, foreign descriptors. Static variables are shared by all nodes and runs: the state of a node goes
 * through `arg`, and is made anew by the world function, which is called once for each run. Needs the GNU C library.
 *
 * A node crashes without warning: no continuation runs any more. What it has allocated by the library is freed; memory
 * that it has of its own should come from loop_world_alloc, which is freed with the world.
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

/* Builds a world, before its time begins: adds nodes, links, rules and events. Called once for each run. A value other
 * than 0 fails the run. */
typedef int loop_world_fn(struct loop_world *world, void *arg);

/* Called at a time of a world, outside of all nodes. It may add and crash nodes, and change links and rules; it must
 * not call functions of a loop. */
typedef void loop_world_event_fn(struct loop_world *world, void *arg);

/* Calls fn(world, arg) at a virtual time, in nanoseconds from the start of the world. */
LOOP_API void loop_world_at(struct loop_world *world, int64_t time_ns, loop_world_event_fn *fn, void *arg);

/* Returns the virtual time since the start of the world. */
LOOP_API int64_t loop_world_now(const struct loop_world *world);

/* Returns zeroed memory that is freed with the world. Stops the program when there is none. */
LOOP_API void *loop_world_alloc(struct loop_world *world, size_t size);

/* Fails the run, with a reason that the report repeats; the first one counts. For worlds and for programs: the world
 * may be NULL inside a node. */
LOOP_API void loop_world_fail(struct loop_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- nodes ---- */

/* A node. Zero fields have their defaults. Texts are copied. */
struct loop_node_options {
    const char *name LOOP_ZERO;             /* its host name, which resolves to its first address */
    const char *const *addresses LOOP_ZERO; /* ends with NULL. Default: 10.0.0.N and fd00::N for the N-th node */
    loop_main_fn *main LOOP_ZERO;           /* what loop_run_with calls in it */
    void *arg LOOP_ZERO;
    const struct loop_options *options LOOP_ZERO; /* of its loop; read while the node runs */
    int64_t wall_offset_ns LOOP_ZERO;             /* of its wall clock */
    int64_t wall_drift_ppb LOOP_ZERO;             /* how much faster its wall clock goes, in 10^-9 */
    uint64_t disk_size_bytes LOOP_ZERO;           /* 0: no limit */
    int64_t disk_latency_ns LOOP_ZERO;
    uint32_t ring_features_masked LOOP_ZERO; /* IORING_FEAT_..., io_uring_setup(2) */
    uint32_t ring_setup_refused LOOP_ZERO;   /* IORING_SETUP_... */
    /* The node need not end: servers that run for ever. Else the run waits for it, and fails when it is stuck. */
    bool is_daemon LOOP_ZERO;
};

/* Adds a node; it starts when the world runs, or at once when it does. Returns NULL for a name or an address that is
 * taken or wrong; then the run has failed. */
LOOP_API struct loop_node *loop_world_add_node(struct loop_world *world, const struct loop_node_options *options);

/* Returns the node that is running, or NULL outside of one. */
LOOP_API struct loop_node *loop_node_here(void);

/* Returns the world of a node. */
LOOP_API struct loop_world *loop_node_world(const struct loop_node *node);

/* Ends a node at once. Connections of it are reset when its peers next reach it. Does not return when the node is the
 * one that is running. */
LOOP_API void loop_node_crash(struct loop_node *node);

/* Starts a node that has ended or crashed again, on the disk as the crash has left it; its main function gets the same
 * `arg`. */
LOOP_API void loop_node_restart(struct loop_node *node);

/* Stops a node for a while: nothing runs in it, what arrives for it waits. */
LOOP_API void loop_node_pause(struct loop_node *node);
LOOP_API void loop_node_resume(struct loop_node *node);

/* How a node stands. */
enum loop_node_state { LOOP_NODE_NEW, LOOP_NODE_RUNNING, LOOP_NODE_PAUSED, LOOP_NODE_ENDED, LOOP_NODE_CRASHED };
LOOP_API enum loop_node_state loop_node_state(const struct loop_node *node);

/* Returns what loop_run returned in the node, when it has ended. */
LOOP_API int loop_node_status(const struct loop_node *node);

/* Gives a node bytes to read from standard input, before its end. Copied. Without it standard input is at its end. */
LOOP_API void loop_node_set_input(struct loop_node *node, const void *data, size_t len);

/* Returns what the node has written to standard output (1) or error (2). Owned by the world. */
LOOP_API const char *loop_node_output(const struct loop_node *node, int number, size_t *len);

/* Puts a file on a node's disk, durable and with its directories, or reads one into memory of the world. Return 0 or a
 * negative errno. */
LOOP_API int loop_node_put_file(struct loop_node *node, const char *path, const void *data, size_t len);
LOOP_API int loop_node_get_file(struct loop_node *node, const char *path, void **data, size_t *len);

/* Sends a signal to a node. */
LOOP_API void loop_node_signal(struct loop_node *node, int signal);

/* ---- the network ---- */

/* How bytes go from one node to another. Zeros are a perfect link. */
struct loop_link {
    int64_t delay_ns LOOP_ZERO;
    int64_t jitter_ns LOOP_ZERO;    /* up to so much more, by choice */
    uint64_t bytes_per_s LOOP_ZERO; /* 0: no limit */
    size_t queue_bytes LOOP_ZERO;   /* room where bytes wait for bytes_per_s; 0: 256 KiB */
    uint32_t loss_ppm LOOP_ZERO;    /* of a million datagrams; streams deliver late instead */
    uint32_t duplicate_ppm LOOP_ZERO;
    uint32_t reorder_ppm LOOP_ZERO;
};

/* Sets the link from one node to another, this way only; NULL stands for every node. The last call that matches holds.
 */
LOOP_API void loop_world_set_link(struct loop_world *world, const struct loop_node *from, const struct loop_node *to,
                                  const struct loop_link *link);

/* What a rule is for, and what it does. */
enum loop_rule_kind { LOOP_RULE_ANY, LOOP_RULE_CONNECT, LOOP_RULE_STREAM, LOOP_RULE_DATAGRAM };
enum loop_rule_action { LOOP_RULE_PASS, LOOP_RULE_DELAY, LOOP_RULE_DROP, LOOP_RULE_RESET };

/* Decides over what goes from one node to another. What a stream loses is sent again until the rule is gone or the
 * connection times out. */
struct loop_rule {
    const struct loop_node *from LOOP_ZERO, *to LOOP_ZERO; /* NULL: any */
    enum loop_rule_kind kind LOOP_ZERO;
    size_t least_bytes LOOP_ZERO, most_bytes LOOP_ZERO; /* 0: no limit */
    enum loop_rule_action action LOOP_ZERO;
    int64_t delay_ns LOOP_ZERO; /* of LOOP_RULE_DELAY */
};

/* Adds a rule behind the others. The first that matches and does not pass decides. Returns its number, from 1. */
LOOP_API unsigned loop_world_add_rule(struct loop_world *world, const struct loop_rule *rule);

/* Removes a rule. Harmless when it is gone. */
LOOP_API void loop_world_remove_rule(struct loop_world *world, unsigned number);

/* Cuts two nodes off from each other, both ways, or `from` from reaching `to` only. NULL stands for every other node.
 * Return the number of a rule to remove; of two rules the first, the second being one more. */
LOOP_API unsigned loop_world_partition(struct loop_world *world, const struct loop_node *one,
                                       const struct loop_node *other);
LOOP_API unsigned loop_world_partition_one_way(struct loop_world *world, const struct loop_node *from,
                                               const struct loop_node *to);

/* Removes every rule. */
LOOP_API void loop_world_heal(struct loop_world *world);

/* ---- choices and marks, for programs under test ---- */

/* Chooses one of n by the run's source of choice: 0 is the ordinary thing. Returns 0 outside of a world. */
LOOP_API unsigned loop_simulation_choose(unsigned n);

/* Marks that something worth testing has happened: "a retry", "the log was cut". Marks are gathered over all runs of a
 * search, and one that is declared but never reached fails it. `name` is a literal. */
LOOP_API void loop_simulation_sometimes(const char *name);

/* ---- runs ---- */

/* What may go wrong, as bits. */
enum loop_fault {
    LOOP_FAULT_ORDER = 1 << 0,       /* the order of what happens at one time */
    LOOP_FAULT_SHORT = 1 << 1,       /* short reads and writes */
    LOOP_FAULT_SPURIOUS = 1 << 2,    /* EAGAIN though ready, EINTR */
    LOOP_FAULT_LIMITS = 1 << 3,      /* EMFILE, ENFILE, ENOBUFS */
    LOOP_FAULT_MEMORY = 1 << 4,      /* ENOMEM */
    LOOP_FAULT_NETWORK = 1 << 5,     /* delay, loss, duplicates, reordering */
    LOOP_FAULT_CONNECTIONS = 1 << 6, /* resets, refused, aborted and timed out connections */
    LOOP_FAULT_DISK = 1 << 7,        /* latency, EIO, ENOSPC, fsync that fails */
    LOOP_FAULT_ALL = (1 << 8) - 1
};

/* The options of a run or a search. A field that is zero has its default. */
struct loop_simulation_options {
    uint64_t seed LOOP_ZERO;           /* of the first run; 0: a fresh one, which the result tells */
    const uint32_t *choices LOOP_ZERO; /* replay: these, then 0 for ever */
    size_t n_choices LOOP_ZERO;
    const uint8_t *bytes LOOP_ZERO; /* of a fuzzer: choices are made from them, then 0 for ever */
    size_t n_bytes LOOP_ZERO;
    uint64_t runs LOOP_ZERO;         /* of a search; 0: 1000 */
    int64_t time_limit_ns LOOP_ZERO; /* real time for a search; 0: none */
    unsigned faults LOOP_ZERO;       /* enum loop_fault; 0: all but memory and limits. Each run draws its own mix */
    bool is_exhaustive LOOP_ZERO;    /* a search tries every list of choices there is, up to `runs` */
    int64_t start_wall_ns LOOP_ZERO; /* 0: 2030-01-01 00:00 UTC */
    uint64_t most_steps LOOP_ZERO;   /* 0: 10^7 */
    int64_t most_time_ns LOOP_ZERO;  /* virtual; 0: one day */
    int64_t faults_end_ns
        LOOP_ZERO;                 /* > 0: from this virtual time on all rules are lifted and nothing fails any more */
    int64_t liveness_ns LOOP_ZERO; /* > 0: everything must end within this time after faults_end_ns */
    const char *const *marks LOOP_ZERO; /* the marks that a search must reach; ends with NULL */
    bool is_traced LOOP_ZERO;           /* a single run records what happens. Of a search, the failed run always is */
    int64_t shrink_limit_ns LOOP_ZERO;  /* real time for shrinking; 0: 10 s */
};

/* What a run or a search has found. Zeros before. Freed by loop_simulation_result_finish. */
struct loop_simulation_result {
    bool has_failed;
    char reason[256];  /* why, in one line */
    uint64_t seed;     /* of the failed run, or of the first */
    uint32_t *choices; /* of the failed run, shrunk; of a single run, all of them */
    size_t n_choices;
    size_t n_choices_found;              /* before shrinking */
    uint64_t runs;                       /* runs made, without those of shrinking */
    uint64_t steps;                      /* of all runs */
    int64_t time_ns;                     /* virtual time of the last run */
    struct loop_simulation_trace *trace; /* of the failed or the traced run; NULL: none */
};

/* Runs one world. Returns 0 when it ended well, 1 when it failed, -EINVAL for wrong options. A run fails when the world
 * function or a node's loop_run returns a value other than 0, when loop_world_fail is called, when nodes are stuck or a
 * limit is reached, and when a node that has ended leaves memory of the library, a descriptor or a thread. `result` may
 * be NULL. Must not be called inside a world. */
LOOP_API int loop_simulation_run(loop_world_fn *build, void *arg, const struct loop_simulation_options *options,
                                 struct loop_simulation_result *result);

/* Runs worlds until one fails, or `runs` are made, or the time is over. Shrinks the choices of the failed run to few
 * that still fail with the same reason up to its first colon, and records its trace. Returns as loop_simulation_run; 1
 * also when a mark was not reached. */
LOOP_API int loop_simulation_explore(loop_world_fn *build, void *arg, const struct loop_simulation_options *options,
                                     struct loop_simulation_result *result);

/* Frees what a result holds, and zeroes it. NULL does nothing. */
LOOP_API void loop_simulation_result_finish(struct loop_simulation_result *result);

/* ---- traces ---- */

/* Return a trace as text, one line for each event; as a sequence diagram in SVG or text; as a capture file that
 * Wireshark reads. Allocated by malloc, the caller frees it; NULL without memory. */
LOOP_API char *loop_simulation_trace_text(const struct loop_simulation_trace *trace);
LOOP_API char *loop_simulation_trace_diagram(const struct loop_simulation_trace *trace);
LOOP_API char *loop_simulation_trace_svg(const struct loop_simulation_trace *trace);
LOOP_API void *loop_simulation_trace_pcap(const struct loop_simulation_trace *trace, size_t *size);

/* Write choices as text ("12 0 3x0 1"), and read them; the caller frees both results. NULL for a text that is none. */
LOOP_API char *loop_simulation_choices_format(const uint32_t *choices, size_t n_choices);
LOOP_API uint32_t *loop_simulation_choices_parse(const char *text, size_t *n_choices);

#ifdef __cplusplus
}
#endif

#endif
