/* SPDX-License-Identifier: ISC
 *
 * Counts the uses of each call and makes some fail; see fail.h. Only in builds with hard modes. This file is a part of
 * the door: it reads the environment and writes its complaints by itself.
 */
#if NORIA_HARD_MODES
/* Defines a call's counter, and enters it in the list before main. */
#define LOOP_KERNEL_COUNTS(name)                                                                                       \
    LOOP_KERNEL_SHARED struct loop_kernel_call name##_counter = {&#name[sizeof "loop_kernel_" - 1], 0};                \
    __attribute__((constructor(200))) static void name##_add(void)                                                     \
    {                                                                                                                  \
        loop_kernel_add_call(&name##_counter);                                                                         \
    }
#endif

#include <loop/kernel/all.h>
#include <loop/kernel/fail.h>

#if NORIA_HARD_MODES

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FAULTS = 16, MOST_CALLS = 192 };

struct fault {
    const struct loop_kernel_call *call;
    int error;
    unsigned nth, every; /* every 0: once */
};

static struct loop_kernel_call *calls[MOST_CALLS];
static size_t n_calls;
static struct fault faults[MOST_FAULTS];
static unsigned n_faults, n_failed;

void loop_kernel_add_call(struct loop_kernel_call *call)
{
    if (n_calls == MOST_CALLS) {
        abort();
    }
    calls[n_calls++] = call;
}

static struct loop_kernel_call *find_call(const char *name, size_t len)
{
    for (size_t i = 0; i < n_calls; i++) {
        if (strlen(calls[i]->name) == len && memcmp(calls[i]->name, name, len) == 0) {
            return calls[i];
        }
    }
    return NULL;
}

/* ---- which are to fail ---- */

/* Returns the errno of that name or number, 0 when it is none. */
static int read_error(const char *word, size_t len)
{
    char text[32] = "", *end;

    if (len < sizeof text) {
        memcpy(text, word, len);
    }
    long number = strtol(text, &end, 10);
    if (*text && !*end) {
        return number > 0 && number < 4096 ? (int)number : 0;
    }
    for (int error = 1; error < 200; error++) {
        const char *name = strerrorname_np(error);
        if (name && strcmp(name, text) == 0) {
            return error;
        }
    }
    return 0;
}

/* Reads a number that is at least 1. Returns the end of it in the text, or NULL. */
static const char *read_count(const char *text, unsigned *count)
{
    char *end;
    unsigned long number = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;

    *count = (unsigned)number;
    return number > 0 && number <= UINT_MAX ? end : NULL;
}

/* Reads one fault. Returns the end of it in the text, or NULL. */
static const char *read_fault(const char *text, struct fault *fault)
{
    const char *error = strchr(text, ':'), *nth = error ? strchr(error + 1, ':') : NULL;

    if (!nth) {
        return NULL;
    }
    fault->call = find_call(text, (size_t)(error - text));
    fault->error = read_error(error + 1, (size_t)(nth - error - 1));
    fault->every = 0;
    const char *end = read_count(nth + 1, &fault->nth);
    if (end && *end == '+') {
        end = read_count(end + 1, &fault->every);
    }
    return fault->call && fault->error ? end : NULL;
}

static bool read_faults(const char *text)
{
    while (text && *text && n_faults < MOST_FAULTS) {
        text = read_fault(text, &faults[n_faults]);
        n_faults += text != NULL;
        if (text && *text == ',') {
            text++;
        } else if (!text || *text) {
            return false;
        }
    }
    return !text || !*text;
}

bool loop_kernel_fail_set(const char *what)
{
    for (size_t i = 0; i < n_calls; i++) {
        __atomic_store_n(&calls[i]->uses, 0, __ATOMIC_RELAXED);
    }
    n_faults = 0;
    __atomic_store_n(&n_failed, 0, __ATOMIC_RELAXED);
    return read_faults(what);
}

/* Reads NORIA_FAIL. What it does not understand stops the program: a test must not believe that something fails which
 * does not. */
__attribute__((constructor)) static void read_environment(void)
{
    const char *what = getenv("NORIA_FAIL");

    if (what && !loop_kernel_fail_set(what)) {
        fprintf(stderr, "noria: NORIA_FAIL: \"%s\" is not CALL:ERRNO:NTH[+EVERY]\n", what);
        abort();
    }
}

size_t loop_kernel_fail_count(void)
{
    return n_calls;
}

const char *loop_kernel_fail_name(size_t index)
{
    return calls[index]->name;
}

unsigned loop_kernel_fail_uses(size_t index)
{
    return __atomic_load_n(&calls[index]->uses, __ATOMIC_RELAXED);
}

unsigned loop_kernel_fail_failed(void)
{
    return __atomic_load_n(&n_failed, __ATOMIC_RELAXED);
}

/* ---- uses ---- */

int loop_kernel_use(struct loop_kernel_call *call)
{
    unsigned number = __atomic_add_fetch(&call->uses, 1, __ATOMIC_RELAXED);

    for (unsigned i = 0; i < n_faults; i++) {
        const struct fault *fault = &faults[i];
        bool is_it =
            number == fault->nth || (fault->every && number > fault->nth && (number - fault->nth) % fault->every == 0);
        if (fault->call == call && is_it) {
            __atomic_add_fetch(&n_failed, 1, __ATOMIC_RELAXED);
            return fault->error;
        }
    }
    return 0;
}

bool loop_kernel_fails(struct loop_kernel_call *call)
{
    int error = loop_kernel_use(call);

    if (error) {
        errno = error;
    }
    return error != 0;
}

/* ---- operations of the ring ---- */

#if NORIA_URING

#define RING(name, opcode)                                                                                             \
    {                                                                                                                  \
        {"ring-" name, 0}, opcode                                                                                      \
    }

static struct ring_call {
    struct loop_kernel_call call;
    unsigned opcode;
} ring_calls[] = {
    RING("nop", IORING_OP_NOP),
    RING("openat2", IORING_OP_OPENAT2),
    RING("read", IORING_OP_READ),
    RING("readv", IORING_OP_READV),
    RING("write", IORING_OP_WRITE),
    RING("writev", IORING_OP_WRITEV),
    RING("read-fixed", IORING_OP_READ_FIXED),
    RING("write-fixed", IORING_OP_WRITE_FIXED),
    RING("poll", IORING_OP_POLL_ADD),
    RING("poll-remove", IORING_OP_POLL_REMOVE),
    RING("connect", IORING_OP_CONNECT),
    RING("accept", IORING_OP_ACCEPT),
    RING("recv", IORING_OP_RECV),
    RING("send", IORING_OP_SEND),
    RING("sendmsg", IORING_OP_SENDMSG),
    RING("recvmsg", IORING_OP_RECVMSG),
    RING("statx", IORING_OP_STATX),
    RING("fsync", IORING_OP_FSYNC),
    RING("cancel", IORING_OP_ASYNC_CANCEL),
};

__attribute__((constructor(200))) static void add_ring_calls(void)
{
    for (size_t i = 0; i < sizeof ring_calls / sizeof *ring_calls; i++) {
        loop_kernel_add_call(&ring_calls[i].call);
    }
}

/* A loop's ring belongs to its thread. The one that polls devices is made later, and cannot inject results; one whose
 * buffers other rings clone is never entered, and has no size of its own for completions. */
static _Thread_local struct io_uring *own_ring;
static _Thread_local unsigned seen; /* entries up to here have been counted */

int loop_kernel_ring_made(int result, struct io_uring *ring, const struct io_uring_params *params)
{
    if (result == 0 && (params->flags & (IORING_SETUP_IOPOLL | IORING_SETUP_CQSIZE)) == IORING_SETUP_CQSIZE) {
        own_ring = params->flags & IORING_SETUP_SQPOLL ? NULL : ring;
        seen = 0;
    }
    return result;
}

void loop_kernel_ring_gone(const struct io_uring *ring)
{
    own_ring = own_ring == ring ? NULL : own_ring;
}

/* Turns the entry into one that completes with the error: IORING_NOP_INJECT_RESULT, Linux 6.10. Older kernels do not
 * know it and answer -EINVAL. */
static void spoil(struct io_uring_sqe *entry, int error)
{
    unsigned opcode = entry->opcode;
    uint64_t user_data = entry->user_data;

    memset(entry, 0, sizeof *entry);
    entry->opcode = IORING_OP_NOP;
    if (opcode == IORING_OP_ASYNC_CANCEL) {
        entry->flags = IOSQE_CQE_SKIP_SUCCESS;
    }
    entry->rw_flags = 1;
    entry->len = (uint32_t)-error;
    entry->user_data = user_data;
}

static void count_entry(struct io_uring_sqe *entry)
{
    for (size_t i = 0; i < sizeof ring_calls / sizeof *ring_calls; i++) {
        if (ring_calls[i].opcode == entry->opcode) {
            int error = loop_kernel_use(&ring_calls[i].call);
            if (error) {
                spoil(entry, error);
            }
            return;
        }
    }
}

void loop_kernel_ring_entered(unsigned number)
{
    if (own_ring && number == (unsigned)own_ring->enter_ring_fd) {
        unsigned tail = __atomic_load_n(own_ring->sq.ktail, __ATOMIC_RELAXED);
        for (; seen != tail; seen++) {
            count_entry(&own_ring->sq.sqes[seen & *own_ring->sq.kring_mask]);
        }
    }
}

#endif

#endif
