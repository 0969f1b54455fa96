/* SPDX-License-Identifier: ISC
 *
 * What is durable, and what a crash makes of the rest.
 */
#include <loop/kernel/simulated/disk/durable.h>
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/trace.h>

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* So much may be written without a sync before the oldest becomes durable by itself. */
enum { MOST_PIECES = 4096, MOST_CHANGES = 4096 };
#define MOST_PIECE_BYTES ((size_t)64 << 20)

#define WHOLE (UINT64_C(1) << 62)

/* ---- pieces ---- */

static void piece_free(struct loop_sim_inode *inode, struct loop_sim_piece *piece)
{
    loop_list_remove(&piece->link);
    inode->n_pieces--;
    inode->piece_bytes -= piece->what == LOOP_SIM_WROTE ? (size_t)piece->len : 0;
    loop_sim_free(piece);
}

static struct loop_sim_piece *first_piece(const struct loop_sim_inode *inode)
{
    struct loop_list *link = loop_list_first(&inode->pieces);

    return link ? LOOP_CONTAINER(link, struct loop_sim_piece, link) : NULL;
}

static void drop_pieces(struct loop_sim_inode *inode)
{
    struct loop_sim_piece *piece;

    while ((piece = first_piece(inode))) {
        piece_free(inode, piece);
    }
}

/* Makes a piece durable, of a write the bytes from `from` to before `end`. */
static void apply_part(struct loop_sim_inode *inode, const struct loop_sim_piece *piece, size_t from, size_t end)
{
    struct loop_sim_content *content = &inode->content_on_disk;

    switch (piece->what) {
    case LOOP_SIM_WROTE: loop_sim_content_write(content, piece->offset + from, piece->data + from, end - from); break;
    case LOOP_SIM_PUNCHED: loop_sim_content_punch(content, piece->offset, piece->len); break;
    case LOOP_SIM_RESERVED:
        loop_sim_content_reserve(content, piece->offset, piece->len);
        if (!piece->keeps_size && piece->offset + piece->len > content->size) {
            content->size = piece->offset + piece->len;
        }
        break;
    case LOOP_SIM_TRUNCATED: loop_sim_content_truncate(content, piece->offset); break;
    }
}

static void apply_piece(struct loop_sim_inode *inode, const struct loop_sim_piece *piece)
{
    apply_part(inode, piece, 0, (size_t)piece->len);
}

static void add_piece(struct loop_sim_inode *inode, struct loop_sim_piece *piece)
{
    loop_list_push_back(&inode->pieces, &piece->link);
    inode->n_pieces++;
    inode->piece_bytes += piece->what == LOOP_SIM_WROTE ? (size_t)piece->len : 0;
    while (inode->n_pieces > MOST_PIECES || (inode->n_pieces > 1 && inode->piece_bytes > MOST_PIECE_BYTES)) {
        struct loop_sim_piece *oldest = first_piece(inode);
        apply_piece(inode, oldest);
        piece_free(inode, oldest);
    }
}

static void record(struct loop_sim_inode *inode, enum loop_sim_written what, uint64_t offset, uint64_t len,
                   bool keeps_size)
{
    size_t room = what == LOOP_SIM_WROTE ? (size_t)len : 0;

    if (inode->device != LOOP_SIM_DEVICE_DISK) {
        return;
    }
    struct loop_sim_piece *piece = loop_sim_alloc(sizeof *piece + room);
    piece->what = what;
    piece->offset = offset;
    piece->len = len;
    piece->keeps_size = keeps_size;
    loop_sim_content_read(&inode->content, offset, piece->data, room);
    add_piece(inode, piece);
}

void loop_sim_wrote(struct loop_sim_inode *inode, uint64_t offset, size_t len)
{
    record(inode, LOOP_SIM_WROTE, offset, len, false);
}

void loop_sim_punched(struct loop_sim_inode *inode, uint64_t offset, uint64_t len)
{
    record(inode, LOOP_SIM_PUNCHED, offset, len, true);
}

void loop_sim_reserved(struct loop_sim_inode *inode, uint64_t offset, uint64_t len, bool keeps_size)
{
    record(inode, LOOP_SIM_RESERVED, offset, len, keeps_size);
}

void loop_sim_truncated(struct loop_sim_inode *inode, uint64_t size)
{
    record(inode, LOOP_SIM_TRUNCATED, size, 0, false);
}

/* ---- changes of directories ---- */

struct change {
    struct loop_list link;
    bool is_marked;
    size_t count;
    struct {
        struct loop_sim_inode *directory, *inode; /* counted */
        char *name;
    } namings[2];
};

static void change_free(struct loop_sim_disk *disk, struct change *change)
{
    loop_list_remove(&change->link);
    disk->n_changes--;
    for (size_t i = 0; i < change->count; i++) {
        loop_sim_inode_unref(change->namings[i].directory);
        if (change->namings[i].inode) {
            loop_sim_inode_unref(change->namings[i].inode);
        }
        loop_sim_free(change->namings[i].name);
    }
    loop_sim_free(change);
}

static struct change *change_of(struct loop_list *link)
{
    return LOOP_CONTAINER(link, struct change, link);
}

/* Makes a change durable, and frees it. */
static void apply_change(struct loop_sim_disk *disk, struct change *change)
{
    for (size_t i = 0; i < change->count; i++) {
        struct loop_sim_table *table = &change->namings[i].directory->table_on_disk;
        struct loop_sim_entry *entry = loop_sim_table_find(table, change->namings[i].name);
        if (entry) {
            loop_sim_table_remove(entry);
        }
        if (change->namings[i].inode) {
            entry = loop_sim_entry_create(NULL, change->namings[i].name, change->namings[i].inode);
            loop_sim_table_add(table, entry);
            loop_sim_entry_unref(entry);
        }
    }
    change_free(disk, change);
}

void loop_sim_renamed(struct loop_sim_disk *disk, const struct loop_sim_naming *namings, size_t count)
{
    if (namings[0].directory->device == LOOP_SIM_DEVICE_SHM) {
        return;
    }
    struct change *change = loop_sim_alloc(sizeof *change);
    assert(count <= 2);
    change->count = count;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(namings[i].name) + 1;
        change->namings[i].directory = namings[i].directory;
        change->namings[i].inode = namings[i].inode;
        change->namings[i].name = memcpy(loop_sim_alloc(size), namings[i].name, size);
        loop_sim_inode_ref(namings[i].directory);
        if (namings[i].inode) {
            loop_sim_inode_ref(namings[i].inode);
        }
    }
    loop_list_push_back(&disk->changes, &change->link);
    if (++disk->n_changes > MOST_CHANGES) {
        apply_change(disk, change_of(disk->changes.next));
    }
}

struct loop_sim_entry *loop_sim_disk_name(struct loop_sim_entry *up, const char *name, struct loop_sim_inode *inode)
{
    struct loop_sim_entry *entry = loop_sim_entry_create(up, name, inode);

    inode->links++;
    if (S_ISDIR(inode->now.mode)) {
        inode->links++;
        up->inode->links++;
    }
    loop_sim_table_add(&up->inode->table, entry);
    loop_sim_renamed(inode->disk, &(struct loop_sim_naming){up->inode, name, inode}, 1);
    return entry;
}

static bool is_of_marked(const struct change *change)
{
    for (size_t i = 0; i < change->count; i++) {
        if (change->namings[i].directory->is_marked) {
            return true;
        }
    }
    return false;
}

static void mark_directories(const struct change *change, bool is_marked)
{
    for (size_t i = 0; i < change->count; i++) {
        change->namings[i].directory->is_marked = is_marked;
    }
}

/* Makes the entries of a directory durable, and what has to be before: a rename is in two directories, and earlier
 * changes of the other come first. */
static void sync_directory(struct loop_sim_inode *directory)
{
    struct loop_sim_disk *disk = directory->disk;

    directory->is_marked = true;
    for (struct loop_list *link = disk->changes.prev; link != &disk->changes; link = link->prev) {
        struct change *change = change_of(link);
        change->is_marked = is_of_marked(change);
        if (change->is_marked) {
            mark_directories(change, true);
        }
    }
    for (struct loop_list *link = disk->changes.next, *next; link != &disk->changes; link = next) {
        struct change *change = change_of(link);
        next = link->next;
        if (change->is_marked) {
            mark_directories(change, false);
            apply_change(disk, change);
        }
    }
    directory->is_marked = false;
}

/* ---- syncing ---- */

/* Makes the content durable: the pages that have been written become those of the disk. */
static void sync_content(struct loop_sim_inode *inode)
{
    struct loop_sim_content *to = &inode->content_on_disk;
    const struct loop_sim_content *from = &inode->content;

    for (struct loop_list *link = inode->pieces.next; link != &inode->pieces; link = link->next) {
        const struct loop_sim_piece *piece = LOOP_CONTAINER(link, struct loop_sim_piece, link);
        if (piece->what == LOOP_SIM_TRUNCATED) {
            loop_sim_content_truncate(to, piece->offset);
        } else {
            loop_sim_content_share(to, from, piece->offset, piece->len);
        }
    }
    if (to->size > from->size) {
        loop_sim_content_truncate(to, from->size);
    }
    to->size = from->size;
    drop_pieces(inode);
}

static void sync_attributes(struct loop_sim_inode *inode)
{
    if (inode->has_new_attributes) {
        loop_sim_attributes_copy(&inode->on_disk, &inode->now);
        inode->has_new_attributes = false;
    }
}

int loop_sim_inode_sync(struct loop_sim_inode *inode, bool data_only)
{
    if (inode->device != LOOP_SIM_DEVICE_DISK) {
        return 0;
    }
    if (loop_sim_happens(LOOP_SIM_DISK_ERROR)) {
        drop_pieces(inode);
        return -EIO;
    }
    sync_content(inode);
    if (!data_only) {
        sync_attributes(inode);
    }
    if (S_ISDIR(inode->now.mode)) {
        sync_directory(inode);
    }
    return 0;
}

void loop_sim_disk_sync_all(struct loop_sim_disk *disk)
{
    while (!loop_list_is_empty(&disk->changes)) {
        apply_change(disk, change_of(disk->changes.next));
    }
    for (struct loop_list *link = disk->inodes.next; link != &disk->inodes; link = link->next) {
        struct loop_sim_inode *inode = LOOP_CONTAINER(link, struct loop_sim_inode, link);
        sync_content(inode);
        inode->has_new_attributes = true;
        sync_attributes(inode);
    }
}

/* ---- forgetting ---- */

void loop_sim_disk_forget(struct loop_sim_disk *disk, bool durable_too)
{
    loop_sim_entry_unref(disk->current);
    disk->current = NULL;
    while (durable_too && !loop_list_is_empty(&disk->changes)) {
        change_free(disk, change_of(disk->changes.next));
    }
    for (struct loop_list *link = disk->inodes.next; link != &disk->inodes; link = link->next) {
        loop_sim_inode_ref(LOOP_CONTAINER(link, struct loop_sim_inode, link));
    }
    for (struct loop_list *link = disk->inodes.next; link != &disk->inodes; link = link->next) {
        struct loop_sim_inode *inode = LOOP_CONTAINER(link, struct loop_sim_inode, link);
        loop_sim_table_finish(&inode->table);
        if (durable_too) {
            loop_sim_table_finish(&inode->table_on_disk);
        }
    }
    for (struct loop_list *link = disk->inodes.next; link != &disk->inodes; link = link->next) {
        LOOP_CONTAINER(link, struct loop_sim_inode, link)->links = 0;
    }
}

void loop_sim_disk_remember(struct loop_sim_disk *disk)
{
    for (struct loop_list *link = disk->inodes.next, *next; link != &disk->inodes; link = next) {
        next = link->next;
        loop_sim_inode_unref(LOOP_CONTAINER(link, struct loop_sim_inode, link));
    }
}

/* ---- crashes ---- */

/* What becomes of a piece. */
enum fate { LOST, KEPT, TORN, FATES };

/* Of each directory the last changes are lost: none is kept behind one that is lost. */
static void decide_changes(struct loop_sim_disk *disk)
{
    struct loop_list lost;

    loop_list_init(&lost);
    while (!loop_list_is_empty(&disk->changes)) {
        struct change *change = change_of(disk->changes.next);
        if (!is_of_marked(change) && loop_sim_choose(LOOP_SIM_CRASH_KEEPS, KEPT + 1) == KEPT) {
            apply_change(disk, change);
            continue;
        }
        mark_directories(change, true);
        loop_sim_trace("lost", disk->node, NULL, "%s %s", change->namings[0].inode ? "new name" : "removed name",
                       change->namings[0].name);
        loop_list_remove(&change->link);
        loop_list_push_back(&lost, &change->link);
    }
    while (!loop_list_is_empty(&lost)) {
        mark_directories(change_of(lost.next), false);
        change_free(disk, change_of(lost.next));
    }
}

/* Keeps some sectors of a write: its first ones, or its last ones. */
static void tear(struct loop_sim_inode *inode, const struct loop_sim_piece *piece)
{
    uint64_t first = piece->offset / LOOP_SIM_SECTOR_SIZE;
    uint64_t sectors = (piece->offset + piece->len + LOOP_SIM_SECTOR_SIZE - 1) / LOOP_SIM_SECTOR_SIZE - first;
    unsigned how = loop_sim_choose(LOOP_SIM_CRASH_KEEPS, 2 * (unsigned)(sectors - 1));
    size_t cut = (size_t)((first + 1 + how / 2) * LOOP_SIM_SECTOR_SIZE - piece->offset);
    bool keeps_end = how % 2;

    assert(sectors > 1 && cut > 0 && cut < piece->len);
    loop_sim_trace("torn", inode->disk->node, NULL, "inode %" PRIu64 ", %s %zu of %" PRIu64 " bytes at %" PRIu64,
                   inode->number, keeps_end ? "without the first" : "the first", cut, piece->len, piece->offset);
    apply_part(inode, piece, keeps_end ? cut : 0, keeps_end ? (size_t)piece->len : cut);
}

static void decide_piece(struct loop_sim_inode *inode, const struct loop_sim_piece *piece)
{
    bool can_tear = piece->what == LOOP_SIM_WROTE && piece->len > 1 &&
                    piece->offset / LOOP_SIM_SECTOR_SIZE != (piece->offset + piece->len - 1) / LOOP_SIM_SECTOR_SIZE;

    switch ((enum fate)loop_sim_choose(LOOP_SIM_CRASH_KEEPS, can_tear ? FATES : TORN)) {
    case KEPT: apply_piece(inode, piece); break;
    case TORN: tear(inode, piece); break;
    default:
        loop_sim_trace("lost", inode->disk->node, NULL, "inode %" PRIu64 ", %" PRIu64 " bytes at %" PRIu64,
                       inode->number, piece->len, piece->offset);
    }
}

static void decide_inode(struct loop_sim_inode *inode)
{
    struct loop_sim_piece *piece;

    while ((piece = first_piece(inode))) {
        decide_piece(inode, piece);
        piece_free(inode, piece);
    }
    if (inode->has_new_attributes && loop_sim_choose(LOOP_SIM_CRASH_KEEPS, KEPT + 1) == KEPT) {
        loop_sim_attributes_copy(&inode->on_disk, &inode->now);
    }
    inode->has_new_attributes = false;
    loop_sim_attributes_copy(&inode->now, &inode->on_disk);
    loop_sim_content_finish(&inode->content);
    inode->content.size = inode->content_on_disk.size;
    loop_sim_content_share(&inode->content, &inode->content_on_disk, 0, WHOLE);
    inode->disk->used_pages += inode->content.n_slots;
}

/* Directories whose entries are still to be made. */
struct stack {
    struct loop_sim_entry **entries;
    size_t count, room;
};

static void push(struct stack *stack, struct loop_sim_entry *entry)
{
    if (stack->count == stack->room) {
        stack->room = stack->room ? 2 * stack->room : 16;
        stack->entries = loop_sim_realloc(stack->entries, stack->room * sizeof(struct loop_sim_entry *));
    }
    stack->entries[stack->count++] = entry;
}

/* Makes the entries of a directory those that are on the disk. */
static void rebuild_directory(struct stack *stack, struct loop_sim_entry *up)
{
    const struct loop_list *entries = &up->inode->table_on_disk.entries;

    up->inode->links += 2;
    for (struct loop_list *link = entries->next; link != entries; link = link->next) {
        const struct loop_sim_entry *on_disk = LOOP_CONTAINER(link, struct loop_sim_entry, link);
        struct loop_sim_inode *inode = on_disk->inode;
        struct loop_sim_entry *entry = loop_sim_entry_create(up, on_disk->name, inode);
        loop_sim_table_add(&up->inode->table, entry);
        if (S_ISDIR(inode->now.mode)) {
            up->inode->links++;
            push(stack, entry);
        } else if (inode->links++ == 0) {
            decide_inode(inode);
        }
        loop_sim_entry_unref(entry);
    }
}

static void rebuild(struct loop_sim_disk *disk)
{
    struct stack stack = {NULL, 0, 0};

    disk->used_pages = 0;
    push(&stack, disk->root);
    while (stack.count > 0) {
        struct loop_sim_entry *entry = stack.entries[--stack.count];
        decide_inode(entry->inode);
        rebuild_directory(&stack, entry);
    }
    loop_sim_free(stack.entries);
}

void loop_sim_disk_crash(struct loop_sim_disk *disk)
{
    decide_changes(disk);
    loop_sim_disk_forget(disk, false);
    rebuild(disk);
    loop_sim_disk_remember(disk);
}
