/* SPDX-License-Identifier: ISC
 *
 * Lists of choices as text.
 */
#include <loop/simulation.h>

#include "harness.h"

static void check_format(const char *expected, const uint32_t *choices, size_t n_choices)
{
    char *text = loop_simulation_choices_format(choices, n_choices);

    CHECK_TEXT(text, expected);
    free(text);
}

TEST(choices_are_formatted_with_zeros_in_a_row_together)
{
    static const uint32_t choices[] = {12, 0, 0, 3, 0, 0, 0, 1, UINT32_MAX, 0, 0, 0, 0};

    check_format("", NULL, 0);
    check_format("12", choices, 1);
    check_format("12 0 0 3 3x0 1 4294967295 4x0", choices, 13);
}

TEST(choices_are_parsed)
{
    static const uint32_t expected[] = {12, 0, 0, 0, 1, 7, 7, UINT32_MAX};
    size_t n = 99;
    uint32_t *choices = loop_simulation_choices_parse("  12 3x0\n1 2x7 0x5 4294967295 ", &n);

    CHECK(choices != NULL);
    CHECK_IS(n, 8);
    CHECK(!memcmp(choices, expected, sizeof expected));
    free(choices);
    choices = loop_simulation_choices_parse("", &n);
    CHECK(choices != NULL);
    CHECK_IS(n, 0);
    free(choices);
}

TEST(text_that_is_no_list_of_choices_is_refused)
{
    static const char *const texts[] = {"x", "1x", "x1", "1 -2", "1,2", "4294967296", "1x2x3", "1 2a", "99999999x0"};
    size_t n;

    CHECK(loop_simulation_choices_parse(NULL, &n) == NULL);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK(loop_simulation_choices_parse(texts[i], &n) == NULL);
    }
}
