/* SPDX-License-Identifier: ISC
 *
 * Domains for the suites of domain/: main functions that count, and what several threads may touch.
 */
#ifndef TESTS_DOMAIN_DOMAINS_H
#define TESTS_DOMAIN_DOMAINS_H

#include "harness.h"

#include <domain/domain.h>

#include <stdatomic.h>

enum { DOMAINS = 4 };

__attribute__((unused)) static struct loop_domain_group *domains;
static atomic_uint n_mains, n_ends;

static inline void on_main_scope_over(void *unused)
{
    (void)unused;
    atomic_fetch_add(&n_ends, 1);
}

/* Counts itself and its end. */
static inline void count_domain(struct loop_env *env)
{
    atomic_fetch_add(&n_mains, 1);
    CHECK(loop_scope_defer(env->scope, on_main_scope_over, NULL));
}

static inline void unhold(void *scope, int64_t result)
{
    (void)result;
    loop_scope_unhold(scope);
}

/* Waits until it is cancelled. */
static inline int idle(struct loop_env *env, unsigned index, void *arg)
{
    (void)index;
    (void)arg;
    count_domain(env);
    CHECK(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL));
    return 0;
}

#endif
