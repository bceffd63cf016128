/* Reading events. Fields that are not known here are left to later versions. */
#include "cli/record.h"

#include <errno.h>
#include <string.h>

#include "base/json_read.h"

struct fields {
    struct arena *arena;
    const struct ln_value *object;
    const char *why; /* what is wrong, NULL: nothing yet */
};

static void wrong(struct fields *fields, const char *why)
{
    fields->why = fields->why != NULL ? fields->why : why;
}

/* The string of a field, or NULL where it is absent. */
static const char *string_of(struct fields *fields, const char *key)
{
    const struct ln_value *value = value_get(fields->object, key);
    if (value == NULL) {
        return NULL;
    }
    if (value->type != VALUE_STRING || strlen(value->string.data) != value->string.len) {
        wrong(fields, "a field is not the string that it should be");
        return NULL;
    }
    return value->string.data;
}

static const char *needed(struct fields *fields, const char *key, const char *why)
{
    const char *string = string_of(fields, key);
    if (string == NULL) {
        wrong(fields, why);
    }
    return string != NULL ? string : "";
}

/* The number whose name is `word`, of `count`; `count` when it is none of them. */
static unsigned find(const char *word, const char *(*name_of)(unsigned), unsigned count)
{
    unsigned i = 0;
    while (i < count && strcmp(word, name_of(i)) != 0) {
        i++;
    }
    return i;
}

static const char *kind_name(unsigned i)
{
    return ln_event_kind_name((ln_event_kind)i);
}

static const char *protocol_name(unsigned i)
{
    return ln_protocol_name((ln_protocol)i);
}

static const char *direction_name(unsigned i)
{
    return ln_direction_name((ln_direction)i);
}

static const char *action_name(unsigned i)
{
    return ln_action_name((ln_action)i);
}

static unsigned needed_word(struct fields *fields, const char *key,
                            const char *(*name_of)(unsigned), unsigned count, const char *why)
{
    unsigned i = find(needed(fields, key, why), name_of, count);
    if (i == count) {
        wrong(fields, why);
        return 0;
    }
    return i;
}

static void parse_address(struct fields *fields, const char *text, ln_addr *ret)
{
    if (ln_addr_parse(text, strlen(text), ret) < 0) {
        wrong(fields, "an address is missing or is none");
    }
}

static uint16_t port_of(struct fields *fields, const char *key)
{
    const struct ln_value *value = value_get(fields->object, key);
    if (value == NULL) {
        return 0;
    }
    if (value->type != VALUE_INTEGER || value->integer < 0 || value->integer > UINT16_MAX) {
        wrong(fields, "a port is not one");
        return 0;
    }
    return (uint16_t)value->integer;
}

static void read_addresses(struct fields *fields, struct record *record)
{
    const struct ln_value *list = value_get(fields->object, "addresses");
    if (list == NULL) {
        return;
    }
    if (list->type != VALUE_TABLE || list->table->n_entries > 0) {
        wrong(fields, "`addresses` is not a list");
        return;
    }
    record->addresses = arena_array(fields->arena, list->table->n_items, sizeof(ln_addr));
    if (record->addresses == NULL && list->table->n_items > 0) {
        wrong(fields, "it is too long");
        return;
    }
    for (size_t i = 0; i < list->table->n_items; i++) {
        const struct ln_value *item = &list->table->items[i];
        parse_address(fields, item->type == VALUE_STRING ? item->string.data : "",
                      &record->addresses[i]);
    }
    record->n_addresses = list->table->n_items;
}

static void read_subject(struct fields *fields, struct record *record)
{
    record->protocol = (ln_protocol)needed_word(fields, "protocol", protocol_name, LN_ICMPV6 + 1,
                                                "`protocol` is missing or is none");
    record->direction = (ln_direction)needed_word(
        fields, "direction", direction_name, LN_INGRESS + 1, "`direction` is missing or is none");
    record->action = (ln_action)needed_word(fields, "action", action_name, LN_DEFER,
                                            "`action` is missing or is none");
    parse_address(fields, needed(fields, "src", "`src` is missing"), &record->src);
    parse_address(fields, needed(fields, "dst", "`dst` is missing"), &record->dst);
    record->port = port_of(fields, "port");
    const char *from = string_of(fields, "name_from");
    record->name_shown = from != NULL && strcmp(from, "shown") == 0;
    read_addresses(fields, record);
}

bool record_is_flow(const struct record *record)
{
    return record->kind == LN_EVENT_FLOW_OPEN || record->kind == LN_EVENT_FLOW_DENIED;
}

bool record_is_query(const struct record *record)
{
    return record->kind == LN_EVENT_DNS_QUERY || record->kind == LN_EVENT_DNS_DENIED ||
           record->kind == LN_EVENT_DNS_REBIND;
}

bool record_is_request(const struct record *record)
{
    return record->kind == LN_EVENT_HTTP_REQUEST && record->method != NULL && record->path != NULL;
}

int record_read(struct arena *arena, const char *line, size_t len, struct record *ret,
                const char **ret_why)
{
    struct ln_value object;
    struct json_mistake mistake = {0};
    int r = json_read(arena, NULL, line, len, &object, &mistake);
    if (r < 0) {
        *ret_why = mistake.message;
        return r;
    }
    struct fields fields = {.arena = arena, .object = &object};
    if (object.type != VALUE_TABLE || object.table->n_items > 0) {
        *ret_why = "this is not an object";
        return -EINVAL;
    }
    *ret = (struct record){
        .kind = (ln_event_kind)find(needed(&fields, "kind", "`kind` is missing"), kind_name,
                                    LN_EVENT_KINDS),
        .time = needed(&fields, "time", "`time` is missing"),
        .name = string_of(&fields, "name"),
        .type = string_of(&fields, "type"),
        .method = string_of(&fields, "method"),
        .path = string_of(&fields, "path"),
    };
    ret->reason = string_of(&fields, "reason");
    ret->reason = ret->reason != NULL ? ret->reason : "";
    if (record_is_flow(ret) || record_is_query(ret) || record_is_request(ret)) {
        read_subject(&fields, ret);
    }
    *ret_why = fields.why;
    return fields.why != NULL ? -EINVAL : 0;
}
