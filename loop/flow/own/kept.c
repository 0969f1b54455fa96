/* SPDX-License-Identifier: ISC
 *
 * What is kept for the next reads of a source; see kept.h.
 */
#include <loop/core/loop.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/own/kept.h>
#include <loop/flow/own/rest.h>

#include <errno.h>
#include <string.h>

/* Returns the record of a source where something is kept for its next read, or NULL. */
static struct loop_own *kept_of(const struct loop_source *source)
{
    struct loop_own *own = loop_own_find(source->scope, source);
    return own && (own->unread || own->error) ? own : NULL;
}

static struct loop_fd *fd_of(struct loop_source *source)
{
    return source->ops->fd ? source->ops->fd(source) : NULL;
}

struct loop_fd *loop_source_direct_fd(struct loop_source *source)
{
    bool is_kept_first = source->ops != &loop_fd_source && source->ops->fd && loop_source_has_kept(source);
    return is_kept_first ? NULL : fd_of(source);
}

/* ---- bytes ---- */

bool loop_source_hold(const struct loop_source *source, struct loop_own **record)
{
    bool needs_record = source->ops != &loop_fd_source && !loop_source_is_rest(source) && source->ops->unread;
    *record = needs_record ? loop_own_hold(source) : NULL;
    return *record || !needs_record;
}

void loop_own_keep_block(struct loop_own *own, struct loop_block *block)
{
    block = loop_block_trim(block);
    block->next = own->unread;
    own->unread = block;
}

/* Keeps a copy of the bytes, because they come before what is kept. */
static int keep_copy(struct loop_own *own, const void *bytes, size_t len)
{
    struct loop_block *block = loop_block_of(bytes, len);
    if (block) {
        loop_own_keep_block(own, block);
    }
    return block ? 0 : -ENOMEM;
}

int loop_own_unread(struct loop_source *source, const void *bytes, size_t len)
{
    if (!source->ops->unread) {
        return -EOPNOTSUPP;
    }
    struct loop_own *own = loop_source_is_rest(source) ? NULL : kept_of(source); /* a reader has its own place for it */
    return own ? keep_copy(own, bytes, len) : source->ops->unread(source, bytes, len);
}

/* Keeps a block that its source did not take. False where the bytes are lost: the descriptor behind the source is
 * closed, or nothing holds the record. */
static bool keep_block(struct loop_source *source, struct loop_block *block)
{
    struct loop_fd *fd = fd_of(source);
    if (fd) {
        return loop_unread_give_back(fd, block);
    }
    struct loop_own *own = loop_own_find(source->scope, source);
    if (own) {
        loop_own_keep_block(own, block);
    } else {
        loop_block_free(source->scope->loop, block);
    }
    return own != NULL;
}

static bool give_back_own(struct loop_source *source, struct loop_block *block)
{
    struct loop_own *own = source->ops->unread ? kept_of(source) : NULL;
    if (own) {
        loop_own_keep_block(own, block);
        return true;
    }
    const char *bytes = (const char *)block->bytes + block->at;
    int error = source->ops->unread ? source->ops->unread(source, bytes, block->end - block->at) : -EOPNOTSUPP;
    bool is_lost = error == -EBADF || error == -EOPNOTSUPP;
    if (error && !is_lost) {
        return keep_block(source, block);
    }
    loop_block_free(source->scope->loop, block);
    return !is_lost;
}

bool loop_source_give_back(struct loop_source *source, struct loop_block *block)
{
    if (source->ops == &loop_fd_source) {
        return loop_unread_give_back(loop_fd_of_source(source), block);
    }
    return loop_source_is_rest(source) ? loop_rest_give_back(source->self, block) : give_back_own(source, block);
}

/* ---- errors ---- */

void loop_source_keep_error(struct loop_source *source, int64_t error)
{
    bool is_rest = loop_source_is_rest(source);
    if (error == -ECANCELED || (is_rest && error != -ENOMEM)) {
        return; /* a reader keeps its source's error by itself */
    }
    struct loop_fd *fd = is_rest ? NULL : fd_of(source);
    if (fd) {
        loop_unread_keep_error(source->scope->loop, fd, error);
        return;
    }
    struct loop_own *own = loop_own_get(source->scope, source);
    if (own) {
        own->error = error < INT32_MIN ? -EINVAL : (int32_t)error;
    }
}

/* ---- reads ---- */

bool loop_source_has_kept(const struct loop_source *source)
{
    return kept_of(source) != NULL;
}

static int64_t take_bytes(struct loop_own *own, void *buf, size_t len)
{
    struct loop_block *block = own->unread;
    size_t left = block->end - block->at, n = len < left ? len : left;
    memcpy(buf, (const char *)block->bytes + block->at, n);
    block->at += n;
    if (n == left) {
        own->unread = block->next;
        loop_block_free(own->loop, block);
    }
    return (int64_t)n;
}

int64_t loop_source_take_kept(const struct loop_source *source, void *buf, size_t len)
{
    struct loop_own *own = kept_of(source);
    int64_t result = own && !own->unread ? own->error : 0;
    if (result) {
        own->error = 0;
    } else if (own) {
        result = take_bytes(own, buf, len);
    }
    if (own) {
        loop_own_settle(own);
    }
    return result;
}

void loop_source_drop_kept(const struct loop_source *source)
{
    struct loop_own *own = loop_own_find(source->scope, source);
    if (own) {
        own->closes++;
        loop_own_drop_unread(own);
        own->error = 0;
        loop_own_settle(own);
    }
}
