/* SPDX-License-Identifier: ISC
 *
 * Rings: files of a disk. The real kernel and the simulated one must give the same answers.
 */
#include "rings.h"

#if NORIA_URING

#include <linux/openat2.h>
#include <sys/stat.h>

/* A ring, and a directory for its files. */
struct place {
    struct io_uring ring;
    const char *path;
    int dir;
};

static bool make_place(struct place *place)
{
    if (!make_ring(&place->ring, 8, 0, DEFERRED)) {
        return false;
    }
    place->path = make_directory();
    place->dir = loop_kernel_open(place->path, O_DIRECTORY | O_RDONLY | O_CLOEXEC, 0);
    CHECK(place->dir >= 0);
    return true;
}

static void end_place(struct place *place)
{
    loop_kernel_close(place->dir);
    remove_directory(place->path);
    loop_kernel_io_uring_queue_exit(&place->ring);
}

/* Opens a file by the ring. Returns its number or the error. */
static int open_file(struct place *place, const char *name, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = flags & O_CREAT ? 0600 : 0};
    io_uring_prep_openat2(entry_of(&place->ring), place->dir, name, &how);
    return next_of(&place->ring).result;
}

TEST(file_is_opened_written_read_and_closed)
{
    struct place place;
    char data[16] = "";

    if (!make_place(&place)) {
        return;
    }
    CHECK_IS(open_file(&place, "none", O_RDWR), -ENOENT);
    int number = open_file(&place, "file", O_RDWR | O_CREAT);
    CHECK(number >= 0);
    CHECK_IS(loop_kernel_fcntl(number, F_GETFD, 0), FD_CLOEXEC);
    io_uring_prep_write(entry_of(&place.ring), number, "hello", 5, 3);
    EXPECT(&place.ring, 0, 5, 0);
    io_uring_prep_read(entry_of(&place.ring), number, data, sizeof data, 0);
    EXPECT(&place.ring, 0, 8, 0);
    CHECK(memcmp(data, "\0\0\0hello", 8) == 0);
    io_uring_prep_read(entry_of(&place.ring), number, data, sizeof data, 8);
    EXPECT(&place.ring, 0, 0, 0);
    io_uring_prep_fsync(entry_of(&place.ring), number, 0);
    EXPECT(&place.ring, 0, 0, 0);
    io_uring_prep_fsync(entry_of(&place.ring), number, IORING_FSYNC_DATASYNC);
    EXPECT(&place.ring, 0, 0, 0);
    io_uring_prep_close(entry_of(&place.ring), number);
    EXPECT(&place.ring, 0, 0, 0);
    io_uring_prep_close(entry_of(&place.ring), number);
    EXPECT(&place.ring, 0, -EBADF, 0);
    end_place(&place);
}

TEST(file_position_is_that_of_the_descriptor)
{
    struct place place;
    char one[3] = "", other[8] = "";
    struct iovec vectors[2] = {{one, 2}, {other, 2}};

    if (!make_place(&place)) {
        return;
    }
    int number = open_file(&place, "file", O_RDWR | O_CREAT);
    io_uring_prep_write(entry_of(&place.ring), number, "abcdefgh", 8, (uint64_t)-1);
    EXPECT(&place.ring, 0, 8, 0);
    CHECK_IS(loop_kernel_lseek(number, 0, SEEK_CUR), 8);
    CHECK_IS(loop_kernel_lseek(number, 1, SEEK_SET), 1);
    io_uring_prep_readv(entry_of(&place.ring), number, vectors, 2, (uint64_t)-1);
    EXPECT(&place.ring, 0, 4, 0);
    CHECK_TEXT(one, "bc");
    CHECK_TEXT(other, "de");
    CHECK_IS(loop_kernel_lseek(number, 0, SEEK_CUR), 5);
    io_uring_prep_readv(entry_of(&place.ring), number, vectors, 2, 0);
    EXPECT(&place.ring, 0, 4, 0);
    CHECK_IS(loop_kernel_lseek(number, 0, SEEK_CUR), 5);
    loop_kernel_close(number);
    end_place(&place);
}

TEST(file_is_always_ready_for_a_poll)
{
    struct place place;

    if (!make_place(&place)) {
        return;
    }
    int number = open_file(&place, "file", O_RDWR | O_CREAT);
    io_uring_prep_poll_add(entry_of(&place.ring), number, POLLIN);
    EXPECT(&place.ring, 0, POLLIN, 0);
    io_uring_prep_poll_multishot(entry_of(&place.ring), number, POLLIN);
    EXPECT(&place.ring, 0, POLLIN, 0);
    loop_kernel_close(number);
    end_place(&place);
}

TEST(file_status_is_that_of_a_path_or_a_descriptor)
{
    struct place place;
    struct statx status;

    if (!make_place(&place)) {
        return;
    }
    int number = open_file(&place, "file", O_RDWR | O_CREAT);
    write_all(number, "12345");
    io_uring_prep_statx(entry_of(&place.ring), place.dir, "file", 0, STATX_BASIC_STATS, &status);
    EXPECT(&place.ring, 0, 0, 0);
    CHECK_IS(status.stx_size, 5);
    CHECK(S_ISREG(status.stx_mode));
    memset(&status, 0, sizeof status);
    io_uring_prep_statx(entry_of(&place.ring), number, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &status);
    EXPECT(&place.ring, 0, 0, 0);
    CHECK_IS(status.stx_size, 5);
    io_uring_prep_statx(entry_of(&place.ring), place.dir, "none", 0, STATX_BASIC_STATS, &status);
    EXPECT(&place.ring, 0, -ENOENT, 0);
    loop_kernel_close(number);
    end_place(&place);
}

TEST(file_operations_refuse_what_linux_refuses)
{
    struct place place;
    char byte;

    if (!make_place(&place)) {
        return;
    }
    io_uring_prep_read(entry_of(&place.ring), place.dir, &byte, 1, 0);
    EXPECT(&place.ring, 0, -EISDIR, 0);
    CHECK_IS(open_file(&place, "..", O_RDONLY | 1ULL << 40), -EINVAL);
    struct open_how beneath = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    io_uring_prep_openat2(entry_of(&place.ring), place.dir, "..", &beneath);
    EXPECT(&place.ring, 0, -EXDEV, 0);
    int path = open_file(&place, ".", O_PATH);
    CHECK(path >= 0);
    io_uring_prep_read(entry_of(&place.ring), path, &byte, 1, 0);
    EXPECT(&place.ring, 0, -EBADF, 0);
    io_uring_prep_close(entry_of(&place.ring), place.ring.ring_fd);
    EXPECT(&place.ring, 0, -EBADF, 0);
    loop_kernel_close(path);
    end_place(&place);
}

/* ---- a ring that polls devices ---- */

TEST(ring_that_polls_devices_accepts_nothing_else)
{
    struct io_uring ring;
    char bytes[8] = "";

    if (!make_ring(&ring, 8, 0, IORING_SETUP_IOPOLL | IORING_SETUP_SUBMIT_ALL)) {
        return;
    }
    int file = make_file("", 0);
    CHECK_IS(enter(&ring, 0, 0), 0);
    io_uring_prep_nop(entry_of(&ring));
    EXPECT(&ring, 0, 0, 0);
    io_uring_prep_read(entry_of(&ring), file, bytes, sizeof bytes, 0);
    EXPECT(&ring, 0, -EOPNOTSUPP, 0);
    io_uring_prep_write(entry_of(&ring), file, bytes, sizeof bytes, 0);
    EXPECT(&ring, 0, -EOPNOTSUPP, 0);
    io_uring_prep_read(entry_of(&ring), -1, bytes, sizeof bytes, 0);
    EXPECT(&ring, 0, -EBADF, 0);
    io_uring_prep_fsync(entry_of(&ring), file, 0);
    EXPECT(&ring, 0, -EINVAL, 0);
    io_uring_prep_poll_add(entry_of(&ring), file, POLLIN);
    EXPECT(&ring, 0, -EINVAL, 0);
    io_uring_prep_cancel64(entry_of(&ring), 1, 0);
    EXPECT(&ring, 0, -EINVAL, 0);
    CHECK_IS(count_ready(&ring), 0);
    loop_kernel_close(file);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(polled_reads_of_a_file_system_in_memory_are_refused)
{
    static _Alignas(4096) char block[4096];
    struct io_uring ring;
    int file = loop_kernel_open("/dev/shm", O_RDWR | O_TMPFILE | O_DIRECT | O_CLOEXEC, 0600);

    if (file >= 0 && make_ring(&ring, 8, 0, IORING_SETUP_IOPOLL)) {
        io_uring_prep_read(entry_of(&ring), file, block, sizeof block, 0);
        EXPECT(&ring, 0, -EOPNOTSUPP, 0);
        loop_kernel_io_uring_queue_exit(&ring);
    }
    if (file >= 0) {
        loop_kernel_close(file);
    }
}

#endif
