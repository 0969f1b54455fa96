/* SPDX-License-Identifier: ISC
 *
 * A C++20 program that fills the public structs with designated initializers. Each initializer omits fields, and
 * structs are named without the keyword struct. tests/checks/headers compiles it without warnings.
 */
#include <domain/domain.h>
#include <fs/fs.h>
#include <loop/loop.h>
#include <loop/low_level.h>
#include <loop/part.h>
#include <loop/reader.h>
#include <loop/writer.h>
#include <net/names.h>
#include <net/net.h>
#include <net/pass.h>
#include <net/socket_option.h>
#include <net/tls.h>
#include <process/process.h>
#include <service/service.h>
#include <sync/sync.h>

static void on_connection(loop_flow *peer, void *)
{
    loop_copy(&peer->source, &peer->sink, nullptr, nullptr);
}

static void start_program(loop_scope *scope, loop_process **process)
{
    const loop_spawn_fd fds[] = {{.number = 1, .how = LOOP_SPAWN_OUTPUT}};
    const loop_spawn_user user = {.uid = 1, .gid = 1};
    const loop_spawn_limit limits[] = {{.resource = RLIMIT_CORE, .limit = {0, 0}}};
    const loop_spawn_options options = {.fds = fds, .n_fds = 1, .user = &user, .limits = limits, .n_limits = 1};
    loop_spawn(scope, "true", &options, process, nullptr, nullptr, nullptr);
}

static loop_job make_nothing(void *, loop_scope *, void **, loop_fn *, void *)
{
    return 0;
}

static void use_sync(loop_env *env)
{
    static void *resource;
    const loop_resources_options options = {.limit = 1, .make = make_nothing, .dispose = [](void *, void *) {}};
    loop_resource_acquire(nullptr, loop_resources_create(env->scope, &options), &resource, nullptr, nullptr);
    loop_group *group = loop_group_open(env->scope, LOOP_FIRST_OF, 1, nullptr, nullptr);
    loop_group_add(group, 0, loop_sleep(env->scope, 0, LOOP_MEMBER(group, 0)));
}

static loop_job read_nothing(loop_source *, void *, size_t, loop_fn *, void *)
{
    return 0;
}

static loop_job write_nothing(loop_sink *, const iovec *, size_t, loop_fn *, void *)
{
    return 0;
}

static int64_t work_nothing(void *)
{
    return 0;
}

static void count(loop_env *env, const loop_server *server, const loop_datagram_socket *datagrams)
{
    loop_stats stats;
    loop_server_stats server_stats;
    loop_datagram_stats datagram_stats;
    loop_get_stats(env->loop, &stats);
    loop_server_get_stats(server, &server_stats);
    loop_datagram_get_stats(datagrams, &datagram_stats);
}

static void use_sockets(loop_env *env, const loop_address *address)
{
    const loop_socket_setting setting = {.option = LOOP_SO_LINGER_S};
    const loop_connect_options connect = {.settings = &setting, .n_settings = 1};
    const loop_listen_options listen = {.reuse_addr = true};
    const loop_serve_options serve = {.listen = {.reuse_addr = true}, .stop_on_signals = true};
    const loop_datagram_options datagram = {.bind_to = address};
    static loop_flow *flow;
    loop_listener *listener;
    loop_datagram_socket *datagrams;
    loop_connect(env->scope, address, &connect, &flow, nullptr, nullptr);
    loop_listen(env->scope, address, &listen, &listener);
    loop_serve(env->scope, address, &serve, nullptr, on_connection, nullptr);
    loop_datagram_open(env->scope, &datagram, &datagrams);
    count(env, nullptr, datagrams);
}

static void use_names(loop_env *env)
{
    const loop_resolver_options files = {.hosts = "hosts", .cache_limit = 100};
    const loop_resolve_options resolve = {.resolver = loop_resolver_open(env->scope, &files), .datagram = true};
    const loop_connect_name_options connect = {.resolve = {.family = AF_INET}, .timeout_ns = LOOP_SECOND};
    static loop_addresses *addresses;
    static loop_flow *flow;
    static loop_name_error error;
    loop_resolve_name(env->scope, "a", "1", &resolve, &addresses, &error, nullptr, nullptr);
    loop_connect_name(env->scope, "a", "1", &connect, &flow, &error, nullptr, nullptr);
}

static void use_service(loop_env *env, const loop_address *address)
{
    const loop_service_offer_options offer = {.timeout_ns = LOOP_SECOND};
    loop_service *service;
    loop_service_open(env->scope, &service);
    loop_service_offer(service, address, &offer, nullptr, nullptr);
}

static void use_files(loop_env *env)
{
    static loop_fs_status status;
    static loop_flow *flow;
    const loop_open_options open = {.create = LOOP_CREATE_IF_MISSING};
    const loop_save_options save = {.atomic = true};
    const loop_copy_options copy = {.keep_times = true};
    loop_fs_open(env->scope, env->cwd, "a", &open, &flow, nullptr, nullptr);
    loop_fs_save(env->scope, env->cwd, "b", "text", 4, &save, nullptr, nullptr);
    loop_fs_copy_file(env->scope, env->cwd, "b", env->cwd, "c", &copy, nullptr, nullptr);
    loop_copied copied = {.from = "b", .to = "d"};
    loop_fs_copy_files(env->scope, env->cwd, env->cwd, &copied, 1, &copy, nullptr, nullptr);
    loop_fs_stat(env->scope, env->cwd, "c", LOOP_FS_FOLLOW, &status, nullptr, nullptr);
}

static void use_own(loop_env *env)
{
    static const loop_source_ops source_ops = {.read = read_nothing};
    static const loop_sink_ops sink_ops = {.write = write_nothing};
    static loop_source source = {.ops = &source_ops, .scope = env->scope};
    static loop_sink sink = {.ops = &sink_ops, .scope = env->scope};
    static loop_flow flow = {.source = source, .sink = sink, .scope = env->scope};
    static const loop_message message = {.flags = MSG_NOSIGNAL};
    const loop_open_how how = {.flags = 0, .mode = 0600};
    const loop_work_options work = {.takes_long = true};
    const loop_options options = {.pool_threads_min = 1, .interrupt_signal = 40};
    enum loop_outcome outcome = loop_work_outcome(env->loop, options.interrupt_signal);
    (void)outcome;
    loop_copy(&flow.source, &flow.sink, nullptr, nullptr);
    loop_work_with(env->scope, &work, work_nothing, nullptr, nullptr, nullptr);
    loop_op_openat2(env->scope, ".", &how, nullptr, nullptr);
    loop_op_send_msg(env->scope, flow.fd, &message, nullptr, nullptr);
}

static void use_tls(loop_env *env, loop_flow *under)
{
    static loop_tls_context *context;
    static loop_flow *flow;
    const loop_tls_certificate certificate = {.chain = {.path = "chain.pem"}};
    const loop_tls_options options = {
        .certificates = &certificate, .n_certificates = 1, .verify = LOOP_TLS_VERIFY_NONE};
    loop_tls_open_server(env->scope, &options, &context, nullptr, nullptr, nullptr);
    loop_tls_accept(under, context, &flow, nullptr, nullptr, nullptr);
}

static int in_domain(loop_env *, unsigned, void *)
{
    return 0;
}

static void in_call(loop_incoming *call, loop_scope *, void *)
{
    loop_call_return(call, 1);
}

static void use_domains(loop_env *env)
{
    static loop_domain_group *domains;
    loop_domain_region *region = loop_domain_region_create(2);
    const loop_domains_options options = {.loop = {.queue_depth = 8}, .flags = LOOP_DOMAINS_PIN, .region = region};
    loop_domains(env->scope, 2, &options, &domains, in_domain, nullptr, nullptr, nullptr);
    (void)loop_run_in_region(region, nullptr, nullptr, nullptr);
    loop_domain_region_destroy(region);
    loop_call(env->scope, loop_domains_inbox(domains, 0), in_call, nullptr, nullptr, nullptr);
}

static int start(loop_env *env, void *arg)
{
    use_domains(env);
    use_tls(env, nullptr);
    use_sockets(env, static_cast<const loop_address *>(arg));
    use_service(env, static_cast<const loop_address *>(arg));
    use_names(env);
    use_files(env);
    use_own(env);
    use_sync(env);
    static loop_process *process;
    start_program(env->scope, &process);
    return 0;
}

int main()
{
    loop_address address;
    if (loop_address_parse(&address, "tcp:127.0.0.1:0") != 0) {
        return 2;
    }
    const loop_options options = {.queue_depth = 8, .post_capacity = 16};
    return loop_run_with(&options, start, &address) == 0 ? 0 : 1;
}
