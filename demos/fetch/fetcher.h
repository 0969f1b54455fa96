/* SPDX-License-Identifier: ISC
 *
 * What the parts of fetch share: the options, and what is to be fetched.
 */
#ifndef DEMOS_FETCHER_H
#define DEMOS_FETCHER_H

#include "../common/progress.h"
#include "fetch_error.h"
#include "fetch_url.h"

#include <net/names.h>
#include <net/tls.h>

struct download {
    struct url url;
    char *name; /* of the file; NULL: standard output */
};

struct fetcher {
    struct loop_env *env;
    struct loop_resolver *resolver;
    struct loop_tls_context *tls;
    struct progress *progress;

    const char *range;       /* "A-B", or NULL */
    const char *authorities; /* a file; NULL: those of the system */
    bool is_fresh, allows_downgrade, is_insecure;
    unsigned most_redirects, most_retries;
    size_t most_head_bytes;
    uint64_t most_bytes;
    int64_t timeout_ns, stall_ns; /* LOOP_NEVER: none */

    struct download *downloads;
    size_t n_downloads, n_begun, n_failed, n_tasks;
};

#endif
