/* SPDX-License-Identifier: ISC
 *
 * The limit by hand on io_uring alone, with one setting for all loads: connections by multishot accept into the ring's
 * own table of files, bytes by multishot receives into provided buffers and by sends out of these.
 */
#include "uring.h"

int main(int argc, char **argv)
{
    struct server server = server_arguments(argc, argv, NULL);
    struct io_uring ring;

    ring_open(&ring);
    if (server.mode == SERVER_UDP) {
        uring_serve_datagrams(&server, &ring);
    }
    uring_serve_streams(&server, &ring);
}
