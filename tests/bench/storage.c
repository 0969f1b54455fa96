/* SPDX-License-Identifier: ISC
 *
 * storage [--polled] FILE DEPTH READS MILLISECONDS
 * storage --fill FILE MIB
 *
 * Reads blocks of 4 KiB at random places of FILE with O_DIRECT into chunks of the region, always DEPTH at once: that
 * many reads, or as many as the time allows. With --polled the device is polled for completions, or it is said why not.
 * Prints one line: the reads, and the seconds of user time, of kernel time and of the clock that they took. With --fill
 * it makes the file: each block begins with its own number, which each read checks. Exits with 3 if the file system has
 * no O_DIRECT.
 */
#include "bench.h"

#include <loop/loop.h>
#include <loop/low_level.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES ((size_t)4096)
#define FILL_BYTES ((size_t)1 << 20)
#define MOST_DEPTH 4096
#define READS_PER_LOOK 32 /* at the clock. No timer, because fio has none */

struct storage {
    const char *path;
    unsigned depth, n_in_flight;
    bool is_polled;
    int64_t duration_ns, began_ns, ended_ns;
    struct loop_env *env;
    struct loop_fd *fd;
    uint64_t n_blocks, random, most_reads, n_started, n_reads;
    struct rusage before, after;
};

struct reader {
    struct storage *storage;
    struct loop_chunk *chunk;
    const uint64_t *number;
    uint64_t block;
};

/* ---- the file ---- */

static int open_direct(const char *path, int flags)
{
    int number = open(path, flags | O_DIRECT | O_CLOEXEC, 0600);

    if (number < 0 && errno == EINVAL) {
        fprintf(stderr, "storage: %s: the file system has no O_DIRECT\n", path);
        exit(3);
    }
    if (number < 0) {
        bench_fail(path);
    }
    return number;
}

static void fill(const char *path, size_t n_pieces)
{
    int number = open_direct(path, O_WRONLY | O_CREAT | O_TRUNC);
    uint64_t *piece = aligned_alloc(BLOCK_BYTES, FILL_BYTES), block = 0;

    if (!piece) {
        bench_fail("memory");
    }
    memset(piece, 1, FILL_BYTES);
    for (size_t i = 0; i < n_pieces; i++) {
        for (size_t at = 0; at < FILL_BYTES / sizeof *piece; at += BLOCK_BYTES / sizeof *piece) {
            piece[at] = block++;
        }
        if (write(number, piece, FILL_BYTES) != (ssize_t)FILL_BYTES) {
            bench_fail("writing the file");
        }
    }
    if (fsync(number) != 0) {
        bench_fail("fsync");
    }
    close(number);
    free(piece);
}

/* ---- reads ---- */

static uint64_t next_block(struct storage *storage)
{
    storage->random ^= storage->random << 13;
    storage->random ^= storage->random >> 7;
    storage->random ^= storage->random << 17;
    return storage->random % storage->n_blocks;
}

static void on_read(void *arg, int64_t result);

static void read_next(struct reader *reader)
{
    struct storage *storage = reader->storage;

    storage->n_started++;
    reader->block = next_block(storage);
    if (!loop_op_read_chunk(NULL, storage->fd, reader->chunk, BLOCK_BYTES, (int64_t)(reader->block * BLOCK_BYTES),
                            on_read, reader)) {
        bench_fail("a job");
    }
}

static void on_read(void *arg, int64_t result)
{
    struct reader *reader = arg;
    struct storage *storage = reader->storage;

    if (result != (int64_t)BLOCK_BYTES || *reader->number != reader->block) {
        bench_refuse("a read returned %lld, and block %llu", (long long)result, (unsigned long long)*reader->number);
    }
    storage->n_reads++;
    if (storage->n_reads % READS_PER_LOOK == 0 && bench_now() - storage->began_ns >= storage->duration_ns) {
        storage->most_reads = 0;
    }
    if (storage->n_started < storage->most_reads) {
        read_next(reader);
    } else if (--storage->n_in_flight == 0) {
        getrusage(RUSAGE_SELF, &storage->after);
        storage->ended_ns = bench_now();
    }
}

static void begin(struct storage *storage, struct reader *reader)
{
    reader->storage = storage;
    reader->chunk = loop_chunk_alloc(storage->env->loop);
    reader->number = loop_chunk_data(reader->chunk);
    read_next(reader);
}

static int storage_main(struct loop_env *env, void *arg)
{
    struct storage *storage = arg;
    struct reader *readers = loop_scope_alloc(env->scope, storage->depth * sizeof *readers);
    struct stat status;

    storage->env = env;
    storage->fd = loop_fd_adopt(env->scope, open_direct(storage->path, O_RDONLY));
    if (!readers || !storage->fd || fstat(loop_fd_peek(storage->fd), &status) != 0) {
        bench_fail(storage->path);
    }
    if (storage->is_polled && loop_fd_poll_device(storage->fd)) {
        bench_refuse("not polled: %s", loop_fd_unpolled_reason(storage->fd));
    }
    storage->n_blocks = (uint64_t)status.st_size / BLOCK_BYTES;
    (void)loop_region_is_fixed(env->loop); /* registers the region before the time is taken */
    getrusage(RUSAGE_SELF, &storage->before);
    storage->began_ns = bench_now();
    for (unsigned i = 0; i < storage->depth; i++) {
        begin(storage, &readers[i]);
        storage->n_in_flight++;
    }
    return 0;
}

/* ---- figures ---- */

static double seconds_between(struct timeval before, struct timeval after)
{
    return (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_usec - before.tv_usec) / 1e6;
}

static uint64_t parse_count(const char *text, uint64_t most)
{
    char *end;
    unsigned long long count = strtoull(text, &end, 10);

    if (end == text || *end != '\0' || count == 0 || count > most) {
        bench_refuse("a number from 1 to %llu is wanted, not '%s'", (unsigned long long)most, text);
    }
    return count;
}

int main(int argc, char **argv)
{
    struct storage storage = {.random = 88172645463325252u};

    if (argc == 4 && strcmp(argv[1], "--fill") == 0) {
        fill(argv[2], parse_count(argv[3], 1024));
        return 0;
    }
    storage.is_polled = argc > 1 && strcmp(argv[1], "--polled") == 0;
    argc -= storage.is_polled;
    argv += storage.is_polled;
    if (argc != 5) {
        bench_refuse("usage: storage [--polled] FILE DEPTH READS MILLISECONDS | --fill FILE MIB");
    }
    storage.path = argv[1];
    storage.depth = (unsigned)parse_count(argv[2], MOST_DEPTH);
    storage.most_reads = parse_count(argv[3], UINT64_C(1) << 40);
    storage.duration_ns = (int64_t)parse_count(argv[4], 1000000) * BENCH_MILLISECOND;

    struct loop_options options = {.queue_depth = 256, .n_blocks = storage.depth, .block_size = BLOCK_BYTES};
    int status = loop_run_with(&options, storage_main, &storage);
    printf("%llu %.6f %.6f %.6f\n", (unsigned long long)storage.n_reads,
           seconds_between(storage.before.ru_utime, storage.after.ru_utime),
           seconds_between(storage.before.ru_stime, storage.after.ru_stime),
           (double)(storage.ended_ns - storage.began_ns) / BENCH_SECOND);
    return status;
}
