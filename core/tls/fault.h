/* Filling a fault of a session. */
#ifndef LN_TLS_FAULT_H
#define LN_TLS_FAULT_H

#include "tls/session.h"

/* Sets code and sentence, unless a fault is there already: the first one is the cause. */
void tls_fault_set(struct tls_fault *fault, enum tls_fault_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* From an error of mbedTLS. `peer` is "the server" or "the guest"; `alert` is what the peer said
 * last, for MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE. */
void tls_fault_from(struct tls_fault *fault, int error, uint8_t alert, const char *peer);

#endif
