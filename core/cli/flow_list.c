/* The flows of a gateway as JSON. */
#include "cli/flow_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "net/gateway.h"
#include "policy/name_pattern.h"

enum { NAMES_MAX = 64 /* that one address is pinned to and that are looked at */ };

/* ---- the filter ---- */

static int parse_what(const char *text, struct flow_filter *ret)
{
    uint32_t port;
    ln_addr addr;
    size_t len = strlen(text);
    if (len == 0) {
        ret->by = FLOW_ANY;
    } else if (options_number(text, 1, UINT16_MAX, &port) == 0) {
        ret->by = FLOW_BY_PORT;
        ret->port = (uint16_t)port;
    } else if (ln_addr_parse(text, len, &addr) == 0) {
        ret->by = FLOW_BY_NETWORK;
        ret->network = (ln_prefix){.addr = addr, .bits = 128};
    } else if (ln_prefix_parse(text, len, &ret->network) == 0) {
        ret->by = FLOW_BY_NETWORK;
    } else {
        ret->by = FLOW_BY_NAME;
        ret->below = text[0] == '.';
        return ln_name_canonical(text + ret->below, len - ret->below, ret->name, NULL) < 0 ? -EINVAL
                                                                                           : 0;
    }
    return 0;
}

int flow_filter_parse(const char *text, struct flow_filter *ret)
{
    *ret = (struct flow_filter){0};
    if (strncmp(text, "top=", 4) == 0) {
        char number[8];
        size_t len = strcspn(text + 4, " ");
        if (len >= sizeof(number)) {
            return -EINVAL;
        }
        memcpy(number, text + 4, len);
        number[len] = '\0';
        if (options_number(number, 1, FLOW_TOP_MAX, &ret->top) < 0) {
            return -EINVAL;
        }
        text += 4 + len;
        text += strspn(text, " ");
    }
    return parse_what(text, ret);
}

static bool is_named(const struct flow_filter *filter, const char *name)
{
    return name_pattern_matches(&(ln_name_pattern){.name = filter->name, .below = filter->below},
                                name);
}

static bool is_named_flow(const ln_gateway *gw, const struct flow_filter *filter,
                          const ln_flow *flow)
{
    const char *names[NAMES_MAX];
    if (flow->name != NULL && is_named(filter, flow->name)) {
        return true;
    }
    size_t n = ln_pins_names(gw->admission.pins, &flow->peer, gw->loop.now_ns, names, NAMES_MAX);
    while (n > 0 && !is_named(filter, names[n - 1])) {
        n--;
    }
    return n > 0;
}

static bool matches(const ln_gateway *gw, const struct flow_filter *filter, const ln_flow *flow)
{
    switch (filter->by) {
    case FLOW_ANY:
        return true;
    case FLOW_BY_PORT:
        return flow->peer_port == filter->port || flow->guest_port == filter->port;
    case FLOW_BY_NETWORK:
        return ln_prefix_contains(&filter->network, &flow->peer) ||
               ln_prefix_contains(&filter->network, &flow->guest);
    case FLOW_BY_NAME:
        return is_named_flow(gw, filter, flow);
    }
    return false;
}

/* ---- the list ---- */

struct listing {
    ln_gateway *gw;
    const struct flow_filter *filter;
    struct json *json;
    uint64_t ids[FLOW_TOP_MAX], bytes[FLOW_TOP_MAX]; /* with `top`: the largest, descending */
    uint32_t n, at;
};

static void write_flow(struct json *json, const ln_flow *flow)
{
    json_open(json, NULL, '{');
    json_count(json, "id", flow->id);
    json_string(json, "direction", ln_direction_name(flow->direction));
    json_string(json, "protocol", ln_protocol_name(flow->protocol));
    json_addr(json, "guest", &flow->guest);
    json_addr(json, "peer", &flow->peer);
    if (flow->guest_port != 0) {
        json_integer(json, "guest_port", flow->guest_port);
        json_integer(json, "peer_port", flow->peer_port);
    }
    json_string(json, "state", flow->state);
    json_string(json, "name", flow->name);
    if (flow->rule != 0) {
        json_integer(json, "rule", flow->rule);
    }
    json_count(json, "age_ms", flow->age_ms);
    json_count(json, "bytes_out", flow->bytes_out);
    json_count(json, "bytes_in", flow->bytes_in);
    json_count(json, "packets_out", flow->packets_out);
    json_count(json, "packets_in", flow->packets_in);
    json_close(json, '}');
}

static void take(void *user, const ln_flow *flow)
{
    struct listing *listing = user;
    if (matches(listing->gw, listing->filter, flow)) {
        write_flow(listing->json, flow);
    }
}

static void rank(void *user, const ln_flow *flow)
{
    struct listing *l = user;
    uint64_t bytes = flow->bytes_out + flow->bytes_in;
    uint32_t at = l->n < l->filter->top ? l->n : l->filter->top;
    if (!matches(l->gw, l->filter, flow) || (at == l->filter->top && l->bytes[at - 1] >= bytes)) {
        return;
    }
    at = at == l->filter->top ? at - 1 : at;
    for (; at > 0 && l->bytes[at - 1] < bytes; at--) {
        l->bytes[at] = l->bytes[at - 1];
        l->ids[at] = l->ids[at - 1];
    }
    l->bytes[at] = bytes;
    l->ids[at] = flow->id;
    l->n += l->n < l->filter->top;
}

static void take_next(void *user, const ln_flow *flow)
{
    struct listing *listing = user;
    if (flow->id == listing->ids[listing->at]) {
        write_flow(listing->json, flow);
    }
}

void flow_list_write(ln_gateway *gw, const struct flow_filter *filter, struct json *json)
{
    struct listing listing = {.gw = gw, .filter = filter, .json = json};
    json_open(json, NULL, '[');
    ln_gateway_flows(gw, filter->top > 0 ? rank : take, &listing);
    for (; listing.at < listing.n; listing.at++) {
        ln_gateway_flows(gw, take_next, &listing);
    }
    json_close(json, ']');
}
