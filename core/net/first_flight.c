/* The first bytes of a client: TLS, else HTTP/1, else no name. */
#include "net/first_flight.h"

#include <string.h>

static enum first_flight named(const char *raw, char name[LN_NAME_MAX + 1])
{
    ln_addr addr;
    if (ln_addr_parse(raw, strlen(raw), &addr) == 0) {
        return FIRST_FLIGHT_UNNAMED; /* an address is no name (RFC 6066 section 3) */
    }
    return ln_name_canonical(raw, strlen(raw), name, NULL) > 0 ? FIRST_FLIGHT_NAMED
                                                               : FIRST_FLIGHT_BAD;
}

static enum first_flight look_for_host(struct request_head_view *head, const uint8_t *data,
                                       size_t len, char name[LN_NAME_MAX + 1])
{
    switch (request_head_look(head, data, len)) {
    case REQUEST_HEAD_PARTIAL:
        return FIRST_FLIGHT_PARTIAL;
    case REQUEST_HEAD_NOT_HTTP:
    case REQUEST_HEAD_UNNAMED:
        return FIRST_FLIGHT_UNNAMED;
    case REQUEST_HEAD_NAMED:
        return named(head->name, name);
    case REQUEST_HEAD_BAD:
        break;
    }
    return FIRST_FLIGHT_BAD;
}

enum first_flight first_flight_look(struct first_flight_view *view, const uint8_t *data, size_t len,
                                    char name[LN_NAME_MAX + 1], bool *ret_is_host)
{
    *ret_is_host = view->is_http;
    if (view->is_http) {
        return look_for_host(&view->head, data, len, name);
    }
    view->is_tls = len > 0;
    switch (client_hello_look(&view->hello, data, len)) {
    case CLIENT_HELLO_PARTIAL:
        return FIRST_FLIGHT_PARTIAL;
    case CLIENT_HELLO_NOT_TLS:
        *view = (struct first_flight_view){.is_http = true};
        return first_flight_look(view, data, len, name, ret_is_host);
    case CLIENT_HELLO_NAMED:
        return named(view->hello.name, name);
    case CLIENT_HELLO_UNNAMED:
        return FIRST_FLIGHT_UNNAMED;
    case CLIENT_HELLO_BAD:
        break;
    }
    return FIRST_FLIGHT_BAD;
}
