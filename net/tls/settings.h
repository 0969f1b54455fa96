/* SPDX-License-Identifier: ISC
 *
 * A copy of the options of a context, for the thread that makes it.
 */
#ifndef NET_TLS_SETTINGS_H
#define NET_TLS_SETTINGS_H

#include <net/tls.h>

/* Texts that stay in memory, or files that have not been read. */
struct loop_tls_settings {
    struct loop_tls_options options; /* with pointers to copies */
    bool is_server;
    size_t protocols_len;
    unsigned char *protocols; /* as in the messages: each with its length in front */
};

/* Copies options. Returns 0; -EINVAL for bad ones, with a text; -ENOMEM. After an error nothing is left to free. */
int loop_tls_settings_init(struct loop_tls_settings *settings, const struct loop_tls_options *options, bool is_server,
                           struct loop_tls_error *error);

/* Frees the copies. */
void loop_tls_settings_finish(struct loop_tls_settings *settings);

#endif
