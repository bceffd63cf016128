/* Memory runs out while a connection is intercepted, at each of lunette's first allocations and at
 * many of mbedTLS's: what arrives is what was sent, and nothing is left behind. */
#include <string.h>

#include "short_memory.h"
#include "tls_scene.h"

/* mbedTLS 3.6 leaks the cipher contexts of a record transform that it could not finish. */
const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:gcm_ctx_alloc\nleak:aes_ctx_alloc\n";
}

/* As much of a request and its answer as there is memory for. Returns whether all of it was. */
static bool try_all(struct scene *s)
{
    static const char request[] = "GET /a?b HTTP/1.1\r\nHost: " NAME "\r\n\r\n";
    s->g = guest_connect(&s->w, HOST, s->port);
    begin_guest(s, NAME, TLS_ALPN_HTTP11);
    go_on(s);
    if (s->g.state != GUEST_OPEN || !host_has_connection(s->listener)) {
        return false;
    }
    begin_host(s, NAME, TLS_ALPN_HTTP11);
    go_on(s);
    if (!tls_session_is_open(s->guest.tls)) {
        return false;
    }
    say(&s->guest, request);
    go_on(s);
    assert_true(s->host.len <= sizeof(request) - 1);
    assert_memory_equal(s->host.text, request, s->host.len);
    if (s->host.len < sizeof(request) - 1) {
        return false;
    }
    say(&s->host, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    go_on(s);
    s->guest.text[s->guest.len] = '\0';
    return strstr(s->guest.text, "200 OK\r\nContent-Length: 2\r\n\r\nhi") != NULL;
}

static void test_memory_may_run_out_anywhere(void **state)
{
    (void)state;
    for (int and_after = 0; and_after < 2; and_after++) {
        long n = 0;
        do {
            struct scene s;
            BEGIN(&s, "allow@host:tcp");
            run_out_at(n, and_after != 0);
            bool whole = try_all(&s);
            bool failed = enough_again();
            assert_true(whole || failed);
            guest_reset(&s.g);
            settle(&s.w);
            end(&s);
            n += n < 100 ? 1 : 97;
        } while (memory_ran_out());
        print_message("%ld allocations\n", n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
