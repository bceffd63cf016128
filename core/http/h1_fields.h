/* Field names that mean something to the framing or the connection of HTTP/1. */
#ifndef LN_HTTP_H1_FIELDS_H
#define LN_HTTP_H1_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

enum h1_field {
    H1_ORDINARY,
    H1_HOST,
    H1_CONTENT_LENGTH,
    H1_TRANSFER_ENCODING,
    H1_CONNECTION,
    H1_UPGRADE,
    H1_EXPECT,
    H1_HOP,      /* of one connection: not passed on */
    H1_LOOKALIKE /* Content_Length and the like, which some servers take for the real one */
};

enum h1_field h1_field_kind(const char *name, size_t len);
/* Whether a field may stand in a trailer section (RFC 9110 section 6.5.1). */
bool h1_field_may_trail(const char *name, size_t len);

#endif
