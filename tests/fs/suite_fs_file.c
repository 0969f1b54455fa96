/* SPDX-License-Identifier: ISC
 *
 * Open files: reads and writes at offsets, vectors, chunks, and files as sources and sinks.
 */
#include "directory.h"

#include <sys/stat.h>

/* ---- files ---- */

LOOP_TEST(fs_files_are_sources_and_sinks)
{
    static const char *directory;
    static struct loop_flow *in, *out;
    static char text[100000], back[100001];

    BEGIN;
    directory = enter_directory();
    fill_pattern(text, sizeof text, 7);
    AWAIT(loop_fs_save(NULL, env->cwd, "in", text, sizeof text, NULL, GO));
    CHECK_IS(result, sizeof text);
    AWAIT(loop_fs_open(NULL, env->cwd, "in", NULL, &in, GO));
    AWAIT(loop_fs_open(NULL, env->cwd, "out",
                       &(struct loop_open_options){.access = LOOP_ACCESS_READ_WRITE, .create = LOOP_CREATE_EXCLUSIVE},
                       &out, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_copy(&in->source, &out->sink, GO));
    CHECK_IS(result, sizeof text);
    CHECK_IS(loop_file_seek(out->fd, 0, SEEK_CUR), sizeof text);
    CHECK_IS(loop_file_seek(out->fd, 0, SEEK_SET), 0);
    AWAIT(loop_read_exact(&out->source, back, sizeof back, GO));
    CHECK_IS(result, sizeof text);
    CHECK(is_pattern(back, sizeof text, 7));
    CHECK_IS(loop_file_seek(out->fd, -1, SEEK_SET), -EINVAL);
    CHECK_IS(loop_file_seek(out->fd, 0, SEEK_END), sizeof text);
    loop_flow_close(out);
    CHECK_IS(loop_file_seek(out->fd, 0, SEEK_SET), -EBADF);
    leave_directory(directory);
    END;
}

static struct loop_flow *scratch;
static struct loop_open_options scratch_options = {.access = LOOP_ACCESS_READ_WRITE, .create = LOOP_CREATE_OR_TRUNCATE};
#define OPEN_SCRATCH AWAIT(loop_fs_open(NULL, env->cwd, "scratch", &scratch_options, &scratch, GO))

LOOP_TEST(fs_pread_and_pwrite_leave_the_position)
{
    static const char *directory;
    static char a[4], b[4], text[] = "01234567";
    static struct iovec iov[2];

    BEGIN;
    directory = enter_directory();
    OPEN_SCRATCH;
    iov[0] = (struct iovec){text, 4};
    iov[1] = (struct iovec){text + 4, 4};
    AWAIT(loop_file_pwrite(NULL, scratch->fd, iov, 2, 2, GO));
    CHECK_IS(result, 8);
    CHECK_IS(loop_file_seek(scratch->fd, 0, SEEK_CUR), 0);
    iov[0] = (struct iovec){a, 4};
    iov[1] = (struct iovec){b, 4};
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 2, 2, GO));
    CHECK_IS(result, 8);
    CHECK_IS(memcmp(a, "0123", 4), 0);
    CHECK_IS(memcmp(b, "4567", 4), 0);
    CHECK_IS(loop_file_seek(scratch->fd, 0, SEEK_CUR), 0);
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 2, 2 + 3, GO)); /* the end comes before the vectors do */
    CHECK_IS(result, 5);
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 2, 10, GO)); /* exactly at the end */
    CHECK_IS(result, 0);
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 2, 1000, GO)); /* behind it */
    CHECK_IS(result, 0);
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 0, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 2, -1, GO));
    CHECK_IS(result, -EINVAL);
    iov[1].iov_len = SIZE_MAX;
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 2, 0, GO));
    CHECK_IS(result, -EINVAL);
    loop_flow_close(scratch);
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, 1, 0, GO));
    CHECK_IS(result, -EBADF);
    leave_directory(directory);
    END;
}

#define MANY 10000

LOOP_TEST(fs_ten_thousand_vectors)
{
    static const char *directory;
    static struct iovec iov[MANY];
    static char text[7 * MANY], back[7 * MANY];
    static size_t total;

    BEGIN;
    directory = enter_directory();
    OPEN_SCRATCH;
    fill_pattern(text, sizeof text, 3);
    for (size_t i = 0; i < MANY; i++) {
        size_t len = i % 8; /* empty ones too */
        iov[i] = (struct iovec){text + total, len};
        total += len;
    }
    AWAIT(loop_file_pwrite(NULL, scratch->fd, iov, MANY, 100, GO));
    CHECK_IS(result, total);
    for (size_t i = 0; i < MANY; i++) {
        iov[i].iov_base = back + ((char *)iov[i].iov_base - text);
    }
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, MANY, 100, GO));
    CHECK_IS(result, total);
    CHECK(is_pattern(back, total, 3));
    AWAIT(loop_file_pread(NULL, scratch->fd, iov, MANY, 200, GO));
    CHECK_IS(result, total - 100);
    CHECK(is_pattern_at(back, total - 100, 3, 100));
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_pread_of_a_pipe_is_refused)
{
    static int ends[2];
    static struct loop_fd *end;
    static char byte;
    static struct iovec iov;

    BEGIN;
    make_pipe(ends);
    end = adopt(env->scope, ends[0]);
    close(ends[1]);
    iov = (struct iovec){&byte, 1};
    AWAIT(loop_file_pread(NULL, end, &iov, 1, 0, GO));
    CHECK_IS(result, -ESPIPE);
    CHECK_IS(loop_file_seek(end, 0, SEEK_CUR), -ESPIPE);
    END;
}

LOOP_TEST(fs_chunks_go_through_the_low_level)
{
    static const char *directory;
    static struct loop_chunk *chunk;
    static size_t len;

    BEGIN;
    directory = enter_directory();
    OPEN_SCRATCH;
    AWAIT(loop_chunk_alloc_wait(env->scope, &chunk, GO));
    len = loop_chunk_length(chunk);
    fill_pattern(loop_chunk_data(chunk), len, 9);
    AWAIT(loop_op_write_chunk(NULL, scratch->fd, chunk, len, 0, GO));
    CHECK_MOVED(result, len);
    memset(loop_chunk_data(chunk), 0, len);
    AWAIT(loop_op_read_chunk(NULL, scratch->fd, chunk, 100, 0, GO));
    CHECK_MOVED(result, 100);
    CHECK(is_pattern(loop_chunk_data(chunk), (size_t)result, 9));
    loop_chunk_free(env->loop, chunk);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_what_an_open_file_is)
{
    static const char *directory;
    static struct loop_fs_status stat;

    BEGIN;
    directory = enter_directory();
    OPEN_SCRATCH;
    AWAIT(loop_file_truncate(NULL, scratch->fd, 1 << 20, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_file_stat(NULL, scratch->fd, &stat, GO));
    CHECK_IS(result, 0);
    CHECK_IS(stat.size_bytes, 1 << 20);
    CHECK_IS(stat.used_bytes, 0);
    CHECK_IS(stat.n_links, 1);
    AWAIT(loop_file_allocate(NULL, scratch->fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 16, GO));
    if (result != -EOPNOTSUPP) {
        CHECK_IS(result, 0);
        AWAIT(loop_file_stat(NULL, scratch->fd, &stat, GO));
        CHECK_IS(stat.size_bytes, 1 << 20);
        CHECK(stat.used_bytes >= 1 << 16);
    }
    AWAIT(loop_file_chmod(NULL, scratch->fd, 0640, GO));
    CHECK_IS(result, 0);
    CHECK_IS(mode_of("scratch"), 0640);
    AWAIT(loop_file_chown(NULL, scratch->fd, (uid_t)-1, getegid(), GO));
    CHECK_IS(result, 0);
    AWAIT(loop_file_set_times(NULL, scratch->fd, NULL, AT(-2, 500000000), GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_stat(NULL, env->cwd, "scratch", LOOP_FS_FOLLOW, &stat, GO));
    TIME_IS(stat.modified, -2, 500000000);
    CHECK(stat.accessed.tv_sec > 0);
    AWAIT(loop_file_sync(NULL, scratch->fd, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_file_sync(NULL, scratch->fd, LOOP_FS_DATA_ONLY, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_file_truncate(NULL, scratch->fd, UINT64_MAX, GO));
    CHECK_IS(result, -EFBIG);
    loop_flow_close(scratch);
    AWAIT(loop_file_stat(NULL, scratch->fd, &stat, GO));
    CHECK_IS(result, -EBADF);
    leave_directory(directory);
    END;
}
