/* SPDX-License-Identifier: ISC
 *
 * The files of Unix sockets during a replacement. Predecessor and successor have the same sockets then, and each file
 * has one owner, which removes it:
 *
 *     from the time at which the sockets are sent, no server here has its file any more, on either side
 *     the connection between the two ends because the predecessor has stopped or has gone:  the successor has the files
 *     it ends because the successor has failed or is late:                                  the predecessor has them
 */
#include <loop/part.h>
#include <net/listen.h>
#include <service/object.h>

/* Adds a place, or returns NULL where there is none. There is one for each server of a service, and for those that have
 * ended meanwhile there may be none left: their files stay. */
static struct loop_service_file *add(struct loop_service_files *files, struct loop_service_server *entry)
{
    if (files->n == LOOP_SERVICE_MOST) {
        return NULL;
    }
    struct loop_service_file *file = &files->of[files->n++];
    *file = (struct loop_service_file){.entry = entry, .life = entry->life};
    return file;
}

int loop_service_take_files(struct loop_service *service, struct loop_service_files *files)
{
    for (size_t i = 0; i < LOOP_SERVICE_MOST; i++) {
        struct loop_service_server *entry = &service->servers[i];
        struct loop_service_file *file = entry->server ? add(files, entry) : NULL;
        int error = file ? loop_net_take_file(loop_server_listener(entry->server), &file->file) : 0;
        if (error < 0) {
            files->n--;
            return error;
        }
    }
    return 0;
}

void loop_service_note_file(struct loop_service_files *files, struct loop_service_server *entry, int number)
{
    struct loop_service_file *file = add(files, entry);

    if (file) {
        (void)loop_net_find_file(number, &file->file);
    }
}

void loop_service_own_files(struct loop_service_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        struct loop_service_file *file = &files->of[i];
        if (file->entry->server && file->entry->life == file->life) {
            loop_net_give_file(loop_server_listener(file->entry->server), &file->file);
        } else {
            loop_net_end_file(&file->file);
        }
    }
    files->n = 0;
}

void loop_service_disown_files(struct loop_service_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        loop_net_disown_file(&files->of[i].file);
    }
    files->n = 0;
}
