/* Questions to upstreams, over sockets on the loopback interface, with a clock that only moves when
 * told. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/wire.h"
#include "net/dns_upstream.h"

enum { SERVERS = 3, TIMEOUT_MS = 600, COOKIE_CLIENT_ONLY = 12, COOKIE_SERVER_LEN = 16 };

/* ---- a client, and servers that answer by hand ---- */

struct server {
    int udp, tcp, peer; /* peer: an accepted connection, or -1 */
    uint16_t port;
    struct sockaddr_in client; /* who asked last, over UDP */
    uint8_t query[1024];
    size_t len;
};

struct world {
    struct loop loop;
    struct dns_upstream upstream;
    struct server servers[SERVERS];
    struct dns_query query;
    struct dns_exchange exchange;
    uint64_t now_ns;
    int done; /* how many times */
    uint8_t answer[DNS_MESSAGE_MAX];
    size_t answer_len;
    const char *why;
    int fds_before;
};

static uint64_t world_now(void *user)
{
    return ((struct world *)user)->now_ns;
}

static int count_fds(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

static int socket_on(int type, struct sockaddr_in *addr)
{
    socklen_t len = sizeof(*addr);
    int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)addr, sizeof(*addr)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    return fd;
}

static void open_server(struct server *s)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    s->peer = -1;
    s->tcp = socket_on(SOCK_STREAM, &addr); /* first: the rarer of the two */
    s->udp = socket_on(SOCK_DGRAM, &addr);
    assert_int_equal(listen(s->tcp, 8), 0);
    s->port = ntohs(addr.sin_port);
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

static struct world *start(size_t n_servers)
{
    struct world *w = calloc(1, sizeof(*w));
    w->fds_before = count_fds();
    w->now_ns = SECOND_NS;
    struct host_services services = host_services_system;
    services.user = w;
    services.now_ns = world_now;
    assert_int_equal(loop_init(&w->loop, &services), 0);
    struct nameservers host = {.n = 0};
    ln_endpoint endpoints[SERVERS];
    for (size_t i = 0; i < SERVERS; i++) {
        open_server(&w->servers[i]);
        endpoints[i] =
            (ln_endpoint){.addr = ln_addr_v4(INADDR_LOOPBACK), .port = w->servers[i].port};
    }
    ln_settings settings = {
        .nameservers = endpoints, .n_nameservers = n_servers, .dns_query_timeout_ms = TIMEOUT_MS};
    assert_int_equal(dns_upstream_init(&w->upstream, &w->loop, &host, &settings, NULL), 0);
    struct wire q = wire_query(1, "Www.Example.com", DNS_TYPE_A);
    assert_int_equal(dns_query_parse(q.data, q.len, &w->query), 0);
    return w;
}

static void stop(struct world *w)
{
    dns_upstream_fini(&w->upstream);
    loop_fini(&w->loop);
    for (size_t i = 0; i < SERVERS; i++) {
        close_fd(&w->servers[i].udp);
        close_fd(&w->servers[i].tcp);
        close_fd(&w->servers[i].peer);
    }
    assert_int_equal(count_fds(), w->fds_before);
    free(w);
}

static void done(struct dns_exchange *exchange, const uint8_t *answer, size_t len, const char *why)
{
    struct world *w = (struct world *)(void *)((char *)exchange - offsetof(struct world, exchange));
    w->done++;
    w->why = why;
    w->answer_len = len;
    if (answer != NULL) {
        memcpy(w->answer, answer, len);
    }
    memset(exchange, 0xa5, sizeof(*exchange)); /* ours again: it is not to be looked at */
}

static void ask(struct world *w)
{
    w->done = 0;
    assert_int_equal(dns_exchange_start(&w->exchange, &w->upstream, &w->query, done), 0);
}

/* Lets everything happen that can without more time. Loopback delivers at once. */
static void settle(struct world *w)
{
    for (int i = 0; i < 8; i++) {
        assert_true(loop_dispatch(&w->loop, 2) >= 0);
    }
}

static void pass_ms(struct world *w, unsigned ms)
{
    w->now_ns += ms * MS_NS;
    settle(w);
}

/* Whether the server was asked, over UDP. */
static bool is_asked(struct server *s)
{
    socklen_t len = sizeof(s->client);
    ssize_t n =
        recvfrom(s->udp, s->query, sizeof(s->query), 0, (struct sockaddr *)&s->client, &len);
    s->len = n < 0 ? 0 : (size_t)n;
    return n >= 0;
}

static void send_udp(struct server *s, const struct wire *w)
{
    assert_int_equal(
        sendto(s->udp, w->data, w->len, 0, (struct sockaddr *)&s->client, sizeof(s->client)),
        w->len);
}

/* The right answer to what the server was asked. */
static struct wire right(const struct server *s)
{
    struct wire w = wire_response_to(s->query, s->len);
    wire_addr(&w, DNS_ANSWER, "@12", 60, "192.0.2.1");
    return w;
}

static struct wire truncated(const struct server *s)
{
    struct wire w = wire_response_to(s->query, s->len);
    put_be16(w.data + 2, get_be16(w.data + 2) | DNS_FLAG_TC);
    return w;
}

static bool accept_tcp(struct world *w, struct server *s)
{
    settle(w);
    s->peer = accept4(s->tcp, NULL, NULL, SOCK_NONBLOCK);
    if (s->peer < 0) {
        return false;
    }
    settle(w);
    uint8_t framed[1024];
    ssize_t n = recv(s->peer, framed, sizeof(framed), 0);
    assert_true(n > 2 && get_be16(framed) == n - 2);
    s->len = (size_t)n - 2;
    memcpy(s->query, framed + 2, s->len);
    return true;
}

static void send_tcp(struct server *s, const struct wire *w)
{
    uint8_t head[2];
    put_be16(head, (uint16_t)w->len);
    assert_int_equal(send(s->peer, head, 2, MSG_NOSIGNAL), 2);
    assert_int_equal(send(s->peer, w->data, w->len, MSG_NOSIGNAL), w->len);
}

static void assert_answered(struct world *w)
{
    settle(w);
    assert_int_equal(w->done, 1);
    assert_null(w->why);
    assert_true(w->answer_len > 0);
}

/* ---- UDP ---- */

static void test_answer_over_udp_counts(void **state)
{
    (void)state;
    struct world *w = start(1);
    ask(w);
    settle(w);
    assert_true(is_asked(&w->servers[0]));
    uint8_t want[DNS_SMALL_MAX];
    size_t len = dns_query_write(&w->query, get_be16(w->servers[0].query), want);
    assert_int_equal(w->servers[0].len, len + COOKIE_CLIENT_ONLY);
    assert_memory_equal(w->servers[0].query, want, DNS_HEADER_LEN);
    assert_true(
        dns_name_equal(w->servers[0].query + DNS_HEADER_LEN, 17, want + DNS_HEADER_LEN, 17));
    assert_memory_equal(w->servers[0].query + 29, want + 29, len - 2 - 29);
    struct wire answer = right(&w->servers[0]);
    send_udp(&w->servers[0], &answer);
    assert_answered(w);
    assert_int_equal(w->answer_len, answer.len);
    assert_memory_equal(w->answer, answer.data, answer.len);
    stop(w);
}

static void test_ports_and_ids_vary(void **state)
{
    (void)state;
    struct world *w = start(1);
    uint16_t ports[16], ids[16];
    unsigned same_port = 0, same_id = 0, ordered = 0;
    for (int i = 0; i < 16; i++) {
        ask(w);
        settle(w);
        assert_true(is_asked(&w->servers[0]));
        ports[i] = ntohs(w->servers[0].client.sin_port);
        ids[i] = get_be16(w->servers[0].query);
        for (int j = 0; j < i; j++) {
            same_port += ports[j] == ports[i];
            same_id += ids[j] == ids[i];
        }
        ordered += i > 0 && ports[i] > ports[i - 1];
        dns_exchange_cancel(&w->exchange);
    }
    assert_true(same_port <= 2 && same_id <= 1);
    assert_true(ordered > 0 && ordered < 15);
    stop(w);
}

static void test_wrong_answers_are_passed_over(void **state)
{
    (void)state;
    struct world *w = start(1);
    struct server *s = &w->servers[0];
    ask(w);
    settle(w);
    assert_true(is_asked(s));
    uint16_t id = get_be16(s->query);
    struct wire wrong[] = {
        wire_response((uint16_t)(id + 1), "www.example.com", DNS_TYPE_A),
        wire_response((uint16_t)(id << 8 | id >> 8), "www.example.com", DNS_TYPE_A),
        wire_response(id, "www.example.org", DNS_TYPE_A),
        wire_response(id, "ww.example.com", DNS_TYPE_A),
        wire_response(id, "www.example.com", DNS_TYPE_AAAA),
        wire_query(id, "www.example.com", DNS_TYPE_A),
        wire_message(id, DNS_FLAG_QR),
        right(s),
        right(s),
        {.len = 0},
    };
    if (wrong[1].data[0] == wrong[1].data[1]) {
        wrong[1] = wrong[0];
    }
    wrong[7].len--;                           /* cut */
    put_be16(wrong[8].data + 4 + 12 + 17, 3); /* what follows the type of the question: class */
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        send_udp(s, &wrong[i]);
        settle(w);
        assert_int_equal(w->done, 0);
    }
    struct wire answer = right(s);
    send_udp(s, &answer);
    assert_answered(w);
    stop(w);
}

static void test_answer_from_elsewhere_never_arrives(void **state)
{
    (void)state;
    struct world *w = start(1);
    struct server *s = &w->servers[0];
    ask(w);
    settle(w);
    assert_true(is_asked(s));
    struct wire answer = right(s);
    w->servers[1].client = s->client; /* right id and question, other port */
    send_udp(&w->servers[1], &answer);
    struct sockaddr_in other = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    int fd = socket_on(SOCK_DGRAM, &other); /* other address */
    assert_true(sendto(fd, answer.data, answer.len, 0, (struct sockaddr *)&s->client,
                       sizeof(s->client)) > 0);
    close(fd);
    settle(w);
    assert_int_equal(w->done, 0);
    send_udp(s, &answer);
    assert_answered(w);
    stop(w);
}

static void test_guessing_ends_the_try(void **state)
{
    (void)state;
    struct world *w = start(2);
    struct server *s = &w->servers[0];
    ask(w);
    settle(w);
    assert_true(is_asked(s));
    struct wire guess = right(s);
    for (unsigned i = 1; i <= 64; i++) {
        put_be16(guess.data, (uint16_t)(get_be16(s->query) + i));
        send_udp(s, &guess);
        settle(w);
    }
    guess = right(s); /* hit at last, too late */
    (void)sendto(s->udp, guess.data, guess.len, 0, (struct sockaddr *)&s->client,
                 sizeof(s->client));
    settle(w);
    assert_int_equal(w->done, 0);
    assert_true(is_asked(&w->servers[1]));
    struct wire answer = right(&w->servers[1]);
    send_udp(&w->servers[1], &answer);
    assert_answered(w);
    stop(w);
}

static void test_servfail_is_an_answer(void **state)
{
    (void)state;
    struct world *w = start(2);
    ask(w);
    settle(w);
    assert_true(is_asked(&w->servers[0]));
    struct wire answer = right(&w->servers[0]);
    answer.data[3] |= DNS_SERVFAIL;
    send_udp(&w->servers[0], &answer);
    assert_answered(w);
    assert_false(is_asked(&w->servers[1]));
    stop(w);
}

/* ---- which server, when ---- */

static void test_servers_are_asked_in_order_twice_around(void **state)
{
    (void)state;
    struct world *w = start(2);
    ask(w);
    settle(w);
    for (int turn = 0; turn < 4; turn++) {
        assert_true(is_asked(&w->servers[turn % 2]));
        assert_false(is_asked(&w->servers[(turn + 1) % 2]));
        assert_int_equal(w->done, 0);
        pass_ms(w, TIMEOUT_MS / 4 - 1);
        assert_false(is_asked(&w->servers[(turn + 1) % 2]));
        pass_ms(w, 1);
    }
    assert_int_equal(w->done, 1);
    assert_string_equal(w->why, "no nameserver answered in time");
    stop(w);
}

static void test_late_answer_of_an_earlier_server_counts(void **state)
{
    (void)state;
    struct world *w = start(2);
    ask(w);
    settle(w);
    assert_true(is_asked(&w->servers[0]));
    pass_ms(w, TIMEOUT_MS / 4);
    assert_true(is_asked(&w->servers[1]));
    struct wire answer = right(&w->servers[0]);
    send_udp(&w->servers[0], &answer);
    assert_answered(w);
    stop(w);
}

static void test_second_asking_is_the_same_datagram(void **state)
{
    (void)state;
    struct world *w = start(1);
    struct server *s = &w->servers[0];
    ask(w);
    settle(w);
    assert_true(is_asked(s));
    struct server first = *s;
    pass_ms(w, TIMEOUT_MS / 2);
    assert_true(is_asked(s));
    assert_int_equal(s->client.sin_port, first.client.sin_port);
    assert_int_equal(s->len, first.len);
    assert_memory_equal(s->query, first.query, s->len);
    dns_exchange_cancel(&w->exchange);
    stop(w);
}

static void test_unreachable_server_is_passed_over_at_once(void **state)
{
    (void)state;
    struct world *w = start(2);
    close_fd(&w->servers[0].udp);
    ask(w);
    settle(w); /* no time passes */
    assert_true(is_asked(&w->servers[1]));
    struct wire answer = right(&w->servers[1]);
    send_udp(&w->servers[1], &answer);
    assert_answered(w);
    stop(w);
}

static void test_all_unreachable_fails_at_once(void **state)
{
    (void)state;
    struct world *w = start(3);
    for (int i = 0; i < SERVERS; i++) {
        close_fd(&w->servers[i].udp);
    }
    ask(w);
    settle(w);
    assert_int_equal(w->done, 1);
    assert_string_equal(w->why, "no nameserver can be reached");
    stop(w);
}

static void test_server_without_a_route_fails_before_it_starts(void **state)
{
    (void)state;
    struct world *w = start(1);
    /* A multicast scope without an interface, which no route leads to. */
    assert_int_equal(ln_addr_parse("fe80::1", 7, &w->upstream.zones[0].servers.at[0].addr), 0);
    assert_true(dns_exchange_start(&w->exchange, &w->upstream, &w->query, done) < 0);
    settle(w);
    assert_int_equal(w->done, 0);
    stop(w);
}

static void test_cancelled_exchange_leaves_nothing(void **state)
{
    (void)state;
    struct world *w = start(2);
    ask(w);
    settle(w);
    pass_ms(w, TIMEOUT_MS / 4); /* two sockets now */
    dns_exchange_cancel(&w->exchange);
    pass_ms(w, TIMEOUT_MS);
    assert_int_equal(w->done, 0);
    stop(w);
}

/* ---- TCP ---- */

static struct server *truncate_first(struct world *w)
{
    struct server *s = &w->servers[0];
    ask(w);
    settle(w);
    assert_true(is_asked(s));
    struct wire answer = truncated(s);
    send_udp(s, &answer);
    assert_true(accept_tcp(w, s));
    return s;
}

static void test_truncated_answer_is_asked_for_over_tcp(void **state)
{
    (void)state;
    struct world *w = start(1);
    struct server *s = truncate_first(w);
    struct wire answer = right(s);
    for (int i = 0; i < 400; i++) {
        wire_addr(&answer, DNS_ANSWER, "@12", 60, "192.0.2.2");
    }
    send_tcp(s, &answer);
    assert_answered(w);
    assert_int_equal(w->answer_len, answer.len);
    stop(w);
}

static void test_tcp_answer_may_come_byte_by_byte(void **state)
{
    (void)state;
    struct world *w = start(1);
    struct server *s = truncate_first(w);
    struct wire answer = right(s);
    struct wire framed = {0};
    wire_u16(&framed, (unsigned)answer.len);
    wire_bytes(&framed, answer.data, answer.len);
    for (size_t i = 0; i < framed.len; i++) {
        assert_int_equal(w->done, 0);
        assert_int_equal(send(s->peer, framed.data + i, 1, MSG_NOSIGNAL), 1);
        assert_true(loop_dispatch(&w->loop, 2) >= 0);
    }
    assert_answered(w);
    stop(w);
}

static void test_bad_tcp_answers_lead_to_the_next_server(void **state)
{
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        struct world *w = start(2);
        struct server *s = truncate_first(w);
        struct wire answer = right(s);
        switch (kind) {
        case 0: /* wrong id */
            answer.data[0] ^= 1;
            send_tcp(s, &answer);
            break;
        case 1: /* truncated again */
            answer = truncated(s);
            send_tcp(s, &answer);
            break;
        case 2: /* no length to speak of */
            assert_int_equal(send(s->peer, "\0\0", 2, MSG_NOSIGNAL), 2);
            break;
        case 3: /* cut off */
            assert_int_equal(send(s->peer, "\1\0abc", 5, MSG_NOSIGNAL), 5);
            close_fd(&s->peer);
            break;
        default: /* reset */
            assert_int_equal(setsockopt(s->peer, SOL_SOCKET, SO_LINGER,
                                        &(struct linger){.l_onoff = 1}, sizeof(struct linger)),
                             0);
            close_fd(&s->peer);
            break;
        }
        settle(w);
        assert_int_equal(w->done, 0);
        assert_true(is_asked(&w->servers[1]));
        answer = right(&w->servers[1]);
        send_udp(&w->servers[1], &answer);
        assert_answered(w);
        stop(w);
    }
}

static void test_no_tcp_at_all_leads_to_the_next_server(void **state)
{
    (void)state;
    struct world *w = start(2);
    struct server *s = &w->servers[0];
    close_fd(&s->tcp);
    ask(w);
    settle(w);
    assert_true(is_asked(s));
    struct wire answer = truncated(s);
    send_udp(s, &answer);
    settle(w);
    assert_true(is_asked(&w->servers[1]));
    dns_exchange_cancel(&w->exchange);
    stop(w);
}

/* ---- a resolver that the guest named ---- */

static void test_named_resolver_keeps_its_transport(void **state)
{
    (void)state;
    struct world *w = start(1);
    struct server *s = &w->servers[2];
    struct nameserver named = {.addr = ln_addr_v4(INADDR_LOOPBACK), .port = s->port};
    assert_int_equal(
        dns_exchange_start_named(&w->exchange, &w->upstream, &w->query, &named, LN_UDP, done), 0);
    settle(w);
    assert_true(is_asked(s));
    struct wire answer = truncated(s);
    send_udp(s, &answer);
    assert_answered(w);
    assert_true((get_be16(w->answer + 2) & DNS_FLAG_TC) != 0);
    assert_false(accept_tcp(w, s));

    w->done = 0;
    assert_int_equal(
        dns_exchange_start_named(&w->exchange, &w->upstream, &w->query, &named, LN_TCP, done), 0);
    assert_true(accept_tcp(w, s));
    answer = right(s);
    assert_false(is_asked(s));
    send_tcp(s, &answer);
    assert_answered(w);
    assert_false(is_asked(&w->servers[0]));
    stop(w);
}

/* ---- nameservers by name ---- */

struct helper {
    struct server server;
    int questions; /* that it answers */
    const char *v4, *v6;
};

static void *help(void *arg)
{
    struct helper *h = arg;
    for (int i = 0; i < h->questions; i++) {
        assert_int_equal(fcntl(h->server.udp, F_SETFL, 0), 0);
        assert_true(is_asked(&h->server));
        uint16_t type = get_be16(h->server.query + DNS_HEADER_LEN + 13);
        struct wire w = wire_response_to(h->server.query, h->server.len);
        const char *addr = type == DNS_TYPE_A ? h->v4 : h->v6;
        if (addr != NULL) {
            wire_addr(&w, DNS_ANSWER, "@12", 60, addr);
        }
        send_udp(&h->server, &w);
    }
    return NULL;
}

/* Starts an upstream with one nameserver, dns.example, known to a helper. */
static int start_by_name(struct helper *h, struct dns_upstream *ret, ln_error *error)
{
    struct loop loop;
    pthread_t thread;
    open_server(&h->server);
    ln_endpoint endpoint = {.host = "dns.example", .port = 5353};
    ln_settings settings = {
        .nameservers = &endpoint, .n_nameservers = 1, .dns_query_timeout_ms = 5000};
    struct nameservers host = {.n = 1};
    host.at[0] = (struct nameserver){.addr = ln_addr_v4(INADDR_LOOPBACK), .port = h->server.port};
    assert_int_equal(loop_init(&loop, &host_services_system), 0);
    assert_int_equal(pthread_create(&thread, NULL, help, h), 0);
    int r = dns_upstream_init(ret, &loop, &host, &settings, error);
    pthread_join(thread, NULL);
    loop_fini(&loop);
    close_fd(&h->server.udp);
    close_fd(&h->server.tcp);
    return r;
}

static void test_nameserver_by_name_is_resolved_at_the_start(void **state)
{
    (void)state;
    struct helper h = {.questions = 2, .v4 = "192.0.2.53", .v6 = "2001:db8::53"};
    struct dns_upstream upstream;
    assert_int_equal(start_by_name(&h, &upstream, NULL), 0);
    assert_int_equal(upstream.zones[0].servers.n, 2);
    char text[LN_ADDR_TEXT_MAX];
    ln_addr_format(&upstream.zones[0].servers.at[0].addr, text);
    assert_string_equal(text, "192.0.2.53");
    ln_addr_format(&upstream.zones[0].servers.at[1].addr, text);
    assert_string_equal(text, "2001:db8::53");
    assert_int_equal(upstream.zones[0].servers.at[1].port, 5353);
    dns_upstream_fini(&upstream);
}

static void test_nameserver_that_does_not_resolve_is_an_error(void **state)
{
    (void)state;
    struct helper h = {.questions = 2};
    struct dns_upstream upstream;
    ln_error error;
    int before = count_fds();
    assert_int_equal(start_by_name(&h, &upstream, &error), -EHOSTUNREACH);
    assert_string_equal(error.message,
                        "dns.nameservers: dns.example does not resolve: it has no address");
    assert_int_equal(count_fds(), before);
}

static void test_localhost_needs_no_question(void **state)
{
    (void)state;
    struct loop loop;
    struct dns_upstream upstream;
    struct nameservers host = {.n = 0};
    ln_endpoint endpoint = {.host = "localhost", .port = 5353};
    ln_settings settings = {
        .nameservers = &endpoint, .n_nameservers = 1, .dns_query_timeout_ms = 5000};
    assert_int_equal(loop_init(&loop, &host_services_system), 0);
    assert_int_equal(dns_upstream_init(&upstream, &loop, &host, &settings, NULL), 0);
    assert_int_equal(ln_addr_to_v4(&upstream.zones[0].servers.at[0].addr), INADDR_LOOPBACK);
    dns_upstream_fini(&upstream);
    loop_fini(&loop);
}

static void test_too_many_nameservers_are_an_error(void **state)
{
    (void)state;
    struct loop loop;
    struct dns_upstream upstream;
    ln_error error;
    struct nameservers host = {.n = 0};
    ln_endpoint endpoints[NAMESERVERS_MAX + 1] = {{.port = 53}};
    ln_settings settings = {.nameservers = endpoints, .n_nameservers = NAMESERVERS_MAX + 1};
    assert_int_equal(loop_init(&loop, &host_services_system), 0);
    assert_int_equal(dns_upstream_init(&upstream, &loop, &host, &settings, &error), -E2BIG);
    assert_string_equal(error.message, "dns.nameservers: found 9; accepted: at most 8");
    loop_fini(&loop);
}

/* ---- servers that know less ---- */

/* The question as it stood in the query. */
static bool is_lower_case(const struct server *s)
{
    for (size_t i = DNS_HEADER_LEN; i < DNS_HEADER_LEN + 17; i++) {
        if (s->query[i] >= 'A' && s->query[i] <= 'Z') {
            return false;
        }
    }
    return true;
}

static void lower_question(struct wire *w)
{
    for (size_t i = DNS_HEADER_LEN; i < DNS_HEADER_LEN + 17; i++) {
        w->data[i] |= w->data[i] >= 'A' && w->data[i] <= 'Z' ? 32 : 0;
    }
}

static void test_letters_of_the_question_have_a_random_case(void **state)
{
    (void)state;
    struct world *w = start(1);
    uint8_t first[17];
    unsigned different = 0, lower = 0;
    for (int i = 0; i < 16; i++) {
        ask(w);
        settle(w);
        assert_true(is_asked(&w->servers[0]));
        if (i == 0) {
            memcpy(first, w->servers[0].query + DNS_HEADER_LEN, 17);
        }
        different += memcmp(first, w->servers[0].query + DNS_HEADER_LEN, 17) != 0;
        lower += is_lower_case(&w->servers[0]);
        dns_exchange_cancel(&w->exchange);
    }
    assert_true(different >= 14 && lower <= 2);
    stop(w);
}

static void test_answer_in_another_case_is_none_but_asked_for_in_lower_case(void **state)
{
    (void)state;
    struct world *w = start(1);
    struct server *s = &w->servers[0];
    for (int i = 0; i < 5; i++) {
        ask(w);
        settle(w);
        assert_true(is_asked(s));
        if (i >= 3) { /* it is known by now */
            assert_true(is_lower_case(s));
        } else if (!is_lower_case(s)) { /* once in 2^13 it is */
            struct server before = *s;
            struct wire forged = right(s);
            lower_question(&forged);
            forged.data[forged.len - 1] = 66;
            send_udp(s, &forged);
            settle(w);
            assert_int_equal(w->done, 0);
            assert_true(is_asked(s));
            assert_true(is_lower_case(s));
            assert_false(s->client.sin_port == before.client.sin_port &&
                         get_be16(s->query) == get_be16(before.query));
        }
        struct wire answer = right(s);
        send_udp(s, &answer);
        assert_answered(w);
        assert_int_equal(w->answer[w->answer_len - 1], 1);
    }
    stop(w);
}

static void test_server_that_repeats_the_case_again_is_trusted_with_it_again(void **state)
{
    (void)state;
    struct world *w = start(1);
    struct server *s = &w->servers[0];
    for (int i = 0; i < 12; i++) {
        ask(w);
        settle(w);
        assert_true(is_asked(s));
        struct wire answer = right(s);
        if (i % 3 < 2 && !is_lower_case(s)) { /* twice in a row is not always */
            lower_question(&answer);
            send_udp(s, &answer);
            settle(w);
            assert_true(is_asked(s));
            answer = right(s);
        }
        send_udp(s, &answer);
        assert_answered(w);
    }
    assert_true(w->upstream.zones[0].servers.at[0].other_case < 3);
    stop(w);
}

static void test_formerr_is_asked_again_without_edns(void **state)
{
    (void)state;
    struct world *w = start(2);
    struct server *s = &w->servers[0];
    for (int i = 0; i < 2; i++) { /* with a question in it, and without */
        w->upstream.zones[0].servers.at[0].no_edns = false;
        ask(w);
        settle(w);
        assert_true(is_asked(s));
        size_t with_edns = s->len;
        assert_int_equal(get_be16(s->query + 10), 1);
        struct wire answer = i == 0 ? wire_response_to(s->query, s->len)
                                    : wire_message(get_be16(s->query), DNS_FLAG_QR);
        answer.data[3] |= DNS_FORMERR;
        send_udp(s, &answer);
        settle(w);
        assert_true(is_asked(s));
        assert_int_equal(s->len, with_edns - DNS_OPT_LEN - COOKIE_CLIENT_ONLY);
        assert_int_equal(get_be16(s->query + 10), 0);
        answer = right(s);
        send_udp(s, &answer);
        assert_answered(w);
        assert_false(is_asked(&w->servers[1]));
    }
    ask(w); /* it is known now */
    settle(w);
    assert_true(is_asked(s));
    assert_int_equal(get_be16(s->query + 10), 0);
    dns_exchange_cancel(&w->exchange);
    stop(w);
}

static void test_formerr_without_edns_is_an_answer(void **state)
{
    (void)state;
    struct world *w = start(1);
    struct server *s = &w->servers[0];
    ask(w);
    for (int i = 0; i < 2; i++) {
        settle(w);
        assert_true(is_asked(s));
        struct wire answer = wire_response_to(s->query, s->len);
        answer.data[3] |= DNS_FORMERR;
        send_udp(s, &answer);
    }
    assert_answered(w);
    assert_false(w->upstream.zones[0].servers.at[0].no_edns); /* it was not that */
    stop(w);
}

/* ---- zones ---- */

static void test_name_is_asked_of_the_longest_zone_that_it_is_in(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int server;
    } cases[] = {{"www.example.org", 0},  {"corp.example", 1},       {"a.b.CORP.example", 1},
                 {"lab.corp.example", 2}, {"x.lab.corp.example", 2}, {"notcorp.example", 0},
                 {"example", 0},          {"corp.example.org", 0}};
    struct world *w = start(1);
    ln_endpoint endpoints[SERVERS];
    for (size_t i = 0; i < SERVERS; i++) {
        endpoints[i] =
            (ln_endpoint){.addr = ln_addr_v4(INADDR_LOOPBACK), .port = w->servers[i].port};
    }
    ln_dns_forward forwards[] = {{"corp.example", &endpoints[1], 1},
                                 {"lab.corp.example", &endpoints[2], 1}};
    ln_settings settings = {.nameservers = endpoints,
                            .n_nameservers = 1,
                            .dns_forwards = forwards,
                            .n_dns_forwards = 2,
                            .dns_query_timeout_ms = TIMEOUT_MS};
    struct nameservers host = {.n = 0};
    struct dns_upstream upstream;
    assert_int_equal(dns_upstream_init(&upstream, &w->loop, &host, &settings, NULL), 0);
    dns_upstream_swap(&w->upstream, &upstream);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wire q = wire_query(1, cases[i].name, DNS_TYPE_A);
        assert_int_equal(dns_query_parse(q.data, q.len, &w->query), 0);
        ask(w);
        settle(w);
        for (int server = 0; server < SERVERS; server++) {
            assert_int_equal(is_asked(&w->servers[server]), server == cases[i].server);
        }
        dns_exchange_cancel(&w->exchange);
    }
    stop(w);
}

/* ---- cookies ---- */

/* The right answer, with an OPT that holds the client's cookie and `server`. */
static struct wire right_with_cookie(const struct server *s, const char *server, unsigned rcode)
{
    struct wire w = wire_response_to(s->query, s->len);
    const uint8_t *client = s->query + 29 + 4 + DNS_OPT_LEN + 4;
    uint8_t option[4 + DNS_COOKIE_CLIENT_LEN + COOKIE_SERVER_LEN] = {0, 10, 0, sizeof(option) - 4};
    w.data[3] = (uint8_t)((w.data[3] & 0xf0) | (rcode & DNS_FLAG_RCODE));
    memcpy(option + 4, client, DNS_COOKIE_CLIENT_LEN);
    memcpy(option + 4 + DNS_COOKIE_CLIENT_LEN, server, COOKIE_SERVER_LEN);
    wire_addr(&w, DNS_ANSWER, "@12", 60, "192.0.2.1");
    wire_opt(&w, DNS_UDP_SIZE, (uint32_t)rcode >> 4 << 24, option, sizeof(option));
    return w;
}

/* What the server was told of its own part; NULL: nothing. */
static const uint8_t *server_part(const struct server *s)
{
    size_t without = 29 + 4 + DNS_OPT_LEN + COOKIE_CLIENT_ONLY;
    return s->len == without + COOKIE_SERVER_LEN ? s->query + without : NULL;
}

static void answer_with(struct world *w, const char *server, unsigned rcode)
{
    struct wire answer = right_with_cookie(&w->servers[0], server, rcode);
    send_udp(&w->servers[0], &answer);
    settle(w);
}

static void asked_again(struct world *w)
{
    ask(w);
    settle(w);
    assert_true(is_asked(&w->servers[0]));
}

static void test_servers_part_of_the_cookie_is_told_again(void **state)
{
    (void)state;
    struct world *w = start(1);
    asked_again(w);
    assert_null(server_part(&w->servers[0]));
    answer_with(w, "0123456789abcdef", DNS_NOERROR);
    assert_answered(w);
    asked_again(w);
    assert_memory_equal(server_part(&w->servers[0]), "0123456789abcdef", COOKIE_SERVER_LEN);
    answer_with(w, "0123456789ABCDEF", DNS_NOERROR);
    assert_answered(w);
    asked_again(w);
    assert_memory_equal(server_part(&w->servers[0]), "0123456789ABCDEF", COOKIE_SERVER_LEN);
    dns_exchange_cancel(&w->exchange);
    stop(w);
}

static void test_answer_with_the_wrong_cookie_is_passed_over(void **state)
{
    (void)state;
    struct world *w = start(1);
    asked_again(w);
    const size_t option = 29 + 4 + DNS_OPT_LEN;
    struct wire answer = right_with_cookie(&w->servers[0], "0123456789abcdef", DNS_NOERROR);
    for (size_t i = 0; i < DNS_COOKIE_CLIENT_LEN; i++) {
        struct wire wrong = answer;
        wrong.data[answer.len - COOKIE_SERVER_LEN - 1 - i] ^= 1;
        send_udp(&w->servers[0], &wrong);
    }
    struct wire length = answer;
    length.len -= COOKIE_SERVER_LEN;
    put_be16(length.data + length.len - DNS_COOKIE_CLIENT_LEN - 2, DNS_COOKIE_CLIENT_LEN);
    put_be16(length.data + length.len - DNS_COOKIE_CLIENT_LEN - 6, 4 + DNS_COOKIE_CLIENT_LEN);
    send_udp(&w->servers[0], &length);
    settle(w);
    assert_int_equal(w->done, 0);
    assert_int_equal(w->servers[0].len, option + COOKIE_CLIENT_ONLY);
    send_udp(&w->servers[0], &answer);
    assert_answered(w);
    stop(w);
}

static void test_answer_without_the_cookie_of_one_who_has_them_is_asked_for_over_tcp(void **state)
{
    (void)state;
    struct world *w = start(1);
    struct server *s = &w->servers[0];
    asked_again(w);
    answer_with(w, "0123456789abcdef", DNS_NOERROR);
    assert_answered(w);
    asked_again(w);
    struct wire forged = right(s);
    send_udp(s, &forged);
    settle(w);
    assert_int_equal(w->done, 0);
    assert_true(accept_tcp(w, s));
    struct wire answer = right_with_cookie(s, "fedcba9876543210", DNS_NOERROR);
    send_tcp(s, &answer);
    assert_answered(w);
    close_fd(&s->peer);
    asked_again(w);
    assert_memory_equal(server_part(s), "fedcba9876543210", COOKIE_SERVER_LEN);
    send_udp(s, &forged); /* of another id: passed over */
    settle(w);
    answer = right(s);
    send_udp(s, &answer);
    settle(w);
    assert_true(accept_tcp(w, s)); /* it has none any more */
    answer = right(s);
    send_tcp(s, &answer);
    assert_answered(w);
    close_fd(&s->peer);
    asked_again(w);
    assert_null(server_part(s));
    dns_exchange_cancel(&w->exchange);
    stop(w);
}

static void test_bad_cookie_is_asked_again_once_and_then_over_tcp(void **state)
{
    (void)state;
    struct world *w = start(1);
    struct server *s = &w->servers[0];
    asked_again(w);
    answer_with(w, "0123456789abcdef", DNS_BADCOOKIE);
    assert_int_equal(w->done, 0);
    assert_true(is_asked(s));
    assert_memory_equal(server_part(s), "0123456789abcdef", COOKIE_SERVER_LEN);
    answer_with(w, "0123456789abcdeF", DNS_BADCOOKIE);
    assert_int_equal(w->done, 0);
    assert_false(is_asked(s));
    assert_true(accept_tcp(w, s));
    struct wire answer = right_with_cookie(s, "0123456789abcdeF", DNS_NOERROR);
    send_tcp(s, &answer);
    assert_answered(w);
    stop(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_over_udp_counts),
        cmocka_unit_test(test_ports_and_ids_vary),
        cmocka_unit_test(test_wrong_answers_are_passed_over),
        cmocka_unit_test(test_answer_from_elsewhere_never_arrives),
        cmocka_unit_test(test_guessing_ends_the_try),
        cmocka_unit_test(test_servfail_is_an_answer),
        cmocka_unit_test(test_servers_are_asked_in_order_twice_around),
        cmocka_unit_test(test_late_answer_of_an_earlier_server_counts),
        cmocka_unit_test(test_second_asking_is_the_same_datagram),
        cmocka_unit_test(test_unreachable_server_is_passed_over_at_once),
        cmocka_unit_test(test_all_unreachable_fails_at_once),
        cmocka_unit_test(test_server_without_a_route_fails_before_it_starts),
        cmocka_unit_test(test_cancelled_exchange_leaves_nothing),
        cmocka_unit_test(test_truncated_answer_is_asked_for_over_tcp),
        cmocka_unit_test(test_tcp_answer_may_come_byte_by_byte),
        cmocka_unit_test(test_bad_tcp_answers_lead_to_the_next_server),
        cmocka_unit_test(test_no_tcp_at_all_leads_to_the_next_server),
        cmocka_unit_test(test_named_resolver_keeps_its_transport),
        cmocka_unit_test(test_nameserver_by_name_is_resolved_at_the_start),
        cmocka_unit_test(test_nameserver_that_does_not_resolve_is_an_error),
        cmocka_unit_test(test_localhost_needs_no_question),
        cmocka_unit_test(test_too_many_nameservers_are_an_error),
        cmocka_unit_test(test_letters_of_the_question_have_a_random_case),
        cmocka_unit_test(test_answer_in_another_case_is_none_but_asked_for_in_lower_case),
        cmocka_unit_test(test_server_that_repeats_the_case_again_is_trusted_with_it_again),
        cmocka_unit_test(test_formerr_is_asked_again_without_edns),
        cmocka_unit_test(test_formerr_without_edns_is_an_answer),
        cmocka_unit_test(test_name_is_asked_of_the_longest_zone_that_it_is_in),
        cmocka_unit_test(test_servers_part_of_the_cookie_is_told_again),
        cmocka_unit_test(test_answer_with_the_wrong_cookie_is_passed_over),
        cmocka_unit_test(test_answer_without_the_cookie_of_one_who_has_them_is_asked_for_over_tcp),
        cmocka_unit_test(test_bad_cookie_is_asked_again_once_and_then_over_tcp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
