/* The data of SVCB and HTTPS records (RFC 9460 section 2.2): a strict reader. */
#include "dns/svcb.h"

#include <errno.h>

#include "base/bytes.h"
#include "dns/message.h"

enum { KEY_MANDATORY = 0, KEY_IPV4HINT = 4, KEY_ECH = 5, KEY_IPV6HINT = 6 };

static void read_target(struct reader *r, struct svcb *ret)
{
    ret->target = r->at;
    uint8_t label;
    do {
        label = reader_u8(r);
        if (label > 63) { /* a pointer, which section 2.2 forbids, or no label at all */
            r->failed = true;
        }
        reader_skip(r, label);
    } while (label != 0 && !r->failed);
    ret->target_len = r->failed ? 0 : (size_t)(r->at - ret->target);
    if (ret->target_len > DNS_NAME_WIRE_MAX) {
        r->failed = true;
    }
}

/* A list of addresses of `size` bytes each; an empty one is malformed (section 7.3). */
static void read_hints(struct reader *r, struct reader *value, size_t size, const uint8_t **hints,
                       size_t *hints_len)
{
    *hints_len = reader_left(value);
    *hints = value->at;
    if (*hints_len == 0 || *hints_len % size != 0) {
        r->failed = true;
    }
}

static void read_mandatory(struct reader *r, struct reader *value, struct svcb *ret)
{
    while (reader_left(value) > 0) {
        if (reader_u16(value) == KEY_ECH) {
            ret->ech_mandatory = true;
        }
    }
    if (value->failed) {
        r->failed = true;
    }
}

static void read_parameter(struct reader *r, struct svcb *ret, int *last_key)
{
    const uint8_t *start = r->at;
    int key = reader_u16(r);
    struct reader value = reader_sub(r, reader_u16(r));
    if (r->failed || key <= *last_key) {
        r->failed = true;
        return;
    }
    *last_key = key;
    switch (key) {
    case KEY_MANDATORY:
        read_mandatory(r, &value, ret);
        break;
    case KEY_IPV4HINT:
        read_hints(r, &value, 4, &ret->hints4, &ret->hints4_len);
        break;
    case KEY_ECH:
        ret->ech = start;
        ret->ech_len = (size_t)(r->at - start);
        break;
    case KEY_IPV6HINT:
        read_hints(r, &value, 16, &ret->hints6, &ret->hints6_len);
        break;
    default:
        break;
    }
}

int svcb_parse(const uint8_t *data, size_t len, struct svcb *ret)
{
    struct svcb svcb = {0};
    struct reader r = reader_of(data, len);
    int last_key = -1;
    reader_skip(&r, 2); /* SvcPriority: hints are checked in either mode */
    read_target(&r, &svcb);
    while (reader_left(&r) > 0) {
        read_parameter(&r, &svcb, &last_key);
    }
    if (r.failed) {
        return -EBADMSG;
    }
    *ret = svcb;
    return 0;
}
