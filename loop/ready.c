/* SPDX-License-Identifier: ISC
 *
 * Readiness: jobs that wait for a descriptor, and the attempts made when it may be ready. The same on both backends,
 * which only say that something has come to be (edges): what is believed ready is kept in fd->ready until a call says
 * otherwise, so that no system call is made to find out what is known.
 */
#include <loop/unread.h>

#include <errno.h>

/* A descriptor that is always ready may try so often in one turn before the others have theirs. */
#define ATTEMPTS_PER_TURN 16

#define READ_EVENTS (POLLIN | POLLPRI | POLLRDHUP | POLLHUP | POLLERR)
#define WRITE_EVENTS (POLLOUT | POLLHUP | POLLERR)
#define END_EVENTS (POLLRDHUP | POLLHUP | POLLERR)
#define TOLD_ONCE (POLLPRI | POLLERR) /* of a change of a file */

/* ---- waiting ---- */

static void watch(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    if (fd->state == LOOP_FD_OPEN && (fd->watched & events) != events) {
        loop->backend->watch(loop, fd, events);
    }
}

void loop_ready_activate(struct loop *loop, struct loop_fd *fd)
{
    if (!loop_list_is_linked(&fd->active)) {
        loop_list_push_back(&loop->active, &fd->active);
    }
}

static void wait_in(struct loop *loop, struct loop_fd *fd, struct loop_job *job, struct loop_list *list, uint32_t event)
{
    assert(!loop_list_is_linked(&job->link));
    job->where = LOOP_AT_WAIT;
    loop_list_push_back(list, &job->link);
    if (fd->ready & event) {
        loop_ready_activate(loop, fd);
    }
    if (!(fd->ready & event) || (event == POLLIN && fd->read_by == LOOP_IO_UNREAD)) {
        watch(loop, fd, event); /* what makes it ready may be gone when the job is tried */
    }
}

void loop_ready_wait_read(struct loop *loop, struct loop_fd *fd, struct loop_job *job)
{
    wait_in(loop, fd, job, &fd->readers, POLLIN);
}

void loop_ready_wait_write(struct loop *loop, struct loop_fd *fd, struct loop_job *job)
{
    wait_in(loop, fd, job, &fd->writers, POLLOUT);
}

void loop_ready_wait(struct loop *loop, struct loop_fd *fd, struct loop_job *job, uint32_t events)
{
    if (events == POLLIN) {
        loop_ready_wait_read(loop, fd, job);
    } else if (events == POLLOUT) {
        loop_ready_wait_write(loop, fd, job);
    } else {
        job->where = LOOP_AT_WAIT;
        loop_list_push_back(&fd->pollers, &job->link);
        loop_ready_activate(loop, fd);
    }
}

/* poll(2) is asked, because a read would take a fifo that never had a writer for one at its end. What it doesn't tell
 * of yet makes an event. */
void loop_ready_look_again(struct loop *loop, struct loop_fd *fd)
{
    struct pollfd entry = {.fd = fd->number, .events = POLLIN | POLLRDHUP};
    if (fd->state != LOOP_FD_OPEN) {
        return;
    }
    fd->was_readable = false; /* it is asked once more when unread bytes are gone */
    if (loop_fd_has_unread(fd) || poll(&entry, 1, 0) != 0) {
        fd->ready |= POLLIN;
    } else {
        fd->ready &= ~(uint32_t)POLLIN;
    }
    if (!loop_list_is_empty(&fd->readers)) {
        loop_ready_activate(loop, fd);
    }
}

static void cancel_list(struct loop *loop, struct loop_list *list)
{
    struct loop_list *next;
    for (struct loop_list *node = list->next; node != list; node = next) {
        next = node->next;
        loop_job_cancel(loop, LOOP_CONTAINER(node, struct loop_job, link));
    }
}

/* Each kind of job knows how to end early, and nothing else does. */
void loop_ready_fail(struct loop *loop, struct loop_fd *fd, int error)
{
    loop->wait_error = error;
    cancel_list(loop, &fd->readers);
    cancel_list(loop, &fd->writers);
    cancel_list(loop, &fd->pollers);
    loop->wait_error = 0;
}

/* Notes what the kernel says; true when a job waits for it. */
static bool note(struct loop_fd *fd, uint32_t events)
{
    if (events & READ_EVENTS) {
        fd->ready |= POLLIN;
    }
    if (events & WRITE_EVENTS) {
        fd->ready |= POLLOUT;
    }
    if (events & (END_EVENTS | POLLPRI)) {
        fd->doubts |= LOOP_DOUBT_ALWAYS; /* io.h says why */
        fd->ready |= loop_fd_is_file(fd) ? events & TOLD_ONCE : 0;
    }
    return ((fd->ready & POLLIN) && !loop_list_is_empty(&fd->readers)) ||
           ((fd->ready & POLLOUT) && !loop_list_is_empty(&fd->writers)) || !loop_list_is_empty(&fd->pollers);
}

void loop_ready_note(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    if (note(fd, events)) {
        loop_ready_activate(loop, fd);
    }
}

void loop_ready_call_back(struct loop *loop, const struct loop_fd *fd, bool (*waits)(const struct loop_job *job))
{
    struct loop_hnode *next;
    for (struct loop_hnode *node = loop_hlist_oldest(&fd->jobs); node; node = next) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, in_fd);
        next = loop_hlist_newer(&fd->jobs, node);
        if (job->where == LOOP_AT_RING && !job->is_cancelled && waits(job)) {
            loop->backend->cancel(loop, job);
        }
    }
}

/* ---- trying ---- */

/* Ends a job that has its result: at once, or by the run queue where a continuation may be on the stack. */
static void end_job(struct loop *loop, struct loop_job *job, bool is_dispatch)
{
    if (is_dispatch) {
        loop_job_backend_done(loop, job, job->result);
    } else {
        loop_job_backend_complete(loop, job, job->result);
    }
}

/* Does what an attempt's answer asks for. False when no other job of the list may be tried in this turn. */
__attribute__((always_inline)) static inline bool follow(struct loop *loop, struct loop_fd *fd, struct loop_job *job,
                                                         enum loop_attempt attempt, uint32_t event, bool is_dispatch)
{
    if (attempt == LOOP_ATTEMPT_AGAIN) {
        fd->ready &= ~event;
    } else if (attempt == LOOP_ATTEMPT_DONE) {
        end_job(loop, job, is_dispatch);
    } else if (attempt == LOOP_ATTEMPT_MORE) {
        loop_ready_activate(loop, fd);
        return false;
    }
    return true;
}

/* Tries the jobs of one list in their order while the descriptor is believed ready; `n` have been tried already. */
__attribute__((always_inline)) static inline void
run_list(struct loop *loop, struct loop_fd *fd, struct loop_list *list, unsigned n, uint32_t event, bool is_dispatch)
{
    for (; fd->ready & event && !loop_list_is_empty(list); n++) {
        struct loop_job *job = LOOP_CONTAINER(list->next, struct loop_job, link);
        if (!job->kind->attempt) {
            return; /* a file's: its operations follow each other by themselves */
        }
        enum loop_attempt attempt = n < ATTEMPTS_PER_TURN ? job->kind->attempt(loop, job) : LOOP_ATTEMPT_MORE;
        if (!follow(loop, fd, job, attempt, event, is_dispatch)) {
            return;
        }
    }
    if (!loop_list_is_empty(list)) {
        watch(loop, fd, event);
    }
}

/* A peer's shutdown comes with the input's events. Who waits for the queue to drain needs none, and is a small job,
 * without arguments. */
static uint32_t watched_events(const struct loop_job *job)
{
    uint32_t asked = job->op == LOOP_OP_POLL ? job->u.args.flags : 0;
    return (asked & (POLLIN | POLLOUT | POLLPRI)) | (asked & POLLRDHUP ? POLLIN : 0);
}

int loop_ready_poll_file(struct loop_fd *fd, uint32_t events)
{
    struct pollfd entry = {.fd = fd->number, .events = (short)events};
    int n = poll(&entry, 1, 0);
    if (n < 0) {
        return -errno;
    }
    fd->ready |= (uint32_t)entry.revents & TOLD_ONCE;
    uint32_t told = fd->ready & TOLD_ONCE & (events | POLLERR);
    return (int)((uint32_t)entry.revents | told);
}

/* What a file's change is told by has been told to all that wait. */
static void run_pollers(struct loop *loop, struct loop_fd *fd)
{
    struct loop_list jobs, *node;
    bool is_told = false;
    loop_list_take_all(&jobs, &fd->pollers);
    while ((node = loop_list_pop_front(&jobs))) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        if (job->kind->attempt(loop, job) == LOOP_ATTEMPT_DONE) {
            is_told |= (job->result & TOLD_ONCE) != 0;
            loop_job_backend_done(loop, job, job->result);
        } else {
            loop_list_push_back(&fd->pollers, &job->link);
            watch(loop, fd, watched_events(job));
        }
    }
    if (is_told) {
        fd->ready &= ~(uint32_t)TOLD_ONCE;
    }
}

static bool has_others(const struct loop_fd *fd)
{
    return (fd->ready & POLLOUT && !loop_list_is_empty(&fd->writers)) || !loop_list_is_empty(&fd->pollers);
}

/* Those that write, and those that poll. */
__attribute__((noinline)) static void run_others(struct loop *loop, struct loop_fd *fd)
{
    if (fd->ready & POLLOUT && !loop_list_is_empty(&fd->writers)) {
        run_list(loop, fd, &fd->writers, 0, POLLOUT, true);
    }
    if (!loop_list_is_empty(&fd->pollers)) {
        run_pollers(loop, fd);
    }
}

/* The readers from the second attempt on; the first has been made where there is a `job`. */
__attribute__((noinline)) static void run_readers(struct loop *loop, struct loop_fd *fd, struct loop_job *job,
                                                  enum loop_attempt attempt)
{
    if (!job) {
        run_list(loop, fd, &fd->readers, 0, POLLIN, true);
    } else if (follow(loop, fd, job, attempt, POLLIN, true)) {
        run_list(loop, fd, &fd->readers, 1, POLLIN, true);
    }
}

static struct loop_job *first_reader(const struct loop_fd *fd)
{
    bool is_one = fd->ready & POLLIN && !loop_list_is_empty(&fd->readers);
    struct loop_job *job = is_one ? LOOP_CONTAINER(fd->readers.next, struct loop_job, link) : NULL;
    return job && job->kind->attempt ? job : NULL;
}

/* Nearly always there is one job that reads, and one attempt leaves nothing to be read. */
void loop_ready_try(struct loop *loop, struct loop_fd *fd)
{
    fd->uses++; /* continuations may close it, and end its scope */
    struct loop_job *job = first_reader(fd);
    enum loop_attempt attempt = job ? job->kind->attempt(loop, job) : LOOP_ATTEMPT_MOVED;
    if (job && attempt == LOOP_ATTEMPT_AGAIN) {
        fd->ready &= ~(uint32_t)POLLIN;
        if (!loop_list_is_empty(&fd->readers)) {
            watch(loop, fd, POLLIN);
        }
    } else if (fd->ready & POLLIN || job) {
        run_readers(loop, fd, job, attempt);
    }
    if (has_others(fd)) {
        run_others(loop, fd);
    }
    loop_fd_drop_use(fd);
}

void loop_ready_events(struct loop *loop, struct loop_fd *fd, uint32_t events)
{
    if (note(fd, events) && !loop_list_is_linked(&fd->active)) {
        loop_ready_try(loop, fd);
    }
}

void loop_ready_run(struct loop *loop, unsigned most)
{
    struct loop_list active, *node;
    loop_list_take_all(&active, &loop->active);
    for (unsigned n = 0; n < most && (node = loop_list_pop_front(&active)); n++) {
        loop_ready_try(loop, LOOP_CONTAINER(node, struct loop_fd, active));
    }
    loop_list_put_before(&loop->active, &active); /* the rest comes before what has become active meanwhile */
}

void loop_ready_send(struct loop *loop)
{
    struct loop_list *node;
    while ((node = loop_list_pop_front(&loop->dirty))) {
        struct loop_fd *fd = LOOP_CONTAINER(node, struct loop_fd, dirty);
        fd->uses++;
        run_list(loop, fd, &fd->writers, 0, POLLOUT, false);
        loop_fd_drop_use(fd);
    }
}
