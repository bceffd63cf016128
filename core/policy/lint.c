/* From what each rule brings about to what is worth telling. */
#include "policy/lint.h"

#include <errno.h>
#include <libpsl.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "policy/name_pattern.h"

struct linter {
    struct lint *lint;
    const ln_policy *policy;
    struct survey survey;
    uint32_t *dead;                /* rules that decide no connection, from 0 */
    struct swallowers *swallowers; /* of each of them */
    uint32_t n_dead;
    size_t room;
    bool failed; /* out of memory; findings then go nowhere */
    struct lint_finding nowhere;
};

const char *lint_severity_name(enum lint_severity severity)
{
    return severity == LINT_NOTE ? "note" : "warning";
}

/* `rule` counts from 1; 0: the policy. */
static struct lint_finding *tell(struct linter *l, const char *code, enum lint_severity severity,
                                 uint32_t rule, const char *why, const char *mend)
{
    struct lint *lint = l->lint;
    if (lint->n_findings == l->room) {
        size_t room = l->room == 0 ? 16 : 2 * l->room;
        struct lint_finding *bigger = reallocarray(lint->findings, room, sizeof(*bigger));
        lint->findings = bigger != NULL ? bigger : lint->findings;
        l->room = bigger != NULL ? room : l->room;
    }
    if (lint->n_findings == l->room || why == NULL) {
        l->failed = true;
        return &l->nowhere;
    }
    struct lint_finding *finding = &lint->findings[lint->n_findings++];
    *finding = (struct lint_finding){
        .code = code, .severity = severity, .rule = rule, .why = why, .mend = mend};
    lint->n_warnings += severity == LINT_WARNING;
    return finding;
}

/* ---- rules that decide less than they say ---- */

static const char *name_others(struct linter *l, const struct swallowers *s)
{
    char buffer[SWALLOWERS_MAX * 12 + 64];
    struct text text = text_of(buffer, sizeof(buffer));
    text_puts(&text, s->n == 1 && !s->more ? "rule" : "rules");
    for (uint32_t i = 0; i < s->n; i++) {
        const char *comma = i == 0 ? "" : i + 1 == s->n && !s->more ? " and" : ",";
        text_printf(&text, "%s %u", comma, (unsigned)s->rules[i] + 1);
    }
    text_puts(&text, s->more ? " and others" : "");
    return arena_strndup(&l->lint->arena, buffer, strlen(buffer));
}

static bool are_lists(const struct linter *l, const struct swallowers *s)
{
    bool all = s->n > 0 && !s->more;
    for (uint32_t i = 0; i < s->n; i++) {
        all &= l->policy->plan.rules[s->rules[i]].deny_list;
    }
    return all;
}

static const char *what_is_left(unsigned decides)
{
    if ((decides & SURVEY_QUERY) != 0) {
        return "it decides DNS queries alone";
    }
    return (decides & SURVEY_ANSWER) != 0 ? "it decides alone which addresses DNS answers may give"
                                          : "it decides alone about names in a chain of CNAMEs";
}

static void lint_dead(struct linter *l, uint32_t rule, const struct swallowers *s)
{
    struct arena *arena = &l->lint->arena;
    const ln_rule *it = &l->policy->plan.rules[rule];
    unsigned decides = l->survey.decides[rule];
    if (s->never && it->action == LN_ALLOW) {
        tell(l, "never-opened", LINT_WARNING, rule + 1,
             "no policy can open loopback, unspecified, broadcast and reserved addresses",
             "remove it; services of this machine are reached at the gateway, by the group host");
        return;
    }
    if (s->nothing) {
        if ((decides & SURVEY_NEEDED) == 0) {
            tell(l, "matches-nothing", s->never ? LINT_NOTE : LINT_WARNING, rule + 1,
                 s->never ? "no connection to these addresses gets as far as the rules"
                          : "its protocols and its addresses do not occur together",
                 s->never ? "remove it, unless it is there for the reader"
                          : "give it the protocol of its family of addresses");
        }
        return;
    }
    const char *others = name_others(l, s);
    struct lint_finding *finding;
    bool one = s->n == 1 && !s->more;
    if (others == NULL) {
        l->failed = true;
        return;
    }
    if (it->action == LN_ALLOW && are_lists(l, s)) {
        finding =
            tell(l, "denied-by-list", LINT_WARNING, rule + 1,
                 arena_printf(arena, "the deny list (%s) comes first and denies all of it", others),
                 "take the name off the list, or remove the rule");
    } else if ((decides & SURVEY_CONNECTION) != 0) {
        finding = tell(l, "claims-only", LINT_WARNING, rule + 1,
                       arena_printf(arena,
                                    "%s before it match%s all that it matches, but for clients "
                                    "that show a name which they did not resolve",
                                    others, one ? "es" : ""),
                       "put it first");
    } else if ((decides & SURVEY_NEEDED) == 0) {
        finding = tell(l, "never-decides", LINT_WARNING, rule + 1,
                       arena_printf(arena, "%s before it match%s all that it matches%s", others,
                                    one ? "es" : "", one ? "" : ", together"),
                       "put it first, or remove it");
    } else {
        bool meant = (decides & (SURVEY_QUERY | SURVEY_ANSWER)) != 0;
        finding = tell(l, "decides-no-connection", meant ? LINT_NOTE : LINT_WARNING, rule + 1,
                       arena_printf(arena, "%s before it match%s all its connections; %s", others,
                                    one ? "es" : "", what_is_left(decides)),
                       "put it first if connections are meant");
    }
    finding->n_others = s->n;
    finding->more_others = s->more;
    for (uint32_t i = 0; i < s->n; i++) {
        finding->others[i] = s->rules[i] + 1;
    }
}

/* ---- rules by themselves ---- */

static bool allows_egress(const ln_rule *rule)
{
    return rule->action == LN_ALLOW && rule_has_direction(rule, LN_EGRESS);
}

static bool has_tcp_or_udp(const ln_rule *rule)
{
    return rule_has_protocol(rule, LN_TCP) || rule_has_protocol(rule, LN_UDP);
}

static void lint_name(struct linter *l, uint32_t rule, const ln_rule *it)
{
    bool ingress = !rule_has_direction(it, LN_EGRESS);
    if (ingress || !rule_has_protocol(it, LN_TCP)) {
        tell(l, "pins-alone", LINT_NOTE, rule + 1,
             ingress ? "a peer shows no name: the rule matches every peer at an address that the "
                       "guest has resolved this name to"
                     : "no name is shown over UDP and ICMP: the rule matches whatever lies at an "
                       "address that this name was resolved to",
             "write addresses if they are what is meant");
    }
    const psl_ctx_t *list = psl_builtin();
    if (allows_egress(it) && it->destination.kind == LN_DEST_SUFFIX && list != NULL &&
        psl_is_public_suffix2(list, it->destination.name, PSL_TYPE_ANY | PSL_TYPE_NO_STAR_RULE) !=
            0) {
        tell(l, "public-suffix", LINT_WARNING, rule + 1,
             arena_printf(&l->lint->arena,
                          "names below %s belong to many parties (Public Suffix List)",
                          it->destination.name),
             "allow the names that are needed");
    }
}

/* ---- rules about requests ---- */

static bool is_bypassed(const ln_tls_settings *tls, const ln_destination *to)
{
    for (size_t i = 0; i < tls->n_bypass; i++) {
        const ln_name_pattern *pattern = &tls->bypass[i];
        bool same = strcmp(pattern->name, to->name) == 0;
        /* All that a suffix holds is below one that is the same or above. */
        if (pattern->below
                ? name_is_below(to->name, pattern->name) || (same && to->kind == LN_DEST_SUFFIX)
                : same && to->kind == LN_DEST_DOMAIN) {
            return true;
        }
    }
    return false;
}

static bool has_intercepted_port(const ln_tls_settings *tls, const ln_rule *rule)
{
    size_t i = 0;
    while (i < tls->n_ports && !rule_has_port(rule, LN_TCP, tls->ports[i])) {
        i++;
    }
    return i < tls->n_ports;
}

static void lint_requests(struct linter *l, uint32_t rule, const ln_rule *it)
{
    const ln_tls_settings *tls = &l->policy->plan.settings.tls;
    if (!tls->intercept) {
        return; /* the rule has ports, and a mistake where one of them is for HTTPS */
    }
    if (!has_intercepted_port(tls, it)) {
        tell(l, "requests-unseen", LINT_WARNING, rule + 1,
             "its ports are not intercepted: it sees requests of plain HTTP alone, and whatever is "
             "not matches no rule about requests",
             "add its ports to tls.intercepted_ports, unless plain HTTP is meant");
    } else if (rule_is_by_name(it) && is_bypassed(tls, &it->destination)) {
        tell(l, "requests-bypassed", LINT_WARNING, rule + 1,
             "tls.bypass leaves connections to this name alone: their requests are not seen",
             "take the name off tls.bypass, or allow the connection as a whole");
    }
}

static void lint_rule(struct linter *l, uint32_t rule)
{
    const ln_rule *it = &l->policy->plan.rules[rule];
    unsigned decides = l->survey.decides[rule];
    bool by_address =
        it->destination.kind != LN_DEST_GROUP || it->destination.group != LN_GROUP_HOST;
    if ((decides & SURVEY_BEYOND_HOST) == 0 && by_address) {
        tell(l, "own-addresses-only", LINT_NOTE, rule + 1,
             "rules before it match all that it matches, but for addresses of this machine itself, "
             "which are of the group host alone",
             "write host if that is meant, else remove it");
    } else if ((decides & SURVEY_NEEDED_BEYOND_HOST) == 0 && by_address) {
        tell(l, "changes-nothing", LINT_NOTE, rule + 1,
             (decides & SURVEY_NEEDED) == 0
                 ? "later rules or the default decide the same wherever it decides"
                 : "later rules or the default decide the same wherever it decides, but for "
                   "addresses of this machine itself",
             "remove it, unless it is there for the reader");
    }
    if (rule_is_by_name(it)) {
        lint_name(l, rule, it);
    }
    if (it->http != NULL) {
        lint_requests(l, rule, it);
    }
    if (allows_egress(it) && !by_address && it->n_ports == 0 && has_tcp_or_udp(it)) {
        tell(l, "host-all-ports", LINT_WARNING, rule + 1,
             "every service that listens on this machine's loopback is open to the guest",
             "give it the ports that are needed");
    }
}

/* ---- the policy as a whole ---- */

/* The first rule that allows something of the guest's, from 1 on, or 0. */
static uint32_t first_allow(const struct linter *l)
{
    uint32_t n = (uint32_t)l->policy->plan.n_rules;
    for (uint32_t i = 0; i < n; i++) {
        if (allows_egress(&l->policy->plan.rules[i]) &&
            (l->survey.decides[i] & SURVEY_CONNECTION) != 0) {
            return i + 1;
        }
    }
    return 0;
}

/* `rule` from 1 on, or 0: the default. */
static void lint_allow_all(struct linter *l, uint32_t rule)
{
    if (!l->survey.egress_closed && l->policy->plan.settings.on_connect == 0) {
        tell(l, "allow-all", rule == 0 ? LINT_NOTE : LINT_WARNING, rule,
             "nothing of the guest's TCP and UDP is refused, this machine aside",
             rule == 0 ? "deny by default and allow what is needed"
                       : "allow what is needed, or say default_egress = \"allow\" to be plain");
    }
}

static void lint_policy(struct linter *l)
{
    const ln_settings *settings = &l->policy->plan.settings;
    const ln_rule *rules = l->policy->plan.rules;
    bool by_address = false;
    bool broad = false;
    for (uint32_t i = 0; i < l->policy->plan.n_rules; i++) {
        ln_destination to = rules[i].destination;
        if (allows_egress(&rules[i]) && has_tcp_or_udp(&rules[i]) && !rule_is_by_name(&rules[i]) &&
            (l->survey.decides[i] & SURVEY_CONNECTION) != 0) {
            by_address = true;
            broad |= to.kind != LN_DEST_PREFIX &&
                     (to.kind != LN_DEST_GROUP || to.group == LN_GROUP_PUBLIC);
        }
    }
    if (by_address && !l->survey.query_open && settings->on_dns == 0) {
        tell(l, "addresses-without-dns", broad ? LINT_WARNING : LINT_NOTE, 0,
             "addresses are allowed, but no name can be asked for: the guest has to know them",
             "add lunette.allow_dns(), or allow names");
    }
    if (first_allow(l) == 0 && settings->default_egress != LN_ALLOW && settings->on_connect == 0 &&
        settings->on_dns == 0) {
        tell(l, "denies-all", LINT_NOTE, 0,
             "no rule allows egress: everything outgoing is denied, DNS included",
             "add rules, or start from the preset public-only");
    }
}

/* ---- secrets ---- */

/* Whether a name may be of both. */
static bool overlap(const ln_destination *to, const ln_name_pattern *pattern)
{
    bool suffix = to->kind == LN_DEST_SUFFIX;
    return (suffix == pattern->below && strcmp(to->name, pattern->name) == 0) ||
           (suffix && name_is_below(pattern->name, to->name)) ||
           (pattern->below && name_is_below(to->name, pattern->name));
}

/* Whether it is about DNS alone, as lunette.allow_dns() is. */
static bool is_dns(const ln_rule *rule)
{
    return rule->n_ports == 1 && rule->ports[0].first == 53 && rule->ports[0].last == 53;
}

/* Whether some rule may open a connection to a host of the pattern; by address, any may. */
static bool may_be_opened(const ln_policy *policy, const ln_name_pattern *pattern)
{
    const ln_settings *settings = &policy->plan.settings;
    bool open = settings->default_egress == LN_ALLOW || settings->on_connect != 0;
    for (size_t i = 0; i < policy->plan.n_rules && !open; i++) {
        const ln_rule *rule = &policy->plan.rules[i];
        open = allows_egress(rule) && rule_has_protocol(rule, LN_TCP) && !is_dns(rule) &&
               (!rule_is_by_name(rule) || overlap(&rule->destination, pattern));
    }
    return open;
}

static void lint_secret(struct linter *l, const ln_secret *secret)
{
    for (size_t i = 0; i < secret->n_hosts; i++) {
        const ln_name_pattern *host = &secret->hosts[i];
        if (!may_be_opened(l->policy, host)) {
            char buffer[LN_NAME_MAX + 128];
            struct text text = text_of(buffer, sizeof(buffer));
            text_printf(&text, "%s may go to %s%s, which no rule allows", secret->origin,
                        host->below ? "*." : "", host->name);
            tell(l, "secret-unreachable", LINT_WARNING, 0,
                 arena_strndup(&l->lint->arena, buffer, strlen(buffer)),
                 "allow the host, or take it off allow_hosts");
        }
    }
}

/* ---- all of it ---- */

static int find_dead(struct linter *l)
{
    struct arena *arena = &l->lint->arena;
    uint32_t n = (uint32_t)l->policy->plan.n_rules;
    l->dead = arena_array(arena, n, sizeof(*l->dead));
    if (l->dead == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++) {
        if ((l->survey.decides[i] & SURVEY_GENUINE) == 0) {
            l->dead[l->n_dead++] = i;
        }
    }
    l->swallowers = arena_array(arena, l->n_dead, sizeof(*l->swallowers));
    return l->swallowers == NULL ? -ENOMEM
                                 : survey_swallowers(&l->survey, l->dead, l->n_dead, l->swallowers);
}

static int lint_all(struct linter *l)
{
    int r = find_dead(l);
    if (r < 0) {
        return r;
    }
    uint32_t dead = 0;
    bool by_default = l->policy->plan.settings.default_egress == LN_ALLOW;
    uint32_t opener = by_default ? 0 : first_allow(l);
    for (uint32_t i = 0; i < l->policy->plan.n_rules; i++) {
        if (i + 1 == opener) {
            lint_allow_all(l, opener);
        }
        if (dead < l->n_dead && l->dead[dead] == i) {
            lint_dead(l, i, &l->swallowers[dead++]);
        } else {
            lint_rule(l, i);
        }
    }
    if (opener == 0) {
        lint_allow_all(l, 0);
    }
    lint_policy(l);
    for (size_t i = 0; i < l->policy->plan.settings.n_secrets; i++) {
        lint_secret(l, &l->policy->plan.settings.secrets[i]);
    }
    return l->failed ? -ENOMEM : 0;
}

int lint_make(struct lint *lint, const ln_policy *policy)
{
    *lint = (struct lint){0};
    struct linter l = {.lint = lint, .policy = policy};
    int r = survey_make(&l.survey, policy);
    if (r == 0) {
        r = lint_all(&l);
        survey_free(&l.survey);
    }
    if (r < 0) {
        lint_free(lint);
    }
    return r;
}

void lint_free(struct lint *lint)
{
    free(lint->findings);
    arena_free(&lint->arena);
    *lint = (struct lint){0};
}
