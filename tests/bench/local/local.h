/* SPDX-License-Identifier: ISC
 *
 * Declarations that the local_X programs share. Each of these programs measures one event loop inside one process. Here
 * are the options, clocks, the measured window, the line of JSON, and the checks that a program does all of its work.
 *
 * local_X WORKLOAD [--how NAME] [--count N] [--depth N] [--size BYTES] [--file PATH] [--file-size BYTES] [--to PATH]
 *
 * prints {"operations":N,"wall_ns_per_op":..,"cpu_ns_per_op":..} and further figures of the workload. `--list` prints
 * the available workloads, one "WORKLOAD HOW" to a line. Exits with 1 when the work was not done correctly, and with 3
 * when the program does not have the workload.
 */
#ifndef TESTS_BENCH_LOCAL_H
#define TESTS_BENCH_LOCAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOCAL_EXTRAS 8
#define LOCAL_MILLISECOND INT64_C(1000000)
#define LOCAL_SECOND INT64_C(1000000000)

struct local_options {
    const char *workload, *how, *file, *to;
    uint64_t count;   /* operations to measure */
    unsigned depth;   /* operations in flight */
    size_t size;      /* bytes of one operation */
    size_t file_size; /* of a file that is created because it does not exist */
};

struct local_result {
    uint64_t operations;
    int64_t wall_ns, cpu_ns;
    unsigned n_extras;
    struct {
        const char *name;
        double value;
    } extras[LOCAL_EXTRAS];
};

typedef void local_run_fn(const struct local_options *options, struct local_result *result);

/* `how` is NULL if there is one way only. The first of several ways is the default. */
struct local_workload {
    const char *name, *how;
    local_run_fn *run;
};

/* Runs the whole program. `workloads` ends with an entry without a name. */
int local_main(int argc, char **argv, const struct local_workload *workloads);

/* Prints what is wrong and exits with 1. `error` is a negative errno, or 0 for none. */
void local_fail(const char *what, int64_t error) __attribute__((noreturn));

/* Fails unless `holds`, in release builds as well. */
static inline void local_check(bool holds, const char *what)
{
    if (__builtin_expect(!holds, 0)) {
        local_fail(what, 0);
    }
}

/* Returns `result`, or fails with errno when it is negative. */
int64_t local_sys(const char *what, int64_t result);

void *local_alloc(size_t n, size_t size);     /* zeroed, and already in memory */
void *local_alloc_new(size_t n, size_t size); /* zeroed, untouched */
void local_extra(struct local_result *result, const char *name, double value);

/* ---- time ---- */

int64_t local_now(void);
int64_t local_cpu(void); /* of the process */

/* A period of time. Its end adds it to a result; NULL discards it. */
struct local_span {
    int64_t wall, cpu;
};

void local_span_begin(struct local_span *span);
void local_span_end(const struct local_span *span, struct local_result *result, uint64_t operations);

/* Sequential operations. A tenth as many as are measured run first, as a warm-up. */
struct local_window {
    uint64_t done, next;
    uint64_t warmup, count;
    struct local_result *result;
    struct local_span span;
};

void local_window_init(struct local_window *window, const struct local_options *options, struct local_result *result);
bool local_window_edge(struct local_window *window);

/* Counts an operation. Returns false for the last one and for all later ones. */
static inline bool local_goes_on(struct local_window *window)
{
    return ++window->done < window->next || local_window_edge(window);
}

/* ---- timers ---- */

/* Timers that are started and cancelled. None of them fires before. */
struct local_timers {
    const struct local_options *options;
    uint64_t count;
    const int64_t *deadlines;                 /* from now; pseudo-random, the same in every program */
    struct local_result *started, *cancelled; /* what the time for each is added to; one of them is NULL */
};

/* Runs rounds in a new loop and memory that has not been used before. A round starts all timers, then cancels them. The
 * first `n_warmup` rounds are not measured. */
typedef void local_timer_rounds_fn(const struct local_timers *timers, uint64_t n_warmup, uint64_t n_rounds);

/* Runs the workload timers-start or timers-cancel: so many rounds that about a million timers are started. The way
 * "again" runs all of them in one loop, and "first" each in a loop of its own. */
void local_run_timers(const struct local_options *options, struct local_result *result,
                      local_timer_rounds_fn *run_rounds);

/* Returns pseudo-random points in time for timers that fire: late enough that all have been started by then, spread
 * over a second, or longer with more timers than a loop can fire in a second. In whole milliseconds, as most programs
 * set them, or in nanoseconds. */
int64_t *local_fire_deadlines(const struct local_options *options);

/* The lateness of timers. One in eight is measured, because reading the clock costs as much as much of what is
 * measured. */
struct local_lateness {
    uint64_t n, early;
    int64_t sum, max;
};

static inline bool local_is_looked_at(uint64_t i)
{
    return (i & 7) == 0;
}

void local_late(struct local_lateness *lateness, int64_t deadline);

/* Timers that fire. */
struct local_firing {
    struct local_lateness lateness;
    uint64_t n_left; /* to fire */
};

/* Records that the i-th timer fired. *deadline is the time when it was due, and becomes 0. */
static inline void local_fired(struct local_firing *firing, uint64_t i, int64_t *deadline)
{
    local_check(*deadline != 0, "a timer has fired twice");
    if (local_is_looked_at(i)) {
        local_late(&firing->lateness, *deadline);
    }
    *deadline = 0;
    firing->n_left--;
}

/* Checks that all have fired, and adds their lateness to the result. */
void local_firing_tell(const struct local_firing *firing, struct local_result *result);

/* ---- bytes ---- */

/* The block `number` of a stream: a sender stamps its block with it, and a receiver expects it. The rest of a block
 * is a constant pattern, of which one byte is checked. */
struct local_stream {
    size_t size;
    uint64_t position;
};

void local_stream_fill(unsigned char *block, size_t size);
void local_stream_stamp(unsigned char *block, uint64_t number);

/* Checks `len` received bytes. Returns the number of blocks that they complete. */
uint64_t local_stream_got(struct local_stream *stream, const unsigned char *data, size_t len);

/* Prepares a file in which every eight bytes encode their offset. Creates it if it does not exist, then reads it
 * once, so that it is in the page cache. Returns its size. */
size_t local_file_prepare(const struct local_options *options);
void local_file_check(const unsigned char *data, size_t len, uint64_t offset); /* the ends of a block */
void local_file_compare(const char *path, size_t size);                        /* all of it */

static inline uint64_t local_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Returns the offset of the i-th read of `size` bytes: a pseudo-random multiple of `size` in the file. */
static inline uint64_t local_read_offset(uint64_t i, size_t file_size, size_t size)
{
    return (((local_mix(i + 1) >> 32) * (file_size / size)) >> 32) * size;
}

/* Before a copy: removes the destination. After it: records the result, and compares all copied bytes. */
void local_copy_prepare(const struct local_options *options);
void local_copy_end(const struct local_span *span, const struct local_options *options, struct local_result *result,
                    size_t file_size);

/* A periodic timer of one millisecond during a copy: measures the longest delay of a tick. */
struct local_ticker {
    int64_t due, longest;
    uint64_t n;
};

int64_t local_tick_first(struct local_ticker *ticker); /* returns the time of the first tick */
int64_t local_tick(struct local_ticker *ticker);       /* records a tick; returns the time of the next one */
void local_ticker_tell(const struct local_ticker *ticker, struct local_result *result);

/* ---- another thread ---- */

/* A second thread that posts messages to the loop. First single ones, each when the loop has been asleep for a
 * while; then a flood. `post` is called on that thread, and returns false if the queue is full and the thread must
 * retry. */
struct local_waker {
    bool (*post)(void *arg, uint64_t message);
    void *arg;
    uint64_t n_single, n_warmup, n_flood;
    int64_t *latencies;
    _Alignas(64) uint64_t got, sum; /* written for each message: the thread reads none of these */
    int64_t cpu, flood_to;
    _Alignas(64) int64_t flood_from;
    _Atomic int64_t sent;
    _Atomic uint64_t handled;
    pthread_t thread;
};

void local_waker_start(struct local_waker *waker, const struct local_options *options);

/* Receives a message, on the loop's thread. Returns true for the last one. */
bool local_waker_got(struct local_waker *waker, uint64_t message);
void local_waker_finish(struct local_waker *waker, struct local_result *result);

/* A lock-free list of messages, for loops that have no queue for other threads. */
struct local_mail {
    struct local_letter {
        struct local_letter *next;
        uint64_t message;
    } * letters;
    _Alignas(64) struct local_letter *_Atomic first;
};

void local_mail_init(struct local_mail *mail, uint64_t count);

/* Returns true if the list was empty: only then must the loop be woken. */
static inline bool local_mail_push(struct local_mail *mail, uint64_t message)
{
    struct local_letter *letter = &mail->letters[message];
    struct local_letter *first = atomic_load_explicit(&mail->first, memory_order_relaxed);
    letter->message = message;
    do {
        letter->next = first;
    } while (!atomic_compare_exchange_weak_explicit(&mail->first, &first, letter, memory_order_seq_cst,
                                                    memory_order_relaxed));
    return !first;
}

/* Passes all messages to the waker. Returns true if the last one was among them. */
bool local_mail_deliver(struct local_mail *mail, struct local_waker *waker);

#endif
