/* SPDX-License-Identifier: ISC
 *
 * The region of domains: each has its share of it, chunks move between them, and where the kernel clones registered
 * buffers it is registered once for all.
 */
#include "domains.h"

#include <loop/part.h>

/* What each domain has found. */
static struct found {
    size_t count;
    uint64_t fixed_bytes; /* of the statistics */
    bool is_fixed, is_shared, moves_bytes;
} found[DOMAINS];

enum { BLOCKS = 4, BLOCK_SIZE = 65536, REGION = DOMAINS * BLOCKS * BLOCK_SIZE };

static const struct loop_domains_options sized = {.loop = {.n_blocks = BLOCKS, .block_size = BLOCK_SIZE}};

static bool is_uring(struct loop *loop)
{
    return strcmp(loop_backend_name(loop), "io_uring") == 0;
}

/* ---- each has its own chunks ---- */

static struct loop_chunk *chunks[DOMAINS][BLOCKS];

/* Writes to all of its chunks, at the same time as the others, and looks whether they are as they were. */
static void check_chunks(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    unsigned index = (unsigned)((struct found *)arg - found);

    (void)call;
    (void)scope;
    for (unsigned i = 0; i < found[index].count; i++) {
        CHECK(is_pattern(loop_chunk_data(chunks[index][i]), BLOCK_SIZE, index * BLOCKS + i));
    }
}

static int take_all(struct loop_env *env, unsigned index, void *arg)
{
    unsigned n = 0;

    (void)arg;
    while (n < BLOCKS && (chunks[index][n] = loop_chunk_alloc(env->loop))) {
        fill_pattern(loop_chunk_data(chunks[index][n]), BLOCK_SIZE, index * BLOCKS + n);
        n++;
    }
    CHECK_IS(loop_region_avail(env->loop), 0);
    CHECK_IS(n, loop_region_count(env->loop));
    found[index].count = n;
    return idle(env, index, NULL);
}

static void free_all(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    unsigned index = (unsigned)((struct found *)arg - found);

    (void)call;
    for (unsigned i = 0; i < found[index].count; i++) {
        CHECK_IS(loop_chunk_free(loop_scope_loop(scope), chunks[index][i]), 0);
    }
    CHECK_IS(loop_region_avail(loop_scope_loop(scope)), found[index].count);
}

static struct once ended, called[DOMAINS];
static loop_job group;

static bool all_called(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < DOMAINS; i++) {
        n += called[i].count;
    }
    return n == DOMAINS;
}

static void call_all(struct loop_scope *scope, loop_call_fn *fn)
{
    memset(called, 0, sizeof called);
    for (unsigned i = 0; i < DOMAINS; i++) {
        START(loop_call(scope, loop_domains_inbox(domains, i), fn, &found[i], ONCE(&called[i])));
    }
}

LOOP_TEST(each_domain_has_its_own_chunks)
{
    BEGIN;
    group = START(loop_domains(env->scope, DOMAINS, &sized, &domains, take_all, NULL, ONCE(&ended)));
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    CHECK_IS(result, 0);
    call_all(env->scope, check_chunks);
    WAIT_UNTIL(all_called());
    call_all(env->scope, free_all);
    WAIT_UNTIL(all_called());
    loop_cancel(env->loop, group);
    WAIT_UNTIL(ended.count);
    END;
}

/* ---- registered once ---- */

struct writing {
    struct loop *loop;
    struct found *found;
    struct loop_fd *file;
    struct loop_chunk *chunk;
};

static struct writing writings[DOMAINS];

static void on_read(void *arg, int64_t result)
{
    struct writing *writing = arg;

    CHECK_MOVED(result, BLOCK_SIZE);
    writing->found->moves_bytes = is_pattern(loop_chunk_data(writing->chunk), (size_t)result, 7);
    CHECK_IS(loop_chunk_free(writing->loop, writing->chunk), 0);
}

static void on_write(void *arg, int64_t result)
{
    struct writing *writing = arg;

    CHECK_MOVED(result, BLOCK_SIZE);
    memset(loop_chunk_data(writing->chunk), 0, BLOCK_SIZE);
    CHECK(loop_op_read_chunk(NULL, writing->file, writing->chunk, (size_t)result, 0, on_read, writing));
}

/* Moves bytes by a chunk, and ends. */
static int find_out(struct loop_env *env, unsigned index, void *arg)
{
    struct writing *writing = &writings[index];
    struct loop_stats stats;

    (void)arg;
    found[index].is_fixed = loop_region_is_fixed(env->loop);
    loop_get_stats(env->loop, &stats);
    found[index].fixed_bytes = stats.region_fixed_bytes;
    found[index].count = loop_region_count(env->loop);
    found[index].is_shared = loop_region_is_shared(env->loop);
    *writing =
        (struct writing){env->loop, &found[index], adopt(env->scope, make_file("", 0)), loop_chunk_alloc(env->loop)};
    fill_pattern(loop_chunk_data(writing->chunk), BLOCK_SIZE, 7);
    CHECK(loop_op_write_chunk(NULL, writing->file, writing->chunk, BLOCK_SIZE, 0, on_write, writing));
    return 0;
}

/* Returns how many bytes a domain has registered: all shares, its own, or none. */
static uint64_t fixed_bytes(const struct found *domain)
{
    size_t share = domain->count * BLOCK_SIZE;

    return domain->is_shared ? DOMAINS * share : domain->is_fixed ? share : 0;
}

/* Whether all have the region registered, and shared. */
static void check_found(struct loop *loop, bool is_fixed, bool is_shared)
{
    bool can_be = is_uring(loop) && !is_hard("nofixed");

    for (unsigned i = 0; i < DOMAINS; i++) {
        CHECK(found[i].moves_bytes);
        CHECK_IS(found[i].is_fixed, can_be && is_fixed);
        CHECK_IS(found[i].is_shared, can_be && is_shared);
        CHECK_IS(found[i].fixed_bytes, fixed_bytes(&found[i]));
    }
}

LOOP_TEST(domains_register_their_region_once_where_the_kernel_can_clone)
{
    BEGIN;
    CHECK(!loop_region_is_shared(env->loop));
    AWAIT(loop_domains(env->scope, DOMAINS, &sized, NULL, find_out, NULL, GO));
    CHECK_IS(result, 0);
    check_found(env->loop, true, has_clones());
    CHECK(!strstr(log_text(), "fixed buffer"));
    END;
}

static void without_clones(struct loop_env *env, int64_t result)
{
    BEGIN;
    AWAIT(loop_domains(env->scope, DOMAINS, &sized, NULL, find_out, NULL, GO));
    CHECK_IS(result, 0);
    check_found(env->loop, true, false);
    CHECK(!strstr(log_text(), "fixed buffer"));
    END;
}

TEST(domains_register_a_share_each_where_it_cannot)
{
    block_clones();
    script_run(&(struct loop_options){.queue_depth = 0}, without_clones);
}

LOOP_TEST(a_domain_alone_has_a_region_of_its_own)
{
    BEGIN;
    AWAIT(loop_domains(env->scope, 1, &sized, NULL, find_out, NULL, GO));
    CHECK_IS(result, 0);
    CHECK_IS(found[0].is_fixed, is_uring(env->loop) && !is_hard("nofixed"));
    CHECK(!found[0].is_shared && found[0].moves_bytes);
    END;
}

/* Domains that end alone, as those of a server do, share a region all the same. */
LOOP_TEST(domains_of_several_calls_share_a_region)
{
    static struct loop_domains_options several;
    static struct once ends[DOMAINS];
    static struct loop_domain_region *region;

    BEGIN;
    several = sized;
    region = several.region = loop_domain_region_create(DOMAINS - 1);
    for (unsigned i = 0; i < DOMAINS; i++) {
        several.first_index = i;
        START(loop_domains(env->scope, 1, &several, NULL, find_out, NULL, ONCE(&ends[i])));
    }
    loop_domain_region_destroy(region);
    WAIT_UNTIL(ends[0].count + ends[1].count + ends[2].count + ends[3].count == DOMAINS);
    for (unsigned i = 0; i < DOMAINS; i++) {
        CHECK_IS(ends[i].result, 0);
        CHECK(found[i].moves_bytes);
        CHECK_IS(found[i].is_fixed, is_uring(env->loop) && !is_hard("nofixed"));
        CHECK_IS(found[i].is_shared, found[i].is_fixed && has_clones() && i < DOMAINS - 1);
    }
    END;
}

LOOP_TEST(a_region_of_other_sizes_is_none_to_share)
{
    static struct loop_domains_options several;

    BEGIN;
    several = sized;
    several.region = loop_domain_region_create(2);
    AWAIT(loop_domains(env->scope, 1, &several, NULL, find_out, NULL, GO));
    CHECK_IS(result, 0);
    several.loop.n_blocks *= 2;
    AWAIT(loop_domains(env->scope, 1, &several, NULL, find_out, NULL, GO));
    CHECK_IS(result, 0);
    CHECK(found[0].moves_bytes);
    CHECK(!found[0].is_shared || is_hard("onechunk"));
    loop_domain_region_destroy(several.region);
    CHECK(!loop_domain_region_create(0));
    CHECK(!loop_domain_region_create(LOOP_DOMAINS_MAX + 1));
    END;
}

/* ---- locked memory ---- */

/* Runs domains under the limit. It is that of a user, so this is one without other processes; only root can be one. */
static void run_limited(rlim_t limit, steps_fn *steps)
{
    uid_t user = 20000 + (uid_t)getpid() % 20000;

    if (setresgid(user, user, user) < 0 || setresuid(user, user, user) < 0) {
        not_run("a user of its own");
        return;
    }
    CHECK_IS(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){limit, limit}), 0);
    script_run(&(struct loop_options){.queue_depth = 0}, steps);
}

static void within_limit(struct loop_env *env, int64_t result)
{
    BEGIN;
    AWAIT(loop_domains(env->scope, DOMAINS, &sized, NULL, find_out, NULL, GO));
    CHECK_IS(result, 0);
    check_found(env->loop, true, has_clones());
    END;
}

static int run_with_room_for_one(void *unused)
{
    (void)unused;
    run_limited(7 * REGION / 4, within_limit);
    return 0;
}

/* One registration and the rings fit, and no second one of the whole region. */
TEST(locked_memory_for_one_region_is_enough_for_all_domains)
{
    CHECK_CHILD(run_with_room_for_one, NULL);
}

static void beyond_limit(struct loop_env *env, int64_t result)
{
    BEGIN;
    AWAIT(loop_domains(env->scope, DOMAINS, &sized, NULL, find_out, NULL, GO));
    CHECK_IS(result, 0);
    for (unsigned i = 0; i < DOMAINS; i++) {
        CHECK(found[i].moves_bytes && (is_hard("onechunk") || !found[i].is_shared));
        CHECK_IS(found[i].fixed_bytes, fixed_bytes(&found[i]));
    }
    END;
}

static int run_without_room(void *unused)
{
    (void)unused;
    unsetenv("LOOP_BACKEND"); /* where a ring is refused too, its loop runs on epoll */
    run_limited(3 * REGION / 4, beyond_limit);
    return 0;
}

TEST(domains_work_where_their_region_cannot_be_locked)
{
    CHECK_CHILD(run_without_room, NULL);
}

/* ---- chunks that move ---- */

/* A chunk on its way through the domains. */
static struct travel {
    struct loop_chunk *chunk;
    struct loop_fd *file;
    size_t counts[DOMAINS]; /* of the chunks of each loop, when the chunk is there */
} travel;

static void begin_travel(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    struct loop *loop = loop_scope_loop(scope);

    (void)arg;
    travel.counts[0] = loop_region_count(loop);
    travel.chunk = loop_chunk_alloc(loop);
    fill_pattern(loop_chunk_data(travel.chunk), BLOCK_SIZE, 9);
    CHECK_IS(loop_call_return(call, loop_chunk_detach(loop, travel.chunk)), 0);
    CHECK_IS(loop_region_count(loop), travel.counts[0] - 1);
    CHECK_IS(loop_region_avail(loop), travel.counts[0] - 1);
}

static void on_travelled(void *arg, int64_t result)
{
    struct loop *loop = arg;

    CHECK_MOVED(result, BLOCK_SIZE);
    CHECK(is_pattern(loop_chunk_data(travel.chunk), (size_t)result, 9));
    CHECK_IS(loop_chunk_free(loop, travel.chunk), 0);
    CHECK_IS(loop_region_avail(loop), travel.counts[1]);
}

static void on_stored(void *arg, int64_t result)
{
    CHECK_MOVED(result, BLOCK_SIZE);
    memset(loop_chunk_data(travel.chunk), 0, BLOCK_SIZE);
    CHECK(loop_op_read_fixed(NULL, travel.file, loop_chunk_offset(travel.chunk), (size_t)result, 0, on_travelled, arg));
}

static void end_travel(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    struct loop *loop = loop_scope_loop(scope);

    (void)arg;
    (void)call;
    CHECK_IS(loop_chunk_attach(loop, travel.chunk), 0);
    travel.counts[1] = loop_region_count(loop);
    CHECK_IS(loop_region_avail(loop), travel.counts[1] - 1);
    CHECK(is_pattern(loop_chunk_data(travel.chunk), BLOCK_SIZE, 9));
    travel.file = adopt(scope, make_file("", 0));
    CHECK(loop_op_write_chunk(NULL, travel.file, travel.chunk, BLOCK_SIZE, 0, on_stored, loop));
}

LOOP_TEST(a_chunk_moves_to_another_domain_and_stays_there)
{
    static struct loop_domain_group *others;

    BEGIN;
    group = START(loop_domains(env->scope, DOMAINS, &sized, &domains, idle, NULL, ONCE(&ended)));
    START(loop_domains(env->scope, 1, &sized, &others, find_out, NULL, NULL, NULL));
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    AWAIT(loop_call(env->scope, loop_domains_inbox(domains, 0), begin_travel, NULL, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_chunk_attach(env->loop, travel.chunk), -EXDEV);
    AWAIT(loop_call(env->scope, loop_domains_inbox(domains, 1), end_travel, NULL, GO));
    CHECK_IS(result, 0);
    CHECK_IS(travel.counts[1], travel.counts[0] + 1);
    loop_cancel(env->loop, group);
    WAIT_UNTIL(ended.count);
    END;
}

static struct loop_domain_region *common;

static int run_in_common(const struct loop_options *options, loop_main_fn *main, void *arg)
{
    return loop_run_in_region(common, options, main, arg);
}

/* From a domain to the loop that has started it, and back to another one. */
static void travel_here_and_back(struct loop_env *env, int64_t result)
{
    static struct loop_domains_options sharing;
    static struct loop_inbox *here;

    BEGIN;
    here = loop_inbox_ref(env->loop);
    sharing = sized;
    sharing.region = common;
    group = START(loop_domains(env->scope, DOMAINS, &sharing, &domains, idle, NULL, ONCE(&ended)));
    loop_domain_region_destroy(common);
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    AWAIT(loop_call(env->scope, loop_domains_inbox(domains, 0), begin_travel, NULL, GO));
    AWAIT(loop_call(env->scope, here, end_travel, NULL, GO));
    CHECK_IS(travel.counts[1], travel.counts[0] + 1);
    AWAIT(loop_call(env->scope, here, begin_travel, NULL, GO));
    AWAIT(loop_call(env->scope, loop_domains_inbox(domains, 1), end_travel, NULL, GO));
    CHECK_IS(travel.counts[1], travel.counts[0]);
    CHECK_IS(loop_region_is_shared(env->loop), is_uring(env->loop) && !is_hard("nofixed") && has_clones());
    loop_inbox_unref(here);
    loop_cancel(env->loop, group);
    WAIT_UNTIL(ended.count);
    END;
}

TEST(a_chunk_moves_to_a_loop_that_shares_the_region_of_its_domains)
{
    common = loop_domain_region_create(DOMAINS + 1);
    run_by = run_in_common;
    script_run(&sized.loop, travel_here_and_back);
}

static int do_nothing(struct loop_env *env, void *arg)
{
    (void)env;
    (void)arg;
    return 0;
}

TEST(a_loop_runs_without_a_share_of_a_region)
{
    common = loop_domain_region_create(1);
    run_by = run_in_common;
    CHECK_IS(run(do_nothing, NULL), 0);
    CHECK_IS(run(do_nothing, NULL), 0);
    CHECK_IS(loop_run_in_region(common, NULL, NULL, NULL), -EINVAL);
    loop_domain_region_destroy(common);
    common = NULL;
    CHECK_IS(run(do_nothing, NULL), 0);
}

/* The loop of the first domain ends when it has given a chunk away. */
static void leave_with_chunk_away(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    begin_travel(call, scope, arg);
    CHECK_IS(loop_stop(loop_scope_loop(scope), 0), 0);
}

static void end_travel_late(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    CHECK_IS(loop_chunk_attach(loop_scope_loop(scope), travel.chunk), 0);
    CHECK(is_pattern(loop_chunk_data(travel.chunk), BLOCK_SIZE, 9));
    CHECK_IS(loop_chunk_free(loop_scope_loop(scope), travel.chunk), 0);
    (void)call;
    (void)arg;
}

LOOP_TEST(a_chunk_outlives_the_loop_that_it_comes_from)
{
    BEGIN;
    group = START(loop_domains(env->scope, DOMAINS, &sized, &domains, idle, NULL, ONCE(&ended)));
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    AWAIT(loop_call(env->scope, loop_domains_inbox(domains, 0), leave_with_chunk_away, NULL, GO));
    while (n_ends == 0) {
        AWAIT(turns(env->scope, 1, GO));
    }
    AWAIT(loop_call(env->scope, loop_domains_inbox(domains, 1), end_travel_late, NULL, GO));
    CHECK_IS(result, 0);
    loop_cancel(env->loop, group);
    WAIT_UNTIL(ended.count);
    CHECK(!strstr(log_text(), "given back"));
    END;
}

static int64_t refusal;

static void on_refused(void *arg, int64_t result)
{
    (void)arg;
    refusal = result;
}

static void use_others(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    static char byte = 'x';
    struct loop_fd *file = adopt(scope, make_file(&byte, 1));

    (void)call;
    (void)arg;
    CHECK(loop_op_write_fixed(NULL, file, travel.counts[2], 1, 0, on_refused, NULL));
}

/* An offset is of the whole region: of a chunk that the loop has, or of none. */
LOOP_TEST(bytes_of_another_domains_chunk_are_refused)
{
    BEGIN;
    group = START(loop_domains(env->scope, DOMAINS, &sized, &domains, take_all, NULL, ONCE(&ended)));
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    travel.counts[2] = loop_chunk_offset(chunks[0][0]);
    AWAIT(loop_call(env->scope, loop_domains_inbox(domains, 1), use_others, NULL, GO));
    CHECK_IS(refusal, -EFAULT);
    call_all(env->scope, free_all);
    WAIT_UNTIL(all_called());
    loop_cancel(env->loop, group);
    WAIT_UNTIL(ended.count);
    END;
}

static size_t offset_of_first;

static int note_offset(struct loop_env *env, unsigned index, void *arg)
{
    struct loop_chunk *chunk = loop_chunk_alloc(env->loop);

    (void)index;
    (void)arg;
    offset_of_first = loop_chunk_offset(chunk);
    return loop_chunk_free(env->loop, chunk);
}

static int use_noted(struct loop_env *env, unsigned index, void *arg)
{
    static char byte = 'x';
    struct loop_fd *file = adopt(env->scope, make_file(&byte, 1));

    (void)index;
    (void)arg;
    CHECK(loop_op_write_fixed(NULL, file, offset_of_first, 1, 0, on_refused, NULL));
    return 0;
}

/* The loop of the second domain is likely to be where that of the first one was, whose chunks are not its own. */
LOOP_TEST(bytes_of_an_ended_domains_chunk_are_refused)
{
    static struct loop_domains_options several;
    static int i;

    BEGIN;
    several = sized;
    several.region = loop_domain_region_create(3);
    AWAIT(loop_domains(env->scope, 1, &several, NULL, note_offset, NULL, GO));
    CHECK_IS(result, 0);
    for (i = 0; i < 2; i++) {
        refusal = 0;
        AWAIT(loop_domains(env->scope, 1, &several, NULL, use_noted, NULL, GO));
        CHECK_IS(result, 0);
        CHECK_IS(refusal, -EFAULT);
    }
    loop_domain_region_destroy(several.region);
    END;
}

/* ---- chunks that move while they are lent ---- */

/* A chunk that the continuation of a stream gives to another domain, whose stream lends it before the first one has
 * returned. Each waits for the other by reading a pipe. */
static struct handing {
    struct loop_chunk *chunk;
    int given[2], lent[2], returned[2]; /* pipes */
    loop_job streams[2];
    size_t avail[2];
} handing;

static void tell(const int *ends)
{
    CHECK_IS(write(ends[1], "x", 1), 1);
}

static void hear(const int *ends)
{
    char byte;

    CHECK_IS(read(ends[0], &byte, 1), 1);
}

/* Streams a byte that has arrived. */
static loop_job stream_byte(struct loop_scope *scope, loop_stream_fn *fn)
{
    int fds[2];

    make_pair(fds);
    CHECK_IS(write(fds[1], "x", 1), 1);
    close(fds[1]);
    return loop_stream(&flow_of(scope, fds[0])->source, fn, scope);
}

static void tell_returned(void *arg, int64_t result)
{
    struct loop *loop = loop_scope_loop(arg);

    (void)result;
    handing.avail[0] = loop_region_avail(loop);
    tell(handing.returned);
    loop_cancel(loop, handing.streams[0]);
}

static void give_away(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct loop *loop = loop_scope_loop(arg);

    if (result == 1) {
        CHECK_IS(loop_chunk_keep(loop, chunk), 0);
        CHECK_IS(loop_chunk_detach(loop, chunk), 0);
        handing.avail[1] = loop_region_avail(loop);
        CHECK(loop_op_nop(arg, tell_returned, arg));
        handing.chunk = chunk;
        tell(handing.given);
        hear(handing.lent);
    }
}

static void hold_lent(void *arg, int64_t result, struct loop_chunk *chunk)
{
    if (result == 1) {
        CHECK(chunk == handing.chunk);
        tell(handing.lent);
        hear(handing.returned);
        CHECK(*(char *)loop_chunk_data(chunk) == 'x');
        loop_cancel(loop_scope_loop(arg), handing.streams[1]);
    }
}

static void stream_and_give(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    (void)call;
    (void)arg;
    CHECK(handing.streams[0] = stream_byte(scope, give_away));
}

static void take_and_stream(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    (void)call;
    (void)arg;
    hear(handing.given);
    CHECK_IS(loop_chunk_attach(loop_scope_loop(scope), handing.chunk), 0);
    CHECK_IS(loop_chunk_free(loop_scope_loop(scope), handing.chunk), 0);
    CHECK(handing.streams[1] = stream_byte(scope, hold_lent));
}

LOOP_TEST(a_lent_chunk_that_has_moved_belongs_to_the_other_domain)
{
    BEGIN;
    CHECK_IS(pipe(handing.given) + pipe(handing.lent) + pipe(handing.returned), 0);
    memset(called, 0, sizeof called);
    group = START(loop_domains(env->scope, DOMAINS, &sized, &domains, idle, NULL, ONCE(&ended)));
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    START(loop_call(env->scope, loop_domains_inbox(domains, 0), stream_and_give, NULL, ONCE(&called[0])));
    START(loop_call(env->scope, loop_domains_inbox(domains, 1), take_and_stream, NULL, ONCE(&called[1])));
    WAIT_UNTIL(called[0].count && called[1].count);
    CHECK_IS(handing.avail[0], handing.avail[1]);
    loop_cancel(env->loop, group);
    WAIT_UNTIL(ended.count);
    for (unsigned i = 0; i < 2; i++) {
        close(handing.given[i]);
        close(handing.lent[i]);
        close(handing.returned[i]);
    }
    END;
}
