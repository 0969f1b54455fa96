/* SPDX-License-Identifier: ISC
 *
 * Descriptors of a process: the one at the other end of a Unix socket (SO_PEERPIDFD). It is the process of the node,
 * because Unix sockets connect within one. So it has not ended while a program can ask, and its descriptor is never
 * readable.
 */
#include <loop/kernel/simulated/network/unix/pidfd.h>
#include <loop/kernel/simulated/object/object.h>

#include <errno.h>
#include <fcntl.h>

static uint32_t poll_process(struct loop_sim_file *file)
{
    (void)file;
    return 0;
}

static int status_of_process(struct loop_sim_file *file, struct stat *status)
{
    (void)file;
    return loop_sim_file_anonymous_status(status, 0700, LOOP_SIM_ANONYMOUS_INODE);
}

static void release_process(struct loop_sim_file *file)
{
    loop_sim_free(file);
}

static const struct loop_sim_file_kind kind = {
    .name = "pidfd",
    .poll = poll_process,
    .status = status_of_process,
    .release = release_process,
};

int loop_sim_pidfd_open_peer(const struct loop_sim_socket *socket)
{
    if (!socket->local_socket.has_peer_credentials) {
        return -ENODATA;
    }
    struct loop_sim_node *node = loop_sim_here();
    struct loop_sim_file *file = loop_sim_alloc(sizeof *file);
    loop_sim_file_init(file, &kind, node, O_RDWR);
    return loop_sim_file_install(node, file, 0, O_CLOEXEC);
}
