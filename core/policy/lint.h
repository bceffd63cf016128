/* What a valid policy says that its author may not have meant. Found by analysis of all that can
 * be asked of it (survey.h), never by trying examples. */
#ifndef LN_POLICY_LINT_H
#define LN_POLICY_LINT_H

#include "policy/survey.h"

enum lint_severity { LINT_NOTE, LINT_WARNING };

struct lint_finding {
    const char *code; /* "never-decides": stable */
    enum lint_severity severity;
    uint32_t rule;                   /* 1-based; 0: the policy as a whole */
    uint32_t others[SWALLOWERS_MAX]; /* other rules concerned, 1-based, ascending */
    uint32_t n_others;
    bool more_others;
    const char *why;  /* what is so, a sentence without a full stop */
    const char *mend; /* what to do about it, likewise */
};

/* Codes:
 *   never-decides          earlier rules match all connections that the rule matches, and what it
 *                          decides besides would be decided the same without it
 *   denied-by-list         … and they are of deny_domains or deny_domain_suffixes, while it allows
 *   matches-nothing        nothing that can be asked about is matched
 *   never-opened           it allows what no policy can open
 *   decides-no-connection  likewise, but DNS queries, aliases or answers hang on it
 *   claims-only            a refusal by name, likewise, but for names that are merely claimed
 *   own-addresses-only     it decides only about this machine's own addresses
 *   changes-nothing        without it every verdict would be the same
 *   pins-alone             a rule by name where no name is ever shown
 *   public-suffix          names below it belong to many parties
 *   host-all-ports         every service of this machine's loopback is open to the guest
 *   requests-unseen        a rule about requests on ports that are not intercepted
 *   requests-bypassed      … about a name that interception leaves alone
 *   allow-all              nothing of the guest's TCP and UDP is refused
 *   addresses-without-dns  addresses are allowed, but no name can be asked for
 *   denies-all             nothing of the guest's traffic is allowed
 *   secret-unreachable     a secret is for a host that no rule allows */
struct lint {
    struct arena arena;
    struct lint_finding *findings; /* in the order of the rules, the policy as a whole last */
    size_t n_findings;
    size_t n_warnings;
};

/* Returns 0 or -ENOMEM, and then nothing is left to free. The policy must outlive it. */
int lint_make(struct lint *lint, const ln_policy *policy);
void lint_free(struct lint *lint);

const char *lint_severity_name(enum lint_severity severity); /* "note", "warning" */

#endif
