/* SPDX-License-Identifier: ISC
 *
 * Signals: those of a node, and those of a fiber. A handler is called on the stack of the fiber that the signal
 * interrupts, or that makes its next call.
 */
#include <loop/kernel/simulated/object/signal.h>

#include <loop/kernel/signal.h>
#include <loop/kernel/simulated/object/process.h>

#include <string.h>

#define BIT(signal) (UINT64_C(1) << ((signal)-1))
#define UNBLOCKABLE (BIT(SIGKILL) | BIT(SIGSTOP))
#define STOPPING (BIT(SIGSTOP) | BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU))
#define HARMLESS (BIT(SIGCHLD) | BIT(SIGURG) | BIT(SIGWINCH) | BIT(SIGCONT)) /* ignored by default */

/* ---- sets ---- */

uint64_t loop_sim_signal_bits(const sigset_t *set)
{
    uint64_t bits = 0;
    for (int signal = 1; signal <= LOOP_SIM_MOST_SIGNAL; signal++) {
        if (sigismember(set, signal) == 1) {
            bits |= BIT(signal);
        }
    }
    return bits & ~UNBLOCKABLE;
}

static void bits_to_set(uint64_t bits, sigset_t *set)
{
    sigemptyset(set);
    for (int signal = 1; signal <= LOOP_SIM_MOST_SIGNAL; signal++) {
        if (bits & BIT(signal)) {
            sigaddset(set, signal);
        }
    }
}

static int lowest(uint64_t bits)
{
    return __builtin_ctzll(bits) + 1;
}

/* ---- what is pending ---- */

struct loop_sim_fiber_signals *loop_sim_signals_here(void)
{
    (void)loop_sim_here(); /* makes the world of the thread where there is none */
    struct loop_sim_fiber *fiber = loop_sim_fiber_now();
    return fiber ? loop_sim_fiber_signals(fiber) : NULL;
}

uint64_t loop_sim_signals_pending(const struct loop_sim_node *node, const struct loop_sim_fiber_signals *own)
{
    return node->signals->pending | (own ? own->pending : 0);
}

int loop_sim_signals_take(struct loop_sim_node *node, struct loop_sim_fiber_signals *own, uint64_t wanted,
                          siginfo_t *info)
{
    struct loop_sim_signals *signals = node->signals;
    bool is_own = own && own->pending & wanted;
    uint64_t found = is_own ? own->pending & wanted : signals->pending & wanted;
    if (!found) {
        return 0;
    }
    int signal = lowest(found);
    *info = (siginfo_t){.si_signo = signal, .si_code = is_own ? SI_TKILL : SI_USER};
    info->si_pid = is_own ? loop_sim_process_id(node) : 0;
    info->si_uid = loop_sim_user(node);
    if (is_own) {
        own->pending &= ~BIT(signal);
    } else if (signals->queued[signal] > 0) {
        signals->queued[signal]--;
    } else {
        signals->pending &= ~BIT(signal);
    }
    return signal;
}

static bool is_ignored(const struct loop_sim_signals *signals, int signal)
{
    const struct sigaction *action = &signals->actions[signal];
    return action->sa_handler == SIG_IGN || (action->sa_handler == SIG_DFL && BIT(signal) & HARMLESS);
}

/* ---- delivery ---- */

/* Does what a signal without a handler does. Does not return when that ends the node of the caller. */
static void act_by_default(struct loop_sim_node *node, int signal)
{
    if (BIT(signal) & STOPPING) {
        loop_sim_node_pause(node);
    } else if (!(BIT(signal) & HARMLESS)) {
        loop_sim_node_kill(node, signal);
    }
}

/* Calls the handler on the stack of the running fiber. Returns whether the interrupted call goes on. */
static bool call_handler(struct loop_sim_signals *signals, struct loop_sim_fiber_signals *own, siginfo_t *info)
{
    int signal = info->si_signo;
    struct sigaction action = signals->actions[signal];
    uint64_t before = own->blocked;
    own->blocked |= loop_sim_signal_bits(&action.sa_mask);
    if (!(action.sa_flags & SA_NODEFER)) {
        own->blocked |= BIT(signal);
    }
    if (action.sa_flags & (int)SA_RESETHAND) {
        signals->actions[signal].sa_handler = SIG_DFL;
    }
    if (action.sa_flags & SA_SIGINFO) {
        action.sa_sigaction(signal, info, NULL);
    } else {
        action.sa_handler(signal);
    }
    own->blocked = before;
    return (action.sa_flags & SA_RESTART) != 0;
}

bool loop_sim_signals_handle(void)
{
    struct loop_sim_node *node = loop_sim_here();
    struct loop_sim_fiber_signals *own = loop_sim_signals_here();
    struct loop_sim_signals *signals = node->signals;
    bool has_called = false, goes_on = true;
    siginfo_t info;
    while (loop_sim_signals_take(node, own, ~own->blocked, &info) > 0) {
        if (is_ignored(signals, info.si_signo)) {
            continue;
        }
        if (signals->actions[info.si_signo].sa_handler == SIG_DFL) {
            act_by_default(node, info.si_signo);
            continue;
        }
        has_called = true;
        goes_on &= call_handler(signals, own, &info);
    }
    return has_called && goes_on;
}

/* Does what is to be done for the node's signals that no fiber could handle at once. */
static void act_later(struct loop_sim_event *event)
{
    struct loop_sim_signals *signals = LOOP_CONTAINER(event, struct loop_sim_signals, act);
    int signal = signals->fatal;
    signals->fatal = 0;
    act_by_default(signals->node, signal);
}

/* A signal has become pending for one fiber, or with NULL for the node: whoever waits for it is woken, and it is
 * delivered to a fiber that does not block it. */
static void arrive(struct loop_sim_node *node, struct loop_sim_fiber *only, int signal)
{
    struct loop_sim_signals *signals = node->signals;
    loop_sim_queue_wake(&signals->descriptors, 0);
    loop_sim_queue_wake(&signals->arrived, 0);
    struct loop_sim_fiber *fiber = only ? only : loop_sim_fiber_next(node, NULL);
    while (fiber && loop_sim_fiber_signals(fiber)->blocked & BIT(signal)) {
        fiber = only ? NULL : loop_sim_fiber_next(node, fiber);
    }
    if (!fiber) {
        return;
    }
    if (fiber == loop_sim_fiber_now()) {
        (void)loop_sim_signals_handle();
    } else if (signals->actions[signal].sa_handler == SIG_DFL) {
        siginfo_t info;
        (void)loop_sim_signals_take(node, loop_sim_fiber_signals(fiber), BIT(signal), &info);
        signals->fatal = signal;
        loop_sim_event_set(&signals->act, node->world->now_ns, act_later);
    } else {
        (void)loop_sim_fiber_interrupt(fiber);
    }
}

static bool is_blocked_by_first(const struct loop_sim_node *node, int signal)
{
    struct loop_sim_fiber *first = loop_sim_fiber_next(node, NULL);
    return first && loop_sim_fiber_signals(first)->blocked & BIT(signal);
}

void loop_sim_signal_send(struct loop_sim_node *node, int signal)
{
    struct loop_sim_signals *signals = node->signals;
    if (!signals || signal < 1 || signal > LOOP_SIM_MOST_SIGNAL) {
        return;
    }
    if (signal == SIGCONT && node->state == LOOP_SIM_NODE_PAUSED) {
        loop_sim_node_go_on(node);
    }
    if (is_ignored(signals, signal) && !is_blocked_by_first(node, signal)) {
        return;
    }
    if (!(signals->pending & BIT(signal))) {
        signals->pending |= BIT(signal);
    } else if (signal >= SIGRTMIN) {
        signals->queued[signal]++;
    }
    arrive(node, NULL, signal);
}

/* Sends a signal to one fiber. Returns 0 or a negative errno. */
static int send_to(struct loop_sim_fiber *fiber, int signal)
{
    if (signal < 0 || signal > LOOP_SIM_MOST_SIGNAL) {
        return -EINVAL;
    }
    struct loop_sim_node *node = loop_sim_here();
    struct loop_sim_fiber_signals *own = loop_sim_fiber_signals(fiber);
    if (signal > 0 && (own->blocked & BIT(signal) || !is_ignored(node->signals, signal))) {
        own->pending |= BIT(signal);
        arrive(node, fiber, signal);
    }
    return 0;
}

void loop_sim_signal_pipe(struct loop_sim_node *node)
{
    if (loop_sim_fiber_now()) {
        (void)send_to(loop_sim_fiber_now(), SIGPIPE);
    } else {
        loop_sim_signal_send(node, SIGPIPE);
    }
}

/* ---- the life of a node ---- */

void loop_sim_signals_start(struct loop_sim_node *node)
{
    node->signals = loop_sim_alloc(sizeof *node->signals);
    node->signals->node = node;
    loop_sim_queue_init(&node->signals->arrived);
    loop_sim_queue_init(&node->signals->descriptors);
}

void loop_sim_signals_stop(struct loop_sim_node *node)
{
    if (node->signals) {
        loop_sim_event_cancel(&node->signals->act);
        while (loop_list_pop_front(&node->signals->descriptors.waiters)) {
            /* Another part of the simulated kernel may still use them. */
        }
        loop_sim_free(node->signals);
        node->signals = NULL;
    }
}

/* ---- the door ---- */

/* Returns whether a signal that the running fiber does not block is pending. */
static bool has_signal(void)
{
    const struct loop_sim_fiber_signals *own = loop_sim_signals_here();
    return (loop_sim_signals_pending(loop_sim_here(), own) & ~own->blocked) != 0;
}

struct loop_sim_mask_change loop_sim_mask_begin(const sigset_t *mask)
{
    struct loop_sim_fiber_signals *own = loop_sim_signals_here();
    struct loop_sim_mask_change change = {.before = own->blocked};
    if (mask) {
        own->blocked = loop_sim_signal_bits(mask);
        change.is_interrupted = has_signal();
        (void)loop_sim_signals_handle();
    }
    return change;
}

void loop_sim_mask_end(const struct loop_sim_mask_change *change)
{
    loop_sim_signals_here()->blocked = change->before;
}

int loop_kernel_pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    uint64_t blocked = loop_sim_signals_here()->blocked;
    if (before) {
        bits_to_set(blocked, before);
    }
    if (!set) {
        return 0;
    }
    uint64_t bits = loop_sim_signal_bits(set);
    switch (how) {
    case SIG_BLOCK: bits |= blocked; break;
    case SIG_UNBLOCK: bits = blocked & ~bits; break;
    case SIG_SETMASK: break;
    default: return EINVAL;
    }
    loop_sim_signals_here()->blocked = bits;
    (void)loop_sim_signals_handle();
    return 0;
}

int loop_kernel_pthread_kill(pthread_t thread, int signal)
{
    struct loop_sim_fiber *fiber = loop_sim_fiber_of_thread(thread);
    return fiber ? -send_to(fiber, signal) : ESRCH;
}

int loop_kernel_raise(int signal)
{
    (void)loop_sim_here();
    return (int)loop_sim_return(send_to(loop_sim_fiber_now(), signal));
}

int loop_kernel_sigaction(int signal, const struct sigaction *action, struct sigaction *before)
{
    if (signal < 1 || signal > LOOP_SIM_MOST_SIGNAL || (action && BIT(signal) & UNBLOCKABLE)) {
        return (int)loop_sim_return(-EINVAL);
    }
    struct loop_sim_node *node = loop_sim_here();
    struct loop_sim_signals *signals = node->signals;
    struct sigaction old = signals->actions[signal];
    if (action) {
        signals->actions[signal] = *action;
        if (is_ignored(signals, signal)) {
            signals->pending &= ~BIT(signal);
            signals->queued[signal] = 0;
            loop_sim_signals_here()->pending &= ~BIT(signal);
        }
    }
    if (before) {
        *before = old;
    }
    return 0;
}

int loop_kernel_sigpending(sigset_t *set)
{
    const struct loop_sim_node *node = loop_sim_here();
    const struct loop_sim_fiber_signals *own = loop_sim_signals_here();
    bits_to_set(loop_sim_signals_pending(node, own) & own->blocked, set);
    return 0;
}
