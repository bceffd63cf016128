/* The name server of a guest.
 *
 * Theory of operation. A query passes these gates, and the first that stops it answers:
 *   form        FORMERR, NOTIMP, BADVERS; REFUSED for classes and types that are not forwarded
 *   discovery   NXDOMAIN: names by which clients look for a resolver other than this one
 *   name        NXDOMAIN: policy judges the name as egress; its on_dns may have an answer
 *   resolver    NXDOMAIN: policy judges the flow to a resolver that is not the gateway
 *   own names   answered: by on_dns, by the gateway's addresses, or by those of dns.hosts
 *   family      answered empty: addresses of a family that the host cannot route
 *   cache       answered: what an upstream said before
 *   room        SERVFAIL: too many questions on their way
 *   budget      NXDOMAIN: too much was asked about this domain in this minute
 * and then leaves. The answer is judged in answer.c, each time that it is given. Each query makes
 * exactly one event, when its reply is known: dns_query, dns_denied or dns_rebind; one for want of
 * room is told as a limit. */
#include "dns/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timer.h"
#include "dns/answer.h"

enum { ADDRESSES_TOLD = 64 }; /* of one answer */

/* ---- events ---- */

/* Addresses that an event tells. */
struct addresses {
    ln_addr list[ADDRESSES_TOLD];
    size_t n;
};

/* Puts one before the others; the last makes room. */
static void addresses_put(struct addresses *addresses, const ln_addr *addr)
{
    size_t behind = addresses->n < ADDRESSES_TOLD ? addresses->n++ : ADDRESSES_TOLD - 1;
    memmove(&addresses->list[1], &addresses->list[0], behind * sizeof(*addr));
    addresses->list[0] = *addr;
}

/* `addresses` may be NULL. */
static void tell(struct dns_server *server, const struct dns_ticket *ticket, ln_event_kind kind,
                 const ln_decision *decision, const char *reason, const char *detail,
                 const struct addresses *addresses)
{
    const struct dns_asker *asker = &ticket->asker;
    const struct dns_query *query = &ticket->query;
    char name[DNS_NAME_TEXT_MAX];
    char type[DNS_TYPE_TEXT_MAX];
    const struct admission *admission = server->admission;
    const ln_rule *rule =
        decision->rule == 0 ? NULL : ln_policy_rule(admission->policy, decision->rule);
    dns_name_text(query->question.wire, query->question.wire_len, name);
    ln_event event = {
        .kind = kind,
        .protocol = ln_protocol_name(asker->transport),
        .direction = ln_direction_name(LN_EGRESS),
        .src = &asker->guest,
        .dst = &asker->resolver,
        .src_port = asker->guest_port,
        .port = asker->resolver_port,
        .name = query->has_question ? (name[0] != '\0' ? name : ".") : NULL,
        .type = query->has_question ? dns_type_name(query->question.type, type) : NULL,
        .action = ln_action_name(kind == LN_EVENT_DNS_QUERY ? LN_ALLOW : LN_DENY),
        .rule = decision->rule,
        .source_file = rule != NULL ? rule->file : NULL,
        .source_line = rule != NULL ? rule->line : 0,
        .reason = reason != NULL ? reason : ln_reason_name(decision->reason),
        .detail = detail,
        .addresses = addresses != NULL ? addresses->list : NULL,
        .n_addresses = addresses != NULL ? addresses->n : 0,
    };
    events_tell(admission->events, &event);
}

static void tell_answered(struct dns_server *server, const struct dns_ticket *ticket,
                          const char *detail, const struct addresses *pinned)
{
    tell(server, ticket, LN_EVENT_DNS_QUERY, &ticket->decision, NULL, detail, pinned);
}

/* ---- gates ---- */

static const ln_decision no_rule = {.action = LN_DENY};

/* Types that are questions about the server, or about everything at once: 249-255 are the meta
 * types (RFC 6895 section 3.1: TKEY, TSIG, IXFR, AXFR, MAILB, MAILA, ANY). */
static bool is_meta(uint16_t type)
{
    return type == DNS_TYPE_OPT || (type >= 249 && type <= 255);
}

/* Mozilla's canary, and discovery of designated resolvers (RFC 9462). */
static bool is_discovery(const char *name)
{
    return dns_name_is_at_or_below(name, "use-application-dns.net") ||
           dns_name_is_at_or_below(name, "_dns.resolver.arpa");
}

unsigned dns_server_refuses(const char *name, uint16_t type, const char **ret_reason)
{
    if (is_meta(type)) {
        *ret_reason = "refused";
        return DNS_REFUSED;
    }
    if (is_discovery(name)) {
        *ret_reason = "discovery";
        return DNS_NXDOMAIN;
    }
    return DNS_NOERROR;
}

static bool is_gateway_name(const char *name)
{
    return strcmp(name, "host.lunette.internal") == 0 ||
           strcmp(name, "host.microsandbox.internal") == 0;
}

static int compare_host(const void *name, const void *host)
{
    return strcmp(name, ((const ln_dns_host *)host)->name);
}

/* NULL: there is none. */
static const ln_dns_host *find_host(const ln_policy *policy, const char *name)
{
    const ln_settings *settings = ln_policy_settings(policy);
    return settings->n_dns_hosts == 0 ? NULL
                                      : bsearch(name, settings->dns_hosts, settings->n_dns_hosts,
                                                sizeof(*settings->dns_hosts), compare_host);
}

bool dns_server_is_own_name(const ln_policy *policy, const char *name)
{
    return is_gateway_name(name) || find_host(policy, name) != NULL;
}

static void judge_name(const struct dns_server *server, struct dns_ticket *ticket,
                       ln_dns_answer *ret_answer)
{
    char type[DNS_TYPE_TEXT_MAX];
    ln_dns_query query = {
        .name = ticket->query.question.name,
        .type = dns_type_name(ticket->query.question.type, type),
        .transport = ticket->asker.transport,
        .flows = ticket->asker.flows,
    };
    ln_query flow = {
        .direction = LN_EGRESS,
        .protocol = ticket->asker.transport,
        .address = ticket->asker.resolver,
        .port = ticket->asker.resolver_port,
        .claimed = query.name,
    };
    ln_policy_evaluate_query(server->admission->policy, &query, &ticket->decision, ret_answer,
                             NULL);
    admission_tell_failure(server->admission, &flow, &ticket->decision);
}

/* Whether a rule says which resolver it allows, so that the guest has no choice of its own. */
static bool names_one_host(const ln_policy *policy, const ln_decision *decision)
{
    const ln_rule *rule = decision->rule == 0 ? NULL : ln_policy_rule(policy, decision->rule);
    if (rule == NULL) {
        return false;
    }
    return rule->destination.kind == LN_DEST_DOMAIN ||
           (rule->destination.kind == LN_DEST_PREFIX && rule->destination.prefix.bits == 128);
}

static void judge_resolver(const struct dns_server *server, struct dns_ticket *ticket,
                           uint64_t now_ns, ln_decision *ret)
{
    const struct dns_asker *asker = &ticket->asker;
    struct flow_key key = {
        .guest = asker->guest,
        .peer = asker->resolver,
        .guest_port = asker->guest_port,
        .peer_port = asker->resolver_port,
        .ip_protocol = asker->transport == LN_TCP ? IPPROTO_TCP : IPPROTO_UDP,
    };
    admission_judge(server->admission, &key, 0, LN_EGRESS,
                    asker->claimed != NULL ? LN_NAME_SHOWN : LN_NAME_NONE, asker->claimed, false,
                    asker->flows, now_ns, ret);
    ticket->pinned = names_one_host(server->admission->policy, ret);
}

static bool is_routable(const struct dns_server *server, uint16_t type)
{
    return (type != DNS_TYPE_A || server->link->route4) &&
           (type != DNS_TYPE_AAAA || server->link->route6);
}

/* ---- pins ---- */

struct pinning {
    struct dns_server *server;
    const struct dns_ticket *ticket;
    uint64_t now_ns;
    struct addresses pinned;
};

/* Only the name asked is what the sandbox resolved: a name further down the chain opens nothing
 * until it is asked for itself. An odd name has no canonical form and so no pins. */
static void pin(void *user, const ln_addr *addr, uint32_t ttl_s)
{
    struct pinning *p = user;
    const struct dns_question *question = &p->ticket->query.question;
    uint64_t life_s = ttl_s > DNS_PIN_TTL_S ? ttl_s : DNS_PIN_TTL_S;
    if (!p->ticket->pinned || question->odd || question->name[0] == '\0') {
        return;
    }
    if (ln_pins_add(p->server->admission->pins, question->name, addr, p->now_ns,
                    p->now_ns + life_s * SECOND_NS) < 0) {
        p->server->over_limit++; /* the answer is given: other rules may open the address */
        return;
    }
    addresses_put(&p->pinned, addr);
}

/* ---- answers ---- */

static size_t deny_answer(struct dns_server *server, const struct dns_ticket *ticket,
                          enum dns_verdict verdict, const struct dns_finding *finding, uint8_t *dst)
{
    char detail[LN_NAME_MAX + 32];
    char addr[LN_ADDR_TEXT_MAX];
    struct addresses held = {.list = {finding->addr}, .n = 1};
    bool rebind = verdict == DNS_ANSWER_REBIND;
    if (rebind) {
        ln_addr_format(&finding->addr, addr);
    }
    snprintf(detail, sizeof(detail), "the answer holds %s", rebind ? addr : finding->name);
    tell(server, ticket, rebind ? LN_EVENT_DNS_REBIND : LN_EVENT_DNS_DENIED, &finding->decision,
         rebind ? NULL : "alias", detail, rebind ? &held : NULL);
    return dns_reply_write(&ticket->query, DNS_NXDOMAIN, false, dst);
}

static size_t fail(struct dns_server *server, const struct dns_ticket *ticket, const char *why,
                   uint8_t *dst)
{
    tell_answered(server, ticket, why, NULL);
    return dns_reply_write(&ticket->query, DNS_SERVFAIL, false, dst);
}

/* How much a reply may take. */
static size_t room_of(const struct dns_ticket *ticket)
{
    if (ticket->asker.transport != LN_UDP) {
        return DNS_MESSAGE_MAX;
    }
    return ticket->query.udp_size < DNS_UDP_MAX ? ticket->query.udp_size : DNS_UDP_MAX;
}

/* Writes what was found fine, and pinned; over UDP what does not fit is truncated to nothing but
 * TC. */
static size_t give(const struct pinning *pinning, const struct dns_answer *answer, uint8_t *dst)
{
    struct dns_server *server = pinning->server;
    const struct dns_ticket *ticket = pinning->ticket;
    char rcode[DNS_TYPE_TEXT_MAX];
    char detail[DNS_TYPE_TEXT_MAX + 16];
    const struct dns_query *query = &ticket->query;
    bool udp = ticket->asker.transport == LN_UDP;
    size_t len = dns_answer_write(answer, dst, room_of(ticket));
    if (len == 0 && !udp) {
        return fail(server, ticket, "the answer is too long", dst);
    }
    snprintf(detail, sizeof(detail), "%s%s", dns_rcode_name(dns_answer_rcode(answer), rcode),
             ticket->cached ? ", cached" : "");
    tell_answered(server, ticket, detail, &pinning->pinned);
    return len > 0 ? len : dns_reply_write(query, DNS_NOERROR, true, dst);
}

/* Judges, pins and writes a whole answer. */
static size_t take_answer(struct dns_server *server, const struct dns_ticket *ticket,
                          struct dns_answer *answer, uint64_t now_ns, uint8_t *dst)
{
    const struct admission *admission = server->admission;
    struct dns_finding finding;
    enum dns_verdict verdict =
        dns_answer_judge(answer, admission->policy, &admission->host, &finding);
    if (verdict != DNS_ANSWER_FINE) {
        return deny_answer(server, ticket, verdict, &finding, dst);
    }
    struct pinning pinning = {.server = server, .ticket = ticket, .now_ns = now_ns};
    dns_answer_each_address(answer, pin, &pinning);
    return give(&pinning, answer, dst);
}

/* ---- queries ---- */

/* Replies with `rcode` and tells why. */
static enum dns_step refuse(struct dns_server *server, const struct dns_ticket *ticket,
                            unsigned rcode, const ln_decision *decision, const char *reason,
                            uint8_t *dst, size_t *ret_len)
{
    tell(server, ticket, LN_EVENT_DNS_DENIED, decision, reason, NULL, NULL);
    *ret_len = dns_reply_write(&ticket->query, rcode, false, dst);
    return DNS_REPLY;
}

/* What lunette itself answers for. */
struct own_name {
    const ln_addr *addrs;
    size_t n;
    const char *detail;
};

/* `gateway` is room for the gateway's addresses. Returns whether the name is one of lunette's. */
static bool find_own(const struct dns_server *server, const char *name, ln_addr gateway[2],
                     struct own_name *ret)
{
    const ln_dns_host *host = find_host(server->admission->policy, name);
    if (is_gateway_name(name)) {
        gateway[0] = server->link->gateway4;
        gateway[1] = server->link->gateway6;
        *ret = (struct own_name){gateway, 2, "the gateway's own name"};
    } else if (host != NULL) {
        *ret = (struct own_name){host->addrs, host->n_addrs, "one of dns.hosts"};
    }
    return is_gateway_name(name) || host != NULL;
}

/* Answers with addresses of one's own, of the family that is asked for. */
static enum dns_step answer_own(struct dns_server *server, const struct dns_ticket *ticket,
                                uint64_t now_ns, const struct own_name *own, uint8_t *dst,
                                size_t *ret_len)
{
    const struct dns_query *query = &ticket->query;
    struct pinning pinning = {.server = server, .ticket = ticket, .now_ns = now_ns};
    for (size_t i = own->n; i-- > 0;) {
        bool v4 = ln_addr_is_v4(&own->addrs[i]);
        if (query->question.type == (v4 ? DNS_TYPE_A : DNS_TYPE_AAAA)) {
            pin(&pinning, &own->addrs[i], DNS_LOCAL_TTL_S);
        }
    }
    tell_answered(server, ticket, own->detail, &pinning.pinned);
    *ret_len =
        dns_reply_write_addresses(query, own->addrs, own->n, DNS_LOCAL_TTL_S, dst, room_of(ticket));
    return DNS_REPLY;
}

/* Spends the question, which is about to leave, where its name has a budget. Returns whether that
 * is within it; when not, it was told. */
static bool spend(struct dns_server *server, const struct dns_ticket *ticket, uint64_t now_ns)
{
    const ln_policy *policy = server->admission->policy;
    const ln_dns_budget *limits = &ln_policy_settings(policy)->dns_budget;
    const ln_rule *rule =
        ticket->decision.rule == 0 ? NULL : ln_policy_rule(policy, ticket->decision.rule);
    bool by_suffix = rule != NULL && rule->destination.kind == LN_DEST_SUFFIX;
    if (server->budget == NULL || limits->scope == LN_BUDGET_NONE ||
        (limits->scope == LN_BUDGET_SUFFIX_RULES && !by_suffix)) {
        return true;
    }
    const char *domain =
        dns_budget_domain(ticket->query.question.name, by_suffix ? rule->destination.name : NULL);
    enum dns_spending spending =
        dns_budget_spend(server->budget, limits, domain, &ticket->query.question, now_ns);
    if (spending == DNS_OVER_NOW) {
        ln_event event = {
            .kind = LN_EVENT_LIMIT,
            .protocol = ln_protocol_name(ticket->asker.transport),
            .src = &ticket->asker.guest,
            .name = domain,
            .reason = "dns_budget",
            .detail = "more is asked about this domain than dns.budget gives for a minute",
            .count = 1,
        };
        events_tell(server->admission->events, &event);
    }
    return spending == DNS_WITHIN;
}

/* What no policy has a say in: 0, or the response code with *ret_reason. */
static unsigned check_form(const struct dns_query *query, int rcode, const char **ret_reason)
{
    switch (rcode) {
    case DNS_FORMERR:
        *ret_reason = "formerr";
        return DNS_FORMERR;
    case DNS_NOTIMP:
        *ret_reason = "notimp";
        return DNS_NOTIMP;
    case DNS_BADVERS:
        *ret_reason = "badvers";
        return DNS_BADVERS;
    default:
        break;
    }
    if (query->question.class_ != DNS_CLASS_IN) {
        *ret_reason = "refused";
        return DNS_REFUSED;
    }
    return dns_server_refuses(query->question.name, query->question.type, ret_reason);
}

/* ---- the cache ---- */

/* What an answer depends on is what leaves; which resolver is asked depends on the name. */
static size_t cache_key(const struct dns_ticket *ticket, uint8_t dst[DNS_SMALL_MAX])
{
    return dns_query_write(&ticket->query, 0, dst);
}

static void keep(struct dns_server *server, const struct dns_ticket *ticket,
                 const struct dns_answer *answer, const uint8_t *msg, size_t len, uint64_t now_ns)
{
    uint8_t key[DNS_SMALL_MAX];
    uint32_t ttl_s = dns_answer_ttl(answer);
    /* What the resolvers of another policy said is nothing for those who ask now. */
    bool current = ticket->policy == server->admission->policy;
    if (server->cache != NULL && !ticket->named && current && ttl_s > 0) {
        dns_cache_put(server->cache, key, cache_key(ticket, key), msg, len, ttl_s, now_ns);
    }
}

/* Returns whether the cache had the answer, and so *ret_len the reply's length. */
static bool answer_from_cache(struct dns_server *server, struct dns_ticket *ticket, uint64_t now_ns,
                              uint8_t *dst, size_t *ret_len)
{
    uint8_t key[DNS_SMALL_MAX];
    size_t len;
    uint32_t age_s;
    struct dns_answer *answer;
    if (server->cache == NULL || ticket->named) {
        return false;
    }
    const uint8_t *msg =
        dns_cache_get(server->cache, key, cache_key(ticket, key), now_ns, &len, &age_s);
    if (msg == NULL || dns_answer_read(&ticket->query, msg, len, &answer) < 0) {
        return false;
    }
    ticket->cached = true;
    dns_answer_age(answer, age_s);
    *ret_len = take_answer(server, ticket, answer, now_ns, dst);
    dns_answer_free(answer);
    return true;
}

/* ---- queries, all gates ---- */

enum dns_step dns_server_query(struct dns_server *server, const struct dns_asker *asker,
                               const uint8_t *msg, size_t len, uint64_t now_ns,
                               struct dns_ticket *ret_ticket, uint8_t dst[DNS_MESSAGE_MAX],
                               size_t *ret_len)
{
    const struct admission *admission = server->admission;
    const struct dns_query *query = &ret_ticket->query;
    int parsed = dns_query_parse(msg, len, &ret_ticket->query);
    if (parsed < 0) {
        return DNS_DROP;
    }
    ret_ticket->asker = *asker;
    ret_ticket->pinned = true;
    ret_ticket->cached = false;
    ret_ticket->named = !link_is_gateway(server->link, &asker->resolver);
    const char *reason;
    unsigned rcode = check_form(query, parsed, &reason);
    if (rcode != DNS_NOERROR) {
        return refuse(server, ret_ticket, rcode, &no_rule, reason, dst, ret_len);
    }
    if (server->closed) {
        return refuse(server, ret_ticket, DNS_NXDOMAIN, &no_rule, "budget", dst, ret_len);
    }
    ln_decision *decision = &ret_ticket->decision;
    ln_dns_answer on_dns;
    judge_name(server, ret_ticket, &on_dns);
    admission->hits[decision->rule]++;
    if (decision->action != LN_ALLOW) {
        return refuse(server, ret_ticket, DNS_NXDOMAIN, decision, NULL, dst, ret_len);
    }
    if (ret_ticket->named) {
        ln_decision flow;
        judge_resolver(server, ret_ticket, now_ns, &flow);
        admission->hits[flow.rule]++;
        if (flow.action != LN_ALLOW) {
            return refuse(server, ret_ticket, DNS_NXDOMAIN, &flow, "resolver", dst, ret_len);
        }
    }
    struct own_name own;
    ln_addr gateway[2];
    if (on_dns.n_addrs > 0) {
        own = (struct own_name){on_dns.addrs, on_dns.n_addrs, "on_dns answered"};
        return answer_own(server, ret_ticket, now_ns, &own, dst, ret_len);
    }
    if (find_own(server, query->question.name, gateway, &own)) {
        return answer_own(server, ret_ticket, now_ns, &own, dst, ret_len);
    }
    if (!is_routable(server, query->question.type)) {
        tell_answered(server, ret_ticket, "no route for this family", NULL);
        *ret_len = dns_reply_write(query, DNS_NOERROR, false, dst);
        return DNS_REPLY;
    }
    if (answer_from_cache(server, ret_ticket, now_ns, dst, ret_len)) {
        return DNS_REPLY;
    }
    if (server->in_flight >= ln_policy_settings(admission->policy)->limits.dns_in_flight) {
        server->over_limit++;
        *ret_len = dns_reply_write(query, DNS_SERVFAIL, false, dst);
        return DNS_REPLY;
    }
    if (!spend(server, ret_ticket, now_ns)) {
        return refuse(server, ret_ticket, DNS_NXDOMAIN, decision, "budget", dst, ret_len);
    }
    server->in_flight++;
    ret_ticket->policy = ln_policy_ref(admission->policy);
    return DNS_ASK;
}

/* ---- tickets that come back ---- */

static bool is_truncated(const uint8_t *msg, size_t len)
{
    return len >= DNS_HEADER_LEN && (get_be16(msg + 2) & DNS_FLAG_TC) != 0;
}

/* Takes a ticket back, whose policy is then only to be compared. If the policy is another by now,
 * it decides. Returns whether the question is allowed; it is told when not. */
static bool take_back(struct dns_server *server, struct dns_ticket *ticket)
{
    bool current = ticket->policy == server->admission->policy;
    server->in_flight--;
    ln_policy_unref(ticket->policy);
    if (current) {
        return true;
    }
    judge_name(server, ticket, NULL);
    if (ticket->decision.action != LN_ALLOW) {
        tell(server, ticket, LN_EVENT_DNS_DENIED, &ticket->decision, NULL, NULL, NULL);
    }
    return ticket->decision.action == LN_ALLOW;
}

size_t dns_server_answer(struct dns_server *server, struct dns_ticket *ticket, const uint8_t *msg,
                         size_t len, uint64_t now_ns, uint8_t dst[DNS_MESSAGE_MAX])
{
    if (!take_back(server, ticket)) {
        return dns_reply_write(&ticket->query, DNS_NXDOMAIN, false, dst);
    }
    if (is_truncated(msg, len)) {
        tell_answered(server, ticket, "truncated", NULL);
        return dns_reply_write(&ticket->query, DNS_NOERROR, true, dst);
    }
    struct dns_answer *answer;
    int r = dns_answer_read(&ticket->query, msg, len, &answer);
    if (r < 0) {
        const char *why = r == -ENOMEM ? "out of memory" : "the answer is malformed";
        return fail(server, ticket, why, dst);
    }
    keep(server, ticket, answer, msg, len, now_ns);
    size_t reply = take_answer(server, ticket, answer, now_ns, dst);
    dns_answer_free(answer);
    return reply;
}

size_t dns_server_fail(struct dns_server *server, struct dns_ticket *ticket, const char *why,
                       uint8_t dst[DNS_SMALL_MAX])
{
    if (!take_back(server, ticket)) {
        return dns_reply_write(&ticket->query, DNS_NXDOMAIN, false, dst);
    }
    return fail(server, ticket, why, dst);
}

void dns_server_cancel(struct dns_server *server, struct dns_ticket *ticket)
{
    if (take_back(server, ticket)) {
        tell_answered(server, ticket, "the asker is gone", NULL);
    }
}
