/* SPDX-License-Identifier: ISC
 *
 * The files of Unix sockets: how they are bound, guarded while that goes on, and removed.
 */
#ifndef NET_LOCAL_H
#define NET_LOCAL_H

#include <net/net.h>

#include <sys/types.h>

/* Room for a path with its NUL, which sun_path may lack. */
#define LOOP_NET_PATH_SIZE (sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1)

/* The file that a bind has made, identified by its inode: another program may have replaced it since. */
struct loop_net_file {
    char *path; /* NULL: none, or removed */
    dev_t device;
    ino_t inode;
};

/* Guards the path of a Unix socket while its file is made, examined or removed: flock(2) on a file beside it, whose
 * name ends in ".lock" and which is removed again. A program that is killed meanwhile leaves the file behind,
 * unlocked. */
struct loop_net_lock {
    int number; /* -1: none, which is so for an address without a path */
    char path[LOOP_NET_PATH_SIZE + sizeof ".lock"];
};

/* Takes the lock without waiting. Returns 0, -EADDRINUSE while another program has it, or the -errno of open(2). */
int loop_net_lock(const struct loop_address *address, struct loop_net_lock *lock);

/* Gives the lock back and removes its file. Does nothing for an address without a path. */
void loop_net_unlock(struct loop_net_lock *lock);

/* Whether a program has the lock. Makes no file, so that a program which takes the lock meanwhile finds it free. */
bool loop_net_is_locked(const struct loop_address *address);

/* Calls bind(2). With `reuse` it removes a socket file that no program has open any more and tries again. Returns 0 or
 * -errno. */
int loop_net_bind(int number, int type, const struct loop_address *address, bool reuse);

/* Records which file a bind has made, and gives it the permissions `mode` where that is not 0. `file->path` points to
 * LOOP_NET_PATH_SIZE bytes for the path, and is NULL afterwards where no file was made. Returns 0 or -errno. */
int loop_net_note_file(const struct loop_address *address, unsigned mode, struct loop_net_file *file);

/* Removes the file, unless another has taken its place. Does nothing where there is none, or when it has been
 * removed. */
void loop_net_remove_file(struct loop_net_file *file);

/* Finds the file of a Unix socket that this program has not bound itself. `file->path` is the caller's, to be given to
 * loop_net_disown_file; it is NULL where there is no file of this user. Returns 0 or -ENOMEM. */
int loop_net_find_file(int number, struct loop_net_file *file);

/* Copies what is known of a file, with a path of its own. Returns 0 or -ENOMEM. */
int loop_net_copy_file(const struct loop_net_file *file, struct loop_net_file *copy);

/* Removes such a file, and frees the path. */
void loop_net_end_file(struct loop_net_file *file);

/* Frees the path of loop_net_find_file or loop_net_copy_file; the file stays. */
void loop_net_disown_file(struct loop_net_file *file);

/* Returns the path from the root, in the scope's memory, or NULL when there is none. */
char *loop_net_absolute_path(struct loop_scope *scope, const char *path);

/* Changes "[::]" to the address of every IPv4 host. Returns false for any other address. */
bool loop_net_fall_back_to_ipv4(struct loop_address *address);

#endif
