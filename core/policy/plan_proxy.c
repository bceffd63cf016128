/* upstream_proxy: the URL of a proxy, or a table with it. No part of the URL is shown in problems:
 * it may hold credentials. */
#include <string.h>

#include "policy/plan_parts.h"

#define A_PROXY "\"socks5://[USER:PASSWORD@]HOST:PORT\" or \"http://…\""

enum { CREDENTIAL_MAX = 255 }; /* RFC 1929 section 2 */

/* What is left of a URL. */
struct rest {
    const char *at;
    size_t len;
};

static bool cut_prefix(struct rest *rest, const char *prefix)
{
    size_t len = strlen(prefix);
    if (rest->len < len || memcmp(rest->at, prefix, len) != 0) {
        return false;
    }
    rest->at += len;
    rest->len -= len;
    return true;
}

/* Cuts off all up to and with the last `byte`. */
static bool cut_behind_last(struct rest *rest, char byte, struct rest *ret)
{
    const char *last = memrchr(rest->at, byte, rest->len);
    if (last == NULL) {
        return false;
    }
    *ret = (struct rest){rest->at, (size_t)(last - rest->at)};
    rest->len -= ret->len + 1;
    rest->at = last + 1;
    return true;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Undoes percent-encoding (RFC 3986 section 2.1). Returns NULL when that is wrong, or it is too
 * long or too short. */
static const char *decode(struct schema *schema, struct rest text)
{
    char *decoded = schema_array(schema, text.len + 1, 1);
    size_t len = 0;
    for (size_t i = 0; decoded != NULL && i < text.len; i++) {
        char c = text.at[i];
        if (c == '%') {
            int high = i + 2 < text.len ? digit_of(text.at[i + 1]) : -1;
            int low = i + 2 < text.len ? digit_of(text.at[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return NULL;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        decoded[len++] = c;
    }
    if (decoded == NULL || len == 0 || len > CREDENTIAL_MAX || memchr(decoded, '\0', len) != NULL) {
        return NULL;
    }
    return decoded;
}

static void read_credentials(struct schema *schema, const struct place *place, struct rest text,
                             ln_proxy *ret)
{
    const char *colon = memchr(text.at, ':', text.len);
    if (colon == NULL) {
        schema_wrong(schema, place, A_PROXY, "it has a user, but no password");
        return;
    }
    struct rest user = {text.at, (size_t)(colon - text.at)};
    struct rest password = {colon + 1, text.len - user.len - 1};
    ret->user = decode(schema, user);
    ret->password = decode(schema, password);
    if (ret->user == NULL || ret->password == NULL) {
        schema_wrong(schema, place, "percent-encoded texts of 1 to 255 bytes",
                     "its user or password is not well formed");
    } else if (ret->kind == LN_PROXY_HTTP && strchr(ret->user, ':') != NULL) {
        schema_wrong(schema, place, NULL, "a colon in the user is not for HTTP (RFC 7617)");
    }
}

static void read_url(struct schema *schema, const struct place *place, const struct field *field,
                     void *out)
{
    (void)field;
    ln_proxy *proxy = &((struct build *)out)->settings.proxy;
    if (!schema_text(schema, place, A_PROXY)) {
        return;
    }
    struct rest rest = {place->value->string.data, place->value->string.len}, credentials;
    proxy->kind = cut_prefix(&rest, "socks5://") ? LN_PROXY_SOCKS5
                  : cut_prefix(&rest, "http://") ? LN_PROXY_HTTP
                                                 : LN_PROXY_NONE;
    if (proxy->kind == LN_PROXY_NONE) {
        schema_wrong(schema, place, A_PROXY, "it is not the URL of a proxy of these kinds");
        return;
    }
    if (cut_behind_last(&rest, '@', &credentials)) {
        read_credentials(schema, place, credentials, proxy);
    }
    rest.len -= rest.len > 0 && rest.at[rest.len - 1] == '/';
    proxy->endpoint.port = 0;
    if (read_endpoint(schema, place, rest.at, rest.len, A_PROXY, &proxy->endpoint) &&
        proxy->endpoint.port == 0) {
        schema_wrong(schema, place, A_PROXY, "its port is missing");
    }
}

static void read_resolve(struct schema *schema, const struct place *place,
                         const struct field *field, void *out)
{
    (void)field;
    static const char *const words[] = {"local", "remote"};
    unsigned where = 0;
    schema_choice(schema, place, "resolve", words, COUNT_OF(words), &where);
    ((struct build *)out)->settings.proxy.resolve_remotely = where == 1;
}

static const struct field proxy_fields[] = {
    {.key = "url", .read = read_url, .hidden = true},
    {.key = "resolve", .read = read_resolve},
};

void read_upstream_proxy(struct schema *schema, const struct place *place,
                         const struct field *field, void *out)
{
    if (place->value->type == VALUE_STRING) {
        read_url(schema, place, field, out);
        return;
    }
    size_t mistakes = schema->mistakes;
    schema_table(schema, place, proxy_fields, COUNT_OF(proxy_fields), out);
    if (schema->mistakes == mistakes &&
        ((struct build *)out)->settings.proxy.kind == LN_PROXY_NONE) {
        schema_missing(schema, place, "url", A_PROXY);
    }
}
