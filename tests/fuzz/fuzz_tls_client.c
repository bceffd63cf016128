/* A hostile server: what it sends in answer to a client's hello. The first byte of the input says
 * how large the pieces are. */
#include "tls/pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same in every run, so that an input shows the same again. */
static void fixed_random(void *user, uint8_t *dst, size_t len)
{
    (void)user;
    memset(dst, 0x5a, len);
}

static uint64_t fixed_now(void *user)
{
    (void)user;
    return UINT64_C(1000000000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tls_engine *engine;
    struct tls_engine_options options = {.services = {.now_ns = fixed_now, .random = fixed_random},
                                         .wall_ms = fixed_now};
    struct tls_session *s;
    struct tls_connect_options c = {.name = "www.example.com", .port = 443, .alpn = TLS_ALPN_H2};
    uint8_t plain[512];
    if (size == 0 || (engine == NULL && tls_engine_new(&options, &engine, NULL) < 0) ||
        tls_connect(engine, &c, &s) < 0) {
        return 0;
    }
    size_t piece = data[0] + 1u;
    for (size_t at = 1; at < size;) {
        size_t n = size - at < piece ? size - at : piece;
        n = tls_session_feed(s, data + at, n);
        at += n;
        while (tls_session_step(s) == TLS_GOES_ON) {
        }
        while (tls_session_read(s, plain, sizeof(plain)) > 0) {
        }
        struct byte_queue *out = tls_session_output(s);
        byte_queue_drop(out, out->len);
        if (n == 0) {
            break;
        }
    }
    tls_session_end_of_input(s);
    while (tls_session_step(s) == TLS_GOES_ON) {
    }
    if (tls_session_is_open(s) || tls_session_fault(s)->message[0] == '\0') {
        abort(); /* nobody proved to be www.example.com */
    }
    tls_session_free(s);
    return 0;
}
