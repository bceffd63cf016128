/* Pins: how long they live, who goes when there is no room, and that memory may run out. */
#include "policy/fixture.h"

#include "failing_alloc.h"
#include "policy/pins.h"

#define A "203.0.113.1"
#define B "203.0.113.2"
#define C "203.0.113.3"

static int add(ln_pins *pins, const char *name, const char *addr, uint64_t now_ns,
               uint64_t expires_ns)
{
    ln_addr parsed = addr_of(addr);
    return ln_pins_add(pins, name, &parsed, now_ns, expires_ns);
}

static bool has(const ln_pins *pins, const char *name, const char *addr, uint64_t now_ns)
{
    ln_addr parsed = addr_of(addr);
    return ln_pins_has(pins, name, &parsed, now_ns);
}

static void hold(ln_pins *pins, const char *addr)
{
    ln_addr parsed = addr_of(addr);
    ln_pins_hold(pins, &parsed);
}

static void release(ln_pins *pins, const char *addr, uint64_t now_ns)
{
    ln_addr parsed = addr_of(addr);
    ln_pins_release(pins, &parsed, now_ns);
}

static size_t count_names(const ln_pins *pins, const char *addr, uint64_t now_ns)
{
    const char *names[64];
    ln_addr parsed = addr_of(addr);
    return ln_pins_names(pins, &parsed, now_ns, names, 64);
}

static void count_visit(void *user, const char *name, const ln_addr *addr, uint64_t expires_ns)
{
    (void)name, (void)addr, (void)expires_ns;
    ++*(size_t *)user;
}

static size_t count_all(const ln_pins *pins, uint64_t now_ns)
{
    size_t n = 0;
    ln_pins_each(pins, now_ns, count_visit, &n);
    return n;
}

/* ---- life ---- */

static void test_a_pin_joins_that_name_and_that_address_only(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(8, 8);
    assert_int_equal(add(pins, "a.example", A, 0, 100), 0);
    assert_true(has(pins, "a.example", A, 0));
    assert_false(has(pins, "a.example", B, 0));
    assert_false(has(pins, "b.example", A, 0));
    assert_false(has(pins, "a.exampl", A, 0));
    ln_pins_free(pins);
}

static void test_a_new_answer_adds_to_a_names_pins(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(8, 8);
    add(pins, "a.example", A, 0, 100);
    add(pins, "a.example", B, 50, 150);
    assert_true(has(pins, "a.example", A, 60));
    assert_true(has(pins, "a.example", B, 60));
    ln_pins_free(pins);
}

static void test_a_pin_lives_until_it_expires(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(8, 8);
    add(pins, "a.example", A, 0, 100);
    assert_true(has(pins, "a.example", A, 99));
    assert_false(has(pins, "a.example", A, 100));
    assert_int_equal(count_names(pins, A, 99), 1);
    assert_int_equal(count_names(pins, A, 100), 0);
    assert_int_equal(count_all(pins, 99), 1);
    assert_int_equal(count_all(pins, 100), 0);
    ln_pins_free(pins);
}

static void test_a_pin_lives_on_to_the_later_of_two_expiries(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(8, 8);
    add(pins, "a.example", A, 0, 100);
    add(pins, "a.example", A, 10, 50);
    assert_true(has(pins, "a.example", A, 99));
    add(pins, "a.example", A, 20, 200);
    assert_true(has(pins, "a.example", A, 199));
    assert_false(has(pins, "a.example", A, 200));
    assert_int_equal(count_all(pins, 0), 1);
    ln_pins_free(pins);
}

static void test_a_pin_may_live_for_ever(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(8, 8);
    add(pins, "a.example", A, 0, UINT64_MAX);
    ln_pins_expire(pins, UINT64_MAX - 1);
    assert_true(has(pins, "a.example", A, UINT64_MAX - 1));
    ln_pins_free(pins);
}

static void test_expiring_gives_back_what_is_dead_and_keeps_what_lives(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(2, 8);
    add(pins, "dead.example", A, 0, 100);
    add(pins, "live.example", B, 0, 300);
    add(pins, "live.example", A, 0, 100);
    ln_pins_expire(pins, 200);
    assert_int_equal(count_all(pins, 0), 1); /* at time 0 all would live, were they still there */
    assert_true(has(pins, "live.example", B, 200));
    ln_pins_free(pins);
}

static void test_expiring_gets_to_every_pin_in_bounded_steps(void **state)
{
    (void)state;
    enum { NAMES = 4096 };
    ln_pins *pins = pins_of(NAMES, 2);
    for (int i = 0; i < NAMES; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%d.example", i);
        assert_int_equal(add(pins, name, A, 0, 100), 0);
        assert_int_equal(add(pins, name, B, 0, 100), 0);
    }
    size_t left = count_all(pins, 0);
    assert_int_equal(left, 2 * NAMES);
    for (int calls = 0; left > 0; calls++) {
        ln_pins_expire(pins, 100);
        size_t now_left = count_all(pins, 0);
        assert_true(left - now_left <= 1024);
        left = now_left;
        assert_in_range(calls, 0, 64);
    }
    ln_pins_free(pins);
}

/* ---- holds ---- */

static void test_a_held_pin_does_not_expire_until_it_is_released(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(8, 8);
    add(pins, "a.example", A, 0, 100);
    hold(pins, A);
    hold(pins, A);
    ln_pins_expire(pins, 200);
    assert_true(has(pins, "a.example", A, 200));
    release(pins, A, 200);
    assert_true(has(pins, "a.example", A, 200));
    release(pins, A, 200);
    assert_false(has(pins, "a.example", A, 200));
    assert_int_equal(count_all(pins, 0), 0);
    ln_pins_free(pins);
}

static void test_a_released_pin_lives_on_to_its_expiry(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(8, 8);
    add(pins, "a.example", A, 0, 100);
    hold(pins, A);
    release(pins, A, 50);
    assert_true(has(pins, "a.example", A, 99));
    assert_false(has(pins, "a.example", A, 100));
    ln_pins_free(pins);
}

static void test_a_dead_pin_does_not_come_alive_by_being_held(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(8, 8);
    add(pins, "a.example", A, 0, 100);
    add(pins, "b.example", A, 0, 300);
    add(pins, "c.example", B, 150, 300); /* tells the time */
    hold(pins, A);
    assert_false(has(pins, "a.example", A, 200));
    assert_true(has(pins, "b.example", A, 500));
    release(pins, A, 500);
    ln_pins_free(pins);
}

static void test_an_address_may_be_held_before_it_has_a_pin(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(8, 8);
    hold(pins, A);
    add(pins, "a.example", A, 0, 100);
    ln_pins_expire(pins, 200);
    assert_true(has(pins, "a.example", A, 200));
    release(pins, A, 200);
    assert_false(has(pins, "a.example", A, 200));
    hold(pins, B);
    release(pins, B, 200);
    ln_pins_free(pins);
}

static void test_a_release_too_many_is_harmless(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(8, 8);
    release(pins, A, 0);
    add(pins, "a.example", A, 0, 100);
    release(pins, A, 0);
    assert_true(has(pins, "a.example", A, 0));
    ln_pins_free(pins);
}

/* ---- bounds ---- */

static void test_names_that_cannot_be_are_refused(void **state)
{
    (void)state;
    char longest[LN_NAME_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[LN_NAME_MAX + 1] = '\0';
    ln_pins *pins = pins_of(8, 8);
    assert_int_equal(add(pins, longest, A, 0, 100), -EINVAL);
    assert_int_equal(add(pins, "", A, 0, 100), -EINVAL);
    longest[LN_NAME_MAX] = '\0';
    assert_int_equal(add(pins, longest, A, 0, 100), 0);
    ln_pins_free(pins);
    pins = pins_of(0, 8);
    assert_int_equal(add(pins, "a.example", A, 0, 100), -ENOSPC);
    ln_pins_free(pins);
    pins = pins_of(8, 0);
    assert_int_equal(add(pins, "a.example", A, 0, 100), -EINVAL);
    ln_pins_free(pins);
}

static void test_when_full_the_name_least_recently_added_goes(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(2, 8);
    add(pins, "a.example", A, 0, 100);
    add(pins, "b.example", B, 0, 100);
    add(pins, "a.example", A, 1, 100); /* now b is the older one */
    add(pins, "c.example", C, 2, 100);
    assert_true(has(pins, "a.example", A, 2));
    assert_false(has(pins, "b.example", B, 2));
    assert_true(has(pins, "c.example", C, 2));
    ln_pins_free(pins);
}

static void test_using_a_name_keeps_it_from_going_first(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(2, 8);
    add(pins, "a.example", A, 0, 100);
    add(pins, "b.example", B, 0, 100);
    hold(pins, A);
    release(pins, A, 1);
    add(pins, "c.example", C, 2, 100);
    assert_true(has(pins, "a.example", A, 2));
    assert_false(has(pins, "b.example", B, 2));
    ln_pins_free(pins);
}

static void test_a_held_name_never_goes(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(2, 8);
    add(pins, "a.example", A, 0, 100);
    hold(pins, A);
    add(pins, "b.example", B, 0, 100);
    add(pins, "c.example", C, 0, 100);
    assert_true(has(pins, "a.example", A, 0));
    assert_false(has(pins, "b.example", B, 0));
    hold(pins, C);
    assert_int_equal(add(pins, "d.example", B, 0, 100), -ENOSPC);
    assert_true(has(pins, "c.example", C, 0));
    release(pins, C, 0);
    assert_int_equal(add(pins, "d.example", B, 0, 100), 0);
    assert_false(has(pins, "c.example", C, 0));
    ln_pins_free(pins);
}

static void test_a_full_name_drops_the_address_added_longest_ago_that_is_not_held(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(8, 2);
    add(pins, "a.example", A, 0, 100);
    add(pins, "a.example", B, 0, 100);
    add(pins, "a.example", A, 1, 100);
    add(pins, "a.example", C, 2, 100);
    assert_true(has(pins, "a.example", A, 2));
    assert_false(has(pins, "a.example", B, 2));
    assert_true(has(pins, "a.example", C, 2));
    hold(pins, A);
    add(pins, "a.example", B, 3, 100);
    assert_true(has(pins, "a.example", A, 3));
    assert_false(has(pins, "a.example", C, 3));
    hold(pins, B);
    assert_int_equal(add(pins, "a.example", C, 4, 100), -ENOSPC);
    assert_int_equal(count_all(pins, 4), 2);
    ln_pins_free(pins);
}

static void test_names_of_an_address_are_told_up_to_the_room_given(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(8, 8);
    add(pins, "a.example", A, 0, 100);
    add(pins, "b.example", A, 0, 50);
    add(pins, "c.example", A, 0, 100);
    const char *names[4];
    ln_addr addr = addr_of(A);
    assert_int_equal(ln_pins_names(pins, &addr, 60, names, 4), 2);
    assert_string_equal(names[0], "c.example");
    assert_string_equal(names[1], "a.example");
    assert_int_equal(ln_pins_names(pins, &addr, 60, names, 1), 1);
    assert_int_equal(ln_pins_names(pins, &addr, 60, names, 0), 0);
    assert_int_equal(ln_pins_names(NULL, &addr, 60, names, 4), 0);
    size_t n;
    const char *const *list = pins_list(pins, pins_walk(pins, &addr, 60), &n);
    assert_int_equal(n, 2);
    assert_string_equal(list[1], "a.example");
    assert_null(pins_list(NULL, pins_walk(NULL, &addr, 60), &n));
    assert_int_equal(n, 0);
    ln_pins_free(pins);
}

static void test_a_revoked_name_is_gone_though_held_and_its_neighbours_stay(void **state)
{
    (void)state;
    ln_pins *pins = pins_of(2, 8);
    add(pins, "a.example", A, 0, 100);
    add(pins, "a.example", B, 0, 100);
    add(pins, "b.example", A, 0, 100);
    hold(pins, A);
    assert_true(ln_pins_revoke(pins, "a.example"));
    assert_false(ln_pins_revoke(pins, "a.example"));
    assert_false(has(pins, "a.example", A, 0));
    assert_false(has(pins, "a.example", B, 0));
    assert_true(has(pins, "b.example", A, 200));
    add(pins, "c.example", B, 0, 100);
    release(pins, A, 200);
    assert_int_equal(count_all(pins, 0), 1);
    ln_pins_free(pins);
}

/* ---- against a model ---- */

enum { M_NAMES = 10, M_ADDRS = 8, M_MAX_NAMES = 6, M_MAX_ADDRS = 3 };

struct model_pin {
    bool there;
    uint64_t expires_ns, refreshed, made; /* the latter two in steps */
};

struct model {
    struct model_pin pins[M_NAMES][M_ADDRS];
    uint64_t queued[M_NAMES]; /* when the name last went to the head of the queue */
    uint32_t holds[M_ADDRS];
    uint64_t now_ns, steps;
};

static uint32_t model_count(const struct model *m, uint32_t name)
{
    uint32_t n = 0;
    for (uint32_t a = 0; a < M_ADDRS; a++) {
        n += m->pins[name][a].there;
    }
    return n;
}

static bool model_held(const struct model *m, uint32_t name)
{
    bool held = false;
    for (uint32_t a = 0; a < M_ADDRS; a++) {
        held |= m->pins[name][a].there && m->holds[a] > 0;
    }
    return held;
}

static void model_expire_addr(struct model *m, uint32_t addr)
{
    for (uint32_t n = 0; n < M_NAMES; n++) {
        if (m->holds[addr] == 0 && m->pins[n][addr].expires_ns <= m->now_ns) {
            m->pins[n][addr].there = false;
        }
    }
}

static bool model_make_name(struct model *m, uint32_t name)
{
    uint32_t names = 0;
    uint32_t victim = M_NAMES;
    for (uint32_t n = 0; n < M_NAMES; n++) {
        bool there = model_count(m, n) > 0;
        names += there;
        if (there && !model_held(m, n) && (victim == M_NAMES || m->queued[n] < m->queued[victim])) {
            victim = n;
        }
    }
    if (model_count(m, name) == 0 && names == M_MAX_NAMES) {
        if (victim == M_NAMES) {
            return false;
        }
        memset(m->pins[victim], 0, sizeof(m->pins[victim]));
    }
    return true;
}

static bool model_make_addr(struct model *m, uint32_t name)
{
    uint32_t victim = M_ADDRS;
    for (uint32_t a = 0; a < M_ADDRS; a++) {
        const struct model_pin *at = &m->pins[name][a];
        if (at->there && m->holds[a] == 0 &&
            (victim == M_ADDRS || at->refreshed < m->pins[name][victim].refreshed)) {
            victim = a;
        }
    }
    if (model_count(m, name) == M_MAX_ADDRS) {
        if (victim == M_ADDRS) {
            return false;
        }
        m->pins[name][victim].there = false;
    }
    return true;
}

static int model_add(struct model *m, uint32_t name, uint32_t addr, uint64_t expires_ns)
{
    if (!model_make_name(m, name)) {
        return -ENOSPC;
    }
    struct model_pin *at = &m->pins[name][addr];
    int r = 0;
    if (at->there) {
        at->expires_ns = expires_ns > at->expires_ns ? expires_ns : at->expires_ns;
        at->refreshed = m->steps;
    } else if (model_make_addr(m, name)) {
        *at = (struct model_pin){true, expires_ns, m->steps, m->steps};
    } else {
        r = -ENOSPC;
    }
    m->queued[name] = m->steps;
    return r;
}

static void model_release(struct model *m, uint32_t addr)
{
    if (m->holds[addr] == 0 || --m->holds[addr] > 0) {
        return;
    }
    /* Names go to the head of the queue in the order in which their pins were made, last first. */
    for (uint64_t made = m->steps;; made--) {
        for (uint32_t n = 0; n < M_NAMES; n++) {
            const struct model_pin *at = &m->pins[n][addr];
            if (at->there && at->made == made && !model_held(m, n)) {
                m->queued[n] = m->steps++;
            }
        }
        if (made == 0) {
            break;
        }
    }
    model_expire_addr(m, addr);
}

static void assert_as_model(const ln_pins *pins, const struct model *m, char names[][32],
                            const ln_addr *addrs)
{
    for (uint32_t a = 0; a < M_ADDRS; a++) {
        size_t live = 0;
        for (uint32_t n = 0; n < M_NAMES; n++) {
            const struct model_pin *at = &m->pins[n][a];
            bool lives = at->there && (m->holds[a] > 0 || at->expires_ns > m->now_ns);
            live += lives;
            if (ln_pins_has(pins, names[n], &addrs[a], m->now_ns) != lives) {
                fail_msg("step %llu: name %u, address %u: expected %d",
                         (unsigned long long)m->steps, n, a, lives);
            }
        }
        const char *found[M_NAMES];
        assert_int_equal(ln_pins_names(pins, &addrs[a], m->now_ns, found, M_NAMES), live);
    }
}

static void test_a_long_random_history_agrees_with_a_model(void **state)
{
    (void)state;
    struct rng rng = rng_start(__func__, 4);
    char names[M_NAMES][32];
    ln_addr addrs[M_ADDRS];
    for (uint32_t n = 0; n < M_NAMES; n++) {
        snprintf(names[n], sizeof(names[n]), "n%u.example", n);
    }
    for (uint32_t a = 0; a < M_ADDRS; a++) {
        addrs[a] = ln_addr_v4(0xcb007100 + a);
    }
    for (int round = 0; round < 40; round++) {
        ln_pins *pins = pins_of(M_MAX_NAMES, M_MAX_ADDRS);
        struct model m = {.steps = 1};
        for (int i = 0; i < 400; i++, m.steps++) {
            uint32_t n = rng_below(&rng, M_NAMES);
            uint32_t a = rng_below(&rng, M_ADDRS);
            m.now_ns += rng_below(&rng, 3);
            switch (rng_below(&rng, 8)) {
            case 0:
            case 1:
            case 2: {
                uint64_t expires_ns = m.now_ns + 1 + rng_below(&rng, 40);
                assert_int_equal(ln_pins_add(pins, names[n], &addrs[a], m.now_ns, expires_ns),
                                 model_add(&m, n, a, expires_ns));
                break;
            }
            case 3:
                ln_pins_expire(pins, m.now_ns);
                for (uint32_t k = 0; k < M_ADDRS; k++) {
                    model_expire_addr(&m, k);
                }
                break;
            case 4:
                ln_pins_release(pins, &addrs[a], m.now_ns);
                model_release(&m, a);
                break;
            case 5:
                if (rng_chance(&rng, 20)) {
                    assert_int_equal(ln_pins_revoke(pins, names[n]), model_count(&m, n) > 0);
                    memset(m.pins[n], 0, sizeof(m.pins[n]));
                }
                break;
            default:
                if (rng_chance(&rng, 60)) {
                    /* ln_pins_hold() goes by the time last told. */
                    ln_pins_expire(pins, m.now_ns);
                    for (uint32_t k = 0; k < M_ADDRS; k++) {
                        model_expire_addr(&m, k);
                    }
                    ln_pins_hold(pins, &addrs[a]);
                    m.holds[a]++;
                }
            }
            assert_as_model(pins, &m, names, addrs);
        }
        ln_pins_free(pins);
    }
}

/* ---- memory ---- */

/* One history of every call. */
static void use_pins(ln_pins *pins)
{
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%d.example", i % 24);
        ln_addr addr = ln_addr_v4(0xcb007100 + (uint32_t)i % 7);
        ln_pins_hold(pins, &addr);
        int r = ln_pins_add(pins, name, &addr, 0, 100);
        assert_true(r == 0 || r == -ENOMEM || r == -ENOSPC);
        assert_true(r != 0 || ln_pins_has(pins, name, &addr, 0));
        size_t n;
        pins_list(pins, pins_walk(pins, &addr, 0), &n);
        if (i % 3 != 0) {
            ln_pins_release(pins, &addr, 0);
        }
    }
    for (uint32_t i = 0; i < 40; i++) {
        ln_addr addr = ln_addr_v4(0xcb007100 + i % 7);
        ln_pins_release(pins, &addr, 200);
    }
    ln_pins_expire(pins, 200);
    assert_int_equal(count_all(pins, 0), 0);
}

static void test_memory_that_runs_out_at_any_point_does_no_harm(void **state)
{
    (void)state;
    static const uint8_t key[16] = {0};
    for (long n = 0;; n++) {
        allocations_left = n;
        ln_pins *pins = ln_pins_new(20, 4, key);
        bool made = pins != NULL;
        if (made) {
            use_pins(pins);
        }
        bool failed = allocations_left == 0;
        allocations_left = -1;
        ln_pins_free(pins);
        assert_true(made || failed);
        if (!failed) {
            assert_true(n > 40);
            break;
        }
    }
}

/* One allocation fails, those before and behind it succeed. */
static void test_an_add_that_ran_out_of_memory_changes_nothing_for_others(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        ln_pins *pins = pins_of(8, 8);
        add(pins, "a.example", A, 0, 100);
        hold(pins, A);
        allocations_left = n;
        int r = add(pins, "b.example", B, 0, 100);
        allocations_left = -1;
        assert_true(has(pins, "a.example", A, 0));
        assert_int_equal(has(pins, "b.example", B, 0), r == 0);
        assert_int_equal(count_all(pins, 0), r == 0 ? 2 : 1);
        ln_pins_free(pins);
        if (r == 0) {
            assert_true(n >= 3);
            break;
        }
        assert_int_equal(r, -ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pin_joins_that_name_and_that_address_only),
        cmocka_unit_test(test_a_new_answer_adds_to_a_names_pins),
        cmocka_unit_test(test_a_pin_lives_until_it_expires),
        cmocka_unit_test(test_a_pin_lives_on_to_the_later_of_two_expiries),
        cmocka_unit_test(test_a_pin_may_live_for_ever),
        cmocka_unit_test(test_expiring_gives_back_what_is_dead_and_keeps_what_lives),
        cmocka_unit_test(test_expiring_gets_to_every_pin_in_bounded_steps),
        cmocka_unit_test(test_a_held_pin_does_not_expire_until_it_is_released),
        cmocka_unit_test(test_a_released_pin_lives_on_to_its_expiry),
        cmocka_unit_test(test_a_dead_pin_does_not_come_alive_by_being_held),
        cmocka_unit_test(test_an_address_may_be_held_before_it_has_a_pin),
        cmocka_unit_test(test_a_release_too_many_is_harmless),
        cmocka_unit_test(test_names_that_cannot_be_are_refused),
        cmocka_unit_test(test_when_full_the_name_least_recently_added_goes),
        cmocka_unit_test(test_using_a_name_keeps_it_from_going_first),
        cmocka_unit_test(test_a_held_name_never_goes),
        cmocka_unit_test(test_a_full_name_drops_the_address_added_longest_ago_that_is_not_held),
        cmocka_unit_test(test_names_of_an_address_are_told_up_to_the_room_given),
        cmocka_unit_test(test_a_revoked_name_is_gone_though_held_and_its_neighbours_stay),
        cmocka_unit_test(test_a_long_random_history_agrees_with_a_model),
        cmocka_unit_test(test_memory_that_runs_out_at_any_point_does_no_harm),
        cmocka_unit_test(test_an_add_that_ran_out_of_memory_changes_nothing_for_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
