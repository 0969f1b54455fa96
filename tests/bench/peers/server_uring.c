/* SPDX-License-Identifier: ISC
 *
 * The handwritten server on io_uring alone, with the same settings for all loads: multishot accept into the ring's
 * table of files, multishot receives into provided buffers, and sends from these buffers.
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
