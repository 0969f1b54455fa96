/* SPDX-License-Identifier: ISC
 *
 * Datagrams sent back by plain calls, many at a time (recvmmsg, sendmmsg), for those who are told that the socket can
 * be read.
 */
#ifndef BENCH_DATAGRAMS_H
#define BENCH_DATAGRAMS_H

/* Sends back what is there. What the socket doesn't take is lost, as datagrams are. */
void datagrams_echo(int fd);

#endif
