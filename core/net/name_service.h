/* The name service's insides, as its three files share them: name_service.c (datagrams, and its
 * life), name_lookup.c (queries on their way), name_stream.c (connections). */
#ifndef LN_NET_NAME_SERVICE_H
#define LN_NET_NAME_SERVICE_H

#include "base/hash.h"
#include "dns/server.h"
#include "net/dns_upstream.h"
#include "net/gateway.h"

enum { NAME_QUESTION_SLOTS = 256 };

struct name_stream;   /* name_stream.c's */
struct name_question; /* name_lookup.c's */

/* Lookups of one asker. */
struct name_lookups {
    struct name_lookup *first;
    uint32_t n;
};

struct name_service {
    ln_gateway *gw;
    struct dns_server server;
    struct dns_upstream upstream;
    struct nameservers host;     /* the machine's */
    struct name_lookups lookups; /* of datagrams */
    struct name_question
        *questions[NAME_QUESTION_SLOTS]; /* that further lookups may share, by hash */
    struct hash_key hash_key;
    struct name_stream *current; /* whose segment is being dealt with; NULL once it is gone */
    struct name_stream *oldest_stream, *newest_stream; /* of those open, by last use */
    unsigned n_streams;
    size_t queued; /* bytes of replies in all streams */
};

/* A query on its way. */
struct name_lookup {
    struct dns_ticket ticket;
    struct name_service *service;
    struct name_stream *stream;     /* NULL: of a datagram */
    struct name_lookup **at, *next; /* in `list`: the service's, or the stream's */
    struct name_lookups *list;
    struct name_question *question;
    struct name_lookup **shared_at, *shared_next; /* in the question's list */
};

/* Where a reply is written before it is sent or queued: DNS_MESSAGE_MAX bytes. */
static inline uint8_t *name_reply_buffer(const ln_gateway *gw)
{
    return gw->frame + TCP_HEADROOM;
}

/* ---- name_service.c ---- */

/* Who asks, by the key of the flow. */
struct dns_asker name_asker(const ln_gateway *gw, const struct flow_key *key,
                            ln_protocol transport);
/* Sends the reply in name_reply_buffer() as from the resolver that was asked. */
void name_send_datagram(ln_gateway *gw, const struct dns_asker *asker, size_t len);
/* Tells what the server refused for want of room. */
void name_tell_over_limit(struct name_service *service);

/* ---- name_lookup.c ---- */

/* Takes a query of `stream`, or of a datagram (NULL). Returns the length of the reply in
 * name_reply_buffer(), or 0 when none is due now. */
size_t name_ask(struct name_service *service, struct name_stream *stream,
                const struct dns_asker *asker, const uint8_t *msg, size_t len);
/* Ends all lookups of a list, unanswered. */
void name_cancel_lookups(struct name_service *service, struct name_lookups *lookups);
/* Lookups to come share none of the questions under way. */
void name_unshare_questions(struct name_service *service);

/* ---- name_stream.c ---- */

struct name_lookups *name_stream_lookups(struct name_stream *stream);
/* A lookup of the stream was answered, and is over: takes the reply of `len` bytes in
 * name_reply_buffer(), and goes on. The stream may be gone afterwards. */
void name_stream_reply(struct name_stream *stream, size_t len);

#endif
