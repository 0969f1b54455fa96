/* SPDX-License-Identifier: ISC
 *
 * Assertions that fail, abort, faults of memory, and exit: they fail the run. The process is the user's, so handlers
 * are set only while a world runs.
 */
#include <loop/simulation/guard.h>
#include <loop/simulation/misuse.h>

#undef NDEBUG /* <assert.h> declares what it calls, also where assertions are off */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HANDLER_STACK_SIZE ((size_t)64 * 1024)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1 /* its own report of a fault of memory says more */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#if !defined(HAS_SANITIZER)
#define HAS_SANITIZER 0
#endif

/* The signals, and how a reason names them. */
static const struct {
    int number;
    const char *name;
} caught[LOOP_SIM_GUARD_SIGNALS] = {
    {SIGABRT, "abort"},           {SIGSEGV, "segmentation fault"}, {SIGBUS, "bus error"},
    {SIGFPE, "arithmetic error"}, {SIGILL, "illegal instruction"},
};
static const size_t n_caught = HAS_SANITIZER ? 1 : LOOP_SIM_GUARD_SIGNALS;

/* Leaves what runs: the node, or what loop_sim_guard_call has called. */
static _Noreturn void escape(struct loop_world *world)
{
    if (loop_sim_fiber_now()) {
        loop_sim_node_crash(loop_sim_here());
    }
    siglongjmp(world->escape, 1);
}

static const char *place_name(void)
{
    const struct loop_node *node = loop_node_here();
    return node ? loop_node_name(node) : "the world";
}

/* Returns the last line that the running node has written to standard error, such as the library's own report of a
 * misuse before it calls abort, and its length in `*len`. */
static const char *last_line(int *len)
{
    struct loop_node *node = loop_node_here();
    size_t size = 0;
    const char *text = node ? loop_node_output(node, 2, &size) : "";
    size -= size > 0 && text[size - 1] == '\n';
    size_t begin = size;
    while (begin > 0 && text[begin - 1] != '\n') {
        begin--;
    }
    *len = size - begin < LOOP_SIM_REASON_SIZE ? (int)(size - begin) : LOOP_SIM_REASON_SIZE;
    return text + begin;
}

/* Whether the fault of memory at this address has used up the stack of the running fiber. */
static bool is_overflow(int number, const void *address)
{
    const struct loop_sim_fiber *fiber = loop_sim_fiber_now();
    return number == SIGSEGV && fiber && loop_sim_fiber_is_below(fiber, address);
}

/* Fails the run for a signal that is caught. */
static void fail_by(struct loop_world *world, int number)
{
    int len;
    const char *line = last_line(&len);
    for (size_t i = 0; i < n_caught; i++) {
        if (caught[i].number == number) {
            loop_world_fail(world, "%s in %s%s%.*s", caught[i].name, place_name(),
                            len > 0 ? ": standard error ends with " : "", len, line);
        }
    }
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    struct loop_world *world = loop_sim_owner();
    if (!world || !world->can_escape) {
        (void)signal(number, SIG_DFL);
        (void)raise(number);
        return;
    }
    const char *mistake = loop_sim_misuse_take();
    if (mistake) {
        loop_world_fail(world, "%s", mistake);
    } else if (is_overflow(number, info->si_addr)) {
        loop_world_fail(world, "stack overflow in %s: its stack has %u KiB", place_name(), LOOP_SIM_STACK_SIZE / 1024);
    } else {
        fail_by(world, number);
    }
    escape(world);
}

/* ---- exit ---- */

static pid_t watched;      /* the process that runs worlds; a child that it forks may exit */
static bool is_registered; /* on_end, which a call of exit takes off the C library's list */

/* Fails the run and leaves what has called exit. Returns outside of a run. */
static void leave_by_exit(int status)
{
    struct loop_world *world = loop_sim_owner();
    if (world && world->can_escape && getpid() == watched) {
        loop_world_fail(world, "exit in %s: status %d; a node ends when its main function has returned", place_name(),
                        status);
        escape(world);
    }
}

static void on_end(int status, void *unused)
{
    (void)unused;
    is_registered = false;
    leave_by_exit(status);
}

static void watch_exit(void)
{
    watched = getpid();
    is_registered = is_registered || on_exit(on_end, NULL) == 0;
}

static _Noreturn void exit_now(int status)
{
    leave_by_exit(status);
    for (;;) {
        (void)syscall(SYS_exit_group, status);
    }
}

/* These stand in for those of the GNU C library. */
void _exit(int status)
{
    exit_now(status);
}

void _Exit(int status)
{
    exit_now(status);
}

/* ---- the guard ---- */

void loop_sim_guard_begin(struct loop_sim_guard *guard)
{
    guard->own_stack = loop_sim_alloc(HANDLER_STACK_SIZE);
    stack_t stack = {.ss_sp = guard->own_stack, .ss_size = HANDLER_STACK_SIZE};
    (void)sigaltstack(&stack, &guard->stack);
    watch_exit();
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO};
    for (size_t i = 0; i < n_caught; i++) {
        (void)sigaction(caught[i].number, &action, &guard->actions[i]);
    }
}

void loop_sim_guard_end(struct loop_sim_guard *guard)
{
    for (size_t i = 0; i < n_caught; i++) {
        (void)sigaction(caught[i].number, &guard->actions[i], NULL);
    }
    (void)sigaltstack(&guard->stack, NULL);
    loop_sim_free(guard->own_stack);
}

void loop_sim_guard_call(struct loop_world *world, void (*fn)(struct loop_world *world))
{
    if (sigsetjmp(world->escape, 0) == 0) {
        world->can_escape = true;
        fn(world);
    }
    world->can_escape = false;
}

/* ---- assertions ---- */

/* What <assert.h> calls; this one stands in for that of the GNU C library. */
void __assert_fail(const char *assertion, const char *file, unsigned line, const char *function)
{
    struct loop_world *world = loop_sim_owner();
    const char *slash = strrchr(file, '/');
    if (world && world->can_escape) {
        loop_world_fail(world, "assertion at %s, line %u, in %s: %s", slash ? slash + 1 : file, line, place_name(),
                        assertion);
        escape(world);
    }
    (void)fprintf(stderr, "%s:%u: %s: Assertion `%s' failed.\n", file, line, function ? function : "?", assertion);
    abort();
}
