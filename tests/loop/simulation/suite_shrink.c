/* SPDX-License-Identifier: ISC
 *
 * Shrinking, with lists of which is known why they fail.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/simulation/shrink.h>

#include "dice.h"

/* A list, what makes it fail, and how often it was tried. */
struct subject {
    struct loop_sim_shrink shrink;
    uint32_t choices[4096];
    uint8_t points[4096];
    unsigned n_tries, most_tries;
};

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static bool after_tries(void *arg)
{
    const struct subject *subject = arg;

    return subject->n_tries >= subject->most_tries;
}

static void shrink(struct subject *subject, bool (*fails)(void *, const uint32_t *, size_t))
{
    subject->shrink.fails = fails;
    subject->shrink.arg = subject;
    subject->shrink.choices = subject->choices;
    if (!subject->shrink.is_over) {
        subject->shrink.is_over = never;
    }
    CHECK(fails(subject, subject->choices, subject->shrink.n_choices));
    loop_sim_shrink(&subject->shrink);
    CHECK(fails(subject, subject->choices, subject->shrink.n_choices));
}

/* Fills the list with numbers below `sides`. */
static void fill(struct subject *subject, size_t n, unsigned sides)
{
    memset(subject, 0, sizeof *subject);
    subject->shrink.n_choices = n;
    for (size_t i = 0; i < n; i++) {
        subject->choices[i] = dice(sides);
    }
}

static bool always_fails(void *arg, const uint32_t *choices, size_t n)
{
    (void)arg;
    (void)choices;
    (void)n;
    return true;
}

TEST(shrinking_ends_with_the_empty_list_where_choices_do_not_matter)
{
    static struct subject subject;

    fill(&subject, 4000, 5);
    shrink(&subject, always_fails);
    CHECK_IS(subject.shrink.n_choices, 0);
}

static bool needs_two(void *arg, const uint32_t *choices, size_t n)
{
    (void)arg;
    return n > 1000 && choices[500] >= 3 && choices[1000] >= 40;
}

TEST(shrinking_finds_the_choices_that_matter_and_lowers_them)
{
    static struct subject subject;

    fill(&subject, 4000, 10);
    subject.choices[500] = 7;
    subject.choices[1000] = 93;
    shrink(&subject, needs_two);
    CHECK_IS(loop_sim_count_departures(subject.choices, subject.shrink.n_choices), 2);
    CHECK_IS(subject.shrink.n_choices, 1001);
    CHECK_IS(subject.choices[500], 3);
    CHECK_IS(subject.choices[1000], 40);
}

/* Fails with a 1 somewhere that is followed by a 2. */
static bool needs_a_sequence(void *arg, const uint32_t *choices, size_t n)
{
    size_t i = 0;

    (void)arg;
    while (i < n && choices[i] != 1) {
        i++;
    }
    while (i < n && choices[i] != 2) {
        i++;
    }
    return i < n;
}

TEST(shrinking_deletes_what_positions_do_not_need)
{
    static struct subject subject;

    fill(&subject, 3000, 4);
    shrink(&subject, needs_a_sequence);
    CHECK_IS(subject.shrink.n_choices, 2);
    CHECK_IS(subject.choices[0], 1);
    CHECK_IS(subject.choices[1], 2);
}

/* A run that draws three choices more, or less, where the one at 10 is 0; its last one has to be 5. */
static bool fails_behind(const uint32_t *choices, size_t n, size_t without, size_t with)
{
    size_t last = 11 + (n > 10 && choices[10] ? with : without);

    return n > last && choices[9] == 7 && choices[last] == 5;
}

static bool draws_more_without(void *arg, const uint32_t *choices, size_t n)
{
    (void)arg;
    return fails_behind(choices, n, 3, 0);
}

static bool draws_less_without(void *arg, const uint32_t *choices, size_t n)
{
    (void)arg;
    return fails_behind(choices, n, 0, 3);
}

TEST_ROWS(shrinking_moves_what_is_behind_a_choice_that_it_makes_0, 2, more)
{
    static struct subject subject;

    memset(&subject, 0, sizeof subject);
    subject.shrink.n_choices = 30;
    subject.choices[9] = 7;
    subject.choices[10] = 1;
    subject.choices[more ? 11 : 14] = 5;
    subject.choices[29] = 1;
    shrink(&subject, more ? draws_more_without : draws_less_without);
    CHECK_IS(loop_sim_count_departures(subject.choices, subject.shrink.n_choices), 2);
    CHECK_IS(subject.choices[10], 0);
    CHECK_IS(subject.choices[more ? 14 : 11], 5);
}

static bool counts_tries(void *arg, const uint32_t *choices, size_t n)
{
    struct subject *subject = arg;

    subject->n_tries++;
    return n > 3000 && choices[3000] == 1;
}

TEST(shrinking_drops_all_choices_of_a_point_at_once)
{
    static struct subject subject;

    fill(&subject, 4000, 2);
    subject.choices[3000] = 1;
    subject.points[3000] = LOOP_SIM_LOSS; /* the only one; all others are of point 0 */
    subject.shrink.points = subject.points;
    subject.shrink.is_over = after_tries;
    subject.most_tries = 4;
    shrink(&subject, counts_tries);
    CHECK_IS(loop_sim_count_departures(subject.choices, subject.shrink.n_choices), 1);
}

TEST(shrinking_ends_when_its_time_is_over)
{
    static struct subject subject;

    fill(&subject, 4000, 2);
    subject.choices[3000] = 1;
    subject.shrink.is_over = after_tries;
    subject.most_tries = 10;
    shrink(&subject, counts_tries);
    CHECK(subject.n_tries <= 13);
}
