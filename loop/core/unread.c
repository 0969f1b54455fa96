/* SPDX-License-Identifier: ISC
 *
 * Unread bytes and kept errors; see unread.h. The bytes are a list of blocks, the one put last first.
 */
#include <loop/core/backend.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/ready.h>
#include <loop/core/unread.h>
#include <loop/ground/list.h>
#include <loop/kernel/event.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>

#include <errno.h>
#include <string.h>

/* ---- what the rest of the descriptor has to know ---- */

/* Returns whether the job's operation in the kernel waits for input and would not see these bytes. */
static bool waits_for_input(const struct loop_job *job)
{
    const struct loop_op_args *args = &job->u.args;
    const struct loop_op_row *row = &loop_op_table[job->op];
    if (job->op == LOOP_OP_NONE) {
        return job->kind->room != NULL;
    }
    if (row->op_class == LOOP_CLASS_MOVE) {
        return !row->is_output && args->move.offset == LOOP_CURRENT && loop_fd_is_stream(job->fd);
    }
    return row->is_receive || (row->op_class == LOOP_CLASS_POLL && args->poll.events & POLLIN);
}

static void begin(struct loop_fd *fd)
{
    if (!loop_fd_reads_kept(fd)) {
        fd->plain_read_by = fd->read_by & 7u;
        fd->read_by = LOOP_IO_UNREAD;
        fd->was_readable = (fd->ready & POLLIN) != 0;
    }
    fd->ready |= POLLIN;
}

/* Restores how the descriptor is read, which the backend does not receive for. Whether it is readable is what was known
 * before, or else what poll(2) reports: edges that came meanwhile left no trace, because POLLIN was set in `ready`. A
 * read could not find out: it takes a fifo that never had a writer for one at its end. */
__attribute__((noinline)) static void restore(struct loop_fd *fd)
{
    struct pollfd entry = {.fd = fd->number, .events = POLLIN};
    fd->read_by = fd->plain_read_by;
    if (fd->state != LOOP_FD_CLOSED && loop_fd_is_stream(fd) && !fd->was_readable &&
        loop_kernel_poll(&entry, 1, 0) == 0) {
        fd->ready &= (uint8_t)~POLLIN;
    }
}

/* Notes that nothing is kept any more. */
static inline void end(struct loop_fd *fd)
{
    if (fd->is_receiving) {
        fd->ready &= (uint8_t)~POLLIN;
    } else {
        restore(fd);
    }
}

/* ---- in and out ---- */

void loop_block_free(struct loop *loop, struct loop_block *block)
{
    if (block->is_backends) {
        loop->backend->release(loop, block);
    } else {
        loop_kernel_free(block);
    }
}

static struct loop_block *make_block(size_t len)
{
    struct loop_block *block = len <= SIZE_MAX / 2 ? loop_kernel_malloc(sizeof *block + len) : NULL;
    if (block) {
        block->next = NULL;
        block->at = 0;
        block->end = len;
        block->is_backends = false;
        block->is_received = false;
    }
    return block;
}

struct loop_block *loop_block_of(const void *bytes, size_t len)
{
    struct loop_block *block = make_block(len);
    if (block) {
        memcpy(block->bytes, bytes, len);
    }
    return block;
}

struct loop_block *loop_block_gather(const struct iovec *iov, size_t len)
{
    struct loop_block *block = make_block(len);
    for (size_t at = 0, n; block && at < len; at += n, iov++) {
        n = iov->iov_len < len - at ? iov->iov_len : len - at;
        memcpy((char *)block->bytes + at, iov->iov_base, n);
    }
    return block;
}

struct loop_block *loop_block_trim(struct loop_block *block)
{
    if (block->is_backends) {
        return block;
    }
    size_t len = block->end - block->at;
    memmove(block->bytes, (char *)block->bytes + block->at, len);
    block->at = 0;
    block->end = len;
    struct loop_block *smaller = loop_kernel_realloc(block, sizeof *block + len);
    return smaller ? smaller : block;
}

/* Tries the jobs that wait for input, because there is something to read. */
static void tell_readers(struct loop *loop, struct loop_fd *fd)
{
    if (fd->state != LOOP_FD_OPEN) {
        return;
    }
    if (!loop_line_is_empty(&fd->readers) || loop_fd_has_pollers(fd)) {
        loop_ready_activate(loop, fd);
    }
    loop_ready_call_back(loop, fd, waits_for_input);
}

/* Copies the bytes of a block. Returns NULL when there is no memory. */
static struct loop_block *copy_of(const struct loop_block *block)
{
    struct loop_block *copy = make_block(block->end - block->at);
    if (copy) {
        memcpy(copy->bytes, (const char *)block->bytes + block->at, copy->end);
        copy->is_received = block->is_received;
        copy->next = block->next;
    }
    return copy;
}

void loop_unread_make_room(struct loop_fd *fd)
{
    struct loop *loop = fd->scope->loop;
    for (struct loop_block **at = &fd->unread; *at; at = &(*at)->next) {
        struct loop_block *block = *at, *copy = loop_block_is_scarce(loop, block) ? copy_of(block) : NULL;
        if (copy) {
            *at = copy;
            loop_block_free(loop, block);
        }
    }
}

void loop_unread_put(struct loop *loop, struct loop_fd *fd, struct loop_block *block)
{
    assert(fd->state != LOOP_FD_CLOSED || fd->is_taken);
    if (block->at == block->end) {
        loop_block_free(loop, block);
        return;
    }
    block = loop_block_trim(block);
    block->next = fd->unread;
    fd->unread = block;
    if (block->is_backends) {
        loop_unread_make_room(fd);
    }
    begin(fd);
    tell_readers(loop, fd);
}

static void append(struct loop_fd *fd, struct loop_block *block)
{
    struct loop_block **last = &fd->unread;
    while (*last) {
        last = &(*last)->next;
    }
    block->next = NULL;
    *last = block;
}

void loop_unread_append(struct loop_fd *fd, struct loop_block *block)
{
    assert(fd->is_receiving && fd->state != LOOP_FD_CLOSED);
    append(fd, block);
}

/* ---- behind others, without memory ---- */

/* Returns where the byte with that number is, counted from the first unread one. */
static char *byte_at(const struct loop_fd *fd, size_t at)
{
    struct loop_block *block = fd->unread;
    for (; at >= block->end - block->at; block = block->next) {
        at -= block->end - block->at;
    }
    return (char *)block->bytes + block->at + at;
}

static void swap(char *a, char *b)
{
    char byte = *a;
    *a = *b;
    *b = byte;
}

static void reverse(const struct loop_fd *fd, size_t from, size_t to)
{
    while (from + 1 < to) {
        swap(byte_at(fd, from++), byte_at(fd, --to));
    }
}

/* Moves the first `len` of the unread bytes and of those in the vectors, which follow them, into the vectors; and the
 * rest, as many as were unread, into the blocks. */
static void exchange(const struct loop_fd *fd, const struct iovec *iov, size_t len)
{
    size_t n_unread = loop_unread_length(fd), n = 0;
    for (; n < len; iov++) {
        for (size_t at = 0; at < iov->iov_len && n < len; at++, n++) {
            swap((char *)iov->iov_base + at, byte_at(fd, n % n_unread));
        }
    }
    /* the blocks begin with the last n % n_unread bytes */
    reverse(fd, 0, n % n_unread);
    reverse(fd, n % n_unread, n_unread);
    reverse(fd, 0, n_unread);
}

bool loop_unread_put_behind(struct loop *loop, struct loop_fd *fd, const struct iovec *iov, size_t len)
{
    struct loop_block *block = loop_block_gather(iov, len);
    if (!block && fd->unread && fd->is_byte_stream) {
        exchange(fd, iov, len);
    }
    if (!block) {
        return false;
    }
    append(fd, block);
    begin(fd);
    tell_readers(loop, fd);
    return true;
}

void loop_unread_begin_receiving(struct loop_fd *fd)
{
    assert(!fd->is_receiving);
    if (!loop_fd_reads_kept(fd)) {
        fd->plain_read_by = fd->read_by & 7u;
        fd->read_by = LOOP_IO_UNREAD;
        fd->ready &= (uint8_t)~POLLIN;
    }
    fd->is_receiving = true;
    fd->scope->loop->stats.received_flows_now++;
}

void loop_unread_end_receiving(struct loop_fd *fd)
{
    assert(fd->is_receiving && loop_fd_reads_kept(fd));
    fd->is_receiving = false;
    fd->scope->loop->stats.received_flows_now--;
    fd->was_readable = true; /* a call finds out */
    fd->ready |= POLLIN;
    if (!loop_fd_has_unread(fd)) {
        fd->read_by = fd->plain_read_by;
    }
}

void loop_unread_keep_error(struct loop *loop, struct loop_fd *fd, int64_t error)
{
    assert(error < 0);
    if (fd->is_regular) {
        return;
    }
    fd->read_error = (int16_t)(error < INT16_MIN ? -EINVAL : error);
    begin(fd);
    tell_readers(loop, fd);
}

int64_t loop_unread_take_error(struct loop_fd *fd)
{
    int16_t error = fd->unread ? 0 : fd->read_error;
    if (error) {
        fd->read_error = 0;
        end(fd);
    }
    return error;
}

const struct loop_block *loop_unread_first(const struct loop_fd *fd)
{
    return fd->unread;
}

void loop_unread_drop(struct loop_fd *fd, size_t n)
{
    while (n > 0) {
        struct loop_block *block = fd->unread;
        size_t len = block->end - block->at, gone = n < len ? n : len;
        block->at += gone;
        n -= gone;
        if (gone == len) {
            fd->unread = block->next;
            loop_block_free(fd->scope->loop, block);
        }
    }
    if (loop_fd_reads_kept(fd) && !loop_fd_has_unread(fd)) {
        end(fd);
    }
}

/* Copies bytes from `block` and those behind it into the vectors, as many as one read allows. Returns how many. */
static size_t copy_out(const struct loop_block *block, bool is_byte_stream, const struct iovec *iov, int n_iov)
{
    size_t total = 0, at = block->at;
    for (int i = 0; i < n_iov; i++) {
        for (size_t filled = 0; block && filled < iov[i].iov_len;) {
            size_t room = iov[i].iov_len - filled, len = block->end - at, n = room < len ? room : len;
            memcpy((char *)iov[i].iov_base + filled, (const char *)block->bytes + at, n);
            filled += n;
            total += n;
            at += n;
            if (at == block->end) {
                block = is_byte_stream ? block->next : NULL;
                at = block ? block->at : 0;
            }
        }
    }
    return total;
}

/* Moves the only block out, which fits: nearly always what has been received is read so. */
static int64_t take_only(struct loop_fd *fd, void *buf)
{
    struct loop_block *block = fd->unread;
    size_t n = block->end - block->at;
    memcpy(buf, (const char *)block->bytes + block->at, n);
    fd->unread = NULL;
    loop_block_free(fd->scope->loop, block);
    if (!fd->read_error) {
        end(fd);
    }
    return (int64_t)n;
}

int64_t loop_unread_read(struct loop_fd *fd, const struct iovec *iov, int n_iov, bool is_peek)
{
    const struct loop_block *first = fd->unread;
    if (first && !first->next && n_iov == 1 && !is_peek && first->end - first->at <= iov->iov_len) {
        return take_only(fd, iov->iov_base);
    }
    if (!fd->unread) {
        int64_t error = loop_unread_take_error(fd);
        fd->ready &= (uint8_t)(error ? ~0 : ~POLLIN);
        assert(error || fd->is_receiving);
        return error ? error : -EAGAIN;
    }
    bool is_byte_stream = fd->is_byte_stream || !loop_fd_is_stream(fd);
    size_t n = copy_out(fd->unread, is_byte_stream, iov, n_iov);
    if (!is_peek) {
        loop_unread_drop(fd, n);
    }
    return (int64_t)n;
}

struct loop_block *loop_unread_pop(struct loop_fd *fd)
{
    struct loop_block *block = fd->unread;
    assert(loop_unread_is_received(fd));
    fd->unread = block->next;
    block->is_received = false;
    if (!loop_fd_has_unread(fd)) {
        end(fd);
    }
    return block;
}

struct loop_block *loop_unread_detach(struct loop_fd *fd, size_t len)
{
    const struct loop_block *first = fd->unread;
    size_t left = first->end - first->at;
    struct loop_block *block = loop_block_of((const char *)first->bytes + first->at, len < left ? len : left);
    if (block) {
        loop_unread_drop(fd, block->end);
    }
    return block;
}

size_t loop_unread_length(const struct loop_fd *fd)
{
    size_t len = 0;
    for (const struct loop_block *block = fd->unread; block; block = block->next) {
        len += block->end - block->at;
    }
    return len;
}

bool loop_unread_has_received(const struct loop_fd *fd)
{
    const struct loop_block *block = fd->unread;
    while (block && !block->is_received) {
        block = block->next;
    }
    return block != NULL;
}

void loop_unread_finish(struct loop_fd *fd)
{
    while (fd->unread) {
        loop_unread_drop(fd, fd->unread->end - fd->unread->at);
    }
}

/* ---- the calls ---- */

/* Returns whether a descriptor accepts bytes: it is open, or the job that takes it has not been resumed. */
static bool accepts_bytes(const struct loop_fd *fd)
{
    bool is_being_taken =
        fd->is_taken && fd->state != LOOP_FD_GONE && loop_job_find(fd->scope->loop, loop_fd_more(fd)->take);
    return fd->state == LOOP_FD_OPEN || is_being_taken;
}

/* Has streams put what they have read and not lent before the unread bytes. It follows bytes that are given back now.
 * Returns 0 or -ENOMEM. */
static int unread_ahead(struct loop_fd *fd)
{
    int error = 0;
    for (struct loop_hnode *node = fd->jobs.first; node && !error; node = node->next) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, in_fd);
        error = job->kind->unread_ahead ? job->kind->unread_ahead(fd->scope->loop, job) : 0;
    }
    return error;
}

int loop_fd_unread(struct loop_fd *fd, const void *bytes, size_t len)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return -EINVAL;
    }
    if (!accepts_bytes(fd)) {
        return -EBADF;
    }
    if (len == 0 || !bytes) {
        return len == 0 ? 0 : -EINVAL;
    }
    struct loop_block *block = loop_block_of(bytes, len);
    if (!block || unread_ahead(fd)) {
        loop_kernel_free(block);
        return -ENOMEM;
    }
    loop_unread_put(fd->scope->loop, fd, block);
    return 0;
}

bool loop_unread_give_back(struct loop_fd *fd, struct loop_block *block)
{
    bool is_accepted = accepts_bytes(fd);
    if (is_accepted) {
        (void)unread_ahead(fd); /* without memory those come first */
        loop_unread_put(fd->scope->loop, fd, block);
    } else {
        loop_block_free(fd->scope->loop, block);
    }
    return is_accepted;
}

size_t loop_fd_unread_length(const struct loop_fd *fd)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return 0;
    }
    return loop_unread_length(fd);
}

size_t loop_fd_take_unread(struct loop_fd *fd, void *buf, size_t room)
{
    if (!loop_fd_is_good(fd, __func__)) {
        return 0;
    }
    struct iovec iov = {buf, room};
    return fd->unread ? (size_t)loop_unread_read(fd, &iov, 1, false) : 0;
}

int64_t loop_fd_take_error(struct loop_fd *fd)
{
    return loop_fd_is_good(fd, __func__) ? loop_unread_take_error(fd) : 0;
}

void loop_fd_keep_error(struct loop_fd *fd, int64_t error)
{
    if (loop_fd_is_good(fd, __func__) && fd->state == LOOP_FD_OPEN) {
        loop_unread_keep_error(fd->scope->loop, fd, error);
    }
}
