/* SPDX-License-Identifier: ISC
 *
 * Sparse contents of files, in pages that are copied on write.
 */
#include <loop/kernel/simulated/disk/content.h>
#include <loop/kernel/simulated/machine/machine.h>

#include <assert.h>
#include <string.h>

struct loop_sim_page {
    unsigned uses; /* contents that have it */
    unsigned char bytes[LOOP_SIM_PAGE_SIZE];
};

/* ---- pages ---- */

static void page_unref(struct loop_sim_page *page)
{
    if (page && --page->uses == 0) {
        loop_sim_free(page);
    }
}

static struct loop_sim_page *page_ref(struct loop_sim_page *page)
{
    if (page) {
        page->uses++;
    }
    return page;
}

/* Makes sure that a slot has a page of its own. */
static struct loop_sim_page *page_to_write(struct loop_sim_slot *slot)
{
    struct loop_sim_page *old = slot->page;

    if (old && old->uses == 1) {
        return old;
    }
    struct loop_sim_page *page = loop_sim_alloc(sizeof *page);
    if (old) {
        memcpy(page->bytes, old->bytes, sizeof page->bytes);
        page_unref(old);
    }
    page->uses = 1;
    slot->page = page;
    return page;
}

/* ---- slots ---- */

/* Returns the place of the first slot whose number is at least `index`. */
static size_t find_slot(const struct loop_sim_content *content, uint64_t index)
{
    size_t low = 0, high = content->n_slots;

    if (high > 0 && content->slots[high - 1].index < index) {
        return high; /* files mostly grow at their end */
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (content->slots[middle].index < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct loop_sim_slot *slot_at(const struct loop_sim_content *content, uint64_t index)
{
    size_t place = find_slot(content, index);

    return place < content->n_slots && content->slots[place].index == index ? &content->slots[place] : NULL;
}

static struct loop_sim_slot *slot_made(struct loop_sim_content *content, uint64_t index)
{
    size_t place = find_slot(content, index);

    if (place < content->n_slots && content->slots[place].index == index) {
        return &content->slots[place];
    }
    if (content->n_slots == content->room) {
        content->room = content->room ? 2 * content->room : 4;
        content->slots = loop_sim_realloc(content->slots, content->room * sizeof *content->slots);
    }
    memmove(&content->slots[place + 1], &content->slots[place], (content->n_slots - place) * sizeof *content->slots);
    content->slots[place] = (struct loop_sim_slot){.index = index};
    content->n_slots++;
    return &content->slots[place];
}

/* Removes the slots with numbers from `first` to before `end`. */
static void remove_slots(struct loop_sim_content *content, uint64_t first, uint64_t end)
{
    size_t from = find_slot(content, first), to = find_slot(content, end);

    if (first >= end) {
        return;
    }
    for (size_t i = from; i < to; i++) {
        page_unref(content->slots[i].page);
    }
    if (to > from) {
        memmove(&content->slots[from], &content->slots[to], (content->n_slots - to) * sizeof *content->slots);
        content->n_slots -= to - from;
    }
}

/* ---- bytes ---- */

void loop_sim_content_finish(struct loop_sim_content *content)
{
    remove_slots(content, 0, UINT64_MAX);
    loop_sim_free(content->slots);
    *content = (struct loop_sim_content){.size = 0};
}

/* Returns how many of `len` bytes at `offset` are in its page. */
static size_t in_page(uint64_t offset, uint64_t len)
{
    uint64_t left = LOOP_SIM_PAGE_SIZE - offset % LOOP_SIM_PAGE_SIZE;

    return (size_t)(len < left ? len : left);
}

void loop_sim_content_write(struct loop_sim_content *content, uint64_t offset, const void *data, size_t len)
{
    const unsigned char *from = data;

    for (size_t done = 0, n; done < len; done += n) {
        uint64_t at = offset + done;
        n = in_page(at, len - done);
        struct loop_sim_slot *slot = slot_made(content, at / LOOP_SIM_PAGE_SIZE);
        memcpy(page_to_write(slot)->bytes + at % LOOP_SIM_PAGE_SIZE, from + done, n);
    }
    if (len > 0 && offset + len > content->size) {
        content->size = offset + len;
    }
}

void loop_sim_content_read(const struct loop_sim_content *content, uint64_t offset, void *data, size_t len)
{
    unsigned char *to = data;

    for (size_t done = 0, n; done < len; done += n) {
        uint64_t at = offset + done;
        n = in_page(at, len - done);
        const struct loop_sim_slot *slot = slot_at(content, at / LOOP_SIM_PAGE_SIZE);
        if (slot && slot->page) {
            memcpy(to + done, slot->page->bytes + at % LOOP_SIM_PAGE_SIZE, n);
        } else {
            memset(to + done, 0, n);
        }
    }
}

/* Makes bytes within one page zeros. */
static void clear_in_page(struct loop_sim_content *content, uint64_t offset, size_t len)
{
    struct loop_sim_slot *slot = slot_at(content, offset / LOOP_SIM_PAGE_SIZE);

    if (len > 0 && slot && slot->page) {
        memset(page_to_write(slot)->bytes + offset % LOOP_SIM_PAGE_SIZE, 0, len);
    }
}

void loop_sim_content_punch(struct loop_sim_content *content, uint64_t offset, uint64_t len)
{
    uint64_t end = offset + len, first = (offset + LOOP_SIM_PAGE_SIZE - 1) / LOOP_SIM_PAGE_SIZE;
    uint64_t last = end / LOOP_SIM_PAGE_SIZE;

    assert(end >= offset);
    if (len == 0) {
        return;
    }
    if (first > last) { /* within one page */
        clear_in_page(content, offset, (size_t)len);
        return;
    }
    clear_in_page(content, offset, (size_t)(first * LOOP_SIM_PAGE_SIZE - offset));
    clear_in_page(content, last * LOOP_SIM_PAGE_SIZE, (size_t)(end % LOOP_SIM_PAGE_SIZE));
    remove_slots(content, first, last);
}

void loop_sim_content_truncate(struct loop_sim_content *content, uint64_t size)
{
    uint64_t pages = (size + LOOP_SIM_PAGE_SIZE - 1) / LOOP_SIM_PAGE_SIZE;

    if (size < content->size) {
        remove_slots(content, pages, UINT64_MAX);
        clear_in_page(content, size, (size_t)(pages * LOOP_SIM_PAGE_SIZE - size));
    }
    content->size = size;
}

void loop_sim_content_reserve(struct loop_sim_content *content, uint64_t offset, uint64_t len)
{
    for (uint64_t i = offset / LOOP_SIM_PAGE_SIZE; i * LOOP_SIM_PAGE_SIZE < offset + len; i++) {
        (void)slot_made(content, i);
    }
}

uint64_t loop_sim_content_missing(const struct loop_sim_content *content, uint64_t offset, uint64_t len)
{
    uint64_t first = offset / LOOP_SIM_PAGE_SIZE, end = (offset + len + LOOP_SIM_PAGE_SIZE - 1) / LOOP_SIM_PAGE_SIZE;

    return len == 0 ? 0 : end - first - (find_slot(content, end) - find_slot(content, first));
}

void loop_sim_content_share(struct loop_sim_content *to, const struct loop_sim_content *from, uint64_t offset,
                            uint64_t len)
{
    uint64_t first = offset / LOOP_SIM_PAGE_SIZE, end = (offset + len + LOOP_SIM_PAGE_SIZE - 1) / LOOP_SIM_PAGE_SIZE;

    remove_slots(to, first, end);
    for (size_t i = find_slot(from, first); i < from->n_slots && from->slots[i].index < end; i++) {
        slot_made(to, from->slots[i].index)->page = page_ref(from->slots[i].page);
    }
}

/* ---- holes ---- */

uint64_t loop_sim_content_next_data(const struct loop_sim_content *content, uint64_t offset)
{
    size_t place = find_slot(content, offset / LOOP_SIM_PAGE_SIZE);

    while (place < content->n_slots && !content->slots[place].page) {
        place++;
    }
    if (place == content->n_slots) {
        return content->size;
    }
    uint64_t at = content->slots[place].index * LOOP_SIM_PAGE_SIZE;
    at = at > offset ? at : offset;
    return at < content->size ? at : content->size;
}

uint64_t loop_sim_content_next_hole(const struct loop_sim_content *content, uint64_t offset)
{
    uint64_t index = offset / LOOP_SIM_PAGE_SIZE;
    size_t place = find_slot(content, index);

    while (place < content->n_slots && content->slots[place].index == index && content->slots[place].page) {
        place++;
        index++;
    }
    uint64_t at = index * LOOP_SIM_PAGE_SIZE;
    at = at > offset ? at : offset;
    return at < content->size ? at : content->size;
}
