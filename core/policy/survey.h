/* What each rule of a policy brings about, over everything that can be asked of it. Exact: no
 * samples are taken. The proof is tests/unit/policy/test_survey.c.
 *
 * Functions of the policy (`when`, on_connect) may answer anything, or fail. Names may be any
 * within the limits of DNS, a name may be pinned to any address, an address may have any number of
 * names, any address may be one of this machine's own, any of the pools the gateway's, and
 * any may be registered anywhere, in several places at once, too. ICMP is asked about for its own
 * family of addresses only, and for egress; port 0 is not. */
#ifndef LN_POLICY_SURVEY_H
#define LN_POLICY_SURVEY_H

#include "policy/terrain.h"

/* What a rule decides, if only sometimes. */
enum {
    SURVEY_CONNECTION = 1,
    SURVEY_QUERY = 2,
    SURVEY_ALIAS = 4,
    SURVEY_ANSWER = 8,
    SURVEY_BEYOND_HOST = 16, /* a connection with an address that is not the machine's own */
    SURVEY_NEEDED = 32,      /* without the rule some verdict would be another */
    /* … about an address that is not the machine's own. Of rules by name always as SURVEY_NEEDED.
     */
    SURVEY_NEEDED_BEYOND_HOST = 64,
    SURVEY_GENUINE =
        128 /* a connection that shows no name but such as its address was resolved for */
};

enum { SWALLOWERS_MAX = 8 };

/* Earlier rules that match what a rule matches. */
struct swallowers {
    uint32_t rules[SWALLOWERS_MAX]; /* ascending, counted from 0 */
    uint32_t n;
    bool more;    /* there are others besides */
    bool nothing; /* it matches nothing that is ever asked about */
    bool never;   /* … because no policy can open it */
};

struct survey {
    const ln_policy *policy;
    struct terrain terrain;
    uint8_t *decides;   /* SURVEY_* of each rule; */
    bool egress_closed; /* some TCP or UDP connection of the guest beyond the host is refused */
    bool query_open;    /* some name may be asked for */
};

/* Returns 0 or -ENOMEM, and then nothing is left to free. The policy must outlive it. */
int survey_make(struct survey *survey, const ln_policy *policy);
void survey_free(struct survey *survey);

/* Finds what swallows each of the `n` rules (counted from 0), none of which decides a genuine
 * connection; if it decides others, these are left out.
 * Returns 0 or -ENOMEM. */
int survey_swallowers(const struct survey *survey, const uint32_t *rules, uint32_t n,
                      struct swallowers *ret);

#endif
