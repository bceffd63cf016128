/* Requests and rules about them, one by one: what an allow must not take for what it is for, and
 * what a deny has to. */
#include "policy/fixture.h"

#include "policy/http_match.h"

struct sent {
    const char *method, *path;
    const char *fields[6][2]; /* up to a NULL */
};

static bool sent_field(const void *user, size_t n, const char **ret_name, size_t *ret_name_len,
                       const char **ret_value, size_t *ret_value_len)
{
    const struct sent *sent = user;
    if (n >= 6 || sent->fields[n][0] == NULL) {
        return false;
    }
    *ret_name = sent->fields[n][0];
    *ret_name_len = strlen(*ret_name);
    *ret_value = sent->fields[n][1];
    *ret_value_len = strlen(*ret_value);
    return true;
}

static ln_miss miss_of(ln_action action, const ln_http_match *match, const struct sent *sent)
{
    ln_http_request request = {
        .method = sent->method,
        .method_len = strlen(sent->method),
        .path = sent->path,
        .path_len = strlen(sent->path),
        .field = sent_field,
        .user = sent,
    };
    ln_rule rule = {.action = action, .http = match};
    struct http_facts facts;
    http_facts_read(&facts, &request);
    return http_miss(&rule, &facts);
}

static bool allows(const char *pattern, const char *path)
{
    ln_http_match match = {.path = pattern};
    struct sent sent = {.method = "GET", .path = path};
    return miss_of(LN_ALLOW, &match, &sent) == LN_MATCHED;
}

static bool denies(const char *pattern, const char *path)
{
    ln_http_match match = {.path = pattern};
    struct sent sent = {.method = "GET", .path = path};
    return miss_of(LN_DENY, &match, &sent) == LN_MATCHED;
}

#define EACH(name, list) for (size_t name = 0; name < sizeof(list) / sizeof(*(list)); name++)

static void test_a_path_matches_its_pattern(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"/repos/*", "/repos/"},
        {"/repos/*", "/repos/a/b?c=/../d"},
        {"/repos/*", "/%72epos/a"},
        {"/repos/*", "/repos/%61%2e%2Eb"},
        {"/a", "/a?"},
        {"/a", "/a?b#c"},
        {"/*/issues", "/a/b/issues"},
        {"/*b*d", "/abcd"},
        {"/a b", "/a%20b"},
        {"/@x", "/%40x"},
        {"/caf\xc3\xa9", "/caf%C3%a9"},
        {"/a/*", "/a/./b"},
        {"/a/*", "/a/b/../c"},
        {"/*", "/a%2fb"},
        {"/*", "//a/b"},
        {"/*", "/.."},
    };
    EACH(i, same)
    {
        assert_true(allows(same[i][0], same[i][1]));
        assert_true(denies(same[i][0], same[i][1]));
    }
    static const char *const others[][2] = {
        {"/repos/*", "/repos"}, {"/a", "/ab"},   {"/a", "/"},     {"/*/x", "/x"},
        {"/a*b", "/a"},         {"/ab", "/a?b"}, {"/a/*", "/b/"}, {"/*bd", "/abcd"},
    };
    EACH(i, others)
    {
        assert_false(allows(others[i][0], others[i][1]));
        assert_false(denies(others[i][0], others[i][1]));
    }
}

/* Each of these is /admin, or below it, to some server. */
static const char *const admins[] = {
    "/admin",
    "/admin/",
    "/ADMIN",
    "/%61dmin",
    "/%41DMIN/",
    "//admin",
    "///admin//",
    "/./admin",
    "/public/../admin",
    "/public/%2e%2e/admin",
    "/public/.%2E/admin",
    "/public/%2e./admin?x",
    "/public/..%2fadmin",
    "/public/..%5cadmin",
    "/public/..\\admin",
    "/public\\..\\admin",
    "/public/..;/admin",
    "/public/..;x=1/admin",
    "/;/admin",
    "/admin;x",
    "/admin;/",
    "/admin%3bx",
    "/admin#x",
    "/admin%23",
    "/admin%3f",
    "/admin%00",
    "/admin%09",
    "/ad\tmin",
    "/%2561dmin",
    "/public/%252e%252e/admin",
    "/public/%c0%ae%c0%ae/admin",
    "/public/%c0%af../admin",
    "/public/%u002e%u002e/admin",
    "/public/\xc0\xae\xc0\xae/admin",
    "/%2fadmin",
    "/%5cadmin",
    "/\\admin",
    "\\admin",
    "http://host/admin",
    "//host/admin",
    "/a/../../admin",
    "/../admin",
    "/admin/x/..",
    "/admin/.",
    "/x/..//admin",
    "/x/.//..//admin",
    "/.;/admin",
    "/a/..;/..;/admin",
    "/x%2f..%2fadmin",
    "/x%2f%2e%2e/admin",
    "admin",
    "",
};

static void test_no_spelling_of_a_denied_path_gets_by(void **state)
{
    (void)state;
    EACH(i, admins)
    {
        if (!denies("/admin", admins[i]) || !denies("/admin*", admins[i]) ||
            !denies("/admin/", admins[i]) || !denies("/Admin", admins[i])) {
            fail_msg("%s is not denied", admins[i]);
        }
    }
}

static void test_no_other_spelling_passes_for_an_allowed_path(void **state)
{
    (void)state;
    EACH(i, admins)
    {
        if (allows("/public/*", admins[i]) || allows("/x*", admins[i]) ||
            allows("/a/*", admins[i])) {
            fail_msg("%s is taken for what is public", admins[i]);
        }
    }
}

/* What is in doubt behind them does not change the first segments. */
static void test_doubt_about_a_segment_spares_those_before_it(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/npm/@scope%2fname", "/npm//x", "/npm/a;b", "/npm/x#y", "/npm/a\\b", "/npm/%3f",
    };
    EACH(i, paths)
    {
        assert_false(denies("/admin/*", paths[i]));
        assert_false(denies("/npmx/*", paths[i]));
        assert_true(denies("/NPM/*", paths[i]));
        assert_true(denies("/*/name", paths[i]));
        assert_false(allows("/npm/*", paths[i]));
    }
    /* But a way up may. */
    assert_true(denies("/admin/*", "/npm/a%2f..%2f..%2fadmin/"));
    assert_true(denies("/npm/b/*", "/npm/./b/c;d"));
    assert_true(denies("/npm/b/*", "/npm/x..\\b;/d"));
}

static void test_a_path_that_is_too_long_is_in_doubt(void **state)
{
    (void)state;
    static char path[LN_HTTP_PATH_MAX + 2];
    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    path[LN_HTTP_PATH_MAX] = '\0';
    assert_true(allows("/a*", path));
    path[LN_HTTP_PATH_MAX] = 'a';
    assert_false(allows("/a*", path));
    assert_true(denies("/admin", path));
    assert_true(allows("/*", path));
}

static void test_methods(void **state)
{
    (void)state;
    const char *methods[] = {"GET", "POST"};
    ln_http_match match = {.methods = methods, .n_methods = 2};
    struct sent get = {.method = "GET", .path = "*"};
    struct sent lower = {.method = "get", .path = "/"};
    struct sent other = {.method = "GETS", .path = "/"};
    struct sent replaced = {
        .method = "POST", .path = "/", .fields = {{"x_http-METHOD-override", "DELETE"}}};
    struct sent both = {
        .method = "POST", .path = "/", .fields = {{"a", "b"}, {"X-HTTP-Method", "GET"}}};
    assert_int_equal(miss_of(LN_ALLOW, &match, &get), LN_MATCHED);
    assert_int_equal(miss_of(LN_DENY, &match, &get), LN_MATCHED);
    assert_int_equal(miss_of(LN_ALLOW, &match, &lower), LN_MISS_METHOD);
    assert_int_equal(miss_of(LN_DENY, &match, &lower), LN_MATCHED);
    assert_int_equal(miss_of(LN_ALLOW, &match, &other), LN_MISS_METHOD);
    assert_int_equal(miss_of(LN_DENY, &match, &other), LN_MISS_METHOD);
    assert_int_equal(miss_of(LN_ALLOW, &match, &replaced), LN_MISS_METHOD);
    assert_int_equal(miss_of(LN_ALLOW, &match, &both), LN_MATCHED);
    methods[0] = methods[1] = "DELETE";
    assert_int_equal(miss_of(LN_DENY, &match, &replaced), LN_MATCHED);
    assert_int_equal(miss_of(LN_DENY, &match, &both), LN_MISS_METHOD);
}

static void test_headers(void **state)
{
    (void)state;
    const ln_http_match_header header = {"X-Role", "read*"};
    ln_http_match match = {.headers = &header, .n_headers = 1};
    static const struct {
        struct sent sent;
        bool allowed, denied;
    } cases[] = {
        {{"GET", "/", {{NULL}}}, false, false},
        {{"GET", "/", {{"x-role", "reader"}}}, true, true},
        {{"GET", "/", {{"X-Role", "READER"}}}, false, true},
        {{"GET", "/", {{"X-Roles", "reader"}}}, false, false},
        {{"GET", "/", {{"X-Role", "reader"}, {"x-rolE", "read"}}}, true, true},
        {{"GET", "/", {{"X-Role", "reader"}, {"X-Role", "admin"}}}, false, true},
        {{"GET", "/", {{"X_Role", "reader"}}}, false, true},
        {{"GET", "/", {{"X-Role", "reader"}, {"X_Role", "admin"}}}, false, true},
    };
    EACH(i, cases)
    {
        assert_int_equal(miss_of(LN_ALLOW, &match, &cases[i].sent),
                         cases[i].allowed ? LN_MATCHED : LN_MISS_HEADER);
        assert_int_equal(miss_of(LN_DENY, &match, &cases[i].sent),
                         cases[i].denied ? LN_MATCHED : LN_MISS_HEADER);
    }
}

static void test_fields_that_replace_the_path_put_it_in_doubt(void **state)
{
    (void)state;
    ln_http_match match = {.path = "/public/*"};
    ln_http_match all = {.path = "/*"};
    struct sent sent = {"GET", "/public/x", {{"X-Original-URL", "/admin"}}};
    assert_int_equal(miss_of(LN_ALLOW, &match, &sent), LN_MISS_PATH_AMBIGUOUS);
    assert_int_equal(miss_of(LN_ALLOW, &all, &sent), LN_MATCHED);
    match.path = "/admin";
    assert_int_equal(miss_of(LN_DENY, &match, &sent), LN_MATCHED);
}

static void test_what_is_missed_is_told_in_order(void **state)
{
    (void)state;
    const char *get = "GET";
    const ln_http_match_header header = {"a", "b"};
    ln_http_match match = {
        .methods = &get, .n_methods = 1, .path = "/a", .headers = &header, .n_headers = 1};
    struct sent sent = {"PUT", "/b", {{NULL}}};
    assert_int_equal(miss_of(LN_ALLOW, &match, &sent), LN_MISS_METHOD);
    sent.method = "GET";
    assert_int_equal(miss_of(LN_ALLOW, &match, &sent), LN_MISS_PATH);
    sent.path = "/a%2f";
    assert_int_equal(miss_of(LN_ALLOW, &match, &sent), LN_MISS_PATH_AMBIGUOUS);
    sent.path = "/a";
    assert_int_equal(miss_of(LN_ALLOW, &match, &sent), LN_MISS_HEADER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_path_matches_its_pattern),
        cmocka_unit_test(test_no_spelling_of_a_denied_path_gets_by),
        cmocka_unit_test(test_no_other_spelling_passes_for_an_allowed_path),
        cmocka_unit_test(test_doubt_about_a_segment_spares_those_before_it),
        cmocka_unit_test(test_a_path_that_is_too_long_is_in_doubt),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_fields_that_replace_the_path_put_it_in_doubt),
        cmocka_unit_test(test_what_is_missed_is_told_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
