#include "secrets/media.h"

#include <string.h>
#include <strings.h>

bool media_is_encoded(const struct http_head *head)
{
    static const char name[] = "content-encoding";
    for (const struct http_field *field = http_head_find(head, name); field != NULL;
         field = http_head_next(head, field, name)) {
        if (field->value.len > 0 && strcasecmp(field->value.at, "identity") != 0) {
            return true;
        }
    }
    return false;
}

/* The media type without parameters; of two fields none counts. */
static struct http_text type_of(const struct http_head *head)
{
    static const char name[] = "content-type";
    const struct http_field *field = http_head_find(head, name);
    if (field == NULL || http_head_next(head, field, name) != NULL) {
        return (struct http_text){.at = ""};
    }
    struct http_text type = field->value;
    type.len = strcspn(type.at, "; \t");
    return type;
}

static bool is(struct http_text type, const char *name)
{
    return type.len == strlen(name) && strncasecmp(type.at, name, type.len) == 0;
}

static bool begins(struct http_text type, const char *with)
{
    size_t len = strlen(with);
    return type.len >= len && strncasecmp(type.at, with, len) == 0;
}

bool media_is_json(const struct http_head *head)
{
    static const char suffix[] = "+json";
    struct http_text type = type_of(head);
    size_t len = sizeof(suffix) - 1;
    return is(type, "application/json") || is(type, "text/json") ||
           is(type, "application/x-ndjson") || is(type, "application/jsonl") ||
           (type.len > len && strncasecmp(type.at + type.len - len, suffix, len) == 0);
}

bool media_is_form(const struct http_head *head)
{
    return is(type_of(head), "application/x-www-form-urlencoded");
}

bool media_is_grpc(const struct http_head *head)
{
    struct http_text type = type_of(head);
    return begins(type, "application/grpc") || begins(type, "application/connect+");
}
