/* SPDX-License-Identifier: ISC
 *
 * Interrupts: a thread whose job is cancelled is told so, and where the program has named a signal, that is sent to the
 * thread so that a system call that blocks fails with EINTR.
 *
 * A signal is never lost. One that arrives when the thread is about to enter the call, or in a call that its function
 * starts again, has no effect. So an alarm sends it again, at growing intervals, until the thread has left the job or
 * its function has asked loop_work_is_cancelled. One that is not delivered yet, because the kernel does not let the
 * thread go, is not sent twice: has_signal is set before it is sent, and the handler clears it.
 *
 * A signal never reaches another job, nor what a function does once it knows. It is sent under the mutex, and only
 * while `running` or `late` is set and `knows` is not. The thread changes these under the mutex as well. So when it has
 * changed them, every signal for this job has been sent, but one may not be delivered yet: to interrupt the processor
 * on which the thread runs takes the kernel a moment, and a call that is entered meanwhile would fail with EINTR. The
 * kernel delivers pending signals whenever a system call returns. So the thread makes one that does not block, while
 * has_signal is set: loop_pool_interrupt_end.
 */
#include <loop/core/loop.h>
#include <loop/ground/clock.h>
#include <loop/kernel/signal.h>
#include <loop/kernel/thread.h>
#include <loop/syscall/pool_state.h>

#define FIRST_INTERVAL_NS (LOOP_MILLISECOND / 2)
#define LONGEST_INTERVAL_NS (64 * LOOP_MILLISECOND)

/* On a thread of a pool: that thread. */
static LOOP_KERNEL_THREAD_LOCAL struct loop_pool_thread *this_thread;

/* ---- on the thread ---- */

void loop_pool_interrupt_init(struct loop_pool_thread *thread)
{
    this_thread = thread;
}

void loop_pool_interrupted(void)
{
    if (this_thread) {
        atomic_store(&this_thread->has_signal, false);
    }
}

void loop_pool_interrupt_end(struct loop_pool_thread *thread)
{
    thread->interrupt_at_ns = 0;
    if (atomic_load(&thread->has_signal)) {
        sigset_t none;
        sigemptyset(&none);
        (void)loop_kernel_pthread_sigmask(SIG_BLOCK, &none, NULL);
    }
}

bool loop_work_is_cancelled(void)
{
    struct loop_pool_thread *thread = this_thread;
    if (!thread || !atomic_load_explicit(&thread->is_asked_to_end, memory_order_relaxed)) {
        return false;
    }
    if (!thread->knows) {
        loop_kernel_pthread_mutex_lock(&thread->pool->mutex);
        thread->knows = true;
        loop_pool_interrupt_end(thread);
        loop_kernel_pthread_mutex_unlock(&thread->pool->mutex);
    }
    return true;
}

/* ---- on the loop's thread ---- */

/* Sends the signal, and notes when to send it again. It can fail: too many are pending in the process
 * (RLIMIT_SIGPENDING). Under the mutex. */
static void send_signal(struct loop_pool_thread *thread, int64_t now_ns)
{
    struct loop_pool *pool = thread->pool;
    if (!atomic_exchange(&thread->has_signal, true)) {
        bool is_sent = loop_kernel_pthread_kill(thread->thread, pool->interrupt_signal) == 0;
        if (!is_sent) {
            atomic_store(&thread->has_signal, false);
        }
        pool->n_interrupts += is_sent;
    }
    thread->interrupt_at_ns = now_ns + thread->interrupt_interval_ns;
    thread->interrupt_interval_ns = thread->interrupt_interval_ns * 2 < LONGEST_INTERVAL_NS
                                        ? thread->interrupt_interval_ns * 2
                                        : LONGEST_INTERVAL_NS;
}

void loop_pool_interrupt(struct loop_pool_thread *thread, int64_t now_ns)
{
    atomic_store_explicit(&thread->is_asked_to_end, true, memory_order_relaxed);
    if (thread->pool->interrupt_signal && !thread->knows) {
        thread->interrupt_interval_ns = FIRST_INTERVAL_NS;
        send_signal(thread, now_ns);
    }
}

/* Sends the signals that are due. Returns when the next one is, or LOOP_NEVER. Under the mutex. */
static int64_t send_all(struct loop_pool *pool, int64_t now_ns)
{
    int64_t next = LOOP_NEVER;
    for (unsigned i = 0; i < pool->n_places; i++) {
        struct loop_pool_thread *thread = &pool->threads[i];
        if (thread->interrupt_at_ns && thread->interrupt_at_ns <= now_ns) {
            send_signal(thread, now_ns);
        }
        if (thread->interrupt_at_ns && thread->interrupt_at_ns < next) {
            next = thread->interrupt_at_ns;
        }
    }
    return next;
}

static void on_interrupts_due(struct loop *loop, struct loop_alarm *alarm)
{
    (void)alarm;
    loop_pool_interrupt_later(loop);
}

void loop_pool_interrupt_later(struct loop *loop)
{
    struct loop_pool *pool = loop->pool;
    loop_kernel_pthread_mutex_lock(&pool->mutex);
    int64_t next = pool->interrupt_signal ? send_all(pool, loop_clock_read()) : LOOP_NEVER;
    loop_kernel_pthread_mutex_unlock(&pool->mutex);
    if (next == LOOP_NEVER || (loop_alarm_is_set(&pool->interrupts) && pool->interrupts_at_ns <= next)) {
        return;
    }
    pool->interrupts_at_ns = next;
    loop_alarm_set(loop, &pool->interrupts, next, on_interrupts_due);
}
