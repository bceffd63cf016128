/* Whatever the network does, both streams arrive once, in order and whole, and nothing is left:
 * thousands of connections between the endpoint and a model of a guest, each the course of a seed.
 * SEED=n runs one of them; SEEDS=n so many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stack/tcp_guest.h"

struct course {
    struct world *w;
    struct network net;
    struct guest guest;
    struct dice dice;
    uint64_t far_total;
    bool reads_all; /* nothing is held back any more */
    uint64_t app_ns, connect_ns;
    uint32_t rcv_nxt;
    uint64_t steps;
};

static void deliver_later(struct world *w, const struct seen *s, const uint8_t *payload)
{
    struct course *c = w->user;
    (void)payload;
    network_send(&c->net, (struct flying){.to_guest = true, .seen = *s}, w->now_ns);
}

/* Sets the clock so that the endpoint's numbers wrap around early too. */
static void choose_time(struct course *c)
{
    struct world *w = c->w;
    static struct tcp_endpoint probe;
    probe = (struct tcp_endpoint){0};
    struct guest_segment syn = world_segment(w, TCP_SYN, 1, 0, 1);
    struct packet p;
    HARNESS_CHECK(world_describe(w, &syn, NULL, 0, &p));
    HARNESS_CHECK(tcp_accept(&probe, &w->link, &w->far.far, &p) == 0);
    uint32_t wanted = (uint32_t)-1 - (uint32_t)dice_below(&c->dice, 1000);
    w->now_ns += (uint64_t)(wanted - probe.iss) * 4000;
    tcp_fini(&probe);
}

static void choose_link(struct course *c)
{
    static const uint16_t mtus[] = {1280, 1500, 1500, 9000, 65520};
    struct dice *d = &c->dice;
    struct world *w = c->w;
    w->link.mtu = w->identity.mtu = mtus[dice_below(d, 5)];
    w->link.csum_offload = dice_percent(d, 50);
    w->link.tso = w->link.csum_offload && dice_percent(d, 70);
    if (dice_percent(d, 50)) {
        w->irs = (uint32_t)dice_throw(d);
    } else {
        choose_time(c);
    }
    c->net.dice.state = dice_throw(d);
    c->net.delay_ns = 10000 + dice_below(d, 200000);
    if (dice_percent(d, 75)) {
        c->net.loss = (unsigned)dice_below(d, 12);
        c->net.doubling = (unsigned)dice_below(d, 10);
        c->net.reordering = (unsigned)dice_below(d, 30);
        c->net.refusing = (unsigned)dice_below(d, 20);
    }
}

/* Mostly short streams: what is special about long ones is rare in them too. */
static uint64_t choose_total(struct dice *d)
{
    uint64_t kind = dice_below(d, 10);
    return kind < 2 ? 0 : dice_below(d, kind < 6 ? 3000 : kind < 9 ? 40000 : 500000);
}

static void choose_ends(struct course *c)
{
    static const uint16_t sizes[] = {0, 48, 100, 536, 1460, 9000, 65495};
    struct dice *d = &c->dice;
    struct guest *g = &c->guest;
    g->world = c->w;
    g->net = &c->net;
    g->dice.state = dice_throw(d);
    guest_ask(g, sizes[dice_below(d, 7)], dice_percent(d, 70), (uint8_t)dice_below(d, 10));
    g->mss = dice_percent(d, 50) ? 60000 : c->w->identity.mtu - 60u;
    g->total = choose_total(d);
    g->closes = true;
    g->buffer = (1u << g->rcv_scale) + (uint32_t)dice_below(d, dice_percent(d, 50) ? 5000 : 500000);
    g->rto_ns = 200 * MS_NS;
    g->timeout_ns = TIMER_NEVER;
    c->far_total = choose_total(d);
    c->w->far.room = dice_below(d, dice_percent(d, 50) ? 5000 : 500000);
    c->w->far.promises = dice_percent(d, 10) ? dice_below(d, 20000) : 0;
}

static void start(struct course *c)
{
    struct world *w = c->w;
    struct guest *g = &c->guest;
    w->user = c;
    w->on_segment = deliver_later;
    c->app_ns = w->now_ns;
    c->connect_ns = TIMER_NEVER;
    if (dice_percent(&c->dice, 25)) {
        g->state = GUEST_LISTEN;
        assert_int_equal(tcp_connect(w->ep, &w->link, &w->far.far, &w->address), 0);
        return;
    }
    g->state = GUEST_SYN_SENT;
    guest_emit(g, TCP_SYN, 0, 0);
    g->nxt = g->max = 1;
    guest_arm(g);
}

static void to_endpoint(struct course *c, const struct flying *f)
{
    static uint8_t payload[65536];
    struct world *w = c->w;
    stream_fill(TO_FAR, f->offset, payload, f->len);
    struct packet p;
    HARNESS_CHECK(world_describe(w, &f->segment, payload, f->len, &p));
    if (w->ep->link == NULL) { /* the first SYN */
        HARNESS_CHECK(tcp_accept(w->ep, &w->link, &w->far.far, &p) == 0);
        c->connect_ns = w->now_ns + dice_below(&c->dice, 3 * SECOND_NS);
    } else if (w->ep->state == TCP_CLOSED) {
        tcp_reset_packet(&w->link, &p);
    } else {
        (void)tcp_input(w->ep, &p);
    }
}

/* The far side and the guest's application do a little of what they have to. */
static void run_applications(struct course *c)
{
    struct dice *d = &c->dice;
    struct script_far *far = &c->w->far;
    struct guest *g = &c->guest;
    c->app_ns = c->w->now_ns + 1000 + dice_below(d, dice_percent(d, 5) ? SECOND_NS : 2 * MS_NS);
    uint32_t most = dice_percent(d, 50) ? 2000 : 200000;
    if (far->has < c->far_total || !far->ends) {
        uint64_t more = dice_below(d, most);
        far->has = far->has + more < c->far_total ? far->has + more : c->far_total;
        far->ends = far->has == c->far_total && dice_percent(d, 50);
        tcp_far_readable(c->w->ep);
    }
    if (far->room < 600000 && far->closed == 0) {
        far->room += dice_below(d, most);
        if (dice_percent(d, 50)) { /* a socket does not always tell */
            tcp_far_writable(c->w->ep);
        }
    }
    if (g->written < g->total) {
        uint64_t more = dice_below(d, most);
        g->written = g->written + more < g->total ? g->written + more : g->total;
    }
    guest_drain(g, (uint32_t)dice_below(d, most));
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void check_progress(struct course *c)
{
    struct world *w = c->w;
    struct tcp_endpoint *ep = w->ep;
    if (ep->link == NULL || !w->iss_known) {
        return;
    }
    if (ep->state == TCP_OPEN || ep->state == TCP_TIME_WAIT) {
        HARNESS_CHECK(ep->rcv_nxt - w->irs - 1 - ep->guest_fin == w->far.taken);
        HARNESS_CHECK(ep->snd_una - w->iss - 1 - ep->fin_acked == w->far.discarded);
        HARNESS_CHECK((int32_t)(ep->snd_nxt - ep->snd_una) >= 0);
        HARNESS_CHECK((int32_t)(ep->snd_max - ep->snd_nxt) >= 0);
        HARNESS_CHECK(ep->snd_max - ep->snd_una <= ep->snd_wnd_max + 1);
    }
}

/* One turn. Returns false when nothing will ever happen any more. */
static bool step(struct course *c)
{
    struct world *w = c->w;
    struct guest *g = &c->guest;
    struct flying *first = network_first(&c->net);
    uint64_t next = earliest(timers_next(&w->timers), earliest(c->app_ns, c->connect_ns));
    next = earliest(next, g->timeout_ns);
    next = earliest(next, first != NULL ? first->at_ns : TIMER_NEVER);
    if (next == TIMER_NEVER) {
        return false;
    }
    w->now_ns = next > w->now_ns ? next : w->now_ns;
    w->full = dice_percent(&c->dice, c->net.refusing);
    timers_run(&w->timers, w->now_ns);
    if (c->connect_ns <= w->now_ns) {
        c->connect_ns = TIMER_NEVER;
        tcp_connected(w->ep);
    }
    while ((first = network_first(&c->net)) != NULL && first->at_ns <= w->now_ns) {
        struct flying f = network_take(&c->net, first);
        if (f.to_guest) {
            guest_input(g, &f.seen);
        } else {
            to_endpoint(c, &f);
        }
    }
    if (c->app_ns <= w->now_ns) {
        run_applications(c);
    }
    if (g->timeout_ns <= w->now_ns) {
        guest_timeout(g);
    }
    tcp_flush(&w->link);
    guest_flush(g);
    check_progress(c);
    return true;
}

static bool is_over(const struct course *c)
{
    return c->w->ep->state == TCP_CLOSED && c->net.n == 0 &&
           (guest_is_done(&c->guest) || c->guest.reset);
}

static void run_course(uint64_t seed)
{
    struct course *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->dice.state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    c->w = world_new(dice_percent(&c->dice, 50));
    choose_link(c);
    choose_ends(c);
    start(c);
    uint64_t begun_ns = c->w->now_ns;
    while (!is_over(c)) {
        bool stuck = !step(c) || ++c->steps > 2000000 || c->w->now_ns - begun_ns > 3600 * SECOND_NS;
        if (stuck) {
            fprintf(stderr,
                    "seed %llu: stuck after %llu steps, %llu ms: %s, taken %llu of %llu, "
                    "received %llu of %llu\n",
                    (unsigned long long)seed, (unsigned long long)c->steps,
                    (unsigned long long)((c->w->now_ns - begun_ns) / MS_NS),
                    tcp_state_name((enum tcp_state)c->w->ep->state),
                    (unsigned long long)c->w->far.taken, (unsigned long long)c->guest.total,
                    (unsigned long long)c->guest.received, (unsigned long long)c->far_total);
            abort();
        }
    }
    const struct script_far *far = &c->w->far;
    bool whole = !c->guest.reset && far->end == TCP_END_DONE && far->taken == c->guest.total &&
                 far->discarded == c->far_total && c->guest.received == c->far_total;
    bool told_once = far->opened == 1 && far->finished == 1 && far->closed == 1 && far->ended <= 1;
    if (!whole || !told_once) {
        fprintf(stderr, "seed %llu: reset %d, end %d, opened %u, finished %u, closed %u\n",
                (unsigned long long)seed, c->guest.reset, far->end, far->opened, far->finished,
                far->closed);
        abort();
    }
    world_free(c->w);
    free(c);
}

static void test_both_streams_arrive_whole_whatever_the_network_does(void **state)
{
    (void)state;
    const char *one = getenv("SEED");
    const char *many = getenv("SEEDS");
    if (one != NULL) {
        run_course(strtoull(one, NULL, 10));
        return;
    }
    uint64_t n = many != NULL ? strtoull(many, NULL, 10) : 1000;
    for (uint64_t seed = 1; seed <= n; seed++) {
        run_course(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_streams_arrive_whole_whatever_the_network_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
