/* SPDX-License-Identifier: ISC
 *
 * Pipes, as Linux has them: a pipe is a row of pages, and a write begins a new page unless it fits into the last one.
 * So a pipe of 64 KiB may be full with fewer bytes, and a write of up to PIPE_BUF bytes is whole or not made.
 */
#include <loop/kernel/simulated/object/pipe.h>

#include <loop/kernel/file.h>
#include <loop/kernel/simulated/object/process.h>

#include <assert.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>

enum { PAGES = 16, MOST_PAGES = 256 };

static struct loop_sim_page *page_at(const struct loop_sim_pipe *pipe, unsigned n)
{
    return &pipe->pages[n % pipe->size];
}

static bool is_empty(const struct loop_sim_pipe *pipe)
{
    return pipe->first == pipe->next;
}

static bool is_full(const struct loop_sim_pipe *pipe)
{
    return pipe->next - pipe->first >= pipe->size;
}

/* ---- files ---- */

/* Returns the end that has this link in the list of a side, with one more use, or NULL at the end of the list. */
static struct loop_sim_pipe_end *take_end(const struct loop_sim_pipe *pipe, enum loop_sim_side side,
                                          struct loop_list *link)
{
    if (link == &pipe->sides[side]) {
        return NULL;
    }
    struct loop_sim_pipe_end *end = side == LOOP_SIM_READERS
                                        ? LOOP_CONTAINER(link, struct loop_sim_pipe_end, links[LOOP_SIM_READERS])
                                        : LOOP_CONTAINER(link, struct loop_sim_pipe_end, links[LOOP_SIM_WRITERS]);
    (void)loop_sim_file_ref(&end->file);
    return end;
}

/* An end stays in the list while it is used. */
void loop_sim_pipe_wake(struct loop_sim_pipe *pipe, enum loop_sim_side side, uint32_t events)
{
    struct loop_sim_pipe_end *end = take_end(pipe, side, pipe->sides[side].next);
    while (end) {
        struct loop_sim_pipe_end *next = take_end(pipe, side, end->links[side].next);
        loop_sim_file_changed(&end->file, events);
        loop_sim_file_unref(&end->file);
        end = next;
    }
}

struct loop_sim_pipe *loop_sim_pipe_make(ino_t inode)
{
    struct loop_sim_pipe *pipe = loop_sim_alloc(sizeof *pipe);
    pipe->size = PAGES;
    pipe->pages = loop_sim_alloc(PAGES * sizeof *pipe->pages);
    pipe->inode = inode;
    loop_list_init(&pipe->sides[LOOP_SIM_READERS]);
    loop_list_init(&pipe->sides[LOOP_SIM_WRITERS]);
    loop_sim_queue_init(&pipe->opened_by_one);
    return pipe;
}

struct loop_sim_file *loop_sim_pipe_open(struct loop_sim_node *node, struct loop_sim_pipe *pipe, int flags)
{
    struct loop_sim_pipe_end *end = loop_sim_alloc(sizeof *end);
    int access = flags & O_ACCMODE;
    loop_sim_file_init(&end->file, &loop_sim_pipe_kind, node, flags);
    end->pipe = pipe;
    end->file.whole_bytes = flags & O_DIRECT ? SIZE_MAX : access != O_RDONLY ? PIPE_BUF : 0;
    for (int side = LOOP_SIM_READERS; side <= LOOP_SIM_WRITERS; side++) {
        loop_list_init(&end->links[side]);
        if (access == O_RDWR || access == (side == LOOP_SIM_READERS ? O_RDONLY : O_WRONLY)) {
            loop_list_push_back(&pipe->sides[side], &end->links[side]);
            pipe->opened[side]++;
        }
    }
    return &end->file;
}

/* Those at the other side learn that this one has no file any more. */
static void release_pipe(struct loop_sim_file *file)
{
    struct loop_sim_pipe_end *end = (struct loop_sim_pipe_end *)file;
    struct loop_sim_pipe *pipe = end->pipe;
    loop_list_remove(&end->links[LOOP_SIM_READERS]);
    loop_list_remove(&end->links[LOOP_SIM_WRITERS]);
    loop_sim_free(end);
    bool has_readers = loop_sim_pipe_has(pipe, LOOP_SIM_READERS);
    bool has_writers = loop_sim_pipe_has(pipe, LOOP_SIM_WRITERS);
    struct loop_sim_fifo *fifo = pipe->fifo;
    if (!has_readers && !has_writers) {
        for (unsigned n = 0; n < pipe->size; n++) {
            loop_sim_free(pipe->pages[n].data);
        }
        loop_sim_free(pipe->pages);
        loop_sim_free(pipe);
        if (fifo) {
            fifo->pipe = NULL;
        }
    } else if (!has_readers || !has_writers) {
        loop_sim_pipe_wake(pipe, has_readers ? LOOP_SIM_READERS : LOOP_SIM_WRITERS, 0);
    }
    if (fifo) {
        fifo->closed(fifo);
    }
}

/* ---- reading ---- */

/* Gives up the first page when nothing is left in it. Returns whether that has made room in a full pipe. */
static bool drop_page(struct loop_sim_pipe *pipe)
{
    bool was_full = is_full(pipe);
    pipe->first++;
    return was_full;
}

static ssize_t read_pipe(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    struct loop_sim_pipe *pipe = loop_sim_pipe_of(file);
    size_t len = loop_sim_vectors_length(move->iov, move->n_iov), done = 0;
    if (len > 0 && is_empty(pipe)) {
        return loop_sim_pipe_has(pipe, LOOP_SIM_WRITERS) ? -EAGAIN : 0;
    }
    bool has_room = false;
    while (done < len && !is_empty(pipe)) {
        struct loop_sim_page *page = page_at(pipe, pipe->first);
        size_t n =
            loop_sim_vectors_fill(move->iov, move->n_iov, done, page->data + page->begin, page->end - page->begin);
        done += n;
        page->begin += (unsigned)n;
        bool is_packet = page->is_packet;
        if (is_packet || page->begin == page->end) {
            has_room |= drop_page(pipe);
        }
        if (is_packet) {
            break;
        }
    }
    if (has_room) {
        loop_sim_pipe_wake(pipe, LOOP_SIM_WRITERS, EPOLLOUT | EPOLLWRNORM);
    }
    return (ssize_t)done;
}

/* ---- writing ---- */

/* Begins a page. */
static struct loop_sim_page *add_page(struct loop_sim_pipe *pipe, bool is_packet)
{
    assert(!is_full(pipe));
    struct loop_sim_page *page = page_at(pipe, pipe->next++);
    if (!page->data) {
        page->data = loop_sim_alloc(LOOP_SIM_PAGE_BYTES);
    }
    page->begin = page->end = 0;
    page->is_packet = is_packet;
    page->is_fixed = false;
    return page;
}

/* Appends the odd bytes of a write to the last page, if they fit. Returns how many have. */
static size_t merge(struct loop_sim_pipe *pipe, const struct loop_sim_move *move, size_t len)
{
    unsigned odd = (unsigned)(len % LOOP_SIM_PAGE_BYTES);
    if (odd == 0 || is_empty(pipe)) {
        return 0;
    }
    struct loop_sim_page *last = page_at(pipe, pipe->next - 1);
    if (last->is_packet || last->is_fixed || last->end + odd > LOOP_SIM_PAGE_BYTES) {
        return 0;
    }
    (void)loop_sim_vectors_take(move->iov, move->n_iov, 0, last->data + last->end, odd);
    last->end += odd;
    return odd;
}

static ssize_t write_pipe(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    struct loop_sim_pipe *pipe = loop_sim_pipe_of(file);
    size_t len = loop_sim_vectors_length(move->iov, move->n_iov);
    if (len == 0) {
        return 0;
    }
    if (!loop_sim_pipe_has(pipe, LOOP_SIM_READERS)) {
        loop_sim_signal_pipe(file->node);
        return -EPIPE;
    }
    size_t done = merge(pipe, move, len);
    while (done < len && !is_full(pipe)) {
        struct loop_sim_page *page = add_page(pipe, (file->flags & O_DIRECT) != 0);
        size_t n = loop_sim_vectors_take(move->iov, move->n_iov, done, page->data, LOOP_SIM_PAGE_BYTES);
        page->end = (unsigned)n;
        done += n;
    }
    if (done == 0) {
        return -EAGAIN;
    }
    loop_sim_pipe_wake(pipe, LOOP_SIM_READERS, EPOLLIN | EPOLLRDNORM);
    return (ssize_t)done;
}

/* ---- the rest of the kind ---- */

/* There is no EPOLLHUP for a reader of a FIFO before its first writer. */
static uint32_t poll_pipe(struct loop_sim_file *file)
{
    const struct loop_sim_pipe *pipe = loop_sim_pipe_of(file);
    int access = file->flags & O_ACCMODE;
    uint32_t events = 0;
    if (access != O_WRONLY) {
        bool had_writers = pipe->opened[LOOP_SIM_WRITERS] != ((struct loop_sim_pipe_end *)file)->writers_before;
        events |= is_empty(pipe) ? 0 : EPOLLIN | EPOLLRDNORM;
        events |= had_writers && !loop_sim_pipe_has(pipe, LOOP_SIM_WRITERS) ? EPOLLHUP : 0;
    }
    if (access != O_RDONLY) {
        events |= is_full(pipe) ? 0 : EPOLLOUT | EPOLLWRNORM;
        events |= loop_sim_pipe_has(pipe, LOOP_SIM_READERS) ? 0 : EPOLLERR;
    }
    return events;
}

static int status_of_pipe(struct loop_sim_file *file, struct stat *status)
{
    const struct loop_sim_pipe *pipe = loop_sim_pipe_of(file);
    return pipe->fifo ? pipe->fifo->status(pipe->fifo, status)
                      : loop_sim_file_anonymous_status(status, S_IFIFO | 0600, pipe->inode);
}

static int control_pipe(struct loop_sim_file *file, unsigned long what, void *argument)
{
    if (what != FIONREAD) {
        return -ENOTTY;
    }
    const struct loop_sim_pipe *pipe = loop_sim_pipe_of(file);
    unsigned len = 0;
    for (unsigned n = pipe->first; n != pipe->next; n++) {
        len += page_at(pipe, n)->end - page_at(pipe, n)->begin;
    }
    *(int *)argument = (int)len;
    return 0;
}

const struct loop_sim_file_kind loop_sim_pipe_kind = {
    .name = "pipe",
    .read = read_pipe,
    .write = write_pipe,
    .poll = poll_pipe,
    .status = status_of_pipe,
    .control = control_pipe,
    .release = release_pipe,
};

/* ---- for fcntl(2) and splice(2) ---- */

int loop_sim_pipe_size(struct loop_sim_file *file)
{
    return (int)(loop_sim_pipe_of(file)->size * LOOP_SIM_PAGE_BYTES);
}

/* Moves the pages to a row of another size. Those that are in use come first. */
static void resize(struct loop_sim_pipe *pipe, unsigned size)
{
    struct loop_sim_page *pages = loop_sim_alloc(size * sizeof *pages);
    unsigned used = pipe->next - pipe->first;
    for (unsigned n = 0; n < pipe->size; n++) {
        struct loop_sim_page *page = page_at(pipe, pipe->first + n);
        if (n < size) {
            pages[n] = *page;
        } else {
            loop_sim_free(page->data);
        }
    }
    loop_sim_free(pipe->pages);
    pipe->pages = pages;
    pipe->size = size;
    pipe->first = 0;
    pipe->next = used;
}

int loop_sim_pipe_resize(struct loop_sim_file *file, int bytes)
{
    struct loop_sim_pipe *pipe = loop_sim_pipe_of(file);
    if (bytes < 0) {
        return -EINVAL;
    }
    unsigned size = 1;
    while (size * LOOP_SIM_PAGE_BYTES < (unsigned)bytes) {
        size *= 2;
    }
    if (size > MOST_PAGES && loop_sim_user(file->node) != 0) {
        return -EPERM;
    }
    if (size < pipe->next - pipe->first) {
        return -EBUSY;
    }
    bool was_full = is_full(pipe);
    if (size != pipe->size) {
        resize(pipe, size);
    }
    if (was_full && !is_full(pipe)) {
        loop_sim_pipe_wake(pipe, LOOP_SIM_WRITERS, EPOLLOUT | EPOLLWRNORM);
    }
    return (int)(size * LOOP_SIM_PAGE_BYTES);
}

bool loop_sim_pipe_is_same(const struct loop_sim_file *one, const struct loop_sim_file *other)
{
    return ((const struct loop_sim_pipe_end *)one)->pipe == ((const struct loop_sim_pipe_end *)other)->pipe;
}

const void *loop_sim_pipe_peek(struct loop_sim_file *file, size_t *len, bool *has_ended)
{
    const struct loop_sim_pipe *pipe = loop_sim_pipe_of(file);
    *has_ended = !loop_sim_pipe_has(pipe, LOOP_SIM_WRITERS);
    if (is_empty(pipe)) {
        *len = 0;
        return NULL;
    }
    const struct loop_sim_page *page = page_at(pipe, pipe->first);
    *len = page->end - page->begin;
    return page->data + page->begin;
}

void loop_sim_pipe_drop(struct loop_sim_file *file, size_t len, bool wakes_anyway)
{
    struct loop_sim_pipe *pipe = loop_sim_pipe_of(file);
    struct loop_sim_page *page = page_at(pipe, pipe->first);
    assert(len <= page->end - page->begin);
    page->begin += (unsigned)len;
    bool is_empty_page = page->begin == page->end;
    bool has_room = is_empty_page && drop_page(pipe);
    if (has_room || (is_empty_page && wakes_anyway)) {
        loop_sim_pipe_wake(pipe, LOOP_SIM_WRITERS, EPOLLOUT | EPOLLWRNORM);
    }
}

size_t loop_sim_pipe_room(struct loop_sim_file *file, bool *has_readers)
{
    const struct loop_sim_pipe *pipe = loop_sim_pipe_of(file);
    *has_readers = loop_sim_pipe_has(pipe, LOOP_SIM_READERS);
    return (size_t)(pipe->size - (pipe->next - pipe->first)) * LOOP_SIM_PAGE_BYTES;
}

void loop_sim_pipe_append(struct loop_sim_file *file, const void *data, size_t len)
{
    struct loop_sim_pipe *pipe = loop_sim_pipe_of(file);
    for (size_t done = 0; done < len;) {
        struct loop_sim_page *page = add_page(pipe, (file->flags & O_DIRECT) != 0);
        page->is_fixed = true;
        page->end = len - done < LOOP_SIM_PAGE_BYTES ? (unsigned)(len - done) : LOOP_SIM_PAGE_BYTES;
        memcpy(page->data, (const char *)data + done, page->end);
        done += page->end;
    }
    loop_sim_pipe_wake(pipe, LOOP_SIM_READERS, EPOLLIN | EPOLLRDNORM);
}

void loop_sim_pipe_make_packets(struct loop_sim_file *file)
{
    struct loop_sim_pipe *pipe = loop_sim_pipe_of(file);
    for (int side = LOOP_SIM_READERS; side <= LOOP_SIM_WRITERS; side++) {
        struct loop_sim_pipe_end *end = take_end(pipe, side, pipe->sides[side].next);
        while (end) {
            struct loop_sim_pipe_end *next = take_end(pipe, side, end->links[side].next);
            end->file.whole_bytes = SIZE_MAX;
            loop_sim_file_unref(&end->file);
            end = next;
        }
    }
}
