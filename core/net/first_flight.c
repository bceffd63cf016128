/* The first bytes of a client: TLS, else HTTP/1, else no name. */
#include "net/first_flight.h"

#include <string.h>

#include "http/request_head.h"
#include "tls/client_hello.h"

static enum first_flight named(const char *raw, char name[LN_NAME_MAX + 1])
{
    ln_addr addr;
    if (ln_addr_parse(raw, strlen(raw), &addr) == 0) {
        return FIRST_FLIGHT_UNNAMED; /* an address is no name (RFC 6066 section 3) */
    }
    return ln_name_canonical(raw, strlen(raw), name, NULL) > 0 ? FIRST_FLIGHT_NAMED
                                                               : FIRST_FLIGHT_BAD;
}

static enum first_flight view_http(const uint8_t *data, size_t len, char name[LN_NAME_MAX + 1])
{
    char raw[256];
    switch (request_head_view(data, len, raw)) {
    case REQUEST_HEAD_PARTIAL:
        return FIRST_FLIGHT_PARTIAL;
    case REQUEST_HEAD_NOT_HTTP:
    case REQUEST_HEAD_UNNAMED:
        return FIRST_FLIGHT_UNNAMED;
    case REQUEST_HEAD_NAMED:
        return named(raw, name);
    case REQUEST_HEAD_BAD:
        break;
    }
    return FIRST_FLIGHT_BAD;
}

enum first_flight first_flight_view(const uint8_t *data, size_t len, char name[LN_NAME_MAX + 1],
                                    bool *ret_is_host, bool *ret_is_tls)
{
    char raw[256];
    enum client_hello hello = client_hello_view(data, len, raw);
    *ret_is_tls = hello != CLIENT_HELLO_NOT_TLS;
    *ret_is_host = !*ret_is_tls;
    switch (hello) {
    case CLIENT_HELLO_PARTIAL:
        return FIRST_FLIGHT_PARTIAL;
    case CLIENT_HELLO_NOT_TLS:
        return view_http(data, len, name);
    case CLIENT_HELLO_NAMED:
        return named(raw, name);
    case CLIENT_HELLO_UNNAMED:
        return FIRST_FLIGHT_UNNAMED;
    case CLIENT_HELLO_BAD:
        break;
    }
    return FIRST_FLIGHT_BAD;
}
