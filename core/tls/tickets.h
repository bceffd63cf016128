/* Session tickets for guests (RFC 5077, RFC 8446 section 4.6.1): the state of a session, sealed, so
 * that nothing has to be kept for guests that may come back. */
#ifndef LN_TLS_TICKETS_H
#define LN_TLS_TICKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mbedtls/gcm.h>
#include <mbedtls/ssl.h>

#include "base/host.h"

enum { TICKET_LIFETIME_S = 4 * 3600 };

struct ticket_key {
    bool set;
    uint8_t name[8];
    uint64_t since_s;
    mbedtls_gcm_context gcm;
};

/* Two keys: the one that seals, for TICKET_LIFETIME_S, and the one before it. */
struct tickets {
    const struct host_services *services; /* borrowed */
    struct ticket_key keys[2];
    unsigned active;
};

/* What mbedTLS's ticket callbacks get: a ticket opens only for the server it was made for. */
struct ticket_binding {
    struct tickets *tickets;
    const char *name; /* "" for none */
    uint8_t address[16];
};

void tickets_init(struct tickets *tickets, const struct host_services *services);
/* Forgets the keys: tickets that are out there open no longer. */
void tickets_forget(struct tickets *tickets);

/* For mbedtls_ssl_conf_session_tickets_cb(), with a struct ticket_binding. */
mbedtls_ssl_ticket_write_t ticket_seal;
mbedtls_ssl_ticket_parse_t ticket_open;

#endif
