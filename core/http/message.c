/* Every text of a head is in its arena, which is wiped as a whole: replaced text stays until then,
 * so that nothing that points at it dangles. */
#include "http/message.h"

#include <errno.h>
#include <string.h>

enum { FIELDS_FIRST = 32 };

static const struct http_text nothing = {"", 0};

void http_head_init(struct http_head *head)
{
    *head = (struct http_head){.method = nothing,
                               .scheme = nothing,
                               .authority = nothing,
                               .path = nothing,
                               .text = {.cap = HTTP_HEAD_TEXT_MAX}};
}

void http_head_free(struct http_head *head)
{
    arena_wipe(&head->text);
    arena_free(&head->text);
    http_head_init(head);
}

static int set(struct http_head *head, struct http_text *part, const char *text, size_t len,
               bool valid)
{
    if (!valid) {
        return -EINVAL;
    }
    const char *copy = arena_strndup(&head->text, text, len);
    if (copy == NULL) {
        return -ENOBUFS;
    }
    *part = (struct http_text){copy, len};
    return 0;
}

int http_head_set_method(struct http_head *head, const char *text, size_t len)
{
    return set(head, &head->method, text, len, http_method_valid(text, len));
}

int http_head_set_scheme(struct http_head *head, const char *text, size_t len)
{
    bool valid =
        (len == 4 && memcmp(text, "http", 4) == 0) || (len == 5 && memcmp(text, "https", 5) == 0);
    return set(head, &head->scheme, text, len, valid);
}

int http_head_set_authority(struct http_head *head, const char *text, size_t len)
{
    struct http_host host;
    return set(head, &head->authority, text, len, http_authority_parse(text, len, &host) == 0);
}

int http_head_set_path(struct http_head *head, const char *text, size_t len)
{
    return set(head, &head->path, text, len, http_path_valid(text, len));
}

int http_head_set_value(struct http_head *head, struct http_field *field, const char *text,
                        size_t len)
{
    return set(head, &field->value, text, len, http_value_valid(text, len));
}

/* Room for one more field. */
static int make_room(struct http_head *head)
{
    if (head->n_fields == HTTP_FIELDS_MAX) {
        return -ENOBUFS;
    }
    if (head->n_fields < head->room) {
        return 0;
    }
    size_t room = head->room == 0 ? FIELDS_FIRST : head->room * 2;
    struct http_field *more = arena_array(&head->text, room, sizeof(*more));
    if (more == NULL) {
        return -ENOBUFS;
    }
    if (head->n_fields > 0) {
        memcpy(more, head->fields, head->n_fields * sizeof(*more));
    }
    head->fields = more;
    head->room = room;
    return 0;
}

int http_head_add_borrowed(struct http_head *head, struct http_text name, struct http_text value)
{
    if (!http_is_token(name.at, name.len) || !http_value_valid(value.at, value.len)) {
        return -EINVAL;
    }
    int r = make_room(head);
    if (r == 0) {
        head->fields[head->n_fields++] = (struct http_field){.name = name, .value = value};
    }
    return r;
}

int http_head_add(struct http_head *head, const char *name, size_t name_len, const char *value,
                  size_t value_len)
{
    const char *name_copy = arena_strndup(&head->text, name, name_len);
    const char *value_copy = arena_strndup(&head->text, value, value_len);
    if (name_copy == NULL || value_copy == NULL) {
        return -ENOBUFS;
    }
    return http_head_add_borrowed(head, (struct http_text){name_copy, name_len},
                                  (struct http_text){value_copy, value_len});
}

static struct http_field *find_from(const struct http_head *head, size_t at, const char *name)
{
    size_t len = strlen(name);
    for (; at < head->n_fields; at++) {
        struct http_field *field = &head->fields[at];
        if (http_same_name(field->name.at, field->name.len, name, len)) {
            return field;
        }
    }
    return NULL;
}

struct http_field *http_head_find(const struct http_head *head, const char *name)
{
    return find_from(head, 0, name);
}

struct http_field *http_head_next(const struct http_head *head, const struct http_field *field,
                                  const char *name)
{
    return find_from(head, (size_t)(field - head->fields) + 1, name);
}

size_t http_head_remove(struct http_head *head, const char *name)
{
    size_t len = strlen(name);
    size_t kept = 0;
    for (size_t i = 0; i < head->n_fields; i++) {
        struct http_field *field = &head->fields[i];
        if (!http_same_name(field->name.at, field->name.len, name, len)) {
            head->fields[kept++] = *field;
        }
    }
    size_t removed = head->n_fields - kept;
    head->n_fields = kept;
    return removed;
}

int http_head_host(const struct http_head *head, struct http_host *ret)
{
    return http_authority_parse(head->authority.at, head->authority.len, ret);
}
