/* SPDX-License-Identifier: ISC
 *
 * The region of domains where its size or the kernel is unusual: memory that is registered costs nothing here.
 */
#include "domains.h"
#include "../loop/low_level/direct.h"

#include <loop/kernel/simulated/machine/node.h>
#include <loop/kernel/simulated/ring/ring.h>
#include <loop/low_level.h>

#if NORIA_URING

static struct loop_chunk *chunks[DOMAINS];
static struct loop_fd *files[DOMAINS];
static atomic_uint n_shared, n_moved;

static void on_written(void *arg, int64_t result)
{
    (void)arg;
    CHECK_IS(result, 100);
    atomic_fetch_add(&n_moved, 1);
}

/* Writes the last bytes of its last chunk. */
static int write_last_bytes(struct loop_env *env, unsigned index, void *arg)
{
    size_t size, count;

    (void)arg;
    while (loop_region_avail(env->loop) > 0) {
        chunks[index] = loop_chunk_alloc(env->loop);
    }
    size = loop_chunk_length(chunks[index]);
    count = loop_region_count(env->loop);
    CHECK_IS(loop_chunk_offset(chunks[index]), ((index + 1) * count - 1) * size);
    files[index] = adopt(env->scope, make_file("", 0));
    atomic_fetch_add(&n_shared, loop_region_is_shared(env->loop));
    CHECK(loop_op_write_fixed(NULL, files[index], loop_chunk_offset(chunks[index]) + size - 100, 100, 0, on_written,
                              NULL));
    return 0;
}

/* The kernel registers at most 1 GiB as one buffer, which has room for two shares. */
LOOP_TEST(a_region_beyond_the_size_of_a_buffer_is_shared_in_several)
{
    static const struct loop_domains_options large = {.loop = {.n_blocks = 2, .block_size = (size_t)250 << 20}};

    BEGIN;
    AWAIT(loop_domains(env->scope, DOMAINS, &large, NULL, write_last_bytes, NULL, GO));
    CHECK_IS(result, 0);
    CHECK_IS(n_moved, DOMAINS);
    CHECK_IS(n_shared, strcmp(loop_backend_name(env->loop), "io_uring") == 0 ? DOMAINS : 0);
    END;
}

/* ---- the ring that polls devices ---- */

/* Counts the rings that have buffers, and checks that these are the same. */
static unsigned count_rings_with_buffers(void)
{
    struct loop_list *rings = &loop_sim_rings_of(loop_sim_here())->rings;
    const struct loop_sim_ring_buffers *buffers = NULL;
    unsigned n = 0;

    for (struct loop_list *link = rings->next; link != rings; link = link->next) {
        const struct loop_sim_ring *ring = LOOP_CONTAINER(link, struct loop_sim_ring, link);
        CHECK(!ring->buffers || !buffers || ring->buffers == buffers);
        buffers = ring->buffers ? ring->buffers : buffers;
        n += ring->buffers != NULL;
    }
    return n;
}

LOOP_TEST(both_rings_of_a_loop_have_its_region_registered_once)
{
    static struct loop_fd *file;

    BEGIN;
    file = adopt(env->scope, make_direct(4096, 0));
    if (!loop_fd_poll_device(file)) {
        CHECK(loop_region_is_fixed(env->loop));
        CHECK_IS(count_rings_with_buffers(), 2);
    } else {
        CHECK(strcmp(loop_backend_name(env->loop), "io_uring") != 0);
    }
    free(memory);
    END;
}

#endif
