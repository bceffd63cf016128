#include "tls_scene.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/host.h"

enum { IDLE_ROUNDS = 4 };

static char dir[] = "/tmp/lunette-scenario-XXXXXX";

/* ---- certificates ---- */

static void write_file(const char *name, const char *text, char path[256])
{
    snprintf(path, 256, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* A CA that signs the host's certificate, which the policy trusts. */
static void make_authority(struct scene *s, char ca_path[256])
{
    struct tls_authority_options options = {
        .services = host_services_system, .leaf_certificates = 16, .leaf_valid_s = 86400};
    struct tls_pair pair;
    assert_int_equal(tls_authority_make(&options, &pair), 0);
    assert_int_equal(tls_authority_new(&options, pair.certificate, pair.certificate_len, pair.key,
                                       pair.key_len, &s->authority, NULL),
                     0);
    write_file("upstream.pem", pair.certificate, ca_path);
    tls_pair_free(&pair);
}

/* ---- both ends ---- */

void begin(struct scene *s, const char *const *more)
{
    char port_line[64], ca_line[300], ca_path[256];
    const char *lines[16] = {port_line, ca_line};
    size_t n = 2;
    *s = (struct scene){.fd = -1};
    make_authority(s, ca_path);
    s->listener = host_listen(&s->port, 8);
    snprintf(port_line, sizeof(port_line), "tls.intercepted_ports[]=%u", s->port);
    snprintf(ca_line, sizeof(ca_line), "tls.upstream_ca_certs[]=%s", ca_path);
    while (*more != NULL) {
        lines[n++] = *more++;
    }
    world_start(&s->w, policy_of(lines));
    world_pin(&s->w, NAME, HOST);
    struct tls_engine_options options = {.services = host_services_system,
                                         .authority = s->authority};
    assert_int_equal(tls_engine_new(&options, &s->engine, NULL), 0);
    const char *ca = ln_gateway_ca(s->w.gw);
    assert_non_null(ca);
    assert_int_equal(tls_roots_new(ca, strlen(ca), NULL, &s->roots, NULL, NULL), 0);
}

void end(struct scene *s)
{
    tls_session_free(s->guest.tls);
    tls_session_free(s->host.tls);
    tls_roots_unref(s->roots);
    tls_engine_free(s->engine);
    tls_authority_free(s->authority);
    if (s->fd >= 0) {
        close(s->fd);
    }
    world_stop(&s->w);
    close(s->listener);
    guest_free(&s->g);
}

void open_flow(struct scene *s)
{
    s->g = guest_connect(&s->w, HOST, s->port);
    assert_int_equal(s->g.state, GUEST_OPEN);
}

void begin_guest(struct scene *s, const char *name, unsigned alpn)
{
    struct tls_connect_options options = {.name = name,
                                          .address = s->g.peer,
                                          .port = s->port,
                                          .roots = s->roots,
                                          .verify = true,
                                          .alpn = alpn};
    assert_int_equal(tls_connect(s->engine, &options, &s->guest.tls), 0);
}

void begin_host(struct scene *s, const char *name, unsigned alpn)
{
    struct tls_accept_options options = {
        .name = name, .address = ln_addr_v4(0x7f000001), .alpn = alpn};
    s->fd = host_accept(s->listener);
    assert_int_equal(tls_accept(s->engine, &options, &s->host.tls), 0);
}

void advance(struct end *e)
{
    for (int i = 0; i < 32 && tls_session_step(e->tls) == TLS_GOES_ON; i++) {
    }
    ssize_t n;
    while (e->len < TEXT_MAX &&
           (n = tls_session_read(e->tls, e->text + e->len, TEXT_MAX - e->len)) >= 0) {
        e->len += (size_t)n;
        if (n == 0) {
            e->over = true;
            return;
        }
    }
}

void move_guest(struct scene *s)
{
    struct byte_queue *out = tls_session_output(s->guest.tls);
    advance(&s->guest);
    if (out->len > 0 && s->g.state == GUEST_OPEN) {
        guest_send_all(&s->g, byte_queue_bytes(out), out->len);
        byte_queue_drop(out, out->len);
    }
    guest_hear(&s->g);
    if (s->g.n_received > 0) {
        (void)tls_session_feed(s->guest.tls, s->g.received, s->g.n_received);
        s->g.n_received = 0;
    }
    if (s->g.fin) {
        tls_session_end_of_input(s->guest.tls);
    }
    advance(&s->guest);
}

void move_host(struct scene *s)
{
    static uint8_t data[65536];
    struct byte_queue *out = tls_session_output(s->host.tls);
    ssize_t n;
    advance(&s->host);
    if (out->len > 0) {
        /* The gateway may have hung up. */
        (void)send(s->fd, byte_queue_bytes(out), out->len, MSG_NOSIGNAL);
        byte_queue_drop(out, out->len);
    }
    while ((n = recv(s->fd, data, sizeof(data), MSG_DONTWAIT)) > 0) {
        (void)tls_session_feed(s->host.tls, data, (size_t)n);
        s->host.heard += (size_t)n;
        advance(&s->host);
    }
}

void go_on(struct scene *s)
{
    for (int idle = 0; idle < IDLE_ROUNDS; idle++) {
        size_t before = s->w.n_frames + s->guest.len + s->host.len + s->host.heard;
        if (s->guest.tls != NULL) {
            move_guest(s);
        }
        if (s->host.tls != NULL && s->fd >= 0) {
            move_host(s);
        }
        settle(&s->w);
        size_t after = s->w.n_frames + s->guest.len + s->host.len + s->host.heard;
        idle = after != before ? 0 : idle;
    }
}

void say(struct end *e, const char *text)
{
    assert_int_equal(tls_session_write(e->tls, text, strlen(text)), strlen(text));
}

void expect_text(struct end *e, const char *text)
{
    e->text[e->len < TEXT_MAX ? e->len : TEXT_MAX - 1] = '\0';
    if (strstr(e->text, text) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", text, e->text);
    }
    e->len = 0;
}

void open_all(struct scene *s)
{
    open_flow(s);
    begin_guest(s, NAME, TLS_ALPN_HTTP11);
    begin_host(s, NAME, TLS_ALPN_HTTP11);
    go_on(s);
    assert_true(tls_session_is_open(s->guest.tls));
    assert_true(tls_session_is_open(s->host.tls));
    say(&s->guest, "GET /a?b HTTP/1.1\r\nHost: " NAME "\r\n\r\n");
    go_on(s);
    expect_text(&s->host, "GET /a?b HTTP/1.1\r\n");
    say(&s->host, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    go_on(s);
    expect_text(&s->guest, "\r\n\r\nhi");
}

int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    return setenv("XDG_DATA_HOME", dir, 1);
}

int tear_down(void **state)
{
    static const char *const files[] = {"upstream.pem",  "lunette/ca.pem", "lunette/ca-key.pem",
                                        "lunette/.lock", "lunette",        ""};
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
        (void)remove(path);
    }
    return 0;
}
