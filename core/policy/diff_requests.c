/* Rules about requests that only one of two policies has. What requests they match is not compared,
 * so a rule that was changed is one that went and one that came. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/diff.h"

struct numbered {
    const ln_rule *rule;
    uint32_t number; /* 1-based */
};

struct list {
    struct numbered *at;
    size_t n;
};

#define ORDER(x, y)                                                                                \
    if ((x) != (y)) {                                                                              \
        return (x) < (y) ? -1 : 1;                                                                 \
    }

/* `order` where it is not 0. */
#define ORDER_BY(order)                                                                            \
    {                                                                                              \
        int order_ = (order);                                                                      \
        if (order_ != 0) {                                                                         \
            return order_;                                                                         \
        }                                                                                          \
    }

static int compare_texts(const char *a, const char *b)
{
    return a == NULL || b == NULL ? (a != NULL) - (b != NULL) : strcmp(a, b);
}

static int compare_destinations(const ln_destination *a, const ln_destination *b)
{
    char text[2][LN_NAME_MAX + 16];
    ln_destination_format(a, text[0], sizeof(text[0]));
    ln_destination_format(b, text[1], sizeof(text[1]));
    return strcmp(text[0], text[1]);
}

static int compare_matches(const ln_http_match *a, const ln_http_match *b)
{
    ORDER(a->n_methods, b->n_methods)
    ORDER(a->n_headers, b->n_headers)
    ORDER_BY(compare_texts(a->path, b->path))
    for (size_t i = 0; i < a->n_methods; i++) {
        ORDER_BY(strcmp(a->methods[i], b->methods[i]))
    }
    for (size_t i = 0; i < a->n_headers; i++) {
        ORDER_BY(strcmp(a->headers[i].name, b->headers[i].name))
        ORDER_BY(strcmp(a->headers[i].value, b->headers[i].value))
    }
    return 0;
}

static int compare_rules(const ln_rule *a, const ln_rule *b)
{
    ORDER(a->action, b->action)
    ORDER(a->when != 0, b->when != 0)
    ORDER(a->n_ports, b->n_ports)
    for (size_t i = 0; i < a->n_ports; i++) {
        ORDER(a->ports[i].first, b->ports[i].first)
        ORDER(a->ports[i].last, b->ports[i].last)
    }
    ORDER_BY(compare_destinations(&a->destination, &b->destination))
    return compare_matches(a->http, b->http);
}

static int compare_numbered(const void *a, const void *b)
{
    const struct numbered *x = a;
    const struct numbered *y = b;
    int order = compare_rules(x->rule, y->rule);
    return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

/* The policy's rules about requests, in its order. */
static int collect(struct arena *arena, const ln_policy *policy, struct list *ret)
{
    size_t count = ln_policy_rule_count(policy);
    ret->at = arena_array(arena, count + 1, sizeof(*ret->at));
    if (ret->at == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 1; i <= count; i++) {
        const ln_rule *rule = ln_policy_rule(policy, i);
        if (rule->http != NULL) {
            ret->at[ret->n++] = (struct numbered){rule, i};
        }
    }
    return 0;
}

static bool are_same(const struct list *a, const struct list *b)
{
    size_t i = 0;
    while (a->n == b->n && i < a->n && compare_rules(a->at[i].rule, b->at[i].rule) == 0) {
        i++;
    }
    return a->n == b->n && i == a->n;
}

int diff_requests(struct diff *diff, const ln_policy *a, const ln_policy *b)
{
    struct list lists[2] = {{0}, {0}};
    if (collect(&diff->arena, a, &lists[0]) < 0 || collect(&diff->arena, b, &lists[1]) < 0) {
        return -ENOMEM;
    }
    if (are_same(&lists[0], &lists[1])) {
        return 0;
    }
    diff->requests = arena_array(&diff->arena, lists[0].n + lists[1].n, sizeof(*diff->requests));
    if (diff->requests == NULL) {
        return -ENOMEM;
    }
    for (size_t k = 0; k < 2 && lists[k].n > 0; k++) {
        qsort(lists[k].at, lists[k].n, sizeof(*lists[k].at), compare_numbered);
    }
    size_t i = 0;
    size_t j = 0;
    while (i < lists[0].n || j < lists[1].n) {
        int order = i == lists[0].n   ? 1
                    : j == lists[1].n ? -1
                                      : compare_rules(lists[0].at[i].rule, lists[1].at[j].rule);
        if (order != 0) {
            diff->requests[diff->n_requests++] =
                order < 0 ? (struct diff_request){.rule = lists[0].at[i].number}
                          : (struct diff_request){.rule = lists[1].at[j].number, .added = true};
        }
        i += order <= 0;
        j += order >= 0;
    }
    diff->requests_differ = true;
    return 0;
}
