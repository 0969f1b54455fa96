/* SPDX-License-Identifier: ISC
 *
 * Backends (P15 to P17): the fallback and its reasons, forced backends, memory that cannot be locked, and refused
 * operations. This is the only suite that names the backends.
 */
#include "harness.h"

#include <stdio.h>
#include <sys/resource.h>

/* What the fallback was asked, and what main saw. */
static struct {
    unsigned asked, mains;
    int answer;
    char reason[1024], backend[32], detail[1024];
    bool is_fixed;
} seen;

static int note_reason(const char *reason, void *unused)
{
    (void)unused;
    seen.asked++;
    snprintf(seen.reason, sizeof seen.reason, "%s", reason);
    return seen.answer;
}

static void on_nothing(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 0);
}

static int note_backend(struct loop_env *env, void *unused)
{
    (void)unused;
    seen.mains++;
    seen.is_fixed = loop_region_is_fixed(env->loop);
    snprintf(seen.backend, sizeof seen.backend, "%s", loop_backend_name(env->loop));
    snprintf(seen.detail, sizeof seen.detail, "%s", loop_backend_detail(env->loop));
    CHECK(loop_sleep(env->scope, 0, on_nothing, NULL) != 0);
    CHECK(loop_op_nop(env->scope, on_nothing, NULL) != 0);
    return 0;
}

static int ask(const struct loop_options *options)
{
    struct loop_options with_fallback = *options;

    memset(&seen, 0, sizeof seen);
    with_fallback.fallback = note_reason;
    return run_with(&with_fallback, note_backend, NULL);
}

static bool has_word(const char *text, const char *word)
{
    return strstr(text, word) != NULL;
}

/* The library may have been built without io_uring, and then it says that. */
static bool has_backend_uring(void)
{
#if NORIA_URING
    return true;
#else
    return false;
#endif
}

/* ---- P15: the fallback ---- */

static void check_blocked(int error, bool only_enter)
{
    unsetenv("LOOP_BACKEND");
    block_uring(error, only_enter);
    CHECK_IS(ask(&(struct loop_options){.queue_depth = 0}), 0);
    CHECK_IS(seen.asked, 1);
    CHECK_IS(seen.mains, 1);
    CHECK_TEXT(seen.backend, "epoll");
    CHECK(strlen(seen.reason) > 20 && !strchr(seen.reason, '\n'));
    CHECK(strlen(seen.detail) > 0);
}

TEST(p15_blocked_by_eperm_as_docker_does)
{
    check_blocked(EPERM, false);
    CHECK(!has_backend_uring() || has_word(seen.reason, "seccomp") || has_word(seen.reason, "io_uring_disabled"));
}

TEST(p15_blocked_by_enosys_as_podman_does)
{
    check_blocked(ENOSYS, false);
    CHECK(!has_backend_uring() || has_word(seen.reason, "seccomp") || has_word(seen.reason, "kernel"));
}

TEST(p15_blocked_by_eacces)
{
    check_blocked(EACCES, false);
}

TEST(p15_blocked_at_enter_only)
{
    bool has_ring_now = probe_uring() >= 0; /* the whole suite may run where there is none, for another reason */

    check_blocked(EPERM, true);
    CHECK(!has_backend_uring() || !has_ring_now || has_word(seen.reason, "seccomp"));
}

TEST(p15_blocked_at_enter_only_by_enosys)
{
    check_blocked(ENOSYS, true);
}

static int blocked_child(void *error)
{
    check_blocked(*(int *)error, false);
    return 0;
}

TEST(p15_any_other_error_too)
{
    int errors[] = {ENOMEM, EMFILE, EINVAL, EIO, EOPNOTSUPP};

    for (unsigned i = 0; i < COUNT_OF(errors); i++) {
        CHECK_CHILD(blocked_child, &errors[i]);
    }
}

TEST(p15_the_fallback_may_refuse)
{
    unsetenv("LOOP_BACKEND");
    block_uring(EPERM, false);
    memset(&seen, 0, sizeof seen);
    seen.answer = 77;
    CHECK_IS(run_with(&(struct loop_options){.fallback = note_reason}, note_backend, NULL), 77);
    CHECK_IS(seen.asked, 1);
    CHECK_IS(seen.mains, 0);
    seen.answer = -EPERM;
    CHECK_IS(run_with(&(struct loop_options){.fallback = note_reason}, note_backend, NULL), -EPERM);
    CHECK_IS(seen.mains, 0);
}

static int check_arg(const char *reason, void *arg)
{
    CHECK(reason != NULL);
    *(int *)arg = 1;
    return 33;
}

TEST(p15_the_plain_call_hands_its_arg_to_the_fallback)
{
    int was_asked = 0;

    unsetenv("LOOP_BACKEND");
    block_uring(EPERM, false);
    CHECK_IS(loop_run(0, 0, 0, check_arg, note_backend, &was_asked), 33);
    CHECK_IS(was_asked, 1);
}

static unsigned lines_logged;

static void count_lines(void *unused, enum loop_log_level level, const char *line)
{
    (void)unused;
    if (level >= LOOP_LOG_WARNING) {
        lines_logged++;
        CHECK(!strchr(line, '\n'));
        snprintf(seen.reason, sizeof seen.reason, "%s", line);
    }
}

TEST(p15_without_a_fallback_the_reason_is_logged_once)
{
    unsetenv("LOOP_BACKEND");
    block_uring(EPERM, false);
    CHECK_IS(run_with(&(struct loop_options){.log = count_lines}, note_backend, NULL), 0);
    CHECK_IS(lines_logged, 1);
    CHECK(has_word(seen.reason, "epoll") || has_word(seen.reason, "io_uring"));
    CHECK_TEXT(seen.backend, "epoll");
}

static int run_with_default_log(void *unused)
{
    (void)unused;
    return loop_run(0, 0, 0, NULL, note_backend, NULL);
}

TEST(p15_the_default_log_is_standard_error)
{
    unsetenv("LOOP_BACKEND");
    block_uring(EPERM, false);
    CHECK_CHILD(run_with_default_log, NULL);
    CHECK(has_word(child_text(), "io_uring"));
    CHECK(strchr(child_text(), '\n') == strrchr(child_text(), '\n'));
}

TEST(p15_epoll_can_be_asked_for)
{
    CHECK_IS(ask(&(struct loop_options){.backend = LOOP_BACKEND_EPOLL}), 0);
    CHECK_TEXT(seen.backend, "epoll");
    CHECK_IS(seen.asked, 0);
    setenv("LOOP_BACKEND", "uring", 1);
    CHECK_IS(ask(&(struct loop_options){.backend = LOOP_BACKEND_EPOLL}), 0);
    CHECK_TEXT(seen.backend, "epoll");
}

TEST(p15_the_environment_forces_epoll)
{
    setenv("LOOP_BACKEND", "epoll", 1);
    CHECK_IS(ask(&(struct loop_options){.queue_depth = 0}), 0);
    CHECK_TEXT(seen.backend, "epoll");
    CHECK_IS(seen.asked, 0);
    CHECK_IS(strlen(log_text()), 0);
}

TEST(p15_the_environment_forces_uring)
{
    setenv("LOOP_BACKEND", "uring", 1);
    int answer = ask(&(struct loop_options){.queue_depth = 0});
    CHECK_IS(seen.asked, 0);
    if (has_backend_uring() && probe_uring() >= 0) {
        CHECK_IS(answer, 0);
        CHECK_TEXT(seen.backend, "io_uring");
    } else {
        CHECK(answer < 0);
        CHECK_IS(seen.mains, 0);
    }
}

TEST(p15_a_forced_ring_that_cannot_be_had_is_an_error)
{
    block_uring(EPERM, false);
    setenv("LOOP_BACKEND", "uring", 1);
    CHECK(ask(&(struct loop_options){.queue_depth = 0}) < 0);
    CHECK_IS(seen.asked + seen.mains, 0);
    CHECK(strlen(log_text()) > 0);
    unsetenv("LOOP_BACKEND");
    CHECK(ask(&(struct loop_options){.backend = LOOP_BACKEND_URING}) < 0);
    CHECK_IS(seen.asked + seen.mains, 0);
}

TEST(p15_an_unknown_backend_is_refused)
{
    const char *names[] = {"kqueue", "URING", "io_uring ", "epol", " "};

    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        setenv("LOOP_BACKEND", names[i], 1);
        CHECK_IS(ask(&(struct loop_options){.queue_depth = 0}), -EINVAL);
        CHECK_IS(seen.asked + seen.mains, 0);
    }
    unsetenv("LOOP_BACKEND");
    CHECK_IS(ask(&(struct loop_options){.backend = (enum loop_backend)17}), -EINVAL);
}

static bool has_ring;

static int run_without_locked_memory(void *limit)
{
    struct rlimit memlock = {*(rlim_t *)limit, *(rlim_t *)limit};

    unsetenv("LOOP_BACKEND");
    if (setrlimit(RLIMIT_MEMLOCK, &memlock) != 0 || (geteuid() == 0 && !drop_privileges())) {
        return 90;
    }
    memset(&seen, 0, sizeof seen);
    struct loop_options options = {.fallback = note_reason, .log = count_lines, .n_blocks = 4, .block_size = 1 << 20};
    int answer = loop_run_with(&options, note_backend, NULL);
    if (is_hard("onechunk") && answer == 0 && seen.is_fixed) {
        return 0; /* one chunk fits under the limit */
    }
    if (answer != 0 || seen.mains != 1 || seen.is_fixed) {
        fprintf(stderr, "answer %d, mains %u, fixed %d\n", answer, seen.mains, seen.is_fixed);
        return 91;
    }
    bool says_cause =
        strstr(seen.reason, "MEMLOCK") || strstr(seen.reason, "memlock") || strstr(seen.reason, "ulimit -l");
    if (has_ring && has_backend_uring() && !is_hard("nofixed") && !says_cause) {
        fprintf(stderr, "it said: %s\n", seen.reason);
        return 92;
    }
    return 0;
}

TEST(p15_no_locked_memory_at_all)
{
    rlim_t limit = 0;

    has_ring = probe_uring() >= 0;
    CHECK_CHILD(run_without_locked_memory, &limit);
}

TEST(p16_a_region_that_cannot_be_registered_works)
{
    rlim_t limit = 65536;

    has_ring = probe_uring() >= 0;
    CHECK_CHILD(run_without_locked_memory, &limit);
}

LOOP_TEST_WITH(p16_chunks_move_bytes_registered_or_not, .n_blocks = 8, .block_size = 4096)
{
    static struct loop_chunk *chunk;
    static struct loop_fd *fd;
    static char bytes[1000];

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 1);
    fd = adopt(env->scope, make_file(bytes, sizeof bytes));
    chunk = loop_chunk_alloc(env->loop);
    AWAIT(loop_op_read_chunk(NULL, fd, chunk, 1000, 0, GO));
    CHECK_MOVED(result, 1000);
    CHECK(is_pattern(loop_chunk_data(chunk), (size_t)result, 1));
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    END;
}

/* ---- P17: what a program sees ---- */

LOOP_TEST(p17_the_backend_has_a_name_and_a_line_about_itself)
{
    BEGIN;
    CHECK(strcmp(loop_backend_name(env->loop), "io_uring") == 0 || strcmp(loop_backend_name(env->loop), "epoll") == 0);
    CHECK(strlen(loop_backend_detail(env->loop)) > 0);
    CHECK(!strchr(loop_backend_detail(env->loop), '\n'));
    END;
}

/* ---- a kernel thread that submits ---- */

LOOP_TEST_WITH(a_polling_kernel_thread_changes_nothing, .polling_timeout_ms = 5)
{
    static struct loop_flow *flows[2];
    static struct once read;
    static char byte;
    static int i;

    BEGIN;
    make_flows(env->scope, flows);
    for (i = 0; i < 100; i++) {
        memset(&read, 0, sizeof read);
        START(loop_read(&flows[0]->source, &byte, 1, ONCE(&read)));
        AWAIT(i % 20 ? loop_op_nop(env->scope, GO) : loop_sleep(env->scope, 8 * LOOP_MILLISECOND, GO));
        AWAIT(loop_write(&flows[1]->sink, "x", 1, GO));
        CHECK_IS(result, 1);
        WAIT_UNTIL(read.count);
        ONCE_IS(read, 1);
    }
    START(loop_read(&flows[0]->source, &byte, 1, NULL, NULL));
    loop_scope_cancel(loop_fd_scope(flows[0]->fd));
    script.expected = -ECANCELED;
    END;
}
