/* SPDX-License-Identifier: ISC
 *
 * Asking for a name beyond the files: the servers, by c-ares (dns/), or the C library (system.c).
 */
#ifndef NET_NAMES_ASK_H
#define NET_NAMES_ASK_H

#include <net/names/resolver.h>

/* Types of records, as bits. */
enum loop_names_type { LOOP_NAMES_A = 1, LOOP_NAMES_AAAA = 2, LOOP_NAMES_PTR = 4 };

struct loop_names_asking; /* private */

struct loop_names_ask {
    /* Set by the caller, and valid until loop_names_ask_stop. */
    struct loop_scope *scope;
    struct loop_names_resolver *resolver; /* whose resolv.conf has been read */
    const char *name;                     /* of a host; of loop_names_arpa for PTR */
    const struct loop_address *address;   /* for PTR */
    unsigned wanted;                      /* bits of enum loop_names_type: A, AAAA or both; or PTR */
    struct loop_names_records *records;   /* what is found is added to them */
    /* Called when `pending` has changed and when it is over, never inside loop_names_ask_start. */
    void (*on_change)(void *arg);
    void *arg;
    /* The state. */
    unsigned pending; /* of `wanted`: what is still being asked for */
    bool is_over;
    int outcome;     /* when it is over: 0, with at least one record; -ENOENT, -ENODATA or another error */
    char asked[256]; /* who is asked, as text */
    struct loop_names_asking *asking;
};

/* Begins to ask. Memory is that of the scope, which the caller holds open until after loop_names_ask_stop. Returns 0,
 * or an error: then there is nothing to stop. */
int loop_names_ask_start(struct loop_names_ask *ask);

/* Ends it, over or not. `on_change` is not called any more. Harmless when it has not begun. */
void loop_names_ask_stop(struct loop_names_ask *ask);

#endif
