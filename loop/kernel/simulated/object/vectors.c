/* SPDX-License-Identifier: ISC
 *
 * Copies of bytes from and to vectors.
 */
#include <loop/kernel/simulated/object/file.h>

#include <string.h>

size_t loop_sim_vectors_length(const struct iovec *iov, size_t n_iov)
{
    size_t len = 0;
    for (size_t i = 0; i < n_iov; i++) {
        len += iov[i].iov_len;
    }
    return len;
}

bool loop_sim_vectors_are_bad(const struct iovec *iov, size_t n_iov)
{
    enum { LEAST_ADDRESS = 65536 }; /* vm.mmap_min_addr */
    for (size_t i = 0; i < n_iov; i++) {
        if (iov[i].iov_len > 0 && (uintptr_t)iov[i].iov_base < LEAST_ADDRESS) {
            return true;
        }
    }
    return false;
}

/* Copies between vectors and `data`: into the vectors, or out of them. */
static size_t copy(const struct iovec *iov, size_t n_iov, size_t skip, char *data, size_t len, bool into)
{
    size_t done = 0;
    for (size_t i = 0; i < n_iov && done < len; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        char *at = (char *)iov[i].iov_base + skip;
        size_t room = iov[i].iov_len - skip, n = room < len - done ? room : len - done;
        memcpy(into ? at : data + done, into ? data + done : at, n);
        done += n;
        skip = 0;
    }
    return done;
}

size_t loop_sim_vectors_fill(const struct iovec *iov, size_t n_iov, size_t skip, const void *data, size_t len)
{
    return copy(iov, n_iov, skip, (char *)(uintptr_t)data, len, true);
}

size_t loop_sim_vectors_take(const struct iovec *iov, size_t n_iov, size_t skip, void *data, size_t len)
{
    return copy(iov, n_iov, skip, data, len, false);
}
