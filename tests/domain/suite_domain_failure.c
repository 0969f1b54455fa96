/* SPDX-License-Identifier: ISC
 *
 * Domains that cannot start: those that have started are ended, and the error is named.
 */
#include "domains.h"

#if NORIA_HARD_MODES

#include <loop/kernel/fail.h>

static struct once ended, started;

static void start_with_failure(struct loop_env *env, int64_t result)
{
    BEGIN;
    START(loop_domains(env->scope, DOMAINS, NULL, &domains, idle, NULL, ONCE(&ended)));
    if (domains) {
        START(loop_domains_wait_started(env->scope, domains, ONCE(&started)));
    }
    WAIT_UNTIL(ended.count && started.count);
    CHECK_IS(started.result, ended.result);
    CHECK_IS(n_ends, n_mains);
    END;
}

/* Runs the script while calls fail. */
static void run_failing(const char *what)
{
    CHECK(loop_kernel_fail_set(what));
    script_run(&(struct loop_options){.queue_depth = 0}, start_with_failure);
    CHECK(loop_kernel_fail_set(NULL));
}

static const struct {
    const char *what, *said;
} no_threads[] = {{"pthread_create:EAGAIN:1", "domain 0 cannot start"},
                  {"pthread_create:EAGAIN:2", "domain 1 cannot start"},
                  {"pthread_create:EAGAIN:4", "domain 3 cannot start"}};

TEST_ROWS(a_thread_that_cannot_start_ends_those_that_have, COUNT_OF(no_threads), row)
{
    run_failing(no_threads[row].what);
    CHECK_IS(ended.result, -EAGAIN);
    CHECK(strstr(log_text(), no_threads[row].said));
}

TEST(a_loop_that_cannot_start_ends_the_others)
{
    run_failing("eventfd:EMFILE:3");
    CHECK_IS(ended.result, -EMFILE);
    CHECK(strstr(log_text(), " cannot start"));
}

/* ---- the share of a domain that did not start ---- */

enum { BLOCKS = 4, BLOCK_SIZE = 65536 };

static size_t offsets[DOMAINS];

/* Notes where the share of the domain begins. */
static int find_share(struct loop_env *env, unsigned index, void *arg)
{
    struct loop_chunk *chunk = loop_chunk_alloc(env->loop);

    (void)arg;
    offsets[index] = loop_chunk_offset(chunk);
    return loop_chunk_free(env->loop, chunk);
}

static const char *script_failure;

/* Of three shares two are for domains of which the second one does not start. */
static void start_again(struct loop_env *env, int64_t result)
{
    static struct loop_domains_options options;
    static unsigned n;

    BEGIN;
    options.loop = (struct loop_options){.n_blocks = BLOCKS, .block_size = BLOCK_SIZE};
    options.region = loop_domain_region_create(3);
    CHECK(loop_kernel_fail_set(script_failure));
    AWAIT(loop_domains(env->scope, 2, &options, NULL, idle, NULL, GO));
    CHECK(loop_kernel_fail_set(NULL));
    CHECK(result < 0);
    n = 3 - n_mains; /* those that have begun have used their shares */
    AWAIT(loop_domains(env->scope, n, &options, NULL, find_share, NULL, GO));
    CHECK_IS(result, 0);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned j = 0; j < i; j++) {
            CHECK(offsets[i] != offsets[j]);
        }
    }
    loop_domain_region_destroy(options.region);
    END;
}

static const char *const no_starts[] = {"pthread_create:EAGAIN:1", "pthread_create:EAGAIN:2", "eventfd:EMFILE:2",
                                        "eventfd:EMFILE:2+1"};

TEST_ROWS(a_domain_that_did_not_start_leaves_its_share_to_another, COUNT_OF(no_starts), row)
{
    script_failure = no_starts[row];
    script_run(&(struct loop_options){.queue_depth = 0}, start_again);
}

static size_t offset_here;

static int find_offset(struct loop_env *env, void *arg)
{
    (void)arg;
    offset_here = loop_chunk_offset(loop_chunk_alloc(env->loop));
    return 0;
}

/* The second of two loops that begin has the second of two shares. */
TEST(a_loop_that_did_not_start_leaves_its_share_to_another)
{
    const struct loop_options sized = {.n_blocks = BLOCKS, .block_size = BLOCK_SIZE};
    struct loop_domain_region *region = loop_domain_region_create(2);
    size_t share = is_hard("onechunk") ? BLOCK_SIZE : BLOCKS * BLOCK_SIZE;

    CHECK_IS(loop_run_in_region(region, &sized, find_offset, NULL), 0);
    CHECK_IS(offset_here, 0);
    CHECK(loop_kernel_fail_set("eventfd:EMFILE:1"));
    CHECK_IS(loop_run_in_region(region, &sized, find_offset, NULL), -EMFILE);
    CHECK(loop_kernel_fail_set(NULL));
    CHECK_IS(loop_run_in_region(region, &sized, find_offset, NULL), 0);
    CHECK_IS(offset_here, share);
    loop_domain_region_destroy(region);
}

/* ---- a region that cannot be had as one ---- */

static int find_region(struct loop_env *env, unsigned index, void *arg)
{
    (void)index;
    (void)arg;
    count_domain(env);
    (void)loop_region_is_fixed(env->loop);
    CHECK(loop_region_count(env->loop) > 0);
    return 0;
}

static void start_with_regions(struct loop_env *env, int64_t result)
{
    BEGIN;
    CHECK(loop_kernel_fail_set(script_failure));
    AWAIT(loop_domains(env->scope, DOMAINS, NULL, NULL, find_region, NULL, GO));
    CHECK(loop_kernel_fail_set(NULL));
    CHECK_IS(result, 0);
    CHECK_IS(n_ends, DOMAINS);
    END;
}

static const char *const poor_regions[] = {
    "mmap:ENOMEM:1",
#if NORIA_URING
    "io_uring_queue_init_params:ENOMEM:5",
    "io_uring_register_buffers:ENOMEM:1",
    "io_uring_register_buffers:ENOMEM:1+1",
    "io_uring_clone_buffers:EINVAL:1",
    "io_uring_clone_buffers:ENOMEM:2",
    "io_uring_clone_buffers:ENOMEM:3+1",
#endif
};

TEST_ROWS(domains_run_where_their_region_cannot_be_shared, COUNT_OF(poor_regions), row)
{
    script_failure = poor_regions[row];
    script_run(&(struct loop_options){.queue_depth = 0}, start_with_regions);
}

#if !HAS_SANITIZER
static loop_job poor_job;

static void cancel_poor_job(void *loop, int64_t result)
{
    (void)result;
    loop_cancel(loop, poor_job);
}

static int idle_poor(struct loop_env *env, unsigned index, void *arg)
{
    (void)index;
    (void)arg;
    return loop_sleep(env->scope, LOOP_NEVER, NULL, NULL) ? 0 : -ENOMEM;
}

/* Each allocation of a start fails in turn, in either thread. */
LOOP_TEST(without_memory_nothing_is_lost_or_left)
{
    static unsigned long nth;

    BEGIN;
    for (nth = 1;; nth++) {
        ended = (struct once){0};
        started = (struct once){0};
        fail_allocation(nth, false);
        poor_job = loop_domains(env->scope, 2, NULL, &domains, idle_poor, NULL, ONCE(&ended));
        if (poor_job) {
            START(poor_job);
            if (!loop_domains_wait_started(env->scope, domains, cancel_poor_job, env->loop)) {
                loop_cancel(env->loop, poor_job);
            }
            WAIT_UNTIL(ended.count);
            CHECK(ended.result == -ECANCELED || ended.result == -ENOMEM);
        }
        bool has_failed = allocation_failed();
        fail_allocation(0, false);
        if (!has_failed) {
            break;
        }
    }
    CHECK(nth > 20);
    END;
}
#endif

#endif
