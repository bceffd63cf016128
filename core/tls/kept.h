/* Sessions with servers, kept to be resumed. */
#ifndef LN_TLS_KEPT_H
#define LN_TLS_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KEPT_KEY = 32,       /* bytes of a key */
    KEPT_TICKETS = 4,    /* sessions of one server */
    KEPT_BYTES = 8 << 10 /* most of one session */
};

struct kept_session {
    uint8_t *data; /* as mbedtls_ssl_session_save() wrote it */
    size_t len;
    int64_t end_s; /* seconds since 1970: not to be used from then on */
    bool reusable; /* TLS 1.2: any number of times; a ticket of TLS 1.3: once (appendix C.4) */
};

/* The sessions with one server under one trust. */
struct kept_server {
    uint8_t key[KEPT_KEY];
    uint64_t used;                              /* when, in calls */
    struct kept_session sessions[KEPT_TICKETS]; /* the newest first */
    unsigned n;
};

struct kept {
    struct kept_server *servers;
    uint32_t count, most;
    uint64_t calls;
};

/* Returns 0 or -ENOMEM. */
int kept_init(struct kept *kept, uint32_t most);
void kept_clear(struct kept *kept);
/* Clears it, and it cannot be used any more. */
void kept_free(struct kept *kept);
/* Keeps a session (copied); nothing happens when there is no memory or it is too large. The server
 * used least recently makes room. */
void kept_put(struct kept *kept, const uint8_t key[KEPT_KEY], const uint8_t *data, size_t len,
              int64_t end_s, bool reusable);
/* The newest session of a server that has not ended. Returns false when there is none; else *ret is
 * the caller's, to be given to kept_session_free(). */
bool kept_take(struct kept *kept, const uint8_t key[KEPT_KEY], int64_t now_s,
               struct kept_session *ret);
/* Forgets all of a server's: what was taken last was refused. */
void kept_drop(struct kept *kept, const uint8_t key[KEPT_KEY]);
void kept_session_free(struct kept_session *session);

#endif
