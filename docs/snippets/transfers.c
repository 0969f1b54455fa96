/* SPDX-License-Identifier: ISC
 *
 * transfers URL...: downloads all of them at once by libcurl, and prints how many bytes each has.
 */
#include <adapters/curl.h>
#include <loop/loop.h>

#include <errno.h>
#include <stdio.h>

struct download {
    const char *url;
    CURL *easy;
    size_t length;
};

static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct download *download = arg;

    (void)bytes;
    download->length += size * n;
    return size * n;
}

static void on_done(void *arg, int64_t result)
{
    struct download *download = arg;

    if (result < 0) {
        printf("%s: cancelled\n", download->url);
    } else if (result > 0) {
        printf("%s: %s\n", download->url, curl_easy_strerror((CURLcode)result));
    } else {
        printf("%s: %zu bytes\n", download->url, download->length);
    }
    curl_easy_cleanup(download->easy);
}

static int begin(struct loop_curl *curl, struct download *download)
{
    download->easy = curl_easy_init();
    curl_easy_setopt(download->easy, CURLOPT_URL, download->url);
    curl_easy_setopt(download->easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(download->easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(download->easy, CURLOPT_WRITEDATA, download);
    return loop_curl_perform(curl, download->easy, on_done, download) ? 0 : -ENOMEM;
}

static int start(struct loop_env *env, void *arg)
{
    struct loop_curl *curl = loop_curl_open(env->scope);
    int error = curl ? 0 : -ENOMEM;

    loop_scope_deadline(env->scope, loop_now(env->loop) + 10 * LOOP_SECOND);
    for (const char **url = arg; *url && error == 0; url++) {
        struct download *download = loop_scope_alloc(env->scope, sizeof *download);
        if (!download) {
            return -ENOMEM;
        }
        download->url = *url;
        error = begin(curl, download);
    }
    return error;
}

int main(int argc, char **argv)
{
    (void)argc;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int result = loop_run(0, 0, 0, NULL, start, argv + 1);
    curl_global_cleanup();
    return result == 0 ? 0 : 1;
}
