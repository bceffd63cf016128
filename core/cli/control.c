/* The control socket.
 *
 * Theory of operation. Who may open the socket's file may command. Yet nobody there makes the
 * datapath wait, or takes more than a bounded part of its memory: a request is a short line; it is
 * answered into memory, from where it goes out as fast as it is read; the next is read only then;
 * and a client beyond the last that there is room for takes the place of the oldest.
 *
 * One that asks for events becomes a follower: it asks nothing more, and is sent what happens. What
 * it does not read waits in a queue of bounded size; an event for which there is no room is lost to
 * it, and counted in the next that is not. Events are queued when they happen, which may be deep
 * inside the datapath, and sent from the loop. */
#include "cli/control.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/byte_queue.h"
#include "cli/control_answer.h"
#include "cli/session.h"
#include "cli/transport_unix.h"
#include "net/gateway.h"

enum {
    CLIENTS_MAX = 8,
    FOLLOWERS_MAX = 4,
    REQUEST_MAX = 512,
    FOLLOWED_MAX = 256 << 10, /* bytes that wait for one follower */
    LINE_MAX_BYTES = 8000
};

struct control_client {
    struct watch watch;
    struct control *control;
    struct control_client *next;
    int fd;
    char in[REQUEST_MAX];
    size_t in_len;
    char *out; /* NULL: nothing is to be sent */
    size_t out_at, out_len;
    bool ended;              /* it sends no more */
    uint32_t follows;        /* bit: ln_event_kind; 0: it is no follower */
    struct byte_queue queue; /* lines for a follower */
    uint64_t lost;           /* since the last that it was told */
};

/* ---- clients ---- */

static struct loop *loop_of(const struct control *control)
{
    return gateway_loop(control->session->gateway);
}

static void drop(struct control_client *client)
{
    struct control_client **at = &client->control->clients;
    while (*at != client) {
        at = &(*at)->next;
    }
    *at = client->next;
    client->control->n_clients--;
    loop_unwatch(loop_of(client->control), &client->watch);
    close(client->fd);
    free(client->out);
    byte_queue_free(&client->queue);
    free(client);
}

/* A follower's hanging up is always reported, and more is not to be read from it. */
static bool push_queue(struct control_client *client)
{
    ssize_t n = 0;
    while (client->queue.len > 0 && (n = send(client->fd, byte_queue_bytes(&client->queue),
                                              client->queue.len, MSG_NOSIGNAL)) > 0) {
        byte_queue_drop(&client->queue, (size_t)n);
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        return false;
    }
    return loop_rewatch(loop_of(client->control), &client->watch,
                        client->queue.len > 0 ? EPOLLOUT : 0) == 0;
}

/* Sends what there is. Returns false when the client is gone. */
static bool push(struct control_client *client)
{
    while (client->out_at < client->out_len) {
        ssize_t n = send(client->fd, client->out + client->out_at, client->out_len - client->out_at,
                         MSG_NOSIGNAL);
        if (n < 0) {
            return (errno == EAGAIN || errno == EINTR) &&
                   loop_rewatch(loop_of(client->control), &client->watch, EPOLLOUT) == 0;
        }
        client->out_at += (size_t)n;
    }
    free(client->out);
    client->out = NULL;
    return client->follows != 0
               ? push_queue(client)
               : loop_rewatch(loop_of(client->control), &client->watch, EPOLLIN) == 0;
}

/* ---- followers ---- */

static unsigned count_followers(const struct control *control)
{
    unsigned n = 0;
    for (const struct control_client *at = control->clients; at != NULL; at = at->next) {
        n += at->follows != 0;
    }
    return n;
}

/* The kinds named, all where there is none; 0: one of them is no kind. */
static uint32_t parse_kinds(const char *text)
{
    uint32_t kinds = *text == '\0' ? UINT32_MAX : 0;
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        unsigned kind = 0;
        while (kind < LN_EVENT_KINDS && (strlen(ln_event_kind_name(kind)) != len ||
                                         memcmp(ln_event_kind_name(kind), text, len) != 0)) {
            kind++;
        }
        if (kind == LN_EVENT_KINDS) {
            return 0;
        }
        kinds |= 1u << kind;
        text += len + strspn(text + len, " ");
    }
    return kinds;
}
static_assert(LN_EVENT_KINDS <= 32, "a bit for each kind");

static void follow(struct control_client *client, FILE *out, const char *kinds)
{
    uint32_t follows = parse_kinds(kinds);
    if (follows == 0) {
        control_refuse(out, "there is no such kind of event: see `lunette help events`");
    } else if (count_followers(client->control) == FOLLOWERS_MAX) {
        control_refuse(out, "there are too many who follow already");
    } else {
        fputs("{\"ok\":true}\n", out);
        client->follows = follows;
        client->queue.cap = FOLLOWED_MAX;
    }
}

static void queue_event(struct control_client *client, ln_event event)
{
    char line[LINE_MAX_BYTES];
    event.lost = client->lost;
    size_t len = ln_event_format_json(&event, line, sizeof(line));
    if (len >= sizeof(line)) {
        client->lost++;
        return;
    }
    bool idle = client->queue.len == 0 && client->out == NULL;
    line[len] = '\n';
    if (byte_queue_put(&client->queue, line, len + 1) < 0) {
        client->lost++;
        return;
    }
    client->lost = 0;
    if (idle) {
        (void)loop_rewatch(loop_of(client->control), &client->watch, EPOLLOUT);
    }
}

void control_tell(struct control *control, const ln_event *event)
{
    for (struct control_client *at = control->clients; at != NULL; at = at->next) {
        if ((at->follows >> event->kind & 1) != 0) {
            queue_event(at, *event);
        }
    }
}

/* ---- requests ---- */

static bool answer_line(struct control_client *client, char *line)
{
    client->out_at = client->out_len = 0;
    FILE *out = open_memstream(&client->out, &client->out_len);
    if (out == NULL) {
        return false;
    }
    size_t verb = strcspn(line, " ");
    if (verb == strlen("events") && memcmp(line, "events", verb) == 0) {
        follow(client, out, line + verb + strspn(line + verb, " "));
    } else {
        control_answer(client->control->session, out, line);
    }
    bool whole = ferror(out) == 0;
    return fclose(out) == 0 && whole && push(client);
}

/* Answers what was asked, one line after the other. Returns false when the client is to go. */
static bool take_lines(struct control_client *client)
{
    while (client->out == NULL && client->follows == 0) {
        char line[REQUEST_MAX];
        const char *newline = memchr(client->in, '\n', client->in_len);
        if (newline == NULL) {
            return client->in_len < sizeof(client->in) && !client->ended;
        }
        size_t len = (size_t)(newline - client->in);
        memcpy(line, client->in, len);
        line[len] = '\0';
        client->in_len -= len + 1;
        memmove(client->in, newline + 1, client->in_len);
        if (!answer_line(client, line)) {
            return false;
        }
    }
    return true;
}

static void client_ready(struct watch *watch, uint32_t events)
{
    struct control_client *client =
        (struct control_client *)(void *)((char *)watch - offsetof(struct control_client, watch));
    if (client->out != NULL) {
        if (!push(client) || !take_lines(client)) {
            drop(client);
        }
        return;
    }
    if (client->follows != 0) {
        if ((events & (EPOLLHUP | EPOLLERR)) != 0 || !push_queue(client)) {
            drop(client);
        }
        return;
    }
    ssize_t n =
        recv(client->fd, client->in + client->in_len, sizeof(client->in) - client->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    client->in_len += n > 0 ? (size_t)n : 0;
    client->ended = n <= 0;
    if (!take_lines(client)) {
        drop(client);
    }
}

static void welcome(struct control *control, int fd)
{
    if (control->n_clients == CLIENTS_MAX) {
        struct control_client *oldest = NULL; /* that follows nothing: at least half of them */
        for (struct control_client *at = control->clients; at != NULL; at = at->next) {
            oldest = at->follows == 0 ? at : oldest;
        }
        drop(oldest);
    }
    struct control_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        close(fd);
        return;
    }
    *client = (struct control_client){.watch = {.fd = -1, .ready = client_ready},
                                      .control = control,
                                      .next = control->clients,
                                      .fd = fd};
    control->clients = client;
    control->n_clients++;
    if (loop_watch(loop_of(control), &client->watch, fd, EPOLLIN) < 0) {
        drop(client);
    }
}

static void listener_ready(struct watch *watch, uint32_t events)
{
    struct control *control =
        (struct control *)(void *)((char *)watch - offsetof(struct control, listener));
    (void)events;
    int fd = accept4(control->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        welcome(control, fd);
    }
}

/* ---- life ---- */

int control_open(struct control *control, const char *path)
{
    control->fd = unix_bind_or_say(path, SOCK_STREAM);
    return control->fd < 0 ? control->fd : 0;
}

int control_start(struct control *control, struct session *session)
{
    control->session = session;
    control->listener = (struct watch){.fd = -1, .ready = listener_ready};
    return control->fd < 0 ? 0
                           : loop_watch(loop_of(control), &control->listener, control->fd, EPOLLIN);
}

void control_close(struct control *control)
{
    while (control->clients != NULL) {
        drop(control->clients);
    }
    if (control->fd >= 0) {
        if (control->session != NULL) {
            loop_unwatch(loop_of(control), &control->listener);
        }
        close(control->fd);
        control->fd = -1;
    }
}
