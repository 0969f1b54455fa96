/* SPDX-License-Identifier: ISC
 *
 * Echo of datagrams by plain calls, in batches (recvmmsg, sendmmsg), for servers that react to readiness.
 */
#ifndef BENCH_DATAGRAMS_H
#define BENCH_DATAGRAMS_H

/* Sends back what is there. What the socket doesn't take is lost, as datagrams are. */
void datagrams_echo(int fd);

#endif
