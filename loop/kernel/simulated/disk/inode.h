/* SPDX-License-Identifier: ISC
 *
 * Inodes, and the entries that name them.
 *
 * An entry is what Linux calls a dentry: a name in a directory, with the inode that it names. Open files, the working
 * directory and entries below it hold it; so it lives on without its name after an unlink, and moves with a rename.
 * What is on the disk already is beside what is written: see durable.h.
 */
#ifndef LOOP_KERNEL_SIMULATED_DISK_INODE_H
#define LOOP_KERNEL_SIMULATED_DISK_INODE_H

#include <loop/kernel/simulated/disk/content.h>
#include <loop/kernel/simulated/object/file.h>
#include <loop/kernel/simulated/object/process.h>

#include <limits.h>
#include <time.h>

/* ---- entries ---- */

struct loop_sim_entry {
    struct loop_list link;              /* in its directory, in the order of the cookies */
    struct loop_sim_entry *next_hashed; /* in its bucket */
    struct loop_sim_table *table;       /* NULL: removed, or never added */
    struct loop_sim_entry *up;          /* that of its directory. NULL: of the root, or of a durable table. Counted */
    struct loop_sim_inode *inode;       /* counted */
    uint64_t cookie;                    /* its position in the directory: stays while others come and go */
    unsigned uses;
    char *name;
};

/* The entries of a directory. Zeros are an empty one. */
struct loop_sim_table {
    struct loop_sim_entry **buckets;
    size_t n_buckets, count;
    struct loop_list entries;
    uint64_t last_cookie;
};

void loop_sim_table_init(struct loop_sim_table *table);

/* Removes all entries. */
void loop_sim_table_finish(struct loop_sim_table *table);

/* Returns the entry of a name, or NULL. Not counted. */
struct loop_sim_entry *loop_sim_table_find(const struct loop_sim_table *table, const char *name);

/* Adds an entry at the end; it must be in no table, and its name not in this. The table counts it. */
void loop_sim_table_add(struct loop_sim_table *table, struct loop_sim_entry *entry);
void loop_sim_table_remove(struct loop_sim_entry *entry);

/* Returns a new entry with one use. `up` may be NULL. */
struct loop_sim_entry *loop_sim_entry_create(struct loop_sim_entry *up, const char *name, struct loop_sim_inode *inode);
struct loop_sim_entry *loop_sim_entry_ref(struct loop_sim_entry *entry);

/* Drops a use. With the last entry of an inode that has no name any more its room is free. NULL does nothing. */
void loop_sim_entry_unref(struct loop_sim_entry *entry);

/* Gives an entry another name and directory. It is in no table meanwhile. */
void loop_sim_entry_rename(struct loop_sim_entry *entry, struct loop_sim_entry *up, const char *name);

/* Whether `entry` is `above` or somewhere below it. */
bool loop_sim_entry_is_below(const struct loop_sim_entry *entry, const struct loop_sim_entry *above);

/* Whether nothing leads to the entry any more: it has been removed, or is that of a file without a name. */
bool loop_sim_entry_is_gone(const struct loop_sim_entry *entry);

/* Writes the path of an entry, with " (deleted)" behind it where it is gone. Returns its length, or -ENAMETOOLONG. */
int loop_sim_entry_path(const struct loop_sim_entry *entry, char *path, size_t size);

/* ---- attributes ---- */

struct loop_sim_xattr {
    char *name;
    void *value;
    size_t size;
};

struct loop_sim_attributes {
    mode_t mode;
    uid_t uid;
    gid_t gid;
    struct timespec atime, mtime, ctime;
    struct loop_sim_xattr *xattrs;
    size_t n_xattrs;
};

void loop_sim_attributes_finish(struct loop_sim_attributes *attributes);
void loop_sim_attributes_copy(struct loop_sim_attributes *to, const struct loop_sim_attributes *from);

/* ---- inodes ---- */

/* File systems, as their device numbers. */
enum loop_sim_device {
    LOOP_SIM_DEVICE_DISK = 0xfe00,
    LOOP_SIM_DEVICE_DEV = 6,
    LOOP_SIM_DEVICE_PROC = 0x15,
    LOOP_SIM_DEVICE_SHM = 0x1b
};

/* What is special about an inode of /proc. From LOOP_SIM_MAGIC_NUMBER to LOOP_SIM_MAGIC_ROOT it is a link that leads to
 * an object rather than to a name. */
enum loop_sim_magic {
    LOOP_SIM_MAGIC_NONE,
    LOOP_SIM_MAGIC_NUMBERS, /* /proc/self/fd */
    LOOP_SIM_MAGIC_NUMBER,  /* /proc/self/fd/N */
    LOOP_SIM_MAGIC_CURRENT, /* /proc/self/cwd */
    LOOP_SIM_MAGIC_ROOT,    /* /proc/self/root */
    LOOP_SIM_MAGIC_STATUS,  /* /proc/self/status, a text that is made anew for each open */
    LOOP_SIM_MAGIC_LIMITS,  /* /proc/self/limits, also */
    LOOP_SIM_MAGIC_INFOS,   /* /proc/self/fdinfo */
    LOOP_SIM_MAGIC_INFO     /* /proc/self/fdinfo/N, a text as well */
};

/* What has been written to the content of an inode, and is not durable yet: see durable.h. */
enum loop_sim_written { LOOP_SIM_WROTE, LOOP_SIM_PUNCHED, LOOP_SIM_RESERVED, LOOP_SIM_TRUNCATED };

struct loop_sim_piece {
    struct loop_list link; /* in the inode */
    enum loop_sim_written what;
    bool keeps_size;
    uint64_t offset, len; /* of LOOP_SIM_TRUNCATED the size is `offset` */
    unsigned char data[]; /* of LOOP_SIM_WROTE */
};

/* Devices, by the numbers that Linux has for them. */
enum { LOOP_SIM_MEMORY_MAJOR = 1 };
enum loop_sim_minor {
    LOOP_SIM_MINOR_NULL = 3,
    LOOP_SIM_MINOR_ZERO = 5,
    LOOP_SIM_MINOR_FULL = 7,
    LOOP_SIM_MINOR_RANDOM = 8,
    LOOP_SIM_MINOR_URANDOM = 9
};

struct loop_sim_inode {
    struct loop_list link; /* in the disk */
    struct loop_sim_disk *disk;
    enum loop_sim_device device;
    uint64_t number;
    unsigned uses;    /* entries of both kinds, changes that are not durable */
    unsigned entries; /* entries that are not of a durable table: while there are any, the inode is in use */
    nlink_t links;
    dev_t rdev;
    struct timespec btime;
    struct loop_sim_attributes now;
    struct loop_sim_content content;
    struct loop_sim_table table; /* of a directory */
    struct loop_sim_fifo fifo;
    char *target; /* of a symbolic link */
    enum loop_sim_magic magic;
    int magic_number;
    bool is_dead;       /* a directory that has been removed */
    bool can_be_linked; /* a file that was made without a name, and may get one */

    /* What is on the disk. */
    struct loop_sim_attributes on_disk;
    struct loop_sim_content content_on_disk;
    struct loop_sim_table table_on_disk;
    struct loop_list pieces; /* struct loop_sim_piece: what has been written to the content since */
    size_t n_pieces, piece_bytes;
    bool has_new_attributes, is_marked;

    struct loop_list watches; /* of inotify */
    /* Ends the watches, when the inode has no names and no entries any more (`is_gone`) or its memory is freed. Set by
     * what adds a watch. */
    void (*end_watches)(struct loop_sim_inode *inode, bool is_gone);
    struct loop_list locks; /* of flock: who holds one */
    struct loop_sim_queue lock_queue;
};

/* Returns a new inode without uses, owned by the user of the node. */
struct loop_sim_inode *loop_sim_inode_create(struct loop_sim_disk *disk, enum loop_sim_device device, mode_t mode);
void loop_sim_inode_ref(struct loop_sim_inode *inode);
void loop_sim_inode_unref(struct loop_sim_inode *inode);

/* Whether an inode is a directory of /proc with a name for each descriptor. */
static inline bool loop_sim_inode_has_numbers(const struct loop_sim_inode *inode)
{
    return inode->magic == LOOP_SIM_MAGIC_NUMBERS || inode->magic == LOOP_SIM_MAGIC_INFOS;
}

/* Whether an inode is a link that leads to an object. */
static inline bool loop_sim_inode_is_magic_link(const struct loop_sim_inode *inode)
{
    return inode->magic >= LOOP_SIM_MAGIC_NUMBER && inode->magic <= LOOP_SIM_MAGIC_ROOT;
}

/* The time of the node's wall clock. */
struct timespec loop_sim_disk_time(const struct loop_sim_disk *disk);

/* Something has been written, or read, or an attribute has changed: sets the times. */
void loop_sim_inode_modified(struct loop_sim_inode *inode);
void loop_sim_inode_accessed(struct loop_sim_inode *inode);
void loop_sim_inode_changed(struct loop_sim_inode *inode);

/* Returns a new inode for a name in a directory, with what it has from that. */
struct loop_sim_inode *loop_sim_inode_make(struct loop_sim_entry *up, mode_t mode);

/* Whether names in a directory may be added and removed. Returns 0 or a negative errno. */
int loop_sim_may_change(const struct loop_sim_entry *directory);

/* Whether the node's user may read (4), write (2) and execute or search (1). Returns 0 or -EACCES. */
int loop_sim_inode_permits(const struct loop_sim_inode *inode, int wanted);

/* Whether the node's user is the owner, or root. */
bool loop_sim_inode_is_own(const struct loop_sim_inode *inode);

void loop_sim_inode_status(const struct loop_sim_inode *inode, struct stat *status);

/* Takes room for some pages. Returns 0 or -ENOSPC; that may be by choice. */
int loop_sim_disk_take(struct loop_sim_inode *inode, uint64_t pages);

/* Counts the room of an inode anew after its pages have changed. `before` is how many it had. */
void loop_sim_disk_adjust(struct loop_sim_inode *inode, size_t before);

/* ---- disks ---- */

/* The room of a disk without limit, which nothing fills in practice. */
#define LOOP_SIM_DISK_ROOM (UINT64_C(1) << 40)

/* The largest offset in a file, as ext4 has it. */
#define LOOP_SIM_FILE_MOST INT64_C(17592186040320)

struct loop_sim_disk {
    struct loop_sim_node *node;
    uint64_t size_bytes; /* 0: no limit */
    int64_t latency_ns;  /* of each operation */
    struct loop_list inodes;
    uint64_t last_inode;
    uint64_t used_pages, n_inodes;
    struct loop_sim_entry *root, *current; /* the working directory */
    struct loop_list changes;              /* of directories, that are not durable yet: see durable.h */
    size_t n_changes;
    uint32_t last_cookie; /* of inotify's renames */
    uint64_t random;      /* the state of /dev/urandom */
    mode_t umask;
    uint64_t calls; /* by the door */
};

/* The user of the node. */
static inline uid_t loop_sim_disk_user(const struct loop_sim_disk *disk)
{
    return loop_sim_user(disk->node);
}

/* ---- open files ---- */

/* An open file of the disk. */
struct loop_sim_open {
    struct loop_sim_file file; /* must be first */
    struct loop_sim_entry *entry;
    struct loop_list lock; /* in the inode's locks */
    bool is_exclusive;     /* the lock */
    uint64_t end;          /* of a directory: the last cookie when its reading began; later entries are not read */
};

/* Returns the open file, or NULL for one that is not of the disk. */
static inline struct loop_sim_open *loop_sim_open_of(struct loop_sim_file *file)
{
    return file->kind->is_of_disk ? (struct loop_sim_open *)(void *)file : NULL;
}

/* Returns the inode of an open file of the disk. */
static inline struct loop_sim_inode *loop_sim_inode_of(const struct loop_sim_file *file)
{
    return ((const struct loop_sim_open *)(const void *)file)->entry->inode;
}

/* How long the next operation takes, by choice and by loop_sim_disk_set; 0 when the disk is fast. */
int64_t loop_sim_disk_latency(struct loop_sim_node *node);

/* Lets the running fiber wait as long as the disk takes for an operation. */
void loop_sim_disk_wait(void);

#endif
