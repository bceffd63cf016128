/* Which traffic two policies judge differently. Found by analysis of all that can be asked of them
 * (terrain.h, under the assumptions of survey.h), never by trying examples.
 *
 * Functions cannot be compared: policies are compared once as if every `when` said yes and once as
 * if every one said no. Nor can requests: rules about them are compared as if every request matched
 * and as if none did, and those that only one of the two has are told apart. */
#ifndef LN_POLICY_DIFF_H
#define LN_POLICY_DIFF_H

#include "policy/port_index.h"
#include "policy/terrain.h"

/* One question that the two answer differently. */
struct diff_example {
    ln_protocol protocol;
    uint16_t port;
    ln_addr address;      /* VIEW_CONNECTION, VIEW_ANSWER */
    enum owner owner;     /* whose the address has to be */
    const char *names[2]; /* pinned to the address; VIEW_QUERY, VIEW_ALIAS: the name, first */
    const char *claimed;  /* a name that is shown but not pinned, or NULL */
    bool is_registered;   /* the address would have to be of the region's country or system */
};

/* What is decided by the same two rules in the two policies, or about the same name. */
struct diff_region {
    enum view_kind kind;
    ln_direction direction;
    uint8_t protocols; /* LN_PROTOCOL_BIT set; not of VIEW_ALIAS and VIEW_ANSWER */
    struct port_spans ports;
    ln_action from, to;
    uint32_t rule_a, rule_b; /* 1-based; 0: the default */
    const char *destination; /* as in a rule on one line */
    bool by_name;            /* `destination` is a name, or where an address is registered */
    bool below;              /* … and what is below the name */
    bool claimed;            /* only clients that show a name that they did not resolve */
    const char *also;   /* another name that the address has to have, the first of such, or NULL */
    unsigned functions; /* bit 0: if they say no, bit 1: if they say yes */
    struct diff_example example;
};

/* A rule about requests that only one of the two has. */
struct diff_request {
    uint32_t rule; /* 1-based */
    bool added;    /* the second has it, else the first */
};

struct diff {
    struct arena arena;
    /* The rules about requests are not the same ones in the same order. `requests` is empty where
     * it is only the order. */
    bool requests_differ;
    struct diff_request *requests;
    size_t n_requests;
    struct diff_region *regions; /* what is widened first */
    size_t n_regions;
    bool on_connect; /* one of the two has such a function, the other not */
    bool widened;    /* something is allowed that was not */
};

/* Returns 0 or -ENOMEM, and then nothing is left to free. The policies must outlive it. */
int diff_make(struct diff *diff, const ln_policy *a, const ln_policy *b);
/* Fills `requests`. Returns 0 or -ENOMEM. */
int diff_requests(struct diff *diff, const ln_policy *a, const ln_policy *b);
void diff_free(struct diff *diff);

static inline bool diff_widens(const struct diff_region *region)
{
    return region->to == LN_ALLOW;
}

#endif
