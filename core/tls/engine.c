/* What sessions share. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <psa/crypto.h>

#include "base/fail.h"
#include "tls/session_internal.h"

enum { KEPT_SERVERS = 256 };

int tls_engine_new(const struct tls_engine_options *options, struct tls_engine **ret,
                   ln_error *reterr)
{
    struct tls_engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL) {
        return -ENOMEM;
    }
    engine->services = options->services;
    engine->wall_ms = options->wall_ms;
    engine->wall_user = options->wall_user;
    engine->authority = options->authority;
    engine->keylog = options->keylog;
    engine->keylog_user = options->keylog_user;
    engine->services.random(engine->services.user, engine->secret, sizeof(engine->secret));
    tickets_init(&engine->tickets, &engine->services);
    uint32_t most = options->upstream_sessions != 0 ? options->upstream_sessions : KEPT_SERVERS;
    int r = kept_init(&engine->kept, most);
    /* The key store of the process: started by whoever comes first, and never stopped here, since
     * others may use it. It seeds itself from the system. */
    psa_status_t started = r == 0 ? psa_crypto_init() : PSA_SUCCESS;
    if (started == PSA_ERROR_INSUFFICIENT_MEMORY) {
        r = -ENOMEM;
    } else if (started != PSA_SUCCESS) {
        r = fail_with(reterr, -EIO, "the crypto library cannot start (PSA status %d)",
                      (int)started);
    }
    if (r < 0) {
        tls_engine_free(engine);
        return r;
    }
    *ret = engine;
    return 0;
}

struct tls_engine *tls_engine_free(struct tls_engine *engine)
{
    if (engine != NULL) {
        tickets_forget(&engine->tickets);
        kept_free(&engine->kept);
        explicit_bzero(engine->secret, sizeof(engine->secret));
        free(engine);
    }
    return NULL;
}

void tls_engine_set_authority(struct tls_engine *engine, struct tls_authority *authority)
{
    engine->authority = authority;
    tickets_forget(&engine->tickets);
}

void tls_engine_forget_sessions(struct tls_engine *engine)
{
    kept_clear(&engine->kept);
}

void tls_engine_stats(const struct tls_engine *engine, struct tls_engine_stats *ret)
{
    *ret = engine->stats;
    ret->kept = engine->kept.count;
}
