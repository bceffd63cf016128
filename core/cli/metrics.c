/* A small HTTP server with one page.
 *
 * Theory of operation. Whoever can connect may ask, and is not to make the datapath slower: a
 * client has a few seconds for one request, whose head is short; it gets one answer and is closed;
 * there are few clients at a time, of which the oldest makes room; and the page is written so many
 * times a second at most: after that the next callers wait for the next second in the kernel. */
#include "cli/metrics.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/metrics_text.h"
#include "cli/options.h"
#include "cli/session.h"
#include "cli/transport_unix.h"
#include "net/gateway.h"
#include "net/sockaddr.h"

enum { CLIENTS_MAX = 8, HEAD_MAX = 4096, ASKED_MAX = 20, PATIENCE_S = 5, BACKLOG = 16 };

struct metrics_client {
    struct watch watch;
    struct metrics *metrics;
    struct metrics_client *next;
    uint64_t until_ns;
    int fd;
    char head[HEAD_MAX];
    size_t head_len;
    char *out; /* NULL: the request is not whole yet */
    size_t out_at, out_len;
};

static struct loop *loop_of(const struct metrics *metrics)
{
    return gateway_loop(metrics->session->gateway);
}

/* ---- the answer ---- */

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* The status line for a request head, which ends in a NUL; *ret_page: the page goes with it. */
static const char *judge_request(const char *head, bool *ret_page)
{
    bool get = starts_with(head, "GET "), known = get || starts_with(head, "HEAD ");
    const char *target = strchr(head, ' ');
    *ret_page = false;
    if (!known) {
        return "405 Method Not Allowed";
    }
    size_t len = strcspn(++target, " \r\n");
    if (!starts_with(target + len, " HTTP/1.1\r\n") &&
        !starts_with(target + len, " HTTP/1.0\r\n")) {
        return "400 Bad Request";
    }
    size_t path = strcspn(target, "? \r\n");
    if (path != strlen("/metrics") || !starts_with(target, "/metrics")) {
        return "404 Not Found";
    }
    *ret_page = get;
    return "200 OK";
}

/* Writes what is to be sent. Returns false when out of memory. */
static bool write_answer(struct metrics_client *client)
{
    const struct session *session = client->metrics->session;
    char *page = NULL;
    size_t page_len = 0;
    bool wanted, whole = true;
    const char *status = judge_request(client->head, &wanted);
    FILE *out;
    if (wanted) {
        out = open_memstream(&page, &page_len);
        if (out == NULL) {
            return false;
        }
        metrics_write(session->gateway, session->policy, session->slot, out);
        whole = ferror(out) == 0;
        whole = fclose(out) == 0 && whole;
    }
    out = whole ? open_memstream(&client->out, &client->out_len) : NULL;
    if (out != NULL) {
        fprintf(out,
                "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                status, page_len);
        fwrite(page != NULL ? page : "", 1, page_len, out);
        whole = ferror(out) == 0;
        whole = fclose(out) == 0 && whole;
    }
    free(page);
    return out != NULL && whole;
}

/* ---- clients ---- */

static void drop(struct metrics_client *client)
{
    struct metrics_client **at = &client->metrics->clients;
    while (*at != client) {
        at = &(*at)->next;
    }
    *at = client->next;
    client->metrics->n_clients--;
    loop_unwatch(loop_of(client->metrics), &client->watch);
    close(client->fd);
    free(client->out);
    free(client);
}

/* Returns false when the client is to go: it has all, or is gone. */
static bool push(struct metrics_client *client)
{
    while (client->out_at < client->out_len) {
        ssize_t n = send(client->fd, client->out + client->out_at, client->out_len - client->out_at,
                         MSG_NOSIGNAL);
        if (n < 0) {
            return (errno == EAGAIN || errno == EINTR) &&
                   loop_rewatch(loop_of(client->metrics), &client->watch, EPOLLOUT) == 0;
        }
        client->out_at += (size_t)n;
    }
    return false;
}

/* Returns false when the client is to go. */
static bool take(struct metrics_client *client)
{
    size_t room = sizeof(client->head) - 1 - client->head_len;
    ssize_t n = recv(client->fd, client->head + client->head_len, room, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (n <= 0 || memchr(client->head + client->head_len, '\0', (size_t)n) != NULL) {
        return false;
    }
    client->head_len += (size_t)n;
    client->head[client->head_len] = '\0';
    if (strstr(client->head, "\r\n\r\n") == NULL) {
        return client->head_len < sizeof(client->head) - 1;
    }
    return write_answer(client) && push(client);
}

static void client_ready(struct watch *watch, uint32_t events)
{
    struct metrics_client *client =
        (struct metrics_client *)(void *)((char *)watch - offsetof(struct metrics_client, watch));
    (void)events;
    if (client->out != NULL ? !push(client) : !take(client)) {
        drop(client);
    }
}

static void welcome(struct metrics *metrics, int fd)
{
    struct loop *loop = loop_of(metrics);
    if (metrics->n_clients == CLIENTS_MAX) {
        struct metrics_client *oldest = metrics->clients;
        while (oldest->next != NULL) {
            oldest = oldest->next;
        }
        drop(oldest);
    }
    struct metrics_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        close(fd);
        return;
    }
    *client = (struct metrics_client){.watch = {.fd = -1, .ready = client_ready},
                                      .metrics = metrics,
                                      .next = metrics->clients,
                                      .until_ns = loop->now_ns + PATIENCE_S * SECOND_NS,
                                      .fd = fd};
    metrics->clients = client;
    metrics->n_clients++;
    if (loop_watch(loop, &client->watch, fd, EPOLLIN) < 0) {
        drop(client);
    }
}

static void listener_ready(struct watch *watch, uint32_t events)
{
    struct metrics *metrics =
        (struct metrics *)(void *)((char *)watch - offsetof(struct metrics, listener));
    struct loop *loop = loop_of(metrics);
    (void)events;
    int fd = accept4(metrics->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    welcome(metrics, fd);
    metrics->asked++;
    bool ticking = timer_is_set(&metrics->timer) ||
                   timer_set(&loop->timers, &metrics->timer, loop->now_ns + SECOND_NS) == 0;
    if (ticking && metrics->asked >= ASKED_MAX) {
        loop_unwatch(loop, watch);
        metrics->paused = true;
    }
}

/* Once a second while there is anything to look after. */
static void fire(struct timer *timer, uint64_t now_ns)
{
    struct metrics *metrics =
        (struct metrics *)(void *)((char *)timer - offsetof(struct metrics, timer));
    struct metrics_client *next;
    for (struct metrics_client *at = metrics->clients; at != NULL; at = next) {
        next = at->next;
        if (now_ns >= at->until_ns) {
            drop(at);
        }
    }
    metrics->asked = 0;
    if (metrics->paused) {
        metrics->paused =
            loop_watch(loop_of(metrics), &metrics->listener, metrics->fd, EPOLLIN) != 0;
    }
    if (metrics->n_clients > 0 || metrics->paused) {
        (void)timer_set(&loop_of(metrics)->timers, timer, now_ns + SECOND_NS);
    }
}

/* ---- life ---- */

/* PORT, :PORT, IP:PORT, [IPV6]:PORT. */
static int parse_endpoint(const char *text, ln_endpoint *ret)
{
    const char *colon = strrchr(text, ':');
    const char *port = colon == NULL ? text : colon + 1;
    size_t len = colon == NULL ? 0 : (size_t)(colon - text);
    uint32_t number;
    bool brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (options_number(port, 1, UINT16_MAX, &number) < 0) {
        return -EINVAL;
    }
    *ret = (ln_endpoint){.addr = ln_addr_v4(INADDR_LOOPBACK), .port = (uint16_t)number};
    if (len == 0) {
        return 0;
    }
    return ln_addr_parse(brackets ? text + 1 : text, brackets ? len - 2 : len, &ret->addr) < 0 ||
                   ln_addr_is_v4(&ret->addr) == brackets
               ? -EINVAL
               : 0;
}

/* Returns the socket or -errno. */
static int listen_at(const ln_endpoint *endpoint)
{
    struct sockaddr_storage address;
    socklen_t len = sockaddr_put(&endpoint->addr, endpoint->port, &address);
    int one = 1;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        (address.ss_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0) ||
        bind(fd, (const struct sockaddr *)&address, len) != 0 || listen(fd, BACKLOG) != 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

int metrics_open(struct metrics *metrics, const char *address)
{
    metrics->by_path = strchr(address, '/') != NULL;
    if (metrics->by_path) {
        metrics->fd = unix_bind_or_say(address, SOCK_STREAM);
        return metrics->fd < 0 ? metrics->fd : 0;
    }
    if (parse_endpoint(address, &metrics->endpoint) < 0) {
        command_say("--metrics: found '%s'; accepted: PORT, IP:PORT, [IPV6]:PORT, or a path with a "
                    "slash",
                    address);
        return -EINVAL;
    }
    metrics->fd = listen_at(&metrics->endpoint);
    if (metrics->fd < 0) {
        command_say("--metrics %s: %s", address, strerror(-metrics->fd));
        return metrics->fd;
    }
    return 0;
}

int metrics_start(struct metrics *metrics, struct session *session)
{
    metrics->session = session;
    metrics->listener = (struct watch){.fd = -1, .ready = listener_ready};
    metrics->timer = (struct timer){.fire = fire};
    return metrics->fd < 0 ? 0
                           : loop_watch(loop_of(metrics), &metrics->listener, metrics->fd, EPOLLIN);
}

void metrics_close(struct metrics *metrics)
{
    while (metrics->clients != NULL) {
        drop(metrics->clients);
    }
    if (metrics->fd >= 0) {
        if (metrics->session != NULL) {
            loop_unwatch(loop_of(metrics), &metrics->listener);
            timer_cancel(&loop_of(metrics)->timers, &metrics->timer);
        }
        close(metrics->fd);
        metrics->fd = -1;
    }
}
