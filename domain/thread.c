/* SPDX-License-Identifier: ISC
 *
 * The thread of a domain: it runs a loop, and posts to the parent when that has started and when it has ended.
 */
#include <domain/group.h>
#include <loop/kernel/signal.h>
#include <loop/kernel/thread.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>

/* ---- in the domain's thread ---- */

static void on_stop(void *arg, int64_t result)
{
    struct loop_domain *domain = arg;

    if (result == 0) {
        (void)loop_stop(loop_inbox_loop(domain->inbox), 0);
    }
}

/* The inbox of the parent is open: see group.h. */
static void post_to_parent(struct loop_domain *domain, struct loop_task *task)
{
    int error = loop_post_task(domain->group->inbox, task);

    assert(error == 0);
    (void)error;
}

static int domain_main(struct loop_env *env, void *arg)
{
    struct loop_domain *domain = arg;
    struct loop_domain_group *group = domain->group;

    domain->has_begun = true;
    loop_part_set_child_mask(env->loop, &group->child_mask);
    int result = group->main(env, domain->index, group->main_arg);
    if (result == 0) {
        domain->inbox = loop_inbox_of(env->loop);
        loop_inbox_share(domain->inbox);
        post_to_parent(domain, &domain->started);
    }
    return result;
}

static void name_thread(unsigned index)
{
    char name[16];

    snprintf(name, sizeof name, "domain-%u", index % 100000);
    (void)loop_kernel_pthread_setname_np(loop_kernel_pthread_self(), name);
}

/* Moves this thread to a processor. Returns 0 or a negative errno. */
static int move_to(unsigned processor)
{
    struct loop_processors only = {0};
    unsigned word_bits = 8 * sizeof(unsigned long);

    only.bits[processor / word_bits] = 1ul << processor % word_bits;
    return loop_kernel_sched_setaffinity(sizeof only.bits, (const cpu_set_t *)only.bits) < 0 ? -errno : 0;
}

static void *run_domain(void *arg)
{
    struct loop_domain *domain = arg;
    int error = domain->processor >= 0 ? move_to((unsigned)domain->processor) : 0;

    name_thread(domain->index);
    const struct loop_share *share = domain->share.shares ? &domain->share : NULL;
    domain->result = error < 0 ? error : loop_part_run(&domain->group->options, share, domain_main, domain);
    post_to_parent(domain, &domain->ended);
    return NULL;
}

/* ---- in the parent's thread ---- */

/* The thread has every signal blocked: signals are for the program's own threads. */
int loop_domain_create(struct loop_domain *domain, loop_fn *on_started, loop_fn *on_ended)
{
    sigset_t all, before;

    domain->started = (struct loop_task){.fn = on_started, .arg = domain};
    domain->ended = (struct loop_task){.fn = on_ended, .arg = domain};
    domain->stop = (struct loop_task){.fn = on_stop, .arg = domain};
    sigfillset(&all);
    loop_kernel_pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = loop_kernel_pthread_create(&domain->thread, NULL, run_domain, domain);
    loop_kernel_pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) {
        domain->state = LOOP_DOMAIN_STARTING;
    }
    return -error;
}

/* The thread returns at once, if it has not returned yet. */
void loop_domain_join(struct loop_domain *domain)
{
    assert(domain->state == LOOP_DOMAIN_STARTING || domain->state == LOOP_DOMAIN_RUNNING);
    (void)loop_kernel_pthread_join(domain->thread, NULL);
    domain->state = LOOP_DOMAIN_ENDED;
}

void loop_domain_stop(struct loop_domain *domain)
{
    if (domain->state == LOOP_DOMAIN_RUNNING && !domain->is_told) {
        domain->is_told = true;
        (void)loop_post_task(domain->inbox, &domain->stop);
    }
}
