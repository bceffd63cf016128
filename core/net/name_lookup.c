/* Queries of the guest that have to wait.
 *
 * Theory of operation. A query that has to wait is a lookup, of a datagram or of a stream. It waits
 * for a question that is asked upstream; lookups with the same question share one, but those for a
 * resolver that the guest named. How many lookups there are is for the server to bound. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/name_service.h"

/* What is asked upstream. */
struct name_question {
    struct dns_exchange exchange;
    struct dns_query query;
    uint64_t hash;
    struct name_question **at, *next; /* in service->questions; `at` NULL: not shared */
    struct name_lookup *lookups;      /* that wait for it */
    bool over;                        /* the exchange is */
};

static struct name_question *question_of_exchange(struct dns_exchange *exchange)
{
    return (struct name_question *)(void *)((char *)exchange -
                                            offsetof(struct name_question, exchange));
}

/* ---- questions ---- */

/* No lookup joins it any more. */
static void question_unshare(struct name_question *question)
{
    if (question->at == NULL) {
        return;
    }
    *question->at = question->next;
    if (question->next != NULL) {
        question->next->at = question->at;
    }
    question->at = NULL;
}

static void question_share(struct name_service *service, struct name_question *question)
{
    question->at = &service->questions[question->hash % NAME_QUESTION_SLOTS];
    question->next = *question->at;
    if (question->next != NULL) {
        question->next->at = &question->next;
    }
    *question->at = question;
}

/* Two are the same when the same bytes would leave. */
static bool is_same_question(const struct dns_query *a, const struct dns_query *b)
{
    uint8_t bytes_a[DNS_SMALL_MAX], bytes_b[DNS_SMALL_MAX];
    size_t len = dns_query_write(a, 0, bytes_a);
    return len == dns_query_write(b, 0, bytes_b) && memcmp(bytes_a, bytes_b, len) == 0;
}

static uint64_t hash_of(const struct name_service *service, const struct dns_query *query)
{
    uint8_t bytes[DNS_SMALL_MAX];
    return hash_bytes(&service->hash_key, bytes, dns_query_write(query, 0, bytes));
}

static struct name_question *question_find(const struct name_service *service,
                                           const struct dns_query *query, uint64_t hash)
{
    struct name_question *question = service->questions[hash % NAME_QUESTION_SLOTS];
    while (question != NULL &&
           (question->hash != hash || !is_same_question(&question->query, query))) {
        question = question->next;
    }
    return question;
}

static void question_done(struct dns_exchange *exchange, const uint8_t *answer, size_t len,
                          const char *why);

/* Asks. Returns 0 or a negative errno. */
static int question_start(struct name_question *question, struct name_service *service,
                          const struct dns_ticket *ticket)
{
    question->query = ticket->query;
    if (!ticket->named) {
        return dns_exchange_start(&question->exchange, &service->upstream, &question->query,
                                  question_done);
    }
    struct nameserver resolver = {.addr = ticket->asker.resolver, .port = DNS_PORT};
    return dns_exchange_start_named(&question->exchange, &service->upstream, &question->query,
                                    &resolver, ticket->asker.transport, question_done);
}

/* The question that answers this ticket: one on its way, or a new one. NULL: it cannot be asked. */
static struct name_question *question_get(struct name_service *service,
                                          const struct dns_ticket *ticket)
{
    uint64_t hash = ticket->named ? 0 : hash_of(service, &ticket->query);
    struct name_question *question =
        ticket->named ? NULL : question_find(service, &ticket->query, hash);
    if (question != NULL) {
        return question;
    }
    question = calloc(1, sizeof(*question));
    if (question == NULL || question_start(question, service, ticket) < 0) {
        free(question);
        return NULL;
    }
    question->hash = hash;
    if (!ticket->named) {
        question_share(service, question);
    }
    return question;
}

/* ---- lookups ---- */

static void lookup_link(struct name_lookup *lookup, struct name_question *question)
{
    struct name_lookups *list =
        lookup->stream != NULL ? name_stream_lookups(lookup->stream) : &lookup->service->lookups;
    lookup->list = list;
    lookup->at = &list->first;
    lookup->next = list->first;
    if (lookup->next != NULL) {
        lookup->next->at = &lookup->next;
    }
    list->first = lookup;
    list->n++;
    lookup->question = question;
    lookup->shared_at = &question->lookups;
    lookup->shared_next = question->lookups;
    if (question->lookups != NULL) {
        question->lookups->shared_at = &lookup->shared_next;
    }
    question->lookups = lookup;
}

/* Ends it, and its question where nobody else waits for that. */
static void lookup_free(struct name_lookup *lookup)
{
    struct name_question *question = lookup->question;
    *lookup->at = lookup->next;
    if (lookup->next != NULL) {
        lookup->next->at = lookup->at;
    }
    lookup->list->n--;
    *lookup->shared_at = lookup->shared_next;
    if (lookup->shared_next != NULL) {
        lookup->shared_next->shared_at = lookup->shared_at;
    }
    free(lookup);
    if (question->lookups == NULL && !question->over) {
        question_unshare(question);
        dns_exchange_cancel(&question->exchange);
        free(question);
    }
}

void name_cancel_lookups(struct name_service *service, struct name_lookups *lookups)
{
    while (lookups->first != NULL) {
        dns_server_cancel(&service->server, &lookups->first->ticket);
        lookup_free(lookups->first);
    }
}

size_t name_ask(struct name_service *service, struct name_stream *stream,
                const struct dns_asker *asker, const uint8_t *msg, size_t len)
{
    ln_gateway *gw = service->gw;
    uint8_t *reply = name_reply_buffer(gw);
    size_t reply_len = 0;
    uint64_t within = lane_within(&gw->lanes[LN_EGRESS], len);
    service->server.closed = within < len || gateway_is_used_up(gw);
    lane_spend(&gw->lanes[LN_EGRESS], within);
    struct name_lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL) {
        gateway_over_limit(gw, LIMIT_DNS);
        return 0;
    }
    enum dns_step step = dns_server_query(&service->server, asker, msg, len, gw->loop.now_ns,
                                          &lookup->ticket, reply, &reply_len);
    if (step == DNS_DROP) {
        gateway_drop(gw, DROP_HEADER);
    }
    if (step != DNS_ASK) {
        free(lookup);
        return reply_len;
    }
    lookup->service = service;
    lookup->stream = stream;
    struct name_question *question = question_get(service, &lookup->ticket);
    if (question == NULL) {
        reply_len = dns_server_fail(&service->server, &lookup->ticket,
                                    "no nameserver can be reached", reply);
        free(lookup);
        return reply_len;
    }
    lookup_link(lookup, question);
    return 0;
}

/* ---- answers ---- */

/* Replies, and ends the lookup. */
static void lookup_done(struct name_lookup *lookup, const uint8_t *answer, size_t len,
                        const char *why)
{
    struct name_service *service = lookup->service;
    struct name_stream *stream = lookup->stream;
    struct dns_ticket *ticket = &lookup->ticket;
    ln_gateway *gw = service->gw;
    uint8_t *dst = name_reply_buffer(gw);
    size_t reply = answer != NULL ? dns_server_answer(&service->server, ticket, answer, len,
                                                      gw->loop.now_ns, dst)
                                  : dns_server_fail(&service->server, ticket, why, dst);
    if (stream == NULL) {
        name_send_datagram(gw, &ticket->asker, reply);
        lookup_free(lookup);
        name_tell_over_limit(service);
        return;
    }
    lookup_free(lookup);
    name_stream_reply(stream, reply);
}

static void question_done(struct dns_exchange *exchange, const uint8_t *answer, size_t len,
                          const char *why)
{
    struct name_question *question = question_of_exchange(exchange);
    question_unshare(question);
    question->over = true;
    while (question->lookups != NULL) { /* a reply may end a stream, and with it other lookups */
        lookup_done(question->lookups, answer, len, why);
    }
    free(question);
}

void name_unshare_questions(struct name_service *service)
{
    for (size_t i = 0; i < NAME_QUESTION_SLOTS; i++) {
        while (service->questions[i] != NULL) {
            question_unshare(service->questions[i]);
        }
    }
}
