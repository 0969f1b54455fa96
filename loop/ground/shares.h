/* SPDX-License-Identifier: ISC
 *
 * Memory that the loops of several threads divide among themselves: one mapping with a share for each, and beside it as
 * many records. A loop uses its own share without asking the others. The memory is there until the last of them has
 * dropped it.
 */
#ifndef LOOP_GROUND_SHARES_H
#define LOOP_GROUND_SHARES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* The start of a share, and of its records: no two loops use one line of the cache. */
#define LOOP_SHARE_ALIGNMENT ((size_t)64)

struct loop_shares {
    atomic_uint references;
    unsigned count;        /* how many there are */
    pthread_mutex_t mutex; /* of what follows. The pointers and sizes are constant once the memory is mapped */
    unsigned n_begun;      /* so many from the first on have been given out, and some of them were returned */
    unsigned n_returned;   /* their indexes are in `returned` */
    char *memory;          /* NULL: it has not been mapped */
    char *records;
    size_t share_bytes, records_bytes; /* of each share; from one to the next */
    /* What the first loop has made of the memory for all of them, of its backend. */
    bool has_tried;
    void *registration;
    void (*unregister)(void *registration);
    unsigned returned[];
};

/* The share of one loop. */
struct loop_share {
    struct loop_shares *shares;
    unsigned index;
};

/* Creates shares without memory. Returns NULL when there is none for the object. The caller has a reference. */
struct loop_shares *loop_shares_create(unsigned count);

/* Returns the next share, which no other loop gets. Its `shares` is NULL when all have been given out. On any thread
 * that has a reference. */
struct loop_share loop_shares_take(struct loop_shares *shares);

/* Returns a share that no loop has used, so that another one can get it. On any thread that has a reference. */
void loop_shares_return(struct loop_share share);

/* Maps the memory, zeroed, unless another thread has: shares of `share_bytes` bytes, and `records_bytes` bytes of
 * records for each. Returns 0; -ENOMEM; -EINVAL when others have mapped shares of another size. */
int loop_shares_map(struct loop_shares *shares, size_t share_bytes, size_t records_bytes);

/* Returns the size of the mapped shares together, in bytes. */
static inline size_t loop_shares_size(const struct loop_shares *shares)
{
    return shares->count * shares->share_bytes;
}

/* Takes a reference, on any thread that has one. */
void loop_shares_ref(struct loop_shares *shares);

/* Drops a reference, on any thread. NULL is ignored. The last one unregisters and unmaps the memory. */
void loop_shares_unref(struct loop_shares *shares);

#endif
