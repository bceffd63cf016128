/* Java's form of a bundle. That Java reads it is shown by tests/run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/java_store.h"

static void test_certificates_become_entries(void **state)
{
    static const char pem[] =
        "comment\n-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n"
        "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"
        "-----BEGIN CERTIFICATE-----\nZGVm\nZw==\n-----END CERTIFICATE-----\n"
        "-----BEGIN CERTIFICATE-----\nYWJj\n";
    static const char expected[] = "\xfe\xed\xfe\xed\0\0\0\2\0\0\0\2"
                                   "\0\0\0\2\0\11lunette-1\0\0\0\0\0\0\0\0\0\5X.509\0\0\0\3abc"
                                   "\0\0\0\2\0\11lunette-2\0\0\0\0\0\0\0\0\0\5X.509\0\0\0\4defg"
                                   "\xf9\x5b";
    uint8_t *store;
    size_t len;
    (void)state;
    assert_int_equal(java_store_make(pem, &store, &len), 0);
    assert_int_equal(len, sizeof(expected) - 3 + 20);
    assert_memory_equal(store, expected, sizeof(expected) - 3);
    free(store);
}

static void test_no_certificates_are_a_store_too(void **state)
{
    /* As `keytool` would leave it: SHA-1 of the password in UTF-16, a name, and the header. */
    static const uint8_t expected[] = {0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 0};
    uint8_t *store;
    size_t len;
    (void)state;
    assert_int_equal(java_store_make("", &store, &len), 0);
    assert_int_equal(len, sizeof(expected) + 20);
    assert_memory_equal(store, expected, sizeof(expected));
    free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificates_become_entries),
        cmocka_unit_test(test_no_certificates_are_a_store_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
