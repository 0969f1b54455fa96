/* SPDX-License-Identifier: ISC
 *
 * Many loops in one program: domains, which are loops in threads of their own; calls from one loop to another; and
 * descriptors that move from one loop to another.
 *
 *     static int serve(struct loop_env *env, unsigned index, void *arg) { ... }
 *
 *     loop_domains(env->scope, 0, NULL, NULL, serve, arg, NULL, NULL);
 *
 * runs `serve` as the main function of a loop on each processor, and ends when all of them have ended.
 *
 * Loops share nothing. A scope, a descriptor, a flow, a chunk or a job belongs to one loop, and only its thread may use
 * it. From another thread there are loop_post, and loop_call below, which takes the inbox of the loop that it calls. An
 * inbox is counted: it may outlive its loop, and what is sent to a loop that has ended is refused with -ESHUTDOWN.
 *
 * The domains of one call have one region (<loop/region.h>), with options.loop.n_blocks chunks for each. No loop asks
 * another one for a chunk; the program can move one, with its bytes, to another of these loops (loop_chunk_detach,
 * loop_chunk_attach). On io_uring the region is registered once for all of them where the kernel clones registered
 * buffers (Linux 6.12), so that RLIMIT_MEMLOCK counts its pages once; otherwise, and where that limit is too small for
 * the whole, each loop registers its own share as far as the limit allows: loop_region_is_shared and region_fixed_bytes
 * of struct loop_stats tell which. The loop that calls loop_domains has a region of its own, unless it shares one with
 * them (loop_run_in_region). The memory is freed when the last of these loops has ended.
 *
 * What several threads read and write, such as an `arg` that all domains get, is the program's to protect.
 */
#ifndef DOMAIN_DOMAIN_H
#define DOMAIN_DOMAIN_H

#include <loop/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- domains ---- */

/* A group of domains that one call has started. In the memory of its scope. */
struct loop_domain_group;

/* The main function of each domain, called in its thread. `index` counts from options->first_index. Returns 0 to
 * continue until the main scope of the domain, env->scope, has ended. Where the domain is to wait for calls, keep that
 * open with a job that only a cancel ends, such as loop_sleep(env->scope, LOOP_NEVER, NULL, NULL): a loop_scope_hold
 * would also hold it against a cancel. A negative value is the error of the domain; any other one ends only this
 * domain. */
typedef int loop_domain_fn(struct loop_env *env, unsigned index, void *arg);

/* Flags of struct loop_domains_options. */
enum loop_domains_flag {
    LOOP_DOMAINS_PIN = 1u << 0 /* each runs on one processor: index 0 on the first that this thread may use, and so on,
                                  and from the first again where there are more domains than processors */
};

/* The most domains of one call. */
#define LOOP_DOMAINS_MAX 1024

/* A region that loops share which are not all started by one call, as the domains of one call share theirs. */
struct loop_domain_region;

struct loop_domains_options {
    struct loop_options loop LOOP_ZERO; /* of each loop. Its functions are called in the threads of the domains */
    unsigned flags LOOP_ZERO;           /* of enum loop_domains_flag */
    unsigned first_index LOOP_ZERO;     /* of the first domain, for a program that starts them by several calls */
    /* NULL: these domains have a region for themselves. Or one that they share with those of other calls, which have
     * the same n_blocks and block_size. A domain for which no share is left has its own */
    struct loop_domain_region *region LOOP_ZERO;
};

/* Returns how many processors this thread may use (sched_getaffinity(2)), at least 1. A limit of a control group on
 * processor time is not among them. */
LOOP_API unsigned loop_processors(void);

/* Runs `n` loops in `n` threads, each with `main(env, index, main_arg)`; with 0
 * as many as loop_processors returns. They are one job of `scope`, which ends when all domains and their threads have
 * ended. `options` and `domains` may be NULL. `*domains` is set in the call, and is valid until `scope` has ended; it
 * is NULL where no domain is to be started.
 *
 * A domain ends when its main scope has ended. When one fails, by an error of its main scope or of loop_run_with, all
 * others are cancelled, as the siblings of a scope that fails. A cancel of the job, or a deadline, cancels the main
 * scope of each domain, in its thread, and waits for all to end. A cancel that comes while they start takes effect when
 * the main functions have returned.
 *
 * Resumes with 0 when all have ended without an error; with the first error of a domain; -EAGAIN when the system has no
 * thread left (pthread_create(3)): the domains that have started are ended then, and the log names the one that has
 * not; -EINVAL for bad options, or more than LOOP_DOMAINS_MAX; an errno of sched_setaffinity(2); -ECANCELED. Returns
 * job 0 when there is no memory, the scope has ended, or `main` is NULL; and in the scope of a part (loop_part_scope),
 * which ends after the inbox of its loop: a debug build stops there.
 *
 * The threads block every signal, so that loop_signal of one loop gets the signals of the process: wait for a signal in
 * one loop only. A child that a domain creates has the signal mask that one of this loop would have. */
LOOP_API loop_job loop_domains(struct loop_scope *scope, unsigned n, const struct loop_domains_options *options,
                               struct loop_domain_group **domains, loop_domain_fn *main, void *main_arg, loop_fn *fn,
                               void *arg);

/* Waits until all domains can be called. Resumes with 0 when the main function of each has returned 0; with the first
 * error, or -ESHUTDOWN, when one ends, or has ended, without that; -ECANCELED. Returns job 0 when there is no memory or
 * the scope has ended. */
LOOP_API loop_job loop_domains_wait_started(struct loop_scope *scope, struct loop_domain_group *domains, loop_fn *fn,
                                            void *arg);

/* Returns how many domains the call was to start. */
LOOP_API unsigned loop_domains_count(const struct loop_domain_group *domains);

/* Returns the inbox of a domain, for loop_call and loop_post, without a reference of its own: it is valid until the
 * scope of `domains` has ended. Returns NULL before the domain has started (loop_domains_wait_started), and for an
 * index that is none. Only the thread that has called loop_domains may call it: pass the inbox on to the domains. */
LOOP_API struct loop_inbox *loop_domains_inbox(const struct loop_domain_group *domains, unsigned index);

/* Creates a region with shares for `n` loops: domains, of whichever calls start first, and those of loop_run_in_region.
 * Each share is for one loop, and not for another one after its end; a loop whose main function was not called has used
 * none. The memory is allocated by the first. Returns NULL when there is no memory, or `n` is 0 or more than
 * LOOP_DOMAINS_MAX. */
LOOP_API struct loop_domain_region *loop_domain_region_create(unsigned n);

/* Does what loop_run_with does, with a share of `region`. So chunks can be moved between this loop and domains that it
 * starts with options->region, or between loops in threads that the program has created. `options` has the n_blocks and
 * block_size of the others. Where no share is left or `region` is NULL, the loop has a region of its own. The region is
 * not used after the loop has ended. */
LOOP_API int loop_run_in_region(struct loop_domain_region *region, const struct loop_options *options,
                                loop_main_fn *main, void *arg);

/* Gives the region up, on any thread. Calls that were given it keep its memory as long as they need it. NULL is
 * ignored. */
LOOP_API void loop_domain_region_destroy(struct loop_domain_region *region);

/* ---- calls ---- */

/* A call, as the loop that is called has it. */
struct loop_incoming;

/* The function of a call. Runs on the thread of the loop that is called. Jobs that it starts in `scope` are a part of
 * the call: the caller is resumed when the scope has ended, which is at once when nothing was started. It may be
 * cancelled by the caller at any time. */
typedef void loop_call_fn(struct loop_incoming *call, struct loop_scope *scope, void *arg);

/* Runs `call(call, scope, call_arg)` in the loop of `inbox`, in a scope of its own inside the main scope there. Resumes
 * here, when that scope has ended, with the result that was given to loop_call_return, 0 if there was none. `inbox` may
 * be that of this loop. The calls of one loop to another begin in the order in which they are made.
 *
 * `call_arg` belongs to the call until the continuation is resumed, and only the other thread may use it until then:
 * what has been written before the call is seen there, and what was written there is seen in the continuation.
 *
 * Resumes with the error of the scope there when that has failed; -ESHUTDOWN when the other loop ends before the
 * call has: its main scope has ended or is cancelled; -ENOMEM when there was no memory there for the scope. A cancel
 * cancels the scope there, and waits for its end: the result is -ECANCELED unless loop_call_return was called before.
 * Returns job 0 when there is no memory, `scope` has ended, or `inbox` or `call` is NULL; and in the scope of a
 * part (loop_part_scope), where a debug build stops. */
LOOP_API loop_job loop_call(struct loop_scope *scope, struct loop_inbox *inbox, loop_call_fn *call, void *call_arg,
                            loop_fn *fn, void *arg);

/* Sets the result of a call, on the thread where its function runs, before the scope of the call has ended. It does not
 * end the scope. Returns 0; -EALREADY when the result is set already. */
LOOP_API int loop_call_return(struct loop_incoming *call, int64_t result);

/* ---- moving descriptors ---- */

/* A descriptor that belongs to no loop, with the bytes that were read from it and not used. Any thread may have it, one
 * at a time: pass it as the argument of a call or a post. */
struct loop_detached;

/* Takes a descriptor out of its loop, to be attached to another one. A reader or writer of it has to be destroyed
 * before: a reader gives back what it has buffered, and that moves with the descriptor. Whether the descriptor is in
 * use is looked at when the running continuation has returned, so a continuation of its last job may call this.
 *
 * Resumes with 0: `*detached` belongs to the caller, and `fd` is destroyed. Otherwise `*detached` is NULL: -EBUSY when
 * jobs, a reader, a writer or loop_fd_use use the descriptor, which stays as it is; -EINVAL for a borrowed one; -EBADF
 * for a closed one, also when it is closed meanwhile; -ECANCELED; -ENOMEM, and the descriptor is closed where that was
 * noticed late. The job belongs to the scope of `fd`. Returns job 0 when there is no memory or the scope has ended. */
LOOP_API loop_job loop_fd_detach(struct loop_fd *fd, struct loop_detached **detached, loop_fn *fn, void *arg);

/* Gives the descriptor to `scope`, as loop_fd_adopt does. Its next reads return the bytes that have moved with it, and
 * then an error that had been met behind them. Frees `detached`. Returns NULL when there is no memory, or the scope has
 * ended; the descriptor is closed then. */
LOOP_API struct loop_fd *loop_fd_attach(struct loop_scope *scope, struct loop_detached *detached);

/* Closes the descriptor, and frees it. On any thread. NULL is ignored. */
LOOP_API void loop_detached_destroy(struct loop_detached *detached);

#ifdef __cplusplus
}
#endif

#endif
