/* JSON (RFC 8259) to a stream, on one line. */
#ifndef LN_CLI_JSON_H
#define LN_CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lunette/address.h"

/* `key` is NULL in arrays and outermost. A string that is NULL is left out with its key. */
struct json {
    FILE *out;
    bool comma; /* something stands before, on this level */
};

void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);
void json_string(struct json *json, const char *key, const char *value);
void json_integer(struct json *json, const char *key, int64_t value);
void json_count(struct json *json, const char *key, uint64_t value); /* below 2^63 */
void json_addr(struct json *json, const char *key, const ln_addr *addr);
void json_bool(struct json *json, const char *key, bool value);

#endif
