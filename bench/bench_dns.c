/* What the name server spends on a query and on an answer, sockets aside; and the worst that an
 * answer of 64 KiB can cost it.
 *
 *     bench_dns [--json]
 *
 * Times are the best of several passes, of CPU. */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/timer.h"
#include "dns/answer.h"
#include "dns/server.h"
#include "policy/ruleset.h"

enum { PASSES = 15, TYPE_TXT = 16 };

static const char question[] = "\3www\7example\3com"; /* and the root */

/* ---- messages ---- */

struct message {
    size_t len;
    uint8_t data[DNS_MESSAGE_MAX];
};

static void add(struct message *m, const void *data, size_t len)
{
    memcpy(m->data + m->len, data, len);
    m->len += len;
}

static void add_u16(struct message *m, unsigned v)
{
    uint8_t bytes[2];
    put_be16(bytes, (uint16_t)v);
    add(m, bytes, 2);
}

static void begin(struct message *m, unsigned flags, unsigned type)
{
    m->len = 0;
    add_u16(m, 7);
    add_u16(m, flags);
    add_u16(m, 1);
    add(m, "\0\0\0\0\0\0", 6);
    add(m, question, sizeof(question));
    add_u16(m, type);
    add_u16(m, DNS_CLASS_IN);
}

/* An answer record; its owner is at offset `owner`. */
static void add_record(struct message *m, unsigned owner, unsigned type, const void *data,
                       size_t len)
{
    put_be16(m->data + 6, (uint16_t)(get_be16(m->data + 6) + 1));
    add_u16(m, 0xc000u | owner);
    add_u16(m, type);
    add_u16(m, DNS_CLASS_IN);
    add(m, "\0\0\1\54", 4);
    add_u16(m, (unsigned)len);
    add(m, data, len);
}

static void make_query(struct message *m)
{
    begin(m, DNS_FLAG_RD, DNS_TYPE_A);
}

static void make_usual(struct message *m)
{
    begin(m, DNS_FLAG_QR, DNS_TYPE_A);
    add_record(m, DNS_HEADER_LEN, DNS_TYPE_CNAME, "\3cdn\7example\3net", 17);
    unsigned cdn = (unsigned)m->len - 17;
    add_record(m, cdn, DNS_TYPE_A, "\313\0\161\1", 4);
    add_record(m, cdn, DNS_TYPE_A, "\313\0\161\2", 4);
}

static void make_addresses(struct message *m)
{
    begin(m, DNS_FLAG_QR, DNS_TYPE_A);
    for (unsigned i = 0; i < DNS_ANSWER_RECORDS_MAX; i++) {
        uint8_t addr[4] = {203, 0, (uint8_t)(112 + i / 256), (uint8_t)i};
        add_record(m, DNS_HEADER_LEN, DNS_TYPE_A, addr, 4);
    }
}

/* Names that lead through as many pointers as a message can hold. */
static void make_pointers(struct message *m)
{
    static uint8_t chain[15000];
    begin(m, DNS_FLAG_QR, DNS_TYPE_A);
    unsigned at = (unsigned)m->len + 12;
    put_be16(chain, 0xc000u | DNS_HEADER_LEN);
    for (unsigned i = 2; i < sizeof(chain); i += 2) {
        put_be16(chain + i, (uint16_t)(0xc000u | (at + i - 2)));
    }
    add_record(m, DNS_HEADER_LEN, TYPE_TXT, chain, sizeof(chain));
    unsigned last = at + sizeof(chain) - 2;
    uint8_t target[2];
    put_be16(target, (uint16_t)(0xc000u | last));
    for (unsigned i = 1; i < DNS_ANSWER_RECORDS_MAX; i++) {
        add_record(m, last, 2 /* NS */, target, 2);
    }
}

/* Names of 127 labels, no two the same: what makes compression slow. */
static void make_labels(struct message *m)
{
    uint8_t name[256];
    begin(m, DNS_FLAG_QR, DNS_TYPE_A);
    for (unsigned i = 0; m->len < 60000; i++) {
        for (unsigned l = 0; l < 126; l++) {
            name[2 * l] = 1;
            name[2 * l + 1] = (uint8_t)('a' + (l < 4 ? i >> (4 * l) & 15 : 0));
        }
        name[252] = 0;
        add_record(m, DNS_HEADER_LEN, 2 /* NS */, name, 253);
    }
}

static void make_strings(struct message *m)
{
    static const uint8_t empty[65000];
    begin(m, DNS_FLAG_QR, DNS_TYPE_A);
    add_record(m, DNS_HEADER_LEN, TYPE_TXT, empty, sizeof(empty));
}

/* ---- a server ---- */

static ln_rule rules[] = {
    {.action = LN_DENY,
     .directions = LN_DIRECTION_BIT(LN_EGRESS),
     .protocols = LN_PROTOCOLS_ALL,
     .destination = {.kind = LN_DEST_SUFFIX, .name = "denied"}},
    {.action = LN_ALLOW, .directions = LN_DIRECTION_BIT(LN_EGRESS), .protocols = LN_PROTOCOLS_ALL},
};

struct bench {
    struct dns_server server;
    struct admission admission;
    struct events events;
    struct link_identity link;
    uint64_t hits[3];
    struct dns_ticket ticket;
    struct message message;
    uint8_t reply[DNS_MESSAGE_MAX];
    size_t reply_len;
};

static int start(struct bench *b)
{
    static const uint8_t key[16];
    struct plan plan = {
        .rules = rules,
        .n_rules = 2,
        .settings = {.dns_rebind_protection = true, .limits = {.dns_in_flight = UINT32_MAX}}};
    b->link.gateway4 = ln_addr_v4(0xac100001);
    b->link.route4 = b->link.route6 = true;
    b->admission.events = &b->events;
    b->admission.hits = b->hits;
    b->admission.pins = ln_pins_new(4096, 64, key);
    b->server = (struct dns_server){.admission = &b->admission, .link = &b->link};
    return policy_from_plan(&plan, NULL, &b->admission.policy);
}

static void ask(struct bench *b)
{
    struct dns_asker asker = {.transport = LN_UDP, .resolver = b->link.gateway4};
    (void)dns_server_query(&b->server, &asker, b->message.data, b->message.len, SECOND_NS,
                           &b->ticket, b->reply, &b->reply_len);
}

static void run_query(struct bench *b)
{
    ask(b);
    (void)dns_query_write(&b->ticket.query, 7, b->reply);
}

static void run_denied(struct bench *b)
{
    ask(b);
}

static void run_answer(struct bench *b)
{
    b->ticket.asker.transport = LN_TCP;
    b->reply_len = dns_server_answer(&b->server, &b->ticket, b->message.data, b->message.len,
                                     SECOND_NS, b->reply);
}

static void deny(struct message *m)
{
    make_query(m);
    memcpy(m->data + DNS_HEADER_LEN, "\4wwwx\6denied\4test", sizeof(question));
    m->len = DNS_HEADER_LEN;
    add(m, "\3www\6denied", 12);
    add(m, "\0\1\0\1", 4);
}

static const struct {
    const char *name, *what;
    void (*make)(struct message *m);
    void (*run)(struct bench *b);
    unsigned runs; /* a pass */
} cases[] = {
    {"query", "a query that leaves", make_query, run_query, 20000},
    {"denied", "a query that is denied", deny, run_denied, 20000},
    {"answer", "an answer: an alias, two addresses", make_usual, run_answer, 5000},
    {"addresses", "an answer of 512 addresses", make_addresses, run_answer, 50},
    {"pointers", "512 records behind 7500 pointers each", make_pointers, run_answer, 2},
    {"labels", "names of 126 labels, 60 KB of them", make_labels, run_answer, 20},
    {"strings", "65000 empty strings", make_strings, run_answer, 20},
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static double best_ns(struct bench *b, size_t i)
{
    double best = 1e18;
    make_query(&b->message);
    ask(b); /* the ticket of the answers */
    cases[i].make(&b->message);
    for (int pass = 0; pass < PASSES; pass++) {
        uint64_t start_ns = now_ns();
        for (unsigned run = 0; run < cases[i].runs; run++) {
            cases[i].run(b);
        }
        double ns = (double)(now_ns() - start_ns) / cases[i].runs;
        best = ns < best ? ns : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    static struct bench b;
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (start(&b) != 0 || b.admission.pins == NULL || (argc > 1 && !json)) {
        fprintf(stderr, "usage: bench_dns [--json]\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double ns = best_ns(&b, i);
        if (json) {
            printf("%s\"%s_ns\": %.0f", i == 0 ? "{" : ", ", cases[i].name, ns);
        } else {
            printf("%-40s %12.3f us, reply of %zu bytes\n", cases[i].what, ns / 1e3, b.reply_len);
        }
    }
    printf(json ? "}\n" : "");
    ln_pins_free(b.admission.pins);
    ln_policy_unref(b.admission.policy);
    return 0;
}
