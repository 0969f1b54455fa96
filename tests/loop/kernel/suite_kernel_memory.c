/* SPDX-License-Identifier: ISC
 *
 * The door's memory.
 */
#include <loop/kernel/all.h>

#include "harness.h"

enum { PAGE_SIZE = 1 << 16 }; /* a multiple of every page size */

static volatile size_t too_much = SIZE_MAX / 4; /* the compiler must not know */

static bool is_zero(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

/* ---- the allocator ---- */

TEST(allocation_of_nothing_is_a_block)
{
    void *memory = loop_kernel_malloc(0);

    CHECK(memory != NULL);
    loop_kernel_free(memory);
    loop_kernel_free(NULL);
}

#if !HAS_SANITIZER /* which end the program instead */
TEST(allocation_of_too_much_fails)
{
    errno = 0;
    CHECK(loop_kernel_malloc(too_much * 3) == NULL);
    CHECK_IS(errno, ENOMEM);
    errno = 0;
    CHECK(loop_kernel_calloc(too_much, 8) == NULL);
    CHECK_IS(errno, ENOMEM);
}

TEST(reallocation_that_fails_keeps_the_block)
{
    char *memory = loop_kernel_strdup("kept");

    CHECK(loop_kernel_realloc(memory, too_much * 3) == NULL);
    CHECK_IS(errno, ENOMEM);
    CHECK_TEXT(memory, "kept");
    loop_kernel_free(memory);
}
#endif

TEST(allocation_of_many_is_zeroed)
{
    unsigned char *memory = loop_kernel_malloc(1000);

    memset(memory, 1, 1000);
    loop_kernel_free(memory);
    memory = loop_kernel_calloc(10, 100);
    CHECK(is_zero(memory, 1000));
    loop_kernel_free(memory);
}

TEST(reallocation_keeps_the_bytes)
{
    char *memory = loop_kernel_realloc(NULL, 6);

    memcpy(memory, "bytes", 6);
    memory = loop_kernel_realloc(memory, 100000);
    CHECK_TEXT(memory, "bytes");
    memory = loop_kernel_realloc(memory, 3);
    CHECK(memcmp(memory, "byt", 3) == 0);
    loop_kernel_free(memory);
}

TEST(aligned_allocation_has_its_alignment)
{
    for (size_t alignment = 16; alignment <= 65536; alignment *= 2) {
        void *memory = loop_kernel_aligned_alloc(alignment, alignment);
        CHECK_IS((uintptr_t)memory % alignment, 0);
        memset(memory, 1, alignment);
        loop_kernel_free(memory);
    }
}

TEST(texts_are_copied)
{
    char *whole = loop_kernel_strdup("text"), *part = loop_kernel_strndup("text", 2),
         *more = loop_kernel_strndup("text", 100);

    CHECK_TEXT(whole, "text");
    CHECK_TEXT(part, "te");
    CHECK_TEXT(more, "text");
    loop_kernel_free(whole);
    loop_kernel_free(part);
    loop_kernel_free(more);
}

/* A program may free what the library has returned, and gives it what it has allocated itself. */
TEST(blocks_are_those_of_the_c_library)
{
    char *memory = loop_kernel_malloc(10);

    free(memory);
    memory = malloc(10);
    memory = loop_kernel_realloc(memory, 20);
    loop_kernel_free(memory);
    memory = malloc(10);
    loop_kernel_free(memory);
}

TEST(thousands_of_blocks_keep_their_bytes)
{
    enum { COUNT = 5000 };
    static size_t *blocks[COUNT];

    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = loop_kernel_realloc(blocks[i], (1 + (i * 7 + round) % 50) * sizeof(size_t));
            *blocks[i] = i;
        }
        for (size_t i = round; i < COUNT; i += 3) {
            loop_kernel_free(blocks[i]);
            blocks[i] = NULL;
        }
    }
    for (size_t i = 0; i < COUNT; i++) {
        CHECK(!blocks[i] || *blocks[i] == i);
        loop_kernel_free(blocks[i]);
    }
}

/* ---- pages ---- */

static unsigned char *map(size_t size)
{
    unsigned char *memory = loop_kernel_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK((void *)memory != MAP_FAILED);
    return memory;
}

TEST(mapping_begins_as_zeros)
{
    unsigned char *memory = map(3 * PAGE_SIZE);

    CHECK(is_zero(memory, 3 * PAGE_SIZE));
    memset(memory, 1, 3 * PAGE_SIZE);
    CHECK_IS(loop_kernel_munmap(memory, 3 * PAGE_SIZE), 0);
}

TEST(mapping_may_have_any_size)
{
    unsigned char *memory = map(100);

    memory[4095] = 1; /* the rest of its page is there too */
    CHECK_IS(loop_kernel_munmap(memory, 100), 0);
}

static const struct {
    size_t size;
    int flags, number;
    off_t offset;
    int error;
} wrong_mappings[] = {
    {0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, EINVAL},
    {4096, MAP_ANONYMOUS, -1, 0, EINVAL},
    {4096, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1, EINVAL},
    {4096, MAP_PRIVATE, -1, 0, EBADF},
    {0, MAP_PRIVATE, 999, 0, EBADF},
    {4096, MAP_PRIVATE, 999, 1, EINVAL},
    {SIZE_MAX / 2, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, ENOMEM},
    {SIZE_MAX / 2, MAP_ANONYMOUS, -1, 0, ENOMEM},
};

TEST_ROWS(mapping_that_is_wrong_is_refused, COUNT_OF(wrong_mappings), row)
{
    CHECK(loop_kernel_mmap(NULL, wrong_mappings[row].size, PROT_READ, wrong_mappings[row].flags,
                           wrong_mappings[row].number, wrong_mappings[row].offset) == MAP_FAILED);
    CHECK_IS(errno, wrong_mappings[row].error);
}

TEST(mapping_of_a_pipe_is_refused)
{
    int ends[2];

    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC), 0);
    CHECK(loop_kernel_mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, ends[0], 0) == MAP_FAILED);
    CHECK_IS(errno, ENODEV);
    CHECK(loop_kernel_mmap(NULL, 0, PROT_READ, MAP_PRIVATE, ends[0], 0) == MAP_FAILED);
    CHECK_IS(errno, EINVAL);
    loop_kernel_close(ends[0]);
    loop_kernel_close(ends[1]);
}

TEST(unmapping_what_is_not_mapped_succeeds)
{
    unsigned char *memory = map(PAGE_SIZE);

    CHECK_IS(loop_kernel_munmap(memory + 1, PAGE_SIZE), -1);
    CHECK_IS(errno, EINVAL);
    CHECK_IS(loop_kernel_munmap(memory, 0), -1);
    CHECK_IS(errno, EINVAL);
    CHECK_IS(loop_kernel_munmap(memory, PAGE_SIZE), 0);
    CHECK_IS(loop_kernel_munmap(memory, PAGE_SIZE), 0);
}

TEST(advice_for_a_mapping_is_taken)
{
    unsigned char *memory = map(2 * PAGE_SIZE);

    memset(memory, 1, 2 * PAGE_SIZE);
    CHECK_IS(loop_kernel_madvise(memory, 2 * PAGE_SIZE, MADV_WIPEONFORK), 0);
    CHECK_IS(loop_kernel_madvise(memory, PAGE_SIZE, MADV_DONTNEED), 0);
    CHECK(is_zero(memory, PAGE_SIZE));
    CHECK_IS(memory[PAGE_SIZE], 1);
    CHECK_IS(loop_kernel_madvise(memory, 0, MADV_DONTNEED), 0);
    CHECK_IS(loop_kernel_munmap(memory, 2 * PAGE_SIZE), 0);
}

TEST(advice_that_is_wrong_is_refused)
{
    unsigned char *memory = map(PAGE_SIZE);

    CHECK_IS(loop_kernel_madvise(memory + 1, 10, MADV_DONTNEED), -1);
    CHECK_IS(errno, EINVAL);
    CHECK_IS(loop_kernel_madvise(memory, PAGE_SIZE, 9999), -1);
    CHECK_IS(errno, EINVAL);
    CHECK_IS(loop_kernel_munmap(memory, PAGE_SIZE), 0);
    CHECK_IS(loop_kernel_madvise(memory, PAGE_SIZE, MADV_DONTNEED), -1);
    CHECK_IS(errno, ENOMEM);
}
