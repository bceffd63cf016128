/* What secrets cost: looking for placeholders in data that has none, by kind of data and number of
 * secrets; the head of a request, without a placeholder and with one.
 *
 *     bench_secrets [--json]
 *
 * Data arrives in pieces of 16 KiB, as TLS records have them. Times are the best of several
 * passes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "secrets/encode.h"
#include "secrets/rewrite.h"
#include "secrets/scanner.h"

enum { DATA_LEN = 16 << 20, PIECE = 16 << 10, PASSES = 5, SECRETS_MAX = 100, HEADS = 20000 };

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_secrets: %s\n", what);
        exit(1);
    }
}

/* xorshift64*, Marsaglia and Vigna. */
static uint32_t chance(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * UINT64_C(0x2545f4914f6cdd1d)) >> 32);
}

static void random_bytes(void *user, uint8_t *dst, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        dst[i] = (uint8_t)(chance(user) >> 11);
    }
}

/* ---- data ---- */

static void fill_binary(uint64_t *seed, uint8_t *dst)
{
    random_bytes(seed, dst, DATA_LEN);
}

/* Repeats what `item` writes. */
static void fill_items(uint64_t *seed, uint8_t *dst,
                       int (*item)(uint64_t *seed, char *dst, size_t size))
{
    char text[512];
    for (size_t at = 0; at < DATA_LEN;) {
        size_t n = (size_t)item(seed, text, sizeof(text));
        n = n < DATA_LEN - at ? n : DATA_LEN - at;
        memcpy(dst + at, text, n);
        at += n;
    }
}

static int json_item(uint64_t *seed, char *dst, size_t size)
{
    return snprintf(dst, size,
                    "{\"id\": %u, \"name\": \"item %x\", \"url\": \"https://example.com/%u\", "
                    "\"text\": \"She said \\\"%x\\\" and left.\\nThe next line\", \"ok\": true},\n",
                    chance(seed), chance(seed), chance(seed) % 1000, chance(seed));
}

static void fill_json(uint64_t *seed, uint8_t *dst)
{
    fill_items(seed, dst, json_item);
}

static int source_item(uint64_t *seed, char *dst, size_t size)
{
    return snprintf(dst, size,
                    "    if (value_%u > LIMIT_%u) {\n        printf(\"%%d%%%%\\n\", "
                    "items[%u].count);\n    }\n\n",
                    chance(seed) % 100, chance(seed) % 100, chance(seed));
}

static void fill_source(uint64_t *seed, uint8_t *dst)
{
    fill_items(seed, dst, source_item);
}

static int form_item(uint64_t *seed, char *dst, size_t size)
{
    return snprintf(dst, size, "key%u=%%7B%%22a%%22%%3A%%22%x+%x%%2F%%24%%22%%7D&", chance(seed),
                    chance(seed), chance(seed));
}

static void fill_form(uint64_t *seed, uint8_t *dst)
{
    fill_items(seed, dst, form_item);
}

static int base64_item(uint64_t *seed, char *dst, size_t size)
{
    uint8_t bytes[57];
    struct byte_queue line = {.cap = 128};
    random_bytes(seed, bytes, sizeof(bytes));
    check(base64_put(&line, bytes, sizeof(bytes)) == 0, "out of memory");
    int n = snprintf(dst, size, "%.*s\r\n", (int)line.len, (const char *)byte_queue_bytes(&line));
    byte_queue_free(&line);
    return n;
}

static void fill_base64(uint64_t *seed, uint8_t *dst)
{
    fill_items(seed, dst, base64_item);
}

static const struct {
    const char *name;
    void (*fill)(uint64_t *seed, uint8_t *dst);
} KINDS[] = {{"binary", fill_binary},
             {"JSON", fill_json},
             {"source code", fill_source},
             {"form", fill_form},
             {"base64 in lines", fill_base64}};

enum { KINDS_COUNT = sizeof(KINDS) / sizeof(*KINDS) };

/* ---- measuring ---- */

static struct vault *vault_with(size_t n)
{
    static const ln_name_pattern host = {.name = "api.example.com"};
    static char envs[SECRETS_MAX][32];
    ln_secret secrets[SECRETS_MAX] = {0};
    uint64_t seed = 5;
    struct vault *vault = NULL;
    for (size_t i = 0; i < n; i++) {
        snprintf(envs[i], sizeof(envs[i]), "%c%c_TOKEN_%zu", (char)('A' + i % 26),
                 (char)('A' + i * 7 % 26), i);
        secrets[i] = (ln_secret){.env = envs[i],
                                 .source = envs[i],
                                 .hosts = &host,
                                 .n_hosts = 1,
                                 .inject = LN_INJECT_HEADERS,
                                 .require_tls = true};
    }
    check(vault_new(secrets, n, random_bytes, &seed, &vault) == 0, "no vault");
    return vault;
}

/* GB/s. */
static double rate(const struct secret_scope *scope, const uint8_t *data)
{
    uint64_t best = UINT64_MAX;
    for (int pass = 0; pass < PASSES; pass++) {
        struct secret_report report = {0};
        struct secret_scanner *scanner = NULL;
        check(secret_scanner_new(scope, &scanner) == 0, "no scanner");
        uint64_t start = now_ns();
        for (size_t at = 0; at < DATA_LEN; at += PIECE) {
            check(secret_scan_raw(scanner, data + at, PIECE, SECRET_BODY, &report) == 0, "found");
        }
        uint64_t took = now_ns() - start;
        best = took < best ? took : best;
        secret_scanner_free(scanner);
    }
    return (double)DATA_LEN / (double)best;
}

static void add(struct http_head *head, const char *name, const char *value)
{
    check(http_head_add(head, name, strlen(name), value, strlen(value)) == 0, "no field");
}

/* Of a request as curl and browsers send them; nanoseconds. */
static double head_cost(struct secret_scope *scope, const char *token)
{
    char bearer[128];
    uint64_t best = UINT64_MAX;
    snprintf(bearer, sizeof(bearer), "Bearer %s", token);
    for (int pass = 0; pass < PASSES; pass++) {
        uint64_t took = 0;
        for (int i = 0; i < HEADS; i++) {
            struct secret_report report = {0};
            struct http_head head;
            http_head_init(&head);
            check(http_head_set_method(&head, "GET", 3) == 0 &&
                      http_head_set_path(&head, "/repos/lunette/lunette/issues?per_page=100", 42) ==
                          0,
                  "no head");
            add(&head, "user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101");
            add(&head, "accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
            add(&head, "accept-language", "en-US,en;q=0.5");
            add(&head, "accept-encoding", "gzip, deflate, br, zstd");
            add(&head, "cookie", "session=0123456789abcdef0123456789abcdef; theme=dark");
            add(&head, "authorization", bearer);
            uint64_t start = now_ns();
            check(secret_rewrite_request(scope, &head, &report) == 0, "not rewritten");
            took += now_ns() - start;
            http_head_free(&head);
        }
        best = took < best ? took : best;
    }
    return (double)best / HEADS;
}

static void bench_heads(bool json, size_t n)
{
    struct vault *vault = vault_with(n);
    struct secret_scope scope;
    struct secret_connection connection = {
        .name = "api.example.com", .pinned = true, .verified_tls = true};
    check(vault_set(vault, 0, "a value of some length", 22, NULL) == 0, "no value");
    secret_scope_init(&scope, vault, &connection);
    double without = head_cost(&scope, "none");
    double with = head_cost(&scope, vault_placeholder(vault, 0));
    printf(json
               ? "{\"head\": true, \"secrets\": %zu, \"ns\": %.0f, \"ns_with_placeholder\": %.0f}\n"
               : "head             %4zu secrets  %6.0f ns, with a placeholder %.0f ns\n",
           n, without, with);
    secret_scope_end(&scope);
    vault_unref(vault);
}

int main(int argc, char **argv)
{
    static const size_t counts[] = {1, 10, 100};
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    uint8_t *data = malloc(DATA_LEN);
    check(data != NULL, "out of memory");
    for (size_t k = 0; k < KINDS_COUNT; k++) {
        uint64_t seed = 1;
        KINDS[k].fill(&seed, data);
        for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
            struct vault *vault = vault_with(counts[i]);
            struct secret_scope scope;
            struct secret_connection connection = {.name = "other.example", .pinned = true};
            secret_scope_init(&scope, vault, &connection);
            printf(json ? "{\"data\": \"%s\", \"secrets\": %zu, \"gb_per_s\": %.2f}\n"
                        : "%-16s %4zu secrets  %6.2f GB/s\n",
                   KINDS[k].name, counts[i], rate(&scope, data));
            secret_scope_end(&scope);
            vault_unref(vault);
        }
    }
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        bench_heads(json, counts[i]);
    }
    free(data);
    return 0;
}
