/* DNS messages for tests, put together piece by piece:
 *     struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
 *     wire_a(&w, DNS_ANSWER, "www.example.com", 300, "192.0.2.1"); */
#ifndef TEST_DNS_WIRE_H
#define TEST_DNS_WIRE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "dns/message.h"

struct wire {
    size_t len;
    uint8_t data[70000];
};

static inline void wire_bytes(struct wire *w, const void *data, size_t len)
{
    assert_true(len <= sizeof(w->data) - w->len);
    if (len > 0) {
        memcpy(w->data + w->len, data, len);
    }
    w->len += len;
}

static inline void wire_u8(struct wire *w, unsigned v)
{
    uint8_t byte = (uint8_t)v;
    wire_bytes(w, &byte, 1);
}

static inline void wire_u16(struct wire *w, unsigned v)
{
    uint8_t bytes[2];
    put_be16(bytes, (uint16_t)v);
    wire_bytes(w, bytes, 2);
}

static inline void wire_u32(struct wire *w, uint32_t v)
{
    uint8_t bytes[4];
    put_be32(bytes, v);
    wire_bytes(w, bytes, 4);
}

/* "www.example.com", or "" for the root. "@12" is a pointer to offset 12, "x.@12" ends in one. */
static inline void wire_name(struct wire *w, const char *name)
{
    while (*name != '\0') {
        if (*name == '@') {
            wire_u16(w, 0xc000u | (unsigned)strtoul(name + 1, NULL, 10));
            return;
        }
        size_t len = strcspn(name, ".");
        wire_u8(w, (unsigned)len);
        wire_bytes(w, name, len);
        name += len + (name[len] == '.');
    }
    wire_u8(w, 0);
}

static inline struct wire wire_message(uint16_t id, uint16_t flags)
{
    struct wire w = {0};
    wire_u16(&w, id);
    wire_u16(&w, flags);
    wire_u32(&w, 0);
    wire_u32(&w, 0);
    return w;
}

static inline void wire_count(struct wire *w, size_t at)
{
    put_be16(w->data + at, (uint16_t)(get_be16(w->data + at) + 1));
}

static inline void wire_question(struct wire *w, const char *name, uint16_t type, uint16_t class_)
{
    wire_count(w, 4);
    wire_name(w, name);
    wire_u16(w, type);
    wire_u16(w, class_);
}

static inline struct wire wire_query(uint16_t id, const char *name, uint16_t type)
{
    struct wire w = wire_message(id, DNS_FLAG_RD);
    wire_question(&w, name, type, DNS_CLASS_IN);
    return w;
}

static inline struct wire wire_response(uint16_t id, const char *name, uint16_t type)
{
    struct wire w = wire_message(id, DNS_FLAG_QR | DNS_FLAG_RD | DNS_FLAG_RA);
    wire_question(&w, name, type, DNS_CLASS_IN);
    return w;
}

/* A response to a query as it was sent, case included. */
static inline struct wire wire_response_to(const uint8_t *query, size_t len)
{
    struct wire w = wire_message(get_be16(query), DNS_FLAG_QR | DNS_FLAG_RD | DNS_FLAG_RA);
    size_t end = DNS_HEADER_LEN;
    while (end < len && query[end] != 0) {
        end += 1u + query[end];
    }
    assert_true(end + 5 <= len);
    wire_count(&w, 4);
    wire_bytes(&w, query + DNS_HEADER_LEN, end + 5 - DNS_HEADER_LEN);
    return w;
}

/* Everything but the data; returns where its length stands. */
static inline size_t wire_record_head(struct wire *w, enum dns_section section, const char *name,
                                      uint16_t type, uint16_t class_, uint32_t ttl_s)
{
    wire_count(w, 6 + 2 * (size_t)section);
    wire_name(w, name);
    wire_u16(w, type);
    wire_u16(w, class_);
    wire_u32(w, ttl_s);
    wire_u16(w, 0);
    return w->len - 2;
}

static inline void wire_record_end(struct wire *w, size_t at)
{
    put_be16(w->data + at, (uint16_t)(w->len - at - 2));
}

static inline void wire_record(struct wire *w, enum dns_section section, const char *name,
                               uint16_t type, uint32_t ttl_s, const void *data, size_t len)
{
    size_t at = wire_record_head(w, section, name, type, DNS_CLASS_IN, ttl_s);
    wire_bytes(w, data, len);
    wire_record_end(w, at);
}

/* A or AAAA, by the look of the address. */
static inline void wire_addr(struct wire *w, enum dns_section section, const char *name,
                             uint32_t ttl_s, const char *text)
{
    ln_addr addr;
    assert_int_equal(ln_addr_parse(text, strlen(text), &addr), 0);
    if (ln_addr_is_v4(&addr)) {
        wire_record(w, section, name, DNS_TYPE_A, ttl_s, addr.bytes + 12, 4);
    } else {
        wire_record(w, section, name, DNS_TYPE_AAAA, ttl_s, addr.bytes, 16);
    }
}

/* A record whose data is one name: CNAME, DNAME, NS, PTR. */
static inline void wire_alias(struct wire *w, enum dns_section section, const char *name,
                              uint16_t type, const char *target)
{
    size_t at = wire_record_head(w, section, name, type, DNS_CLASS_IN, 300);
    wire_name(w, target);
    wire_record_end(w, at);
}

static inline void wire_opt(struct wire *w, uint16_t size, uint32_t ttl, const void *options,
                            size_t len)
{
    size_t at = wire_record_head(w, DNS_ADDITIONAL, "", DNS_TYPE_OPT, size, ttl);
    wire_bytes(w, options, len);
    wire_record_end(w, at);
}

#endif
