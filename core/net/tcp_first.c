/* The guest's first bytes: kept until they show a name, or show that there is none, or their time
 * is up. Most first flights come in one segment, which is looked at and passed on uncopied. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/interception.h"

enum { ROOM_FIRST = 2048 /* bytes: the first allocation */ };

struct first_bytes {
    struct first_flight_view view;
    uint8_t *data;
    uint32_t len, room;
    uint32_t passed; /* how many the host has */
};

void tcp_first_free(struct tcp_flow *f)
{
    if (f->first != NULL) {
        free(f->first->data);
        free(f->first);
        f->first = NULL;
    }
}

/* How many may be kept; a ClientHello may be longer than others. */
static uint32_t most(const struct tcp_flow *f, const struct first_flight_view *view)
{
    const ln_limits *limits = tcp_flow_limits(f);
    return view->is_tls ? limits->client_hello_bytes : limits->first_flight_bytes;
}

size_t tcp_first_space(const struct tcp_flow *f)
{
    const struct first_bytes *first = f->first;
    if (first == NULL) {
        return tcp_flow_limits(f)->first_flight_bytes;
    }
    uint32_t limit = most(f, &first->view);
    return limit > first->len ? limit - first->len : 0;
}

/* No name comes. Returns whether the flow is allowed. */
static bool judge_unnamed(struct tcp_flow *f)
{
    f->watching = false;
    timer_cancel(&f->gw->loop.timers, &f->timer);
    return tcp_flow_judge(f, LN_NAME_NONE, NULL, false);
}

/* Denies for what is not, or cannot be, read, unless no name matters. Returns whether the flow may
 * go on. */
static bool deny_unread(struct tcp_flow *f, const char *reason)
{
    if (f->certain && !(f->strict && intercept_must_know(f))) {
        return judge_unnamed(f);
    }
    f->flow.decision = (ln_decision){.action = LN_DENY, .reason = LN_REASON_NAME_UNKNOWN};
    f->reason = reason;
    f->denied = true;
    return false;
}

/* What is kept of a flow that is judged for good goes to an inspection, where there is to be one.
 * Returns 0 or -errno. */
static int begin_inspection(struct tcp_flow *f, bool partial)
{
    struct first_bytes *first = f->first;
    int r = intercept_choose(f, &first->view, partial, first->data, first->len);
    if (r > 0) {
        tcp_first_free(f);
    }
    return r < 0 ? r : 0;
}

/* ---- time ---- */

/* It counts from the handshake on where the verdict hangs on the first flight, else from its first
 * byte. */
static bool set_clock(struct tcp_flow *f, bool is_tls)
{
    const ln_limits *limits = tcp_flow_limits(f);
    uint32_t ms = is_tls ? limits->client_hello_ms : limits->first_flight_ms;
    if (f->passing) {
        return true; /* it is up already */
    }
    if (f->first_ns == 0) {
        f->first_ns = f->gw->loop.now_ns;
    }
    return timer_set(&f->gw->loop.timers, &f->timer, f->first_ns + ms * MS_NS) == 0 ||
           deny_unread(f, "out_of_memory");
}

bool tcp_first_start_clock(struct tcp_flow *f)
{
    return set_clock(f, false);
}

/* Nothing of a strict flow passes unseen. One that has sent nothing yet may go on waiting: the
 * server may be the one that speaks. */
static void strict_time_is_up(struct tcp_flow *f)
{
    struct first_bytes *first = f->first;
    bool allowed = tcp_flow_judge(f, LN_NAME_NONE, NULL, false);
    f->passing = false;
    if (!allowed) {
        f->reason = "no_name";
    } else if (first == NULL) {
        f->permitted = true;
        f->first_ns = 0;
        tcp_flow_classify(f);
        return;
    } else if (first->view.is_tls || !f->certain || intercept_must_know(f)) {
        /* What is inspected is not watched for a name any longer. */
        (void)deny_unread(f, "first_flight_slow");
    } else {
        f->watching = false;
        f->passing = true;
        if (begin_inspection(f, true) >= 0 && tcp_first_pass(f) >= 0) {
            if (f->inspection != NULL) {
                tcp_inspect_go_on(f);
            }
            return;
        }
    }
    tcp_abort(&f->ep);
}

void tcp_first_time_is_up(struct tcp_flow *f)
{
    if (f->strict) {
        strict_time_is_up(f);
        return;
    }
    if (!tcp_flow_judge(f, LN_NAME_NONE, NULL, false)) {
        f->reason = "no_name";
        tcp_abort(&f->ep);
    } else if (tcp_first_pass(f) < 0) {
        tcp_abort(&f->ep);
    } else {
        tcp_flow_classify(f);
    }
}

/* ---- looking ---- */

/* Looks at all first bytes so far. Returns whether the flow may go on; `watching` tells whether
 * more of them are needed. */
static bool look(struct tcp_flow *f, struct first_flight_view *view, const uint8_t *data,
                 size_t len)
{
    char name[LN_NAME_MAX + 1];
    bool is_host;
    switch (first_flight_look(view, data, len, name, &is_host)) {
    case FIRST_FLIGHT_PARTIAL:
        if (len >= most(f, view)) {
            return deny_unread(f, "first_flight_too_long");
        }
        return set_clock(f, view->is_tls);
    case FIRST_FLIGHT_BAD:
        return deny_unread(f, "first_flight_malformed");
    case FIRST_FLIGHT_NAMED:
        f->watching = false;
        timer_cancel(&f->gw->loop.timers, &f->timer);
        return tcp_flow_judge(f, LN_NAME_SHOWN, name, is_host);
    case FIRST_FLIGHT_UNNAMED:
        return judge_unnamed(f);
    }
    return false;
}

int tcp_first_finish(struct tcp_flow *f)
{
    if (!f->watching) {
        return 0;
    }
    f->watching = false;
    if (f->strict && f->first != NULL && (f->first->view.is_tls || intercept_must_know(f))) {
        (void)deny_unread(f, "first_flight_cut");
        return -EACCES;
    }
    if (!tcp_flow_judge(f, LN_NAME_NONE, NULL, false)) {
        return -EACCES;
    }
    return f->strict && f->first != NULL ? begin_inspection(f, true) : 0;
}

/* ---- keeping and passing on ---- */

/* Appends what fits. Returns how many, or -ENOMEM. */
static ssize_t keep(struct tcp_flow *f, const uint8_t *data, size_t len)
{
    struct first_bytes *first = f->first;
    size_t left = tcp_first_space(f);
    uint32_t n = (uint32_t)(len < left ? len : left);
    if (first->len + n > first->room) {
        uint32_t room = first->room == 0 ? ROOM_FIRST : first->room;
        while (room < first->len + n) {
            room *= 2;
        }
        uint8_t *bigger = realloc(first->data, room);
        if (bigger == NULL) {
            return -ENOMEM;
        }
        first->data = bigger;
        first->room = room;
    }
    if (n > 0) {
        memcpy(first->data + first->len, data, n);
        first->len += n;
    }
    return n;
}

bool tcp_first_all_passed(const struct tcp_flow *f)
{
    return f->first == NULL || f->first->passed == f->first->len;
}

int tcp_first_pass(struct tcp_flow *f)
{
    struct first_bytes *first = f->first;
    if (f->inspection != NULL || !f->passing || f->far != FAR_CONNECTED) {
        return 0;
    }
    if (!tcp_first_all_passed(f)) {
        ssize_t n =
            host_socket_write(&f->host, first->data + first->passed, first->len - first->passed);
        if (n < 0) {
            return (int)n;
        }
        first->passed += (uint32_t)n;
        if (!tcp_first_all_passed(f)) {
            return 0;
        }
    }
    if (!f->watching && first != NULL) {
        tcp_first_free(f);
        tcp_flow_classify(f);
    }
    if (f->finish_due) {
        f->finish_due = false;
        host_socket_finish(&f->host);
    }
    return 0;
}

/* More bytes of a first flight that is kept. */
static ssize_t take_more(struct tcp_flow *f, const uint8_t *data, size_t len)
{
    ssize_t n = keep(f, data, len);
    if (n < 0 || !f->watching) {
        return n;
    }
    if (!look(f, &f->first->view, f->first->data, f->first->len)) {
        return -EACCES;
    }
    int r = f->strict && !f->watching ? begin_inspection(f, false) : 0;
    return r < 0 ? r : n;
}

/* The first bytes of all. What the host does not take of them at once is kept: those that were
 * looked at are those that are passed on. */
static ssize_t take_new(struct tcp_flow *f, const uint8_t *data, size_t len)
{
    struct first_flight_view view = {0};
    if (!look(f, &view, data, len)) {
        return -EACCES;
    }
    if (f->strict && !f->watching) {
        int r = intercept_choose(f, &view, false, data, len);
        if (r != 0) {
            return r < 0 ? r : (ssize_t)len;
        }
    }
    ssize_t passed = 0;
    if (!f->watching && f->far == FAR_CONNECTED) {
        passed = host_socket_write(&f->host, data, len);
        if (passed < 0 || (size_t)passed == len) {
            return passed;
        }
    }
    f->first = calloc(1, sizeof(*f->first));
    if (f->first == NULL) {
        return -ENOMEM;
    }
    f->first->view = view;
    ssize_t kept = keep(f, data + passed, len - (size_t)passed);
    return kept < 0 ? kept : passed + kept;
}

ssize_t tcp_first_take(struct tcp_flow *f, const uint8_t *data, size_t len)
{
    ssize_t n = f->first != NULL ? take_more(f, data, len) : take_new(f, data, len);
    if (n < 0) {
        return n;
    }
    tcp_flow_classify(f);
    int r = tcp_first_pass(f);
    tcp_far_gained(&f->ep);
    return r < 0 ? r : n;
}
