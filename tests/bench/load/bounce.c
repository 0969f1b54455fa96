/* SPDX-License-Identifier: ISC
 *
 * bounce CPU CPU: measures the distance between two processors, as the nanoseconds of one round trip of a cache line
 * between two threads, one on each of them. The host of a virtual machine may temporarily place its virtual processors
 * far apart, which makes everything measured across the two slower. tests/bench/run therefore runs this before each
 * sample. Prints one line of JSON.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCHES 15
#define ROUNDS 1000 /* in a batch; the median batch is printed, so that an interrupted one does not count */

static _Alignas(128) atomic_uint ball;

static int pin(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set);
}

static void pause_a_little(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void await(unsigned value)
{
    while (atomic_load_explicit(&ball, memory_order_acquire) != value) {
        pause_a_little();
    }
}

/* Answers each odd number with the next even one. */
static void *return_it(void *cpu)
{
    if (pin(*(unsigned *)cpu)) {
        perror("bounce: sched_setaffinity");
        exit(1);
    }
    for (unsigned i = 0; i < BATCHES * ROUNDS; i++) {
        await(2 * i + 1);
        atomic_store_explicit(&ball, 2 * i + 2, memory_order_release);
    }
    return NULL;
}

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Runs one batch that starts at `first`. Returns the nanoseconds of a round trip. */
static double batch(unsigned first)
{
    double began = now_ns();

    for (unsigned i = first; i < first + ROUNDS; i++) {
        atomic_store_explicit(&ball, 2 * i + 1, memory_order_release);
        await(2 * i + 2);
    }
    return (now_ns() - began) / ROUNDS;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
    unsigned here, there;
    pthread_t thread;
    double ns[BATCHES];

    if (argc != 3) {
        fprintf(stderr, "usage: bounce CPU CPU\n");
        return 2;
    }
    here = (unsigned)atoi(argv[1]);
    there = (unsigned)atoi(argv[2]);
    if (pin(here) || pthread_create(&thread, NULL, return_it, &there)) {
        perror("bounce");
        return 1;
    }
    for (unsigned i = 0; i < BATCHES; i++) {
        ns[i] = batch(i * ROUNDS);
    }
    pthread_join(thread, NULL);
    qsort(ns, BATCHES, sizeof *ns, compare);
    printf("{\"bounce_ns\": %.1f}\n", ns[BATCHES / 2]);
    return 0;
}
