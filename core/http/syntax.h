/* What method, target, authority, field name and value may be made of: one place for it, whatever
 * the version of HTTP. Stricter than RFC 9110 only where servers are known to differ. */
#ifndef LN_HTTP_SYNTAX_H
#define LN_HTTP_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lunette/address.h"
#include "lunette/policy.h"

/* RFC 9110 section 5.6.2. */
bool http_is_token_char(uint8_t c);
bool http_is_token(const char *text, size_t len);
/* A token (RFC 9110 section 9.1) that is no registered method in other letters: some servers take
 * "head" for HEAD, and then see another end of the answer than the others. */
bool http_method_valid(const char *text, size_t len);
/* A path with its query as requests have it (RFC 9112 section 3.2.1), or "*" alone. Bytes that are
 * printable ASCII, as clients send them, but "#" (there is no fragment in a request) and, in front
 * of the query, "\" (a "/" to some servers). */
bool http_path_valid(const char *text, size_t len);
/* A field value without white space around it: no control characters but HTAB, obs-text allowed
 * (RFC 9110 section 5.5). */
bool http_value_valid(const char *text, size_t len);
/* Whether two names are the same but for the case of their ASCII letters. */
bool http_same_name(const char *a, size_t a_len, const char *b, size_t b_len);

/* Where a request goes by its authority. */
struct http_host {
    char name[LN_NAME_MAX + 1]; /* canonical (ln_name_canonical()); "" for an address */
    bool is_address;
    ln_addr address; /* only where is_address */
    uint16_t port;   /* 0: none is given */
};

/* Splits an authority into host and the port's digits (RFC 3986 section 3.2; a host in brackets is
 * given without them). User information is refused, and so is a port that is no number of at most
 * five digits. Returns 0, or -EINVAL. The results point into `text`; *ret_port_len is 0 without a
 * port. */
int http_authority_split(const char *text, size_t len, const char **ret_host, size_t *ret_host_len,
                         const char **ret_port, size_t *ret_port_len);
/* The same, read: the host as canonical name or address, the port as number (1-65535). Returns 0,
 * or -EINVAL for anything that two readers could take for two hosts. */
int http_authority_parse(const char *text, size_t len, struct http_host *ret);

#endif
