/* SPDX-License-Identifier: ISC
 *
 * Pipes, as Linux has them: a pipe is a row of pages, and a write begins a new page unless it fits into the last one.
 * So a pipe of 64 KiB may be full with fewer bytes, and a write of up to PIPE_BUF bytes is whole or not made.
 */
#include <loop/kernel/simulated/object/object.h>

#include <loop/kernel/file.h>
#include <loop/kernel/simulated/object/process.h>

#include <assert.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>

enum { PAGE_BYTES = 4096, PAGES = 16, MOST_PAGES = 256 };

/* A page of a pipe. */
struct page {
    unsigned char *data; /* NULL: not yet allocated */
    unsigned begin, end; /* of what is unread */
    bool is_packet;      /* a read takes it as a whole, and a write begins another page */
    bool is_fixed;       /* spliced: a write begins another page */
};

struct pipe_end;

struct pipe {
    struct page *pages;
    unsigned size;            /* a power of two: page n is pages[n % size] */
    unsigned first, next;     /* the pages in use: from `first` on, below `next` */
    struct pipe_end *ends[2]; /* for reading and writing; NULL: closed */
    ino_t inode;
};

/* A file: one end of a pipe. */
struct pipe_end {
    struct loop_sim_file file;
    struct pipe *pipe;
};

static struct pipe *pipe_of(struct loop_sim_file *file)
{
    return ((struct pipe_end *)file)->pipe;
}

static struct page *page_at(const struct pipe *pipe, unsigned n)
{
    return &pipe->pages[n % pipe->size];
}

static bool is_empty(const struct pipe *pipe)
{
    return pipe->first == pipe->next;
}

static bool is_full(const struct pipe *pipe)
{
    return pipe->next - pipe->first >= pipe->size;
}

/* Wakes those who wait for one end, if it is open. */
static void wake(const struct pipe *pipe, int end, uint32_t events)
{
    if (pipe->ends[end]) {
        loop_sim_file_changed(&pipe->ends[end]->file, events);
    }
}

/* ---- reading ---- */

/* Gives up the first page when nothing is left in it. Returns whether that has made room in a full pipe. */
static bool drop_page(struct pipe *pipe)
{
    bool was_full = is_full(pipe);
    pipe->first++;
    return was_full;
}

static ssize_t read_pipe(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    struct pipe *pipe = pipe_of(file);
    size_t len = loop_sim_vectors_length(move->iov, move->n_iov), done = 0;
    if (len > 0 && is_empty(pipe)) {
        return pipe->ends[1] ? -EAGAIN : 0;
    }
    bool has_room = false;
    while (done < len && !is_empty(pipe)) {
        struct page *page = page_at(pipe, pipe->first);
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
        wake(pipe, 1, EPOLLOUT | EPOLLWRNORM);
    }
    return (ssize_t)done;
}

/* ---- writing ---- */

/* Begins a page. */
static struct page *add_page(struct pipe *pipe, bool is_packet)
{
    assert(!is_full(pipe));
    struct page *page = page_at(pipe, pipe->next++);
    if (!page->data) {
        page->data = loop_sim_alloc(PAGE_BYTES);
    }
    page->begin = page->end = 0;
    page->is_packet = is_packet;
    page->is_fixed = false;
    return page;
}

/* Appends the odd bytes of a write to the last page, if they fit. Returns how many have. */
static size_t merge(struct pipe *pipe, const struct loop_sim_move *move, size_t len)
{
    unsigned odd = (unsigned)(len % PAGE_BYTES);
    if (odd == 0 || is_empty(pipe)) {
        return 0;
    }
    struct page *last = page_at(pipe, pipe->next - 1);
    if (last->is_packet || last->is_fixed || last->end + odd > PAGE_BYTES) {
        return 0;
    }
    (void)loop_sim_vectors_take(move->iov, move->n_iov, 0, last->data + last->end, odd);
    last->end += odd;
    return odd;
}

static ssize_t write_pipe(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    struct pipe *pipe = pipe_of(file);
    size_t len = loop_sim_vectors_length(move->iov, move->n_iov);
    if (len == 0) {
        return 0;
    }
    if (!pipe->ends[0]) {
        loop_sim_signal_pipe(file->node);
        return -EPIPE;
    }
    size_t done = merge(pipe, move, len);
    while (done < len && !is_full(pipe)) {
        struct page *page = add_page(pipe, (file->flags & O_DIRECT) != 0);
        size_t n = loop_sim_vectors_take(move->iov, move->n_iov, done, page->data, PAGE_BYTES);
        page->end = (unsigned)n;
        done += n;
    }
    if (done == 0) {
        return -EAGAIN;
    }
    wake(pipe, 0, EPOLLIN | EPOLLRDNORM);
    return (ssize_t)done;
}

/* ---- the rest of the kind ---- */

static uint32_t poll_pipe(struct loop_sim_file *file)
{
    const struct pipe *pipe = pipe_of(file);
    if ((file->flags & O_ACCMODE) == O_RDONLY) {
        return (is_empty(pipe) ? 0 : EPOLLIN | EPOLLRDNORM) | (pipe->ends[1] ? 0 : EPOLLHUP);
    }
    return (is_full(pipe) ? 0 : EPOLLOUT | EPOLLWRNORM) | (pipe->ends[0] ? 0 : EPOLLERR);
}

static int status_of_pipe(struct loop_sim_file *file, struct stat *status)
{
    return loop_sim_file_anonymous_status(status, S_IFIFO | 0600, pipe_of(file)->inode);
}

static int control_pipe(struct loop_sim_file *file, unsigned long what, void *argument)
{
    if (what != FIONREAD) {
        return -ENOTTY;
    }
    const struct pipe *pipe = pipe_of(file);
    unsigned len = 0;
    for (unsigned n = pipe->first; n != pipe->next; n++) {
        len += page_at(pipe, n)->end - page_at(pipe, n)->begin;
    }
    *(int *)argument = (int)len;
    return 0;
}

/* Those at the other end learn that this one is gone. */
static void release_pipe(struct loop_sim_file *file)
{
    struct pipe *pipe = pipe_of(file);
    int end = (file->flags & O_ACCMODE) == O_RDONLY ? 0 : 1;
    pipe->ends[end] = NULL;
    loop_sim_free(file);
    if (pipe->ends[!end]) {
        wake(pipe, !end, 0);
        return;
    }
    for (unsigned n = 0; n < pipe->size; n++) {
        loop_sim_free(pipe->pages[n].data);
    }
    loop_sim_free(pipe->pages);
    loop_sim_free(pipe);
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
    return (int)(pipe_of(file)->size * PAGE_BYTES);
}

/* Moves the pages to a row of another size. Those that are in use come first. */
static void resize(struct pipe *pipe, unsigned size)
{
    struct page *pages = loop_sim_alloc(size * sizeof *pages);
    unsigned used = pipe->next - pipe->first;
    for (unsigned n = 0; n < pipe->size; n++) {
        struct page *page = page_at(pipe, pipe->first + n);
        if (n < size) {
            pages[n] = *page;
        } else {
            loop_sim_free(page->data);
        }
    }
    loop_sim_free(pipe->pages);
    *pipe = (struct pipe){pages, size, 0, used, {pipe->ends[0], pipe->ends[1]}, pipe->inode};
}

int loop_sim_pipe_resize(struct loop_sim_file *file, int bytes)
{
    struct pipe *pipe = pipe_of(file);
    if (bytes < 0) {
        return -EINVAL;
    }
    unsigned size = 1;
    while (size * PAGE_BYTES < (unsigned)bytes) {
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
        wake(pipe, 1, EPOLLOUT | EPOLLWRNORM);
    }
    return (int)(size * PAGE_BYTES);
}

bool loop_sim_pipe_is_same(const struct loop_sim_file *one, const struct loop_sim_file *other)
{
    return ((const struct pipe_end *)one)->pipe == ((const struct pipe_end *)other)->pipe;
}

const void *loop_sim_pipe_peek(struct loop_sim_file *file, size_t *len, bool *has_ended)
{
    const struct pipe *pipe = pipe_of(file);
    *has_ended = !pipe->ends[1];
    if (is_empty(pipe)) {
        *len = 0;
        return NULL;
    }
    const struct page *page = page_at(pipe, pipe->first);
    *len = page->end - page->begin;
    return page->data + page->begin;
}

void loop_sim_pipe_drop(struct loop_sim_file *file, size_t len)
{
    struct pipe *pipe = pipe_of(file);
    struct page *page = page_at(pipe, pipe->first);
    assert(len <= page->end - page->begin);
    page->begin += (unsigned)len;
    if (page->begin == page->end && drop_page(pipe)) {
        wake(pipe, 1, EPOLLOUT | EPOLLWRNORM);
    }
}

size_t loop_sim_pipe_room(struct loop_sim_file *file, bool *has_readers)
{
    const struct pipe *pipe = pipe_of(file);
    *has_readers = pipe->ends[0] != NULL;
    return (size_t)(pipe->size - (pipe->next - pipe->first)) * PAGE_BYTES;
}

void loop_sim_pipe_append(struct loop_sim_file *file, const void *data, size_t len)
{
    struct pipe *pipe = pipe_of(file);
    for (size_t done = 0; done < len;) {
        struct page *page = add_page(pipe, (file->flags & O_DIRECT) != 0);
        page->is_fixed = true;
        page->end = len - done < PAGE_BYTES ? (unsigned)(len - done) : PAGE_BYTES;
        memcpy(page->data, (const char *)data + done, page->end);
        done += page->end;
    }
    wake(pipe, 0, EPOLLIN | EPOLLRDNORM);
}

void loop_sim_pipe_make_packets(struct loop_sim_file *file)
{
    for (int i = 0; i < 2; i++) {
        struct pipe_end *end = pipe_of(file)->ends[i];
        if (end) {
            end->file.whole_bytes = SIZE_MAX;
        }
    }
}

/* ---- the door ---- */

static struct pipe_end *create_end(struct loop_sim_node *node, struct pipe *pipe, int flags)
{
    struct pipe_end *end = loop_sim_alloc(sizeof *end);
    loop_sim_file_init(&end->file, &loop_sim_pipe_kind, node, flags);
    end->pipe = pipe;
    if (flags & O_DIRECT) {
        end->file.whole_bytes = SIZE_MAX;
    } else if ((flags & O_ACCMODE) == O_WRONLY) {
        end->file.whole_bytes = PIPE_BUF;
    }
    return end;
}

void loop_sim_pipe_create(struct loop_sim_node *node, int flags, struct loop_sim_file *files[2])
{
    struct pipe *pipe = loop_sim_alloc(sizeof *pipe);
    *pipe = (struct pipe){.size = PAGES, .pages = loop_sim_alloc(PAGES * sizeof *pipe->pages)};
    pipe->inode = loop_sim_file_next_inode(node);
    for (int i = 0; i < 2; i++) {
        pipe->ends[i] = create_end(node, pipe, (i ? O_WRONLY : O_RDONLY) | (flags & (O_NONBLOCK | O_DIRECT)));
        files[i] = &pipe->ends[i]->file;
    }
}

static int make_pipe(int numbers[2], int flags)
{
    if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) {
        return -EINVAL;
    }
    struct loop_sim_node *node = loop_sim_here();
    struct loop_sim_file *files[2];
    loop_sim_pipe_create(node, flags, files);
    int from = loop_sim_file_install(node, files[0], 0, flags & O_CLOEXEC);
    int to = from < 0 ? from : loop_sim_file_reserve(node, 0);
    if (to < 0) {
        loop_sim_file_unref(files[1]);
        if (from >= 0) {
            (void)loop_sim_file_close(node, from);
        }
        return to;
    }
    loop_sim_file_put(node, to, files[1], flags & O_CLOEXEC);
    numbers[0] = from;
    numbers[1] = to;
    return 0;
}

int loop_kernel_pipe2(int numbers[2], int flags)
{
    return (int)loop_sim_return(make_pipe(numbers, flags));
}
