/* resolv.conf(5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/resolv_conf.h"

static struct nameservers parse(const char *text)
{
    struct nameservers found;
    size_t len = strlen(text);
    char *copy = malloc(len == 0 ? 1 : len); /* of the exact size, without terminator */
    memcpy(copy, text, len);
    resolv_conf_parse(copy, len, &found);
    free(copy);
    return found;
}

static void assert_server(const struct nameservers *found, size_t i, const char *want)
{
    char text[LN_ADDR_TEXT_MAX];
    assert_true(i < found->n);
    ln_addr_format(&found->at[i].addr, text);
    assert_string_equal(text, want);
    assert_int_equal(found->at[i].port, 53);
}

static void test_nameserver_lines_count_in_order(void **state)
{
    (void)state;
    struct nameservers found = parse("# a comment\n"
                                     "domain example.com\n"
                                     "nameserver 192.0.2.1\n"
                                     "search nameserver 192.0.2.9\n"
                                     "\tnameserver\t 2001:db8::1 \t # why not\r\n"
                                     "options edns0\n"
                                     "nameserver 192.0.2.2");
    assert_int_equal(found.n, 3);
    assert_server(&found, 0, "192.0.2.1");
    assert_server(&found, 1, "2001:db8::1");
    assert_server(&found, 2, "192.0.2.2");
}

static void test_what_is_no_address_is_passed_over(void **state)
{
    (void)state;
    struct nameservers found =
        parse("nameserver\nnameserver \nnameserver x\n;nameserver 192.0.2.1\n"
              "nameserver192.0.2.1\nnameservers 192.0.2.1\n"
              "nameserver 1.2.3\nnameserver 192.0.2.1/24\n"
              "nameserver fe80::1%nosuchif\nnameserver fe80::1%\n");
    assert_int_equal(found.n, 0);
    assert_int_equal(parse("").n, 0);
    assert_int_equal(parse("n").n, 0);
}

static void test_link_local_server_has_its_interface(void **state)
{
    (void)state;
    struct nameservers found = parse("nameserver fe80::1%lo\nnameserver fe80::2%7\n");
    assert_int_equal(found.n, 2);
    assert_int_equal(found.at[0].scope_id, 1);
    assert_int_equal(found.at[1].scope_id, 7);
}

static void test_eight_servers_are_the_most(void **state)
{
    (void)state;
    char text[1024] = "";
    for (int i = 0; i < 20; i++) {
        sprintf(text + strlen(text), "nameserver 192.0.2.%d\n", i);
    }
    struct nameservers found = parse(text);
    assert_int_equal(found.n, NAMESERVERS_MAX);
    assert_server(&found, 7, "192.0.2.7");
}

static void test_missing_or_empty_file_means_this_machine(void **state)
{
    (void)state;
    struct nameservers found;
    assert_int_equal(resolv_conf_read("/nonexistent/resolv.conf", &found), 0);
    assert_int_equal(found.n, 1);
    assert_server(&found, 0, "127.0.0.1");
    assert_int_equal(resolv_conf_read("/dev/null", &found), 0);
    assert_server(&found, 0, "127.0.0.1");
    assert_true(resolv_conf_read("/", &found) < 0);
}

static void test_endless_file_is_read_in_part(void **state)
{
    (void)state;
    struct nameservers found;
    assert_int_equal(resolv_conf_read("/dev/zero", &found), 0);
    assert_int_equal(found.n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nameserver_lines_count_in_order),
        cmocka_unit_test(test_what_is_no_address_is_passed_over),
        cmocka_unit_test(test_link_local_server_has_its_interface),
        cmocka_unit_test(test_eight_servers_are_the_most),
        cmocka_unit_test(test_missing_or_empty_file_means_this_machine),
        cmocka_unit_test(test_endless_file_is_read_in_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
