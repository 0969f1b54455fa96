/* SPDX-License-Identifier: ISC
 *
 * Public functions of net/ and fs/ called with NULL, or with destroyed objects.
 */
#include "misuse.h"

#include <net/pass.h>

TEST(p23_null_and_what_is_gone_are_named_in_net_and_fs)
{
    misuse_check_all();
}

#define FN NULL, NULL
#define ENDED "opened by loop_scope_open (at suite_misuse_parts+0x"
#define DESTROYED "destroyed by loop_fd_destroy (at suite_misuse_parts+0x"
#define WENT "went with its scope"

static struct loop_address address = {.length = sizeof(struct sockaddr_in), .u.ipv4 = {.sin_family = AF_INET}};
static struct loop_flow *flows[2];
static struct loop_listener *listener;
static struct loop_datagram_socket *datagrams;
static struct loop_datagram_options options = {.bind_to = &address};
static struct loop_fd *process;
static struct loop_passed passed;
static int value;
static char *text;
static void *data;

static bool server_stats_are_zero(void)
{
    struct loop_server_stats stats = {.accepted = 1};

    loop_server_get_stats(NULL, &stats);
    return stats.accepted == 0;
}

static bool datagram_stats_are_zero(struct loop_datagram_socket *socket)
{
    struct loop_datagram_stats stats = {.sent = 1};

    loop_datagram_get_stats(socket, &stats);
    return stats.sent == 0;
}

static void on_connection(struct loop_flow *peer, void *unused)
{
    (void)peer;
    (void)unused;
}

static bool serve_by_domains_of_parts(void)
{
    const struct loop_serve_options by_domain = {.domains = 1};

    return loop_serve(loop_part_scope(here->loop), &address, &by_domain, NULL, on_connection, NULL) == -EINVAL;
}

/* ---- sockets ---- */

MISUSE(loop_flow_local_address, "the flow is NULL", loop_flow_local_address(NULL, &address) == -EINVAL)
MISUSE(loop_flow_peer_address, "the flow is NULL", loop_flow_peer_address(NULL, &address) == -EINVAL)
MISUSE(loop_flow_local_address, DESTROYED, loop_flow_local_address(gone.flow, &address) == -EINVAL)
MISUSE(loop_flow_peer_address, DESTROYED, loop_flow_peer_address(gone.flow, &address) == -EINVAL)
MISUSE(loop_socket_set, "the descriptor is NULL", loop_socket_set(NULL, LOOP_SO_KEEPALIVE, 1) == -EINVAL)
MISUSE(loop_socket_get, "the descriptor is NULL", loop_socket_get(NULL, LOOP_SO_KEEPALIVE, &value) == -EINVAL)
MISUSE(loop_socket_set_text, "the descriptor is NULL",
       loop_socket_set_text(NULL, LOOP_TCP_CONGESTION, "cubic") == -EINVAL)
MISUSE(loop_socket_get_text, "the descriptor is NULL",
       loop_socket_get_text(NULL, LOOP_TCP_CONGESTION, (char[LOOP_SOCKET_TEXT_SIZE]){""}) == -EINVAL)
MISUSE(loop_socket_tcp_info, "the descriptor is NULL",
       loop_socket_tcp_info(NULL, &(struct loop_tcp_info){.rtt_us = 0}) == -EINVAL)
MISUSE(loop_flow_peer_credentials, "the flow is NULL",
       loop_flow_peer_credentials(NULL, &(struct loop_credentials){.pid = 0}) == -EINVAL)
MISUSE(loop_flow_peer_process, "the scope is NULL", loop_flow_peer_process(NULL, NULL, &process) == -EINVAL)
MISUSE(loop_flow_peer_process, "the flow is NULL", loop_flow_peer_process(here->scope, NULL, &process) == -EINVAL)
MISUSE(loop_send_fds, "the flow is NULL", loop_send_fds(NULL, &process, 1, "", 1, FN) == 0)
MISUSE(loop_receive_fds, "the flow is NULL", loop_receive_fds(here->scope, NULL, &value, 1, &passed, FN) == 0)
MISUSE(loop_socket_set, DESTROYED, loop_socket_set(gone.fd, LOOP_SO_KEEPALIVE, 1) == -EINVAL)
MISUSE(loop_connect, "the scope is NULL", loop_connect(NULL, &address, NULL, flows, FN) == 0)
MISUSE(loop_connect, ENDED, loop_connect(gone.scope, &address, NULL, flows, FN) == 0)
MISUSE(loop_socketpair, "the scope is NULL", loop_socketpair(NULL, &flows[0], &flows[1]) == -EINVAL)
MISUSE(loop_socketpair, ENDED, loop_socketpair(gone.scope, &flows[0], &flows[1]) == -EINVAL)
MISUSE(loop_socketpair_packets, "the scope is NULL", loop_socketpair_packets(NULL, &flows[0], &flows[1]) == -EINVAL)
MISUSE(loop_listen, "the scope is NULL", loop_listen(NULL, &address, NULL, &listener) == -EINVAL)
MISUSE(loop_listen, ENDED, loop_listen(gone.scope, &address, NULL, &listener) == -EINVAL)
MISUSE(loop_listener_adopt, "the scope is NULL", loop_listener_adopt(NULL, -1, 0, &listener) == -EINVAL)
MISUSE(loop_listener_adopt, ENDED, loop_listener_adopt(gone.scope, -1, 0, &listener) == -EINVAL)
MISUSE(loop_listener_adopt, "listener is NULL", loop_listener_adopt(here->scope, -1, 0, NULL) == -EINVAL)
MISUSE(loop_listener_address, "the listener is NULL", loop_listener_address(NULL, &address) == -EINVAL)
MISUSE(loop_listener_fd, "the listener is NULL", loop_listener_fd(NULL) == NULL)
MISUSE(loop_listener_close, "the listener is NULL", loop_listener_close(NULL) == -EINVAL)
MISUSE(loop_accept, "the scope is NULL", loop_accept(NULL, NULL, flows, FN) == 0)
MISUSE(loop_accept, "the listener is NULL", loop_accept(here->scope, NULL, flows, FN) == 0)
MISUSE(loop_serve, "the scope is the loop's own", serve_by_domains_of_parts())
MISUSE(loop_serve, "the scope is NULL", loop_serve(NULL, &address, NULL, NULL, on_connection, NULL) == -EINVAL)
MISUSE(loop_serve, ENDED, loop_serve(gone.scope, &address, NULL, NULL, on_connection, NULL) == -EINVAL)
MISUSE(loop_serve_adopt, "the scope is NULL", loop_serve_adopt(NULL, -1, 0, NULL, NULL, on_connection, NULL) == -EINVAL)
MISUSE(loop_serve_adopt, ENDED, loop_serve_adopt(gone.scope, -1, 0, NULL, NULL, on_connection, NULL) == -EINVAL)
MISUSE_VOID(loop_server_stop, "the server is NULL", loop_server_stop(NULL, 0))
MISUSE_VOID(loop_server_retire, "the server is NULL", loop_server_retire(NULL, 0))
MISUSE(loop_server_adopt, "the server is NULL", loop_server_adopt(NULL, NULL) == -EINVAL)
MISUSE(loop_server_listener, "the server is NULL", loop_server_listener(NULL) == NULL)
MISUSE(loop_server_get_stats, "the server is NULL", server_stats_are_zero())

/* ---- datagrams ---- */

MISUSE(loop_datagram_open, "the scope is NULL", loop_datagram_open(NULL, &options, &datagrams) == -EINVAL)
MISUSE(loop_datagram_open, ENDED, loop_datagram_open(gone.scope, &options, &datagrams) == -EINVAL)
MISUSE(loop_datagram_adopt, "the scope is NULL", loop_datagram_adopt(NULL, -1, NULL, &datagrams) == -EINVAL)
MISUSE(loop_datagram_address, "socket is NULL", loop_datagram_address(NULL, &address) == -EINVAL)
MISUSE(loop_datagram_fd, "socket is NULL", loop_datagram_fd(NULL) == NULL)
MISUSE(loop_datagram_close, "socket is NULL", loop_datagram_close(NULL) == -EINVAL)
MISUSE(loop_datagram_stream, "socket is NULL", loop_datagram_stream(NULL, FN) == 0)
MISUSE(loop_datagram_put, "socket is NULL", loop_datagram_put(NULL, NULL, "", 1) == -EINVAL)
MISUSE(loop_datagram_put_from, "socket is NULL", loop_datagram_put_from(NULL, NULL, NULL, "", 1) == -EINVAL)
MISUSE(loop_datagram_put_with, "socket is NULL", loop_datagram_put_with(NULL, NULL, NULL, "", 1) == -EINVAL)
MISUSE(loop_datagram_send_with, "socket is NULL", loop_datagram_send_with(NULL, NULL, NULL, "", 1, FN) == 0)
MISUSE(loop_datagram_join, "socket is NULL", loop_datagram_join(NULL, &address, NULL, 0) == -EINVAL)
MISUSE(loop_datagram_leave, "socket is NULL", loop_datagram_leave(NULL, &address, NULL, 0) == -EINVAL)
MISUSE(loop_datagram_set_multicast_interface, "socket is NULL",
       loop_datagram_set_multicast_interface(NULL, 0) == -EINVAL)
MISUSE(loop_datagram_path_mtu, "socket is NULL", loop_datagram_path_mtu(NULL, &(size_t){0}) == -EINVAL)
MISUSE(loop_datagram_send, "socket is NULL", loop_datagram_send(NULL, NULL, "", 1, FN) == 0)
MISUSE(loop_datagram_send_from, "socket is NULL", loop_datagram_send_from(NULL, NULL, NULL, "", 1, FN) == 0)
MISUSE(loop_datagram_queued, "socket is NULL", loop_datagram_queued(NULL) == 0)
MISUSE(loop_datagram_is_full, "socket is NULL", loop_datagram_is_full(NULL))
MISUSE(loop_datagram_wait_drained, "socket is NULL", loop_datagram_wait_drained(NULL, FN) == 0)
MISUSE(loop_datagram_get_stats, "socket is NULL", datagram_stats_are_zero(NULL))

/* ---- NULL where something is to be written, or comes from ---- */

static struct loop_listener *listener_made(void)
{
    static struct loop_address any;

    CHECK_IS(loop_address_parse(&any, "tcp:127.0.0.1:0"), 0);
    CHECK_IS(loop_listen(here->scope, &any, NULL, &listener), 0);
    CHECK(loop_sleep(here->scope, 0, NULL, NULL) != 0);
    return listener;
}

static struct loop_datagram_socket *datagrams_made(void)
{
    static struct loop_address any;

    CHECK_IS(loop_address_parse(&any, "udp:127.0.0.1:0"), 0);
    CHECK_IS(loop_datagram_open(here->scope, &(struct loop_datagram_options){.bind_to = &any}, &datagrams), 0);
    return datagrams;
}

MISUSE(loop_connect, "flow is NULL", loop_connect(here->scope, &address, NULL, NULL, FN) == 0)
MISUSE(loop_socketpair, "flow is NULL", loop_socketpair(here->scope, NULL, &flows[1]) == -EINVAL)
MISUSE(loop_socketpair, "flow is NULL", loop_socketpair(here->scope, &flows[0], NULL) == -EINVAL)
MISUSE(loop_socketpair_packets, "flow is NULL", loop_socketpair_packets(here->scope, NULL, &flows[1]) == -EINVAL)
MISUSE(loop_listen, "listener is NULL", loop_listen(here->scope, &address, NULL, NULL) == -EINVAL)
MISUSE(loop_listener_address, "address is NULL", loop_listener_address(listener_made(), NULL) == -EINVAL)
MISUSE(loop_accept, "flow is NULL", loop_accept(here->scope, listener_made(), NULL, FN) == 0)
MISUSE_VOID(loop_server_get_stats, "statistics is NULL", loop_server_get_stats(NULL, NULL))
MISUSE(loop_datagram_open, "socket is NULL", loop_datagram_open(here->scope, &options, NULL) == -EINVAL)
MISUSE(loop_datagram_adopt, "socket is NULL", loop_datagram_adopt(here->scope, -1, NULL, NULL) == -EINVAL)
MISUSE(loop_datagram_address, "address is NULL", loop_datagram_address(datagrams_made(), NULL) == -EINVAL)
MISUSE(loop_datagram_stream, "function is NULL", loop_datagram_stream(datagrams_made(), FN) == 0)
MISUSE_VOID(loop_datagram_get_stats, "statistics is NULL", loop_datagram_get_stats(datagrams_made(), NULL))

/* ---- directories and files ---- */

#define NO_DIR "the directory is NULL"
#define NO_FILE "the descriptor is NULL"

static struct loop_fs_status status;
static struct loop_fs_space space;
static struct loop_dir *opened;
static struct loop_entries *entries;
static struct loop_entry *list;

MISUSE(loop_fs_open_dir, NO_DIR, loop_fs_open_dir(NULL, NULL, ".", &opened, FN) == 0)
MISUSE(loop_fs_stat, NO_DIR, loop_fs_stat(NULL, NULL, ".", LOOP_FS_FOLLOW, &status, FN) == 0)
MISUSE(loop_fs_kind, NO_DIR, loop_fs_kind(NULL, NULL, ".", LOOP_FS_FOLLOW, FN) == 0)
MISUSE(loop_fs_access, NO_DIR, loop_fs_access(NULL, NULL, ".", 0, FN) == 0)
MISUSE(loop_fs_statfs, NO_DIR, loop_fs_statfs(NULL, NULL, ".", &space, FN) == 0)
MISUSE(loop_fs_realpath, NO_DIR, loop_fs_realpath(NULL, NULL, ".", &text, FN) == 0)
MISUSE(loop_fs_read_link, NO_DIR, loop_fs_read_link(NULL, NULL, ".", &text, FN) == 0)
MISUSE(loop_fs_mkdir, NO_DIR, loop_fs_mkdir(NULL, NULL, ".", 0, FN) == 0)
MISUSE(loop_fs_mkdirs, NO_DIR, loop_fs_mkdirs(NULL, NULL, ".", 0, FN) == 0)
MISUSE(loop_fs_unlink, NO_DIR, loop_fs_unlink(NULL, NULL, ".", FN) == 0)
MISUSE(loop_fs_rmdir, NO_DIR, loop_fs_rmdir(NULL, NULL, ".", FN) == 0)
MISUSE(loop_fs_rmtree, NO_DIR, loop_fs_rmtree(NULL, NULL, ".", FN) == 0)
MISUSE(loop_fs_rename, NO_DIR, loop_fs_rename(NULL, NULL, ".", here->cwd, ".", LOOP_RENAME_REPLACE, FN) == 0)
MISUSE(loop_fs_link, NO_DIR, loop_fs_link(NULL, NULL, ".", here->cwd, ".", FN) == 0)
MISUSE(loop_fs_symlink, NO_DIR, loop_fs_symlink(NULL, "x", NULL, ".", FN) == 0)
MISUSE(loop_fs_chmod, NO_DIR, loop_fs_chmod(NULL, NULL, ".", LOOP_FS_FOLLOW, 0, FN) == 0)
MISUSE(loop_fs_chown, NO_DIR, loop_fs_chown(NULL, NULL, ".", LOOP_FS_FOLLOW, 0, 0, FN) == 0)
MISUSE(loop_fs_set_times, NO_DIR, loop_fs_set_times(NULL, NULL, ".", LOOP_FS_FOLLOW, NULL, NULL, FN) == 0)
MISUSE(loop_fs_truncate, NO_DIR, loop_fs_truncate(NULL, NULL, ".", 0, FN) == 0)
MISUSE(loop_fs_sync, NO_DIR, loop_fs_sync(NULL, NULL, ".", FN) == 0)
MISUSE(loop_fs_open_stat, NO_DIR, loop_fs_open_stat(NULL, NULL, ".", NULL, flows, &status, FN) == 0)
MISUSE(loop_fs_open, NO_DIR, loop_fs_open(NULL, NULL, ".", NULL, flows, FN) == 0)
MISUSE(loop_fs_load, NO_DIR, loop_fs_load(NULL, NULL, ".", 0, &data, FN) == 0)
MISUSE(loop_fs_save, NO_DIR, loop_fs_save(NULL, NULL, ".", "", 0, NULL, FN) == 0)
MISUSE(loop_fs_copy_file, NO_DIR, loop_fs_copy_file(NULL, NULL, ".", here->cwd, ".", NULL, FN) == 0)
MISUSE(loop_fs_copy_files, NO_DIR, loop_fs_copy_files(NULL, NULL, here->cwd, NULL, 0, NULL, FN) == 0)
MISUSE(loop_fs_read_dir, NO_DIR, loop_fs_read_dir(NULL, NULL, ".", 0, &entries, FN) == 0)
MISUSE(loop_entries_next, "reader of a directory is NULL", loop_entries_next(NULL, FN) == 0)
MISUSE(loop_fs_list, NO_DIR, loop_fs_list(NULL, NULL, ".", 0, &list, FN) == 0)
MISUSE(loop_fs_watch, NO_DIR, loop_fs_watch(NULL, NULL, ".", FN) == 0)
MISUSE(loop_file_pread, NO_FILE, loop_file_pread(NULL, NULL, NULL, 0, 0, FN) == 0)
MISUSE(loop_file_pwrite, NO_FILE, loop_file_pwrite(NULL, NULL, NULL, 0, 0, FN) == 0)
MISUSE(loop_file_seek, NO_FILE, loop_file_seek(NULL, 0, SEEK_SET) == -EINVAL)
MISUSE(loop_file_stat, NO_FILE, loop_file_stat(NULL, NULL, &status, FN) == 0)
MISUSE(loop_file_truncate, NO_FILE, loop_file_truncate(NULL, NULL, 0, FN) == 0)
MISUSE(loop_file_allocate, NO_FILE, loop_file_allocate(NULL, NULL, 0, 0, 1, FN) == 0)
MISUSE(loop_file_sync, NO_FILE, loop_file_sync(NULL, NULL, 0, FN) == 0)
MISUSE(loop_file_chmod, NO_FILE, loop_file_chmod(NULL, NULL, 0, FN) == 0)
MISUSE(loop_file_chown, NO_FILE, loop_file_chown(NULL, NULL, 0, 0, FN) == 0)
MISUSE(loop_file_set_times, NO_FILE, loop_file_set_times(NULL, NULL, NULL, NULL, FN) == 0)

/* A scope is neither. */
MISUSE_JOB(loop_fs_open_dir, NO_DIR, loop_fs_open_dir(here->scope, NULL, ".", &opened, REFUSED))
MISUSE_JOB(loop_fs_stat, NO_DIR, loop_fs_stat(here->scope, NULL, ".", LOOP_FS_FOLLOW, &status, REFUSED))
MISUSE_JOB(loop_fs_kind, NO_DIR, loop_fs_kind(here->scope, NULL, ".", LOOP_FS_FOLLOW, REFUSED))
MISUSE_JOB(loop_fs_access, NO_DIR, loop_fs_access(here->scope, NULL, ".", 0, REFUSED))
MISUSE_JOB(loop_fs_statfs, NO_DIR, loop_fs_statfs(here->scope, NULL, ".", &space, REFUSED))
MISUSE_JOB(loop_fs_realpath, NO_DIR, loop_fs_realpath(here->scope, NULL, ".", &text, REFUSED))
MISUSE_JOB(loop_fs_read_link, NO_DIR, loop_fs_read_link(here->scope, NULL, ".", &text, REFUSED))
MISUSE_JOB(loop_fs_mkdir, NO_DIR, loop_fs_mkdir(here->scope, NULL, ".", 0, REFUSED))
MISUSE_JOB(loop_fs_mkdirs, NO_DIR, loop_fs_mkdirs(here->scope, NULL, ".", 0, REFUSED))
MISUSE_JOB(loop_fs_unlink, NO_DIR, loop_fs_unlink(here->scope, NULL, ".", REFUSED))
MISUSE_JOB(loop_fs_rmdir, NO_DIR, loop_fs_rmdir(here->scope, NULL, ".", REFUSED))
MISUSE_JOB(loop_fs_rmtree, NO_DIR, loop_fs_rmtree(here->scope, NULL, ".", REFUSED))
MISUSE_JOB(loop_fs_rename, NO_DIR, loop_fs_rename(here->scope, NULL, ".", here->cwd, ".", LOOP_RENAME_REPLACE, REFUSED))
MISUSE_JOB(loop_fs_link, NO_DIR, loop_fs_link(here->scope, NULL, ".", here->cwd, ".", REFUSED))
MISUSE_JOB(loop_fs_symlink, NO_DIR, loop_fs_symlink(here->scope, "x", NULL, ".", REFUSED))
MISUSE_JOB(loop_fs_chmod, NO_DIR, loop_fs_chmod(here->scope, NULL, ".", LOOP_FS_FOLLOW, 0, REFUSED))
MISUSE_JOB(loop_fs_chown, NO_DIR, loop_fs_chown(here->scope, NULL, ".", LOOP_FS_FOLLOW, 0, 0, REFUSED))
MISUSE_JOB(loop_fs_set_times, NO_DIR, loop_fs_set_times(here->scope, NULL, ".", LOOP_FS_FOLLOW, NULL, NULL, REFUSED))
MISUSE_JOB(loop_fs_truncate, NO_DIR, loop_fs_truncate(here->scope, NULL, ".", 0, REFUSED))
MISUSE_JOB(loop_fs_sync, NO_DIR, loop_fs_sync(here->scope, NULL, ".", REFUSED))
MISUSE_JOB(loop_fs_open, NO_DIR, loop_fs_open(here->scope, NULL, ".", NULL, flows, REFUSED))
MISUSE_JOB(loop_fs_load, NO_DIR, loop_fs_load(here->scope, NULL, ".", 0, &data, REFUSED))
MISUSE_JOB(loop_fs_save, NO_DIR, loop_fs_save(here->scope, NULL, ".", "", 0, NULL, REFUSED))
MISUSE_JOB(loop_fs_copy_file, NO_DIR, loop_fs_copy_file(here->scope, NULL, ".", here->cwd, ".", NULL, REFUSED))
MISUSE_JOB(loop_fs_copy_files, NO_DIR, loop_fs_copy_files(here->scope, here->cwd, NULL, NULL, 0, NULL, REFUSED))
MISUSE_JOB(loop_fs_read_dir, NO_DIR, loop_fs_read_dir(here->scope, NULL, ".", 0, &entries, REFUSED))
MISUSE_JOB(loop_fs_list, NO_DIR, loop_fs_list(here->scope, NULL, ".", 0, &list, REFUSED))
MISUSE_JOB(loop_file_pread, NO_FILE, loop_file_pread(here->scope, NULL, NULL, 0, 0, REFUSED))
MISUSE_JOB(loop_file_pwrite, NO_FILE, loop_file_pwrite(here->scope, NULL, NULL, 0, 0, REFUSED))
MISUSE_JOB(loop_file_stat, NO_FILE, loop_file_stat(here->scope, NULL, &status, REFUSED))
MISUSE_JOB(loop_file_truncate, NO_FILE, loop_file_truncate(here->scope, NULL, 0, REFUSED))
MISUSE_JOB(loop_file_allocate, NO_FILE, loop_file_allocate(here->scope, NULL, 0, 0, 1, REFUSED))
MISUSE_JOB(loop_file_sync, NO_FILE, loop_file_sync(here->scope, NULL, 0, REFUSED))
MISUSE_JOB(loop_file_chmod, NO_FILE, loop_file_chmod(here->scope, NULL, 0, REFUSED))
MISUSE_JOB(loop_file_chown, NO_FILE, loop_file_chown(here->scope, NULL, 0, 0, REFUSED))
MISUSE_JOB(loop_file_set_times, NO_FILE, loop_file_set_times(here->scope, NULL, NULL, NULL, REFUSED))
MISUSE_JOB(loop_fs_rename, NO_DIR, loop_fs_rename(NULL, here->cwd, ".", NULL, ".", LOOP_RENAME_REPLACE, REFUSED))
MISUSE_JOB(loop_fs_link, NO_DIR, loop_fs_link(NULL, here->cwd, ".", NULL, ".", REFUSED))
MISUSE_JOB(loop_fs_copy_file, NO_DIR, loop_fs_copy_file(NULL, here->cwd, ".", NULL, ".", NULL, REFUSED))

MISUSE(loop_fs_stat, ENDED, loop_fs_stat(gone.scope, here->cwd, ".", LOOP_FS_FOLLOW, &status, FN) == 0)
MISUSE(loop_fs_open, ENDED, loop_fs_open(gone.scope, here->cwd, ".", NULL, flows, FN) == 0)
MISUSE(loop_fs_watch, ENDED, loop_fs_watch(gone.scope, here->cwd, ".", FN) == 0)
MISUSE(loop_file_pread, DESTROYED, loop_file_pread(NULL, gone.fd, NULL, 0, 0, FN) == 0)
MISUSE(loop_file_seek, DESTROYED, loop_file_seek(gone.fd, 0, SEEK_SET) == -EINVAL)
MISUSE(loop_file_stat, DESTROYED, loop_file_stat(NULL, gone.fd, &status, FN) == 0)
MISUSE(loop_file_sync, DESTROYED, loop_file_sync(here->scope, gone.fd, 0, FN) == 0)

/* ---- what a scope's memory held: only debug builds know ---- */

#if NORIA_DEBUG
MISUSE(loop_listener_address, "the listener " WENT, loop_listener_address(gone.listener, &address) == -EINVAL)
MISUSE(loop_accept, "the listener " WENT, loop_accept(here->scope, gone.listener, flows, FN) == 0)
MISUSE(loop_datagram_put, "the datagram socket " WENT, loop_datagram_put(gone.datagrams, NULL, "", 1) == -EINVAL)
MISUSE(loop_datagram_close, "the datagram socket " WENT, loop_datagram_close(gone.datagrams) == -EINVAL)
MISUSE(loop_fs_stat, "the directory " WENT, loop_fs_stat(NULL, gone.dir, ".", LOOP_FS_FOLLOW, &status, FN) == 0)
MISUSE(loop_fs_link, "the directory " WENT, loop_fs_link(NULL, here->cwd, ".", gone.dir, ".", FN) == 0)
#endif
