/* The guest, the clock and the host of a scenario. */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/timer.h"
#include "base/value.h"
#include "guest_frame.h"
#include "net/gateway.h"
#include "net/host_socket.h"

enum { WAIT_MS = 2000, SETTLE_MS = 2, TRIES = 200 };

/* ---- policies ---- */

static ln_value string_value(struct arena *arena, const char *text, size_t len)
{
    return (ln_value){.type = VALUE_STRING,
                      .string = {.data = arena_strndup(arena, text, len), .len = len}};
}

static ln_value table_value(struct arena *arena, size_t room)
{
    ln_value value = {.type = VALUE_TABLE, .table = arena_alloc(arena, sizeof(struct value_table))};
    value.table->items = arena_array(arena, room, sizeof(ln_value));
    value.table->entries = arena_array(arena, room, sizeof(struct value_entry));
    return value;
}

/* The table under a key, made when there is none. */
static struct value_table *table_at(struct arena *arena, ln_value *in, const char *key, size_t len,
                                    size_t room)
{
    for (size_t i = 0; i < in->table->n_entries; i++) {
        struct value_entry *entry = &in->table->entries[i];
        if (entry->key.string.len == len && memcmp(entry->key.string.data, key, len) == 0) {
            return entry->value.table;
        }
    }
    struct value_entry *entry = &in->table->entries[in->table->n_entries++];
    entry->key = string_value(arena, key, len);
    entry->value = table_value(arena, room);
    return entry->value.table;
}

static ln_value scalar_value(struct arena *arena, const char *text)
{
    char *end;
    long long number = strtoll(text, &end, 10);
    if (*text != '\0' && *end == '\0') {
        return (ln_value){.type = VALUE_INTEGER, .integer = number};
    }
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        return (ln_value){.type = VALUE_BOOLEAN, .boolean = text[0] == 't'};
    }
    return string_value(arena, text, strlen(text));
}

static void set_entry(struct arena *arena, struct value_table *in, const char *key, size_t len,
                      ln_value value)
{
    struct value_entry *entry = &in->entries[in->n_entries++];
    entry->key = string_value(arena, key, len);
    entry->value = value;
}

/* "allow@host:tcp:443" as the table it stands for; IPv6 destinations stand in brackets. */
static ln_value rule_value(struct arena *arena, const char *line)
{
    static const char *const fields[] = {"action", "destination", "protocol", "port"};
    ln_value rule = table_value(arena, 4);
    for (size_t i = 0; i < 4 && *line != '\0'; i++) {
        bool bracket = *line == '[';
        line += bracket;
        size_t len = strcspn(line, i == 0 ? "@" : bracket ? "]" : ":");
        set_entry(arena, rule.table, fields[i], strlen(fields[i]), string_value(arena, line, len));
        line += len + bracket;
        line += *line != '\0';
    }
    return rule;
}

/* "publish udp 127.0.0.1 5353 53" as the binding it stands for. */
static ln_value binding_value(struct arena *arena, const char *line)
{
    static const char *const fields[] = {"protocol", "bind", "host_port", "guest_port"};
    ln_value binding = table_value(arena, 4);
    for (size_t i = 0; i < 4; i++) {
        line += strcspn(line, " ") + 1;
        size_t len = strcspn(line, " ");
        const char *word = arena_strndup(arena, line, len);
        set_entry(arena, binding.table, fields[i], strlen(fields[i]),
                  i < 2 ? string_value(arena, word, len) : scalar_value(arena, word));
    }
    return binding;
}

/* "secret TOKEN $PLACEHOLDER value web.test", used over plain HTTP too. */
static ln_value secret_value(struct arena *arena, const char *line)
{
    static const char *const fields[] = {"env", "placeholder", "value", "allow_hosts"};
    ln_value secret = table_value(arena, 5);
    for (size_t i = 0; i < 4; i++) {
        line += strcspn(line, " ") + 1;
        ln_value word = string_value(arena, line, strcspn(line, " "));
        if (i == 3) {
            ln_value list = table_value(arena, 1);
            list.table->items[list.table->n_items++] = word;
            word = list;
        }
        set_entry(arena, secret.table, fields[i], strlen(fields[i]), word);
    }
    set_entry(arena, secret.table, "require_tls", 11,
              (ln_value){.type = VALUE_BOOLEAN, .boolean = false});
    return secret;
}

ln_policy *policy_of(const char *const *lines)
{
    struct arena arena = {0};
    size_t room = 1;
    while (lines[room - 1] != NULL) {
        room++;
    }
    ln_value config = table_value(&arena, room);
    for (size_t i = 0; lines[i] != NULL; i++) {
        const char *equals = strchr(lines[i], '=');
        if (strncmp(lines[i], "publish ", 8) == 0) {
            struct value_table *bindings = table_at(&arena, &config, "port_bindings", 13, room);
            bindings->items[bindings->n_items++] = binding_value(&arena, lines[i]);
        } else if (strncmp(lines[i], "secret ", 7) == 0) {
            struct value_table *secrets = table_at(&arena, &config, "secrets", 7, room);
            secrets->items[secrets->n_items++] = secret_value(&arena, lines[i]);
        } else if (equals == NULL) {
            struct value_table *rules = table_at(&arena, &config, "rules", 5, room);
            rules->items[rules->n_items++] = rule_value(&arena, lines[i]);
        } else if (strncmp(lines[i], "deny_domain", 11) == 0) {
            struct value_table *names =
                table_at(&arena, &config, lines[i], (size_t)(equals - lines[i]), room);
            names->items[names->n_items++] = string_value(&arena, equals + 1, strlen(equals + 1));
        } else {
            struct value_table *in = config.table;
            const char *key = lines[i];
            for (const char *dot; (dot = memchr(key, '.', (size_t)(equals - key))) != NULL;
                 key = dot + 1) {
                ln_value around = {.type = VALUE_TABLE, .table = in};
                in = table_at(&arena, &around, key, (size_t)(dot - key), room);
            }
            if (equals[-1] == ']') { /* "dns.nameservers[]=127.0.0.1": one of a list */
                ln_value around = {.type = VALUE_TABLE, .table = in};
                struct value_table *list =
                    table_at(&arena, &around, key, (size_t)(equals - key) - 2, room);
                list->items[list->n_items++] = scalar_value(&arena, equals + 1);
            } else {
                set_entry(&arena, in, key, (size_t)(equals - key),
                          scalar_value(&arena, equals + 1));
            }
        }
    }
    ln_problems *problems = ln_problems_new();
    ln_policy *policy = NULL;
    int r = ln_policy_new(&config, NULL, &policy, problems);
    for (size_t i = 0; i < ln_problems_count(problems); i++) {
        char text[512];
        ln_problem_format(ln_problems_get(problems, i), text, sizeof(text));
        print_error("%s\n", text);
    }
    assert_int_equal(r, 0);
    ln_problems_free(problems);
    arena_free(&arena);
    return policy;
}

/* ---- what the gateway says ---- */

static void read_tcp(struct heard *h, const uint8_t *tcp, size_t len, size_t *ret_header)
{
    h->seq = get_be32(tcp + 4);
    h->ack = get_be32(tcp + 8);
    h->flags = tcp[13];
    h->window = get_be16(tcp + 14);
    *ret_header = (size_t)(tcp[12] >> 4) * 4;
    assert_true(len >= *ret_header);
    for (size_t at = 20; at + 2 < *ret_header; at += tcp[at] == 1 ? 1 : tcp[at + 1]) {
        if (tcp[at] == 3) {
            h->scale = tcp[at + 2];
        }
    }
}

/* Reads a frame that is trusted to be well formed but for its lengths. */
static struct heard *read_frame(const ln_frame *frame)
{
    struct heard *h = calloc(1, sizeof(*h) + frame->len);
    const uint8_t *ip = frame->data + ETH_LEN;
    assert_non_null(h);
    assert_true(frame->len >= ETH_LEN);
    memcpy(h->to, frame->data, 6);
    h->ethertype = get_be16(frame->data + 12);
    if (h->ethertype == ETHERTYPE_ARP) {
        return h;
    }
    bool v6 = h->ethertype == ETHERTYPE_IPV6;
    size_t ip_len = v6 ? IPV6_LEN : IPV4_LEN;
    size_t len = frame->len - ETH_LEN - ip_len;
    const uint8_t *l4 = ip + ip_len;
    size_t header = 8;
    assert_int_equal(v6 ? get_be16(ip + 4) : get_be16(ip + 2) - IPV4_LEN, len);
    if (v6) {
        memcpy(h->src.bytes, ip + 8, 16);
        memcpy(h->dst.bytes, ip + 24, 16);
    } else {
        h->src = ln_addr_v4(get_be32(ip + 12));
        h->dst = ln_addr_v4(get_be32(ip + 16));
    }
    h->protocol = v6 ? ip[6] : ip[9];
    if (h->protocol == IPPROTO_TCP) {
        read_tcp(h, l4, len, &header);
        if (frame->flags == 0) {
            assert_int_equal(guest_sum(l4, len, guest_pseudo_sum(frame->data, IPPROTO_TCP, len)),
                             0xffff);
        }
    }
    if (h->protocol == IPPROTO_TCP || h->protocol == IPPROTO_UDP) {
        h->src_port = get_be16(l4);
        h->dst_port = get_be16(l4 + 2);
    } else {
        h->type = l4[0];
        h->code = l4[1];
    }
    h->payload_len = len - header;
    memcpy(h->payload, l4 + header, h->payload_len);
    return h;
}

static int on_frame(void *user, const ln_frame *frame)
{
    struct world *w = user;
    if (w->refuse_frames) {
        return -EAGAIN;
    }
    struct heard *h = read_frame(frame);
    *(w->heard != NULL ? &w->heard_last->next : &w->heard) = h;
    w->heard_last = h;
    w->n_frames++;
    return 0;
}

static void copy_text(char *dst, size_t size, const char *text)
{
    (void)snprintf(dst, size, "%s", text != NULL ? text : "");
}

static int on_event(void *user, const ln_event *event)
{
    struct world *w = user;
    if (w->refuse_events) {
        return -EAGAIN;
    }
    struct told *told = calloc(1, sizeof(*told));
    assert_non_null(told);
    /* A callback may put nothing in. */
    assert_true(w->gw == NULL || ln_gateway_input(w->gw, &(ln_frame){0}) == -EBUSY);
    told->kind = event->kind;
    copy_text(told->protocol, sizeof(told->protocol), event->protocol);
    copy_text(told->name, sizeof(told->name), event->name);
    copy_text(told->name_from, sizeof(told->name_from), event->name_from);
    copy_text(told->reason, sizeof(told->reason), event->reason);
    copy_text(told->action, sizeof(told->action), event->action);
    if (event->dst != NULL) {
        told->dst = *event->dst;
    }
    told->port = event->port;
    told->src_port = event->src_port;
    told->rule = event->rule;
    told->count = event->count;
    told->status = event->status;
    told->lost = event->lost;
    told->bytes_out = event->bytes_out;
    told->bytes_in = event->bytes_in;
    told->packets_out = event->packets_out;
    told->packets_in = event->packets_in;
    struct told **at = &w->told;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = told;
    return 0;
}

static uint64_t on_now(void *user)
{
    return ((struct world *)user)->now_ns;
}

/* ---- the world ---- */

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

void world_start(struct world *w, ln_policy *policy)
{
    ln_error error = {0};
    ln_config config = {
        .size = sizeof(config),
        .policy = policy,
        .slot = w->slot,
        .mtu = w->mtu,
        .offloads = w->offloads,
        .resolv_conf = "/dev/null",
        .learn_names = w->learn_names,
    };
    ln_host host = {
        .size = sizeof(host),
        .send_frame = on_frame,
        .on_event = on_event,
        .now_ns = on_now,
    };
    w->n_fds = count_fds();
    w->now_ns = 1000 * SECOND_NS;
    w->next_port = 40000;
    w->policy = policy;
    if (ln_gateway_new(&config, &host, w, &w->gw, &error) != 0) {
        fail_msg("%s", error.message);
    }
    if (w->old_kernel && w->gw->peek_offset) {
        w->gw->peek_offset = false;
        w->gw->scratch = malloc(HOST_SOCKET_SCRATCH);
        w->gw->tcp.limits.flight = HOST_SOCKET_PEEK_MAX;
    }
    ln_gateway_link(w->gw, &w->link);
}

void world_stop(struct world *w)
{
    w->gw = ln_gateway_free(w->gw);
    ln_policy_unref(w->policy);
    while (next_heard(w) != NULL) {
    }
    while (w->told != NULL) {
        struct told *told = w->told;
        w->told = told->next;
        free(told);
    }
    assert_int_equal(count_fds(), w->n_fds);
}

void settle(struct world *w)
{
    struct pollfd fd = {.fd = ln_gateway_fd(w->gw), .events = POLLIN};
    /* Timers wake the gateway in real time, though its own clock stands still: a few turns without
     * a frame are the end. */
    for (int idle = 0; idle < 4; idle++) {
        unsigned before = w->n_frames;
        assert_int_equal(ln_gateway_dispatch(w->gw), 0);
        idle = w->n_frames != before ? 0 : idle;
        if (poll(&fd, 1, SETTLE_MS) == 0) {
            return;
        }
    }
}

void pass(struct world *w, uint64_t ms)
{
    for (uint64_t left = ms; left > 0;) {
        uint64_t step = left < 1000 ? left : 1000;
        w->now_ns += step * MS_NS;
        left -= step;
        assert_int_equal(ln_gateway_dispatch(w->gw), 0);
    }
    settle(w);
}

bool gateway_is_readable(const struct world *w)
{
    struct pollfd fd = {.fd = ln_gateway_fd(w->gw), .events = POLLIN};
    return poll(&fd, 1, 100) == 1;
}

void world_pin(struct world *w, const char *name, const char *text)
{
    ln_addr addr = guest_addr(text);
    assert_int_equal(
        ln_pins_add(w->gw->admission.pins, name, &addr, w->now_ns, w->now_ns + 60 * SECOND_NS), 0);
}

void put(struct world *w, const uint8_t *frame, size_t len)
{
    assert_int_equal(ln_gateway_input(w->gw, &(ln_frame){.data = frame, .len = len}), 0);
}

struct heard *next_heard(struct world *w)
{
    free(w->taken);
    w->taken = w->heard;
    if (w->taken != NULL) {
        w->heard = w->taken->next;
    }
    return w->taken;
}

unsigned count_told(const struct world *w, ln_event_kind kind)
{
    unsigned n = 0;
    for (const struct told *told = w->told; told != NULL; told = told->next) {
        n += told->kind == kind;
    }
    return n;
}

const struct told *told_nth(const struct world *w, ln_event_kind kind, unsigned n)
{
    for (const struct told *told = w->told; told != NULL; told = told->next) {
        if (told->kind == kind && n-- == 0) {
            return told;
        }
    }
    fail_msg("no such event: %s", ln_event_kind_name(kind));
    return NULL;
}

unsigned dropped(const struct world *w, enum drop_reason reason)
{
    ln_stats stats;
    ln_gateway_stats(w->gw, &stats);
    return (unsigned)stats.drops[reason];
}

/* ---- the host's side ---- */

static bool wait_readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

int host_listen(uint16_t *ret_port, int backlog)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *ret_port = ntohs(in.sin_port);
    return fd;
}

int host_listen6(uint16_t *ret_port)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t len = sizeof(in6);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&in6, len) != 0 || listen(fd, 8) != 0) {
        close(fd);
        return -1;
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in6, &len), 0);
    *ret_port = ntohs(in6.sin6_port);
    return fd;
}

bool host_has_connection(int listener)
{
    return wait_readable(listener, 20);
}

int host_accept(int listener)
{
    if (!wait_readable(listener, WAIT_MS)) {
        fail_msg("no connection came");
    }
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    return fd;
}

void host_expect(int fd, const void *data, size_t len)
{
    uint8_t *got = malloc(len);
    size_t n = 0;
    assert_non_null(got);
    while (n < len) {
        if (!wait_readable(fd, WAIT_MS)) {
            fail_msg("%zu of %zu bytes came", n, len);
        }
        ssize_t r = recv(fd, got + n, len - n, 0);
        if (r <= 0) {
            fail_msg("%zu of %zu bytes came, then %s", n, len,
                     r == 0 ? "the end" : strerror(errno));
        }
        n += (size_t)r;
    }
    assert_memory_equal(got, data, len);
    free(got);
}

static ssize_t host_end(int fd)
{
    char byte;
    if (!wait_readable(fd, WAIT_MS)) {
        fail_msg("nothing came");
    }
    ssize_t n = recv(fd, &byte, 1, 0);
    return n < 0 ? -errno : n;
}

void host_expect_end(int fd)
{
    assert_int_equal(host_end(fd), 0);
}

void host_expect_reset(int fd)
{
    assert_int_equal(host_end(fd), -ECONNRESET);
}

void host_expect_nothing(int fd)
{
    assert_false(wait_readable(fd, 20));
}

void host_send(int fd, const void *data, size_t len)
{
    assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

void host_reset(int fd)
{
    struct linger linger = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(fd);
}

uint16_t host_closed_port(void)
{
    uint16_t port;
    close(host_listen(&port, 1));
    return port;
}

/* ---- the guest's side ---- */

void guest_segment(struct guest *g, uint8_t flags, uint32_t seq, const void *data, size_t len)
{
    static const uint8_t syn_options[] = {2, 4, 5, 180, 1, 3, 3, 8};
    uint8_t frame[2048];
    struct guest_segment s = {
        .src = g->addr,
        .dst = g->peer,
        .src_port = g->port,
        .dst_port = g->peer_port,
        .seq = seq,
        .ack = (flags & TCP_ACK) != 0 ? g->rcv_nxt : 0,
        .flags = flags,
        .window = g->own_window,
    };
    if ((flags & TCP_SYN) != 0) {
        s.options = syn_options;
        s.options_len = sizeof(syn_options);
    }
    put(g->w, frame, guest_tcp(frame, &s, data, len));
}

/* The next packet for this connection, taken out of the queue; the caller frees it. */
static struct heard *take_for(struct guest *g)
{
    struct world *w = g->w;
    struct heard *before = NULL;
    for (struct heard **at = &w->heard; *at != NULL; at = &(*at)->next) {
        struct heard *h = *at;
        bool ours = h->protocol == IPPROTO_TCP
                        ? h->dst_port == g->port && h->src_port == g->peer_port &&
                              ln_addr_equal(&h->src, &g->peer)
                        : (h->protocol == IPPROTO_ICMP || h->protocol == IPPROTO_ICMPV6) &&
                              h->payload_len >= 24;
        if (ours) {
            *at = h->next;
            w->heard_last = h == w->heard_last ? before : w->heard_last;
            return h;
        }
        before = h;
    }
    return NULL;
}

static void hear_data(struct guest *g, const struct heard *h)
{
    if (h->seq != g->rcv_nxt) {
        return;
    }
    if (h->payload_len > 0) {
        if (g->n_received + h->payload_len > g->room) {
            g->room = 2 * (g->n_received + h->payload_len);
            g->received = realloc(g->received, g->room);
            assert_non_null(g->received);
        }
        memcpy(g->received + g->n_received, h->payload, h->payload_len);
        g->n_received += h->payload_len;
        g->rcv_nxt += (uint32_t)h->payload_len;
    }
    if ((h->flags & TCP_FIN) != 0) {
        g->rcv_nxt++;
        g->fin = true;
    }
}

static void hear_ack(struct guest *g, const struct heard *h)
{
    uint32_t n = h->ack - g->snd_una;
    if (n == 0 || (int32_t)n < 0) {
        g->duplicates += n == 0 && h->payload_len == 0;
        return;
    }
    g->duplicates = 0;
    g->snd_una = h->ack;
    size_t data = n < g->n_unacked ? n : g->n_unacked; /* SYN and FIN are no data */
    g->n_unacked -= data;
    if (data > 0) {
        memmove(g->unacked, g->unacked + data, g->n_unacked);
    }
}

/* Sends what is not acknowledged once more. */
static void send_again(struct guest *g)
{
    for (size_t at = 0; at < g->n_unacked; at += 1400) {
        size_t n = g->n_unacked - at < 1400 ? g->n_unacked - at : 1400;
        guest_segment(g, TCP_ACK, g->snd_una + (uint32_t)at, g->unacked + at, n);
    }
    g->duplicates = 0;
}

static void hear_one(struct guest *g, const struct heard *h)
{
    if (h->protocol != IPPROTO_TCP) {
        g->icmp_type = h->type;
        g->icmp_code = h->code;
        g->state = g->state == GUEST_SILENCE ? GUEST_UNREACHABLE : g->state;
        return;
    }
    if ((h->flags & TCP_RST) != 0) {
        g->state = GUEST_RESET;
        return;
    }
    if ((h->flags & TCP_ACK) != 0) {
        hear_ack(g, h);
    }
    if ((h->flags & TCP_SYN) != 0) {
        g->rcv_nxt = h->seq + 1;
        g->window = h->window;
        g->scale = h->scale;
        if (g->state == GUEST_SILENCE) {
            g->state = GUEST_OPEN;
        }
    } else {
        g->window = h->window << g->scale;
        hear_data(g, h);
    }
}

void guest_hear(struct guest *g)
{
    bool news;
    do {
        news = false;
        settle(g->w);
        uint32_t before = g->rcv_nxt;
        struct heard *h;
        while ((h = take_for(g)) != NULL) {
            hear_one(g, h);
            free(h);
            news = true;
        }
        if (g->state == GUEST_OPEN && !g->mute && g->rcv_nxt != before) {
            guest_segment(g, TCP_ACK, g->snd_nxt, NULL, 0);
        }
        if (g->duplicates >= 3 && g->n_unacked > 0) {
            send_again(g);
        }
    } while (news);
}

void guest_syn(struct guest *g)
{
    guest_segment(g, TCP_SYN, g->snd_una, NULL, 0);
    g->snd_nxt = g->snd_una + 1;
    guest_hear(g);
}

struct guest guest_connect(struct world *w, const char *peer, uint16_t port)
{
    struct guest g = {
        .w = w,
        .peer = guest_addr(peer),
        .port = w->next_port++,
        .peer_port = port,
        .own_window = 256,
    };
    g.addr = ln_addr_is_v4(&g.peer) ? w->link.guest4 : w->link.guest6;
    g.snd_una = g.snd_nxt = 1000u * g.port;
    guest_syn(&g);
    return g;
}

struct guest guest_connect_host(struct world *w, uint16_t port)
{
    char text[LN_ADDR_TEXT_MAX];
    ln_addr_format(&w->link.gateway4, text);
    return guest_connect(w, text, port);
}

size_t guest_send(struct guest *g, const void *data, size_t len)
{
    size_t sent = 0;
    while (sent < len) {
        uint32_t flight = g->snd_nxt - g->snd_una;
        if (flight >= g->window) {
            break;
        }
        size_t fits = g->window - flight < 1400 ? g->window - flight : 1400;
        size_t n = len - sent < fits ? len - sent : fits;
        guest_segment(g, TCP_ACK | TCP_PSH, g->snd_nxt, (const uint8_t *)data + sent, n);
        g->unacked = realloc(g->unacked, g->n_unacked + n);
        assert_non_null(g->unacked);
        memcpy(g->unacked + g->n_unacked, (const uint8_t *)data + sent, n);
        g->n_unacked += n;
        g->snd_nxt += (uint32_t)n;
        sent += n;
    }
    guest_hear(g);
    return sent;
}

void guest_send_all(struct guest *g, const void *data, size_t len)
{
    size_t sent = 0;
    for (int tries = 0; sent < len && tries < TRIES; tries++) {
        size_t n = guest_send(g, (const uint8_t *)data + sent, len - sent);
        sent += n;
        if (n == 0) {
            pass(g->w, 10);
            guest_hear(g);
        } else {
            tries = 0;
        }
    }
    assert_int_equal(sent, len);
}

void guest_finish(struct guest *g)
{
    guest_segment(g, TCP_ACK | TCP_FIN, g->snd_nxt++, NULL, 0);
    guest_hear(g);
}

void guest_reset(struct guest *g)
{
    guest_segment(g, TCP_RST | TCP_ACK, g->snd_nxt, NULL, 0);
    settle(g->w);
}

void guest_expect(struct guest *g, const void *data, size_t len)
{
    for (int tries = 0; g->n_received < len && tries < TRIES; tries++) {
        guest_hear(g);
    }
    assert_int_equal(g->n_received, len);
    if (len > 0) {
        assert_memory_equal(g->received, data, len);
    }
    free(g->received);
    g->received = NULL;
    g->n_received = g->room = 0;
}

void guest_free(struct guest *g)
{
    free(g->received);
    free(g->unacked);
}

/* ---- TLS ---- */

size_t client_hello(uint8_t dst[1024], const char *sni)
{
    uint8_t extensions[600];
    size_t n = 0;
    if (sni != NULL) {
        size_t len = strlen(sni);
        put_be16(extensions, 0);
        put_be16(extensions + 2, (uint16_t)(len + 5));
        put_be16(extensions + 4, (uint16_t)(len + 3));
        extensions[6] = 0;
        put_be16(extensions + 7, (uint16_t)len);
        memcpy(extensions + 9, sni, len);
        n = 9 + len;
    }
    static const uint8_t versions[] = {0, 43, 0, 3, 2, 3, 4}; /* TLS 1.3 */
    memcpy(extensions + n, versions, sizeof(versions));
    n += sizeof(versions);

    uint8_t *hello = dst + 9;
    size_t at = 0;
    put_be16(hello, 0x0303);
    memset(hello + 2, 7, 32);
    at = 34;
    hello[at++] = 0;
    put_be16(hello + at, 2);
    put_be16(hello + at + 2, 0x1301);
    hello[at + 4] = 1;
    hello[at + 5] = 0;
    at += 6;
    put_be16(hello + at, (uint16_t)n);
    memcpy(hello + at + 2, extensions, n);
    at += 2 + n;

    dst[0] = 22;
    put_be16(dst + 1, 0x0301);
    put_be16(dst + 3, (uint16_t)(at + 4));
    dst[5] = 1;
    dst[6] = 0;
    put_be16(dst + 7, (uint16_t)at);
    return 9 + at;
}
