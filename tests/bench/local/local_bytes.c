/* SPDX-License-Identifier: ISC
 *
 * Streams of blocks and files whose bytes can be checked.
 */
#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20)

/* ---- streams ---- */

void local_stream_fill(unsigned char *block, size_t size)
{
    local_check(size >= sizeof(uint64_t), "--size must be 8 or more, which is what a stamp takes");
    for (size_t i = 0; i < size; i++) {
        block[i] = (unsigned char)local_mix(i);
    }
}

void local_stream_stamp(unsigned char *block, uint64_t number)
{
    memcpy(block, &number, sizeof number);
}

/* A stamp that is split between two reads is not checked; its neighbours are. */
static void check_stamp(const unsigned char *data, size_t len, uint64_t number)
{
    uint64_t stamp;
    if (len >= sizeof stamp) {
        memcpy(&stamp, data, sizeof stamp);
        local_check(stamp == number, "a block has come that was not its turn");
    }
}

uint64_t local_stream_got(struct local_stream *stream, const unsigned char *data, size_t len)
{
    uint64_t before = stream->position / stream->size;
    size_t in_block = stream->position % stream->size, done = 0, last;

    if (in_block > 0) {
        done = stream->size - in_block;
    }
    for (; done < len; done += stream->size) {
        check_stamp(data + done, len - done, (stream->position + done) / stream->size);
    }
    last = (in_block + len - 1) % stream->size;
    local_check(last < sizeof(uint64_t) || data[len - 1] == (unsigned char)local_mix(last), "a wrong byte has come");
    stream->position += len;
    return stream->position / stream->size - before;
}

/* ---- files ---- */

static uint64_t word_at(uint64_t offset)
{
    return offset * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

static void fill(unsigned char *data, size_t len, uint64_t offset)
{
    for (size_t i = 0; i + sizeof(uint64_t) <= len; i += sizeof(uint64_t)) {
        uint64_t word = word_at(offset + i);
        memcpy(data + i, &word, sizeof word);
    }
}

static void make_file(const char *path, size_t size)
{
    unsigned char *piece = local_alloc(PIECE, 1);
    int fd = (int)local_sys(path, open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));

    for (size_t done = 0; done < size; done += PIECE) {
        size_t len = size - done < PIECE ? size - done : PIECE;
        fill(piece, len, done);
        local_check(local_sys(path, write(fd, piece, len)) == (int64_t)len, "the disk is full");
    }
    /* Writes its pages back now, not during a measurement. */
    local_sys(path, fsync(fd));
    close(fd);
    free(piece);
}

void local_file_compare(const char *path, size_t size)
{
    unsigned char *piece = local_alloc(PIECE, 1), *expected = local_alloc(PIECE, 1);
    int fd = (int)local_sys(path, open(path, O_RDONLY | O_CLOEXEC));
    size_t done = 0;

    for (;;) {
        size_t len = (size_t)local_sys(path, pread(fd, piece, PIECE, (off_t)done));
        if (len == 0) {
            break;
        }
        fill(expected, len, done);
        local_check(memcmp(piece, expected, len) == 0, "a file doesn't contain what it should");
        done += len;
    }
    local_check(done == size, "a file has not the length it should have");
    close(fd);
    free(piece);
    free(expected);
}

size_t local_file_prepare(const struct local_options *options)
{
    struct stat stat_now;

    if (!options->file) {
        local_fail("--file is needed", 0);
    }
    if (stat(options->file, &stat_now) != 0) {
        make_file(options->file, options->file_size);
        local_sys(options->file, stat(options->file, &stat_now));
    }
    local_check((size_t)stat_now.st_size >= options->size, "the file is too small");
    local_check(options->size % sizeof(uint64_t) == 0, "--size must be a multiple of 8 with files");
    local_file_compare(options->file, (size_t)stat_now.st_size);
    return (size_t)stat_now.st_size;
}

void local_file_check(const unsigned char *data, size_t len, uint64_t offset)
{
    uint64_t first, last;
    memcpy(&first, data, sizeof first);
    memcpy(&last, data + len - sizeof last, sizeof last);
    local_check(first == word_at(offset) && last == word_at(offset + len - sizeof last), "a read brought wrong bytes");
}

void local_copy_prepare(const struct local_options *options)
{
    if (!options->to) {
        local_fail("--to is needed", 0);
    }
    if (unlink(options->to) != 0 && errno != ENOENT) {
        local_fail(options->to, -errno);
    }
}

void local_copy_end(const struct local_span *span, const struct local_options *options, struct local_result *result,
                    size_t file_size)
{
    local_span_end(span, result, (file_size + options->size - 1) / options->size);
    local_file_compare(options->to, file_size);
    local_sys(options->to, unlink(options->to));
}

/* ---- a ticker ---- */

int64_t local_tick_first(struct local_ticker *ticker)
{
    return ticker->due = local_now() + LOCAL_MILLISECOND;
}

int64_t local_tick(struct local_ticker *ticker)
{
    int64_t now = local_now(), late = now - ticker->due;
    ticker->longest = late > ticker->longest ? late : ticker->longest;
    ticker->n++;
    return ticker->due = now + LOCAL_MILLISECOND;
}

void local_ticker_tell(const struct local_ticker *ticker, struct local_result *result)
{
    local_extra(result, "longest_block_us", (double)ticker->longest / 1000);
    local_extra(result, "ticks", (double)ticker->n);
}
