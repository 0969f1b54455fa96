/* SPDX-License-Identifier: ISC
 *
 * Readiness by polls in the ring. Input is watched by a multishot poll, which is armed once and reports every arrival
 * (edges). Output is watched by a one-shot poll, armed when the descriptor was found full: on a Unix socket a multishot
 * poll would report every read of the peer. A pipe reports only that it is not full any more, so its poll stays armed
 * while jobs wait for what it reports.
 */
#include <loop/backend/uring/receiver.h>
#include <loop/backend/uring/ring.h>
#include <loop/backend/uring/watch.h>
#include <loop/core/close.h>
#include <loop/core/dispatch.h>
#include <loop/core/fd.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/ready.h>
#include <loop/core/unread.h>
#include <loop/ground/index_list.h>

#include <errno.h>
#include <string.h>

#define ALL_ARMED                                                                                                      \
    (LOOP_URING_ARMED(LOOP_URING_WATCH_IN) | LOOP_URING_ARMED(LOOP_URING_WATCH_OUT) |                                  \
     LOOP_URING_ARMED(LOOP_URING_WATCH_PRIORITY) | LOOP_URING_ARMED(LOOP_URING_WATCH_HANGUP) |                         \
     LOOP_URING_ARMED(LOOP_URING_RECEIVE))
#define ALL_ARM_DUE (ALL_ARMED << 8)
#define ALL_CANCEL_DUE (ALL_ARMED << 16)
#define ALL_DUE (ALL_ARM_DUE | ALL_CANCEL_DUE)

struct watch_row {
    uint32_t event; /* that the loop asks for */
    uint32_t mask;  /* for the kernel */
};

static const struct watch_row rows[LOOP_URING_WATCH_KINDS] = {
    [LOOP_URING_WATCH_IN] = {POLLIN, POLLIN | POLLRDHUP},
    [LOOP_URING_WATCH_OUT] = {POLLOUT, POLLOUT},
    [LOOP_URING_WATCH_PRIORITY] = {POLLPRI, POLLPRI},
    [LOOP_URING_WATCH_HANGUP] = {0, POLLRDHUP},
};

/* Returns the mask for the kernel. A socket's urgent data wakes only polls that ask for POLLIN and POLLPRI; see
 * loop_uring_known_events. */
static uint32_t mask_of(struct loop_fd *fd, enum loop_uring_watch_kind kind)
{
    bool looks_for_mark =
        kind == LOOP_URING_WATCH_PRIORITY || (kind == LOOP_URING_WATCH_IN && !(fd->doubts & LOOP_DOUBT_ALWAYS));
    bool is_socket = loop_fd_reads_by(fd) == LOOP_IO_SOCKET;
    fd->has_vague_events |= looks_for_mark && is_socket;
    return rows[kind].mask | (looks_for_mark && is_socket ? POLLIN | POLLPRI | POLLRDBAND : 0);
}

static uint64_t watch_data(const struct loop_fd *fd, enum loop_uring_watch_kind kind)
{
    return loop_uring_fd_data((enum loop_uring_tag)((unsigned)LOOP_URING_TAG_WATCH_IN + (unsigned)kind), fd);
}

/* ---- the line ---- */

/* Notes what the descriptor waits for an entry for, and puts it in line. */
static void put_in_line(struct loop_uring *uring, struct loop_fd *fd, uint32_t due)
{
    if (!(fd->backend_id & ALL_DUE)) {
        fd->next_in_line = 0;
        *uring->last_in_line = loop_index_of(fd);
        uring->last_in_line = &fd->next_in_line;
    }
    fd->backend_id |= due;
}

/* Takes the descriptor out of line. It is the first, or the line is short: the submission queue was full. */
static void leave_line(struct loop_uring *uring, struct loop_fd *fd)
{
    uint32_t index = loop_index_of(fd), *at = &uring->first_in_line;
    while (*at != index) {
        assert(*at);
        at = &((struct loop_fd *)loop_index_object(&uring->loop->fds, *at))->next_in_line;
    }
    *at = fd->next_in_line;
    if (uring->last_in_line == &fd->next_in_line) {
        uring->last_in_line = at;
    }
    fd->next_in_line = 0;
}

/* Clears bits of what the descriptor waits for, and takes it out of line when nothing is left. */
static void take_out_of_line(struct loop_uring *uring, struct loop_fd *fd, uint32_t due)
{
    bool was_in_line = fd->backend_id & ALL_DUE;
    fd->backend_id &= ~due;
    if (was_in_line && !(fd->backend_id & ALL_DUE)) {
        leave_line(uring, fd);
    }
}

/* ---- arming and cancelling ---- */

/* Whether a poll for output stays armed. That of a pipe does: it reports only that the pipe is not full any more, and a
 * one-shot poll would have to be armed again each time. Where the loop prefers completions it does not, because the
 * ring writes to no descriptor that is watched for output. */
static bool lasts(const struct loop_fd *fd)
{
    bool is_pipe = fd->is_byte_stream && fd->write_by != LOOP_IO_SOCKET;
    return fd->backend_id & LOOP_URING_LASTS(LOOP_URING_WATCH_OUT) ||
           (is_pipe && !fd->scope->loop->prefers_completions);
}

static void fill_in_arm(struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_fd *fd,
                        enum loop_uring_watch_kind kind)
{
    assert(!(fd->backend_id & LOOP_URING_ARMED(kind)));
    if (kind == LOOP_URING_RECEIVE) {
        loop_uring_receiver_prepare(uring, entry, fd);
    } else if (kind != LOOP_URING_WATCH_OUT || lasts(fd)) {
        io_uring_prep_poll_multishot(entry, fd->number, mask_of(fd, kind));
    } else {
        io_uring_prep_poll_add(entry, fd->number, rows[kind].mask);
    }
    entry->user_data = watch_data(fd, kind);
    fd->backend_id |= LOOP_URING_ARMED(kind);
    uring->in_flight++;
}

void loop_uring_arm(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind)
{
    if (fd->backend_id & LOOP_URING_ARM_DUE(kind)) {
        return; /* an entry of its own, from outside the line, would be a second poll under the same name */
    }
    struct io_uring_sqe *entry = loop_uring_entry(uring);
    if (entry) {
        fill_in_arm(uring, entry, fd, kind);
    } else {
        put_in_line(uring, fd, LOOP_URING_ARM_DUE(kind));
    }
}

void loop_uring_disarm(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind)
{
    if (!(fd->backend_id & LOOP_URING_ARMED(kind))) {
        take_out_of_line(uring, fd, LOOP_URING_ARM_DUE(kind));
        return;
    }
    struct io_uring_sqe *entry = loop_uring_entry(uring);
    if (entry) {
        loop_uring_prepare_cancel(entry, watch_data(fd, kind));
    } else {
        put_in_line(uring, fd, LOOP_URING_CANCEL_DUE(kind));
    }
}

/* Uses the entry for one poll of a descriptor in line: to arm it, or to cancel it. */
static void serve(struct loop_uring *uring, struct io_uring_sqe *entry, struct loop_fd *fd)
{
    enum loop_uring_watch_kind kind = LOOP_URING_WATCH_IN;
    while (!(fd->backend_id & (LOOP_URING_ARM_DUE(kind) | LOOP_URING_CANCEL_DUE(kind)))) {
        kind++;
        assert(kind < LOOP_URING_WATCH_KINDS);
    }
    if (fd->backend_id & LOOP_URING_CANCEL_DUE(kind)) {
        loop_uring_prepare_cancel(entry, watch_data(fd, kind));
    } else {
        fill_in_arm(uring, entry, fd, kind);
    }
    take_out_of_line(uring, fd, LOOP_URING_ARM_DUE(kind) | LOOP_URING_CANCEL_DUE(kind));
}

bool loop_uring_serve_fds(struct loop_uring *uring)
{
    struct loop_fd *fd;
    while ((fd = loop_index_object(&uring->loop->fds, uring->first_in_line))) {
        struct io_uring_sqe *entry = loop_uring_entry(uring);
        if (!entry) {
            return false;
        }
        serve(uring, entry, fd);
    }
    return true;
}

/* ---- calls from the loop ---- */

int loop_uring_watch(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    assert(!(fd->backend_id & LOOP_URING_LETTING_GO));
    for (enum loop_uring_watch_kind kind = LOOP_URING_WATCH_IN; kind < LOOP_URING_WATCH_KINDS; kind++) {
        if (events & ~fd->watched & rows[kind].event) {
            fd->watched |= (uint8_t)rows[kind].event;
            if (!(fd->backend_id & LOOP_URING_ARMED(kind))) { /* else its cancel tells those that wait */
                loop_uring_arm(loop_uring_of(loop), fd, kind);
            }
        }
    }
    return 0;
}

/* Reports that the kernel has no poll of the descriptor any more. */
static void let_go(struct loop *loop, struct loop_fd *fd)
{
    assert(!(fd->backend_id & (ALL_ARMED | ALL_DUE)));
    fd->backend_id = 0;
    if (fd->is_receiving) {
        loop_unread_end_receiving(fd);
    }
    loop_fd_unwatched(loop, fd);
}

void loop_uring_unwatch(struct loop *loop, struct loop_fd *fd)
{
    fd->watched = 0;
    take_out_of_line(loop_uring_of(loop), fd, ALL_ARM_DUE);
    if (!(fd->backend_id & ALL_ARMED)) {
        let_go(loop, fd);
        return;
    }
    fd->backend_id |= LOOP_URING_LETTING_GO;
    for (enum loop_uring_watch_kind kind = LOOP_URING_WATCH_IN; kind < LOOP_URING_WATCH_KINDS; kind++) {
        if (fd->backend_id & LOOP_URING_ARMED(kind)) {
            loop_uring_disarm(loop_uring_of(loop), fd, kind);
        }
    }
}

/* ---- the end of the ring ---- */

void loop_uring_unarm(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind)
{
    assert(fd->backend_id & LOOP_URING_ARMED(kind) && uring->in_flight > 0);
    fd->backend_id &= ~LOOP_URING_ARMED(kind);
    uring->in_flight--;
}

void loop_uring_forget_watches(struct loop *loop, struct loop_fd *fd)
{
    bool is_letting_go = fd->backend_id & LOOP_URING_LETTING_GO;
    for (enum loop_uring_watch_kind kind = LOOP_URING_WATCH_IN; kind < LOOP_URING_WATCH_KINDS; kind++) {
        if (fd->backend_id & LOOP_URING_ARMED(kind)) {
            loop_uring_unarm(loop_uring_of(loop), fd, kind);
        }
    }
    take_out_of_line(loop_uring_of(loop), fd, ALL_DUE);
    fd->backend_id = 0;
    if (fd->is_receiving) {
        loop_unread_end_receiving(fd);
    }
    if (is_letting_go) {
        loop_fd_unwatched(loop, fd);
    }
}

/* ---- completions ---- */

/* Whether a poll for output has ended only because the peer has shut down its side (POLLRDHUP, which is always
 * reported). A one-shot poll would end so each time it is armed, so a multishot poll replaces it. */
static bool has_only_hung_up(enum loop_uring_watch_kind kind, int32_t result)
{
    return kind == LOOP_URING_WATCH_OUT && result > 0 && !(result & (POLLOUT | POLLERR | POLLHUP));
}

/* Returns the events of a poll's last completion. -ECANCELED: the kernel has ended the poll because the completion
 * queue was full, and an event may be lost. */
static uint32_t last_events(struct loop_fd *fd, enum loop_uring_watch_kind kind, int32_t result)
{
    if (result != -ECANCELED) {
        return loop_uring_known_events(fd, (uint32_t)result);
    }
    fd->doubts |= LOOP_DOUBT_ASK;
    return rows[kind].event;
}

/* Others may fill a pipe too, and a loop that writes nothing is not to be woken each time that it has been full. Once
 * the poll has gone a job that has come to wait meanwhile is told, and arms the next one. */
void loop_uring_output_event(struct loop_uring *uring, struct loop_fd *fd, int32_t result)
{
    bool is_awaited = !loop_line_is_empty(&fd->writers) || loop_fd_has_pollers(fd);
    bool was_in_vain = fd->backend_id & LOOP_URING_IN_VAIN;
    fd->backend_id &= ~LOOP_URING_IN_VAIN;
    if (!lasts(fd) || (was_in_vain && !is_awaited)) {
        loop_uring_disarm(uring, fd, LOOP_URING_WATCH_OUT);
    } else if (!is_awaited) {
        fd->backend_id |= LOOP_URING_IN_VAIN;
    }
    loop_ready_event(uring->loop, fd, loop_uring_known_events(fd, (uint32_t)result));
}

bool loop_uring_disarmed(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind)
{
    loop_uring_unarm(uring, fd, kind);
    take_out_of_line(uring, fd, LOOP_URING_CANCEL_DUE(kind));
    if (!(fd->backend_id & LOOP_URING_LETTING_GO)) {
        return false;
    }
    if (!(fd->backend_id & ALL_ARMED)) {
        let_go(uring->loop, fd);
        loop_settle(uring->loop); /* the scope may have waited for it */
    }
    return true;
}

void loop_uring_watch_changed(struct loop_uring *uring, struct loop_fd *fd, enum loop_uring_watch_kind kind,
                              int32_t result, uint32_t flags)
{
    assert(fd->backend_id & LOOP_URING_ARMED(kind) && uring->in_flight > 0);
    if (flags & IORING_CQE_F_MORE) {
        return; /* an event of a poll that is being cancelled */
    }
    if (loop_uring_disarmed(uring, fd, kind)) {
        return;
    }
    if (has_only_hung_up(kind, result)) {
        fd->backend_id |= LOOP_URING_LASTS(kind);
        loop_uring_arm(uring, fd, kind);
    } else {
        fd->watched &= (uint8_t)~rows[kind].event; /* a job that still waits for it arms it again */
    }
    if (result < 0 && result != -ECANCELED) {
        loop_log_options(&uring->loop->options, LOOP_LOG_ERROR,
                         "descriptor %d can't be watched (%s), and what waits for it ends", fd->number,
                         strerror(-result));
        loop_ready_fail(uring->loop, fd, result);
    } else {
        loop_ready_event(uring->loop, fd, last_events(fd, kind, result));
    }
}
