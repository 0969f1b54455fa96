/* SPDX-License-Identifier: ISC
 *
 * Fetches one download after another.
 */
#ifndef DEMOS_FETCH_TASK_H
#define DEMOS_FETCH_TASK_H

#include "fetcher.h"

/* Begins a task, which fetches the next download that no other task has begun, until there is none left. Failures are
 * reported, and counted in `n_failed`. Returns false without memory. */
bool task_begin(struct fetcher *fetcher);

#endif
