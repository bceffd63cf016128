/* A hostile guest: what it sends to the server's side. The first byte of the input says how large
 * the pieces are. */
#include "tls/pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    struct tls_session *s;
    struct tls_accept_options a = {.name = "www.example.com", .alpn = TLS_ALPN_H2};
    uint8_t plain[512];
    if (size == 0 || (w.engine == NULL && world_begin(&w) < 0) ||
        tls_accept(w.engine, &a, &s) < 0) {
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
    if (tls_session_is_open(s)) {
        abort(); /* a Finished that was made without the keys */
    }
    tls_session_free(s);
    return 0;
}
