/* SPDX-License-Identifier: ISC
 *
 * The counter as a program: a server, a server with a backup, or a client.
 */
#include "counter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct counter counter = {0};
    struct counter_client client = {0};
    struct loop_address backup;

    if (argc >= 3 && argc <= 4 && !strcmp(argv[1], "serve") && loop_address_parse(&counter.address, argv[2]) == 0 &&
        (argc == 3 || loop_address_parse(&backup, argv[3]) == 0)) {
        counter.backup = argc == 4 ? &backup : NULL;
        return loop_run(0, 0, 0, NULL, counter_serve, &counter) == 0 ? 0 : 1;
    }
    if (argc == 4 && !strcmp(argv[1], "add") && loop_address_parse(&client.server, argv[2]) == 0) {
        client.n_requests = strtoull(argv[3], NULL, 10);
        return loop_run(0, 0, 0, NULL, counter_add, &client) == 0 ? 0 : 1;
    }
    fprintf(stderr, "usage: counter serve ADDRESS [BACKUP]\n       counter add SERVER COUNT\n");
    return 2;
}
