/* Accounts of registered domains, and the labels that were seen. */
#include "dns/budget.h"

#include <libpsl.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/timer.h"

enum { ACCOUNTS_MAX = 1024, LABELS_MAX = 16384, LABEL_LEN_MAX = 63 };

struct account {
    uint64_t domain; /* its hash; 0: free */
    uint32_t queries, labels, bytes;
    bool over;
};

/* Tables of hashes, open addressing, at most half full. */
struct dns_budget {
    struct hash_key key;
    uint64_t until_ns; /* the end of this minute */
    uint32_t n_accounts, n_labels;
    struct account rest; /* of the domains that found no room */
    struct account accounts[2 * ACCOUNTS_MAX];
    uint64_t labels[2 * LABELS_MAX];
};

struct dns_budget *dns_budget_new(const uint8_t hash_key[16])
{
    struct dns_budget *budget = calloc(1, sizeof(*budget));
    if (budget != NULL) {
        budget->key = hash_key_from(hash_key);
    }
    return budget;
}

struct dns_budget *dns_budget_free(struct dns_budget *budget)
{
    free(budget);
    return NULL;
}

const char *dns_budget_domain(const char *name, const char *suffix)
{
    const char *registered = psl_registrable_domain(psl_builtin(), name);
    const char *domain = registered != NULL ? registered : name;
    return suffix != NULL && strlen(suffix) < strlen(domain) ? name + strlen(name) - strlen(suffix)
                                                             : domain;
}

static void forget(struct dns_budget *budget, uint64_t now_ns)
{
    struct hash_key key = budget->key;
    memset(budget, 0, sizeof(*budget));
    budget->key = key;
    budget->until_ns = now_ns + 60 * SECOND_NS;
}

static uint64_t hash_of(const struct dns_budget *budget, const void *data, size_t len)
{
    uint64_t hash = hash_bytes(&budget->key, data, len);
    return hash != 0 ? hash : 1;
}

static struct account *account_of(struct dns_budget *budget, uint64_t domain)
{
    size_t at = domain % (2 * ACCOUNTS_MAX);
    while (budget->accounts[at].domain != 0 && budget->accounts[at].domain != domain) {
        at = (at + 1) % (2 * ACCOUNTS_MAX);
    }
    struct account *account = &budget->accounts[at];
    if (account->domain == 0) {
        if (budget->n_accounts == ACCOUNTS_MAX) {
            return &budget->rest;
        }
        budget->n_accounts++;
        account->domain = domain;
    }
    return account;
}

/* Whether the label was not seen in this domain before. `label` starts with its length. */
static bool is_new(struct dns_budget *budget, uint64_t domain, const uint8_t *label)
{
    uint8_t text[sizeof(domain) + LABEL_LEN_MAX];
    memcpy(text, &domain, sizeof(domain));
    for (size_t i = 0; i < label[0]; i++) {
        text[sizeof(domain) + i] = dns_lower(label[1 + i]);
    }
    uint64_t hash = hash_of(budget, text, sizeof(domain) + label[0]);
    size_t at = hash % (2 * LABELS_MAX);
    while (budget->labels[at] != 0 && budget->labels[at] != hash) {
        at = (at + 1) % (2 * LABELS_MAX);
    }
    if (budget->labels[at] == hash) {
        return false;
    }
    if (budget->n_labels < LABELS_MAX) {
        budget->n_labels++;
        budget->labels[at] = hash;
    }
    return true;
}

static size_t count_labels(const char *name)
{
    size_t n = *name != '\0';
    for (; *name != '\0'; name++) {
        n += *name == '.';
    }
    return n;
}

enum dns_spending dns_budget_spend(struct dns_budget *budget, const ln_dns_budget *limits,
                                   const char *domain, const struct dns_question *question,
                                   uint64_t now_ns)
{
    if (now_ns >= budget->until_ns) {
        forget(budget, now_ns);
    }
    uint64_t hash = hash_of(budget, domain, strlen(domain));
    struct account *account = account_of(budget, hash);
    if (account->over) {
        return DNS_OVER;
    }
    account->queries++;
    size_t in_front = count_labels(question->name) - count_labels(domain);
    const uint8_t *label = question->wire;
    for (; in_front > 0; in_front--) {
        if (is_new(budget, hash, label)) {
            account->labels++;
            account->bytes += label[0];
        }
        label += 1u + label[0];
    }
    account->over = account->queries > limits->queries || account->labels > limits->labels ||
                    account->bytes > limits->bytes;
    return account->over ? DNS_OVER_NOW : DNS_WITHIN;
}
