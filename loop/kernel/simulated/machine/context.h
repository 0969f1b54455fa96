/* SPDX-License-Identifier: ISC
 *
 * Stacks, and contexts that run on them.
 */
#ifndef LOOP_KERNEL_SIMULATED_MACHINE_CONTEXT_H
#define LOOP_KERNEL_SIMULATED_MACHINE_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

/* A stack, below it a page that must not be touched. */
struct loop_sim_stack {
    char *bottom; /* NULL: none */
    size_t size;
};

/* Returns a stack, of those that have been given back or a new one. */
struct loop_sim_stack loop_sim_stack_get(void);

/* Gives a stack back, on which nothing runs any more. Harmless for none. */
void loop_sim_stack_put(struct loop_sim_stack *stack);

/* Whether an address is in the memory below the stack that must not be touched. */
bool loop_sim_stack_is_below(const struct loop_sim_stack *stack, const void *address);

/* What is kept of something that runs on a stack of its own, while another runs. */
struct loop_sim_context {
#if defined(__x86_64__)
    void *pointer; /* the stack pointer */
#else
    ucontext_t context;
#endif
    struct loop_sim_context *from; /* which context has switched to this one */
    /* For the sanitizers. */
    const void *bottom;
    size_t size;
    void *fake_stack;
    void *thread;
    bool is_over;    /* it will not run again */
    bool must_leave; /* when it runs again it is only to end */
};

/* Makes a context that calls entry() on a stack when it is switched to for the first time. */
void loop_sim_context_make(struct loop_sim_context *context, const struct loop_sim_stack *stack, void (*entry)(void));

/* Keeps the running context in `from`, and runs `to`. Returns when something switches to `from`. */
void loop_sim_context_switch(struct loop_sim_context *from, struct loop_sim_context *to);

/* Called first in entry(): the context that runs. */
void loop_sim_context_entered(struct loop_sim_context *context);

/* Frees what the sanitizers keep of a context that will not run again, or has never run. */
void loop_sim_context_destroy(struct loop_sim_context *context);

#endif
