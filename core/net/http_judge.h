/* What http_judge.c (requests) and http_secrets.c (secrets in them) share, and http_answer.c, which
 * words what the guest gets to hear. */
#ifndef LN_NET_HTTP_JUDGE_H
#define LN_NET_HTTP_JUDGE_H

#include "net/interception.h"

/* A request in which placeholders were found; both NULL: it is none. */
struct violation_context {
    const char *method, *path;
};

/* Asks the policy what is to be done about the violations of a report, and tells each of them. The
 * gravest is returned; LN_VIOLATION_PASS_PLACEHOLDER: they were let pass, and the same bytes may be
 * offered again. */
ln_violation http_judge_violations(struct tcp_flow *f, const struct secret_scope *scope,
                                   struct secret_report *report,
                                   const struct violation_context *context);

/* Why a request is refused, for people and for programs. Texts may be NULL. */
struct http_refusal {
    unsigned status;
    const char *layer;  /* "http", "secrets", "tls", "upstream" */
    const char *reason; /* a stable word */
    const char *detail; /* a sentence */
    const char *next;   /* what can be done about it, a sentence */
    const char *host, *method, *path;
    const char *secret; /* its variable */
    uint32_t rule;      /* 0: none decided */
    const char *source_file;
    int source_line;
};

/* Words it, as JSON or as plain text, into memory that the caller frees. NULL when out of memory.
 */
char *http_answer_words(const struct http_refusal *refusal, bool json);

#endif
