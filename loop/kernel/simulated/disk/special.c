/* SPDX-License-Identifier: ISC
 *
 * What is no file of the disk: the names of devices in /dev, and the process in /proc.
 */
#include <loop/kernel/simulated/disk/durable.h>
#include <loop/kernel/simulated/disk/special.h>
#include <loop/kernel/simulated/object/object.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#define NUMBER_INODES (UINT64_C(1) << 32) /* the inodes of links of descriptors begin here */
#define INFO_INODES (UINT64_C(2) << 32)   /* and here those of texts about them */

/* ---- links in /proc ---- */

/* Returns the number that a name is, or -1. */
static int number_of(const char *name)
{
    int number = 0;

    if (name[0] == '0' && name[1]) {
        return -1;
    }
    for (const char *at = name; *at; at++) {
        if (*at < '0' || *at > '9' || number > 9999999) {
            return -1;
        }
        number = number * 10 + (*at - '0');
    }
    return *name ? number : -1;
}

static struct loop_sim_entry *number_entry(struct loop_sim_node *node, struct loop_sim_entry *directory,
                                           const char *name)
{
    struct loop_sim_disk *disk = node->disk;
    int number = number_of(name);

    if (number < 0 || !loop_sim_file_at(node, number)) {
        return NULL;
    }
    bool is_info = directory->inode->magic == LOOP_SIM_MAGIC_INFOS;
    mode_t mode = is_info ? S_IFREG | 0444 : S_IFLNK | 0700;
    struct loop_sim_inode *inode = loop_sim_inode_create(disk, LOOP_SIM_DEVICE_PROC, mode);
    disk->last_inode--;
    inode->number = (is_info ? INFO_INODES : NUMBER_INODES) + (unsigned)number;
    inode->links = 1;
    inode->magic = is_info ? LOOP_SIM_MAGIC_INFO : LOOP_SIM_MAGIC_NUMBER;
    inode->magic_number = number;
    return loop_sim_entry_create(directory, name, inode);
}

struct loop_sim_entry *loop_sim_lookup(struct loop_sim_node *node, struct loop_sim_entry *directory, const char *name)
{
    if (loop_sim_inode_has_numbers(directory->inode)) {
        return number_entry(node, directory, name);
    }
    struct loop_sim_entry *entry = loop_sim_table_find(&directory->inode->table, name);
    return entry ? loop_sim_entry_ref(entry) : NULL;
}

/* Returns the text of the link of a descriptor. */
static int number_text(const struct loop_sim_node *node, int number, char *text, size_t size)
{
    struct loop_sim_file *file = loop_sim_file_at(node, number);
    struct stat status;

    if (!file) {
        return -ENOENT;
    }
    const struct loop_sim_open *open = loop_sim_open_of(file);
    if (open) {
        return loop_sim_entry_path(open->entry, text, size);
    }
    const char *kind = strcmp(file->kind->name, "epoll") == 0  ? "eventpoll"
                       : strcmp(file->kind->name, "ring") == 0 ? "io_uring"
                                                               : file->kind->name;
    bool is_numbered = strcmp(kind, "pipe") == 0 || file->kind->is_socket;
    if (is_numbered && file->kind->status && file->kind->status(file, &status) == 0) {
        return snprintf(text, size, "%s:[%llu]", file->kind->is_socket ? "socket" : kind,
                        (unsigned long long)status.st_ino);
    }
    return snprintf(text, size, strcmp(kind, "inotify") == 0 ? "anon_inode:%s" : "anon_inode:[%s]", kind);
}

int loop_sim_magic_text(const struct loop_sim_node *node, const struct loop_sim_inode *link, char *text, size_t size)
{
    if (link->magic == LOOP_SIM_MAGIC_NUMBER) {
        return number_text(node, link->magic_number, text, size);
    }
    const struct loop_sim_disk *disk = node->disk;
    return loop_sim_entry_path(link->magic == LOOP_SIM_MAGIC_CURRENT ? disk->current : disk->root, text, size);
}

/* ---- texts in /proc ---- */

static int status_text(struct loop_sim_node *node, char *text, size_t size)
{
    int id = loop_sim_process_id(node);
    unsigned user = loop_sim_user(node), group = loop_sim_group(node), threads = 0;

    for (struct loop_list *link = node->fibers.next; link != &node->fibers; link = link->next) {
        threads++;
    }
    return snprintf(text, size,
                    "Name:\t%s\nUmask:\t%04o\nState:\tR (running)\nTgid:\t%d\nPid:\t%d\n"
                    "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nThreads:\t%u\n",
                    node->name, (unsigned)node->disk->umask, id, id, user, user, user, user, group, group, group, group,
                    threads);
}

static int limits_text(struct loop_sim_node *node, char *text, size_t size)
{
    const struct rlimit *limit = &loop_sim_files_of(node)->limits[RLIMIT_NOFILE];

    return snprintf(text, size, "%-25s %-20s %-20s %-10s\n%-25s %-20llu %-20llu %-10s\n", "Limit", "Soft Limit",
                    "Hard Limit", "Units", "Max open files", (unsigned long long)limit->rlim_cur,
                    (unsigned long long)limit->rlim_max, "files");
}

/* Makes the text about a descriptor, which is empty when that has been closed meanwhile. */
static void refresh_info(struct loop_sim_inode *inode)
{
    const struct loop_sim_file *file = loop_sim_file_at(inode->disk->node, inode->magic_number);
    char head[64];

    loop_sim_content_truncate(&inode->content, 0);
    if (!file) {
        return;
    }
    size_t len = (size_t)snprintf(head, sizeof head, "pos:\t%lld\nflags:\t0%o\n", (long long)file->position,
                                  (unsigned)file->flags);
    loop_sim_content_write(&inode->content, 0, head, len);
    size_t more = file->kind->describe ? file->kind->describe(file, NULL, 0) : 0;
    if (more > 0) {
        char *text = loop_sim_alloc(more + 1);
        (void)file->kind->describe(file, text, more + 1);
        loop_sim_content_write(&inode->content, len, text, more);
        loop_sim_free(text);
    }
}

void loop_sim_magic_refresh(struct loop_sim_inode *inode)
{
    struct loop_sim_node *node = inode->disk->node;
    char text[1024];

    if (inode->magic == LOOP_SIM_MAGIC_INFO) {
        refresh_info(inode);
    }
    if (inode->magic == LOOP_SIM_MAGIC_STATUS || inode->magic == LOOP_SIM_MAGIC_LIMITS) {
        int len = inode->magic == LOOP_SIM_MAGIC_STATUS ? status_text(node, text, sizeof text)
                                                        : limits_text(node, text, sizeof text);
        loop_sim_content_truncate(&inode->content, 0);
        loop_sim_content_write(&inode->content, 0, text, (size_t)len);
    }
}

/* ---- making them ---- */

static const struct device {
    const char *name;
    enum loop_sim_minor minor_number;
} devices[] = {{"null", LOOP_SIM_MINOR_NULL},
               {"zero", LOOP_SIM_MINOR_ZERO},
               {"full", LOOP_SIM_MINOR_FULL},
               {"random", LOOP_SIM_MINOR_RANDOM},
               {"urandom", LOOP_SIM_MINOR_URANDOM}};

enum { N_DEVICES = sizeof devices / sizeof *devices };

/* Adds a name to a directory. Returns its inode. */
static struct loop_sim_inode *add(struct loop_sim_entry *up, const char *name, enum loop_sim_device device, mode_t mode)
{
    struct loop_sim_inode *inode = loop_sim_inode_create(up->inode->disk, device, mode);

    inode->now.uid = inode->now.gid = 0;
    loop_sim_entry_unref(loop_sim_disk_name(up, name, inode));
    return inode;
}

static void add_link(struct loop_sim_entry *up, const char *name, const char *target)
{
    size_t size = strlen(target) + 1;
    struct loop_sim_inode *inode = add(up, name, up->inode->device, S_IFLNK | 0777);

    inode->target = memcpy(loop_sim_alloc(size), target, size);
}

static struct loop_sim_entry *add_directory(struct loop_sim_entry *up, const char *name, enum loop_sim_device device,
                                            mode_t mode)
{
    (void)add(up, name, device, S_IFDIR | mode);
    return loop_sim_table_find(&up->inode->table, name);
}

static void create_devices(struct loop_sim_entry *root)
{
    struct loop_sim_entry *dev = add_directory(root, "dev", LOOP_SIM_DEVICE_DEV, 0755);

    for (size_t i = 0; i < N_DEVICES; i++) {
        struct loop_sim_inode *inode = add(dev, devices[i].name, LOOP_SIM_DEVICE_DEV, S_IFCHR | 0666);
        inode->rdev = makedev(LOOP_SIM_MEMORY_MAJOR, devices[i].minor_number);
    }
    add_link(dev, "fd", "/proc/self/fd");
    add_link(dev, "stdin", "/proc/self/fd/0");
    add_link(dev, "stdout", "/proc/self/fd/1");
    add_link(dev, "stderr", "/proc/self/fd/2");
    (void)add_directory(dev, "shm", LOOP_SIM_DEVICE_SHM, 01777);
}

static void create_processes(struct loop_sim_disk *disk)
{
    static const char id[] = "1";
    struct loop_sim_entry *proc = add_directory(disk->root, "proc", LOOP_SIM_DEVICE_PROC, 0555);

    add_link(proc, "self", id);
    struct loop_sim_entry *process = add_directory(proc, id, LOOP_SIM_DEVICE_PROC, 0555);
    struct loop_sim_entry *numbers = add_directory(process, "fd", LOOP_SIM_DEVICE_PROC, 0500);
    numbers->inode->magic = LOOP_SIM_MAGIC_NUMBERS;
    add_directory(process, "fdinfo", LOOP_SIM_DEVICE_PROC, 0555)->inode->magic = LOOP_SIM_MAGIC_INFOS;
    add(process, "cwd", LOOP_SIM_DEVICE_PROC, S_IFLNK | 0777)->magic = LOOP_SIM_MAGIC_CURRENT;
    add(process, "root", LOOP_SIM_DEVICE_PROC, S_IFLNK | 0777)->magic = LOOP_SIM_MAGIC_ROOT;
    add(process, "status", LOOP_SIM_DEVICE_PROC, S_IFREG | 0444)->magic = LOOP_SIM_MAGIC_STATUS;
    add(process, "limits", LOOP_SIM_DEVICE_PROC, S_IFREG | 0444)->magic = LOOP_SIM_MAGIC_LIMITS;
}

/* Returns the only directory in a directory: that of the process in /proc. */
static struct loop_sim_entry *only_directory(const struct loop_sim_table *table)
{
    struct loop_list *link = table->entries.next;

    while (!S_ISDIR(LOOP_CONTAINER(link, struct loop_sim_entry, link)->inode->now.mode)) {
        link = link->next;
        assert(link != &table->entries);
    }
    return LOOP_CONTAINER(link, struct loop_sim_entry, link);
}

void loop_sim_special_start(struct loop_sim_disk *disk)
{
    char id[16];
    struct loop_sim_entry *proc = loop_sim_table_find(&disk->root->inode->table, "proc");
    const struct loop_sim_entry *self = loop_sim_table_find(&proc->inode->table, "self");
    struct loop_sim_entry *process = only_directory(&proc->inode->table);

    snprintf(id, sizeof id, "%d", (int)loop_sim_process_id(disk->node));
    (void)loop_sim_entry_ref(process);
    loop_sim_table_remove(process);
    loop_sim_entry_rename(process, proc, id);
    loop_sim_table_add(&proc->inode->table, process);
    loop_sim_entry_unref(process);
    loop_sim_free(self->inode->target);
    self->inode->target = memcpy(loop_sim_alloc(sizeof id), id, sizeof id);
}

void loop_sim_special_create(struct loop_sim_disk *disk)
{
    create_devices(disk->root);
    create_processes(disk);
}
