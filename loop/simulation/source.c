/* SPDX-License-Identifier: ISC
 *
 * Sources of choice.
 */
#include <loop/kernel/simulated/machine/machine.h>
#include <loop/kernel/simulated/machine/trace.h>
#include <loop/simulation.h>
#include <loop/simulation/source.h>

#include <assert.h>

#define PPM 1000000u
#define FIRST_EXTRAORDINARY 128 /* of the bytes of a fuzzer */

/* ---- random numbers ---- */

/* splitmix64, by Sebastiano Vigna: makes the state of another generator from a seed. */
static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void loop_sim_random_seed(struct loop_sim_random *random, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++) {
        random->state[i] = splitmix64(&seed);
    }
}

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

/* xoshiro256**, by David Blackman and Sebastiano Vigna. */
static uint64_t next(struct loop_sim_random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t loop_sim_random_below(struct loop_sim_random *random, uint64_t n)
{
    uint64_t too_many = UINT64_MAX - UINT64_MAX % n; /* from here on the small remainders would be more likely */
    uint64_t value;
    do {
        value = next(random);
    } while (value >= too_many);
    return value % n;
}

/* ---- what may happen ---- */

/* The faults that points belong to. */
static const unsigned fault_of[LOOP_SIM_POINTS] = {
    [LOOP_SIM_ORDER_FIBERS] = LOOP_FAULT_ORDER,  [LOOP_SIM_ORDER_EVENTS] = LOOP_FAULT_ORDER,
    [LOOP_SIM_ORDER_READY] = LOOP_FAULT_ORDER,   [LOOP_SIM_SHORT_READ] = LOOP_FAULT_SHORT,
    [LOOP_SIM_SHORT_WRITE] = LOOP_FAULT_SHORT,   [LOOP_SIM_FALSE_READY] = LOOP_FAULT_SPURIOUS,
    [LOOP_SIM_INTERRUPT] = LOOP_FAULT_SPURIOUS,  [LOOP_SIM_NO_FILES] = LOOP_FAULT_LIMITS,
    [LOOP_SIM_NO_MEMORY] = LOOP_FAULT_MEMORY,    [LOOP_SIM_NO_BUFFERS] = LOOP_FAULT_LIMITS,
    [LOOP_SIM_ABORTED] = LOOP_FAULT_CONNECTIONS, [LOOP_SIM_CANCEL] = LOOP_FAULT_ORDER,
    [LOOP_SIM_LATENCY] = LOOP_FAULT_NETWORK,     [LOOP_SIM_LOSS] = LOOP_FAULT_NETWORK,
    [LOOP_SIM_DUPLICATE] = LOOP_FAULT_NETWORK,   [LOOP_SIM_REORDER] = LOOP_FAULT_NETWORK,
    [LOOP_SIM_RESET] = LOOP_FAULT_CONNECTIONS,   [LOOP_SIM_CONNECT] = LOOP_FAULT_CONNECTIONS,
    [LOOP_SIM_DISK_LATENCY] = LOOP_FAULT_DISK,   [LOOP_SIM_DISK_ERROR] = LOOP_FAULT_DISK,
    [LOOP_SIM_DISK_FULL] = LOOP_FAULT_DISK,      [LOOP_SIM_CRASH_KEEPS] = LOOP_FAULT_DISK,
    [LOOP_SIM_THREAD] = LOOP_FAULT_ORDER,        [LOOP_SIM_PROGRAM] = LOOP_FAULT_PROGRAM,
};

/* What the program asks for, and what the world states, is always allowed. */
static bool is_allowed(const struct loop_sim_source *source, enum loop_sim_point point, uint32_t ppm)
{
    return point == LOOP_SIM_PROGRAM || ppm > 0 || (source->faults & fault_of[point]) != 0;
}

/* ---- from a seed ---- */

/* Points at which no choice is a fault: there one other than 0 may be as frequent as the ordinary one. */
static bool is_harmless(enum loop_sim_point point)
{
    return (fault_of[point] & (LOOP_FAULT_ORDER | LOOP_FAULT_SHORT)) != 0 || point == LOOP_SIM_LATENCY ||
           point == LOOP_SIM_DISK_LATENCY || point == LOOP_SIM_CRASH_KEEPS;
}

/* Returns the highest probability of a point. Each packet may reset its connection. Of connections with 50 packets one
 * in three survives at 2 %, but one in 70 000 at 20 %: a program that tries again until one does would always fail by
 * the limit of steps. */
static uint32_t most_ppm(enum loop_sim_point point)
{
    return is_harmless(point) ? PPM : point == LOOP_SIM_RESET ? PPM / 50 : PPM / 5;
}

/* Draws a probability: none in every second run, otherwise from 0.1 %, small ones more often. */
static uint32_t draw_ppm(struct loop_sim_random *random, enum loop_sim_point point)
{
    uint64_t is_off = loop_sim_random_below(random, 2), most = most_ppm(point), n_doublings = 1;
    while (UINT64_C(1000) << n_doublings < most) {
        n_doublings++;
    }
    uint64_t least = UINT64_C(1000) << loop_sim_random_below(random, n_doublings);
    uint64_t ppm = least + loop_sim_random_below(random, least);
    return is_off ? 0 : (uint32_t)(ppm < most ? ppm : most);
}

/* Returns 1 to n - 1, where n is at least 2: small numbers more often, each power of two being equally likely. */
static unsigned draw_size(struct loop_sim_random *random, unsigned n)
{
    unsigned n_bits = 0;
    while ((n - 1) >> n_bits > 1) {
        n_bits++;
    }
    uint64_t least = UINT64_C(1) << loop_sim_random_below(random, n_bits + 1);
    uint64_t end = 2 * least < n ? 2 * least : n;
    return (unsigned)(least + loop_sim_random_below(random, end - least));
}

static unsigned value_of_seed(struct loop_sim_source *source, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    if (point == LOOP_SIM_PROGRAM) {
        return (unsigned)loop_sim_random_below(&source->random, n);
    }
    uint32_t probability = ppm > 0 ? ppm : source->swarm_ppm[point];
    if (probability == 0 || loop_sim_random_below(&source->random, PPM) >= probability) {
        return 0;
    }
    return draw_size(&source->random, n);
}

void loop_sim_source_seed(struct loop_sim_source *source, uint64_t seed, unsigned faults)
{
    *source = (struct loop_sim_source){.value = value_of_seed, .faults = faults};
    loop_sim_random_seed(&source->random, seed);
    for (unsigned point = 0; point < LOOP_SIM_POINTS; point++) {
        source->swarm_ppm[point] = draw_ppm(&source->random, point);
    }
}

/* ---- from a list ---- */

static unsigned value_of_list(struct loop_sim_source *source, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    (void)point;
    (void)ppm;
    uint32_t value = source->next < source->n ? source->choices[source->next++] : 0;
    return value < n ? value : 0;
}

void loop_sim_source_list(struct loop_sim_source *source, const uint32_t *choices, size_t n_choices, unsigned faults)
{
    *source = (struct loop_sim_source){.value = value_of_list, .faults = faults, .choices = choices, .n = n_choices};
}

/* ---- from bytes ---- */

static uint8_t next_byte(struct loop_sim_source *source)
{
    return source->next < source->n ? source->bytes[source->next++] : 0;
}

static unsigned value_of_bytes(struct loop_sim_source *source, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    (void)point;
    (void)ppm;
    uint32_t value = next_byte(source);
    if (value < FIRST_EXTRAORDINARY) {
        return 0;
    }
    value -= FIRST_EXTRAORDINARY;
    unsigned width = n <= FIRST_EXTRAORDINARY ? 0 : n <= 65536 ? 2 : 4;
    for (unsigned i = 0; i < width; i++) {
        value = value << 8 | next_byte(source);
    }
    return value % n;
}

void loop_sim_source_bytes(struct loop_sim_source *source, const uint8_t *bytes, size_t n_bytes, unsigned faults)
{
    *source = (struct loop_sim_source){.value = value_of_bytes, .faults = faults, .bytes = bytes, .n = n_bytes};
}

/* ---- all lists ---- */

static unsigned value_of_path(struct loop_sim_source *source, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    (void)point;
    (void)ppm;
    if (source->next == source->n_path) {
        if (source->n_path == source->path_size) {
            source->path_size = 2 * source->path_size + 64;
            source->path = loop_sim_realloc(source->path, source->path_size * sizeof *source->path);
        }
        source->path[source->n_path++] = (struct loop_sim_step){.n = n};
    }
    struct loop_sim_step *step = &source->path[source->next++];
    assert(step->n == n); /* the run is its choices */
    return step->value;
}

void loop_sim_source_enumerate(struct loop_sim_source *source, unsigned faults)
{
    *source = (struct loop_sim_source){.value = value_of_path, .faults = faults};
}

bool loop_sim_source_next(struct loop_sim_source *source)
{
    source->n_path = source->next; /* what the last run has not reached cannot matter */
    source->next = 0;
    while (source->n_path > 0) {
        struct loop_sim_step *step = &source->path[source->n_path - 1];
        if (step->value + 1 < step->n) {
            step->value++;
            return true;
        }
        source->n_path--;
    }
    return false;
}

void loop_sim_source_finish(struct loop_sim_source *source)
{
    loop_sim_free(source->path);
    *source = (struct loop_sim_source){0};
}

/* ---- choosing ---- */

static void keep_point(struct loop_sim_source *source, enum loop_sim_point point)
{
    if (source->n_points == source->points_size) {
        source->points_size = 2 * source->points_size + 256;
        source->points = loop_sim_realloc(source->points, source->points_size);
    }
    source->points[source->n_points++] = (uint8_t)point;
}

unsigned loop_sim_source_choose(void *arg, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    struct loop_sim_source *source = arg;
    if (source->keeps_points) {
        keep_point(source, point);
    }
    bool may_happen = is_allowed(source, point, ppm);
    /* A list has a place for each choice, also for those that are not allowed. */
    unsigned value = may_happen || source->value == value_of_list ? source->value(source, point, n, ppm) : 0;
    value = may_happen ? value : 0;
    if (value > 0) {
        struct loop_sim_node *node = loop_sim_fiber_now() ? loop_sim_here() : NULL;
        loop_sim_trace("choose", node, NULL, "%s: %u of %u", loop_sim_point_name(point), value, n);
    }
    return value;
}
