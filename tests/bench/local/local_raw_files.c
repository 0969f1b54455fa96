/* SPDX-License-Identifier: ISC
 *
 * Lower bounds: files in the page cache. Plain calls one after another, and the ring with registered buffers (fixed) or
 * without (plain).
 */
#include "local_raw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int open_source(const struct local_options *options)
{
    return (int)local_sys(options->file, open(options->file, O_RDONLY | O_CLOEXEC));
}

static int open_target(const struct local_options *options)
{
    return (int)local_sys(options->to, open(options->to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

/* ---- reads ---- */

void raw_read_pread(const struct local_options *options, struct local_result *result)
{
    struct local_window window;
    size_t file_size = local_file_prepare(options), size = options->size;
    unsigned char *data = local_alloc(options->depth, size);
    int fd = open_source(options);

    local_window_init(&window, options, result);
    for (uint64_t i = 0;; i++) {
        unsigned char *into = data + i % options->depth * size;
        uint64_t offset = local_read_offset(i, file_size, size);
        local_check(pread(fd, into, size, (off_t)offset) == (ssize_t)size, "a read has failed or was short");
        local_file_check(into, size, offset);
        if (!local_goes_on(&window)) {
            break;
        }
    }
    close(fd);
    free(data);
}

struct reads {
    struct local_window window;
    struct io_uring ring;
    size_t size, file_size;
    unsigned char *data;
    uint64_t *offsets, n_started;
    bool is_fixed;
};

static void read_next(struct reads *reads, unsigned slot)
{
    struct io_uring_sqe *sqe = raw_ring_sqe(&reads->ring);
    unsigned char *into = reads->data + slot * reads->size;

    reads->offsets[slot] = local_read_offset(reads->n_started++, reads->file_size, reads->size);
    if (reads->is_fixed) {
        io_uring_prep_read_fixed(sqe, 0, into, (unsigned)reads->size, reads->offsets[slot], 0);
    } else {
        io_uring_prep_read(sqe, 0, into, (unsigned)reads->size, reads->offsets[slot]);
    }
    sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(sqe, slot);
}

/* Handles all completions. Returns false after the last one. */
static bool reap_reads(struct reads *reads)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;
    bool goes_on = true;

    io_uring_for_each_cqe(&reads->ring, head, cqe)
    {
        unsigned slot = (unsigned)cqe->user_data;
        local_check(cqe->res == (int)reads->size, "a read has failed or was short");
        local_file_check(reads->data + slot * reads->size, reads->size, reads->offsets[slot]);
        n++;
        goes_on = local_goes_on(&reads->window);
        if (goes_on) {
            read_next(reads, slot);
        }
    }
    io_uring_cq_advance(&reads->ring, n);
    return goes_on;
}

static void read_by_ring(const struct local_options *options, struct local_result *result, bool is_fixed)
{
    struct reads reads = {.size = options->size, .is_fixed = is_fixed};
    int fd;

    reads.file_size = local_file_prepare(options);
    fd = open_source(options);
    reads.data = local_alloc(options->depth, options->size);
    reads.offsets = local_alloc(options->depth, sizeof *reads.offsets);
    raw_ring_init(&reads.ring, options->depth < 64 ? 64 : options->depth);
    local_check(io_uring_register_files(&reads.ring, &fd, 1) == 0, "no fixed file");
    if (is_fixed) {
        struct iovec all = {.iov_base = reads.data, .iov_len = options->depth * options->size};
        local_check(io_uring_register_buffers(&reads.ring, &all, 1) == 0, "no fixed buffer");
    }
    local_window_init(&reads.window, options, result);
    for (unsigned slot = 0; slot < options->depth; slot++) {
        read_next(&reads, slot);
    }
    do {
        (void)raw_ring_wait(&reads.ring);
    } while (reap_reads(&reads));
    io_uring_queue_exit(&reads.ring);
    close(fd);
    free(reads.data);
    free(reads.offsets);
}

void raw_read_fixed(const struct local_options *options, struct local_result *result)
{
    read_by_ring(options, result, true);
}

void raw_read_plain(const struct local_options *options, struct local_result *result)
{
    read_by_ring(options, result, false);
}

/* ---- copies ---- */

struct copy {
    struct local_span span;
    size_t file_size;
    int from, to;
};

static void begin_copy(struct copy *copy, const struct local_options *options)
{
    copy->file_size = local_file_prepare(options);
    local_copy_prepare(options);
    local_span_begin(&copy->span);
    copy->from = open_source(options);
    copy->to = open_target(options);
}

static void end_copy(const struct copy *copy, const struct local_options *options, struct local_result *result)
{
    close(copy->from);
    close(copy->to);
    local_copy_end(&copy->span, options, result, copy->file_size);
}

void raw_copy_read_write(const struct local_options *options, struct local_result *result)
{
    struct copy copy;
    unsigned char *block = local_alloc(options->size, 1);
    int64_t n;

    begin_copy(&copy, options);
    while ((n = local_sys("read", read(copy.from, block, options->size))) > 0) {
        local_check(write(copy.to, block, (size_t)n) == n, "a write has failed or was short");
    }
    end_copy(&copy, options, result);
    free(block);
}

void raw_copy_file_range(const struct local_options *options, struct local_result *result)
{
    struct copy copy;

    begin_copy(&copy, options);
    while (local_sys("copy_file_range", copy_file_range(copy.from, NULL, copy.to, NULL, options->size, 0)) > 0) {
    }
    end_copy(&copy, options, result);
}

/* Each slot reads a block, writes it, reads another one. */
struct blocks {
    struct copy copy;
    struct io_uring ring;
    size_t size;
    uint64_t next;
    unsigned n_busy;
    unsigned char *data;
    struct block {
        uint64_t offset;
        unsigned len; /* 0 while it is being read */
    } * blocks;
};

static void read_block(struct blocks *blocks, unsigned slot)
{
    struct io_uring_sqe *sqe;

    if (blocks->next >= blocks->copy.file_size) {
        blocks->n_busy--;
        return;
    }
    blocks->blocks[slot] = (struct block){.offset = blocks->next};
    blocks->next += blocks->size;
    sqe = raw_ring_sqe(&blocks->ring);
    io_uring_prep_read_fixed(sqe, blocks->copy.from, blocks->data + slot * blocks->size, (unsigned)blocks->size,
                             blocks->blocks[slot].offset, 0);
    io_uring_sqe_set_data64(sqe, slot);
}

static void write_block(struct blocks *blocks, unsigned slot, unsigned len)
{
    struct io_uring_sqe *sqe = raw_ring_sqe(&blocks->ring);

    blocks->blocks[slot].len = len;
    io_uring_prep_write_fixed(sqe, blocks->copy.to, blocks->data + slot * blocks->size, len,
                              blocks->blocks[slot].offset, 0);
    io_uring_sqe_set_data64(sqe, slot);
}

static void reap_block(struct blocks *blocks)
{
    struct io_uring_cqe *cqe = raw_ring_wait(&blocks->ring);
    unsigned slot = (unsigned)cqe->user_data;
    int n = cqe->res;

    io_uring_cqe_seen(&blocks->ring, cqe);
    local_check(n > 0, "a read or a write has failed");
    if (blocks->blocks[slot].len == 0) {
        write_block(blocks, slot, (unsigned)n);
    } else {
        local_check((unsigned)n == blocks->blocks[slot].len, "a write was short");
        read_block(blocks, slot);
    }
}

void raw_copy_fixed(const struct local_options *options, struct local_result *result)
{
    unsigned depth = options->depth > 1 ? options->depth : 32;
    struct blocks blocks = {.size = options->size, .n_busy = depth};
    struct iovec all = {.iov_len = depth * options->size};

    all.iov_base = blocks.data = local_alloc(depth, options->size);
    blocks.blocks = local_alloc(depth, sizeof *blocks.blocks);
    raw_ring_init(&blocks.ring, depth < 64 ? 64 : depth);
    local_check(io_uring_register_buffers(&blocks.ring, &all, 1) == 0, "no fixed buffer");
    begin_copy(&blocks.copy, options);
    for (unsigned slot = 0; slot < depth; slot++) {
        read_block(&blocks, slot);
    }
    while (blocks.n_busy > 0) {
        reap_block(&blocks);
    }
    end_copy(&blocks.copy, options, result);
    io_uring_queue_exit(&blocks.ring);
    free(blocks.data);
    free(blocks.blocks);
}
