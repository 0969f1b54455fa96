/* SPDX-License-Identifier: ISC
 *
 * Control messages: descriptors, credentials and addresses that go with the bytes, cmsg(3).
 */
#include <loop/kernel/simulated/network/control.h>

#include <netinet/udp.h>
#include <string.h>

/* ---- of a send ---- */

static int read_rights(struct loop_sim_node *node, const struct cmsghdr *header, struct loop_sim_ancillary *ancillary)
{
    size_t n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    if (ancillary->n_rights + n > LOOP_SIM_MOST_RIGHTS) {
        return -EINVAL;
    }
    for (size_t i = 0; i < n; i++) {
        int number;
        memcpy(&number, CMSG_DATA(header) + i * sizeof number, sizeof number);
        struct loop_sim_file *file = loop_sim_file_at(node, number);
        if (!file || file->flags & O_PATH) {
            return -EBADF;
        }
        ancillary->rights[ancillary->n_rights++] = loop_sim_file_ref(file);
    }
    return 0;
}

static int read_credentials(const struct cmsghdr *header, struct loop_sim_ancillary *ancillary)
{
    if (header->cmsg_len != CMSG_LEN(sizeof(struct ucred))) {
        return -EINVAL;
    }
    struct ucred credentials;
    memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
    ancillary->credentials =
        (struct loop_sim_credentials){credentials.pid, (unsigned)credentials.uid, (unsigned)credentials.gid};
    ancillary->has_credentials = true;
    return 0;
}

static int read_unix(struct loop_sim_node *node, const struct cmsghdr *header, struct loop_sim_ancillary *ancillary)
{
    if (header->cmsg_level != SOL_SOCKET) {
        return 0;
    }
    switch (header->cmsg_type) {
    case SCM_RIGHTS: return read_rights(node, header, ancillary);
    case SCM_CREDENTIALS: return read_credentials(header, ancillary);
    default: return -EINVAL;
    }
}

static void map(const struct in_addr *from, struct in6_addr *to)
{
    *to = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&to->s6_addr[12], from, sizeof *from);
}

static int read_ipv4(const struct cmsghdr *header, struct loop_sim_ancillary *ancillary)
{
    if (header->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        if (header->cmsg_len != CMSG_LEN(sizeof info)) {
            return -EINVAL;
        }
        memcpy(&info, CMSG_DATA(header), sizeof info);
        map(&info.ipi_spec_dst, &ancillary->source);
        ancillary->has_source = info.ipi_spec_dst.s_addr != 0;
        return 0;
    }
    if (header->cmsg_type == IP_TOS || header->cmsg_type == IP_TTL) {
        int value = *CMSG_DATA(header);
        if (header->cmsg_len == CMSG_LEN(sizeof value)) {
            memcpy(&value, CMSG_DATA(header), sizeof value);
        } else if (header->cmsg_len != CMSG_LEN(1) || header->cmsg_type == IP_TTL) {
            return -EINVAL;
        }
        if (value < 0 || value > 255) {
            return -EINVAL;
        }
        if (header->cmsg_type == IP_TTL && value == 0) {
            return -EINVAL;
        }
        *(header->cmsg_type == IP_TOS ? &ancillary->traffic_class : &ancillary->hop_limit) = value;
        return 0;
    }
    return -EINVAL;
}

static int read_ipv6(const struct cmsghdr *header, struct loop_sim_ancillary *ancillary)
{
    if (header->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        if (header->cmsg_len < CMSG_LEN(sizeof info)) {
            return -EINVAL;
        }
        memcpy(&info, CMSG_DATA(header), sizeof info);
        ancillary->source = info.ipi6_addr;
        ancillary->has_source = !IN6_IS_ADDR_UNSPECIFIED(&info.ipi6_addr);
        return 0;
    }
    if (header->cmsg_type == IPV6_TCLASS || header->cmsg_type == IPV6_HOPLIMIT) {
        int value;
        if (header->cmsg_len != CMSG_LEN(sizeof value)) {
            return -EINVAL;
        }
        memcpy(&value, CMSG_DATA(header), sizeof value);
        if (value < -1 || value > 255) {
            return -EINVAL;
        }
        if (header->cmsg_type == IPV6_HOPLIMIT) {
            ancillary->hop_limit = value > 0 ? value : 0;
        } else {
            ancillary->traffic_class = value;
        }
        return 0;
    }
    return -EINVAL;
}

static int read_udp(const struct cmsghdr *header, struct loop_sim_ancillary *ancillary)
{
    uint16_t segment_bytes;
    if (header->cmsg_type != UDP_SEGMENT || header->cmsg_len != CMSG_LEN(sizeof segment_bytes)) {
        return -EINVAL;
    }
    memcpy(&segment_bytes, CMSG_DATA(header), sizeof segment_bytes);
    ancillary->segment_bytes = segment_bytes;
    return 0;
}

static int read_internet(const struct loop_sim_socket *socket, const struct cmsghdr *header,
                         struct loop_sim_ancillary *ancillary)
{
    if (header->cmsg_level == SOL_SOCKET) {
        return header->cmsg_type == SCM_RIGHTS || header->cmsg_type == SCM_CREDENTIALS ? 0 : -EINVAL;
    }
    if (socket->number == IPPROTO_TCP) {
        return 0;
    }
    if (header->cmsg_level == IPPROTO_UDP) {
        return read_udp(header, ancillary);
    }
    if (header->cmsg_level == IPPROTO_IP) {
        return read_ipv4(header, ancillary);
    }
    return header->cmsg_level == IPPROTO_IPV6 && socket->family == AF_INET6 ? read_ipv6(header, ancillary) : 0;
}

int loop_sim_control_read(struct loop_sim_socket *socket, const struct msghdr *message,
                          struct loop_sim_ancillary *ancillary)
{
    ancillary->n_rights = 0;
    ancillary->has_credentials = ancillary->has_source = false;
    ancillary->traffic_class = -1;
    ancillary->hop_limit = 0;
    ancillary->segment_bytes = (size_t)socket->options[LOOP_SIM_OPTION_UDP_SEGMENT];
    struct msghdr headers = *message;
    int error = 0;
    size_t offset = 0;
    if (!headers.msg_control) {
        return 0;
    }
    while (!error && offset + sizeof(struct cmsghdr) <= headers.msg_controllen) {
        const struct cmsghdr *at = (const void *)((char *)headers.msg_control + offset);
        if (at->cmsg_len < sizeof *at || at->cmsg_len > headers.msg_controllen - offset) {
            error = -EINVAL;
            break;
        }
        error = socket->family == AF_UNIX ? read_unix(socket->file.node, at, ancillary)
                                          : read_internet(socket, at, ancillary);
        offset += CMSG_ALIGN(at->cmsg_len);
    }
    if (error) {
        loop_sim_control_finish(ancillary);
    }
    return error;
}

void loop_sim_control_finish(struct loop_sim_ancillary *ancillary)
{
    for (size_t i = 0; i < ancillary->n_rights; i++) {
        loop_sim_file_unref(ancillary->rights[i]);
    }
    ancillary->n_rights = 0;
}

/* ---- of a receive ---- */

/* Begins a message at the end. Returns the room for its data. */
static size_t begin(struct loop_sim_control *control, int level, int type, size_t len)
{
    struct msghdr *message = control->message;
    size_t left = message->msg_control ? message->msg_controllen - control->used : 0;
    if (left < sizeof(struct cmsghdr)) {
        message->msg_flags |= MSG_CTRUNC;
        return 0;
    }
    size_t room = left - CMSG_LEN(0);
    if (room < len) {
        message->msg_flags |= MSG_CTRUNC;
    }
    size_t taken = room < len ? room : len;
    struct cmsghdr header = {.cmsg_len = CMSG_LEN(taken), .cmsg_level = level, .cmsg_type = type};
    memcpy((char *)message->msg_control + control->used, &header, sizeof header);
    return taken;
}

static void end(struct loop_sim_control *control, size_t taken)
{
    size_t left = control->message->msg_controllen - control->used;
    control->used += CMSG_SPACE(taken) < left ? CMSG_SPACE(taken) : left;
}

void loop_sim_control_put(struct loop_sim_control *control, int level, int type, const void *data, size_t len)
{
    size_t taken = begin(control, level, type, len);
    if (taken > 0) {
        memcpy((char *)control->message->msg_control + control->used + CMSG_LEN(0), data, taken);
        end(control, taken);
    }
}

void loop_sim_control_put_time(struct loop_sim_control *control, int64_t time_ns)
{
    enum { NS_PER_S = 1000000000 };
    const struct timespec time = {.tv_sec = time_ns / NS_PER_S, .tv_nsec = time_ns % NS_PER_S};
    loop_sim_control_put(control, SOL_SOCKET, SO_TIMESTAMPNS, &time, sizeof time);
}

/* Installs files as descriptors until there is no room or no number for one. Returns how many. */
static size_t install(struct loop_sim_node *node, struct loop_sim_file **rights, size_t n, int flags, char *numbers)
{
    size_t i = 0;
    for (; i < n; i++) {
        int number =
            loop_sim_file_install(node, loop_sim_file_ref(rights[i]), 0, flags & MSG_CMSG_CLOEXEC ? O_CLOEXEC : 0);
        if (number < 0) {
            break;
        }
        memcpy(numbers + i * sizeof number, &number, sizeof number);
    }
    return i;
}

void loop_sim_control_put_rights(struct loop_sim_control *control, struct loop_sim_node *node,
                                 struct loop_sim_file **rights, size_t n_rights, int flags)
{
    struct msghdr *message = control->message;
    size_t left = message->msg_control ? message->msg_controllen - control->used : 0;
    size_t fitting = left < CMSG_LEN(sizeof(int)) ? 0 : (left - CMSG_LEN(0)) / sizeof(int);
    size_t n = fitting < n_rights ? fitting : n_rights;
    char *at = (char *)message->msg_control + control->used;
    n = n > 0 ? install(node, rights, n, flags, at + CMSG_LEN(0)) : 0;
    if (n < n_rights) {
        message->msg_flags |= MSG_CTRUNC;
    }
    if (n > 0) {
        struct cmsghdr header = {
            .cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(at, &header, sizeof header);
        end(control, n * sizeof(int));
    }
}
