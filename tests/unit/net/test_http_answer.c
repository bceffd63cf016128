/* What the guest gets to read when a request is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/http_judge.h"

static const struct http_refusal refusal = {
    .status = 403,
    .layer = "http",
    .reason = "rule",
    .host = "api.test",
    .method = "POST",
    .path = "/a\"b",
    .rule = 3,
    .source_file = "policy.lua",
    .source_line = 7,
    .next = "ask",
};

static void test_as_text_each_field_is_a_line(void **state)
{
    char *words = http_answer_words(&refusal, false);
    (void)state;
    assert_string_equal(words, "refused by lunette\nlayer: http\nreason: rule\nhost: api.test\n"
                               "method: POST\npath: /a\"b\nrule: 3\nsource: policy.lua:7\n"
                               "next step: ask\n");
    free(words);
}

static void test_as_json_texts_are_escaped(void **state)
{
    char *words = http_answer_words(&refusal, true);
    (void)state;
    assert_string_equal(words,
                        "{\"error\":\"refused by lunette\",\"layer\":\"http\",\"reason\":\"rule\","
                        "\"host\":\"api.test\",\"method\":\"POST\",\"path\":\"/a\\\"b\","
                        "\"rule\":3,\"source\":\"policy.lua:7\",\"next_step\":\"ask\"}\n");
    free(words);
}

static void test_a_path_that_is_too_long_is_left_out(void **state)
{
    char path[20000];
    struct http_refusal long_one = refusal;
    (void)state;
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    long_one.path = path;
    char *words = http_answer_words(&long_one, false);
    assert_non_null(strstr(words, "host: api.test\nrule: 3"));
    assert_non_null(strstr(words, "next step: ask\n"));
    free(words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_text_each_field_is_a_line),
        cmocka_unit_test(test_as_json_texts_are_escaped),
        cmocka_unit_test(test_a_path_that_is_too_long_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
