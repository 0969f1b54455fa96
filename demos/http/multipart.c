/* SPDX-License-Identifier: ISC
 *
 * Several ranges of a file in one answer: multipart/byteranges (RFC 9110, 14.6).
 */
#include "multipart.h"

#include <stdio.h>
#include <sys/random.h>

/* Writes the head of part `i`, or the end behind all parts. Returns its length. */
static size_t write_head(struct multipart *multipart, unsigned i)
{
    unsigned long long begin, last, size = multipart->file->stat.size_bytes;
    int len;

    if (i == multipart->n_ranges) {
        len = snprintf(multipart->head, sizeof multipart->head, "\r\n--%s--\r\n", multipart->boundary);
    } else {
        begin = multipart->ranges[i].begin;
        last = begin + multipart->ranges[i].len - 1;
        len = snprintf(multipart->head, sizeof multipart->head,
                       "%s--%s\r\nContent-Type: %s\r\nContent-Range: bytes %llu-%llu/%llu\r\n\r\n", i > 0 ? "\r\n" : "",
                       multipart->boundary, multipart->type, begin, last, size);
    }
    return (size_t)len;
}

/* A boundary that cannot be guessed is in no file. */
static void choose_boundary(char boundary[33])
{
    unsigned char bytes[16] = {0};

    (void)!getrandom(bytes, sizeof bytes, 0);
    for (unsigned i = 0; i < sizeof bytes; i++) {
        snprintf(boundary + 2 * (size_t)i, 3, "%02x", bytes[i]);
    }
}

void multipart_begin(struct multipart *multipart)
{
    choose_boundary(multipart->boundary);
    multipart->len = write_head(multipart, multipart->n_ranges);
    for (unsigned i = 0; i < multipart->n_ranges; i++) {
        multipart->len += write_head(multipart, i) + multipart->ranges[i].len;
    }
}

/* Sends the next part, or the end. */
static void send_next(void *arg)
{
    struct multipart *multipart = arg;
    struct sending *sending = multipart->sending;
    unsigned i = multipart->at++;

    sending->vectors[0] = (struct iovec){multipart->head, write_head(multipart, i)};
    if (i < multipart->n_ranges) {
        sending_part(sending, 1, multipart->file, multipart->ranges[i], send_next, multipart);
    } else {
        sending_write(sending, 1, NULL, NULL);
    }
}

void multipart_send(struct multipart *multipart)
{
    struct sending *sending = multipart->sending;

    sending->vectors[0] = (struct iovec){sending->head.text, sending->head.len};
    sending_write(sending, 1, send_next, multipart);
}
