/* SPDX-License-Identifier: ISC
 *
 * The second thread, which wakes a loop. The loop's thread runs on the first processor, the second thread on the
 * second.
 */
#include "local.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>

#define ASLEEP_AFTER_NS 200000
#define FLOOD 500000

static int64_t thread_cpu(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * LOCAL_SECOND + now.tv_nsec;
}

/* If the processor does not exist, the thread's affinity is unchanged. */
static void pin(int processor)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

static void send(struct local_waker *waker, uint64_t message)
{
    while (!waker->post(waker->arg, message)) {
        sched_yield();
    }
}

static void send_single(struct local_waker *waker, uint64_t message)
{
    /* Varies, so that it never runs in step with a periodic tick of the machine. */
    int64_t until = local_now() + ASLEEP_AFTER_NS + (int64_t)(local_mix(message) % 20000);
    while (local_now() < until) {
        sched_yield();
    }
    atomic_store(&waker->sent, local_now());
    send(waker, message);
    while (atomic_load(&waker->handled) <= message) {
        sched_yield();
    }
}

static void *post_all(void *arg)
{
    struct local_waker *waker = arg;
    uint64_t message = 0;
    pin(1);
    while (message < waker->n_single) {
        send_single(waker, message++);
    }
    waker->flood_from = local_now();
    while (message < waker->n_single + waker->n_flood) {
        send(waker, message++);
    }
    return NULL;
}

void local_waker_start(struct local_waker *waker, const struct local_options *options)
{
    waker->n_warmup = options->count / 10 + 1;
    waker->n_single = options->count + waker->n_warmup;
    waker->n_flood = FLOOD;
    waker->latencies = local_alloc(waker->n_single, sizeof *waker->latencies);
    pin(0);
    if (pthread_create(&waker->thread, NULL, post_all, waker) != 0) {
        local_fail("no thread", 0);
    }
}

static void single_has_come(struct local_waker *waker, uint64_t message)
{
    waker->latencies[message] = local_now() - atomic_load(&waker->sent);
    local_check(message == waker->got, "a message has come twice");
    if (message + 1 == waker->n_warmup || message + 1 == waker->n_single) {
        waker->cpu = thread_cpu() - waker->cpu;
    }
    atomic_store(&waker->handled, message + 1);
}

bool local_waker_got(struct local_waker *waker, uint64_t message)
{
    if (message < waker->n_single) {
        single_has_come(waker, message);
    }
    waker->sum += message;
    if (++waker->got < waker->n_single + waker->n_flood) {
        return false;
    }
    waker->flood_to = local_now();
    return true;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void local_waker_finish(struct local_waker *waker, struct local_result *result)
{
    uint64_t total = waker->n_single + waker->n_flood, n = waker->n_single - waker->n_warmup;
    int64_t *measured = waker->latencies + waker->n_warmup;

    pthread_join(waker->thread, NULL);
    local_check(waker->got == total && waker->sum == total * (total - 1) / 2, "not every message has come");
    for (uint64_t i = 0; i < n; i++) {
        result->wall_ns += measured[i];
    }
    result->cpu_ns = waker->cpu;
    result->operations = n;
    qsort(measured, n, sizeof *measured, compare);
    local_extra(result, "p50_us", (double)measured[n / 2] / 1000);
    local_extra(result, "p99_us", (double)measured[n * 99 / 100] / 1000);
    local_extra(result, "flood_ns_per_op", (double)(waker->flood_to - waker->flood_from) / (double)waker->n_flood);
    free(waker->latencies);
}

/* ---- messages ---- */

void local_mail_init(struct local_mail *mail, uint64_t count)
{
    mail->letters = local_alloc(count + count / 10 + 1 + FLOOD, sizeof *mail->letters);
    atomic_store(&mail->first, NULL);
}

bool local_mail_deliver(struct local_mail *mail, struct local_waker *waker)
{
    struct local_letter *letter = atomic_exchange(&mail->first, NULL);
    bool is_last = false;
    while (letter) {
        /* A poster that waits for this one may not use it again, but its list ends here. */
        struct local_letter *next = letter->next;
        is_last = local_waker_got(waker, letter->message) || is_last;
        letter = next;
    }
    return is_last;
}
