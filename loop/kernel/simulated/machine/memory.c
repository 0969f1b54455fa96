/* SPDX-License-Identifier: ISC
 *
 * The door's memory: blocks of the C library's allocator, of which a table says whose they are, so that a crash frees
 * them, and mappings. The blocks are nothing else than the C library's: a program may free() what it has got from the
 * library, and give it what it has allocated itself.
 */
#include <loop/ground/poison.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/state.h>

#include <assert.h>
#include <unistd.h>

/* ---- the table ---- */

/* A block that a program has allocated. The table is open: a block stands at its place or behind it. */
struct loop_sim_block {
    uintptr_t address; /* 0: the place is free */
    size_t size;       /* at least 1, so that a node with blocks has bytes */
    struct loop_sim_node *node;
};

static size_t place_of(const struct loop_sim_machine *machine, uintptr_t address)
{
    return (size_t)((address >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (machine->blocks_size - 1);
}

static size_t next_place(const struct loop_sim_machine *machine, size_t place)
{
    return (place + 1) & (machine->blocks_size - 1);
}

/* Returns where the block stands, or the free place where it would. */
static size_t find(const struct loop_sim_machine *machine, uintptr_t address)
{
    size_t place = place_of(machine, address);
    while (machine->blocks[place].address && machine->blocks[place].address != address) {
        place = next_place(machine, place);
    }
    return place;
}

static size_t *bytes_of(struct loop_sim_machine *machine, struct loop_sim_node *node)
{
    return node ? &node->memory_bytes : &machine->memory_bytes;
}

static void grow(struct loop_sim_machine *machine)
{
    struct loop_sim_block *old = machine->blocks;
    size_t size = machine->blocks_size;
    machine->blocks_size = size > 0 ? 2 * size : 64;
    machine->blocks = loop_sim_alloc(machine->blocks_size * sizeof *machine->blocks);
    for (size_t i = 0; i < size; i++) {
        if (old[i].address) {
            machine->blocks[find(machine, old[i].address)] = old[i];
        }
    }
    loop_sim_free(old);
}

/* Frees the place of a block, and moves those behind it that would not be found otherwise. */
static void remove_at(struct loop_sim_machine *machine, size_t place)
{
    struct loop_sim_block *blocks = machine->blocks;
    *bytes_of(machine, blocks[place].node) -= blocks[place].size;
    machine->n_blocks--;
    for (size_t at = next_place(machine, place); blocks[at].address; at = next_place(machine, at)) {
        size_t distance = (at - place_of(machine, blocks[at].address)) & (machine->blocks_size - 1);
        if (distance >= ((at - place) & (machine->blocks_size - 1))) {
            blocks[place] = blocks[at];
            place = at;
        }
    }
    blocks[place].address = 0;
}

static void forget(uintptr_t address)
{
    struct loop_sim_world *world = loop_sim_world_now();
    if (!world || world->machine->n_blocks == 0) {
        return;
    }
    size_t place = find(world->machine, address);
    if (world->machine->blocks[place].address) {
        remove_at(world->machine, place);
    }
}

/* Enters a block as the calling node's. One that is there already has been freed by the program itself. */
static void *enter(void *memory, size_t size)
{
    if (!memory) {
        return NULL;
    }
    forget((uintptr_t)memory);
    struct loop_sim_node *node = loop_sim_here();
    struct loop_sim_machine *machine = loop_sim_world_now()->machine;
    if (2 * (machine->n_blocks + 1) > machine->blocks_size) {
        grow(machine);
    }
    uintptr_t address = (uintptr_t)memory;
    size = size > 0 ? size : 1;
    machine->blocks[find(machine, address)] = (struct loop_sim_block){.address = address, .size = size, .node = node};
    machine->n_blocks++;
    *bytes_of(machine, node) += size;
    return memory;
}

/* ---- the allocator ---- */

static bool is_refused(void)
{
    (void)loop_sim_here();
    if (!loop_sim_happens(LOOP_SIM_NO_MEMORY)) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

void *loop_kernel_malloc(size_t size)
{
    return is_refused() ? NULL : enter(malloc(size), size);
}

void *loop_kernel_calloc(size_t count, size_t size)
{
    return is_refused() ? NULL : enter(calloc(count, size), count * size);
}

void *loop_kernel_aligned_alloc(size_t alignment, size_t size)
{
    return is_refused() ? NULL : enter(aligned_alloc(alignment, size), size);
}

void *loop_kernel_realloc(void *old, size_t size)
{
    if (is_refused()) {
        return NULL;
    }
    if (old && size == 0) {
        loop_kernel_free(old);
        return NULL;
    }
    volatile uintptr_t before = (uintptr_t)old; /* volatile: to the compiler it is the pointer that realloc may free */
    void *memory = realloc(old, size);
    if (memory && before) {
        forget(before);
    }
    return enter(memory, size);
}

char *loop_kernel_strdup(const char *text)
{
    return is_refused() ? NULL : enter(strdup(text), strlen(text) + 1);
}

char *loop_kernel_strndup(const char *text, size_t len)
{
    return is_refused() ? NULL : enter(strndup(text, len), strnlen(text, len) + 1);
}

void loop_kernel_free(void *memory)
{
    if (memory) {
        forget((uintptr_t)memory);
        free(memory);
    }
}

/* A crash of the node does not free it any more. */
void loop_kernel_give(const void *memory)
{
    forget((uintptr_t)memory);
}

/* ---- pages ---- */

/* A mapping that a program has made. */
struct mapping {
    struct loop_list link;
    char *at;
    size_t size; /* whole pages */
    struct loop_sim_node *node;
};

static size_t whole_pages(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size + page - 1) & ~(page - 1);
}

static bool is_page(const void *at)
{
    return ((uintptr_t)at & ((size_t)sysconf(_SC_PAGESIZE) - 1)) == 0;
}

/* Returns the mapping that has a byte of the range, or NULL. */
static struct mapping *mapping_in(const char *at, size_t size)
{
    struct loop_list *list = &loop_sim_world_now()->machine->mappings;
    for (struct loop_list *link = list->next; link != list; link = link->next) {
        struct mapping *mapping = LOOP_CONTAINER(link, struct mapping, link);
        if (at < mapping->at + mapping->size && mapping->at < at + size) {
            return mapping;
        }
    }
    return NULL;
}

static void unmap(struct mapping *mapping)
{
    *bytes_of(loop_sim_world_now()->machine, mapping->node) -= mapping->size;
    LOOP_UNPOISON(mapping->at, mapping->size); /* the next mapping there is another's */
    munmap(mapping->at, mapping->size);
    loop_list_remove(&mapping->link);
    loop_sim_free(mapping);
}

/* Returns the error of a mapping that is refused, or 0. The kernel checks in this order. */
static int mapping_error(size_t size, int flags, int file_error, off_t offset)
{
    int type = flags & MAP_TYPE;
    if (!is_page((const void *)(uintptr_t)offset)) {
        return EINVAL;
    }
    if (file_error == EBADF) {
        return EBADF;
    }
    if (size == 0) {
        return EINVAL;
    }
    if (size > PTRDIFF_MAX / 2) {
        return ENOMEM;
    }
    if (type != MAP_PRIVATE && type != MAP_SHARED) {
        return EINVAL;
    }
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        return ENOSYS;
    }
    return file_error ? file_error : loop_sim_happens(LOOP_SIM_NO_MEMORY) ? ENOMEM : 0;
}

void *loop_sim_map(void *at, size_t size, int prot, int flags, int file_error, off_t offset)
{
    struct loop_sim_node *node = loop_sim_here();
    struct loop_sim_machine *machine = loop_sim_world_now()->machine;
    int error = mapping_error(size, flags, file_error, offset);
    if (error) {
        errno = error;
        return MAP_FAILED;
    }
    void *memory = mmap(at, size, prot, flags, -1, 0);
    if (memory == MAP_FAILED) {
        return memory;
    }
    struct mapping *mapping = loop_sim_alloc(sizeof *mapping);
    *mapping = (struct mapping){.at = memory, .size = whole_pages(size), .node = node};
    loop_list_push_back(&machine->mappings, &mapping->link);
    *bytes_of(machine, node) += mapping->size;
    return memory;
}

int loop_kernel_munmap(void *at, size_t size)
{
    (void)loop_sim_here();
    if (size == 0 || !is_page(at)) {
        return (int)loop_sim_return(-EINVAL);
    }
    size = whole_pages(size);
    struct mapping *mapping;
    while ((mapping = mapping_in(at, size))) {
        if (mapping->at < (char *)at || mapping->at + mapping->size > (char *)at + size) {
            return (int)loop_sim_return(-ENOSYS); /* a part of a mapping */
        }
        unmap(mapping);
    }
    return 0;
}

int loop_kernel_madvise(void *at, size_t size, int advice)
{
    (void)loop_sim_here();
    if (!is_page(at)) {
        return (int)loop_sim_return(-EINVAL);
    }
    size = whole_pages(size);
    const struct mapping *mapping = mapping_in(at, size);
    if (size > 0 && (!mapping || mapping->at > (char *)at || mapping->at + mapping->size < (char *)at + size)) {
        return (int)loop_sim_return(-ENOMEM);
    }
    return madvise(at, size, advice);
}

/* ---- ends ---- */

static void clear_mappings(struct loop_sim_machine *machine, const struct loop_sim_node *node)
{
    for (struct loop_list *link = machine->mappings.next, *next; link != &machine->mappings; link = next) {
        next = link->next;
        struct mapping *mapping = LOOP_CONTAINER(link, struct mapping, link);
        if (mapping->node == node) {
            unmap(mapping);
        }
    }
}

/* Frees all that a node has allocated through the door; of no node where it is NULL. */
static void clear_memory(struct loop_sim_world *world, struct loop_sim_node *node)
{
    struct loop_sim_machine *machine = world->machine;
    if (*bytes_of(machine, node) == 0) {
        return;
    }
    clear_mappings(machine, node);
    for (size_t place = 0; place < machine->blocks_size;) {
        struct loop_sim_block *block = &machine->blocks[place];
        if (!block->address || block->node != node) {
            place++;
            continue;
        }
        void *memory = (void *)block->address;
        remove_at(machine, place); /* another may stand here now */
        free(memory);
    }
    assert(*bytes_of(machine, node) == 0);
}

/* Frees all that programs have allocated. */
static void clear_all(struct loop_sim_machine *machine)
{
    for (size_t place = 0; machine->n_blocks > 0; place++) {
        struct loop_sim_block *block = &machine->blocks[place];
        if (block->address) {
            *bytes_of(machine, block->node) -= block->size;
            free((void *)block->address);
            block->address = 0;
            machine->n_blocks--;
        }
    }
    while (!loop_list_is_empty(&machine->mappings)) {
        unmap(LOOP_CONTAINER(machine->mappings.next, struct mapping, link));
    }
}

/* At the end of a world all its nodes are stopped before the first is destroyed. To look through the blocks for each of
 * many nodes would take the square of their number. */
static void node_stopped(struct loop_sim_node *node, bool has_crashed)
{
    (void)has_crashed;
    if (!node->world->machine->is_ending) {
        clear_memory(node->world, node);
    }
}

static void node_destroyed(struct loop_sim_node *node)
{
    if (node->world->machine->is_ending) {
        clear_all(node->world->machine);
    } else {
        clear_memory(node->world, node);
    }
}

static void world_destroyed(struct loop_sim_world *world)
{
    clear_memory(world, NULL);
    loop_sim_free(world->machine->blocks);
}

const struct loop_sim_part loop_sim_memory_part = {
    .node_stopped = node_stopped, .node_destroyed = node_destroyed, .world_destroyed = world_destroyed};
