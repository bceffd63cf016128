/* What the guest gets to read when a request is refused, or its host cannot be had. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "net/http_judge.h"

enum { ANSWER_MAX = 8192 };

static void put_field(struct text *text, bool json, const char *name, const char *value)
{
    if (value == NULL) {
        return;
    }
    if (json) {
        text_printf(text, ",\"%s\":\"", name);
        text_json_escape(text, value, strlen(value));
        text_puts(text, "\"");
    } else {
        text_printf(text, "%s: %s\n", name, value);
    }
}

static void put_rule(struct text *text, bool json, const struct http_refusal *refusal)
{
    char source[1024];
    if (refusal->rule == 0) {
        return;
    }
    text_printf(text, json ? ",\"rule\":%" PRIu32 : "rule: %" PRIu32 "\n", refusal->rule);
    if (refusal->source_file != NULL) {
        struct text where = text_of(source, sizeof(source));
        text_puts(&where, refusal->source_file);
        if (refusal->source_line > 0) {
            text_printf(&where, ":%d", refusal->source_line);
        }
        put_field(text, json, "source", source);
    }
}

char *http_answer_words(const struct http_refusal *refusal, bool json)
{
    char *words = malloc(ANSWER_MAX);
    if (words == NULL) {
        return NULL;
    }
    struct text text = text_of(words, ANSWER_MAX);
    text_puts(&text, json ? "{\"error\":\"refused by lunette\"" : "refused by lunette\n");
    put_field(&text, json, "layer", refusal->layer);
    put_field(&text, json, "reason", refusal->reason);
    put_field(&text, json, "detail", refusal->detail);
    put_field(&text, json, "host", refusal->host);
    put_field(&text, json, "method", refusal->method);
    put_field(&text, json, "path", refusal->path);
    put_field(&text, json, "secret", refusal->secret);
    put_rule(&text, json, refusal);
    put_field(&text, json, json ? "next_step" : "next step", refusal->next);
    text_puts(&text, json ? "}\n" : "");
    if (text.len < text.size) {
        return words;
    }
    /* A path may be long: once more without it. */
    free(words);
    struct http_refusal shorter = *refusal;
    shorter.method = shorter.path = NULL;
    return refusal->path == NULL ? NULL : http_answer_words(&shorter, json);
}
