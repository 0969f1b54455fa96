/* SPDX-License-Identifier: ISC
 *
 * A group of domains, in the parent's thread: its start, the job that lasts as long as they do, and jobs that wait
 * until all have started.
 */
#include <domain/group.h>
#include <loop/kernel/thread.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

/* ---- regions of several calls ---- */

static struct loop_shares *shares_of(struct loop_domain_region *region)
{
    return (struct loop_shares *)(void *)region;
}

struct loop_domain_region *loop_domain_region_create(unsigned n)
{
    bool is_good = n > 0 && n <= LOOP_DOMAINS_MAX;

    return is_good ? (struct loop_domain_region *)(void *)loop_shares_create(n) : NULL;
}

void loop_domain_region_destroy(struct loop_domain_region *region)
{
    loop_shares_unref(shares_of(region));
}

struct running {
    loop_main_fn *main;
    void *arg;
    bool has_begun;
};

static int run_main(struct loop_env *env, void *arg)
{
    struct running *running = arg;

    running->has_begun = true;
    return running->main(env, running->arg);
}

int loop_run_in_region(struct loop_domain_region *region, const struct loop_options *options, loop_main_fn *main,
                       void *arg)
{
    struct running running = {.main = main, .arg = arg};
    struct loop_share share = region && main ? loop_shares_take(shares_of(region)) : (struct loop_share){NULL, 0};

    if (!share.shares) {
        return loop_run_with(options, main, arg);
    }
    loop_shares_ref(share.shares); /* the program may destroy the region meanwhile */
    int result = loop_part_run(options, &share, run_main, &running);
    if (!running.has_begun) {
        loop_shares_return(share);
    }
    loop_shares_unref(share.shares);
    return result;
}

/* ---- the end ---- */

static void stop_all(struct loop_domain_group *group)
{
    group->is_stopping = true;
    for (unsigned i = 0; i < group->count; i++) {
        loop_domain_stop(&group->domains[i]);
    }
}

/* Lets another domain have the share of one whose main function was not called, so that nothing is in it. */
static void return_share(struct loop_domain *domain)
{
    if (domain->share.shares && !domain->has_begun) {
        loop_shares_return(domain->share);
        domain->share.shares = NULL;
    }
}

static void drop_region(struct loop_domain_group *group)
{
    for (unsigned i = 0; i < group->count; i++) {
        return_share(&group->domains[i]);
    }
    loop_shares_unref(group->shares);
    group->shares = NULL;
}

/* Ends the job when no thread is left. */
static void maybe_finish(struct loop_domain_group *group)
{
    if (group->n_living > 0 || !group->job) {
        return;
    }
    loop_job job = group->job;
    group->job = 0;
    drop_region(group);
    loop_waiters_end(&group->waiters, group->error < 0 ? group->error : -ESHUTDOWN);
    loop_resolve(group->loop, job, group->error < 0 ? group->error : group->is_cancelled ? -ECANCELED : 0);
}

static void fail(struct loop_domain_group *group, int64_t error)
{
    if (group->error == 0) {
        group->error = error;
    }
    stop_all(group);
}

static void on_cancel(void *arg, loop_job job)
{
    struct loop_domain_group *group = arg;

    (void)job;
    group->is_cancelled = true;
    stop_all(group);
}

static void drop_all(void *arg)
{
    struct loop_domain_group *group = arg;

    drop_region(group);
    for (unsigned i = 0; i < group->count; i++) {
        loop_inbox_unshare(group->domains[i].inbox);
        group->domains[i].inbox = NULL;
    }
}

/* ---- what the domains report ---- */

static void on_started(void *arg, int64_t result)
{
    struct loop_domain *domain = arg;
    struct loop_domain_group *group = domain->group;

    (void)result;
    assert(domain->state == LOOP_DOMAIN_STARTING && domain->inbox);
    domain->state = LOOP_DOMAIN_RUNNING;
    group->n_started++;
    if (group->is_stopping) {
        loop_domain_stop(domain);
    } else if (group->n_started == group->count) {
        loop_waiters_end(&group->waiters, 0);
    }
}

static void log_start(const struct loop_domain *domain, int64_t error, const char *advice)
{
    loop_log(domain->group->loop, LOOP_LOG_ERROR, "domain %u cannot start: %s%s", domain->index, strerror((int)-error),
             advice);
}

static void on_ended(void *arg, int64_t result)
{
    struct loop_domain *domain = arg;
    struct loop_domain_group *group = domain->group;
    bool has_started = domain->state == LOOP_DOMAIN_RUNNING;

    (void)result;
    loop_domain_join(domain);
    return_share(domain);
    group->n_living--;
    if (domain->result < 0 && domain->result != -ECANCELED) {
        if (!domain->has_begun) {
            log_start(domain, domain->result, "");
        }
        fail(group, domain->result);
    }
    if (!has_started) {
        group->has_lost = true;
        loop_waiters_end(&group->waiters, group->error < 0 ? group->error : -ESHUTDOWN);
    }
    maybe_finish(group);
}

/* ---- the start ---- */

/* Stores which processors this thread may use, and returns how many; or a negative errno. */
static int find_processors(struct loop_processors *processors)
{
    int n = 0;

    *processors = (struct loop_processors){0};
    if (loop_kernel_sched_getaffinity(sizeof processors->bits, (cpu_set_t *)processors->bits) < 0) {
        return -errno;
    }
    for (unsigned i = 0; i < LOOP_PROCESSORS_MAX; i++) {
        n += loop_processors_has(processors, i);
    }
    return n;
}

unsigned loop_processors(void)
{
    struct loop_processors processors;
    int n = find_processors(&processors);

    return n > 0 ? (unsigned)n : 1;
}

/* Returns the processor that an index stands for. There is at least one. */
static int processor_of(const struct loop_processors *processors, unsigned index)
{
    unsigned processor = 0;

    for (;; processor = (processor + 1) % LOOP_PROCESSORS_MAX) {
        if (loop_processors_has(processors, processor) && index-- == 0) {
            return (int)processor;
        }
    }
}

static void pin(struct loop_domain_group *group, const struct loop_processors *processors, unsigned n)
{
    for (unsigned i = 0; i < group->count; i++) {
        group->domains[i].processor = processor_of(processors, group->domains[i].index % n);
    }
}

/* Returns the number of domains for `n`, and the processors, or a negative errno. */
static int check(unsigned n, const struct loop_domains_options *options, struct loop_processors *processors)
{
    if (options->flags & ~(unsigned)LOOP_DOMAINS_PIN || n > LOOP_DOMAINS_MAX) {
        return -EINVAL;
    }
    if (n > 0 && !options->flags) {
        return (int)n;
    }
    int n_processors = find_processors(processors);
    int count = n > 0 && n_processors > 0 ? (int)n : n_processors;
    return count > LOOP_DOMAINS_MAX ? LOOP_DOMAINS_MAX : count;
}

/* Returns the shares of the region with a reference, or NULL without memory. */
static struct loop_shares *shares_for(unsigned count, const struct loop_domains_options *options)
{
    struct loop_shares *shares = shares_of(options->region);

    if (!shares) {
        return loop_shares_create(count);
    }
    loop_shares_ref(shares);
    return shares;
}

static struct loop_domain_group *create(struct loop_scope *scope, unsigned count,
                                        const struct loop_domains_options *options)
{
    struct loop_domain_group *group = loop_scope_alloc(scope, sizeof *group + count * sizeof *group->domains);

    if (!group) {
        return NULL;
    }
    group->scope = scope;
    group->loop = loop_scope_loop(scope);
    group->inbox = loop_inbox_of(group->loop);
    group->options = options->loop;
    group->count = count;
    loop_saved_mask(group->loop, &group->child_mask);
    group->shares = shares_for(count, options);
    loop_waiters_init(&group->waiters);
    for (unsigned i = 0; i < count; i++) {
        group->domains[i].group = group;
        group->domains[i].share = group->shares ? loop_shares_take(group->shares) : (struct loop_share){NULL, 0};
        group->domains[i].index = options->first_index + i;
        group->domains[i].processor = -1;
    }
    return loop_scope_defer(scope, drop_all, group) && group->shares ? group : NULL;
}

static void start(struct loop_domain_group *group)
{
    for (unsigned i = 0; i < group->count; i++) {
        int error = loop_domain_create(&group->domains[i], on_started, on_ended);
        if (error < 0) {
            log_start(&group->domains[i], error,
                      ": the system has no thread left (RLIMIT_NPROC, pids.max) or no memory");
            fail(group, error);
            break;
        }
        group->n_living++;
    }
    maybe_finish(group);
}

/* Returns a job that ends with `error`. */
static loop_job refuse(struct loop_scope *scope, int64_t error, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(scope, NULL, NULL, fn, arg);

    if (job) {
        (void)loop_resolve(loop_scope_loop(scope), job, error);
    }
    return job;
}

loop_job loop_domains(struct loop_scope *scope, unsigned n, const struct loop_domains_options *options,
                      struct loop_domain_group **domains, loop_domain_fn *main, void *main_arg, loop_fn *fn, void *arg)
{
    static const struct loop_domains_options defaults;
    struct loop_processors processors;

    if (domains) {
        *domains = NULL;
    }
    if (!loop_check_main_scope(scope, __func__) || (!main && !loop_check_pointer(NULL, "main function", __func__))) {
        return 0;
    }
    options = options ? options : &defaults;
    int count = check(n, options, &processors);
    if (loop_scope_is_cancelled(scope) || count < 0) {
        return refuse(scope, count < 0 ? count : -ECANCELED, fn, arg);
    }
    struct loop_domain_group *group = create(scope, (unsigned)count, options);
    if (!group) {
        return 0;
    }
    group->main = main;
    group->main_arg = main_arg;
    if (options->flags & LOOP_DOMAINS_PIN) {
        pin(group, &processors, loop_processors());
    }
    loop_job job = group->job = loop_promise(scope, on_cancel, group, fn, arg);
    if (!job) {
        drop_region(group);
        return 0;
    }
    if (domains) {
        *domains = group;
    }
    start(group);
    return job;
}

/* ---- what the program asks ---- */

static bool is_good(const struct loop_domain_group *group, const char *function)
{
    return loop_check_object(group, offsetof(struct loop_domain_group, scope), "group of domains", function);
}

loop_job loop_domains_wait_started(struct loop_scope *scope, struct loop_domain_group *group, loop_fn *fn, void *arg)
{
    if (!loop_check_scope(scope, __func__) || !is_good(group, __func__)) {
        return 0;
    }
    if (!group->job || group->is_stopping || group->has_lost) {
        return refuse(scope, group->error < 0 ? group->error : -ESHUTDOWN, fn, arg);
    }
    if (group->n_started == group->count) {
        return refuse(scope, 0, fn, arg);
    }
    return loop_waiters_add(&group->waiters, scope, fn, arg);
}

unsigned loop_domains_count(const struct loop_domain_group *group)
{
    return is_good(group, __func__) ? group->count : 0;
}

struct loop_inbox *loop_domains_inbox(const struct loop_domain_group *group, unsigned index)
{
    if (!is_good(group, __func__) || index >= group->count) {
        return NULL;
    }
    const struct loop_domain *domain = &group->domains[index];
    return domain->state == LOOP_DOMAIN_ABSENT || domain->state == LOOP_DOMAIN_STARTING ? NULL : domain->inbox;
}
