/* SPDX-License-Identifier: ISC
 *
 * The smallest program: a loop that writes one line.
 */
#include <loop/loop.h>

static int start(struct loop_env *env, void *arg)
{
    static const char line[] = "hello from the loop\n";

    (void)arg;
    loop_write(env->out, line, sizeof line - 1, NULL, NULL);
    return 0;
}

int main(void)
{
    return loop_run(0, 0, 0, NULL, start, NULL) == 0 ? 0 : 1;
}
