/* SPDX-License-Identifier: ISC
 *
 * server_uring [--buffers N] [--buffer-bytes BYTES] [--incremental | --whole] [--receive multishot|single|poll]
 *              [--sends reported|silent] [--files table|plain] [--task-run deferred|cooperative|plain]
 *              [--batch N] [--flush BYTES] MODE LISTEN [UPSTREAM]
 *
 * The handwritten server on io_uring alone: multishot accept into the ring's table of files, multishot receives into
 * provided buffers, and sends from these buffers. tests/bench/sweep measures which settings are best for which load.
 */
#include "uring.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

/* Good for every load, if not the best. */
static struct uring_settings settings = {.n_buffers = 16,
                                         .buffer_bytes = 128u << 10,
                                         .are_incremental = true,
                                         .receive = URING_MULTISHOT,
                                         .setup_flags = RING_DEFERRED,
                                         .batch = 1,
                                         .flush_bytes = 64u << 10};

static const struct option options[] = {
    {"buffers", required_argument, NULL, 'n'},
    {"buffer-bytes", required_argument, NULL, 's'},
    {"incremental", no_argument, NULL, 'i'},
    {"whole", no_argument, NULL, 'w'},
    {"receive", required_argument, NULL, 'r'},
    {"files", required_argument, NULL, 'f'},
    {"sends", required_argument, NULL, 'S'},
    {"task-run", required_argument, NULL, 't'},
    {"batch", required_argument, NULL, 'b'},
    {"flush", required_argument, NULL, 'F'},
    {NULL, 0, NULL, 0},
};

static unsigned parse_number(const char *text, unsigned long most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || value < 1 || value > most) {
        bench_refuse("a number from 1 to %lu is wanted, not '%s'", most, text);
    }
    return (unsigned)value;
}

static unsigned parse_buffers(const char *text)
{
    unsigned n = parse_number(text, 32768);

    if ((n & (n - 1)) != 0) {
        bench_refuse("the number of buffers is a power of two, not '%s'", text);
    }
    return n;
}

/* Returns the index of the name. */
static unsigned parse_name(const char *text, const char *const names[3])
{
    for (unsigned i = 0; i < 3; i++) {
        if (names[i] && strcmp(text, names[i]) == 0) {
            return i;
        }
    }
    bench_refuse("there is no '%s'", text);
}

static void take_option(int option)
{
    static const char *const receives[3] = {
        [URING_MULTISHOT] = "multishot", [URING_SINGLE] = "single", [URING_POLL_FIRST] = "poll"};
    static const char *const sends[3] = {"reported", "silent"};
    static const char *const files[3] = {"table", "plain"}, *const task_runs[3] = {"deferred", "cooperative", "plain"};
    static const unsigned flags[3] = {RING_DEFERRED, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN, 0};

    switch (option) {
    case 'n': settings.n_buffers = parse_buffers(optarg); break;
    case 's': settings.buffer_bytes = parse_number(optarg, 64u << 20); break;
    case 'i': settings.are_incremental = true; break;
    case 'w': settings.are_incremental = false; break;
    case 'r': settings.receive = (enum uring_receive)parse_name(optarg, receives); break;
    case 'S': settings.are_sends_silent = parse_name(optarg, sends) == 1; break;
    case 'f': settings.are_files_plain = parse_name(optarg, files) == 1; break;
    case 't': settings.setup_flags = flags[parse_name(optarg, task_runs)]; break;
    case 'b': settings.batch = parse_number(optarg, 4096); break;
    case 'F': settings.flush_bytes = parse_number(optarg, 1u << 30); break;
    default: exit(2);
    }
}

int main(int argc, char **argv)
{
    struct io_uring ring;
    struct server server;
    int option;

    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        take_option(option);
    }
    argv[optind - 1] = argv[0];
    server = server_arguments(argc - optind + 1, argv + optind - 1, NULL);
    ring_open(&ring, settings.setup_flags);
    if (server.mode == SERVER_UDP) {
        uring_serve_datagrams(&server, &settings, &ring);
    }
    uring_serve_streams(&server, &settings, &ring);
}
