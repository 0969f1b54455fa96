/* SPDX-License-Identifier: ISC
 *
 * Open files, and the descriptors of a node.
 */
#include <loop/kernel/simulated/object/object.h>

#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/simulated/machine/choice.h>

#include <assert.h>

enum { FIRST_SIZE = 16, FILES = 1024, MOST_FILES = 4096 };

/* ---- files ---- */

void loop_sim_file_init(struct loop_sim_file *file, const struct loop_sim_file_kind *kind, struct loop_sim_node *node,
                        int flags)
{
    *file = (struct loop_sim_file){.kind = kind, .node = node, .uses = 1, .flags = flags};
    loop_sim_queue_init(&file->queue);
    loop_sim_queue_init(&file->closed);
}

struct loop_sim_file *loop_sim_file_ref(struct loop_sim_file *file)
{
    assert(file->uses > 0);
    file->uses++;
    return file;
}

void loop_sim_file_unref(struct loop_sim_file *file)
{
    if (!file) {
        return;
    }
    assert(file->uses > 0);
    if (file->uses > 1) {
        file->uses--;
        return;
    }
    loop_sim_event_cancel(&file->again);
    loop_sim_queue_wake(&file->closed, 0);
    file->uses = 0;
    assert(loop_list_is_empty(&file->closed.waiters) && loop_list_is_empty(&file->queue.waiters));
    file->kind->release(file);
}

/* Those who are woken may drop the last use. */
void loop_sim_file_changed(struct loop_sim_file *file, uint32_t events)
{
    if (loop_list_is_empty(&file->queue.waiters)) {
        return;
    }
    (void)loop_sim_file_ref(file);
    loop_sim_queue_wake(&file->queue, events);
    loop_sim_file_unref(file);
}

struct loop_sim_hold *loop_sim_hold_create(size_t count)
{
    struct loop_sim_hold *hold = loop_sim_alloc(sizeof *hold + count * 2 * sizeof(void *));
    hold->files = (struct loop_sim_file **)(hold + 1);
    hold->queues = (struct loop_sim_queue **)(hold->files + count);
    hold->count = count;
    loop_list_push_back(&loop_sim_files_of(loop_sim_here())->held, &hold->link);
    return hold;
}

struct loop_sim_hold *loop_sim_file_hold(struct loop_sim_file *file)
{
    struct loop_sim_hold *hold = loop_sim_hold_create(1);
    hold->files[0] = loop_sim_file_ref(file);
    return hold;
}

void loop_sim_file_let_go(struct loop_sim_hold *hold)
{
    loop_list_remove(&hold->link);
    for (size_t i = 0; i < hold->count; i++) {
        loop_sim_file_unref(hold->files[i]);
    }
    loop_sim_free(hold);
}

int loop_sim_file_anonymous_status(struct stat *status, mode_t mode, ino_t inode)
{
    *status = (struct stat){.st_dev = 16, .st_ino = inode, .st_nlink = 1, .st_mode = mode, .st_blksize = 4096};
    return 0;
}

ino_t loop_sim_file_next_inode(struct loop_sim_node *node)
{
    return LOOP_SIM_ANONYMOUS_INODE + ++loop_sim_files_of(node)->inodes;
}

int64_t loop_sim_file_seek_nowhere(struct loop_sim_file *file, int64_t offset, int whence)
{
    (void)file;
    (void)offset;
    return whence >= SEEK_SET && whence <= SEEK_HOLE ? 0 : -EINVAL;
}

/* ---- the table ---- */

/* Sets the limits of a new process. */
static void init_limits(struct rlimit limits[RLIM_NLIMITS])
{
    for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
        limits[resource] = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
    }
    limits[RLIMIT_NOFILE] = (struct rlimit){FILES, MOST_FILES};
}

struct loop_sim_files *loop_sim_files_of(struct loop_sim_node *node)
{
    if (!node->files) {
        node->files = loop_sim_alloc(sizeof *node->files);
        init_limits(node->files->limits);
        loop_list_init(&node->files->held);
    }
    return node->files;
}

/* Returns the lowest free number from `least` on, or -EMFILE. */
static int find_free(const struct loop_sim_files *files, int least)
{
    unsigned number = (unsigned)least > files->lowest_free ? (unsigned)least : files->lowest_free;
    while (number < files->size && files->table[number].file) {
        number++;
    }
    return number < files->limits[RLIMIT_NOFILE].rlim_cur ? (int)number : -EMFILE;
}

int loop_sim_file_reserve(struct loop_sim_node *node, int least)
{
    if (loop_sim_happens(LOOP_SIM_NO_FILES)) {
        return loop_sim_choose(LOOP_SIM_NO_FILES, 2) ? -ENFILE : -EMFILE;
    }
    return find_free(loop_sim_files_of(node), least);
}

/* Makes room for a number. */
static void grow(struct loop_sim_files *files, unsigned number)
{
    unsigned size = files->size ? files->size : FIRST_SIZE;
    while (size <= number) {
        size *= 2;
    }
    if (size > files->size) {
        files->table = loop_sim_realloc(files->table, size * sizeof *files->table);
        for (unsigned i = files->size; i < size; i++) {
            files->table[i] = (struct loop_sim_descriptor){0};
        }
        files->size = size;
    }
}

void loop_sim_file_put(struct loop_sim_node *node, int number, struct loop_sim_file *file, int flags)
{
    struct loop_sim_files *files = loop_sim_files_of(node);
    grow(files, (unsigned)number);
    assert(!files->table[number].file);
    files->table[number] = (struct loop_sim_descriptor){.file = file, .is_cloexec = (flags & O_CLOEXEC) != 0};
    files->count++;
    if ((unsigned)number == files->lowest_free) {
        files->lowest_free++;
    }
}

int loop_sim_file_install(struct loop_sim_node *node, struct loop_sim_file *file, int least, int flags)
{
    int number = loop_sim_file_reserve(node, least);
    if (number < 0) {
        loop_sim_file_unref(file);
        return number;
    }
    loop_sim_file_put(node, number, file, flags);
    return number;
}

struct loop_sim_file *loop_sim_file_at(const struct loop_sim_node *node, int number)
{
    const struct loop_sim_files *files = node->files;
    return files && number >= 0 && (unsigned)number < files->size ? files->table[number].file : NULL;
}

struct loop_sim_file *loop_sim_file_of(int number)
{
    return loop_sim_file_at(loop_sim_here(), number);
}

struct loop_sim_file *loop_sim_file_open_at(int number)
{
    struct loop_sim_file *file = loop_sim_file_of(number);
    return file && !(file->flags & O_PATH) ? file : NULL;
}

int loop_sim_file_close(struct loop_sim_node *node, int number)
{
    struct loop_sim_file *file = loop_sim_file_at(node, number);
    if (!file) {
        return -EBADF;
    }
    struct loop_sim_files *files = node->files;
    files->table[number] = (struct loop_sim_descriptor){0};
    files->count--;
    if ((unsigned)number < files->lowest_free) {
        files->lowest_free = (unsigned)number;
    }
    loop_sim_file_unref(file);
    return 0;
}

/* It never fails with ENFILE, as it needs no file. */
int loop_sim_file_duplicate(int number, int least, int flags)
{
    struct loop_sim_node *node = loop_sim_here();
    struct loop_sim_file *file = loop_sim_file_at(node, number);
    if (!file) {
        return -EBADF;
    }
    struct loop_sim_files *files = node->files;
    if (least < 0 || (unsigned)least >= files->limits[RLIMIT_NOFILE].rlim_cur) {
        return -EINVAL;
    }
    int free_number = loop_sim_happens(LOOP_SIM_NO_FILES) ? -EMFILE : find_free(files, least);
    if (free_number >= 0) {
        loop_sim_file_put(node, free_number, loop_sim_file_ref(file), flags);
    }
    return free_number;
}

unsigned loop_sim_files_count(const struct loop_sim_node *node)
{
    return node->files ? node->files->count : 0;
}

/* ---- the door ---- */

int loop_kernel_close(int number)
{
    return (int)loop_sim_return(loop_sim_file_close(loop_sim_here(), number));
}

int loop_kernel_dup(int number, int least)
{
    return (int)loop_sim_return(loop_sim_file_duplicate(number, least, O_CLOEXEC));
}

int loop_kernel_dup3(int number, int other, int flags)
{
    struct loop_sim_file *file = loop_sim_file_of(number);
    if (!file || number == other || !loop_sim_file_of(other)) { /* another that is not open: no caller needs it */
        return (int)loop_sim_return(file && number == other ? -EINVAL : -EBADF);
    }
    loop_sim_file_ref(file);
    (void)loop_sim_file_close(loop_sim_here(), other);
    loop_sim_file_put(loop_sim_here(), other, file, flags);
    return other;
}

/* Returns the error of a mapping of a file, or 0 for one of none. */
static int mapping_error(int flags, int number)
{
    if (flags & MAP_ANONYMOUS) {
        return 0;
    }
    const struct loop_sim_file *file = loop_sim_file_of(number);
    if (!file) {
        return EBADF;
    }
    return file->kind->has_offsets ? ENOSYS : ENODEV;
}

void *loop_kernel_mmap(void *at, size_t size, int prot, int flags, int number, off_t offset)
{
    return loop_sim_map(at, size, prot, flags, mapping_error(flags, number), offset);
}
