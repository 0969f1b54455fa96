/* SPDX-License-Identifier: ISC
 *
 * Resources that a program has not released when its loop ends: a debug build names them and where they were acquired.
 */
#include "harness.h"

#include <loop/part.h>

/* Returns true if one line of the log contains both texts. */
static bool is_said(const char *what, const char *where)
{
    const char *line = log_text();

    for (const char *end; (end = strchr(line, '\n')); line = end + 1) {
        const char *first = strstr(line, what), *second = strstr(line, where);
        if (first && first < end && second && second < end) {
            return true;
        }
    }
    return false;
}

#if NORIA_DEBUG
#define CHECK_SAID(what, where)                                                                                        \
    do {                                                                                                               \
        if (!is_said((what), (where))) {                                                                               \
            ck_abort_msg("no line has '%s' and '%s':\n%s", (what), (where), log_text());                               \
        }                                                                                                              \
    } while (0)
#else
#define CHECK_SAID(what, where) CHECK(!is_said((what), (where)))
#endif

/* ---- chunks ---- */

static int take_chunks(struct loop_env *env, void *unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++) {
        CHECK(loop_chunk_alloc(env->loop));
    }
    struct loop_chunk *chunk = loop_chunk_alloc(env->loop);
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    return 0;
}

TEST(p08_chunks_that_are_not_given_back_are_named)
{
    if (is_hard("onechunk")) {
        return;
    }
    CHECK_IS(run_with(&(struct loop_options){.n_blocks = 8}, take_chunks, NULL), 0);
    CHECK_SAID("3 chunks", "loop_chunk_alloc (at ");
    CHECK_SAID("loop_chunk_free", program_invocation_short_name);
}

static struct loop_chunk *awaited;

static int await_chunk(struct loop_env *env, void *unused)
{
    (void)unused;
    CHECK(loop_chunk_alloc_wait(env->scope, &awaited, NULL, NULL) != 0);
    return 0;
}

TEST(p08_a_chunk_that_was_waited_for_and_not_given_back_is_named)
{
    CHECK_IS(run(await_chunk, NULL), 0);
    CHECK_SAID("1 chunk ", "loop_chunk_alloc_wait (at ");
}

static struct loop_chunk *first_chunk;

static void free_first(void *loop, int64_t result)
{
    (void)result;
    CHECK_IS(loop_chunk_free(loop, first_chunk), 0);
}

static int await_the_only_chunk(struct loop_env *env, void *unused)
{
    (void)unused;
    first_chunk = loop_chunk_alloc(env->loop);
    CHECK(loop_chunk_alloc_wait(env->scope, &awaited, NULL, NULL) != 0);
    CHECK(loop_sleep(env->scope, 0, free_first, env->loop) != 0);
    return 0;
}

TEST(p08_a_chunk_that_was_waited_for_in_line_is_named_after_the_wait)
{
    CHECK_IS(run_with(&(struct loop_options){.n_blocks = 1}, await_the_only_chunk, NULL), 0);
    CHECK_SAID("1 chunk ", "loop_chunk_alloc_wait (at ");
}

static loop_job stream;

static void keep_first(void *loop, int64_t result, struct loop_chunk *chunk)
{
    if (result > 0 && loop_cancel(loop, stream) == 0) {
        CHECK_IS(loop_chunk_keep(loop, chunk), 0);
    }
}

static int keep_one(struct loop_env *env, void *unused)
{
    (void)unused;
    stream = loop_stream(loop_memory_source(env->scope, "bytes", 5), keep_first, env->loop);
    return 0;
}

TEST(p08_a_chunk_that_was_kept_and_not_given_back_is_named)
{
    CHECK_IS(run(keep_one, NULL), 0);
    CHECK_SAID("1 chunk ", "loop_chunk_keep (at ");
}

static int give_all_back(struct loop_env *env, void *unused)
{
    struct loop_chunk *chunk = loop_chunk_alloc(env->loop);

    (void)unused;
    CHECK(loop_write_chunk(loop_null_sink(env->scope), chunk, 1, NULL, NULL) != 0);
    loop_inbox_unref(loop_inbox_ref(env->loop));
    loop_scratch_give(env->loop, loop_scratch_take(env->loop, 100));
    return 0;
}

TEST(p08_what_was_given_back_is_not_named)
{
    CHECK_IS(run(give_all_back, NULL), 0);
    CHECK(!strstr(log_text(), "given back"));
}

/* ---- the inbox ---- */

static struct loop_inbox *inboxes[2];

static int get_inboxes(struct loop_env *env, void *unused)
{
    (void)unused;
    inboxes[0] = loop_inbox_ref(env->loop);
    inboxes[1] = loop_inbox_ref(env->loop);
    return 0;
}

TEST(p08_inboxes_that_are_not_given_back_are_named)
{
    CHECK_IS(run(get_inboxes, NULL), 0);
    CHECK_SAID("2 references", "loop_inbox_ref (at ");
    CHECK_SAID("loop_inbox_unref", program_invocation_short_name);
    loop_inbox_unref(inboxes[0]);
    loop_inbox_unref(inboxes[1]);
}

/* ---- working memory ---- */

static struct loop *scratch_loop;

static int take_scratch(struct loop_env *env, void *unused)
{
    static void *memory[2];

    (void)unused;
    scratch_loop = env->loop;
    memory[0] = loop_scratch_take(env->loop, 1);
    CHECK(memory[0] && loop_scratch_take(env->loop, 1));
    loop_scratch_give(env->loop, memory[0]);
    return 0;
}

static int run_take_scratch(void *unused)
{
    (void)unused;
    CHECK_IS(run(take_scratch, NULL), 0);
    CHECK_SAID("1 piece of working memory", "loop_scratch_give");
    return 0;
}

/* In a child, because that memory is really lost. */
TEST(p08_working_memory_that_is_not_given_back_is_named)
{
    CHECK_CHILD(run_take_scratch, NULL);
}

/* ---- pins ---- */

static int pin_two(struct loop_env *env, void *unused)
{
    int pair[2];

    (void)unused;
    make_pair(pair);
    loop_fd_pin(adopt(env->scope, pair[0]));
    struct loop_fd *fd = adopt(env->scope, pair[1]);
    loop_fd_pin(fd);
    loop_fd_destroy(fd);
    return 0;
}

TEST(p08_descriptors_that_stay_pinned_are_named)
{
    CHECK_IS(run(pin_two, NULL), 0);
    CHECK_SAID("2 descriptors", "loop_fd_unpin");
}

/* ---- uses ---- */

static struct loop_fd *used;
static bool uses_were_named;
static int n_sleeps;

#define USES "2 loop_fd_use, the last one by loop_fd_use (at ", "call loop_fd_unuse once for each"

/* A debug build names the uses when the loop has nothing to do. A slow machine may never see that during one short
 * sleep, so this sleeps longer each time. */
static void give_uses_back(void *scope, int64_t result)
{
    (void)result;
    uses_were_named = is_said(USES);
    if (scope && NORIA_DEBUG && !uses_were_named && ++n_sleeps < 12) {
        CHECK(loop_sleep(scope, LOOP_MILLISECOND << n_sleeps, give_uses_back, scope) != 0);
        return;
    }
    loop_fd_unuse(used);
    loop_fd_unuse(used);
}

static int end_scope_in_use(struct loop_env *env, void *unused)
{
    struct loop_scope *scope = loop_scope_open(env->scope, NULL, NULL);
    int ends[2];

    (void)unused;
    make_pipe(ends);
    close(ends[1]);
    used = loop_fd_adopt(scope, ends[0]);
    CHECK(loop_fd_use(used) >= 0);
    CHECK_IS(loop_fd_use(used), loop_fd_peek(used));
    CHECK(loop_sleep(env->scope, LOOP_MILLISECOND, give_uses_back, env->scope) != 0);
    return 0;
}

TEST(p08_a_descriptor_that_only_uses_keep_open_is_named)
{
    CHECK_IS(run(end_scope_in_use, NULL), 0);
    CHECK_IS(uses_were_named, NORIA_DEBUG);
}

static int close_in_use(struct loop_env *env, void *unused)
{
    int ends[2];

    (void)unused;
    make_pipe(ends);
    close(ends[1]);
    used = loop_fd_adopt(env->scope, ends[0]);
    CHECK(loop_fd_use(used) >= 0 && loop_fd_use(used) >= 0);
    CHECK_IS(loop_fd_close(used), 0);
    CHECK(loop_sleep(env->scope, LOOP_MILLISECOND, give_uses_back, NULL) != 0);
    return 0;
}

TEST(p08_a_descriptor_that_is_closed_while_it_is_used_is_not_named)
{
    CHECK_IS(run(close_in_use, NULL), 0);
    CHECK(!uses_were_named);
}
