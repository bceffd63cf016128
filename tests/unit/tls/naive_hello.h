/* A ClientHello reader for comparing: first the records are put together, then the message is read
 * front to back. Written from RFC 8446, not from core/tls. */
#ifndef TEST_NAIVE_HELLO_H
#define TEST_NAIVE_HELLO_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tls/client_hello.h"

struct naive_hello {
    uint8_t *msg; /* the handshake bytes */
    size_t len, at;
    enum client_hello short_of; /* what it means when they do not suffice */
    bool bad;
};

static inline void naive_join_records(struct naive_hello *h, const uint8_t *data, size_t len)
{
    h->msg = malloc(len + 1);
    h->short_of = CLIENT_HELLO_PARTIAL;
    size_t at = 0;
    while (at < len) {
        bool wrong = data[at] != 22 || (len - at > 1 && data[at + 1] != 3);
        size_t size = len - at < 5 ? 1 : (size_t)data[at + 3] * 256 + data[at + 4];
        if (wrong || size == 0 || size > 16640) {
            h->short_of = CLIENT_HELLO_BAD;
            return;
        }
        if (len - at < 5) {
            return;
        }
        at += 5;
        size_t there = len - at < size ? len - at : size;
        memcpy(h->msg + h->len, data + at, there);
        h->len += there;
        at += there;
    }
}

/* The next `n` bytes as a number; 0 once they do not suffice. */
static inline uint32_t naive_number(struct naive_hello *h, int n)
{
    uint32_t v = 0;
    while (n-- > 0) {
        v = v * 256 + (h->at < h->len ? h->msg[h->at] : 0);
        h->at++;
    }
    return v;
}

static inline enum client_hello naive_extensions(struct naive_hello *h, size_t end, char name[256])
{
    bool seen = false;
    while (h->at < end) {
        if (end - h->at < 4) {
            return CLIENT_HELLO_BAD;
        }
        uint32_t type = naive_number(h, 2);
        size_t size = naive_number(h, 2);
        if (h->at > h->len) {
            return h->short_of;
        }
        if (size > end - h->at) {
            return CLIENT_HELLO_BAD;
        }
        size_t next = h->at + size;
        if (type == 0) {
            size_t list = size < 5 ? 0 : naive_number(h, 2);
            uint32_t kind = size < 5 ? 0 : naive_number(h, 1);
            size_t chars = size < 5 ? 0 : naive_number(h, 2);
            if (size >= 5 && !seen && h->at > h->len) {
                return h->short_of;
            }
            if (seen || size < 5 || list != size - 2 || kind != 0 || chars != list - 3 ||
                chars == 0 || chars > 255) {
                return CLIENT_HELLO_BAD;
            }
            seen = true;
            size_t there = next <= h->len ? chars : h->len - h->at;
            if (memchr(h->msg + h->at, 0, there) != NULL) {
                return CLIENT_HELLO_BAD;
            }
            memcpy(name, h->msg + h->at, there);
            name[there] = '\0';
        }
        h->at = next;
        if (h->at > h->len) {
            return h->short_of;
        }
    }
    return seen ? CLIENT_HELLO_NAMED : CLIENT_HELLO_UNNAMED;
}

static inline enum client_hello naive_message(struct naive_hello *h, char name[256])
{
    uint32_t type = naive_number(h, 1);
    size_t size = naive_number(h, 3);
    if (h->at > h->len) {
        return h->short_of;
    }
    size_t end = h->at + size;
    if (type != 1 || size > 65536 || size < 34) {
        return CLIENT_HELLO_BAD;
    }
    h->at += 34;
    for (int i = 0; i < 3; i++) {
        int bytes = i == 1 ? 2 : 1;
        if (end < h->at + (size_t)bytes) {
            return CLIENT_HELLO_BAD;
        }
        size_t block = naive_number(h, bytes);
        if (h->at > h->len) {
            return h->short_of;
        }
        if (block > end - h->at) {
            return CLIENT_HELLO_BAD;
        }
        h->at += block;
    }
    if (h->at == end) {
        return h->at > h->len ? h->short_of : CLIENT_HELLO_UNNAMED;
    }
    if (end - h->at < 2) {
        return CLIENT_HELLO_BAD;
    }
    size_t extensions = naive_number(h, 2);
    if (h->at > h->len) {
        return h->short_of;
    }
    return extensions == end - h->at ? naive_extensions(h, end, name) : CLIENT_HELLO_BAD;
}

static inline enum client_hello naive_hello_look(const uint8_t *data, size_t len, char name[256])
{
    struct naive_hello h = {0};
    if (len > 0 && (data[0] != 22 || (len > 1 && data[1] != 3))) {
        return CLIENT_HELLO_NOT_TLS;
    }
    naive_join_records(&h, data, len);
    enum client_hello found = naive_message(&h, name);
    free(h.msg);
    return found;
}

/* Whether a result agrees with the naive one. Bytes that are not there yet can hide from the naive
 * reader, which reads front to back, that what stands behind them does not add up. */
static inline bool naive_hello_agrees(enum client_hello found, const char *name,
                                      enum client_hello naive, const char *naive_name)
{
    if (found == CLIENT_HELLO_NAMED && strcmp(name, naive_name) != 0) {
        return false;
    }
    return found == naive || (found == CLIENT_HELLO_BAD && naive == CLIENT_HELLO_PARTIAL);
}

#endif
