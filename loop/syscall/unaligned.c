/* SPDX-License-Identifier: ISC
 *
 * Unaligned reads and writes of O_DIRECT files; see unaligned.h.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/syscall/unaligned.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

/* The block size that nearly all devices require, and the largest one. */
#define BLOCK ((size_t)4096)
#define LARGE_BLOCK ((size_t)65536)

#define MOST_BYTES ((size_t)256 << 10) /* of one call */

static size_t total_length(const struct iovec *iov, int n_iov)
{
    size_t total = 0;
    for (int i = 0; i < n_iov && total < MOST_BYTES; i++) {
        total += iov[i].iov_len;
    }
    return total < MOST_BYTES ? total : MOST_BYTES;
}

/* Copies `len` bytes between `bytes` and the vectors. */
static void copy_vectors(const struct iovec *iov, char *bytes, size_t len, bool is_out)
{
    for (size_t n; len > 0; iov++, bytes += n, len -= n) {
        n = iov->iov_len < len ? iov->iov_len : len;
        memcpy(is_out ? iov->iov_base : bytes, is_out ? bytes : iov->iov_base, n);
    }
}

static int64_t outcome(int64_t answer)
{
    return answer < 0 ? -errno : answer;
}

/* ---- reading ---- */

/* Reads the blocks that contain `len` bytes at `position`, and copies the bytes. */
static int64_t read_blocks(int number, const struct iovec *iov, size_t len, off_t position, size_t block)
{
    size_t before = (size_t)position % block, room = (before + len + block - 1) / block * block;
    char *bytes = loop_kernel_aligned_alloc(block, room);
    if (!bytes) {
        return -ENOMEM;
    }
    int64_t n = outcome(loop_kernel_pread(number, bytes, room, position - (off_t)before));
    if (n >= 0) {
        size_t come = (size_t)n > before ? (size_t)n - before : 0;
        n = (int64_t)(come < len ? come : len);
        copy_vectors(iov, bytes + before, (size_t)n, true);
    }
    loop_kernel_free(bytes);
    return n;
}

int64_t loop_unaligned_read(int number, const struct iovec *iov, int n_iov)
{
    off_t position = loop_kernel_lseek(number, 0, SEEK_CUR);
    size_t len = total_length(iov, n_iov);
    if (position < 0) {
        return -errno;
    }
    int64_t n = read_blocks(number, iov, len, position, BLOCK);
    if (n == -EINVAL) {
        n = read_blocks(number, iov, len, position, LARGE_BLOCK);
    }
    return n > 0 && loop_kernel_lseek(number, position + n, SEEK_SET) < 0 ? -errno : n;
}

/* ---- writing ---- */

/* Returns the position of the next write: the end of the file with O_APPEND. */
static off_t find_position(int number, int flags)
{
    struct stat status;
    if (!(flags & O_APPEND)) {
        return loop_kernel_lseek(number, 0, SEEK_CUR);
    }
    return loop_kernel_fstat(number, &status) ? -1 : status.st_size;
}

static int64_t write_blocks(int number, const struct iovec *iov, size_t len)
{
    char *bytes = loop_kernel_aligned_alloc(BLOCK, len);
    if (!bytes) {
        return -ENOMEM;
    }
    copy_vectors(iov, bytes, len, false);
    int64_t n = outcome(loop_kernel_write(number, bytes, len));
    loop_kernel_free(bytes);
    return n;
}

static int64_t write_cached(int number, const struct iovec *iov, size_t len, int flags)
{
    char bytes[BLOCK];
    assert(len <= BLOCK);
    copy_vectors(iov, bytes, len, false);
    if (loop_kernel_fcntl(number, F_SETFL, flags & ~O_DIRECT)) {
        return -errno;
    }
    int64_t n = outcome(loop_kernel_write(number, bytes, len));
    (void)loop_kernel_fcntl(number, F_SETFL, flags | O_DIRECT);
    return n;
}

int64_t loop_unaligned_write(int number, const struct iovec *iov, int n_iov)
{
    int flags = loop_kernel_fcntl(number, F_GETFL, 0);
    off_t position = flags < 0 ? -1 : find_position(number, flags);
    size_t len = total_length(iov, n_iov);
    if (position < 0 || len == 0) {
        return position < 0 ? -errno : 0;
    }
    size_t over = (size_t)position % BLOCK, left = BLOCK - over;
    int64_t n = -EINVAL;
    if (over == 0 && len >= BLOCK) {
        n = write_blocks(number, iov, len / BLOCK * BLOCK);
    }
    return n == -EINVAL ? write_cached(number, iov, len < left ? len : left, flags) : n;
}
