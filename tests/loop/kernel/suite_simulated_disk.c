/* SPDX-License-Identifier: ISC
 *
 * Disks of the simulated kernel: what a crash keeps, full disks, failing and slow ones.
 */
#include "kernel.h"

#include <loop/kernel/simulated/disk/disk.h>
#include <loop/kernel/simulated/machine/choice.h>

#define MS INT64_C(1000000)

enum { RUNS = 300, MOST_OUTCOMES = 64 };

/* ---- runs ---- */

/* What is chosen in a run: what crashes keep by a sequence that looks random, and once one other thing. */
struct source {
    uint64_t state;
    enum loop_sim_point point;
    unsigned count; /* so many choices of that point are not 0 */
};

static unsigned choose(void *arg, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    struct source *source = arg;

    (void)ppm;
    if (source->count > 0 && point == source->point) {
        source->count--;
        return 1;
    }
    if (point != LOOP_SIM_CRASH_KEEPS) {
        return 0;
    }
    source->state = source->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(source->state >> 33) % n;
}

/* A world with one node. */
struct run {
    struct source source;
    struct loop_sim_world *world;
    struct loop_sim_node *node;
};

static void begin_run(struct run *run, uint64_t seed)
{
    *run = (struct run){.source.state = seed * 7919 + 1, .world = loop_sim_world_create()};
    loop_sim_choices_set(run->world, choose, &run->source);
    run->node = loop_sim_node_create(run->world, "node");
    CHECK_IS(loop_sim_disk_put(run->node, "/home/node/file", "old", 3), 0);
}

static void run_main(struct run *run, void *(*fn)(void *))
{
    loop_sim_node_start(run->node, fn, run);
    CHECK_IS(loop_sim_world_run(run->world), LOOP_SIM_STOP_ENDED);
}

/* Adds what a file has to a text: its bytes and a space, or "- " when there is none. */
static void add_content(const struct run *run, const char *name, char text[256])
{
    char path[64];
    void *data;
    size_t len;

    snprintf(path, sizeof path, "/home/node/%s", name);
    if (loop_sim_disk_get(run->node, path, &data, &len) < 0) {
        strcat(text, "- ");
        return;
    }
    CHECK(len < 64);
    snprintf(text + strlen(text), 256 - strlen(text), "%.*s ", (int)len, (const char *)data);
    loop_sim_free(data);
}

/* ---- outcomes ---- */

struct outcomes {
    char texts[MOST_OUTCOMES][256];
    size_t count;
};

static void add_outcome(struct outcomes *outcomes, const char *text)
{
    size_t at = 0;

    while (at < outcomes->count && strcmp(outcomes->texts[at], text) < 0) {
        at++;
    }
    if (at < outcomes->count && strcmp(outcomes->texts[at], text) == 0) {
        return;
    }
    CHECK(outcomes->count < MOST_OUTCOMES);
    memmove(outcomes->texts[at + 1], outcomes->texts[at], (outcomes->count - at) * sizeof *outcomes->texts);
    strcpy(outcomes->texts[at], text);
    outcomes->count++;
}

/* Runs `fn`, which crashes its node, many times. Returns what the files were then, of all runs, sorted and with "| "
 * between. `names` are separated by spaces. */
static const char *outcomes_of(void *(*fn)(void *), const char *names)
{
    static char all[4096];
    struct outcomes outcomes = {.count = 0};
    struct run run;

    for (uint64_t seed = 0; seed < RUNS; seed++) {
        char text[256] = "", list[128], *rest = list;
        begin_run(&run, seed);
        run_main(&run, fn);
        CHECK_IS(run.node->state, LOOP_SIM_NODE_CRASHED);
        snprintf(list, sizeof list, "%s", names);
        for (char *name = strtok_r(list, " ", &rest); name; name = strtok_r(NULL, " ", &rest)) {
            add_content(&run, name, text);
        }
        add_outcome(&outcomes, text);
        loop_sim_world_destroy(run.world);
    }
    all[0] = '\0';
    for (size_t i = 0; i < outcomes.count; i++) {
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? "| " : "", outcomes.texts[i]);
    }
    return all;
}

/* ---- what programs do ---- */

enum { SYNC = 1, SYNC_DATA = 2 };

static void write_file(const char *name, const char *text, int flags, int how)
{
    int number = loop_kernel_open(name, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0644);

    CHECK(number >= 0);
    CHECK_IS(loop_kernel_write(number, text, strlen(text)), strlen(text));
    if (how == SYNC) {
        CHECK_IS(loop_kernel_fsync(number), 0);
    } else if (how == SYNC_DATA) {
        CHECK_IS(loop_kernel_fdatasync(number), 0);
    }
    loop_kernel_close(number);
}

static void sync_directory(const char *name)
{
    int number = loop_kernel_open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

    CHECK(number >= 0);
    CHECK_IS(loop_kernel_fsync(number), 0);
    loop_kernel_close(number);
}

static void rename_file(const char *from, const char *to)
{
    CHECK_IS(loop_kernel_renameat(AT_FDCWD, from, AT_FDCWD, to), 0);
}

/* Loses power. Does not return. */
static void *crash(void)
{
    loop_sim_node_crash(loop_sim_here());
    return NULL;
}

/* ---- names and content ---- */

static void *overwrite(void *arg)
{
    (void)arg;
    write_file("file", "new", 0, 0);
    return crash();
}

TEST(disk_crash_loses_or_keeps_what_was_written)
{
    CHECK_TEXT(outcomes_of(overwrite, "file"), "new | old ");
}

static void *overwrite_and_sync(void *arg)
{
    (void)arg;
    write_file("file", "new", 0, SYNC_DATA);
    return crash();
}

TEST(disk_crash_keeps_what_was_synced)
{
    CHECK_TEXT(outcomes_of(overwrite_and_sync, "file"), "new ");
}

static void *overwrite_synchronously(void *arg)
{
    (void)arg;
    write_file("file", "newer", O_DSYNC, 0);
    return crash();
}

TEST(disk_crash_keeps_what_was_written_synchronously)
{
    CHECK_TEXT(outcomes_of(overwrite_synchronously, "file"), "newer ");
}

static void *replace_carelessly(void *arg)
{
    (void)arg;
    write_file("temporary", "new", 0, 0);
    rename_file("temporary", "file");
    return crash();
}

TEST(disk_rename_without_sync_may_lose_the_content)
{
    CHECK_TEXT(outcomes_of(replace_carelessly, "file"), " | new | old ");
}

static void *replace_without_directory(void *arg)
{
    (void)arg;
    write_file("temporary", "new", 0, SYNC);
    rename_file("temporary", "file");
    return crash();
}

TEST(disk_rename_after_sync_gives_old_or_new)
{
    CHECK_TEXT(outcomes_of(replace_without_directory, "file"), "new | old ");
    CHECK_TEXT(outcomes_of(replace_without_directory, "file temporary"), "new - | old - | old new ");
}

static void *replace_carefully(void *arg)
{
    (void)arg;
    write_file("temporary", "new", 0, SYNC);
    rename_file("temporary", "file");
    sync_directory(".");
    return crash();
}

TEST(disk_sync_rename_sync_gives_new)
{
    CHECK_TEXT(outcomes_of(replace_carefully, "file temporary"), "new - ");
}

static void *create_and_sync_file(void *arg)
{
    (void)arg;
    write_file("made", "made", 0, SYNC);
    return crash();
}

TEST(disk_sync_of_a_file_does_not_keep_its_name)
{
    CHECK_TEXT(outcomes_of(create_and_sync_file, "made"), "- | made ");
}

static void *create_in_order(void *arg)
{
    (void)arg;
    write_file("one", "1", 0, SYNC);
    write_file("two", "2", 0, SYNC);
    CHECK_IS(loop_kernel_unlink("one"), 0);
    return crash();
}

TEST(disk_names_of_a_directory_are_lost_from_the_last_one_on)
{
    CHECK_TEXT(outcomes_of(create_in_order, "one two"), "- - | - 2 | 1 - | 1 2 ");
}

static void *move_between_directories(void *arg)
{
    (void)arg;
    CHECK_IS(loop_kernel_mkdirat(AT_FDCWD, "dir", 0777), 0);
    sync_directory(".");
    write_file("made", "made", 0, SYNC);
    rename_file("made", "dir/made");
    return crash();
}

TEST(disk_rename_is_in_both_directories_or_in_none)
{
    CHECK_TEXT(outcomes_of(move_between_directories, "made dir/made"), "- - | - made | made - ");
}

static void *move_and_sync_target(void *arg)
{
    (void)arg;
    CHECK_IS(loop_kernel_mkdirat(AT_FDCWD, "dir", 0777), 0);
    write_file("made", "made", 0, SYNC);
    rename_file("made", "dir/made");
    sync_directory("dir");
    return crash();
}

TEST(disk_sync_of_one_directory_keeps_a_rename_in_both)
{
    CHECK_TEXT(outcomes_of(move_and_sync_target, "made dir/made"), "- made ");
}

static void *remove_file(void *arg)
{
    (void)arg;
    CHECK_IS(loop_kernel_unlink("file"), 0);
    return crash();
}

TEST(disk_removed_name_may_come_back)
{
    CHECK_TEXT(outcomes_of(remove_file, "file"), "- | old ");
}

static void *truncate_file(void *arg)
{
    (void)arg;
    write_file("file", "abcdef", O_TRUNC, 0);
    return crash();
}

TEST(disk_truncate_and_write_are_lost_one_by_one)
{
    CHECK_TEXT(outcomes_of(truncate_file, "file"), " | abcdef | old ");
}

/* ---- torn writes ---- */

enum { SECTORS = 8, SECTOR = 512 };

static void *write_sectors(void *arg)
{
    char bytes[SECTORS * SECTOR];

    (void)arg;
    memset(bytes, 'a', sizeof bytes);
    int number = loop_kernel_open("sectors", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    CHECK_IS(loop_kernel_write(number, bytes, sizeof bytes), sizeof bytes);
    CHECK_IS(loop_kernel_fsync(number), 0);
    sync_directory(".");
    memset(bytes, 'b', sizeof bytes);
    CHECK_IS(loop_kernel_pwrite(number, bytes, sizeof bytes, 0), sizeof bytes);
    return crash();
}

TEST(disk_crash_tears_a_write_between_sectors)
{
    unsigned torn = 0;

    for (uint64_t seed = 0; seed < RUNS; seed++) {
        struct run run;
        void *data;
        size_t len;
        begin_run(&run, seed);
        run_main(&run, write_sectors);
        CHECK_IS(loop_sim_disk_get(run.node, "/home/node/sectors", &data, &len), 0);
        CHECK_IS(len, SECTORS * SECTOR);
        const char *bytes = data;
        for (size_t i = 0; i < len; i++) {
            CHECK(bytes[i] == bytes[i / SECTOR * SECTOR]);
        }
        torn += bytes[0] != bytes[len - 1];
        loop_sim_free(data);
        loop_sim_world_destroy(run.world);
    }
    CHECK(torn > RUNS / 10);
}

/* ---- attributes ---- */

static void *find_mode(void *arg)
{
    struct stat status;

    CHECK_IS(loop_kernel_lstat("file", &status), 0);
    ((struct run *)arg)->source.state = status.st_mode & 0777;
    return NULL;
}

static void *change_mode(void *arg)
{
    (void)arg;
    CHECK_IS(loop_kernel_chmod("file", 0600), 0);
    return crash();
}

static void *change_mode_and_sync_data(void *arg)
{
    (void)arg;
    CHECK_IS(loop_kernel_chmod("file", 0600), 0);
    write_file("file", "new", 0, SYNC_DATA);
    return crash();
}

static void *change_mode_and_sync(void *arg)
{
    (void)arg;
    CHECK_IS(loop_kernel_chmod("file", 0600), 0);
    write_file("file", "new", 0, SYNC);
    return crash();
}

/* Returns in how many of the runs the mode has survived. */
static unsigned count_kept_modes(void *(*fn)(void *))
{
    unsigned kept = 0;

    for (uint64_t seed = 0; seed < RUNS; seed++) {
        struct run run;
        begin_run(&run, seed);
        run_main(&run, fn);
        run_main(&run, find_mode);
        CHECK(run.source.state == 0600 || run.source.state == 0644);
        kept += run.source.state == 0600;
        loop_sim_world_destroy(run.world);
    }
    return kept;
}

TEST(disk_mode_is_kept_by_fsync_alone)
{
    unsigned kept = count_kept_modes(change_mode);
    CHECK(kept > 0 && kept < RUNS);
    kept = count_kept_modes(change_mode_and_sync_data);
    CHECK(kept > 0 && kept < RUNS);
    CHECK_IS(count_kept_modes(change_mode_and_sync), RUNS);
}

/* ---- errors ---- */

static void *sync_twice(void *arg)
{
    struct run *run = arg;

    int number = loop_kernel_open("file", O_RDWR | O_CLOEXEC, 0);
    CHECK_IS(loop_kernel_write(number, "new", 3), 3);
    run->source.point = LOOP_SIM_DISK_ERROR;
    run->source.count = 1;
    CHECK_FAILS(loop_kernel_fsync(number), EIO);
    CHECK_IS(loop_kernel_fsync(number), 0);
    return crash();
}

TEST(disk_sync_that_has_failed_does_not_help_later)
{
    CHECK_TEXT(outcomes_of(sync_twice, "file"), "old ");
}

static void *fail_once(void *arg)
{
    struct run *run = arg;
    char bytes[4];

    int number = loop_kernel_open("file", O_RDWR | O_CLOEXEC, 0);
    run->source.point = LOOP_SIM_DISK_ERROR;
    run->source.count = 1;
    CHECK_FAILS(loop_kernel_read(number, bytes, 3), EIO);
    CHECK_IS(loop_kernel_read(number, bytes, 3), 3);
    run->source.point = LOOP_SIM_DISK_FULL;
    run->source.count = 1;
    CHECK_FAILS(loop_kernel_pwrite(number, "x", 1, 100000), ENOSPC);
    CHECK_IS(loop_kernel_pwrite(number, "x", 1, 100000), 1);
    run->source.count = 1;
    CHECK_FAILS(loop_kernel_mkdirat(AT_FDCWD, "dir", 0777), ENOSPC);
    run->source.count = 1;
    CHECK_FAILS(loop_kernel_open("new", O_RDWR | O_CREAT, 0666), ENOSPC);
    loop_kernel_close(number);
    return NULL;
}

TEST(disk_fails_by_choice)
{
    struct run run;

    begin_run(&run, 0);
    run_main(&run, fail_once);
    loop_sim_world_destroy(run.world);
}

static void *fill_disk(void *arg)
{
    static char bytes[16384];
    struct statfs status;

    (void)arg;
    CHECK_IS(loop_kernel_statfs(".", &status), 0);
    CHECK_IS(status.f_blocks, 4);
    CHECK_IS(status.f_bfree, 3);
    int number = loop_kernel_open("big", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    CHECK_IS(loop_kernel_write(number, bytes, sizeof bytes), 12288);
    CHECK_FAILS(loop_kernel_write(number, bytes, 1), ENOSPC);
    CHECK_IS(loop_kernel_pwrite(number, bytes, 100, 0), 100);
    CHECK_FAILS(loop_kernel_fallocate(number, 0, 0, 20000), ENOSPC);
    CHECK_IS(loop_kernel_unlink("big"), 0);
    CHECK_IS(loop_kernel_fstatfs(number, &status), 0);
    CHECK_IS(status.f_bfree, 0);
    loop_kernel_close(number);
    CHECK_IS(loop_kernel_statfs(".", &status), 0);
    CHECK_IS(status.f_bfree, 3);
    return NULL;
}

TEST(disk_is_full_and_an_open_file_keeps_its_room)
{
    struct run run;

    begin_run(&run, 0);
    loop_sim_disk_set(run.node, &(struct loop_sim_disk_options){.size_bytes = 16384});
    run_main(&run, fill_disk);
    loop_sim_world_destroy(run.world);
}

/* ---- starts ---- */

static void *leave_open(void *arg)
{
    (void)arg;
    int number = loop_kernel_open("gone", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    CHECK_IS(loop_kernel_write(number, "bytes", 5), 5);
    CHECK_IS(loop_kernel_unlink("gone"), 0);
    CHECK_IS(loop_kernel_flock(number, LOCK_EX), 0);
    CHECK_IS(loop_kernel_inotify_add_watch(loop_kernel_inotify_init1(0), ".", IN_ALL_EVENTS), 1);
    return crash();
}

static void *look_after_crash(void *arg)
{
    struct statfs status;
    char path[64];

    (void)arg;
    CHECK(loop_kernel_getcwd(path, sizeof path) == path);
    CHECK_TEXT(path, "/home/node");
    CHECK_IS(loop_kernel_statfs(".", &status), 0);
    CHECK_IS(status.f_blocks - status.f_bfree, 1);
    write_file("file", "later", 0, 0);
    return NULL;
}

TEST(disk_goes_on_after_a_crash)
{
    struct run run;

    for (uint64_t seed = 0; seed < 20; seed++) {
        char text[256] = "";
        begin_run(&run, 0);
        run_main(&run, leave_open);
        run_main(&run, look_after_crash);
        CHECK_IS(run.node->state, LOOP_SIM_NODE_ENDED);
        add_content(&run, "file", text);
        CHECK_TEXT(text, "later ");
        loop_sim_world_destroy(run.world);
    }
}

static void *write_and_end(void *arg)
{
    (void)arg;
    write_file("made", "made", 0, 0);
    return NULL;
}

TEST(disk_keeps_what_was_written_when_a_node_ends)
{
    struct run run;
    char text[256] = "";

    begin_run(&run, 0);
    run_main(&run, write_and_end);
    add_content(&run, "made", text);
    CHECK_TEXT(text, "made ");
    run_main(&run, remove_file);
    loop_sim_world_destroy(run.world);
}

/* ---- time ---- */

static void *take_time(void *arg)
{
    const struct run *run = arg;

    int number = loop_kernel_open("file", O_RDWR | O_CLOEXEC, 0);
    CHECK_IS(run->world->now_ns, 1 * MS);
    CHECK_IS(loop_kernel_fsync(number), 0);
    CHECK_IS(run->world->now_ns, 2 * MS);
    loop_kernel_close(number);
    CHECK_IS(run->world->now_ns, 2 * MS);
    return NULL;
}

TEST(disk_takes_its_time)
{
    struct run run;

    begin_run(&run, 0);
    loop_sim_disk_set(run.node, &(struct loop_sim_disk_options){.latency_ns = 1 * MS});
    run_main(&run, take_time);
    loop_sim_world_destroy(run.world);
}

/* ---- sockets ---- */

TEST(disk_has_names_of_sockets)
{
    struct run run;
    uint64_t made = 0, found = 1;

    begin_run(&run, 0);
    run_main(&run, write_and_end);
    CHECK_IS(loop_sim_disk_make_socket(run.node, "/tmp/socket", 0777, &made), 0);
    CHECK_IS(loop_sim_disk_make_socket(run.node, "/tmp/socket", 0777, &found), -EADDRINUSE);
    CHECK_IS(loop_sim_disk_make_socket(run.node, "/none/socket", 0777, &found), -ENOENT);
    CHECK_IS(loop_sim_disk_find_socket(run.node, "/tmp/socket", &found), 0);
    CHECK_IS(found, made);
    CHECK_IS(loop_sim_disk_find_socket(run.node, "made", &found), -ECONNREFUSED);
    CHECK_IS(loop_sim_disk_find_socket(run.node, "/tmp/none", &found), -ENOENT);
    CHECK_IS(loop_sim_disk_unlink(run.node, AT_FDCWD, "/tmp/socket", 0), 0);
    loop_sim_world_destroy(run.world);
}
