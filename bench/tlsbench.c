/* The client of bench/tls, in a guest: what a TLS server is reached with through each peer. One
 * binary for every peer, so that all are measured alike.
 *
 *   tlsbench MODE ADDR PORT NAME CONNECTIONS SECONDS [PATH]
 *
 * MODE: new       connect, full handshake, one request, close; over and over
 *       resumed   likewise, with the session of the connection before
 *       requests  one request after another on each connection
 *       bulk      bodies of PATH, one after another on each connection
 *       latency   like `requests`, one at a time each millisecond: how long each takes
 *
 * The server is verified against the roots in $SSL_CERT_FILE. Results are one line of JSON on
 * stdout. */
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROGRAM "tlsbench"
#include "common.h"

enum { CONNECTIONS_MAX = 64, SAMPLES_MAX = 1 << 20, MS_NS = 1000000 };

enum mode { NEW, RESUMED, REQUESTS, BULK, LATENCY };

struct load {
    enum mode mode;
    struct sockaddr_in addr;
    const char *name;
    SSL_CTX *context;
    char request[512];
    uint64_t end_ns;
};

struct worker {
    pthread_t thread;
    const struct load *load;
    SSL_SESSION *session;
    uint64_t done, bytes, resumed;
    uint32_t *samples_us; /* LATENCY */
    size_t n_samples;
};

static _Noreturn void fail_tls(const char *what)
{
    char text[256] = "";
    unsigned long code = ERR_get_error();
    if (code != 0) {
        ERR_error_string_n(code, text, sizeof(text));
    }
    fprintf(stderr, PROGRAM ": %s: %s\n", what, text);
    exit(1);
}

static SSL *open_session(struct worker *w)
{
    const struct load *load = w->load;
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&load->addr, sizeof(load->addr)) != 0) {
        fail("connect");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    SSL *ssl = SSL_new(load->context);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_set1_host(ssl, load->name) != 1 ||
        SSL_set_tlsext_host_name(ssl, load->name) != 1) {
        fail_tls("session");
    }
    if (w->session != NULL) {
        SSL_set_session(ssl, w->session);
    }
    if (SSL_connect(ssl) != 1) {
        fail_tls("handshake");
    }
    w->resumed += SSL_session_reused(ssl) == 1;
    return ssl;
}

static void close_session(struct worker *w, SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    if (w->load->mode == RESUMED) {
        SSL_SESSION_free(w->session);
        w->session = SSL_get1_session(ssl); /* after the answer: with the ticket of TLS 1.3 */
    }
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
}

static _Noreturn void fail_answer(const char *head)
{
    fprintf(stderr, PROGRAM ": unexpected answer: %.100s\n", head);
    exit(1);
}

/* A response on its way. */
struct reader {
    SSL *ssl;
    char data[64 << 10];
    size_t at, len; /* what was read and is not used */
};

static void read_more(struct reader *r)
{
    if (r->at == r->len) {
        r->at = r->len = 0;
    }
    int n = SSL_read(r->ssl, r->data + r->len, (int)(sizeof(r->data) - 1 - r->len));
    if (n <= 0) {
        fail_tls("read");
    }
    r->len += (size_t)n;
    r->data[r->len] = '\0';
}

/* A line, terminated, or everything up to an empty line. */
static char *read_until(struct reader *r, const char *end)
{
    char *found;
    if (r->at > 0) {
        memmove(r->data, r->data + r->at, r->len - r->at + 1);
        r->len -= r->at;
        r->at = 0;
    }
    while (r->len == 0 || (found = strstr(r->data, end)) == NULL) {
        read_more(r);
    }
    *found = '\0';
    r->at = (size_t)(found - r->data) + strlen(end);
    return r->data;
}

static void skip(struct reader *r, size_t len)
{
    while (len > 0) {
        if (r->at == r->len) {
            read_more(r);
        }
        size_t n = r->len - r->at < len ? r->len - r->at : len;
        r->at += n;
        len -= n;
    }
}

static size_t skip_chunks(struct reader *r)
{
    size_t total = 0, len;
    do {
        len = strtoul(read_until(r, "\r\n"), NULL, 16);
        skip(r, len + 2);
        total += len;
    } while (len > 0);
    return total;
}

/* One request and its whole answer. Returns the length of the body. */
static size_t exchange(SSL *ssl, const char *request)
{
    static _Thread_local struct reader r;
    r.ssl = ssl;
    r.at = r.len = 0;
    if (SSL_write(ssl, request, (int)strlen(request)) <= 0) {
        fail_tls("write");
    }
    const char *head = read_until(&r, "\r\n\r\n");
    const char *field = strcasestr(head, "\ncontent-length:");
    if (strncmp(head, "HTTP/1.1 200", 12) != 0) {
        fail_answer(head);
    }
    if (strcasestr(head, "\ntransfer-encoding: chunked") != NULL) {
        return skip_chunks(&r);
    }
    if (field == NULL) {
        fail_answer(head);
    }
    size_t len = strtoul(field + 16, NULL, 10);
    skip(&r, len);
    return len;
}

static void connect_again_and_again(struct worker *w)
{
    while (now_ns() < w->load->end_ns) {
        SSL *ssl = open_session(w);
        w->bytes += exchange(ssl, w->load->request);
        close_session(w, ssl);
        w->done++;
    }
}

static void ask_again_and_again(struct worker *w)
{
    SSL *ssl = open_session(w);
    uint64_t next_ns = now_ns();
    while (now_ns() < w->load->end_ns) {
        uint64_t begin_ns = now_ns();
        w->bytes += exchange(ssl, w->load->request);
        w->done++;
        if (w->load->mode != LATENCY) {
            continue;
        }
        uint64_t after_ns = now_ns();
        if (w->n_samples < SAMPLES_MAX) {
            w->samples_us[w->n_samples++] = (uint32_t)((after_ns - begin_ns) / 1000);
        }
        next_ns += MS_NS;
        if (next_ns > after_ns) {
            usleep((useconds_t)((next_ns - after_ns) / 1000));
        }
    }
    close_session(w, ssl);
}

static void *work(void *user)
{
    struct worker *w = user;
    if (w->load->mode == NEW || w->load->mode == RESUMED) {
        connect_again_and_again(w);
    } else {
        ask_again_and_again(w);
    }
    SSL_SESSION_free(w->session);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

static void tell_latency(struct worker *w)
{
    qsort(w->samples_us, w->n_samples, sizeof(*w->samples_us), compare);
    printf("{\"p50_us\": %u, \"p99_us\": %u}\n", w->samples_us[w->n_samples / 2],
           w->samples_us[w->n_samples * 99 / 100]);
}

static enum mode mode_of(const char *name)
{
    static const char *const names[] = {"new", "resumed", "requests", "bulk", "latency"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], name) == 0) {
            return (enum mode)i;
        }
    }
    fprintf(stderr, PROGRAM ": mode '%s'\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    static struct worker workers[CONNECTIONS_MAX];
    if (argc < 7) {
        fprintf(stderr, "usage: " PROGRAM " MODE ADDR PORT NAME CONNECTIONS SECONDS [PATH]\n");
        return 2;
    }
    struct load load = {
        .mode = mode_of(argv[1]), .addr = address_of(argv[2], argv[3]), .name = argv[4]};
    int n = atoi(argv[5]);
    double seconds = atof(argv[6]);
    if (n < 1 || n > CONNECTIONS_MAX) {
        fprintf(stderr, PROGRAM ": 1 to %d connections\n", CONNECTIONS_MAX);
        return 2;
    }
    snprintf(load.request, sizeof(load.request), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n",
             argc > 7 ? argv[7] : "/", load.name);
    load.context = SSL_CTX_new(TLS_client_method());
    if (load.context == NULL || SSL_CTX_set_default_verify_paths(load.context) != 1) {
        fail_tls("context");
    }
    SSL_CTX_set_verify(load.context, SSL_VERIFY_PEER, NULL);
    uint64_t begin_ns = now_ns();
    load.end_ns = begin_ns + (uint64_t)(seconds * 1e9);
    for (int i = 0; i < n; i++) {
        workers[i].load = &load;
        workers[i].samples_us =
            load.mode == LATENCY ? malloc(SAMPLES_MAX * sizeof(uint32_t)) : NULL;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            fail("thread");
        }
    }
    uint64_t done = 0, bytes = 0, resumed = 0;
    for (int i = 0; i < n; i++) {
        pthread_join(workers[i].thread, NULL);
        done += workers[i].done;
        bytes += workers[i].bytes;
        resumed += workers[i].resumed;
    }
    double took_s = (double)(now_ns() - begin_ns) / 1e9;
    if (load.mode == LATENCY) {
        tell_latency(&workers[0]);
    } else {
        printf("{\"per_second\": %.1f, \"mb_per_second\": %.1f, \"resumed\": %.3f}\n",
               (double)done / took_s, (double)bytes / took_s / 1e6,
               done > 0 ? (double)resumed / (double)done : 0);
    }
    SSL_CTX_free(load.context);
    return 0;
}
