/* A few hundred servers at most, looked up once a handshake: a plain array serves. */
#include "tls/kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int kept_init(struct kept *kept, uint32_t most)
{
    *kept = (struct kept){.servers = calloc(most, sizeof(struct kept_server)), .most = most};
    return kept->servers == NULL ? -ENOMEM : 0;
}

void kept_session_free(struct kept_session *session)
{
    if (session->data != NULL) {
        explicit_bzero(session->data, session->len);
        free(session->data);
    }
    *session = (struct kept_session){0};
}

static void forget_last(struct kept_server *server)
{
    kept_session_free(&server->sessions[--server->n]);
}

static void forget_server(struct kept *kept, struct kept_server *server)
{
    while (server->n > 0) {
        forget_last(server);
    }
    struct kept_server *last = &kept->servers[--kept->count];
    if (server != last) {
        *server = *last;
    }
    *last = (struct kept_server){0};
}

void kept_clear(struct kept *kept)
{
    while (kept->count > 0) {
        forget_server(kept, &kept->servers[kept->count - 1]);
    }
}

void kept_free(struct kept *kept)
{
    kept_clear(kept);
    free(kept->servers);
    *kept = (struct kept){0};
}

static struct kept_server *find(struct kept *kept, const uint8_t key[KEPT_KEY])
{
    for (uint32_t i = 0; i < kept->count; i++) {
        if (memcmp(kept->servers[i].key, key, KEPT_KEY) == 0) {
            kept->servers[i].used = ++kept->calls;
            return &kept->servers[i];
        }
    }
    return NULL;
}

static struct kept_server *add(struct kept *kept, const uint8_t key[KEPT_KEY])
{
    if (kept->count == kept->most) {
        struct kept_server *oldest = &kept->servers[0];
        for (uint32_t i = 1; i < kept->count; i++) {
            oldest = kept->servers[i].used < oldest->used ? &kept->servers[i] : oldest;
        }
        forget_server(kept, oldest);
    }
    struct kept_server *server = &kept->servers[kept->count++];
    memcpy(server->key, key, KEPT_KEY);
    server->used = ++kept->calls;
    return server;
}

void kept_put(struct kept *kept, const uint8_t key[KEPT_KEY], const uint8_t *data, size_t len,
              int64_t end_s, bool reusable)
{
    uint8_t *copy = len == 0 || len > KEPT_BYTES ? NULL : malloc(len);
    if (copy == NULL) {
        return;
    }
    memcpy(copy, data, len);
    struct kept_server *server = find(kept, key);
    server = server != NULL ? server : add(kept, key);
    /* One that can be reused serves for all: it takes the place of the others. */
    while (server->n > 0 && (reusable || server->n == KEPT_TICKETS)) {
        forget_last(server);
    }
    memmove(server->sessions + 1, server->sessions, server->n * sizeof(server->sessions[0]));
    server->sessions[0] =
        (struct kept_session){.data = copy, .len = len, .end_s = end_s, .reusable = reusable};
    server->n++;
}

/* What the caller gets of a session that stays. */
static bool copy_of(const struct kept_session *session, struct kept_session *ret)
{
    *ret = *session;
    ret->data = malloc(session->len);
    if (ret->data == NULL) {
        return false;
    }
    memcpy(ret->data, session->data, session->len);
    return true;
}

bool kept_take(struct kept *kept, const uint8_t key[KEPT_KEY], int64_t now_s,
               struct kept_session *ret)
{
    struct kept_server *server = find(kept, key);
    if (server == NULL) {
        return false;
    }
    bool taken = false;
    while (server->n > 0 && !taken) {
        struct kept_session first = server->sessions[0];
        bool ended = first.end_s <= now_s;
        if (!ended && first.reusable) {
            return copy_of(&server->sessions[0], ret);
        }
        server->n--;
        memmove(server->sessions, server->sessions + 1, server->n * sizeof(server->sessions[0]));
        server->sessions[server->n] = (struct kept_session){0};
        if (ended) {
            kept_session_free(&first);
        } else {
            *ret = first;
            taken = true;
        }
    }
    if (server->n == 0) {
        forget_server(kept, server);
    }
    return taken;
}

void kept_drop(struct kept *kept, const uint8_t key[KEPT_KEY])
{
    struct kept_server *server = find(kept, key);
    if (server != NULL) {
        forget_server(kept, server);
    }
}
