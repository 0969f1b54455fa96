/* SPDX-License-Identifier: ISC
 *
 * dear NANOSECONDS -- COMMAND [ARGUMENT...]
 * dear --instructions N -- COMMAND [ARGUMENT...]
 * dear NANOSECONDS
 *
 * Runs a command whose system calls each cost that much more, as they do in containers and on machines that switch page
 * tables on every entry to the kernel. Without a command it prints one line of JSON: the cost of a system call as it
 * is, the cost with the addition, and the number of instructions that makes the difference. With --instructions the
 * command starts without measuring, so that several commands get the same addition.
 *
 * The addition is a seccomp filter: a program that the kernel runs on every call. It loads an argument of the call, so
 * that the kernel's cache of calls that are always allowed cannot answer in its place. Each instruction multiplies what
 * the one before has left, so that none overlaps with it. Some 1300 take a microsecond. A filter has at most 4096, so
 * several are installed where that is too few. Needs no privileges.
 */
#include "bench.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAST_PADDING (BPF_MAXINSNS - 2u) /* beside the load and the return */
#define MOST_INSTRUCTIONS 28000u         /* the kernel accepts 32768 in all filters, and counts some for each filter */
#define CALLS_AT_ONCE 100
#define BATCHES 100
#define ATTEMPTS 6
#define CLOSE_ENOUGH 0.03

struct cost {
    double plain_ns, dear_ns;
    unsigned n_instructions;
};

/* ---- filters ---- */

static int set_filter(const struct sock_fprog *program)
{
    /* Without the flag some kernels also slow down everything else, against speculation. */
    int error = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, program);

    if (error != 0 && errno == EINVAL) {
        error = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program);
    }
    return error;
}

/* Allows everything, after that many instructions. */
static void install(unsigned n_instructions)
{
    static struct sock_filter instructions[BPF_MAXINSNS];
    struct sock_fprog program = {.filter = instructions, .len = (unsigned short)(n_instructions + 2)};

    instructions[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args));
    for (unsigned i = 1; i <= n_instructions; i++) {
        instructions[i] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, i | 1);
    }
    instructions[n_instructions + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    if (set_filter(&program) != 0) {
        bench_fail(errno == ENOSYS || errno == EINVAL ? "this kernel has no seccomp filters" : "a seccomp filter");
    }
}

/* Makes the system calls of this process dear, for good. */
static void become_dear(unsigned n_instructions)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        bench_fail("no_new_privs");
    }
    do {
        unsigned n = n_instructions < LAST_PADDING ? n_instructions : LAST_PADDING;

        install(n);
        n_instructions -= n;
    } while (n_instructions > 0);
}

/* ---- what a system call costs ---- */

/* The least of many batches: what interrupts a batch only makes it longer. */
static double call_cost_ns(void)
{
    int64_t least = INT64_MAX;

    for (int batch = 0; batch < BATCHES; batch++) {
        int64_t began = bench_now(), took;

        for (int i = 0; i < CALLS_AT_ONCE; i++) {
            syscall(SYS_getppid);
        }
        took = bench_now() - began;
        least = took < least ? took : least;
    }
    return (double)least / CALLS_AT_ONCE;
}

/* In a process of its own, because a filter can not be removed. */
static double dear_cost_ns(unsigned n_instructions)
{
    double cost_ns;
    int ends[2], status;
    pid_t child;

    if (pipe(ends) != 0 || (child = fork()) < 0) {
        bench_fail("a process");
    }
    if (child == 0) {
        become_dear(n_instructions);
        cost_ns = call_cost_ns();
        _exit(write(ends[1], &cost_ns, sizeof cost_ns) == sizeof cost_ns ? 0 : 1);
    }
    close(ends[1]);
    if (waitpid(child, &status, 0) != child || status != 0) {
        exit(1); /* the child has told why */
    }
    if (read(ends[0], &cost_ns, sizeof cost_ns) != sizeof cost_ns) {
        bench_fail("a pipe");
    }
    close(ends[0]);
    return cost_ns;
}

/* Finds the number of instructions for an addition, by trying: a filter costs something by itself, and the next
 * instruction as much as the one before. */
static struct cost calibrate(double wanted_ns)
{
    struct cost cost = {.plain_ns = call_cost_ns(), .n_instructions = LAST_PADDING};
    double empty_ns = dear_cost_ns(0) - cost.plain_ns;

    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        double added_ns, needed;

        cost.dear_ns = dear_cost_ns(cost.n_instructions);
        added_ns = cost.dear_ns - cost.plain_ns;
        if (added_ns > wanted_ns * (1 - CLOSE_ENOUGH) && added_ns < wanted_ns * (1 + CLOSE_ENOUGH)) {
            break;
        }
        needed = cost.n_instructions * (wanted_ns - empty_ns) / (added_ns > empty_ns ? added_ns - empty_ns : 1);
        if (needed > MOST_INSTRUCTIONS) {
            bench_refuse("the kernel accepts no filters that cost %.0f ns", wanted_ns);
        }
        cost.n_instructions = needed >= 1 ? (unsigned)needed : 1;
    }
    return cost;
}

/* ---- arguments ---- */

static double parse_number(const char *text, double most)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= 0 && value <= most)) {
        bench_refuse("a number from 0 to %.0f is wanted, not '%s'", most, text);
    }
    return value;
}

static void run(char **command, unsigned n_instructions)
{
    if (n_instructions > 0) {
        become_dear(n_instructions);
    }
    execvp(command[0], command);
    fprintf(stderr, "dear: %s: %s\n", command[0], strerror(errno));
    exit(errno == ENOENT ? 127 : 126);
}

static struct cost cost_of(double wanted_ns)
{
    double plain_ns;

    if (wanted_ns > 0) {
        return calibrate(wanted_ns);
    }
    plain_ns = call_cost_ns();
    return (struct cost){.plain_ns = plain_ns, .dear_ns = plain_ns};
}

int main(int argc, char **argv)
{
    bool is_counted = argc > 1 && strcmp(argv[1], "--instructions") == 0;
    struct cost cost = {0};

    argc -= is_counted;
    argv += is_counted;
    if (argc < 2 || (argc == 2 && is_counted) || (argc > 2 && (argc == 3 || strcmp(argv[2], "--") != 0))) {
        bench_refuse("usage: dear NANOSECONDS | --instructions N [-- COMMAND [ARGUMENT...]]");
    }
    if (is_counted) {
        cost.n_instructions = (unsigned)parse_number(argv[1], MOST_INSTRUCTIONS);
    } else {
        cost = cost_of(parse_number(argv[1], 1e6));
    }
    if (argc > 2) {
        run(argv + 3, cost.n_instructions);
    }
    printf("{\"call_ns\":%.1f,\"dear_call_ns\":%.1f,\"instructions\":%u}\n", cost.plain_ns, cost.dear_ns,
           cost.n_instructions);
    return 0;
}
