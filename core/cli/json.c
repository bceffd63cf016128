/* JSON to a stream. */
#include "cli/json.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"

static void put_string(FILE *out, const char *string)
{
    size_t len = strlen(string);
    fputc('"', out);
    while (len > 0) {
        char piece[16]; /* one character, escaped */
        struct text text = text_of(piece, sizeof(piece));
        uint32_t c;
        size_t taken = utf8_next(string, len, &c);
        text_json_escape(&text, string, taken);
        fputs(piece, out);
        string += taken;
        len -= taken;
    }
    fputc('"', out);
}

/* The comma before a value, and its key. */
static void start(struct json *json, const char *key)
{
    if (json->comma) {
        fputc(',', json->out);
    }
    json->comma = true;
    if (key != NULL) {
        put_string(json->out, key);
        fputc(':', json->out);
    }
}

void json_open(struct json *json, const char *key, char bracket)
{
    start(json, key);
    fputc(bracket, json->out);
    json->comma = false;
}

void json_close(struct json *json, char bracket)
{
    fputc(bracket, json->out);
    json->comma = true;
}

void json_string(struct json *json, const char *key, const char *value)
{
    if (value != NULL) {
        start(json, key);
        put_string(json->out, value);
    }
}

void json_integer(struct json *json, const char *key, int64_t value)
{
    start(json, key);
    fprintf(json->out, "%" PRId64, value);
}

void json_count(struct json *json, const char *key, uint64_t value)
{
    json_integer(json, key, (int64_t)value);
}

void json_addr(struct json *json, const char *key, const ln_addr *addr)
{
    char text[LN_ADDR_TEXT_MAX];
    ln_addr_format(addr, text);
    json_string(json, key, text);
}

void json_bool(struct json *json, const char *key, bool value)
{
    start(json, key);
    fputs(value ? "true" : "false", json->out);
}
