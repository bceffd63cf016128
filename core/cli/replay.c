/* `lunette replay`: what another policy would have said about recorded flows and queries.
 *
 * Theory of operation. Events are taken in their order. A query that the new policy allows pins the
 * addresses that its answer had, as the gateway would, but for ever; so a flow is judged with the
 * names that were known by then. What no policy decided (a malformed query, a hello that could not
 * be read) and what a recording cannot tell (the aliases of an answer) is counted, not judged. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/host.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/record.h"
#include "cli/show.h"
#include "dns/server.h"
#include "net/addressing.h"

static int replay_main(int argc, char **argv);

const struct command command_replay = {
    .name = "replay",
    .synopsis = "[--all] [--json] EVENTS POLICY",
    .summary = "judges recorded flows, queries and requests by another policy",
    .help =
        "EVENTS is what `run --events FILE` wrote; -: standard input. Those that POLICY judges\n"
        "otherwise are shown, with what decides, and how many they are. The addresses that\n"
        "names had are those of the recording. Headers of requests are not recorded: rules about\n"
        "them do not match.\n"
        "Exit status: 0 nothing changes, 1 something does, 2 an error.\n\n"
        "  --all   show every one, not only what changes\n"
        "  --json  one JSON object for each, a line each; the last one has the counts\n"
        "  --help  print this\n",
    .main = replay_main,
};

enum {
    NAMES_MAX = 65536,
    ADDRESSES_MAX = 64, /* of a name */
    GATEWAY4 = 0,       /* in `host_addrs` */
    GATEWAY6 = 1,
    ACTIONS = LN_DEFER
};

struct replay {
    bool all, as_json;
    const char *path;
    ln_policy *policy;
    ln_pins *pins;
    ln_addr *host_addrs;
    ln_host_addrs host;
    struct arena arena; /* of one event */
    uint64_t line, judged, unjudged, changed;
    uint64_t changes[ACTIONS][ACTIONS]; /* from, to */
};

/* ---- judging ---- */

/* The addresses of the recorded gateway follow from those of its guest (see addressing_assign()):
 * the first of the /30 or /64. Other sources, link-local ones, tell nothing. */
static void learn_gateway(struct replay *replay, const ln_addr *guest)
{
    if (ln_addr_is_v4(guest)) {
        replay->host_addrs[GATEWAY4] = ln_addr_v4((ln_addr_to_v4(guest) & ~UINT32_C(3)) + 1);
    } else if (guest->bytes[0] != 0xfe) {
        ln_addr gateway = {.bytes = {[15] = 1}};
        memcpy(gateway.bytes, guest->bytes, 8);
        replay->host_addrs[GATEWAY6] = gateway;
    }
}

static void judge_connection(const struct replay *replay, const struct record *record,
                             bool name_shown, ln_decision *ret)
{
    ln_query query = {
        .direction = record->direction,
        .protocol = record->protocol,
        .address = record->direction == LN_EGRESS ? record->dst : record->src,
        .port = record->port,
        .name_state = name_shown ? LN_NAME_SHOWN : LN_NAME_NONE,
        .claimed = name_shown ? record->name : NULL,
    };
    ln_policy_evaluate(replay->policy, replay->pins, &replay->host, &query, ret, NULL);
}

/* Whether a policy said so. */
static bool is_verdict(const struct record *record)
{
    static const char *const others[] = {"no_name", "resolver"};
    for (unsigned i = 0; i < LN_REASONS; i++) {
        if (strcmp(record->reason, ln_reason_name((ln_reason)i)) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(record->reason, others[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Returns whether it can be judged. Its flow, which was recorded before, has pinned the name. */
static int judge_request(const struct replay *replay, const struct record *record, ln_decision *ret)
{
    if (record->direction != LN_EGRESS || record->protocol != LN_TCP) {
        return false;
    }
    ln_http_request request = {
        .method = record->method,
        .method_len = strlen(record->method),
        .path = record->path,
        .path_len = strlen(record->path),
    };
    bool named = ln_name_is_canonical(record->name);
    ln_query query = {
        .protocol = LN_TCP,
        .address = record->dst,
        .port = record->port,
        .name_state = named ? LN_NAME_SHOWN : LN_NAME_NONE,
        .claimed = named ? record->name : NULL,
        .http_state = LN_HTTP_REQUEST,
        .request = &request,
    };
    ln_policy_evaluate(replay->policy, replay->pins, &replay->host, &query, ret, NULL);
    return is_verdict(record);
}

static int pin(struct replay *replay, const char *name, const ln_addr *addr)
{
    int r = ln_pins_add(replay->pins, name, addr, 0, UINT64_MAX);
    return r == -ENOMEM ? r : 0;
}

/* Returns whether it can be judged, or -ENOMEM. */
static int judge_flow(struct replay *replay, const struct record *record, ln_decision *ret)
{
    bool named = ln_name_is_canonical(record->name);
    if (record->direction == LN_EGRESS) {
        learn_gateway(replay, &record->src);
        int r = named && !record->name_shown ? pin(replay, record->name, &record->dst) : 0;
        if (r < 0) {
            return r;
        }
    }
    if (!is_verdict(record) || (record->name_shown && !named)) {
        return false;
    }
    judge_connection(replay, record, record->name_shown, ret);
    return true;
}

/* The first of the answer's addresses that may not be given decides. */
static void judge_answer(const struct replay *replay, const struct record *record, ln_decision *ret)
{
    for (size_t i = 0; i < record->n_addresses && ret->action == LN_ALLOW; i++) {
        ln_decision answer;
        ln_policy_evaluate_answer(replay->policy, &replay->host, &record->addresses[i], &answer);
        *ret = answer.action == LN_ALLOW ? *ret : answer;
    }
}

static int judge_query(struct replay *replay, const struct record *record, ln_decision *ret)
{
    learn_gateway(replay, &record->src);
    if (!ln_name_is_canonical(record->name)) {
        return false;
    }
    ln_dns_query query = {
        .name = record->name,
        .type = record->type != NULL ? record->type : "A",
        .transport = record->protocol,
    };
    ln_dns_answer answer;
    ln_policy_evaluate_query(replay->policy, &query, ret, &answer, NULL);
    if (strcmp(record->reason, "alias") == 0) {
        return ret->action != LN_ALLOW; /* of which name is not recorded */
    }
    if (!is_verdict(record)) {
        return false;
    }
    bool elsewhere = !ln_addr_equal(&record->dst, &replay->host_addrs[GATEWAY4]) &&
                     !ln_addr_equal(&record->dst, &replay->host_addrs[GATEWAY6]);
    if (ret->action == LN_ALLOW && elsewhere) {
        judge_connection(replay, record, false, ret);
    }
    if (answer.n_addrs == 0 && !dns_server_is_own_name(replay->policy, record->name)) {
        judge_answer(replay, record, ret);
    }
    int r = 0;
    for (size_t i = 0; i < record->n_addresses && ret->action == LN_ALLOW && r == 0; i++) {
        r = pin(replay, record->name, &record->addresses[i]);
    }
    return r < 0 ? r : true;
}

/* ---- showing ---- */

static const char *subject_of(struct replay *replay, const struct record *record)
{
    if (record_is_query(record)) {
        return arena_printf(&replay->arena, "dns %s %s", record->name,
                            record->type != NULL ? record->type : "A");
    }
    char address[LN_ADDR_TEXT_MAX];
    bool ingress = record->direction == LN_INGRESS;
    bool ports = record->protocol == LN_TCP || record->protocol == LN_UDP;
    const ln_addr *peer = ingress ? &record->src : &record->dst;
    ln_addr_format(peer, address);
    bool brackets = ports && !ingress && !ln_addr_is_v4(peer);
    const char *flow = arena_printf(&replay->arena, brackets ? "%s %s [%s]" : "%s %s %s",
                                    ln_direction_name(record->direction),
                                    ln_protocol_name(record->protocol), address);
    return !ports ? flow
                  : arena_printf(&replay->arena, ingress ? "%s -> %u" : "%s:%u", flow,
                                 (unsigned)record->port);
}

static const char *subject(struct replay *replay, const struct record *record)
{
    const char *connection = subject_of(replay, record);
    return record_is_request(record)
               ? arena_printf(&replay->arena, "%s, %s %s", connection, record->method, record->path)
               : connection;
}

static void show_json(struct replay *replay, const struct record *record,
                      const ln_decision *decision)
{
    const ln_rule *rule = ln_policy_rule(replay->policy, decision->rule);
    struct json json = {.out = stdout};
    json_open(&json, NULL, '{');
    json_count(&json, "line", replay->line);
    json_string(&json, "time", record->time);
    json_string(&json, "query", subject(replay, record));
    json_string(&json, "name", record->name);
    json_string(&json, "before", ln_action_name(record->action));
    json_string(&json, "after", ln_action_name(decision->action));
    json_string(&json, "reason", ln_reason_name(decision->reason));
    if (rule != NULL) {
        json_integer(&json, "rule", decision->rule);
        json_string(&json, "text", show_rule(&replay->arena, rule));
        json_string(&json, "source", show_source(&replay->arena, rule));
    }
    json_close(&json, '}');
    putchar('\n');
}

static void show_text(struct replay *replay, const struct record *record,
                      const ln_decision *decision)
{
    const char *name = record_is_query(record) ? NULL : record->name;
    if (decision->action == record->action) {
        printf("%-16s", ln_action_name(record->action));
    } else {
        printf("%-6s -> %-6s", ln_action_name(record->action), ln_action_name(decision->action));
    }
    printf("  %s%s%s%s: %s\n", subject(replay, record), name != NULL ? " (" : "",
           name != NULL ? name : "", name != NULL ? ")" : "",
           show_reason(&replay->arena, replay->policy, record->direction, decision));
}

static void show(struct replay *replay, const struct record *record, const ln_decision *decision)
{
    bool changes = decision->action != record->action;
    replay->judged++;
    replay->changed += changes;
    replay->changes[record->action][decision->action]++;
    if (!changes && !replay->all) {
        return;
    }
    if (replay->as_json) {
        show_json(replay, record, decision);
    } else {
        show_text(replay, record, decision);
    }
}

static void show_counts(const struct replay *replay)
{
    if (replay->as_json) {
        struct json json = {.out = stdout};
        json_open(&json, NULL, '{');
        json_count(&json, "judged", replay->judged);
        json_count(&json, "changed", replay->changed);
        json_count(&json, "not_judged", replay->unjudged);
        json_close(&json, '}');
        putchar('\n');
        return;
    }
    printf("%" PRIu64 " judged, %" PRIu64 " would change", replay->judged, replay->changed);
    const char *before = ": ";
    for (unsigned from = 0; from < ACTIONS; from++) {
        for (unsigned to = 0; to < ACTIONS; to++) {
            if (from != to && replay->changes[from][to] > 0) {
                printf("%s%" PRIu64 " %s -> %s", before, replay->changes[from][to],
                       ln_action_name((ln_action)from), ln_action_name((ln_action)to));
                before = ", ";
            }
        }
    }
    printf("; %" PRIu64 " not judged\n", replay->unjudged);
}

/* ---- reading ---- */

static int replay_line(struct replay *replay, const char *text, size_t len)
{
    struct record record;
    ln_decision decision;
    const char *why = NULL;
    int r = record_read(&replay->arena, text, len, &record, &why);
    if (r == -EINVAL) {
        command_say("%s:%" PRIu64 ": %s", replay->path, replay->line, why);
    }
    bool is_flow = record_is_flow(&record);
    bool is_request = record_is_request(&record);
    if (r < 0 || (!is_flow && !is_request && !record_is_query(&record))) {
        return r;
    }
    r = is_flow      ? judge_flow(replay, &record, &decision)
        : is_request ? judge_request(replay, &record, &decision)
                     : judge_query(replay, &record, &decision);
    if (r > 0) {
        show(replay, &record, &decision);
    } else if (r == 0) {
        replay->unjudged++;
    }
    return r < 0 ? r : 0;
}

static int replay_file(struct replay *replay, FILE *file)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    int r = 0;
    while (r == 0 && (len = getline(&line, &room, file)) >= 0) {
        replay->line++;
        r = replay_line(replay, line, (size_t)len);
        arena_free(&replay->arena);
    }
    if (r == 0 && ferror(file)) {
        command_say("%s: %s", replay->path, strerror(errno));
        r = -EIO;
    } else if (r == -ENOMEM) {
        command_say("out of memory");
    }
    free(line);
    return r;
}

static int replay_events(struct replay *replay)
{
    bool is_stdin = strcmp(replay->path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(replay->path, "re");
    if (file == NULL) {
        command_say("%s: %s", replay->path, strerror(errno));
        return EXIT_USAGE;
    }
    int r = replay_file(replay, file);
    if (!is_stdin) {
        fclose(file);
    }
    if (r < 0) {
        return EXIT_USAGE;
    }
    show_counts(replay);
    return replay->changed > 0 ? EXIT_DENY : EXIT_ALLOW;
}

/* The group `host`: this machine's addresses, and the recorded gateway's once they are known. */
static int find_host(struct replay *replay)
{
    int r = addressing_host(ln_policy_settings(replay->policy), &replay->host_addrs, &replay->host);
    if (r < 0) {
        command_say("the addresses of this machine cannot be read: %s", strerror(-r));
        return EXIT_USAGE;
    }
    return 0;
}

static int replay_policy(struct replay *replay, const char *policy)
{
    int status = command_load_policy(policy, &replay->policy);
    status = status == 0 ? find_host(replay) : status;
    if (status != 0) {
        return status;
    }
    uint8_t key[16];
    host_services_system.random(NULL, key, sizeof(key));
    replay->pins = ln_pins_new(NAMES_MAX, ADDRESSES_MAX, key);
    if (replay->pins == NULL) {
        command_say("out of memory");
        return EXIT_USAGE;
    }
    return replay_events(replay);
}

static int replay_main(int argc, char **argv)
{
    (void)argc;
    struct replay replay = {0};
    const struct option_spec specs[] = {
        {.name = "all", .flag = &replay.all},
        {.name = "json", .flag = &replay.as_json},
    };
    size_t count;
    int status =
        options_parse(&command_replay, specs, sizeof(specs) / sizeof(specs[0]), argv, &count);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    if (count != 2) {
        return command_usage_error(&command_replay, "give the events and a policy");
    }
    replay.path = argv[0];
    status = replay_policy(&replay, argv[1]);
    arena_free(&replay.arena);
    ln_pins_free(replay.pins);
    free(replay.host_addrs);
    ln_policy_unref(replay.policy);
    return status;
}
