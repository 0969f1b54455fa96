/* SPDX-License-Identifier: ISC
 *
 * Creates, tests and destroys the ring. A failure is undone and reported in one line with the likely cause and the
 * cure, because its reader is usually a person whose container or limits are in the way.
 *
 * The ring needs Linux 6.1. The kernel is checked for the features of that version, not for its number.
 */
#include <loop/backend/uring/compat.h>
#include <loop/backend/uring/iopoll/iopoll.h>
#include <loop/backend/uring/prepare.h>
#include <loop/backend/uring/receiver.h>
#include <loop/backend/uring/region.h>
#include <loop/backend/uring/ring.h>
#include <loop/backend/uring/setup.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/event/inbox.h>
#include <loop/ground/clock.h>
#include <loop/ground/hard.h>
#include <loop/ground/list.h>
#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/path.h>
#include <loop/kernel/ring.h>
#include <loop/kernel/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SQ_SIZE 64u
#define SQ_SIZE_MAX 32768u
#define CQ_SIZE 4096u
#define CQ_SIZE_MIN 256u

/* The most kernel threads for blocking operations: on files, and on the rest. Without a limit each job may get one. */
#define FILE_WORKERS 4u
#define OTHER_WORKERS 16u

#define NEEDED_FEATURES                                                                                                \
    (IORING_FEAT_NODROP | IORING_FEAT_RW_CUR_POS | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP)

/* From this cost of a system call on, flows always receive and send by the ring. If calls cost nothing they do so as
 * soon as on average so many have input in each turn, and in between, accordingly. One enter brings at most 20 events
 * of sockets (Linux 6.13 and later). */
#define DEAR_CALL_NS 400
#define INPUTS_MOST 20
#define CALL_TRIES 4
#define CALLS_PER_TRY 8

/* The newest operation of Linux 6.1. A kernel that has it has everything that is used here. */
#define FLOOR_OPCODE IORING_OP_SENDMSG_ZC

/* How long the self-test waits for completions that normally take a microsecond. */
#define SELF_TEST_NS (5 * LOOP_SECOND)

/* The user_data of the entries of the self-test. No cancel has it. */
#define SELF_TEST loop_uring_user_data(LOOP_URING_TAG_IGNORED, 1)

/* ---- causes of a failure ---- */

/* Returns the sysctl kernel.io_uring_disabled: 0, 1 or 2. It is 0 before Linux 6.6, which has no such sysctl. */
static int disabled_by_sysctl(void)
{
    char text[8] = "";
    int file = loop_kernel_open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) {
        return 0;
    }
    ssize_t n = loop_kernel_read(file, text, sizeof text - 1);
    loop_kernel_close(file);
    return n > 0 ? atoi(text) : 0;
}

static void say_not_permitted(char *cause, size_t size)
{
    int disabled = disabled_by_sysctl();
    if (disabled > 0) {
        (void)snprintf(cause, size, "the sysctl kernel.io_uring_disabled is %d: set it to 0", disabled);
    } else {
        (void)snprintf(
            cause, size,
            "blocked by a seccomp filter, as Docker and containerd do: allow io_uring_setup, io_uring_enter and "
            "io_uring_register in its profile");
    }
}

struct cause_row {
    int error;
    const char *name, *cause;
};

static const struct cause_row causes[] = {
    {ENOSYS, "ENOSYS",
     "a kernel without io_uring, or a filter that hides it, as those of Podman and gVisor do: allow it there"},
    {EACCES, "EACCES", "forbidden by a seccomp filter or a security module: allow io_uring there"},
    {EMFILE, "EMFILE", "no descriptors left: raise RLIMIT_NOFILE with ulimit -n, or LimitNOFILE= of systemd"},
    {ENFILE, "ENFILE", "the machine has no descriptors left: raise the sysctl fs.file-max"},
    {EINVAL, "EINVAL",
     "the kernel is older than 6.1, or imitates a part of io_uring only: 6.1 is the first that will do"},
    {EOPNOTSUPP, "EOPNOTSUPP", "switched off by who runs this machine: ask there"},
    {EPERM, "EPERM", NULL},
    {ENOMEM, "ENOMEM", NULL},
};

/* Writes the step that failed, the error, its likely cause and the cure to loop->backend_detail. Returns the error. */
static int fail(struct loop *loop, const char *step, int error)
{
    const char *name = strerror(-error), *known = "";
    char cause[160];
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        if (causes[i].error == -error) {
            name = causes[i].name;
            known = causes[i].cause;
        }
    }
    if (error == -EPERM) {
        say_not_permitted(cause, sizeof cause);
    } else if (error == -ENOMEM) {
        loop_uring_say_lock_limit(cause, sizeof cause);
    } else {
        (void)snprintf(cause, sizeof cause, "%s", known);
    }
    (void)snprintf(loop->backend_detail, sizeof loop->backend_detail, "%s: %s%s%s%s", step, name, *cause ? " (" : "",
                   cause, *cause ? ")" : "");
    return error;
}

/* ---- creating the ring ---- */

/* Set-up flags, from the best to what every kernel accepts. */
struct ladder_step {
    const char *name;
    uint32_t flags;
};

static const struct ladder_step ladder[] = {
    {"defer_taskrun",
     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG},
    {"coop_taskrun", IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG},
    {"plain", 0},
};

/* With deferred work, a sleep that is not the ring's own wait never learns of it: a host that polls the ring would
 * sleep on. So a loop with a host leaves the first step out. */
#define FIRST_STEP_HOSTED 1u

/* With a submitting kernel thread: that thread also runs the deferred work. */
static const struct ladder_step polled_ladder[] = {
    {"sqpoll", IORING_SETUP_SQPOLL | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER},
    {"sqpoll", IORING_SETUP_SQPOLL},
};

static unsigned wanted_sq_size(const struct loop *loop)
{
    unsigned size = loop->options.queue_depth ? loop->options.queue_depth : SQ_SIZE;
    if (loop_hard()->depth > 0) {
        size = loop_hard()->depth;
    }
    return size < SQ_SIZE_MAX ? size : SQ_SIZE_MAX;
}

/* Creates the ring with the largest completion queue that the limit of locked memory allows. */
static int make_ring_that_fits(struct loop_uring *uring, uint32_t flags)
{
    unsigned sq_size = wanted_sq_size(uring->loop);
    unsigned cq_size = 2 * sq_size > CQ_SIZE ? 2 * sq_size : CQ_SIZE;
    int error = loop_uring_make(uring, sq_size, cq_size, flags);
    while (error == -ENOMEM && cq_size / 2 >= CQ_SIZE_MIN && cq_size / 2 >= sq_size) {
        cq_size /= 2;
        error = loop_uring_make(uring, sq_size, cq_size, flags);
    }
    return error;
}

/* Creates the ring with the first set of flags that the kernel accepts, whose name is then in `*name`. */
static int climb_down(struct loop_uring *uring, const struct ladder_step *steps, unsigned n, const char **name)
{
    int error = -EINVAL;
    for (unsigned i = 0; i < n && error == -EINVAL; i++) {
        *name = steps[i].name;
        error = make_ring_that_fits(uring, steps[i].flags);
    }
    return error;
}

/* ---- the self-test ---- */

static int check_opcodes(struct loop_uring *uring)
{
    enum { MOST_OPCODES = 256 };
    struct io_uring_probe *probe = loop_kernel_calloc(1, sizeof *probe + MOST_OPCODES * sizeof *probe->ops);
    if (!probe) {
        return -ENOMEM;
    }
    int error = loop_kernel_io_uring_register_probe(&uring->ring, probe, MOST_OPCODES);
    if (!error) {
        uring->elsewhere = loop_uring_unserved_ops(probe);
        error = probe->last_op >= FLOOR_OPCODE ? 0 : -EINVAL;
    }
    loop_kernel_free(probe);
    return error;
}

static void apply_hard_modes(struct loop_uring *uring)
{
    if (loop_hard()->refuses) {
        uring->elsewhere = ~(UINT32_C(1) << LOOP_OP_POLL);
    }
}

/* Waits for the next completion and takes it. Returns 0 or -errno. */
static int await(struct loop_uring *uring, struct io_uring_cqe *completion)
{
    int result = 0;
    for (unsigned tries = 0; tries < 8 && loop_uring_completions_ready(uring) == 0; tries++) {
        result = loop_uring_enter(uring, 1, SELF_TEST_NS / 8);
        if (result < 0 && result != -EINTR && result != -ETIME && result != -EAGAIN) {
            return result;
        }
    }
    if (loop_uring_completions_ready(uring) == 0) {
        return result < 0 ? result : -ETIME;
    }
    uint32_t head = *uring->cq_head;
    *completion = uring->completions[head & uring->cq_mask];
    __atomic_store_n(uring->cq_head, head + 1, __ATOMIC_RELEASE);
    return completion->user_data == SELF_TEST ? 0 : -EINVAL;
}

static int try_nop(struct loop_uring *uring)
{
    struct io_uring_cqe completion;
    struct io_uring_sqe *entry = loop_uring_entry(uring);
    io_uring_prep_nop(entry);
    entry->user_data = SELF_TEST;
    int error = await(uring, &completion);
    return error ? error : completion.res;
}

/* Tests a multishot poll: it reports a ready descriptor, stays armed, and ends when it is cancelled. The inbox's
 * eventfd is always writable. */
static int try_poll(struct loop_uring *uring)
{
    struct io_uring_cqe completion;
    struct io_uring_sqe *entry = loop_uring_entry(uring);
    io_uring_prep_poll_multishot(entry, loop_inbox_number(uring->loop->inbox), POLLOUT);
    entry->user_data = SELF_TEST;
    int error = await(uring, &completion);
    if (error || completion.res < 0) {
        return error ? error : completion.res;
    }
    if (!(completion.res & POLLOUT) || !(completion.flags & IORING_CQE_F_MORE)) {
        return -EINVAL;
    }
    entry = loop_uring_entry(uring);
    loop_uring_prepare_cancel(entry, SELF_TEST);
    error = await(uring, &completion);
    return error ? error : completion.res == -ECANCELED && !(completion.flags & IORING_CQE_F_MORE) ? 0 : -EINVAL;
}

/* Tests the ring. Returns 0, or the first error with the name of the failed step in `*step`. */
static int check(struct loop_uring *uring, const char **step)
{
    *step = "io_uring_setup lacks features";
    if ((uring->ring.features & NEEDED_FEATURES) != NEEDED_FEATURES) {
        return -EINVAL;
    }
    *step = "io_uring_register";
    int error = check_opcodes(uring);
    if (!error) {
        *step = "io_uring_enter";
        error = try_nop(uring);
    }
    if (!error) {
        *step = "io_uring's poll";
        error = try_poll(uring);
    }
    return error;
}

/* ---- optional features ---- */

static void limit_workers(struct loop_uring *uring)
{
    unsigned most[2] = {FILE_WORKERS, OTHER_WORKERS};
    (void)loop_kernel_io_uring_register_iowq_max_workers(&uring->ring, most);
}

/* What a system call costs: the shortest of some that fail at once. Filters of seccomp(2) and the isolation of page
 * tables make calls ten times as dear on some machines as on others. */
static int64_t call_cost_ns(void)
{
    int64_t least_ns = LOOP_SECOND;
    for (unsigned i = 0; i < CALL_TRIES; i++) {
        char byte;
        int64_t before_ns = loop_clock_read();
        for (unsigned n = 0; n < CALLS_PER_TRY; n++) {
            (void)loop_kernel_recv(-1, &byte, 1, MSG_DONTWAIT);
        }
        int64_t took_ns = (loop_clock_read() - before_ns) / CALLS_PER_TRY;
        least_ns = took_ns < least_ns ? took_ns : least_ns;
    }
    return least_ns;
}

static void choose_way(struct loop_uring *uring)
{
    enum loop_way way = loop_hard()->switches_ways ? LOOP_WAY_COMPLETIONS : uring->loop->options.way;
    if (way == LOOP_WAY_AUTO && uring->loop->is_hosted) {
        return; /* a receive would go on between the turns, and take bytes after its cancel */
    }
    bool is_served = !(uring->elsewhere >> LOOP_OP_RECV_MULTISHOT & 1) && !(uring->elsewhere >> LOOP_OP_SEND & 1);
    int64_t cost_ns = is_served && way == LOOP_WAY_AUTO ? call_cost_ns() : 0;
    uring->loop->prefers_completions = is_served && (way == LOOP_WAY_COMPLETIONS || cost_ns >= DEAR_CALL_NS);
    if (is_served && way == LOOP_WAY_AUTO && cost_ns < DEAR_CALL_NS) {
        uring->inputs.enough = (uint32_t)((DEAR_CALL_NS - cost_ns) * INPUTS_MOST * 16 / DEAR_CALL_NS);
    }
}

static void say_what_is_used(struct loop_uring *uring, const char *name)
{
    struct loop *loop = uring->loop;
    (void)snprintf(loop->backend_detail, sizeof loop->backend_detail, "io_uring: %s, sq %u, cq %u%s%s", name,
                   uring->sq_size, uring->cq_size,
                   uring->enter_flags & IORING_ENTER_REGISTERED_RING ? ", registered ring" : "",
                   uring->wait_flags & IORING_ENTER_NO_IOWAIT ? ", no iowait" : "");
}

/* ---- init and finish ---- */

static int set_up(struct loop_uring *uring)
{
    bool is_polled = uring->loop->options.polling_timeout_ms > 0;
    unsigned first = uring->loop->is_hosted ? FIRST_STEP_HOSTED : 0;
    const char *name = NULL, *step = NULL;
    int error = is_polled ? climb_down(uring, polled_ladder, sizeof polled_ladder / sizeof *polled_ladder, &name)
                          : climb_down(uring, ladder + first, sizeof ladder / sizeof *ladder - first, &name);
    if (error) {
        return fail(uring->loop, "io_uring_setup", error);
    }
    loop_uring_map(uring);
    error = check(uring, &step);
    if (error) {
        loop_uring_unmap(uring);
        return fail(uring->loop, step, error);
    }
    apply_hard_modes(uring);
    choose_way(uring);
    limit_workers(uring);
    say_what_is_used(uring, name);
    return 0;
}

static void close_probe(struct loop *loop)
{
    if (loop->probe >= 0) {
        loop_kernel_close(loop->probe);
        loop->probe = -1;
    }
}

int loop_uring_init(struct loop *loop)
{
    struct loop_uring *uring = loop_kernel_calloc(1, sizeof *uring);
    if (!uring) {
        return fail(loop, "io_uring", -ENOMEM);
    }
    uring->loop = loop;
    loop_list_init(&uring->line);
    uring->last_in_line = &uring->first_in_line;
    loop->probe = loop_kernel_epoll_create1(EPOLL_CLOEXEC);
    int error = loop->probe < 0 ? fail(loop, "epoll_create1", -errno) : set_up(uring);
    if (error) {
        close_probe(loop);
        loop_kernel_free(uring);
        return error;
    }
    loop->backend_state = uring;
    return 0;
}

void loop_uring_finish(struct loop *loop)
{
    struct loop_uring *uring = loop_uring_of(loop);
    assert(uring->in_flight == 0);
    assert(loop_list_is_empty(&uring->line) && !uring->first_in_line);
    loop_uring_receiver_finish(uring);
    loop_kernel_free(uring->gathered);
    loop_uring_iopoll_finish(uring);
    loop_uring_close(uring);
    close_probe(loop);
    loop_kernel_free(uring);
    loop->backend_state = NULL;
}
