/* Faults as words and sentences. */
#include "tls/fault.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include <mbedtls/ssl.h>

#include "tls/common.h"

static const char *const names[] = {
    [TLS_FAULT_NONE] = "",
    [TLS_FAULT_EXPIRED] = "certificate_expired",
    [TLS_FAULT_NOT_YET_VALID] = "certificate_not_yet_valid",
    [TLS_FAULT_NAME_MISMATCH] = "name_mismatch",
    [TLS_FAULT_SELF_SIGNED] = "self_signed",
    [TLS_FAULT_UNTRUSTED] = "untrusted",
    [TLS_FAULT_BAD_CERTIFICATE] = "bad_certificate",
    [TLS_FAULT_VERSION] = "version",
    [TLS_FAULT_HANDSHAKE] = "handshake",
    [TLS_FAULT_ALERT] = "alert",
    [TLS_FAULT_CLOSED] = "closed",
    [TLS_FAULT_PROTOCOL] = "protocol",
    [TLS_FAULT_ENDED] = "ended",
    [TLS_FAULT_INTERNAL] = "internal",
};
static_assert(sizeof(names) / sizeof(names[0]) == TLS_FAULT_INTERNAL + 1, "a name for each");

void tls_fault_set(struct tls_fault *fault, enum tls_fault_code code, const char *format, ...)
{
    if (fault->code != TLS_FAULT_NONE) {
        return;
    }
    fault->code = code;
    fault->name = names[code];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(fault->message, sizeof(fault->message), format, args);
    va_end(args);
}

/* RFC 8446 section 6, and what older versions had. */
static const char *alert_name(uint8_t alert)
{
    static const struct {
        uint8_t alert;
        const char *name;
    } table[] = {
        {0, "close_notify"},
        {10, "unexpected_message"},
        {20, "bad_record_mac"},
        {22, "record_overflow"},
        {40, "handshake_failure"},
        {42, "bad_certificate"},
        {43, "unsupported_certificate"},
        {44, "certificate_revoked"},
        {45, "certificate_expired"},
        {46, "certificate_unknown"},
        {47, "illegal_parameter"},
        {48, "unknown_ca"},
        {49, "access_denied"},
        {50, "decode_error"},
        {51, "decrypt_error"},
        {70, "protocol_version"},
        {71, "insufficient_security"},
        {80, "internal_error"},
        {86, "inappropriate_fallback"},
        {90, "user_canceled"},
        {109, "missing_extension"},
        {110, "unsupported_extension"},
        {112, "unrecognized_name"},
        {116, "certificate_required"},
        {120, "no_application_protocol"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].alert == alert) {
            return table[i].name;
        }
    }
    return "unknown";
}

void tls_fault_from(struct tls_fault *fault, int error, uint8_t alert, const char *peer)
{
    if (tls_is_no_memory(error)) {
        tls_fault_set(fault, TLS_FAULT_INTERNAL, "out of memory for TLS with %s", peer);
        return;
    }
    switch (error) {
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
        fault->alert = fault->code == TLS_FAULT_NONE ? alert : fault->alert;
        tls_fault_set(fault, TLS_FAULT_ALERT, "%s ended TLS with the alert %s (%u)", peer,
                      alert_name(alert), alert);
        return;
    case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
        tls_fault_set(fault, TLS_FAULT_VERSION, "%s speaks neither TLS 1.2 nor TLS 1.3", peer);
        return;
    case MBEDTLS_ERR_SSL_CONN_EOF:
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
        tls_fault_set(fault, TLS_FAULT_CLOSED, "%s closed the connection during the TLS handshake",
                      peer);
        return;
    case MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL:
        tls_fault_set(fault, TLS_FAULT_HANDSHAKE, "%s has no application protocol in common (ALPN)",
                      peer);
        return;
    case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE:
        tls_fault_set(fault, TLS_FAULT_HANDSHAKE,
                      "%s has no cipher, group or signature algorithm in common", peer);
        return;
    case MBEDTLS_ERR_SSL_BAD_CERTIFICATE:
        tls_fault_set(fault, TLS_FAULT_BAD_CERTIFICATE, "%s sent a certificate that cannot be used",
                      peer);
        return;
    case MBEDTLS_ERR_SSL_INVALID_RECORD:
    case MBEDTLS_ERR_SSL_INVALID_MAC:
    case MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL:
        tls_fault_set(fault, TLS_FAULT_PROTOCOL, "%s sent a record that is not TLS or is broken",
                      peer);
        return;
    case MBEDTLS_ERR_SSL_INTERNAL_ERROR:
        tls_fault_set(fault, TLS_FAULT_INTERNAL, "an internal error in TLS with %s", peer);
        return;
    default:
        tls_fault_set(fault, TLS_FAULT_HANDSHAKE,
                      "%s sent a message that TLS does not allow there (-0x%04x)", peer,
                      (unsigned)-error);
    }
}
