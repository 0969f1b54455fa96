/* SPDX-License-Identifier: ISC
 *
 * The bytes of a file: pages of 4096 bytes, of which only those exist that have been written or reserved. Two contents
 * may share pages: a page is copied when it is written while shared.
 */
#ifndef LOOP_KERNEL_SIMULATED_DISK_CONTENT_H
#define LOOP_KERNEL_SIMULATED_DISK_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOOP_SIM_PAGE_SIZE = 4096, LOOP_SIM_SECTOR_SIZE = 512 };

/* The page number `index`. Without memory it is reserved: it reads as zeros, and its room on the disk is taken. */
struct loop_sim_slot {
    uint64_t index;
    struct loop_sim_page *page;
};

/* Zeros are an empty file. */
struct loop_sim_content {
    uint64_t size;
    struct loop_sim_slot *slots; /* in the order of their numbers */
    size_t n_slots, room;
};

/* Frees the pages. The content is empty afterwards. */
void loop_sim_content_finish(struct loop_sim_content *content);

/* Copies bytes to and from a range. Reading does not look at the size: what is not there reads as zeros. Writing makes
 * the file longer where it ends behind its size. */
void loop_sim_content_write(struct loop_sim_content *content, uint64_t offset, const void *data, size_t len);
void loop_sim_content_read(const struct loop_sim_content *content, uint64_t offset, void *data, size_t len);

/* Makes a range read as zeros, and frees the pages that are wholly in it. The size stays. */
void loop_sim_content_punch(struct loop_sim_content *content, uint64_t offset, uint64_t len);

/* Sets the size. What is behind it is freed. */
void loop_sim_content_truncate(struct loop_sim_content *content, uint64_t size);

/* Takes room for the pages of a range. The size stays. */
void loop_sim_content_reserve(struct loop_sim_content *content, uint64_t offset, uint64_t len);

/* Returns how many pages a write to a range would add. */
uint64_t loop_sim_content_missing(const struct loop_sim_content *content, uint64_t offset, uint64_t len);

/* Makes the pages of a range in `to` those of `from`. The sizes stay. */
void loop_sim_content_share(struct loop_sim_content *to, const struct loop_sim_content *from, uint64_t offset,
                            uint64_t len);

/* Returns the first byte at or behind `offset` that is data, or in a hole; `size` when there is none. */
uint64_t loop_sim_content_next_data(const struct loop_sim_content *content, uint64_t offset);
uint64_t loop_sim_content_next_hole(const struct loop_sim_content *content, uint64_t offset);

#endif
