/* SPDX-License-Identifier: ISC
 *
 * Reading directories: a few hundred entries at a time, or all of them at once and sorted.
 */
#include <fs/attributes.h>
#include <fs/request.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES 16384

/* The size of the shortest entry in the kernel's buffer, which bounds their number. */
#define SHORTEST_ENTRY 24
#define MOST_ENTRIES (BUFFER_BYTES / SHORTEST_ENTRY)

struct reader {
    struct loop_entries entries;
    struct loop_fd *fd;
    struct loop_hook *hook;
    bool with_stat;
    bool is_busy, is_closed;     /* closed while busy: freed when that read has ended */
    struct loop_fs_status *stat; /* with_stat: for as many entries as were read at once so far; or NULL */
    size_t n_stat;
    int64_t len; /* of entries in the buffer for which there was no memory */
    struct loop_entry entry[MOST_ENTRIES];
    _Alignas(struct loop_kernel_dirent) char buffer[BUFFER_BYTES];
};

/* ---- the kernel's entries ---- */

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Returns the kind of an entry after its status has been read: none for an entry that is gone, `named` where the status
 * may not be read. */
static enum loop_kind kind_after(int error, enum loop_kind named, const struct loop_fs_status *stat)
{
    if (error == 0) {
        return stat->kind;
    }
    return error == -ENOENT ? LOOP_KIND_NONE : named;
}

/* Stores an entry, with its status where that is wanted. A file system that does not store the kind with the name needs
 * the status for it. */
static void take_entry(int number, const struct loop_kernel_dirent *from, struct loop_entry *entry,
                       struct loop_fs_status *stat)
{
    struct loop_fs_status own, *asked = stat ? stat : &own;

    entry->name = from->d_name;
    entry->inode = from->d_ino;
    entry->kind = loop_fs_kind_of(DTTOIF(from->d_type));
    entry->stat = NULL;
    if (stat || from->d_type == DT_UNKNOWN) {
        int error = loop_fs_stat_name(number, from->d_name, asked);
        entry->kind = kind_after(error, entry->kind, asked);
        entry->stat = error == 0 ? stat : NULL;
    }
}

/* Reads the next entries into the buffer. Returns how many bytes, 0 at the end or in a deleted directory, or -errno. */
static int64_t read_more(int number, char *buffer)
{
    int64_t len = loop_fs_outcome(loop_kernel_getdents64(number, buffer, BUFFER_BYTES));

    return len == -ENOENT ? 0 : len;
}

/* Returns the entry at `*at` and moves `*at` behind it. */
static const struct loop_kernel_dirent *next_in(const char *buffer, size_t *at)
{
    const struct loop_kernel_dirent *entry = (const struct loop_kernel_dirent *)(const void *)(buffer + *at);

    assert(entry->d_reclen >= SHORTEST_ENTRY);
    *at += entry->d_reclen;
    return entry;
}

/* ---- some at a time ---- */

static int64_t run_open(struct loop_fs_request *request)
{
    request->made.number = loop_fs_open_plainly(request->at, request->path, O_RDONLY | O_DIRECTORY, 0);
    return request->made.number < 0 ? request->made.number : 0;
}

static void free_now(struct reader *reader)
{
    loop_kernel_free(reader->stat);
    loop_kernel_free(reader);
}

static void free_reader(void *arg)
{
    struct reader *reader = arg;

    assert(!reader->is_busy && !reader->is_closed);
    free_now(reader);
}

static struct reader *make_reader(struct loop_scope *scope, struct loop_fd *fd, bool with_stat)
{
    struct reader *reader = loop_kernel_malloc(sizeof *reader);

    if (!reader) {
        return NULL;
    }
    reader->entries = (struct loop_entries){.scope = scope, .entry = reader->entry};
    reader->fd = fd;
    reader->with_stat = with_stat;
    reader->stat = NULL;
    reader->n_stat = 0;
    reader->len = 0;
    reader->is_busy = false;
    reader->is_closed = false;
    struct loop_hook *hook = loop_scope_defer(scope, free_reader, reader);
    if (!hook) {
        return NULL; /* the hook has run and freed the reader */
    }
    reader->hook = hook;
    return reader;
}

static int64_t deliver_reader(struct loop_fs_request *request, int64_t result)
{
    struct loop_fd *fd = loop_fs_adopt(request, &result);
    struct reader *reader = fd ? make_reader(request->scope, fd, request->with_stat) : NULL;

    if (reader) {
        *(struct loop_entries **)request->out = &reader->entries;
    } else if (fd) {
        loop_fd_destroy(fd);
        result = -ENOMEM;
    }
    return result;
}

loop_job loop_fs_read_dir(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned flags,
                          struct loop_entries **entries, loop_fn *fn, void *arg)
{
    return loop_fs_start(
        &(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_open, .deliver = deliver_reader, .makes_number = true,
                                  .error = entries ? loop_fs_check_flags(flags, LOOP_FS_WITH_STAT) : -EINVAL,
                                  .with_stat = flags & LOOP_FS_WITH_STAT, .out = entries});
}

/* Makes room for the status of each entry in the buffer. A directory of a few entries needs little, and a buffer has
 * room for hundreds. Returns false without memory. */
static bool make_stats(struct reader *reader)
{
    size_t n = 0;

    for (size_t at = 0; at < (size_t)reader->len; n++) {
        (void)next_in(reader->buffer, &at);
    }
    if (!reader->with_stat || n <= reader->n_stat) {
        return true;
    }
    loop_kernel_free(reader->stat);
    reader->stat = loop_kernel_malloc(n * sizeof *reader->stat);
    reader->n_stat = reader->stat ? n : 0;
    return reader->stat;
}

/* Takes the entries in the buffer. Returns how many. */
static int64_t take_all(struct reader *reader, int number)
{
    int64_t n = 0;

    for (size_t at = 0; at < (size_t)reader->len;) {
        const struct loop_kernel_dirent *from = next_in(reader->buffer, &at);
        if (!is_dots(from->d_name)) {
            assert(n < MOST_ENTRIES);
            take_entry(number, from, &reader->entry[n], reader->with_stat ? &reader->stat[n] : NULL);
            n++;
        }
    }
    reader->len = 0;
    return n;
}

/* Entries for which there is no memory are taken by the next read. */
static int64_t run_next(struct loop_fs_request *request)
{
    struct reader *reader = request->out;
    int64_t n = 0;

    assert(reader->is_busy && reader->entries.count == 0);
    while (n == 0) {
        int64_t len = reader->len > 0 ? reader->len : read_more(request->at.number, reader->buffer);
        if (len <= 0) {
            return len;
        }
        reader->len = len;
        if (!make_stats(reader)) {
            return -ENOMEM;
        }
        n = take_all(reader, request->at.number);
    }
    return n;
}

static int64_t deliver_next(struct loop_fs_request *request, int64_t result)
{
    struct reader *reader = request->out;

    assert(reader->is_busy);
    reader->is_busy = false;
    if (reader->is_closed) {
        free_now(reader);
        return -ECANCELED;
    }
    reader->entries.count = result > 0 ? (size_t)result : 0;
    return result;
}

loop_job loop_entries_next(struct loop_entries *entries, loop_fn *fn, void *arg)
{
    if (!(loop_check_object(entries, offsetof(struct loop_entries, scope), "reader of a directory", __func__))) {
        return 0;
    }
    struct reader *reader = (struct reader *)(void *)entries; /* its first member */
    struct loop_fs_request request = {.scope = entries->scope,
                                      .file = reader->fd,
                                      .fn = fn,
                                      .arg = arg,
                                      .run = run_next,
                                      .waits = true,
                                      .out = reader};

    if (reader->is_busy) {
        request.error = -EBUSY;
        return loop_fs_start(&request);
    }
    request.deliver = deliver_next;
    reader->is_busy = true;
    reader->entries.count = 0;
    loop_job job = loop_fs_start(&request);
    if (!job) {
        reader->is_busy = false;
    }
    return job;
}

void loop_entries_close(struct loop_entries *entries)
{
    struct reader *reader = (struct reader *)(void *)entries;

    if (!reader) {
        return;
    }
    loop_hook_remove(entries->scope, reader->hook);
    loop_fd_destroy(reader->fd);
    if (reader->is_busy) {
        reader->is_closed = true;
    } else {
        free_now(reader);
    }
}

/* ---- all at once ---- */

/* An entry while more are read: its name is an offset into `names`, which moves. */
struct found {
    size_t name;
    uint64_t inode;
    enum loop_kind kind;
};

struct list {
    int number;
    struct found *found;
    size_t count, room;
    char *names;
    size_t names_len, names_room;
};

/* Enlarges the memory when it has no room for `needed` pieces. Returns it, or NULL when there is none. */
static void *make_room(void *memory, size_t *room, size_t needed, size_t piece_bytes)
{
    size_t wanted = 2 * needed;

    if (needed <= *room) {
        return memory;
    }
    void *larger = wanted <= PTRDIFF_MAX / piece_bytes ? loop_kernel_realloc(memory, wanted * piece_bytes) : NULL;
    if (larger) {
        *room = wanted;
    }
    return larger;
}

static int add_entry(struct list *list, const struct loop_kernel_dirent *from)
{
    struct loop_entry entry;
    size_t size = strlen(from->d_name) + 1;
    void *found = make_room(list->found, &list->room, list->count + 1, sizeof *list->found);

    if (!found) {
        return -ENOMEM;
    }
    list->found = found;
    void *names = make_room(list->names, &list->names_room, list->names_len + size, 1);
    if (!names) {
        return -ENOMEM;
    }
    list->names = names;
    take_entry(list->number, from, &entry, NULL);
    list->found[list->count++] = (struct found){.name = list->names_len, .inode = entry.inode, .kind = entry.kind};
    memcpy(list->names + list->names_len, from->d_name, size);
    list->names_len += size;
    return 0;
}

static int64_t collect(struct list *list)
{
    _Alignas(struct loop_kernel_dirent) char buffer[BUFFER_BYTES];
    int64_t len;

    while ((len = read_more(list->number, buffer)) > 0) {
        if (loop_work_is_cancelled()) {
            return -ECANCELED;
        }
        for (size_t at = 0; at < (size_t)len;) {
            const struct loop_kernel_dirent *from = next_in(buffer, &at);
            int error = is_dots(from->d_name) ? 0 : add_entry(list, from);
            if (error < 0) {
                return error;
            }
        }
    }
    return len;
}

static int compare_names(const void *one, const void *other)
{
    const struct loop_entry *left = one, *right = other;

    return strcmp(left->name, right->name);
}

/* Makes one piece of memory: the entries, room for their status where it is wanted, and the names. Returns NULL when
 * there is none. */
static struct loop_entry *put_together(const struct list *list, bool with_stat)
{
    size_t stats_bytes = with_stat ? list->count * sizeof(struct loop_fs_status) : 0;
    struct loop_entry *entry = loop_kernel_malloc(list->count * sizeof *entry + stats_bytes + list->names_len + 1);

    if (!entry) {
        return NULL;
    }
    char *names = (char *)(entry + list->count) + stats_bytes;
    if (list->names_len > 0) {
        memcpy(names, list->names, list->names_len);
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct found *found = &list->found[i];
        assert(found->name < list->names_len);
        entry[i] = (struct loop_entry){.name = names + found->name, .kind = found->kind, .inode = found->inode};
    }
    qsort(entry, list->count, sizeof *entry, compare_names);
    return entry;
}

static int64_t ask_stats(int number, struct loop_entry *entry, size_t count)
{
    struct loop_fs_status *stat = (struct loop_fs_status *)(void *)(entry + count);

    for (size_t i = 0; i < count; i++) {
        if (loop_work_is_cancelled()) {
            return -ECANCELED;
        }
        int error = loop_fs_stat_name(number, entry[i].name, &stat[i]);
        entry[i].kind = kind_after(error, entry[i].kind, &stat[i]);
        entry[i].stat = error == 0 ? &stat[i] : NULL;
    }
    return 0;
}

static int64_t make_list(struct loop_fs_request *request, struct list *list)
{
    int64_t result = collect(list);
    if (result < 0) {
        return result;
    }
    struct loop_entry *entry = put_together(list, request->with_stat);
    if (!entry) {
        return -ENOMEM;
    }
    result = request->with_stat ? ask_stats(list->number, entry, list->count) : 0;
    if (result < 0) {
        loop_kernel_free(entry);
        return result;
    }
    request->made.memory = entry;
    return (int64_t)list->count;
}

static int64_t run_list(struct loop_fs_request *request)
{
    struct list list = {.number = loop_fs_open_plainly(request->at, request->path, O_RDONLY | O_DIRECTORY, 0)};

    if (list.number < 0) {
        return list.number;
    }
    int64_t result = make_list(request, &list);
    loop_kernel_close(list.number);
    loop_kernel_free(list.found);
    loop_kernel_free(list.names);
    return result;
}

loop_job loop_fs_list(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned flags,
                      struct loop_entry **list, loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){
        LOOP_FS_ON_PATH, .run = run_list, .takes_long = true, .deliver = loop_fs_deliver_memory, .makes_memory = true,
        .error = list ? loop_fs_check_flags(flags, LOOP_FS_WITH_STAT) : -EINVAL, .with_stat = flags & LOOP_FS_WITH_STAT,
        .out = list});
}
