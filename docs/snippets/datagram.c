/* SPDX-License-Identifier: ISC
 *
 * Datagrams: a server that answers in capitals, and its client in the same loop.
 */
#include <loop/loop.h>
#include <net/net.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char *questions[] = {"one", "two", "three"};

struct client {
    struct loop_datagram_socket *socket;
    unsigned answers;
};

static void on_question(void *socket, int64_t result, const struct loop_datagram *question)
{
    char answer[100];
    size_t len = 0;

    if (!question || result < 0) {
        return; /* the end of the stream, or an error of an earlier answer */
    }
    for (const char *text = question->data; len < question->len && len < sizeof answer; len++) {
        answer[len] = (char)toupper((unsigned char)text[len]);
    }
    loop_datagram_put(socket, question->sender, answer, len);
}

static void on_answer(void *arg, int64_t result, const struct loop_datagram *answer)
{
    struct client *client = arg;

    if (!answer) {
        return;
    }
    if (result < 0) {
        printf("nobody answers: %s\n", strerror((int)-result));
        loop_datagram_close(client->socket);
        return;
    }
    printf("%.*s\n", (int)answer->len, (const char *)answer->data);
    if (++client->answers == sizeof questions / sizeof questions[0]) {
        loop_datagram_close(client->socket);
    }
}

static int open_both(struct loop_scope *scope, struct loop_datagram_socket **server,
                     struct loop_datagram_socket **client)
{
    struct loop_address address;
    int error = loop_address_parse(&address, "udp:127.0.0.1:0");

    if (error == 0) {
        error = loop_datagram_open(scope, &(struct loop_datagram_options){.bind_to = &address}, server);
    }
    if (error == 0) {
        error = loop_datagram_address(*server, &address); /* with the port that the kernel chose */
    }
    if (error == 0) {
        error = loop_datagram_open(scope, &(struct loop_datagram_options){.connect_to = &address}, client);
    }
    return error;
}

static int start(struct loop_env *env, void *arg)
{
    struct client *client = arg;
    struct loop_datagram_socket *server;
    int error = open_both(env->scope, &server, &client->socket);

    if (error < 0) {
        return error;
    }
    loop_daemon(env->loop, loop_datagram_stream(server, on_question, server));
    loop_datagram_stream(client->socket, on_answer, client);
    for (unsigned i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        loop_datagram_put(client->socket, NULL, questions[i], strlen(questions[i]));
    }
    return 0;
}

int main(void)
{
    struct client client = {0};

    return loop_run(0, 0, 0, NULL, start, &client) == 0 ? 0 : 1;
}
