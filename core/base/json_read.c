/* Reading JSON, by recursive descent with a bounded depth. */
#include "base/json_read.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { NUMBER_MAX = 64 /* bytes of a number's text */ };

struct parser {
    struct arena *arena;
    const char *file;
    const char *at, *end;
    int line, depth;
    const char *message; /* of the mistake */
};

static int parse_value(struct parser *p, struct ln_value *ret);

static int wrong(struct parser *p, const char *message)
{
    p->message = message;
    return -EINVAL;
}

static void skip_blanks(struct parser *p)
{
    while (p->at < p->end && strchr(" \t\r\n", *p->at) != NULL && *p->at != '\0') {
        p->line += *p->at == '\n';
        p->at++;
    }
}

/* Takes `c` behind blanks. Returns whether it was there. */
static bool take(struct parser *p, char c)
{
    skip_blanks(p);
    bool found = p->at < p->end && *p->at == c;
    p->at += found;
    return found;
}

/* ---- strings ---- */

static int hex4(struct parser *p, uint32_t *ret)
{
    uint32_t value = 0;
    if (p->end - p->at < 4) {
        return wrong(p, "an escape is cut short");
    }
    for (int i = 0; i < 4; i++) {
        char c = *p->at++;
        uint32_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (uint32_t)((c | 0x20) - 'a' + 10);
        } else {
            return wrong(p, "an escape is not hexadecimal");
        }
        value = value << 4 | digit;
    }
    *ret = value;
    return 0;
}

static char *put_utf8(char *dst, uint32_t c)
{
    if (c < 0x80) {
        *dst++ = (char)c;
    } else if (c < 0x800) {
        *dst++ = (char)(0xc0 | c >> 6);
        *dst++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *dst++ = (char)(0xe0 | c >> 12);
        *dst++ = (char)(0x80 | (c >> 6 & 0x3f));
        *dst++ = (char)(0x80 | (c & 0x3f));
    } else {
        *dst++ = (char)(0xf0 | c >> 18);
        *dst++ = (char)(0x80 | (c >> 12 & 0x3f));
        *dst++ = (char)(0x80 | (c >> 6 & 0x3f));
        *dst++ = (char)(0x80 | (c & 0x3f));
    }
    return dst;
}

/* \uHHHH, or two of them for a character beyond the first plane. */
static int parse_unicode(struct parser *p, uint32_t *ret)
{
    uint32_t low;
    int r = hex4(p, ret);
    if (r < 0 || *ret < 0xd800 || *ret > 0xdfff) {
        return r;
    }
    if (*ret > 0xdbff || p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u') {
        return wrong(p, "a surrogate stands alone");
    }
    p->at += 2;
    r = hex4(p, &low);
    if (r == 0 && (low < 0xdc00 || low > 0xdfff)) {
        return wrong(p, "a surrogate stands alone");
    }
    *ret = 0x10000 + ((*ret - 0xd800) << 10) + (low - 0xdc00);
    return r;
}

static int parse_escape(struct parser *p, char **dst)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    if (p->at == p->end) {
        return wrong(p, "a string is not ended");
    }
    char c = *p->at++;
    const char *found = c == '\0' ? NULL : strchr(from, c);
    uint32_t character;
    if (found != NULL) {
        *(*dst)++ = to[found - from];
        return 0;
    }
    if (c != 'u') {
        return wrong(p, "there is no such escape");
    }
    int r = parse_unicode(p, &character);
    *dst = r < 0 ? *dst : put_utf8(*dst, character);
    return r;
}

/* Behind the opening quote. What it stands for is never longer than its text. */
static int parse_string(struct parser *p, struct ln_value *ret)
{
    const char *close = p->at;
    while (close < p->end && *close != '"') {
        close += *close == '\\' ? 2 : 1;
    }
    if (close >= p->end) {
        return wrong(p, "a string is not ended");
    }
    char *data = arena_alloc(p->arena, (size_t)(close - p->at) + 1);
    char *dst = data;
    if (data == NULL) {
        return -ENOMEM;
    }
    while (p->at < close) {
        uint32_t c;
        size_t taken = utf8_next(p->at, (size_t)(close - p->at), &c);
        if (c == UTF8_INVALID || c < 0x20) {
            return wrong(p,
                         c < 0x20 ? "a string holds a control character" : "a string is not UTF-8");
        }
        if (c != '\\') {
            dst = mempcpy(dst, p->at, taken);
        }
        p->at += taken;
        int r = c == '\\' ? parse_escape(p, &dst) : 0;
        if (r < 0) {
            return r;
        }
    }
    p->at = close + 1;
    ret->type = VALUE_STRING;
    ret->string.data = data;
    ret->string.len = (size_t)(dst - data);
    return 0;
}

/* ---- numbers and words ---- */

static size_t digits(const char *at)
{
    return strspn(at, "0123456789");
}

/* The length of the number that `text` begins with, by the grammar; 0 when there is none. */
static size_t number_length(const char *text, bool *ret_integer)
{
    const char *at = text + (*text == '-');
    size_t whole = digits(at);
    if (whole == 0 || (*at == '0' && whole > 1)) {
        return 0;
    }
    at += whole;
    *ret_integer = true;
    if (*at == '.') {
        *ret_integer = false;
        if (digits(++at) == 0) {
            return 0;
        }
        at += digits(at);
    }
    if (*at == 'e' || *at == 'E') {
        *ret_integer = false;
        at++;
        at += *at == '+' || *at == '-';
        if (digits(at) == 0) {
            return 0;
        }
        at += digits(at);
    }
    return (size_t)(at - text);
}

static int parse_number(struct parser *p, struct ln_value *ret)
{
    char text[NUMBER_MAX + 1];
    size_t left = (size_t)(p->end - p->at);
    size_t len = left < NUMBER_MAX ? left : NUMBER_MAX;
    bool integer;
    memcpy(text, p->at, len);
    text[len] = '\0';
    len = number_length(text, &integer);
    if (len == 0 || len == NUMBER_MAX) {
        return wrong(p, len == 0 ? "this is not JSON" : "a number is too long");
    }
    text[len] = '\0';
    p->at += len;
    errno = 0;
    if (integer) {
        ret->type = VALUE_INTEGER;
        ret->integer = strtoll(text, NULL, 10);
        if (errno == 0) {
            return 0;
        }
    }
    ret->type = VALUE_NUMBER;
    ret->number = strtod(text, NULL);
    return isfinite(ret->number) ? 0 : wrong(p, "a number is too large");
}

static int parse_word(struct parser *p, struct ln_value *ret)
{
    static const struct {
        const char *word;
        enum value_type type;
        bool boolean;
    } words[] = {
        {"null", VALUE_NIL, false}, {"true", VALUE_BOOLEAN, true}, {"false", VALUE_BOOLEAN, false}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t len = strlen(words[i].word);
        if ((size_t)(p->end - p->at) >= len && memcmp(p->at, words[i].word, len) == 0) {
            p->at += len;
            ret->type = words[i].type;
            ret->boolean = words[i].boolean;
            return 0;
        }
    }
    return parse_number(p, ret);
}

/* ---- arrays and objects ---- */

/* Room for one element more in an array of the arena that doubles. Returns it, or NULL. */
static void *grown(struct arena *arena, void *items, size_t count, size_t size)
{
    if (count != 0 && (count & (count - 1)) != 0) {
        return items;
    }
    void *bigger = arena_array(arena, count == 0 ? 1 : 2 * count, size);
    if (bigger != NULL && count > 0) {
        memcpy(bigger, items, count * size);
    }
    return bigger;
}

static int parse_items(struct parser *p, struct value_table *table)
{
    if (take(p, ']')) {
        return 0;
    }
    do {
        struct ln_value *items =
            grown(p->arena, table->items, table->n_items, sizeof(*table->items));
        if (items == NULL) {
            return -ENOMEM;
        }
        table->items = items;
        int r = parse_value(p, &items[table->n_items]);
        if (r < 0) {
            return r;
        }
        table->n_items++;
    } while (take(p, ','));
    return take(p, ']') ? 0 : wrong(p, "an array is not ended");
}

static int parse_entry(struct parser *p, struct value_table *table, struct value_entry *entry)
{
    if (!take(p, '"')) {
        return wrong(p, "a key is missing");
    }
    entry->key = (struct ln_value){.line = p->line, .file = p->file};
    int r = parse_string(p, &entry->key);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < table->n_entries; i++) {
        const struct ln_value *key = &table->entries[i].key;
        if (key->string.len == entry->key.string.len &&
            memcmp(key->string.data, entry->key.string.data, key->string.len) == 0) {
            return wrong(p, "a key is there twice");
        }
    }
    return take(p, ':') ? parse_value(p, &entry->value) : wrong(p, "a colon is missing");
}

static int parse_entries(struct parser *p, struct value_table *table)
{
    if (take(p, '}')) {
        return 0;
    }
    do {
        struct value_entry *entries =
            grown(p->arena, table->entries, table->n_entries, sizeof(*table->entries));
        if (entries == NULL) {
            return -ENOMEM;
        }
        table->entries = entries;
        int r = parse_entry(p, table, &entries[table->n_entries]);
        if (r < 0) {
            return r;
        }
        table->n_entries++;
    } while (take(p, ','));
    return take(p, '}') ? 0 : wrong(p, "an object is not ended");
}

static int parse_table(struct parser *p, bool is_array, struct ln_value *ret)
{
    ret->type = VALUE_TABLE;
    ret->table = arena_alloc(p->arena, sizeof(*ret->table));
    if (ret->table == NULL) {
        return -ENOMEM;
    }
    if (p->depth == JSON_DEPTH_MAX) {
        return wrong(p, "it is nested too deeply");
    }
    p->depth++;
    int r = is_array ? parse_items(p, ret->table) : parse_entries(p, ret->table);
    p->depth--;
    return r;
}

static int parse_value(struct parser *p, struct ln_value *ret)
{
    skip_blanks(p);
    *ret = (struct ln_value){.line = p->line, .file = p->file};
    if (take(p, '"')) {
        return parse_string(p, ret);
    }
    if (take(p, '[')) {
        return parse_table(p, true, ret);
    }
    return take(p, '{') ? parse_table(p, false, ret) : parse_word(p, ret);
}

int json_read(struct arena *arena, const char *file, const char *text, size_t len,
              struct ln_value *ret, struct json_mistake *ret_mistake)
{
    struct parser p = {.arena = arena, .file = file, .at = text, .end = text + len, .line = 1};
    struct ln_value value;
    int r = parse_value(&p, &value);
    if (r == 0) {
        skip_blanks(&p);
        r = p.at == p.end ? 0 : wrong(&p, "something stands behind the value");
    }
    if (r == 0) {
        *ret = value;
    } else if (r == -EINVAL && ret_mistake != NULL) {
        *ret_mistake = (struct json_mistake){.line = p.line, .message = p.message};
    }
    return r;
}
