/* SPDX-License-Identifier: ISC
 *
 * Shrinks a list of choices. A departure is a choice other than 0: there the run departs from the ordinary one. To make
 * it 0 leaves the positions of all others as they are, so that is tried before anything is deleted.
 */
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/machine.h>
#include <loop/simulation/shrink.h>

#include <string.h>

#define MOST_SHIFT 24   /* by how many places what follows a departure is moved */
#define MOST_ZEROS 2000 /* in front of a departure, where each place for it is tried */

size_t loop_sim_count_departures(const uint32_t *choices, size_t n_choices)
{
    size_t count = 0;
    for (size_t i = 0; i < n_choices; i++) {
        count += choices[i] != 0;
    }
    return count;
}

static bool is_over(const struct loop_sim_shrink *shrink)
{
    return shrink->is_over(shrink->arg);
}

/* Tries the candidate, of n choices. It becomes the best list when it fails. */
static bool try_candidate(struct loop_sim_shrink *shrink, size_t n)
{
    while (n > 0 && shrink->candidate[n - 1] == 0) {
        n--;
    }
    if (!shrink->fails(shrink->arg, shrink->candidate, n)) {
        return false;
    }
    memcpy(shrink->choices, shrink->candidate, n * sizeof *shrink->choices);
    shrink->n_choices = n;
    return true;
}

static void begin_candidate(struct loop_sim_shrink *shrink)
{
    memcpy(shrink->candidate, shrink->choices, shrink->n_choices * sizeof *shrink->choices);
}

/* ---- zeros ---- */

/* Tries to make all choices of one point 0. */
static void zero_points(struct loop_sim_shrink *shrink)
{
    for (unsigned point = 0; point < LOOP_SIM_POINTS && shrink->points && !is_over(shrink); point++) {
        bool is_different = false;
        begin_candidate(shrink);
        for (size_t i = 0; i < shrink->n_choices; i++) {
            if (shrink->points[i] == point && shrink->candidate[i] != 0) {
                shrink->candidate[i] = 0;
                is_different = true;
            }
        }
        if (is_different) {
            (void)try_candidate(shrink, shrink->n_choices);
        }
    }
}

/* Tries to make `count` departures 0, the last of which is the `end`-th one, from 1. */
static bool zero_span(struct loop_sim_shrink *shrink, size_t end, size_t count)
{
    size_t departure = 0;
    begin_candidate(shrink);
    for (size_t i = 0; i < shrink->n_choices && departure < end; i++) {
        departure += shrink->candidate[i] != 0;
        if (shrink->candidate[i] != 0 && departure + count > end) {
            shrink->candidate[i] = 0;
        }
    }
    return try_candidate(shrink, shrink->n_choices);
}

/* Makes spans of departures 0: of half of them, a quarter, ... single ones; the last first. Returns whether one was. */
static bool zero_spans(struct loop_sim_shrink *shrink)
{
    bool has_changed = false;
    size_t n = loop_sim_count_departures(shrink->choices, shrink->n_choices);
    for (size_t count = n; count > 0; count /= 2) {
        size_t end = loop_sim_count_departures(shrink->choices, shrink->n_choices);
        while (end > 0 && !is_over(shrink)) {
            size_t span = count < end ? count : end;
            has_changed |= zero_span(shrink, end, span);
            end -= span;
        }
    }
    return has_changed;
}

/* ---- values ---- */

static bool lower(struct loop_sim_shrink *shrink, size_t place, uint32_t value)
{
    if (value == 0 || value >= shrink->choices[place]) {
        return false;
    }
    begin_candidate(shrink);
    shrink->candidate[place] = value;
    return try_candidate(shrink, shrink->n_choices);
}

/* Lowers each departure: to 1, otherwise by halves and at last by one. Returns whether one was lowered. */
static bool lower_values(struct loop_sim_shrink *shrink)
{
    bool has_changed = false;
    for (size_t i = 0; i < shrink->n_choices; i++) {
        if (shrink->choices[i] > 1 && !is_over(shrink)) {
            bool was_lowered = lower(shrink, i, 1);
            while (!was_lowered && !is_over(shrink) && lower(shrink, i, shrink->choices[i] / 2)) {
                has_changed = true;
            }
            has_changed |= was_lowered || lower(shrink, i, shrink->choices[i] - 1);
        }
    }
    return has_changed;
}

/* ---- deleting ---- */

static bool delete_span(struct loop_sim_shrink *shrink, size_t first, size_t count)
{
    size_t behind = shrink->n_choices - first - count;
    begin_candidate(shrink);
    memmove(shrink->candidate + first, shrink->choices + first + count, behind * sizeof *shrink->choices);
    return try_candidate(shrink, shrink->n_choices - count);
}

/* Deletes spans of the list: halves, quarters, ...; from the end. Short ones are tried only in short lists. */
static bool delete_spans(struct loop_sim_shrink *shrink)
{
    bool has_changed = false;
    size_t least = shrink->n_choices / 256 + 1;
    for (size_t count = (shrink->n_choices + 1) / 2; count >= least; count /= 2) {
        size_t end = shrink->n_choices;
        while (end >= count && !is_over(shrink)) {
            bool was_deleted = delete_span(shrink, end - count, count);
            has_changed |= was_deleted;
            end -= count;
            end = end < shrink->n_choices ? end : shrink->n_choices;
        }
    }
    return has_changed;
}

/* Deletes zeros in front of a departure, so that it comes as early as it can. Returns how many. */
static size_t move_departure(struct loop_sim_shrink *shrink, size_t place)
{
    size_t first = place;
    while (first > 0 && shrink->choices[first - 1] == 0) {
        first--;
    }
    for (size_t count = place - first; count > 0 && place - first <= MOST_ZEROS && !is_over(shrink); count--) {
        if (delete_span(shrink, first, count)) {
            return count;
        }
    }
    return 0;
}

/* Moves each departure to the front, with all that follows. Returns whether one was moved. */
static bool move_departures(struct loop_sim_shrink *shrink)
{
    bool has_changed = false;
    for (size_t i = 0; i < shrink->n_choices && !is_over(shrink); i++) {
        size_t n_deleted = shrink->choices[i] != 0 ? move_departure(shrink, i) : 0;
        has_changed |= n_deleted > 0;
        i -= n_deleted;
    }
    return has_changed;
}

/* ---- what a departure moves ---- */

/* Makes a departure 0, and deletes so many choices behind it. */
static bool zero_and_delete(struct loop_sim_shrink *shrink, size_t place, size_t count)
{
    size_t behind = place + 1 + count;
    if (behind >= shrink->n_choices) {
        return false;
    }
    begin_candidate(shrink);
    shrink->candidate[place] = 0;
    memmove(shrink->candidate + place + 1, shrink->choices + behind,
            (shrink->n_choices - behind) * sizeof *shrink->choices);
    return try_candidate(shrink, shrink->n_choices - count);
}

/* Makes a departure 0, and puts so many zeros behind it. `most` is the length that a list may have. */
static bool zero_and_insert(struct loop_sim_shrink *shrink, size_t place, size_t count, size_t most)
{
    size_t behind = place + 1;
    if (shrink->n_choices + count > most) {
        return false;
    }
    begin_candidate(shrink);
    memset(shrink->candidate + place, 0, (count + 1) * sizeof *shrink->candidate);
    memcpy(shrink->candidate + behind + count, shrink->choices + behind,
           (shrink->n_choices - behind) * sizeof *shrink->choices);
    return try_candidate(shrink, shrink->n_choices + count);
}

/* Makes each departure 0 and moves what follows: the run may have drawn other choices because of it, some more or some
 * less. Returns whether one became 0. */
static bool realign_departures(struct loop_sim_shrink *shrink, size_t most)
{
    bool has_changed = false;
    for (size_t i = shrink->n_choices; i-- > 0 && !is_over(shrink);) {
        bool is_zero = i >= shrink->n_choices || shrink->choices[i] == 0;
        for (size_t shift = 1; shift <= MOST_SHIFT && !is_zero && !is_over(shrink); shift++) {
            is_zero = zero_and_delete(shrink, i, shift) || zero_and_insert(shrink, i, shift, most);
            has_changed |= is_zero;
        }
    }
    return has_changed;
}

/* Moving what follows a departure takes many runs, so it comes when nothing else helps. */
void loop_sim_shrink(struct loop_sim_shrink *shrink)
{
    size_t most = shrink->n_choices;
    shrink->candidate = loop_sim_alloc((most + 1) * sizeof *shrink->candidate);
    zero_points(shrink);
    bool has_changed = true;
    while (has_changed && !is_over(shrink)) {
        has_changed = zero_spans(shrink);
        has_changed |= lower_values(shrink);
        has_changed |= delete_spans(shrink);
        has_changed |= move_departures(shrink);
        has_changed = has_changed || realign_departures(shrink, most);
    }
    loop_sim_free(shrink->candidate);
    shrink->candidate = NULL;
}
