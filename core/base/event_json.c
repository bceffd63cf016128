/* Events as JSON (RFC 8259), one object each. Names come from guests and resolvers: bytes that are
 * not UTF-8 become U+FFFD, control characters are escaped. */
#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "lunette/event.h"

static const char *const kind_names[] = {
    [LN_EVENT_FLOW_OPEN] = "flow_open",
    [LN_EVENT_FLOW_CLOSE] = "flow_close",
    [LN_EVENT_FLOW_DENIED] = "flow_denied",
    [LN_EVENT_DNS_QUERY] = "dns_query",
    [LN_EVENT_DNS_DENIED] = "dns_denied",
    [LN_EVENT_DNS_REBIND] = "dns_rebind",
    [LN_EVENT_TLS_INTERCEPTED] = "tls_intercepted",
    [LN_EVENT_TLS_BYPASSED] = "tls_bypassed",
    [LN_EVENT_TLS_ERROR] = "tls_error",
    [LN_EVENT_HTTP_REQUEST] = "http_request",
    [LN_EVENT_SECRET_USED] = "secret_used",
    [LN_EVENT_SECRET_VIOLATION] = "secret_violation",
    [LN_EVENT_LIMIT] = "limit",
    [LN_EVENT_DROP] = "drop",
    [LN_EVENT_RELOAD] = "reload",
    [LN_EVENT_HANDLER_ERROR] = "handler_error",
};
static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == LN_EVENT_KINDS, "a name for each kind");

const char *ln_event_kind_name(ln_event_kind kind)
{
    return (unsigned)kind < LN_EVENT_KINDS ? kind_names[kind] : "unknown";
}

static void put_string(struct text *text, const char *field, const char *value)
{
    if (value != NULL) {
        text_printf(text, ",\"%s\":\"", field);
        text_json_escape(text, value, strlen(value));
        text_puts(text, "\"");
    }
}

static void put_addr(struct text *text, const char *field, const ln_addr *addr)
{
    if (addr != NULL) {
        char value[LN_ADDR_TEXT_MAX];
        ln_addr_format(addr, value);
        put_string(text, field, value);
    }
}

static void put_addrs(struct text *text, const char *field, const ln_addr *addrs, size_t n)
{
    if (n == 0) {
        return;
    }
    text_printf(text, ",\"%s\":[", field);
    for (size_t i = 0; i < n; i++) {
        char value[LN_ADDR_TEXT_MAX];
        ln_addr_format(&addrs[i], value);
        text_printf(text, "%s\"%s\"", i > 0 ? "," : "", value);
    }
    text_puts(text, "]");
}

static void put_number(struct text *text, const char *field, uint64_t value)
{
    text_printf(text, ",\"%s\":%" PRIu64, field, value);
}

static void put_nonzero(struct text *text, const char *field, uint64_t value)
{
    if (value != 0) {
        put_number(text, field, value);
    }
}

static void put_counter(struct text *text, const ln_event *event, const char *field, uint64_t value)
{
    if (value != 0 || event->kind == LN_EVENT_FLOW_CLOSE) {
        put_number(text, field, value);
    }
}

/* RFC 3339, UTC. */
static void put_time(struct text *text, uint64_t time_ms)
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm tm = {0};
    gmtime_r(&seconds, &tm);
    text_printf(text, "\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03uZ\"", tm.tm_year + 1900,
                tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                (unsigned)(time_ms % 1000));
}

static void put_source(struct text *text, const char *file, int line)
{
    if (file != NULL) {
        text_puts(text, ",\"source\":\"");
        text_json_escape(text, file, strlen(file));
        if (line > 0) {
            text_printf(text, ":%d", line);
        }
        text_puts(text, "\"");
    }
}

size_t ln_event_format_json(const ln_event *event, char *dst, size_t size)
{
    struct text text = text_of(dst, size);
    text_puts(&text, "{");
    put_time(&text, event->time_ms);
    put_string(&text, "kind", ln_event_kind_name(event->kind));
    put_string(&text, "protocol", event->protocol);
    put_string(&text, "direction", event->direction);
    put_addr(&text, "src", event->src);
    put_nonzero(&text, "src_port", event->src_port);
    put_addr(&text, "dst", event->dst);
    put_nonzero(&text, "port", event->port);
    put_string(&text, "name", event->name);
    put_string(&text, "name_from", event->name_from);
    put_string(&text, "type", event->type);
    put_string(&text, "action", event->action);
    put_nonzero(&text, "rule", event->rule);
    put_source(&text, event->source_file, event->source_line);
    put_string(&text, "reason", event->reason);
    put_string(&text, "detail", event->detail);
    put_string(&text, "method", event->method);
    put_string(&text, "path", event->path);
    put_nonzero(&text, "status", event->status);
    put_string(&text, "secret", event->secret);
    put_string(&text, "place", event->place);
    put_string(&text, "tls_version", event->tls_version);
    put_string(&text, "alpn", event->alpn);
    put_addrs(&text, "addresses", event->addresses, event->n_addresses);
    put_nonzero(&text, "count", event->count);
    put_counter(&text, event, "bytes_out", event->bytes_out);
    put_counter(&text, event, "bytes_in", event->bytes_in);
    put_counter(&text, event, "packets_out", event->packets_out);
    put_counter(&text, event, "packets_in", event->packets_in);
    put_nonzero(&text, "lost", event->lost);
    text_puts(&text, "}");
    return text.len;
}
