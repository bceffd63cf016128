/* What TLS costs beside the operations of mbedTLS that it cannot do without.
 *
 *     bench_tls [--json] [SECONDS]
 *
 * Handshakes of a client and a server in memory, full and resumed, for both sides and for each
 * alone (its own processor time); a leaf that is minted; bulk through one session; the raw
 * operations in the same run. Processor time of this thread. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mbedtls/ecdh.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/gcm.h>

#include "tls/session.h"

enum { BULK = 1 << 20 };

static double seconds_each = 1;
static bool json, first = true;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_tls: %s\n", what);
        exit(1);
    }
}

static int random_of_system(void *user, unsigned char *dst, size_t len)
{
    (void)user;
    host_services_system.random(NULL, dst, len);
    return 0;
}

static void report(const char *what, double value, const char *unit)
{
    if (json) {
        printf("%s\n  {\"what\": \"%s\", \"value\": %.1f, \"unit\": \"%s\"}", first ? "[" : ",",
               what, value, unit);
    } else {
        printf("%-36s %12.1f %s\n", what, value, unit);
    }
    first = false;
}

/* ---- the raw operations ---- */

struct raw {
    mbedtls_ecdsa_context key;
    mbedtls_ecdh_context ecdh;
    mbedtls_gcm_context gcm;
    uint8_t hash[32], signature[MBEDTLS_ECDSA_MAX_LEN], buffer[16384];
    size_t signature_len;
    mbedtls_ecp_group_id group;
};

static void sign(struct raw *r)
{
    check(mbedtls_ecdsa_write_signature(&r->key, MBEDTLS_MD_SHA256, r->hash, sizeof(r->hash),
                                        r->signature, sizeof(r->signature), &r->signature_len,
                                        random_of_system, NULL) == 0,
          "signing");
}

static void verify(struct raw *r)
{
    check(mbedtls_ecdsa_read_signature(&r->key, r->hash, sizeof(r->hash), r->signature,
                                       r->signature_len) == 0,
          "verifying");
}

/* What one side of a handshake does: a key pair, and the secret with the other's. */
static void exchange(struct raw *r)
{
    uint8_t mine[128];
    uint8_t secret[66];
    size_t len;
    mbedtls_ecdh_init(&r->ecdh);
    check(mbedtls_ecdh_setup(&r->ecdh, r->group) == 0 &&
              mbedtls_ecdh_make_params(&r->ecdh, &len, mine, sizeof(mine), random_of_system,
                                       NULL) == 0 &&
              mbedtls_ecdh_read_public(&r->ecdh, mine + 3, len - 3) == 0 &&
              mbedtls_ecdh_calc_secret(&r->ecdh, &len, secret, sizeof(secret), random_of_system,
                                       NULL) == 0,
          "ECDH");
    mbedtls_ecdh_free(&r->ecdh);
}

static void seal(struct raw *r)
{
    uint8_t tag[16];
    check(mbedtls_gcm_crypt_and_tag(&r->gcm, MBEDTLS_GCM_ENCRYPT, sizeof(r->buffer), r->hash, 12,
                                    r->hash, 5, r->buffer, r->buffer, 16, tag) == 0,
          "GCM");
}

static double rate_of(void (*op)(struct raw *), struct raw *r)
{
    uint64_t start = now_ns();
    uint64_t count = 0;
    while ((double)(now_ns() - start) < seconds_each * 1e9) {
        op(r);
        count++;
    }
    return (double)count * 1e9 / (double)(now_ns() - start);
}

static void bench_raw(void)
{
    struct raw r = {0};
    mbedtls_ecdsa_init(&r.key);
    mbedtls_gcm_init(&r.gcm);
    check(mbedtls_ecdsa_genkey(&r.key, MBEDTLS_ECP_DP_SECP256R1, random_of_system, NULL) == 0 &&
              mbedtls_gcm_setkey(&r.gcm, MBEDTLS_CIPHER_ID_AES, r.hash, 128) == 0,
          "keys");
    report("raw ECDSA P-256 sign", rate_of(sign, &r), "/s");
    report("raw ECDSA P-256 verify", rate_of(verify, &r), "/s");
    r.group = MBEDTLS_ECP_DP_SECP256R1;
    report("raw ECDHE P-256, one side", rate_of(exchange, &r), "/s");
    r.group = MBEDTLS_ECP_DP_CURVE25519;
    report("raw ECDHE X25519, one side", rate_of(exchange, &r), "/s");
    report("raw AES-128-GCM, 16 KiB", rate_of(seal, &r) * sizeof(r.buffer) / 1e6, "MB/s");
    mbedtls_ecdsa_free(&r.key);
    mbedtls_gcm_free(&r.gcm);
}

/* ---- sessions ---- */

struct world {
    struct tls_authority *authority;
    struct tls_roots *roots;
    struct tls_engine *engine;
};

struct pair {
    struct tls_session *client, *server;
    uint64_t client_ns, server_ns, longest_ns; /* spent; the longest step */
};

static void carry(struct tls_session *from, struct tls_session *to)
{
    struct byte_queue *out = tls_session_output(from);
    byte_queue_drop(out, tls_session_feed(to, byte_queue_bytes(out), out->len));
}

static enum tls_progress timed_step(struct tls_session *s, uint64_t *spent, uint64_t *longest)
{
    uint64_t start = now_ns();
    enum tls_progress progress = tls_session_step(s);
    uint64_t took = now_ns() - start;
    *spent += took;
    *longest = took > *longest ? took : *longest;
    check(progress != TLS_FAILED, tls_session_fault(s)->message);
    return progress;
}

static void connect_pair(struct world *w, struct pair *p, const char *name)
{
    struct tls_connect_options c = {
        .name = name, .port = 443, .roots = w->roots, .verify = true, .alpn = TLS_ALPN_HTTP11};
    struct tls_accept_options a = {.name = name, .alpn = TLS_ALPN_HTTP11};
    uint64_t start = now_ns();
    check(tls_connect(w->engine, &c, &p->client) == 0, "connect");
    uint64_t between = now_ns();
    check(tls_accept(w->engine, &a, &p->server) == 0, "accept");
    p->client_ns += between - start;
    p->server_ns += now_ns() - between;
    while (!tls_session_is_open(p->client) || !tls_session_is_open(p->server)) {
        (void)timed_step(p->client, &p->client_ns, &p->longest_ns);
        carry(p->client, p->server);
        (void)timed_step(p->server, &p->server_ns, &p->longest_ns);
        carry(p->server, p->client);
    }
}

static void free_pair(struct pair *p)
{
    tls_session_free(p->client);
    tls_session_free(p->server);
}

static void bench_handshakes(struct world *w, const char *kind, bool resume)
{
    char label[64];
    struct pair p = {0};
    uint64_t count = 0;
    uint64_t start = now_ns();
    uint8_t byte;
    while ((double)(now_ns() - start) < seconds_each * 1e9) {
        if (!resume) {
            tls_engine_forget_sessions(w->engine);
        }
        connect_pair(w, &p, "www.example.com");
        uint64_t before = now_ns();
        (void)tls_session_read(p.client, &byte, 1); /* the tickets */
        p.client_ns += now_ns() - before;
        free_pair(&p);
        count++;
    }
    snprintf(label, sizeof(label), "%s handshake, server side", kind);
    report(label, (double)count * 1e9 / (double)p.server_ns, "/s");
    snprintf(label, sizeof(label), "%s handshake, client side", kind);
    report(label, (double)count * 1e9 / (double)p.client_ns, "/s");
    snprintf(label, sizeof(label), "%s handshakes, intercepted", kind);
    report(label, (double)count * 1e9 / (double)(now_ns() - start), "/s");
    snprintf(label, sizeof(label), "%s handshake, longest step", kind);
    report(label, (double)p.longest_ns / 1e3, "us");
}

static void bench_mint(struct world *w)
{
    char name[64];
    uint64_t start = now_ns();
    int count = 0;
    while ((double)(now_ns() - start) < seconds_each * 1e9) {
        struct tls_leaf *leaf;
        snprintf(name, sizeof(name), "host-%d.example.com", count++);
        check(tls_authority_leaf(w->authority, name, NULL, &leaf) == 0, "minting");
        tls_leaf_unref(leaf);
    }
    report("leaf minted", (double)count * 1e9 / (double)(now_ns() - start), "/s");
}

static void bench_bulk(struct world *w)
{
    static uint8_t data[BULK];
    struct pair p = {0};
    uint64_t encrypting = 0;
    uint64_t decrypting = 0;
    uint64_t bytes = 0;
    connect_pair(w, &p, "www.example.com");
    while ((double)(encrypting + decrypting) < 2 * seconds_each * 1e9) {
        uint64_t start = now_ns();
        ssize_t n = tls_session_write(p.server, data, sizeof(data));
        uint64_t between = now_ns();
        check(n > 0, "writing");
        bytes += (uint64_t)n;
        struct byte_queue *out = tls_session_output(p.server);
        while (out->len > 0) {
            carry(p.server, p.client);
            while (tls_session_read(p.client, data, sizeof(data)) > 0) {
            }
        }
        encrypting += between - start;
        decrypting += now_ns() - between;
    }
    report("bulk encrypt", (double)bytes * 1e3 / (double)encrypting, "MB/s");
    report("bulk decrypt", (double)bytes * 1e3 / (double)decrypting, "MB/s");
    free_pair(&p);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        json = json || strcmp(argv[i], "--json") == 0;
        seconds_each = atof(argv[i]) > 0 ? atof(argv[i]) : seconds_each;
    }
    struct world w;
    struct tls_pair ca;
    struct tls_authority_options options = {
        .services = host_services_system, .leaf_certificates = 1000, .leaf_valid_s = 86400};
    check(tls_authority_make(&options, &ca) == 0 &&
              tls_authority_new(&options, ca.certificate, ca.certificate_len, ca.key, ca.key_len,
                                &w.authority, NULL) == 0 &&
              tls_roots_new(ca.certificate, ca.certificate_len, NULL, &w.roots, NULL, NULL) == 0,
          "authority");
    struct tls_engine_options engine = {.services = host_services_system, .authority = w.authority};
    check(tls_engine_new(&engine, &w.engine, NULL) == 0, "engine");
    bench_raw();
    bench_handshakes(&w, "full", false);
    bench_handshakes(&w, "resumed", true);
    bench_mint(&w);
    bench_bulk(&w);
    fputs(json ? "\n]\n" : "", stdout);
    tls_engine_free(w.engine);
    tls_authority_free(w.authority);
    tls_roots_unref(w.roots);
    tls_pair_free(&ca);
    return 0;
}
