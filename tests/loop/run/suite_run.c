/* SPDX-License-Identifier: ISC
 *
 * loop_run (P8, P23): its results, the sizes it accepts, and that it releases all resources.
 */
#include "sockets.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>

/* ---- P8: the end of the loop ---- */

static int return_number(struct loop_env *env, void *number)
{
    (void)env;
    return *(int *)number;
}

TEST(p08_run_returns_what_main_returned)
{
    int numbers[] = {0, 7, -EIO, 1000, INT32_MIN};

    for (unsigned i = 0; i < COUNT_OF(numbers); i++) {
        CHECK_IS(run(return_number, &numbers[i]), numbers[i]);
    }
}

static struct once of_refusing_main;

static int start_and_refuse(struct loop_env *env, void *unused)
{
    (void)unused;
    CHECK(loop_sleep(env->scope, LOOP_NEVER, ONCE(&of_refusing_main)) != 0);
    return -EPROTO;
}

TEST(p08_a_main_that_refuses_cancels_what_it_started)
{
    CHECK_IS(run(start_and_refuse, NULL), -EPROTO);
    ONCE_IS(of_refusing_main, -ECANCELED);
}

LOOP_TEST(p08_run_returns_the_first_error_of_mains_scope)
{
    BEGIN;
    script.expected = -EPROTO;
    AWAIT(loop_sleep(env->scope, 0, GO));
    loop_scope_fail(env->scope, -EPROTO);
    END;
}

LOOP_TEST(p08_a_job_without_a_continuation_fails_main)
{
    static struct loop_flow *flow;

    BEGIN;
    script.expected = -EBADF;
    flow = flow_of(env->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
    START(loop_write(&flow->sink, "x", 1, NULL, NULL));
    END;
}

static int nested_answer = 1;

static int try_nested(struct loop_env *env, void *number)
{
    (void)env;
    nested_answer = loop_run(0, 0, 0, NULL, return_number, number);
    return 0;
}

TEST(p08_a_loop_inside_a_loop_is_refused)
{
    int number = 5;

    CHECK_IS(run(try_nested, &number), 0);
    CHECK_IS(nested_answer, -EDEADLK);
    CHECK_IS(run(return_number, &number), 5);
}

static int64_t find_thread(void *mask)
{
    pthread_sigmask(SIG_SETMASK, NULL, mask);
    return 0;
}

static int leave_everything_running(struct loop_env *env, void *unused)
{
    static char buffers[3][10];
    static sigset_t mask;
    static struct loop_listener *listener;
    static struct loop_flow *accepted;
    struct loop_address address;
    struct loop_flow *flows[2];
    struct loop_source *source;
    struct loop_sink *sink;

    (void)unused;
    make_flows(env->scope, flows);
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    CHECK_IS(loop_address_parse(&address, "tcp:127.0.0.1:0"), 0);
    CHECK_IS(loop_listen(env->scope, &address, NULL, &listener), 0);
    CHECK(loop_accept(env->scope, listener, &accepted, NULL, NULL) != 0);
    CHECK(loop_read(source, buffers[0], 10, NULL, NULL) != 0);
    CHECK(loop_read(&flows[0]->source, buffers[1], 10, NULL, NULL) != 0);
    CHECK(loop_copy(&flows[1]->source, sink, NULL, NULL) != 0);
    CHECK(loop_signal(env->scope, SIGUSR2, NULL, NULL) != 0);
    CHECK(loop_work(env->scope, find_thread, &mask, NULL, NULL) != 0);
    CHECK(loop_chunk_alloc(env->loop));
    loop_scope_cancel(env->scope);
    return 0;
}

TEST(p08_nothing_is_left_over)
{
    for (int i = 0; i < 3; i++) {
        CHECK_IS(run(leave_everything_running, NULL), -ECANCELED);
    }
}

static int just_return(struct loop_env *env, void *unused)
{
    (void)env;
    (void)unused;
    return 0;
}

TEST(p08_many_loops_one_after_the_other)
{
    for (int i = 0; i < 100; i++) {
        CHECK_IS(run(just_return, NULL), 0);
    }
}

/* ---- P23: bad arguments ---- */

static int never_main(struct loop_env *env, void *unused)
{
    (void)env;
    (void)unused;
    ck_abort_msg("main was run");
}

TEST(p23_absurd_sizes_are_refused)
{
    const struct {
        unsigned depth, blocks;
        size_t size;
    } bad[] = {{32769, 0, 0},
               {UINT32_MAX, 0, 0},
               {0, 2, 1 << 30},
               {0, UINT32_MAX, 4096},
               {0, 1, SIZE_MAX},
               {0, 0, SIZE_MAX},
               {0, UINT32_MAX, SIZE_MAX},
               {0, 262145, 4096},
               {0, 2, SIZE_MAX / 2 + 1},
               {0, 0, (size_t)1 << 32}};

    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        CHECK_IS(loop_run(bad[i].depth, bad[i].blocks, bad[i].size, NULL, never_main, NULL), -EINVAL);
    }
}

static int end_at_once(struct loop_env *env, void *arg)
{
    const struct loop_options *wanted = arg;

    if (!is_hard("onechunk")) {
        CHECK_IS(loop_region_count(env->loop), wanted->n_blocks);
    }
    struct loop_chunk *chunk = loop_chunk_alloc(env->loop);
    CHECK(chunk != NULL);
    CHECK_IS(loop_chunk_length(chunk), wanted->block_size);
    memset(loop_chunk_data(chunk), 0x55, loop_chunk_length(chunk));
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    return 0;
}

TEST(p23_odd_sizes_work)
{
    struct loop_options sizes[] = {{.queue_depth = 1, .n_blocks = 1, .block_size = 1},
                                   {.queue_depth = 1, .n_blocks = 3, .block_size = 7},
                                   {.queue_depth = 3, .n_blocks = 1, .block_size = 100001},
                                   {.queue_depth = 17, .n_blocks = 1000, .block_size = 4095},
                                   {.queue_depth = 4096, .n_blocks = 2, .block_size = 1 << 20}};

    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        CHECK_IS(run_with(&sizes[i], end_at_once, &sizes[i]), 0);
    }
}

TEST(p23_zero_means_the_default)
{
    struct loop_options expected = {.n_blocks = 64, .block_size = 4096};

    CHECK_IS(loop_run(0, 0, 0, NULL, end_at_once, &expected), 0);
    expected.n_blocks = 17;
    CHECK_IS(loop_run(17, 0, 0, NULL, end_at_once, &expected), 0);
}

TEST(p23_the_largest_region)
{
    struct loop_options expected = {.n_blocks = HAS_SANITIZER ? 1024 : 16384, .block_size = 65536};

    CHECK_IS(run_with(&expected, end_at_once, &expected), 0);
}

/* ---- a kernel thread that submits ---- */

TEST(the_version_is_the_headers)
{
    char version[32];

    snprintf(version, sizeof version, "%d.%d.%d", LOOP_VERSION_MAJOR, LOOP_VERSION_MINOR, LOOP_VERSION_PATCH);
    CHECK_TEXT(loop_version(), version);
}

/* ---- helpers ---- */

static void forget_line(void *unused, enum loop_log_level level, const char *line)
{
    (void)unused;
    (void)level;
    (void)line;
}

/* ---- sizes ---- */

static unsigned mains;

static int count_main(struct loop_env *env, void *unused)
{
    (void)unused;
    mains++;
    return loop_op_nop(env->scope, must_end_well, NULL) != 0 ? 0 : 1;
}

TEST(sizes_zero_and_absurd_are_taken_or_refused)
{
    const struct {
        unsigned depth, blocks;
        size_t size;
        int answer;
    } runs[] = {{0, 0, 0, 0},
                {1, 0, 0, 0},
                {0, 1, 1, 0},
                {32768, 0, 1, 0},
                {32769, 1, 1, -EINVAL},
                {UINT32_MAX, UINT32_MAX, SIZE_MAX, -EINVAL},
                {1, UINT32_MAX, 0, -EINVAL},
                {1, 0, SIZE_MAX, -EINVAL},
                {1, 1, ((size_t)1 << 30) + 1, -EINVAL},
                {UINT32_MAX, 1, 1, -EINVAL}};

    for (unsigned i = 0; i < COUNT_OF(runs); i++) {
        struct loop_options options = {
            .queue_depth = runs[i].depth, .n_blocks = runs[i].blocks, .block_size = runs[i].size};
        mains = 0;
        CHECK_IS(run_with(&options, count_main, NULL), runs[i].answer);
        CHECK_IS(mains, runs[i].answer == 0);
    }
}

/* ---- locked memory ---- */

static struct traffic {
    char bytes[10000];
    struct loop_flow *flows[2];
} traffic;

static void check_traffic(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, sizeof traffic.bytes);
    CHECK(is_pattern(traffic.bytes, sizeof traffic.bytes, 9));
    mains++;
    loop_flow_close(traffic.flows[0]);
}

/* Something of everything: an echo, a file, a chunk, a timer, and a thread's work. */
static int carry_traffic(struct loop_env *env, void *unused)
{
    static char pattern[sizeof traffic.bytes];

    (void)unused;
    make_flows(env->scope, traffic.flows);
    fill_pattern(pattern, sizeof pattern, 9);
    loop_copy(&traffic.flows[1]->source, &traffic.flows[1]->sink, NULL, NULL);
    loop_write(&traffic.flows[0]->sink, pattern, sizeof pattern, NULL, NULL);
    loop_read_exact(&traffic.flows[0]->source, traffic.bytes, sizeof traffic.bytes, check_traffic, NULL);
    loop_op_fsync(NULL, adopt(env->scope, make_file("x", 1)), 0, must_end_well, NULL);
    loop_sleep(env->scope, 1, must_end_well, NULL);
    CHECK_IS(loop_chunk_free(env->loop, loop_chunk_alloc(env->loop)), 0);
    return 0;
}

static int run_with_locked_memory(void *limit)
{
    struct loop_options options = {.log = forget_line};

    unsetenv("LOOP_BACKEND");
    if (setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){*(rlim_t *)limit, *(rlim_t *)limit}) != 0) {
        return 1;
    }
    drop_privileges();
    int answer = loop_run_with(&options, carry_traffic, NULL);
    return answer == 0 && mains == 1 ? 0 : 2;
}

TEST(memlock_of_nothing_for_an_ordinary_user)
{
    rlim_t limit = 0;

    CHECK_CHILD(run_with_locked_memory, &limit);
}

TEST(memlock_of_64_kib_for_an_ordinary_user)
{
    rlim_t limit = 65536;

    CHECK_CHILD(run_with_locked_memory, &limit);
}

/* ---- no descriptors ---- */

TEST(no_descriptors_at_the_start_is_emfile_or_nothing_worse)
{
    struct loop_options options = {.log = forget_line};
    int answer = -EMFILE;
    unsigned left;

    for (left = 0; left < 40 && answer != 0; left++) {
        mains = 0;
        rlim_t before = limit_fds((rlim_t)limit_with_free_fds(left));
        answer = loop_run_with(&options, count_main, NULL);
        limit_fds(before);
        CHECK(answer == 0 || answer == -EMFILE);
        CHECK_IS(mains, answer == 0);
    }
    CHECK_IS(answer, 0);
    CHECK(left > 1 && left < 20);
}

/* ---- forks ---- */

static void never_run(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    _exit(66);
}

/* ---- loops one after another, and inside each other ---- */

static struct loop_inbox *kept_inbox;

static int keep_inbox(struct loop_env *env, void *unused)
{
    struct loop_options options = {.log = forget_line};

    (void)unused;
    kept_inbox = loop_inbox_ref(env->loop);
    return kept_inbox && loop_run_with(&options, count_main, NULL) == -EDEADLK ? carry_traffic(env, NULL) : 1;
}

TEST(loops_one_after_another_leave_nothing_and_refuse_late_posts)
{
    unsigned before = count_fds();

    for (int i = 0; i < 50; i++) {
        mains = 0;
        CHECK_IS(run(keep_inbox, NULL), 0);
        CHECK_IS(mains, 1);
        CHECK_IS(count_fds(), before);
        CHECK_IS(loop_post(kept_inbox, never_run, NULL), -ESHUTDOWN);
        CHECK_IS(loop_post(kept_inbox, never_run, NULL), -ESHUTDOWN);
        loop_inbox_unref(kept_inbox);
    }
}
