/* SPDX-License-Identifier: ISC
 *
 * Stacks, and switching from one to another. On x86-64 a switch stores and loads the registers that a function must
 * keep; elsewhere it is swapcontext(3), which costs two system calls more.
 */
#include <loop/kernel/simulated/machine/context.h>
#include <loop/kernel/simulated/machine/machine.h>

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define HAS_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#endif
#if !defined(HAS_ASAN)
#define HAS_ASAN 0
#endif
#if !defined(HAS_TSAN)
#define HAS_TSAN 0
#endif

#if HAS_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#if HAS_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* ---- stacks ---- */

/* The guard is a multiple of every page size. */
enum { GUARD_SIZE = 1 << 16 };

/* A stack that has been given back; stands at its top. */
struct spare {
    struct spare *next;
    char *bottom;
};

/* Stacks are all alike, so that runs may share them: what was left on one is never read. */
static _Thread_local struct spare *spares;

struct loop_sim_stack loop_sim_stack_get(void)
{
    if (spares) {
        struct loop_sim_stack stack = {.bottom = spares->bottom, .size = LOOP_SIM_STACK_SIZE};
        spares = spares->next;
        return stack;
    }
    char *memory = mmap(NULL, GUARD_SIZE + LOOP_SIM_STACK_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, GUARD_SIZE, PROT_NONE) < 0) {
        loop_sim_stop_without_memory();
    }
#if HAS_ASAN
    __lsan_register_root_region(memory + GUARD_SIZE, LOOP_SIM_STACK_SIZE);
#endif
    return (struct loop_sim_stack){.bottom = memory + GUARD_SIZE, .size = LOOP_SIM_STACK_SIZE};
}

void loop_sim_stack_put(struct loop_sim_stack *stack)
{
    if (!stack->bottom) {
        return;
    }
#if HAS_ASAN
    __asan_unpoison_memory_region(stack->bottom, stack->size);
#endif
    struct spare *spare = (struct spare *)(void *)(stack->bottom + stack->size - sizeof *spare);
    *spare = (struct spare){.next = spares, .bottom = stack->bottom};
    spares = spare;
    *stack = (struct loop_sim_stack){0};
}

bool loop_sim_stack_is_below(const struct loop_sim_stack *stack, const void *address)
{
    uintptr_t bottom = (uintptr_t)stack->bottom, at = (uintptr_t)address;
    return stack->bottom && at < bottom && at >= bottom - GUARD_SIZE;
}

/* ---- switching ---- */

#if defined(__x86_64__)

/* Stores what a function must keep on the stack, the stack pointer at *from, and loads all that from `to`. */
void loop_sim_context_jump(void **from, void *to) __attribute__((visibility("hidden")));

__asm__(".pushsection .text\n"
        ".globl loop_sim_context_jump\n"
        ".hidden loop_sim_context_jump\n"
        ".type loop_sim_context_jump, @function\n"
        "loop_sim_context_jump:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    subq $8, %rsp\n"
        "    stmxcsr (%rsp)\n"
        "    fnstcw 4(%rsp)\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    ldmxcsr (%rsp)\n"
        "    fldcw 4(%rsp)\n"
        "    addq $8, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size loop_sim_context_jump, . - loop_sim_context_jump\n"
        ".popsection\n");

static void make(struct loop_sim_context *context, const struct loop_sim_stack *stack, void (*entry)(void))
{
    /* What the jump loads: the control words, six registers, where it returns to; then 0 as return address of that. */
    uint64_t words[9] = {0};
    uint32_t vector_control;
    uint16_t float_control;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(vector_control), "=m"(float_control));
    words[0] = vector_control | (uint64_t)float_control << 32;
    words[7] = (uintptr_t)entry;
    char *top = stack->bottom + stack->size - 16; /* a multiple of 16, as a call's return address is followed by */
    context->pointer = top - sizeof words;
    memcpy(context->pointer, words, sizeof words);
}

static void jump(struct loop_sim_context *from, struct loop_sim_context *to)
{
    loop_sim_context_jump(&from->pointer, to->pointer);
}

#else

static void make(struct loop_sim_context *context, const struct loop_sim_stack *stack, void (*entry)(void))
{
    getcontext(&context->context);
    context->context.uc_stack.ss_sp = stack->bottom;
    context->context.uc_stack.ss_size = stack->size;
    context->context.uc_link = NULL;
    makecontext(&context->context, entry, 0);
}

static void jump(struct loop_sim_context *from, struct loop_sim_context *to)
{
    swapcontext(&from->context, &to->context);
}

#endif

void loop_sim_context_make(struct loop_sim_context *context, const struct loop_sim_stack *stack, void (*entry)(void))
{
    *context = (struct loop_sim_context){.bottom = stack->bottom, .size = stack->size};
    make(context, stack, entry);
#if HAS_TSAN
    context->thread = __tsan_create_fiber(0);
#endif
}

void loop_sim_context_entered(struct loop_sim_context *context)
{
#if HAS_ASAN
    __sanitizer_finish_switch_fiber(context->fake_stack, &context->from->bottom, &context->from->size);
#else
    (void)context;
#endif
}

void loop_sim_context_switch(struct loop_sim_context *from, struct loop_sim_context *to)
{
    assert(!to->is_over);
    to->from = from;
#if HAS_ASAN
    __sanitizer_start_switch_fiber(from->is_over ? NULL : &from->fake_stack, to->bottom, to->size);
#endif
#if HAS_TSAN
    if (!from->thread) {
        from->thread = __tsan_get_current_fiber();
    }
    __tsan_switch_to_fiber(to->thread, 0);
#endif
    jump(from, to);
    loop_sim_context_entered(from);
    if (from->must_leave) {
        from->is_over = true;
        loop_sim_context_switch(from, from->from);
    }
}

/* AddressSanitizer frees its second stack of a context only when that leaves for good: so the context runs once more,
 * and does just that. */
static void leave_for_good(struct loop_sim_context *context)
{
    struct loop_sim_context here = {0};
    context->must_leave = true;
    loop_sim_context_switch(&here, context);
}

void loop_sim_context_destroy(struct loop_sim_context *context)
{
    if (HAS_ASAN && context->fake_stack && !context->is_over) {
        leave_for_good(context);
    }
#if HAS_TSAN
    if (context->thread) {
        __tsan_destroy_fiber(context->thread);
    }
#endif
    context->is_over = true;
}
