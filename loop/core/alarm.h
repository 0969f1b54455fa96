/* SPDX-License-Identifier: ISC
 *
 * Alarms: functions that the loop calls at a point in time. An alarm is embedded in what it belongs to, so setting one
 * cannot fail. It is no job: nothing waits for it, and it keeps nothing open.
 */
#ifndef LOOP_CORE_ALARM_H
#define LOOP_CORE_ALARM_H

#include <loop/core/loop.h>
#include <loop/ground/wheel.h>

struct loop_alarm;

/* Called on the loop's thread, from the dispatch. It resumes nothing. */
typedef void loop_alarm_fn(struct loop *loop, struct loop_alarm *alarm);

struct loop_alarm {
    struct loop_wheel_node node;
    loop_alarm_fn *due; /* NULL: it is not set */
};

/* Stops an alarm. One that is not set stays as it is. */
static inline void loop_alarm_clear(struct loop *loop, struct loop_alarm *alarm)
{
    if (alarm->due) {
        loop_wheel_remove(&loop->timers, &alarm->node);
        alarm->due = NULL;
    }
}

/* Has the loop call `due` once CLOCK_MONOTONIC has reached `at_ns`, in place of what the alarm was set to. The alarm is
 * not set any more when `due` is called, which may set it again. */
static inline void loop_alarm_set(struct loop *loop, struct loop_alarm *alarm, int64_t at_ns, loop_alarm_fn *due)
{
    loop_alarm_clear(loop, alarm);
    alarm->due = due;
    loop_wheel_add(&loop->timers, &alarm->node, at_ns, LOOP_WHEEL_ALARM);
}

static inline bool loop_alarm_is_set(const struct loop_alarm *alarm)
{
    return alarm->due != NULL;
}

#endif
