/* SPDX-License-Identifier: ISC
 *
 * The text of the bar, and the timer that draws it. A stopped terminal (^S) blocks nothing else: at most one write of
 * the bar is in flight.
 */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TICK (100 * LOOP_MILLISECOND)
#define DEFAULT_COLUMNS 80
#define FIGURES_BYTES 128
#define MOST_COLUMNS 512

struct progress {
    struct loop_env *env;
    struct loop_scope *scope;
    uint64_t expected, done;
    int64_t began_ns;
    bool has_begun, has_ended, is_drawn;
    bool is_writing, is_last_due; /* the job owns `text`; the last drawing is still due */
    char text[MOST_COLUMNS + FIGURES_BYTES];
};

/* ---- the text ---- */

static const char *with_unit(char *buffer, size_t size, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;

    while (bytes >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        bytes /= 1024;
        unit++;
    }
    snprintf(buffer, size, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return buffer;
}

static void append_left(const struct progress *progress, double rate, char *figures, size_t size)
{
    size_t len = strlen(figures);

    if (rate > 0 && progress->done < progress->expected) {
        unsigned long seconds = (unsigned long)((double)(progress->expected - progress->done) / rate);
        snprintf(figures + len, size - len, "  %lu:%02lu left", seconds / 60, seconds % 60);
    }
}

/* Writes the figures that follow the bar. */
static void write_figures(const struct progress *progress, unsigned percent, char *figures, size_t size)
{
    double seconds = (double)(loop_now(progress->env->loop) - progress->began_ns) / (double)LOOP_SECOND;
    double rate = seconds > 0 ? (double)progress->done / seconds : 0;
    char done[32], expected[32], each_second[32];

    if (!progress->has_begun) {
        snprintf(figures, size, "looking: %s so far", with_unit(expected, sizeof expected, (double)progress->expected));
        return;
    }
    snprintf(figures, size, "%3u%%  %s of %s  %s/s", percent, with_unit(done, sizeof done, (double)progress->done),
             with_unit(expected, sizeof expected, (double)progress->expected),
             with_unit(each_second, sizeof each_second, rate));
    append_left(progress, rate, figures, size);
}

static size_t columns_of_terminal(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0) {
        return DEFAULT_COLUMNS;
    }
    return size.ws_col < MOST_COLUMNS ? size.ws_col : MOST_COLUMNS;
}

/* Fills the rest of the line except the last column, where some terminals wrap. */
static void write_bar(char *bar, size_t columns, unsigned percent)
{
    size_t inside = columns - 2, full = inside * percent / 100;

    bar[0] = '[';
    memset(bar + 1, ' ', inside);
    memset(bar + 1, '=', full);
    if (full > 0 && full < inside) {
        bar[full] = '>';
    }
    bar[columns - 1] = ']';
    bar[columns] = '\0';
}

static unsigned percent_of(const struct progress *progress)
{
    if (progress->done >= progress->expected) {
        return progress->has_begun ? 100 : 0;
    }
    return (unsigned)((double)progress->done * 100 / (double)progress->expected);
}

static int write_line(struct progress *progress)
{
    char figures[FIGURES_BYTES], bar[MOST_COLUMNS + 1] = "";
    unsigned percent = percent_of(progress);
    size_t columns = columns_of_terminal();

    write_figures(progress, percent, figures, sizeof figures);
    size_t needed = strlen(figures) + 2;
    if (progress->has_begun && columns > needed + 8) {
        write_bar(bar, columns - needed, percent);
    }
    return snprintf(progress->text, sizeof progress->text, "\r%s%s%s\033[K%s", bar, *bar ? " " : "", figures,
                    progress->has_ended ? "\n" : "");
}

/* ---- drawing ---- */

static void draw(struct progress *progress);

static void on_written(void *arg, int64_t result)
{
    struct progress *progress = arg;

    (void)result; /* the program goes on without the bar */
    progress->is_writing = false;
    if (progress->is_last_due) {
        progress->is_last_due = false;
        draw(progress);
    }
}

static void draw(struct progress *progress)
{
    if (!progress->is_writing) {
        size_t len = (size_t)write_line(progress);
        progress->is_drawn = true;
        progress->is_writing = loop_write(progress->env->err, progress->text, len, on_written, progress) != 0;
    }
}

static void tick(struct progress *progress);

static void on_tick(void *arg, int64_t result)
{
    struct progress *progress = arg;

    if (result == 0 && !progress->has_ended) {
        draw(progress);
        tick(progress);
    }
}

static void tick(struct progress *progress)
{
    (void)loop_daemon(progress->env->loop, loop_sleep(progress->scope, TICK, on_tick, progress));
}

/* ---- the interface ---- */

struct progress *progress_start(struct loop_env *env, struct loop_scope *scope)
{
    struct progress *progress = isatty(STDERR_FILENO) ? loop_scope_alloc(env->scope, sizeof *progress) : NULL;

    if (progress) {
        progress->env = env;
        progress->scope = scope;
        tick(progress);
    }
    return progress;
}

void progress_expect(struct progress *progress, uint64_t bytes)
{
    if (progress) {
        progress->expected += bytes;
    }
}

void progress_add(struct progress *progress, uint64_t bytes)
{
    if (progress) {
        progress->done += bytes;
    }
}

void progress_begin(struct progress *progress)
{
    if (progress && !progress->has_begun) {
        progress->has_begun = true;
        progress->began_ns = loop_now(progress->env->loop);
    }
}

void progress_clear(struct progress *progress)
{
    if (progress && progress->is_drawn) {
        progress->is_drawn = false;
        fputs("\r\033[K", stderr);
    }
}

void progress_end(struct progress *progress)
{
    if (progress && !progress->has_ended) {
        progress->has_ended = true;
        progress->is_last_due = progress->is_writing;
        draw(progress);
    }
}
