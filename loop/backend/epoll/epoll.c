/* SPDX-License-Identifier: ISC
 *
 * The epoll backend: edge-triggered readiness; operations are served by system calls (direct.c).
 *
 * A descriptor is added to the set when a job first waits for it, and stays until it is closed, so that later waits
 * need no system call. fd->ready keeps what is ready, and an edge reports when it is ready again. Only the interest in
 * output is removed and added, because a Unix socket makes an edge for every read of its peer. It stays until an event
 * comes that no job has waited for: a sink that is full after each write needs no call for that. An event carries the
 * id of the descriptor with its generation, so that a late event finds nothing.
 */
#include <loop/backend/broken.h>
#include <loop/backend/epoll/epoll.h>
#include <loop/core/backend.h>
#include <loop/core/close.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/number.h>
#include <loop/core/ready.h>
#include <loop/ground/list.h>
#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/syscall/buffers.h>
#include <loop/syscall/direct.h>
#include <loop/turn/turn.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define EVENTS_PER_TURN 256

_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLPRI == POLLPRI && EPOLLERR == POLLERR &&
                   EPOLLHUP == POLLHUP,
               "epoll's events are poll's, but for EPOLLRDHUP");

struct epoll_state {
    int number;
    bool has_no_pwait2; /* kernels before 5.11, and filters without the call */
    int n_events;       /* events found by has_events, for the next turn */
    struct epoll_event events[EVENTS_PER_TURN];
};

static struct epoll_state *state_of(const struct loop *loop)
{
    return loop->backend_state;
}

/* ---- init and finish ---- */

static const char *cure_for(int error)
{
    switch (error) {
    case EMFILE: return "the process has no descriptor left; raise ulimit -n";
    case ENFILE: return "the system has no descriptor left; raise fs.file-max";
    case ENOMEM: return "the kernel has no memory for it; see the memory limit of the container";
    case ENOSPC: return "the user's watches are used up; raise the sysctl fs.epoll.max_user_watches";
    case EBADF: return "its number has been closed; close or destroy the object first";
    default: return "a filter may forbid it; see the container's seccomp profile";
    }
}

static int fail(struct loop *loop, int error)
{
    (void)snprintf(loop->backend_detail, sizeof loop->backend_detail, "epoll can't be had (%s): %s", strerror(error),
                   cure_for(error));
    return -error;
}

static int init(struct loop *loop)
{
    struct epoll_state *state = loop_kernel_calloc(1, sizeof *state);
    if (!state) {
        return fail(loop, ENOMEM);
    }
    state->number = loop_kernel_epoll_create1(EPOLL_CLOEXEC);
    if (state->number < 0) {
        int error = errno;
        loop_kernel_free(state);
        return fail(loop, error);
    }
    loop->backend_state = state;
    loop->probe = state->number;
    (void)snprintf(loop->backend_detail, sizeof loop->backend_detail,
                   "edge-triggered epoll, and a pool of threads for files");
    return 0;
}

static void finish(struct loop *loop)
{
    struct epoll_state *state = state_of(loop);
    if (state->number >= 0) {
        loop_kernel_close(state->number);
    }
    loop_kernel_free(state);
    loop->backend_state = NULL;
}

/* Replaces the number of the set, which a forked child shares with its parent, by an invalid one. */
static void forked(struct loop *loop)
{
    state_of(loop)->number = -1;
}

/* ---- watching ---- */

/* fd->backend_id is 0, or the number in the set plus 1: the descriptor's own, or a duplicate if another object has put
 * the own one into the set. */
#define IS_DUPLICATE (UINT32_C(1) << 31)

static int watched_number(const struct loop_fd *fd)
{
    return (int)(fd->backend_id & ~IS_DUPLICATE) - 1;
}

/* Whether the set has the descriptor under its own number, which a borrowed object may have lost since. */
static bool is_watched_by_number(const struct loop_fd *fd)
{
    return fd->backend_id && !(fd->backend_id & IS_DUPLICATE) && fd->number == watched_number(fd);
}

static bool is_watched(const struct loop_fd *fd)
{
    return fd->backend_id & IS_DUPLICATE || is_watched_by_number(fd);
}

static int control(struct loop *loop, struct loop_fd *fd, int what, int number, uint32_t events)
{
    uint32_t urgent = fd->doubts & LOOP_DOUBT_ALWAYS ? 0 : POLLPRI;
    struct epoll_event event = {.events = EPOLLET | EPOLLIN | EPOLLRDHUP | urgent | (events & (POLLOUT | POLLPRI)),
                                .data.u64 = fd->id};
    return loop_kernel_epoll_ctl(state_of(loop)->number, what, number, &event) ? errno : 0;
}

static int add_duplicate(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    int number = loop_kernel_dup(fd->number, 3);
    if (number < 0) {
        return errno;
    }
    int error = control(loop, fd, EPOLL_CTL_ADD, number, events);
    if (error) {
        loop_kernel_close(number);
        return error;
    }
    fd->backend_id = ((uint32_t)number + 1) | IS_DUPLICATE;
    return 0;
}

/* Returns the other object that has put this number into the set, or NULL. */
static struct loop_fd *find_watcher(const struct loop *loop, const struct loop_fd *fd)
{
    for (struct loop_fd *other = loop_number_first(loop, fd->number); other; other = loop_number_next(loop, other)) {
        if (other != fd && is_watched_by_number(other)) {
            return other;
        }
    }
    return NULL;
}

/* Adds the descriptor to the set, which identifies a file by its number and its open file description. EEXIST: another
 * object watches the file, or the number was closed while a duplicate kept the file open. If adding succeeds although
 * another object has added the number, the file of that object is no longer open under it. */
static int add(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    struct loop_fd *watcher = loop_number_is_shared(loop, fd) ? find_watcher(loop, fd) : NULL;
    int error = control(loop, fd, EPOLL_CTL_ADD, fd->number, events);
    if (error == EEXIST && watcher) {
        return add_duplicate(loop, fd, events);
    }
    if (error == EEXIST) {
        error = control(loop, fd, EPOLL_CTL_MOD, fd->number, events);
    } else if (!error && watcher && watcher->is_borrowed) {
        loop_number_lose(loop, watcher);
    }
    if (!error) {
        fd->backend_id = (uint32_t)fd->number + 1;
    }
    return error;
}

/* Changes the events. ENOENT: the owner of a borrowed number has closed it and opened another file. */
static int change(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    int error = control(loop, fd, EPOLL_CTL_MOD, watched_number(fd), events);
    return error == ENOENT ? add(loop, fd, events) : error;
}

/* Watches the descriptor. One that cannot be watched (EPERM), such as a regular file, is always ready. */
static int watch(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    uint32_t wanted = fd->watched | events | POLLIN;
    int error = is_watched(fd) ? change(loop, fd, wanted) : add(loop, fd, wanted);
    if (error && error != EPERM) {
        loop_log_options(&loop->options, LOOP_LOG_ERROR,
                         "descriptor %d can't be watched (%s), and what waits for it ends: %s", fd->number,
                         strerror(error), cure_for(error));
        loop_ready_fail(loop, fd, -error);
        return -error;
    }
    fd->watched = (uint8_t)wanted;
    if (error == EPERM) {
        loop_ready_note(loop, fd, POLLIN | POLLOUT);
    }
    return 0;
}

/* Removes the descriptor from the set before it is closed: a duplicate may keep the file open, which would still be
 * reported. */
static void unwatch(struct loop *loop, struct loop_fd *fd)
{
    if (is_watched(fd)) {
        (void)loop_kernel_epoll_ctl(state_of(loop)->number, EPOLL_CTL_DEL, watched_number(fd), NULL);
    }
    if (fd->backend_id & IS_DUPLICATE) {
        loop_kernel_close(watched_number(fd));
    }
    fd->backend_id = 0;
    fd->watched = 0;
    loop_fd_unwatched(loop, fd);
}

/* ---- a turn ---- */

static int wait_rounded_up(struct epoll_state *state, int64_t timeout_ns)
{
    int64_t ms = timeout_ns / LOOP_MILLISECOND + (timeout_ns % LOOP_MILLISECOND > 0);
    int timeout = timeout_ns == LOOP_NEVER ? -1 : ms < INT_MAX ? (int)ms : INT_MAX;
    return loop_kernel_epoll_wait(state->number, state->events, EVENTS_PER_TURN, timeout);
}

static int wait_for_events(struct epoll_state *state, int64_t timeout_ns)
{
    struct __kernel_timespec timeout = {.tv_sec = timeout_ns / LOOP_SECOND, .tv_nsec = timeout_ns % LOOP_SECOND};
    if (timeout_ns == 0 || timeout_ns == LOOP_NEVER || state->has_no_pwait2) {
        return wait_rounded_up(state, timeout_ns);
    }
    int n = loop_kernel_epoll_pwait2(state->number, state->events, EVENTS_PER_TURN, &timeout, NULL);
    if (n < 0 && (errno == ENOSYS || errno == EPERM)) {
        state->has_no_pwait2 = true;
        n = wait_rounded_up(state, timeout_ns);
    }
    return n;
}

/* Whether a job waits for output. */
static bool awaits_output(const struct loop_fd *fd)
{
    return !loop_line_is_empty(&fd->writers) || loop_fd_has_pollers(fd);
}

/* Removes the interest in output after an event for it that no job has waited for, if none waits now. Finds the
 * descriptor by its id, because the event's continuations may have destroyed it. */
static void drop_output(struct loop *loop, uint64_t id)
{
    struct loop_fd *fd = loop_fd_find(loop, id);
    if (!fd || !(fd->watched & POLLOUT) || awaits_output(fd) || !is_watched(fd)) {
        return;
    }
    if (control(loop, fd, EPOLL_CTL_MOD, watched_number(fd), fd->watched & ~(uint32_t)POLLOUT) == 0) {
        fd->watched &= (uint8_t)~POLLOUT;
    }
}

/* Handles an event that is more than input, unless the descriptor has left the set since it was reported. */
__attribute__((noinline)) static void note_other(struct loop *loop, struct loop_fd *fd, const struct epoll_event *event)
{
    if (!fd->backend_id) {
        return;
    }
    uint32_t events = event->events & (POLLIN | POLLOUT | POLLPRI | POLLERR | POLLHUP);
    if (event->events & EPOLLRDHUP) {
        events |= POLLRDHUP;
    }
    bool was_awaited = awaits_output(fd);
    loop_ready_events(loop, fd, events);
    if (events & POLLOUT && !was_awaited) {
        drop_output(loop, event->data.u64);
    }
}

/* Handles an event, unless the descriptor has been freed since it was reported. Late input does no harm: a job that
 * still waits is tried once more. */
static inline void note(struct loop *loop, const struct epoll_event *event)
{
    struct loop_fd *fd = loop_fd_find(loop, event->data.u64);
    if (fd && event->events == EPOLLIN) {
        loop_ready_input(loop, fd);
    } else if (fd) {
        note_other(loop, fd, event);
    }
}

/* Logs that the set cannot be used any more. Its number may name another file now. */
static int tell_broken(struct loop *loop, int error)
{
    loop_log_options(
        &loop->options, LOOP_LOG_ERROR,
        "the loop ends: epoll_wait failed (%s): the set's descriptor was closed; let the program close only what it "
        "has opened",
        strerror(error));
    state_of(loop)->number = -1;
    loop->probe = -1;
    return -error;
}

/* Dispatches what a wait has found. Returns 0, or -errno when the set cannot be used any more. */
__attribute__((always_inline)) static inline int dispatch(struct loop *loop, struct epoll_state *state, int n)
{
    loop_turn_woken(loop);
    if (n < 0 && errno != EINTR) {
        return tell_broken(loop, errno);
    }
    for (int i = 0; i < n; i++) {
        note(loop, &state->events[i]);
    }
    state->n_events = 0;
    return 0;
}

static int run(struct loop *loop)
{
    struct epoll_state *state = state_of(loop);
    int64_t timeout_ns;
    while (loop_turn_begin(loop, &timeout_ns)) {
        int n = state->n_events;
        if (n == 0) {
            loop->stats.enters++;
            n = wait_for_events(state, timeout_ns);
        }
        int error = dispatch(loop, state, n);
        if (error) {
            return error;
        }
    }
    return 0;
}

/* Cold, so that the compiler inlines for `run` what it inlined without this. */
__attribute__((cold)) static int turn(struct loop *loop)
{
    struct epoll_state *state = state_of(loop);
    loop->stats.enters++;
    return dispatch(loop, state, wait_for_events(state, 0));
}

/* Everything to report makes the set readable. */
static int64_t time_to_turn(struct loop *loop)
{
    (void)loop;
    return LOOP_NEVER;
}

static int number(const struct loop *loop)
{
    return state_of(loop)->number;
}

/* An error is ignored here: the next turn meets it again. */
static bool has_events(struct loop *loop)
{
    struct epoll_state *state = state_of(loop);
    loop->stats.enters++;
    int n = loop_kernel_epoll_wait(state->number, state->events, EVENTS_PER_TURN, 0);
    state->n_events = n > 0 ? n : 0;
    return n > 0;
}

static int run_broken(struct loop *loop)
{
    loop_broken_turns(loop);
    return 0;
}

static const struct loop_backend_ops broken = {
    .name = "epoll",
    .finish = finish,
    .start = loop_broken_start,
    .cancel = loop_broken_cancel,
    .watch = loop_broken_watch,
    .unwatch = unwatch,
    .run = run_broken,
    .turn = loop_broken_turn,
    .time_to_turn = loop_broken_time_to_turn,
    .has_events = loop_broken_has_events,
    .buffers_init = loop_direct_buffers_init,
    .buffers_finish = loop_direct_buffers_finish,
    .buffers_recycle = loop_direct_buffers_recycle,
};

const struct loop_backend_ops loop_backend_epoll = {
    .name = "epoll",
    .init = init,
    .finish = finish,
    .start = loop_direct_start,
    .cancel = loop_direct_cancel,
    .watch = watch,
    .unwatch = unwatch,
    .run = run,
    .turn = turn,
    .time_to_turn = time_to_turn,
    .number = number,
    .broken = &broken,
    .has_events = has_events,
    .forked = forked,
    .buffers_init = loop_direct_buffers_init,
    .buffers_finish = loop_direct_buffers_finish,
    .buffers_recycle = loop_direct_buffers_recycle,
};
