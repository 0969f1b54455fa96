/* SPDX-License-Identifier: ISC
 *
 * The file of a download. Until it is whole it is named NAME.part, and NAME.part.info says where it comes from: the
 * URL, and the validator of its content, by which a server can be asked for the rest. Both stay when a download breaks
 * off.
 */
#ifndef DEMOS_FETCH_PART_H
#define DEMOS_FETCH_PART_H

#include "fetcher.h"
#include "fetch_response.h"

#include <fs/fs.h>

#define PART_LONGEST_SUFFIX ".part.info"

struct part {
    struct loop_scope *scope; /* owns the open file */
    struct loop_dir *dir;
    const char *name, *url; /* `url` is as in the information */
    char part_name[URL_SIZE + sizeof PART_LONGEST_SUFFIX], info_name[URL_SIZE + sizeof PART_LONGEST_SUFFIX];
    struct loop_flow *flow;
    struct loop_fs_status status, named;
    bool may_resume, is_ours; /* is_ours: it is open and locked */
    bool has_info;            /* the information is that of the content */
    uint64_t offset;          /* how many bytes there are, of the content that `validator` names */
    char validator[RESPONSE_VALUE_SIZE];
    char info[URL_SIZE + RESPONSE_VALUE_SIZE + 8];
    void *loaded;
    struct fetch_error *why;
    loop_fn *fn;
    void *arg;
};

/* Whether `name` is what a file beside an unfinished download is named. A download with such a name could replace a
 * file of another one, which would then be taken for its content. */
bool part_has_name(const char *name);

/* The other calls resume with 0, or with an error, and then `why` has the step. They return false without memory. */

/* Opens the file in `scope`, unless its final name is that of something else than a regular file, and locks it: two
 * programs that fetch the same name do not mix their bytes. `may_resume`: what an earlier program has left is kept, and
 * `offset` is its length, if it is of this URL. Otherwise it is 0. */
bool part_open(struct part *part, bool may_resume, loop_fn *fn, void *arg);

/* Begins a new content: what is there is removed, and the validator, which may be "", is stored. */
bool part_restart(struct part *part, const char *validator, loop_fn *fn, void *arg);

/* The content is whole: gives the file its name. */
bool part_finish(struct part *part, loop_fn *fn, void *arg);

/* After a failure: keeps what can be resumed, and removes everything else. */
bool part_leave(struct part *part, loop_fn *fn, void *arg);

#endif
