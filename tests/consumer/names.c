/* SPDX-License-Identifier: ISC
 *
 * A minimal program that uses noria::names: it looks up "localhost", for which no server is asked.
 */
#include <net/names.h>

#include <stdio.h>
#include <stdlib.h>

static struct loop_addresses *found;
static struct loop_name_error error;

static void on_found(void *arg, int64_t result)
{
    char text[LOOP_ADDRESS_TEXT_SIZE];

    (void)arg;
    if (result > 0 && loop_address_format(&found->items[0], text, sizeof text) > 0) {
        printf("%s\n", text + 4);
    } else {
        printf("%s\n", error.text);
    }
    free(found);
}

static int start(struct loop_env *env, void *arg)
{
    const struct loop_resolve_options options = {.family = AF_INET};

    (void)arg;
    return loop_resolve_name(env->scope, "localhost", "80", &options, &found, &error, on_found, NULL) ? 0 : -1;
}

int main(void)
{
    return loop_run(0, 0, 0, NULL, start, NULL) == 0 ? 0 : 1;
}
