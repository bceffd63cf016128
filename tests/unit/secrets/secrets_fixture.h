/* Vaults, scopes and heads for tests of secrets. */
#ifndef TEST_SECRETS_FIXTURE_H
#define TEST_SECRETS_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "http/message.h"
#include "secrets/scope.h"

#define ALL_PLACES (LN_INJECT_HEADERS | LN_INJECT_BASIC_AUTH | LN_INJECT_QUERY | LN_INJECT_BODY)

static const ln_name_pattern API_HOST[] = {{.name = "api.example.com"}};
static const ln_name_pattern OTHER_HOST[] = {{.name = "other.example"},
                                             {.name = "zone.example", .below = true}};

/* The numbers of a seed. */
static inline void seeded_random(void *user, uint8_t *dst, size_t len)
{
    unsigned *seed = user;
    for (size_t i = 0; i < len; i++) {
        dst[i] = (uint8_t)(rand_r(seed) >> 8);
    }
}

static inline uint32_t below(unsigned *seed, uint32_t n)
{
    return ((uint32_t)rand_r(seed) >> 4) % n;
}

/* A secret of API_HOST. */
static inline ln_secret secret_of(const char *env, const char *placeholder, unsigned inject)
{
    return (ln_secret){.env = env,
                       .from = LN_SECRET_FROM_ENV,
                       .source = env,
                       .source_len = strlen(env),
                       .hosts = API_HOST,
                       .n_hosts = 1,
                       .placeholder = placeholder,
                       .inject = inject,
                       .require_tls = true};
}

/* Without cmocka: fuzz targets use it too. */
static inline struct vault *vault_of(const ln_secret *secrets, size_t n)
{
    unsigned seed = 7;
    struct vault *vault;
    if (vault_new(secrets, n, seeded_random, &seed, &vault) < 0) {
        abort();
    }
    return vault;
}

static inline void give(struct vault *vault, size_t i, const char *value)
{
    if (vault_set(vault, i, value, strlen(value), NULL) < 0) {
        abort();
    }
}

static inline struct secret_scope scope_of(struct vault *vault, const char *host)
{
    struct secret_scope scope;
    struct secret_connection connection = {.name = host, .pinned = true, .verified_tls = true};
    secret_scope_init(&scope, vault, &connection);
    return scope;
}

static inline void must(int r)
{
    if (r != 0) {
        abort();
    }
}

static inline void head_of(struct http_head *head, const char *method, const char *host,
                           const char *path)
{
    http_head_init(head);
    must(http_head_set_method(head, method, strlen(method)));
    must(http_head_set_scheme(head, "https", 5));
    must(http_head_set_authority(head, host, strlen(host)));
    must(http_head_set_path(head, path, strlen(path)));
}

static inline void add_field(struct http_head *head, const char *name, const char *value)
{
    must(http_head_add(head, name, strlen(name), value, strlen(value)));
}

static inline int contains(const void *text, size_t len, const char *needle)
{
    return len > 0 && memmem(text, len, needle, strlen(needle)) != NULL;
}

#endif
