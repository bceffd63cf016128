/* Intercepted TLS, from outside: a TLS client as the guest and a TLS server as the host, both of
 * lunette's own engine. */
#ifndef SCENARIO_TLS_SCENE_H
#define SCENARIO_TLS_SCENE_H

#include "harness.h"
#include "tls/session.h"

#define HOST "172.16.0.1" /* the host's address as the guest knows it */
#define NAME "web.test"

enum { TEXT_MAX = 65536 };

/* One end of TLS outside of the gateway. */
struct end {
    struct tls_session *tls;
    char text[TEXT_MAX]; /* plaintext received */
    size_t len;
    size_t heard; /* bytes of ciphertext */
    bool over;
};

struct scene {
    struct world w;
    struct tls_engine *engine; /* both ends' */
    struct tls_authority *authority;
    struct tls_roots *roots; /* what the guest trusts */
    struct guest g;
    struct end guest, host;
    int listener, fd;
    uint16_t port;
};

/* For cmocka's groups: a directory for the interception's CA. */
int set_up(void **state);
int tear_down(void **state);

/* Starts a gateway that intercepts the host's port; `more` are further lines, up to a NULL. */
void begin(struct scene *s, const char *const *more);
#define BEGIN(s, ...) begin(s, (const char *const[]){__VA_ARGS__, NULL})
/* Ends it, and checks that nothing is left. */
void end(struct scene *s);
/* The guest's connection, and the TLS of either end on it, which goes on with go_on(). */
void open_flow(struct scene *s);
void begin_guest(struct scene *s, const char *name, unsigned alpn);
void begin_host(struct scene *s, const char *name, unsigned alpn);
/* Steps a session and reads what it has; the same for either end, with what goes to the gateway. */
void advance(struct end *e);
void move_guest(struct scene *s);
void move_host(struct scene *s);
/* Lets both ends and the gateway go on until nothing more is to come. */
void go_on(struct scene *s);
void say(struct end *e, const char *text);
/* Fails unless this was among what came since the last call. */
void expect_text(struct end *e, const char *text);
/* A connection over which a request was answered. */
void open_all(struct scene *s);

#endif
