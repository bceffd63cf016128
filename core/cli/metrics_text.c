/* The counters of a gateway in the text format of Prometheus (version 0.0.4). Names and labels are
 * stable. */
#include "cli/metrics_text.h"

#include <inttypes.h>

#include "net/gateway.h"

/* ---- lines ---- */

static void start(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP lunette_%s %s\n# TYPE lunette_%s %s\n", name, help, name, type);
}

static void number(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
    start(out, name, type, help);
    fprintf(out, "lunette_%s %" PRIu64 "\n", name, value);
}

/* The text of a label: backslash, quote and newline are escaped; other control characters would be
 * for a terminal. */
static void put_label(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            fputs("\\n", out);
        } else {
            if (*text == '"' || *text == '\\') {
                fputc('\\', out);
            }
            fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, out);
        }
    }
}

static void by_direction(FILE *out, const char *name, const char *help, uint64_t egress,
                         uint64_t ingress)
{
    start(out, name, "counter", help);
    fprintf(out,
            "lunette_%s{direction=\"egress\"} %" PRIu64
            "\nlunette_%s{direction=\"ingress\"} %" PRIu64 "\n",
            name, egress, name, ingress);
}

/* ---- what there is to tell ---- */

static void write_traffic(FILE *out, const ln_gateway *gw, const ln_stats *stats)
{
    const ln_settings *settings = ln_policy_settings(ln_gateway_policy(gw));
    by_direction(out, "frames_total", "Ethernet frames from the guest and to it.", stats->frames_in,
                 stats->frames_out);
    by_direction(out, "frame_bytes_total", "Bytes of these frames.", stats->frame_bytes_in,
                 stats->frame_bytes_out);
    by_direction(out, "payload_bytes_total", "Payload of flows and DNS, as budgets count it.",
                 stats->bytes_out, stats->bytes_in);
    start(out, "budget_bytes", "gauge", "What the policy's budget gives, where it has one.");
    if (settings->egress_budget != 0) {
        fprintf(out, "lunette_budget_bytes{direction=\"egress\"} %" PRIu64 "\n",
                settings->egress_budget);
    }
    if (settings->ingress_budget != 0) {
        fprintf(out, "lunette_budget_bytes{direction=\"ingress\"} %" PRIu64 "\n",
                settings->ingress_budget);
    }
    number(out, "budget_used_up", "gauge", "1 once a budget is used up: all is denied.",
           stats->used_up);
}

static void write_flows(FILE *out, const ln_gateway *gw, const ln_stats *stats)
{
    number(out, "flows_opened_total", "counter", "Flows that were allowed.", stats->flows_opened);
    number(out, "flows_denied_total", "counter", "Flows that were refused.", stats->flows_denied);
    number(out, "flows_evicted_total", "counter", "Flows that made room for others.",
           stats->flows_evicted);
    number(out, "flows", "gauge", "Flows now.", stats->flows_now);
    number(out, "flows_half_open", "gauge", "Flows of them that are not open yet.",
           stats->half_open_now);
    number(out, "udp_sockets", "gauge", "Sockets for UDP now.", stats->udp_sockets_now);
    number(out, "dns_queries_total", "counter", "DNS queries answered or refused.",
           stats->dns_queries);
    number(out, "dns_denied_total", "counter", "DNS queries of them that were refused.",
           stats->dns_denied);
    number(out, "pinned_names", "gauge", "Names that the guest has resolved.",
           ln_pins_count(gw->admission.pins));
}

static void write_tls(FILE *out, const ln_stats *stats)
{
    start(out, "tls_handshakes_total", "counter",
          "TLS handshakes completed, with the guest and with servers, full and resumed.");
    const struct {
        const char *labels;
        uint64_t value;
    } handshakes[] = {
        {"side=\"guest\",kind=\"full\"", stats->tls_guest_full},
        {"side=\"guest\",kind=\"resumed\"", stats->tls_guest_resumed},
        {"side=\"server\",kind=\"full\"", stats->tls_server_full},
        {"side=\"server\",kind=\"resumed\"", stats->tls_server_resumed},
    };
    for (size_t i = 0; i < sizeof(handshakes) / sizeof(handshakes[0]); i++) {
        fprintf(out, "lunette_tls_handshakes_total{%s} %" PRIu64 "\n", handshakes[i].labels,
                handshakes[i].value);
    }
    number(out, "tls_failed_total", "counter", "TLS handshakes and sessions that failed.",
           stats->tls_failed);
}

static void write_reasons(FILE *out, const ln_gateway *gw, const ln_stats *stats)
{
    const char *name;
    start(out, "drops_total", "counter", "Frames and datagrams that were dropped, by reason.");
    for (unsigned i = 1; (name = ln_drop_name(i)) != NULL; i++) {
        fprintf(out, "lunette_drops_total{reason=\"%s\"} %" PRIu64 "\n", name, stats->drops[i]);
    }
    start(out, "events_total", "counter", "Events, told or lost, by kind.");
    for (unsigned i = 0; i < LN_EVENT_KINDS; i++) {
        fprintf(out, "lunette_events_total{kind=\"%s\"} %" PRIu64 "\n", ln_event_kind_name(i),
                gw->events.counts[i]);
    }
    number(out, "events_lost_total", "counter", "Events that the log did not take in time.",
           stats->events_lost);
}

static void write_rules(FILE *out, const ln_gateway *gw)
{
    const ln_policy *policy = ln_gateway_policy(gw);
    size_t n = ln_policy_rule_count(policy);
    number(out, "rules", "gauge", "Rules of the policy in force.", n);
    start(out, "rule_hits_total", "counter",
          "Flows and queries that each rule decided since the policy was loaded; rule 0: the "
          "defaults.");
    for (uint32_t i = 0; i <= n && i <= METRICS_RULES_MAX; i++) {
        const ln_rule *rule = i == 0 ? NULL : ln_policy_rule(policy, i);
        fprintf(out, "lunette_rule_hits_total{rule=\"%" PRIu32 "\",source=\"", i);
        if (rule != NULL && rule->file != NULL) {
            put_label(out, rule->file);
            fprintf(out, ":%d", rule->line);
        }
        fprintf(out, "\"} %" PRIu64 "\n", ln_gateway_rule_hits(gw, i));
    }
}

void metrics_write(const ln_gateway *gw, const char *policy, uint32_t slot, FILE *out)
{
    ln_stats stats;
    ln_gateway_stats(gw, &stats);
    start(out, "info", "gauge", "Always 1; its labels say who this is.");
    fputs("lunette_info{version=\"" LUNETTE_VERSION "\",policy=\"", out);
    put_label(out, policy);
    fprintf(out, "\",slot=\"%" PRIu32 "\"} 1\n", slot);
    write_traffic(out, gw, &stats);
    write_flows(out, gw, &stats);
    write_tls(out, &stats);
    write_reasons(out, gw, &stats);
    write_rules(out, gw);
}
