/* SOCKS5 and HTTP CONNECT, the client's side.
 *
 * Theory of operation. All that may be sent is written at the start, message after message. One is
 * sent, then an answer is awaited:
 *
 *   PHASE_METHOD   SOCKS5: which of the methods offered the proxy takes
 *   PHASE_AUTH     SOCKS5: whether it takes the credentials
 *   PHASE_REQUEST  whether the connection is made
 *   PHASE_DONE     it is, or it failed
 *
 * An answer is taken once it is whole, so that not a byte behind it is; it is read as strictly as
 * it is specified. */
#include "net/proxy_handshake.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { SOCKS_VERSION = 5, AUTH_VERSION = 1, CREDENTIAL_MAX = 255 };
enum { METHOD_NONE = 0, METHOD_PASSWORD = 2 };
enum { ADDRESS_V4 = 1, ADDRESS_NAME = 3, ADDRESS_V6 = 4 };
enum { USER_MAX = 2 * CREDENTIAL_MAX + 1, BASE64_MAX = (USER_MAX + 2) / 3 * 4 };
enum { MESSAGE_MAX = 2048 };

enum phase { PHASE_METHOD, PHASE_AUTH, PHASE_REQUEST, PHASE_DONE };

struct proxy_handshake {
    ln_proxy_kind kind;
    enum phase phase;
    bool has_credentials;
    const char *fault;
    uint16_t from, end[PHASE_DONE]; /* of what is still to be sent, and of each phase's message */
    uint8_t out[MESSAGE_MAX];
};
static_assert(3 * (LN_NAME_MAX + sizeof(":65535")) + BASE64_MAX + 128 < MESSAGE_MAX,
              "the longest request fits");

/* ---- what is sent ---- */

static uint8_t *put(uint8_t *at, const void *data, size_t len)
{
    memcpy(at, data, len);
    return at + len;
}

static uint8_t *put_credential(uint8_t *at, const char *text)
{
    size_t len = strlen(text);
    *at++ = (uint8_t)len;
    return put(at, text, len);
}

static uint8_t *put_socks_address(uint8_t *at, const struct proxy_target *target)
{
    if (target->name != NULL) {
        *at++ = ADDRESS_NAME;
        at = put_credential(at, target->name);
    } else if (ln_addr_is_v4(&target->addr)) {
        *at++ = ADDRESS_V4;
        at = put(at, target->addr.bytes + 12, 4);
    } else {
        *at++ = ADDRESS_V6;
        at = put(at, target->addr.bytes, 16);
    }
    put_be16(at, target->port);
    return at + 2;
}

static void write_socks(struct proxy_handshake *h, const ln_proxy *proxy,
                        const struct proxy_target *target)
{
    static const uint8_t open[] = {SOCKS_VERSION, 1, METHOD_NONE};
    static const uint8_t either[] = {SOCKS_VERSION, 2, METHOD_NONE, METHOD_PASSWORD};
    static const uint8_t connect[] = {SOCKS_VERSION, 1, 0};
    uint8_t *at =
        h->has_credentials ? put(h->out, either, sizeof(either)) : put(h->out, open, sizeof(open));
    h->end[PHASE_METHOD] = (uint16_t)(at - h->out);
    if (h->has_credentials) {
        *at++ = AUTH_VERSION;
        at = put_credential(put_credential(at, proxy->user), proxy->password);
    }
    h->end[PHASE_AUTH] = (uint16_t)(at - h->out);
    at = put_socks_address(put(at, connect, sizeof(connect)), target);
    h->end[PHASE_REQUEST] = (uint16_t)(at - h->out);
}

/* RFC 4648 section 4, with a terminator. */
static void encode_base64(const char *text, char dst[BASE64_MAX + 1])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *bytes = (const uint8_t *)text;
    for (size_t left = strlen(text); left > 0;) {
        size_t n = left < 3 ? left : 3;
        uint32_t group = (uint32_t)bytes[0] << 16 | (n > 1 ? (uint32_t)bytes[1] << 8 : 0) |
                         (n > 2 ? bytes[2] : 0);
        for (size_t i = 0; i < 4; i++) {
            *dst++ = '=';
            if (i <= n) {
                dst[-1] = digits[group >> (18 - 6 * i) & 63];
            }
        }
        bytes += n;
        left -= n;
    }
    *dst = '\0';
}

static void write_authority(const struct proxy_target *target, char *dst, size_t size)
{
    char addr[LN_ADDR_TEXT_MAX];
    ln_addr_format(&target->addr, addr);
    bool brackets = target->name == NULL && !ln_addr_is_v4(&target->addr);
    snprintf(dst, size, "%s%s%s:%u", brackets ? "[" : "",
             target->name != NULL ? target->name : addr, brackets ? "]" : "", target->port);
}

static void write_http(struct proxy_handshake *h, const ln_proxy *proxy,
                       const struct proxy_target *target)
{
    char authority[LN_NAME_MAX + sizeof(":65535")];
    char credentials[USER_MAX + 1] = "", encoded[BASE64_MAX + 1] = "";
    write_authority(target, authority, sizeof(authority));
    if (h->has_credentials) {
        snprintf(credentials, sizeof(credentials), "%s:%s", proxy->user, proxy->password);
        encode_base64(credentials, encoded);
    }
    int len =
        snprintf((char *)h->out, sizeof(h->out), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n",
                 authority, authority, h->has_credentials ? "Proxy-Authorization: Basic " : "",
                 encoded, h->has_credentials ? "\r\n" : "");
    h->end[PHASE_REQUEST] = (uint16_t)len;
    explicit_bzero(credentials, sizeof(credentials));
    explicit_bzero(encoded, sizeof(encoded));
}

int proxy_handshake_new(const ln_proxy *proxy, const struct proxy_target *target,
                        struct proxy_handshake **ret)
{
    struct proxy_handshake *h = calloc(1, sizeof(*h));
    if (h == NULL) {
        return -ENOMEM;
    }
    h->kind = proxy->kind;
    h->has_credentials = proxy->user != NULL;
    if (proxy->kind == LN_PROXY_SOCKS5) {
        write_socks(h, proxy, target);
    } else {
        h->phase = PHASE_REQUEST;
        write_http(h, proxy, target);
    }
    *ret = h;
    return 0;
}

void proxy_handshake_free(struct proxy_handshake *h)
{
    if (h != NULL) {
        explicit_bzero(h->out, sizeof(h->out));
        free(h);
    }
}

const uint8_t *proxy_handshake_output(const struct proxy_handshake *h, size_t *ret_len)
{
    *ret_len = h->phase == PHASE_DONE ? 0 : (size_t)(h->end[h->phase] - h->from);
    return h->out + h->from;
}

void proxy_handshake_sent(struct proxy_handshake *h, size_t len)
{
    assert(h->phase != PHASE_DONE && len <= (size_t)(h->end[h->phase] - h->from));
    h->from = (uint16_t)(h->from + len);
}

const char *proxy_handshake_fault(const struct proxy_handshake *h)
{
    return h->fault;
}

/* ---- what is answered ---- */

static int fail(struct proxy_handshake *h, const char *fault)
{
    h->phase = PHASE_DONE;
    h->fault = fault;
    return -EPROTO;
}

static int malformed(struct proxy_handshake *h)
{
    return fail(h, "proxy_protocol");
}

/* The next message is due. */
static int go_on(struct proxy_handshake *h, enum phase phase)
{
    h->from = h->end[phase - 1];
    h->phase = phase;
    return phase == PHASE_DONE;
}

/* Each takes an answer that has come in full, or as much as tells that it is none. */

static int take_method(struct proxy_handshake *h, const uint8_t *data, size_t len, size_t *taken)
{
    if (data[0] != SOCKS_VERSION) {
        return malformed(h);
    }
    if (len < 2) {
        return 0;
    }
    *taken = 2;
    if (data[1] == METHOD_NONE) {
        return go_on(h, PHASE_REQUEST);
    }
    if (data[1] == METHOD_PASSWORD && h->has_credentials) {
        return go_on(h, PHASE_AUTH);
    }
    return fail(h, "proxy_auth");
}

static int take_auth(struct proxy_handshake *h, const uint8_t *data, size_t len, size_t *taken)
{
    if (data[0] != AUTH_VERSION) {
        return malformed(h);
    }
    if (len < 2) {
        return 0;
    }
    *taken = 2;
    return data[1] == 0 ? go_on(h, PHASE_REQUEST) : fail(h, "proxy_auth");
}

/* RFC 1928 section 6. */
static int errno_of_reply(struct proxy_handshake *h, uint8_t reply)
{
    switch (reply) {
    case 1: /* general failure */
    case 4:
        return -EHOSTUNREACH;
    case 2: /* its rules do not allow it */
        return -EACCES;
    case 3:
        return -ENETUNREACH;
    case 5:
        return -ECONNREFUSED;
    case 6: /* TTL expired */
        return -ETIMEDOUT;
    default:
        return malformed(h);
    }
}

static int take_socks_reply(struct proxy_handshake *h, const uint8_t *data, size_t len,
                            size_t *taken)
{
    size_t addr_len;
    if (data[0] != SOCKS_VERSION) {
        return malformed(h);
    }
    if (len >= 2 && data[1] != 0) {
        h->phase = PHASE_DONE;
        return errno_of_reply(h, data[1]);
    }
    if (len < 5) {
        return 0;
    }
    switch (data[3]) {
    case ADDRESS_V4:
        addr_len = 4;
        break;
    case ADDRESS_V6:
        addr_len = 16;
        break;
    case ADDRESS_NAME:
        addr_len = 1 + (size_t)data[4];
        break;
    default:
        return malformed(h);
    }
    if (data[2] != 0) {
        return malformed(h);
    }
    if (len < 4 + addr_len + 2) {
        return 0;
    }
    *taken = 4 + addr_len + 2;
    return go_on(h, PHASE_DONE);
}

/* The length of a response head with its empty line; 0: it is not whole yet; negative: it cannot
 * become one. Lines end in CR LF and hold no other control characters but tabs (RFC 9112). */
static ssize_t head_length(const uint8_t *data, size_t len)
{
    size_t line = 0; /* bytes of this one */
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\r') {
            if (i + 1 == len) {
                return 0;
            }
            if (data[i + 1] != '\n') {
                return -EPROTO;
            }
            i++;
            if (line == 0) {
                return (ssize_t)i + 1;
            }
            line = 0;
        } else if ((data[i] < ' ' && data[i] != '\t') || data[i] == 0x7f) {
            return -EPROTO;
        } else {
            line++;
        }
    }
    return 0;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 …" or "HTTP/1.1 200" and the line's end: the code; -1: it is no status line. */
static int status_of(const uint8_t *head, size_t len)
{
    static const char version[] = "HTTP/1.";
    const size_t at = sizeof(version) - 1; /* of the minor version */
    if (len < at + 6 || memcmp(head, version, at) != 0 || (head[at] != '0' && head[at] != '1') ||
        head[at + 1] != ' ' || !is_digit(head[at + 2]) || !is_digit(head[at + 3]) ||
        !is_digit(head[at + 4]) || (head[at + 5] != ' ' && head[at + 5] != '\r')) {
        return -1;
    }
    return (head[at + 2] - '0') * 100 + (head[at + 3] - '0') * 10 + (head[at + 4] - '0');
}

static int take_response(struct proxy_handshake *h, const uint8_t *data, size_t len, size_t *taken)
{
    ssize_t head = head_length(data, len);
    if (head == 0 && len < PROXY_ANSWER_MAX) {
        return 0;
    }
    int status = head > 0 ? status_of(data, (size_t)head) : -1;
    if (status >= 200 && status < 300) {
        *taken = (size_t)head; /* a body it cannot have (RFC 9110 section 9.3.6) */
        return go_on(h, PHASE_DONE);
    }
    h->phase = PHASE_DONE;
    switch (status) {
    case 407:
        return fail(h, "proxy_auth");
    case 403:
        return -EACCES;
    case 504:
        return -ETIMEDOUT;
    case 500: /* what proxies answer where a server refuses or cannot be reached */
    case 502:
    case 503:
        return -EHOSTUNREACH;
    default:
        return malformed(h);
    }
}

int proxy_handshake_input(struct proxy_handshake *h, const uint8_t *data, size_t len,
                          size_t *ret_taken)
{
    *ret_taken = 0;
    if (len == 0) {
        return 0;
    }
    if (h->phase == PHASE_DONE || h->from != h->end[h->phase]) {
        return malformed(h); /* it answers what was not asked yet */
    }
    switch (h->phase) {
    case PHASE_METHOD:
        return take_method(h, data, len, ret_taken);
    case PHASE_AUTH:
        return take_auth(h, data, len, ret_taken);
    case PHASE_REQUEST:
        return h->kind == LN_PROXY_SOCKS5 ? take_socks_reply(h, data, len, ret_taken)
                                          : take_response(h, data, len, ret_taken);
    case PHASE_DONE:
        break;
    }
    return malformed(h);
}
