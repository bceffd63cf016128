/* One question to upstream nameservers.
 *
 * Theory of operation. The servers are asked in order, twice around, each for an equal share of the
 * time allowed. Every server has a socket of its own for this one question, with a port of the
 * kernel's random choice, connected, so that only datagrams from that server's address reach us,
 * and a random id. A socket stays open until the question is answered or its time is over: a slow
 * answer counts even after the next server was asked, and a second asking is the same datagram
 * again.
 *
 * An answer counts when id, question and form are right; anything else is passed over, and after
 * STRAYS_MAX of that the socket is closed, because somebody is guessing. Over UDP the letters of
 * the question have a random case, which an answer has to repeat. There are servers that do not:
 * what is right but for the case is not taken as an answer, but the server is asked again, in lower
 * case, with another port and id, so that nobody gains by feigning it; and after CASE_TRIES of that
 * in a row in lower case only. Likewise one that answers FORMERR is asked again without EDNS, and
 * if that helps, without EDNS only.
 *
 * Every query has a cookie (dns/cookie.h). A response with the wrong one is passed over. A server
 * that has given its part of the cookie once and does not repeat it is asked over TCP, and taken
 * for one without cookies only if that answer has none either; likewise one that finds ours bad
 * (BADCOOKIE) a second time. A server fails when it cannot be reached (ICMP errors arrive on
 * the connected socket): then the next is asked at once. Whatever a server says, SERVFAIL included,
 * is an answer. */
#include "net/dns_upstream.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "net/sockaddr.h"

#define QUERY_MAX (DNS_SMALL_MAX + DNS_COOKIE_OPTION_MAX)

enum { ROUNDS = 2, STRAYS_MAX = 64, CASE_TRIES = 3, DATAGRAMS_A_TURN = 16, LENGTH = 2 };

/* ---- sockets ---- */

static void close_try(struct dns_try *try)
{
    int fd = try->watch.fd;
    if (fd >= 0) {
        loop_unwatch(try->exchange->upstream->loop, &try->watch);
        close(fd);
    }
    free(try->answer);
    try->answer = NULL;
}

/* Opens a connected socket and watches it. Returns 0 or a negative errno. */
static int open_try(struct dns_try *try, int type, uint32_t events, watch_fn *ready)
{
    struct sockaddr_storage addr;
    socklen_t addr_len = sockaddr_put(&try->server.addr, try->server.port, &addr);
    if (addr.ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)&addr)->sin6_scope_id = try->server.scope_id;
    }
    int fd = socket(addr.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int r =
        connect(fd, (struct sockaddr *)&addr, addr_len) == 0 || errno == EINPROGRESS ? 0 : -errno;
    try->watch.ready = ready;
    r = r < 0 ? r : loop_watch(try->exchange->upstream->loop, &try->watch, fd, events);
    if (r < 0) {
        close(fd);
    }
    return r;
}

/* ---- the end ---- */

void dns_exchange_cancel(struct dns_exchange *ex)
{
    timer_cancel(&ex->upstream->loop->timers, &ex->timer);
    for (size_t i = 0; i < ex->n_tries; i++) {
        close_try(&ex->tries[i]);
    }
}

static void fail(struct dns_exchange *ex, const char *why)
{
    dns_exchange_cancel(ex);
    ex->done(ex, NULL, 0, why);
}

/* `answer` is either the upstream's own buffer or the try's. */
static void succeed(struct dns_try *try, const uint8_t *answer, size_t len)
{
    struct dns_exchange *ex = try->exchange;
    uint8_t *owned = try->answer;
    try->answer = NULL;
    dns_exchange_cancel(ex);
    ex->done(ex, answer, len, NULL);
    free(owned);
}

/* ---- whose turn it is ---- */

static int ask(struct dns_try *try);

static uint64_t share_ns(const struct dns_exchange *ex)
{
    return ex->upstream->timeout_ms * MS_NS / ((uint64_t)ROUNDS * ex->n_tries);
}

static int rearm(struct dns_exchange *ex)
{
    struct loop *loop = ex->upstream->loop;
    uint64_t due_ns = loop->now_ns + share_ns(ex);
    return timer_set(&loop->timers, &ex->timer,
                     due_ns < ex->deadline_ns ? due_ns : ex->deadline_ns);
}

static bool any_alive(const struct dns_exchange *ex)
{
    size_t i = 0;
    while (i < ex->n_tries && ex->tries[i].failed) {
        i++;
    }
    return i < ex->n_tries;
}

/* Asks the next server that has not failed. Returns 0, or a negative errno when all have. */
static int advance(struct dns_exchange *ex)
{
    int last = -EHOSTUNREACH;
    while (ex->turn < ROUNDS * ex->n_tries) {
        struct dns_try *try = &ex->tries[ex->turn++ % ex->n_tries];
        int r = try->failed ? last : ask(try);
        if (r == 0) {
            return rearm(ex);
        }
        last = r;
        try->failed = true;
        close_try(try);
    }
    struct loop *loop = ex->upstream->loop;
    return any_alive(ex) ? timer_set(&loop->timers, &ex->timer, ex->deadline_ns) : last;
}

/* A server cannot be reached. The exchange may be gone afterwards. */
static void give_up(struct dns_try *try)
{
    struct dns_exchange *ex = try->exchange;
    bool current = &ex->tries[(ex->turn - 1u) % ex->n_tries] == try;
    try->failed = true;
    close_try(try);
    if ((current && advance(ex) < 0) || !any_alive(ex)) {
        fail(ex, "no nameserver can be reached");
    }
}

static void fire(struct timer *timer, uint64_t now_ns)
{
    struct dns_exchange *ex =
        (struct dns_exchange *)(void *)((char *)timer - offsetof(struct dns_exchange, timer));
    if (now_ns >= ex->deadline_ns) {
        fail(ex, "no nameserver answered in time");
    } else if (advance(ex) < 0) {
        fail(ex, "no nameserver can be reached");
    }
}

/* ---- what is asked, and what was learned ---- */

/* Draws what an answer has to repeat. The server's part of a cookie is only good for ours. */
static void draw(struct dns_try *try)
{
    const struct host_services *services = &try->exchange->upstream->loop->services;
    struct dns_cookie *cookie = &try->server.cookie;
    struct {
        uint8_t id[2], case_bits[sizeof(try->case_bits)], cookie[sizeof(cookie->client)];
    } drawn;
    services->random(services->user, (uint8_t *)&drawn, sizeof(drawn));
    try->id = get_be16(drawn.id);
    memcpy(try->case_bits, drawn.case_bits, sizeof(drawn.case_bits));
    if (cookie->server_len == 0) {
        memcpy(cookie->client, drawn.cookie, sizeof(drawn.cookie));
    }
}

/* The query as this server gets it. */
static size_t write_query(const struct dns_try *try, uint8_t dst[QUERY_MAX])
{
    size_t len = dns_query_write(try->exchange->query, try->id, dst);
    if (try->mixed) {
        dns_query_mix_case(dst, len, try->case_bits);
    }
    return try->server.no_edns ? dns_query_strip_edns(dst, len)
                               : dns_cookie_write(&try->server.cookie, dst, len);
}

static bool is_same_server(const struct nameserver *a, const struct nameserver *b)
{
    return ln_addr_equal(&a->addr, &b->addr) && a->port == b->port && a->scope_id == b->scope_id;
}

/* Remembers what had to be done to get this answer, for further questions. */
static void learn(const struct dns_try *try, const uint8_t *answer)
{
    struct dns_upstream *upstream = try->exchange->upstream;
    bool is_formerr = (answer[3] & DNS_FLAG_RCODE) == DNS_FORMERR;
    for (size_t z = 0; z < upstream->n_zones; z++) {
        struct nameservers *servers = &upstream->zones[z].servers;
        for (size_t i = 0; i < servers->n; i++) {
            if (is_same_server(&servers->at[i], &try->server)) {
                servers->at[i].no_edns = try->server.no_edns && !is_formerr;
                servers->at[i].other_case = try->server.other_case;
                servers->at[i].cookie = try->server.cookie;
            }
        }
    }
}

/* ---- TCP (RFC 7766) ---- */

/* Sends what is left of the query. Returns 0 or a negative errno. */
static int tcp_send(struct dns_try *try)
{
    uint8_t query[LENGTH + QUERY_MAX];
    size_t len = write_query(try, query + LENGTH);
    put_be16(query, (uint16_t)len);
    len += LENGTH;
    while (try->sent < len) {
        ssize_t n = send(try->watch.fd, query + try->sent, len - try->sent, MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN ? 0 : -errno;
        }
        try->sent = (uint16_t)(try->sent + n);
    }
    return loop_rewatch(try->exchange->upstream->loop, &try->watch, EPOLLIN);
}

/* Receives what is there. Returns 1 when the answer is whole, 0, or a negative errno. */
static int tcp_receive(struct dns_try *try)
{
    for (;;) {
        uint8_t *dst = try->head + try->got;
        size_t want = LENGTH - try->got;
        if (try->got >= LENGTH) {
            dst = try->answer + (try->got - LENGTH);
            want = get_be16(try->head) + LENGTH - try->got;
        }
        ssize_t n = recv(try->watch.fd, dst, want, 0);
        if (n <= 0) {
            return n == 0 ? -ECONNRESET : errno == EAGAIN ? 0 : -errno;
        }
        try->got += (uint32_t)n;
        if (try->got == LENGTH) {
            try->answer = malloc(get_be16(try->head));
            if (get_be16(try->head) < DNS_HEADER_LEN || try->answer == NULL) {
                return -EBADMSG;
            }
        }
        if (try->got > LENGTH && try->got == get_be16(try->head) + (uint32_t)LENGTH) {
            return 1;
        }
    }
}

/* What comes over a connection is the server's, with a cookie or without. Returns whether it can
 * be. */
static bool take_cookie(struct dns_try *try, const uint8_t *answer, size_t len)
{
    bool bad;
    struct dns_cookie *cookie = &try->server.cookie;
    enum dns_cookie_state state = dns_cookie_read(cookie, answer, len, &bad);
    if (state == DNS_COOKIE_NONE) {
        cookie->server_len = 0;
    }
    return state != DNS_COOKIE_WRONG;
}

static void tcp_ready(struct watch *watch, uint32_t events)
{
    struct dns_try *try =
        (struct dns_try *)(void *)((char *)watch - offsetof(struct dns_try, watch));
    uint16_t flags;
    int r = (events & EPOLLOUT) != 0 ? tcp_send(try) : 0;
    r = r < 0 || (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) == 0 ? r : tcp_receive(try);
    if (r == 1) {
        uint16_t len = get_be16(try->head);
        if (dns_answer_matches(&try->exchange->query->question, try->id, try->answer, len,
                               &flags) &&
            (flags & DNS_FLAG_TC) == 0 && take_cookie(try, try->answer, len)) {
            learn(try, try->answer);
            succeed(try, try->answer, len);
            return;
        }
        r = -EBADMSG;
    }
    if (r < 0) {
        give_up(try);
    }
}

static int start_tcp(struct dns_try *try)
{
    try->tcp = true;
    try->mixed = false; /* nobody can forge unseen what comes over a connection */
    return open_try(try, SOCK_STREAM, EPOLLIN | EPOLLOUT, tcp_ready);
}

/* ---- UDP ---- */

/* What came over UDP will not do. Of the guest's own resolver it has to. */
static void ask_over_tcp(struct dns_try *try, size_t len)
{
    struct dns_exchange *ex = try->exchange;
    if (ex->named) {
        succeed(try, ex->upstream->datagram, len);
        return;
    }
    close_try(try);
    if (start_tcp(try) < 0 || rearm(ex) < 0) {
        give_up(try);
    }
}

/* What a datagram is. */
enum verdict { STRAY, ANSWER, OTHER_CASE, NO_EDNS, NO_COOKIE, BAD_COOKIE };

static enum verdict verdict_of_cookie(struct dns_try *try, const uint8_t *msg, size_t len,
                                      bool truncated)
{
    bool bad;
    bool expected = try->server.cookie.server_len > 0;
    if (try->server.no_edns) {
        return ANSWER;
    }
    switch (dns_cookie_read(&try->server.cookie, msg, len, &bad)) {
    case DNS_COOKIE_NONE:
        return expected && !truncated ? NO_COOKIE : ANSWER;
    case DNS_COOKIE_RIGHT:
        return bad ? BAD_COOKIE : ANSWER;
    case DNS_COOKIE_WRONG:
        break;
    }
    return STRAY;
}

static enum verdict verdict_of(struct dns_try *try, const uint8_t *msg, size_t len,
                               uint16_t *ret_flags)
{
    uint8_t query[QUERY_MAX];
    if (!try->server.no_edns && dns_answer_is_formerr(try->id, msg, len)) {
        return NO_EDNS;
    }
    if (!dns_answer_matches(&try->exchange->query->question, try->id, msg, len, ret_flags)) {
        return STRAY;
    }
    if (try->mixed) {
        write_query(try, query);
        if (!dns_answer_repeats_case(query, msg, len)) {
            return OTHER_CASE;
        }
    }
    return verdict_of_cookie(try, msg, len, (*ret_flags & DNS_FLAG_TC) != 0);
}

static void udp_answered(struct dns_try *try, size_t len, uint16_t flags)
{
    const uint8_t *datagram = try->exchange->upstream->datagram;
    if (try->mixed) {
        try->server.other_case = 0;
    }
    learn(try, datagram);
    if ((flags & DNS_FLAG_TC) != 0) {
        ask_over_tcp(try, len);
    } else {
        succeed(try, datagram, len);
    }
}

/* Asks the same server again, as another question; each of the three ways at most once. */
static void ask_otherwise(struct dns_try *try, enum verdict verdict)
{
    if (verdict == NO_EDNS) {
        try->server.no_edns = true;
    } else if (verdict == BAD_COOKIE) {
        try->again = true;
    } else {
        try->server.other_case++;
        try->mixed = false;
    }
    close_try(try);
    draw(try);
    try->asked = false;
    if (ask(try) < 0) {
        give_up(try);
    }
}

static void udp_ready(struct watch *watch, uint32_t events)
{
    struct dns_try *try =
        (struct dns_try *)(void *)((char *)watch - offsetof(struct dns_try, watch));
    uint8_t *datagram = try->exchange->upstream->datagram;
    (void)events;
    for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
        ssize_t n = recv(watch->fd, datagram, DNS_MESSAGE_MAX, 0);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        uint16_t flags = 0;
        enum verdict verdict = n < 0 ? STRAY : verdict_of(try, datagram, (size_t)n, &flags);
        if (verdict == ANSWER) {
            udp_answered(try, (size_t)n, flags);
            return;
        }
        if (verdict == NO_COOKIE || (verdict == BAD_COOKIE && try->again)) {
            ask_over_tcp(try, (size_t)n);
            return;
        }
        if (verdict != STRAY) {
            ask_otherwise(try, verdict);
            return;
        }
        if (n < 0 || ++try->strays == STRAYS_MAX) {
            give_up(try);
            return;
        }
    }
}

/* Asks, or asks again. Returns 0, or a negative errno when the server cannot be reached. */
static int ask(struct dns_try *try)
{
    int r = 0;
    if (!try->asked) {
        try->asked = true;
        r = try->tcp ? start_tcp(try) : open_try(try, SOCK_DGRAM, EPOLLIN, udp_ready);
    }
    if (r < 0 || try->tcp) {
        return r;
    }
    uint8_t query[QUERY_MAX];
    size_t len = write_query(try, query);
    /* A full buffer loses the datagram, as a network might. */
    bool sent =
        send(try->watch.fd, query, len, MSG_NOSIGNAL) >= 0 || errno == EAGAIN || errno == ENOBUFS;
    return sent ? 0 : -errno;
}

/* ---- the beginning ---- */

static int start(struct dns_exchange *ex)
{
    struct loop *loop = ex->upstream->loop;
    ex->timer = (struct timer){.fire = fire};
    ex->turn = 0;
    ex->deadline_ns = loop->now_ns + ex->upstream->timeout_ms * MS_NS;
    int r = advance(ex);
    if (r < 0) {
        dns_exchange_cancel(ex);
    }
    return r;
}

static void add_try(struct dns_exchange *ex, const struct nameserver *server, bool tcp)
{
    struct dns_try *try = &ex->tries[ex->n_tries++];
    *try = (struct dns_try){
        .watch = {.fd = -1},
        .exchange = ex,
        .server = *server,
        .tcp = tcp,
        .mixed = !tcp && server->other_case < CASE_TRIES,
    };
    draw(try);
}

static void prepare(struct dns_exchange *ex, struct dns_upstream *upstream,
                    const struct dns_query *query, dns_done_fn *done)
{
    ex->upstream = upstream;
    ex->query = query;
    ex->done = done;
    ex->n_tries = 0;
}

/* Those of the longest zone that the name is in. */
static const struct nameservers *servers_for(const struct dns_upstream *upstream, const char *name)
{
    size_t best = 0;
    for (size_t i = 1; i < upstream->n_zones; i++) {
        const char *zone = upstream->zones[i].name;
        if (dns_name_is_at_or_below(name, zone) &&
            strlen(zone) > strlen(upstream->zones[best].name)) {
            best = i;
        }
    }
    return &upstream->zones[best].servers;
}

int dns_exchange_start(struct dns_exchange *ex, struct dns_upstream *upstream,
                       const struct dns_query *query, dns_done_fn *done)
{
    prepare(ex, upstream, query, done);
    ex->named = false;
    const struct nameservers *servers = servers_for(upstream, query->question.name);
    for (size_t i = 0; i < servers->n; i++) {
        add_try(ex, &servers->at[i], false);
    }
    return start(ex);
}

int dns_exchange_start_named(struct dns_exchange *ex, struct dns_upstream *upstream,
                             const struct dns_query *query, const struct nameserver *resolver,
                             ln_protocol transport, dns_done_fn *done)
{
    prepare(ex, upstream, query, done);
    ex->named = true;
    add_try(ex, resolver, transport == LN_TCP);
    return start(ex);
}
