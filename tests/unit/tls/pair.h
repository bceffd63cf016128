/* A client and a server engine whose bytes go to each other in memory, with an injected clock. */
#ifndef TEST_TLS_PAIR_H
#define TEST_TLS_PAIR_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tls/session.h"

struct world {
    uint64_t wall_ms, now_ns;
    struct tls_pair ca;
    struct tls_authority *authority;
    struct tls_roots *roots;
    struct tls_engine *engine;
    char keylog[8192];
};

static inline uint64_t world_wall_ms(void *user)
{
    return ((struct world *)user)->wall_ms;
}

static inline uint64_t world_now_ns(void *user)
{
    return ((struct world *)user)->now_ns;
}

static inline void world_random(void *user, uint8_t *dst, size_t len)
{
    (void)user;
    host_services_system.random(host_services_system.user, dst, len);
}

static inline void world_keylog(void *user, const char *line)
{
    struct world *w = user;
    if (strlen(w->keylog) + strlen(line) + 2 < sizeof(w->keylog)) {
        strcat(strcat(w->keylog, line), "\n");
    }
}

static inline struct tls_authority_options world_options(struct world *w)
{
    return (struct tls_authority_options){
        .services = {.user = w, .now_ns = world_now_ns, .random = world_random},
        .wall_ms = world_wall_ms,
        .wall_user = w,
        .leaf_certificates = 8,
        .leaf_valid_s = 86400};
}

/* Returns 0, or the error of the first part that failed; world_end() in both cases. */
static inline int world_begin(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->wall_ms = UINT64_C(1780000000000); /* 2026-05-28 */
    w->now_ns = UINT64_C(1000000000000);
    struct tls_authority_options options = world_options(w);
    int r = tls_authority_make(&options, &w->ca);
    r = r < 0 ? r
              : tls_authority_new(&options, w->ca.certificate, w->ca.certificate_len, w->ca.key,
                                  w->ca.key_len, &w->authority, NULL);
    r = r < 0
            ? r
            : tls_roots_new(w->ca.certificate, w->ca.certificate_len, NULL, &w->roots, NULL, NULL);
    struct tls_engine_options engine = {.services = options.services,
                                        .wall_ms = world_wall_ms,
                                        .wall_user = w,
                                        .authority = w->authority,
                                        .keylog = world_keylog,
                                        .keylog_user = w};
    return r < 0 ? r : tls_engine_new(&engine, &w->engine, NULL);
}

static inline void world_end(struct world *w)
{
    w->engine = tls_engine_free(w->engine);
    w->authority = tls_authority_free(w->authority);
    w->roots = tls_roots_unref(w->roots);
    tls_pair_free(&w->ca);
}

/* Moves what `from` has to send to `to`, `piece` bytes at a time. Returns how many moved. */
static inline size_t carry(struct tls_session *from, struct tls_session *to, size_t piece)
{
    struct byte_queue *out = tls_session_output(from);
    size_t n = out->len < piece ? out->len : piece;
    n = n == 0 ? 0 : tls_session_feed(to, byte_queue_bytes(out), n);
    byte_queue_drop(out, n);
    return n;
}

/* Steps both until neither can go on. */
static inline void shake(struct tls_session *client, struct tls_session *server, size_t piece)
{
    for (bool moved = true; moved;) {
        enum tls_progress c = tls_session_step(client);
        enum tls_progress s = tls_session_step(server);
        moved = c == TLS_GOES_ON || s == TLS_GOES_ON;
        moved |= carry(client, server, piece) > 0;
        moved |= carry(server, client, piece) > 0;
    }
}

#endif
