/* SPDX-License-Identifier: ISC
 *
 * Counts how often a line of the cache goes from one thread to another. It is linked in the place of the runtime of
 * ThreadSanitizer (gcc -fsanitize=thread), which is called for each access to memory, and supposes that each thread has
 * a cache of its own that keeps everything. A line comes from another thread when a thread reads what another one has
 * written since its last access, and when it writes what others have read or written since its last write. What is not
 * compiled in this way is not seen: the C library, liburing, the kernel.
 *
 * Counts from SIGUSR1 to the next SIGUSR1. At the end of the program it writes to the file of the variable LINES_OUT:
 * the nanoseconds and the number of lines, and a line for each place in the code that was found: its address and count.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINE_BYTES 64u
#define N_LINES (1u << 22)
#define N_PLACES 4096u
#define MOST_THREADS 64u

/* The threads that have a line in their caches, as bits; and the one that has written it. */
struct line {
    atomic_uintptr_t address; /* over LINE_BYTES, and 1 more; 0: free */
    atomic_flag is_locked;
    uint64_t holders, writer;
};

static struct line lines[N_LINES];

static struct {
    atomic_uintptr_t address;
    atomic_uint_fast64_t count;
} places[N_PLACES];

static atomic_uint_fast64_t n_moves;
static atomic_uint n_threads;
static atomic_bool counts;
static int64_t begun_ns, took_ns;
static _Thread_local uint64_t me;

/* ---- lines ---- */

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "lines: %s\n", what);
    abort();
}

static void name_thread(void)
{
    unsigned index = atomic_fetch_add(&n_threads, 1);

    if (index >= MOST_THREADS) {
        fail("more threads than can be told apart");
    }
    me = UINT64_C(1) << index;
}

/* Returns the entry of an address in a table that is never full: `at` is its first place. */
static struct line *line_of(uintptr_t number)
{
    for (size_t at = number * UINT64_C(0x9E3779B97F4A7C15) >> 42, n = 0; n < N_LINES; at++, n++) {
        struct line *line = &lines[at % N_LINES];
        uintptr_t found = atomic_load(&line->address);

        if (found == 0 && !atomic_compare_exchange_strong(&line->address, &found, number + 1) && found == 0) {
            continue;
        }
        if (found == 0 || found == number + 1) {
            return line;
        }
    }
    fail("more lines than there is room for");
}

static void count(uintptr_t place)
{
    atomic_fetch_add(&n_moves, 1);
    for (size_t i = 0; i < N_PLACES; i++) {
        uintptr_t found = 0;

        if (atomic_compare_exchange_strong(&places[i].address, &found, place) || found == place) {
            atomic_fetch_add(&places[i].count, 1);
            return;
        }
    }
}

static void touch(uintptr_t number, bool writes, uintptr_t place)
{
    struct line *line = line_of(number);

    while (atomic_flag_test_and_set(&line->is_locked)) {
    }
    bool is_missing = !(line->holders & me) && line->writer && line->writer != me;
    bool has_moved = is_missing || (writes && (line->holders & ~me));
    line->holders = writes ? me : line->holders | me;
    line->writer = writes ? me : line->writer;
    atomic_flag_clear(&line->is_locked);
    if (has_moved && atomic_load(&counts)) {
        count(place);
    }
}

static void access_to(const volatile void *memory, size_t size, bool writes, const void *place)
{
    uintptr_t first = (uintptr_t)memory / LINE_BYTES, last = ((uintptr_t)memory + size - 1) / LINE_BYTES;

    if (!me) {
        name_thread();
    }
    for (uintptr_t number = first; size > 0 && number <= last; number++) {
        touch(number, writes, (uintptr_t)place);
    }
}

#define HERE __builtin_return_address(0)

/* ---- what the compiler calls: the names are its own ---- */

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
    (void)caller;
}

void __tsan_func_exit(void)
{
}

void __tsan_acquire(void *memory)
{
    (void)memory;
}

void __tsan_release(void *memory)
{
    (void)memory;
}

void __tsan_read_range(void *memory, size_t size)
{
    access_to(memory, size, false, HERE);
}

void __tsan_write_range(void *memory, size_t size)
{
    access_to(memory, size, true, HERE);
}

#define PLAIN(kind, bytes, writes)                                                                                     \
    void __tsan_##kind##bytes(void *memory)                                                                            \
    {                                                                                                                  \
        access_to(memory, bytes, writes, HERE);                                                                        \
    }

#define PLAINS(bytes)                                                                                                  \
    PLAIN(read, bytes, false)                                                                                          \
    PLAIN(write, bytes, true)                                                                                          \
    PLAIN(unaligned_read, bytes, false)                                                                                \
    PLAIN(unaligned_write, bytes, true)                                                                                \
    PLAIN(volatile_read, bytes, false)                                                                                 \
    PLAIN(volatile_write, bytes, true)

PLAINS(1)
PLAINS(2)
PLAINS(4)
PLAINS(8)
PLAINS(16)

#define CHANGE(bits, name)                                                                                             \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *memory, uint##bits##_t value, int order)      \
    {                                                                                                                  \
        (void)order;                                                                                                   \
        access_to(memory, bits / 8, true, HERE);                                                                       \
        return __atomic_##name(memory, value, __ATOMIC_SEQ_CST);                                                       \
    }

#define EXCHANGE(bits, strength, is_weak)                                                                              \
    int __tsan_atomic##bits##_compare_exchange_##strength(volatile uint##bits##_t *memory, uint##bits##_t *expected,   \
                                                          uint##bits##_t value, int order, int otherwise)              \
    {                                                                                                                  \
        (void)order;                                                                                                   \
        (void)otherwise;                                                                                               \
        access_to(memory, bits / 8, true, HERE);                                                                       \
        return __atomic_compare_exchange_n(memory, expected, value, is_weak, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);      \
    }

#define ATOMICS(bits)                                                                                                  \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *memory, int order)                        \
    {                                                                                                                  \
        (void)order;                                                                                                   \
        access_to(memory, bits / 8, false, HERE);                                                                      \
        return __atomic_load_n(memory, __ATOMIC_SEQ_CST);                                                              \
    }                                                                                                                  \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *memory, uint##bits##_t value, int order)                 \
    {                                                                                                                  \
        (void)order;                                                                                                   \
        access_to(memory, bits / 8, true, HERE);                                                                       \
        __atomic_store_n(memory, value, __ATOMIC_SEQ_CST);                                                             \
    }                                                                                                                  \
    uint##bits##_t __tsan_atomic##bits##_exchange(volatile uint##bits##_t *memory, uint##bits##_t value, int order)    \
    {                                                                                                                  \
        (void)order;                                                                                                   \
        access_to(memory, bits / 8, true, HERE);                                                                       \
        return __atomic_exchange_n(memory, value, __ATOMIC_SEQ_CST);                                                   \
    }                                                                                                                  \
    CHANGE(bits, fetch_add)                                                                                            \
    CHANGE(bits, fetch_sub)                                                                                            \
    CHANGE(bits, fetch_or)                                                                                             \
    CHANGE(bits, fetch_and)                                                                                            \
    CHANGE(bits, fetch_xor)                                                                                            \
    EXCHANGE(bits, strong, false)                                                                                      \
    EXCHANGE(bits, weak, true)

ATOMICS(8)
ATOMICS(16)
ATOMICS(32)
ATOMICS(64)

void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}

/* ---- the window ---- */

static int64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void on_signal(int number)
{
    (void)number;
    if (atomic_load(&counts)) {
        atomic_store(&counts, false);
        took_ns = now_ns() - begun_ns;
    } else if (took_ns == 0) {
        begun_ns = now_ns();
        atomic_store(&counts, true);
    }
}

__attribute__((constructor)) static void begin(void)
{
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    (void)sigaction(SIGUSR1, &action, NULL);
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("LINES_OUT");
    FILE *out = path ? fopen(path, "w") : NULL;

    if (!out) {
        return;
    }
    fprintf(out, "%" PRId64 " %" PRIuFAST64 "\n", took_ns, atomic_load(&n_moves));
    for (size_t i = 0; i < N_PLACES && places[i].address; i++) {
        fprintf(out, "%#" PRIxPTR " %" PRIuFAST64 "\n", atomic_load(&places[i].address), atomic_load(&places[i].count));
    }
    (void)fclose(out);
}
