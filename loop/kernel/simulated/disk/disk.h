/* SPDX-License-Identifier: ISC
 *
 * The disk of a node: a file system in memory, of which a crash keeps what has been synced, and by choice parts of the
 * rest.
 *
 * The functions here do not wait, and take the node whose disk, working directory and descriptors are meant. The door's
 * functions wait for the disk's latency before they call them; so does the ring.
 */
#ifndef LOOP_KERNEL_SIMULATED_DISK_DISK_H
#define LOOP_KERNEL_SIMULATED_DISK_DISK_H

#include <loop/kernel/simulated/object/file.h>

#include <linux/openat2.h>
#include <sys/stat.h>

/* Opens. Returns the file, or NULL with the negative errno in *error. */
struct loop_sim_file *loop_sim_disk_open(struct loop_sim_node *node, int dir, const char *path,
                                         const struct open_how *how, int *error);

/* Returns what open(2) and openat(2) make of their arguments, which they do not check: for loop_sim_disk_open. */
struct open_how loop_sim_disk_how(int flags, mode_t mode);

/* statx(2). */
int loop_sim_disk_statx(struct loop_sim_node *node, int dir, const char *path, int flags, unsigned mask,
                        struct statx *status);

/* fsync(2), or fdatasync(2) with `data_only`. Of any file: -EINVAL for what is not of a disk. */
int loop_sim_disk_sync(struct loop_sim_file *file, bool data_only);

/* What a process may ask of its file system, and the library does not. Return 0 or a negative errno; umask returns the
 * mask before. mknod makes files, FIFOs and sockets, of which a mode without a type is a file. */
int loop_sim_disk_chdir(struct loop_sim_node *node, const char *path);
mode_t loop_sim_disk_umask(struct loop_sim_node *node, mode_t mask);
int loop_sim_disk_mknod(struct loop_sim_node *node, int dir, const char *path, mode_t mode);

/* The other calls on names, files and sizes, as the door has them: for the ring. Return 0 or a negative errno. */
int loop_sim_disk_mkdir(struct loop_sim_node *node, int dir, const char *path, mode_t mode);
int loop_sim_disk_link(struct loop_sim_node *node, int from, const char *from_path, int to, const char *to_path,
                       int flags);
int loop_sim_disk_symlink(struct loop_sim_node *node, const char *target, int dir, const char *path);
int loop_sim_disk_unlink(struct loop_sim_node *node, int dir, const char *path, int flags);
int loop_sim_disk_rename(struct loop_sim_node *node, int from, const char *from_path, int to, const char *to_path,
                         unsigned flags);
int loop_sim_disk_allocate(struct loop_sim_file *file, int mode, int64_t offset, int64_t len);
int loop_sim_disk_truncate(struct loop_sim_file *file, int64_t size);

/* ---- Unix sockets ---- */

/* Makes a socket at a path, as bind(2) does, with the mode of the socket less the umask. Stores its inode, which names
 * it for the network. Returns 0, -EADDRINUSE when the name exists, or another negative errno. */
int loop_sim_disk_make_socket(struct loop_sim_node *node, const char *path, mode_t mode, uint64_t *inode);

/* Finds the inode of a socket, as connect(2) does: links are followed. Returns 0, -ECONNREFUSED when it is no socket,
 * or another negative errno. */
int loop_sim_disk_find_socket(struct loop_sim_node *node, const char *path, uint64_t *inode);

/* ---- size, latency, files from outside ---- */

/* How a disk is. */
struct loop_sim_disk_options {
    uint64_t size_bytes; /* 0: no limit */
    int64_t latency_ns;  /* of each operation that reaches the disk */
};
void loop_sim_disk_set(struct loop_sim_node *node, const struct loop_sim_disk_options *options);

/* Puts a file with this content there, durable, with its directories; or reads one. For worlds and tests, outside of
 * fibers. Return 0 or a negative errno. The content that is read is allocated by loop_sim_alloc. */
int loop_sim_disk_put(struct loop_sim_node *node, const char *path, const void *data, size_t len);
int loop_sim_disk_get(struct loop_sim_node *node, const char *path, void **data, size_t *len);

/* What the disk does with nodes and worlds. */
extern const struct loop_sim_part loop_sim_disk_part;

#endif
