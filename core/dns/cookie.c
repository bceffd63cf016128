#include "dns/cookie.h"

#include <string.h>

#include "base/bytes.h"
#include "dns/message.h"

enum { OPTION_COOKIE = 10, OPTION_HEAD = 4, SERVER_MIN = 8 };

size_t dns_cookie_write(const struct dns_cookie *cookie, uint8_t *msg, size_t len)
{
    uint16_t data_len = (uint16_t)(DNS_COOKIE_CLIENT_LEN + cookie->server_len);
    uint8_t *option = msg + len;
    put_be16(option - 2, (uint16_t)(OPTION_HEAD + data_len)); /* the OPT's length */
    put_be16(option, OPTION_COOKIE);
    put_be16(option + 2, data_len);
    memcpy(option + OPTION_HEAD, cookie->client, DNS_COOKIE_CLIENT_LEN);
    memcpy(option + OPTION_HEAD + DNS_COOKIE_CLIENT_LEN, cookie->server, cookie->server_len);
    return len + OPTION_HEAD + data_len;
}

/* Passes over header and question. */
static unsigned skip_to_records(struct reader *r)
{
    struct dns_header header;
    dns_header_read(r, &header);
    uint8_t label;
    while ((label = reader_u8(r)) != 0) {
        reader_skip(r, label);
    }
    reader_skip(r, 4);
    return (unsigned)header.records[DNS_ANSWER] + header.records[DNS_AUTHORITY] +
           header.records[DNS_ADDITIONAL];
}

/* Takes one cookie option. */
static enum dns_cookie_state take(struct dns_cookie *cookie, struct reader option)
{
    size_t server_len = reader_left(&option) - DNS_COOKIE_CLIENT_LEN; /* huge when too short */
    const uint8_t *client = reader_bytes(&option, DNS_COOKIE_CLIENT_LEN);
    if (client == NULL || memcmp(client, cookie->client, DNS_COOKIE_CLIENT_LEN) != 0 ||
        server_len < SERVER_MIN || server_len > DNS_COOKIE_SERVER_MAX) {
        return DNS_COOKIE_WRONG;
    }
    memcpy(cookie->server, option.at, server_len);
    cookie->server_len = (uint8_t)server_len;
    return DNS_COOKIE_RIGHT;
}

static enum dns_cookie_state read_options(struct dns_cookie *cookie, struct reader options)
{
    enum dns_cookie_state state = DNS_COOKIE_NONE;
    while (reader_left(&options) > 0) {
        uint16_t code = reader_u16(&options);
        struct reader option = reader_sub(&options, reader_u16(&options));
        if (options.failed) {
            return DNS_COOKIE_WRONG;
        }
        if (code == OPTION_COOKIE) {
            state = state == DNS_COOKIE_NONE ? take(cookie, option) : DNS_COOKIE_WRONG;
        }
    }
    return state;
}

enum dns_cookie_state dns_cookie_read(struct dns_cookie *cookie, const uint8_t *msg, size_t len,
                                      bool *ret_bad)
{
    struct reader r = reader_of(msg, len);
    for (unsigned n = skip_to_records(&r); n > 0 && !r.failed; n--) {
        struct dns_record record;
        dns_record_read(&r, msg, &record);
        if (!r.failed && record.type == DNS_TYPE_OPT) {
            struct dns_cookie taken = *cookie;
            enum dns_cookie_state state =
                read_options(&taken, reader_of(msg + record.rdata, record.end - record.rdata));
            if (state == DNS_COOKIE_RIGHT) {
                *cookie = taken;
                *ret_bad = (record.ttl_s >> 24 << 4 | (msg[3] & DNS_FLAG_RCODE)) == DNS_BADCOOKIE;
            }
            return state;
        }
    }
    return DNS_COOKIE_NONE;
}
