/* SPDX-License-Identifier: ISC
 *
 * Lengths that fit a size_t but exceed the limit of a system call.
 */
#include "harness.h"

#include <sys/mman.h>

/* ---- absurd lengths ---- */

/* Five gigabytes that exist only where they are touched. */
static const size_t huge_length = ((size_t)1 << 32) + ((size_t)1 << 30);

static char *make_huge(void)
{
    char *huge = mmap(NULL, huge_length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK(huge != MAP_FAILED);
    return huge;
}

LOOP_TEST(reads_of_more_than_four_gigabytes)
{
    static struct loop_flow *flows[2], *file;
    static char *huge;

    BEGIN;
    huge = make_huge();
    make_flows(env->scope, flows);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "12345", 5, 0), 5);
    AWAIT(loop_read(&flows[0]->source, huge, (size_t)1 << 32, GO));
    CHECK_IS(result, 5);
    CHECK(memcmp(huge, "12345", 5) == 0);
    AWAIT(loop_write(&flows[1]->sink, "678", 3, GO));
    loop_flow_close(flows[1]);
    AWAIT(loop_read_exact(&flows[0]->source, huge, huge_length, GO));
    CHECK_IS(result, 3);
    file = flow_of(env->scope, make_file("abcdef", 6));
    AWAIT(loop_read(&file->source, huge, (size_t)1 << 32, GO));
    CHECK_IS(result, 6);
    AWAIT(loop_op_read(NULL, file->fd, huge, (size_t)1 << 32, 2, GO));
    CHECK_IS(result, 4);
    CHECK_IS(munmap(huge, huge_length), 0);
    END;
}

#if SLOWNESS == 1 /* ThreadSanitizer looks at each of 20 GiB */

LOOP_TEST(writes_of_more_than_four_gigabytes)
{
    static struct loop_flow *null;
    static struct iovec vectors[3];
    static char *huge;

    BEGIN;
    huge = make_huge();
    null = flow_of(env->scope, open("/dev/null", O_WRONLY | O_CLOEXEC));
    AWAIT(loop_write(&null->sink, huge, (size_t)1 << 32, GO));
    CHECK_IS(result, (int64_t)1 << 32);
    AWAIT(loop_write(&null->sink, huge, huge_length, GO));
    CHECK_IS(result, huge_length);
    vectors[0] = vectors[2] = (struct iovec){huge, (size_t)1 << 32};
    vectors[1] = (struct iovec){huge, 1};
    AWAIT(loop_writev(&null->sink, vectors, 3, GO));
    CHECK_IS(result, ((int64_t)1 << 33) + 1);
    AWAIT(loop_op_write(NULL, null->fd, huge, (size_t)1 << 32, LOOP_CURRENT, GO));
    CHECK(result > 0);
    AWAIT(loop_write(loop_null_sink(env->scope), huge, huge_length, GO));
    CHECK_IS(result, huge_length);
    CHECK_IS(munmap(huge, huge_length), 0);
    END;
}

#endif

LOOP_TEST(lengths_that_overflow_are_refused)
{
    static struct loop_flow *flows[2];
    static struct loop_sink *memory;
    static char bytes[4];
    static struct iovec around[] = {{bytes, SIZE_MAX}, {bytes, 3}}, negative[] = {{bytes, SIZE_MAX / 2}, {bytes, 4}};
    static size_t length;

    BEGIN;
    make_flows(env->scope, flows);
    memory = loop_memory_sink(env->scope, 0);
    AWAIT(loop_writev(&flows[0]->sink, around, 2, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_writev(&flows[0]->sink, negative, 2, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_writev(memory, around, 2, GO));
    CHECK(result == -EINVAL || result == -ENOMEM || result == -ENOSPC);
    AWAIT(loop_writev(memory, negative, 2, GO));
    CHECK(result == -EINVAL || result == -ENOMEM || result == -ENOSPC);
    AWAIT(loop_writev(loop_null_sink(env->scope), around, 2, GO));
    CHECK_IS(result, -EINVAL);
    loop_memory_data(memory, &length);
    CHECK_IS(length, 0);
    AWAIT(loop_write(&flows[0]->sink, "ok", 2, GO));
    AWAIT(loop_read_exact(&flows[1]->source, bytes, 2, GO));
    CHECK(memcmp(bytes, "ok", 2) == 0);
    END;
}
