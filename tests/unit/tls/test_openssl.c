/* Against OpenSSL's command over a loopback socket: `openssl s_client` as the guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tls/pair.h"

static int listen_on_loopback(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                listen(fd, 4) == 0 && getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* One direction of ciphertext each. Returns false at the end of input. */
static bool pump(int fd, struct tls_session *s)
{
    uint8_t data[4096];
    struct byte_queue *out = tls_session_output(s);
    while (out->len > 0) {
        ssize_t n = send(fd, byte_queue_bytes(out), out->len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        byte_queue_drop(out, (size_t)n);
    }
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    if (poll(&ready, 1, 10000) != 1) {
        return false;
    }
    ssize_t n = recv(fd, data, sizeof(data), 0);
    return n > 0 && tls_session_feed(s, data, (size_t)n) == (size_t)n;
}

/* Serves one connection: echoes a line. Returns whether it was resumed, or -1. */
static int serve(struct world *w, int listener, unsigned *ret_alpn, char version[16])
{
    struct tls_accept_options a = {.name = "www.example.com", .alpn = TLS_ALPN_HTTP11};
    struct tls_session *s;
    char line[256];
    ssize_t got = -1;
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    assert_int_equal(tls_accept(w->engine, &a, &s), 0);
    while (got <= 0 && pump(fd, s)) {
        while (tls_session_step(s) == TLS_GOES_ON) {
        }
        got = tls_session_read(s, line, sizeof(line));
    }
    assert_string_equal(tls_session_fault(s)->message, "");
    assert_true(got > 0);
    assert_int_equal(tls_session_write(s, line, (size_t)got), got);
    tls_session_finish(s);
    (void)pump(fd, s);
    int resumed = tls_session_resumed(s);
    *ret_alpn = tls_session_alpn(s);
    snprintf(version, 16, "%s", tls_session_version(s));
    tls_session_free(s);
    close(fd);
    return resumed;
}

/* What the client's command printed holds `want`. */
static void assert_printed(FILE *client, const char *want)
{
    char line[1024];
    bool found = false;
    while (fgets(line, sizeof(line), client) != NULL) {
        found = found || strstr(line, want) != NULL;
    }
    assert_int_equal(pclose(client), 0);
    assert_true(found);
}

static void test_openssl_clients_are_served_and_resumed(void **state)
{
    (void)state;
    struct world w;
    static const char *const versions[] = {"-tls1_2", "-tls1_3"};
    char ca[] = "/tmp/lunette-ca-XXXXXX";
    char session[] = "/tmp/lunette-session-XXXXXX";
    assert_int_equal(world_begin(&w), 0);
    w.wall_ms = (uint64_t)time(NULL) * 1000; /* OpenSSL has the system's clock */
    struct tls_pair pair;
    struct tls_authority_options options = world_options(&w);
    assert_int_equal(tls_authority_make(&options, &pair), 0);
    w.authority = tls_authority_free(w.authority);
    assert_int_equal(tls_authority_new(&options, pair.certificate, pair.certificate_len, pair.key,
                                       pair.key_len, &w.authority, NULL),
                     0);
    tls_engine_set_authority(w.engine, w.authority);
    int fd = mkstemp(ca);
    assert_true(write(fd, pair.certificate, pair.certificate_len) == (ssize_t)pair.certificate_len);
    close(fd);
    close(mkstemp(session));
    uint16_t port;
    int listener = listen_on_loopback(&port);
    for (int i = 0; i < 4; i++) {
        char command[512];
        snprintf(command, sizeof(command),
                 "(echo hello; sleep 0.2) | openssl s_client -connect 127.0.0.1:%u -CAfile %s "
                 "-servername www.example.com -verify_hostname www.example.com "
                 "-verify_return_error -x509_strict -alpn http/1.1 %s %s %s -ign_eof 2>&1",
                 port, ca, versions[i / 2], i % 2 == 0 ? "-sess_out" : "-sess_in", session);
        FILE *client = popen(command, "r");
        unsigned alpn = 0;
        char version[16];
        assert_non_null(client);
        assert_int_equal(serve(&w, listener, &alpn, version), i % 2);
        assert_int_equal(alpn, TLS_ALPN_HTTP11);
        assert_string_equal(version, i / 2 == 0 ? "TLSv1.2" : "TLSv1.3");
        assert_printed(client, "hello");
    }
    close(listener);
    unlink(ca);
    unlink(session);
    tls_pair_free(&pair);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openssl_clients_are_served_and_resumed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
