/* SPDX-License-Identifier: ISC
 *
 * Static variables of which each thread has its own, LOOP_KERNEL_THREAD_LOCAL, or each process,
 * LOOP_KERNEL_PROCESS_LOCAL. The linker puts each kind into a section. What stands there belongs to the fiber that has
 * run last, and to its node; copies are kept of the others.
 */
#include <loop/kernel/simulated/machine/locals.h>

#include <string.h>

/* The linker's names for the ends of the sections. A program may have no such variables. */
extern char __start_loop_fiber_local[] __attribute__((weak, visibility("hidden")));
extern char __stop_loop_fiber_local[] __attribute__((weak, visibility("hidden")));
extern char __start_loop_process_local[] __attribute__((weak, visibility("hidden")));
extern char __stop_loop_process_local[] __attribute__((weak, visibility("hidden")));

static char *start_of(bool of_process)
{
    return of_process ? __start_loop_process_local : __start_loop_fiber_local;
}

static size_t size_of(bool of_process)
{
    return of_process ? (size_t)(__stop_loop_process_local - __start_loop_process_local)
                      : (size_t)(__stop_loop_fiber_local - __start_loop_fiber_local);
}

static void copy(void *to, const void *from, size_t size)
{
    if (size > 0) {
        memcpy(to, from, size);
    }
}

void *loop_sim_locals_create(bool of_process)
{
    return loop_sim_alloc(size_of(of_process));
}

void *loop_sim_locals_save(bool of_process)
{
    void *saved = loop_sim_locals_create(of_process);
    copy(saved, start_of(of_process), size_of(of_process));
    return saved;
}

void loop_sim_locals_restore(bool of_process, void *saved)
{
    copy(start_of(of_process), saved, size_of(of_process));
    loop_sim_free(saved);
}

static void swap(bool of_process, void *out, const void *in)
{
    if (out) {
        copy(out, start_of(of_process), size_of(of_process));
    }
    copy(start_of(of_process), in, size_of(of_process));
}

void loop_sim_locals_switch(struct loop_sim_machine *machine, struct loop_sim_fiber *fiber)
{
    if (machine->locals_of != fiber) {
        swap(false, machine->locals_of ? machine->locals_of->locals : NULL, fiber->locals);
        machine->locals_of = fiber;
    }
    struct loop_sim_node *node = fiber->node;
    if (machine->process_locals_of != node) {
        swap(true, machine->process_locals_of ? machine->process_locals_of->locals : NULL, node->locals);
        machine->process_locals_of = node;
    }
}
