/* Judging servers' certificates: every fault, and the sentence that goes with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tls/forge.h"
#include "tls/verify.h"

enum { NOW_S = 1780000000 /* 2026-05-28 20:26:40 UTC */ };

static struct forged root, intermediate, leaf;
static struct tls_roots *roots;

static const struct forge root_as = {
    .subject = "CN=test root", .issuer = "CN=test root", .is_ca = true, .path_length = -1};
static const struct forge intermediate_as = {.subject = "CN=test intermediate",
                                             .issuer = "CN=test root",
                                             .signer = &root,
                                             .is_ca = true,
                                             .path_length = 0};
static const struct forge leaf_as = {.subject = "CN=leaf",
                                     .issuer = "CN=test intermediate",
                                     .signer = &intermediate,
                                     .san = "www.example.com",
                                     .san_len = 15,
                                     .path_length = -1};

static int begin(void **state)
{
    (void)state;
    return forge(&root_as, &root) | forge(&intermediate_as, &intermediate) |
           tls_roots_new(root.pem, strlen(root.pem), NULL, &roots, NULL, NULL);
}

static int end(void **state)
{
    (void)state;
    intermediate.certificate.next = NULL;
    forged_free(&root);
    forged_free(&intermediate);
    roots = tls_roots_unref(roots);
    return 0;
}

static struct verifier verifier_for(const char *name)
{
    return (struct verifier){.name = name,
                             .address = ln_addr_v4(0xc0000201),
                             .roots = roots,
                             .now_s = NOW_S,
                             .verify = true};
}

static struct tls_fault judge(struct verifier *v, mbedtls_x509_crt *chain)
{
    struct tls_fault fault = {.name = ""};
    enum verifier_result r = VERIFIER_GOES_ON;
    verifier_start(v, chain);
    for (int i = 0; i < 100 && r == VERIFIER_GOES_ON; i++) {
        r = verifier_step(v, &fault);
    }
    assert_int_equal(r, fault.code == TLS_FAULT_NONE ? VERIFIER_GOOD : VERIFIER_BAD);
    return fault;
}

/* The leaf made like `as`, with the intermediate behind it, looked at for `name`. */
static struct tls_fault judge_leaf(const struct forge *as, const char *name)
{
    assert_int_equal(forge(as, &leaf), 0);
    leaf.certificate.next = &intermediate.certificate;
    struct verifier v = verifier_for(name);
    struct tls_fault fault = judge(&v, &leaf.certificate);
    leaf.certificate.next = NULL;
    forged_free(&leaf);
    return fault;
}

static void test_good_chain_is_trusted(void **state)
{
    (void)state;
    struct tls_fault fault = judge_leaf(&leaf_as, "www.example.com");
    assert_string_equal(fault.message, "");
}

static void test_dates_are_judged_by_the_given_clock(void **state)
{
    (void)state;
    struct forge as = leaf_as;
    as.until = "20260101000000";
    as.from = "20250101000000";
    struct tls_fault fault = judge_leaf(&as, "www.example.com");
    assert_int_equal(fault.code, TLS_FAULT_EXPIRED);
    assert_string_equal(fault.name, "certificate_expired");
    assert_string_equal(fault.message,
                        "the server's certificate expired on 2026-01-01 00:00:00 UTC");
    as = leaf_as;
    as.from = "20260601000000";
    fault = judge_leaf(&as, "www.example.com");
    assert_int_equal(fault.code, TLS_FAULT_NOT_YET_VALID);
    assert_string_equal(fault.message,
                        "the server's certificate is not valid before 2026-06-01 00:00:00 UTC");
}

static void test_expired_root_or_intermediate_is_expired(void **state)
{
    (void)state;
    assert_int_equal(forge(&leaf_as, &leaf), 0);
    leaf.certificate.next = &intermediate.certificate;
    struct verifier v = verifier_for("www.example.com");
    v.now_s += 365 * 86400; /* all of them */
    assert_int_equal(judge(&v, &leaf.certificate).code, TLS_FAULT_EXPIRED);
    leaf.certificate.next = NULL;
    forged_free(&leaf);

    struct forge as = leaf_as;
    as.until = "20300101000000";
    assert_int_equal(forge(&as, &leaf), 0);
    leaf.certificate.next = &intermediate.certificate;
    struct tls_fault fault = judge(&v, &leaf.certificate);
    assert_string_equal(fault.message,
                        "a certificate in the server's chain expired on 2027-01-01 00:00:00 UTC");
    leaf.certificate.next = NULL;
    forged_free(&leaf);
}

static void test_wrong_names_are_told_with_the_right_ones(void **state)
{
    (void)state;
    static const struct {
        const char *san;
        size_t len;
        const char *name;
        bool good;
    } cases[] = {
        {"www.example.com", 15, "WWW.example.com", true},
        {"www.example.com", 15, "example.com", false},
        {"www.example.com", 15, "www.example.com.evil.test", false},
        {"*.example.com", 13, "www.example.com", true},
        {"*.example.com", 13, "a.www.example.com", false},
        {"*.example.com", 13, "example.com", false},
        {"*.example.com", 13, ".example.com", false},
        {"*.com", 5, "example.com", false},
        {"*", 1, "localhost", false},
        {"w*.example.com", 14, "www.example.com", false},
        {"www.*.com", 9, "www.example.com", false},
        {"www.example.com\0.evil.test", 26, "www.example.com", false},
        {"www.example.com\0", 16, "www.example.com", false},
        {"*.example.com\0", 14, "www.example.com", false},
        {"192.0.2.1", 9, NULL, false}, /* a name that looks like the address */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct forge as = leaf_as;
        as.san = cases[i].san;
        as.san_len = cases[i].len;
        struct tls_fault fault = judge_leaf(&as, cases[i].name);
        assert_int_equal(fault.code, cases[i].good ? TLS_FAULT_NONE : TLS_FAULT_NAME_MISMATCH);
    }
    struct tls_fault fault = judge_leaf(&leaf_as, "other.example.com");
    assert_string_equal(fault.message, "the server's certificate is for \"www.example.com\" and "
                                       "not for other.example.com");
}

static void test_common_name_does_not_count(void **state)
{
    (void)state;
    struct forge as = leaf_as;
    as.subject = "CN=www.example.com";
    as.san = NULL;
    assert_int_equal(judge_leaf(&as, "www.example.com").code, TLS_FAULT_NAME_MISMATCH);
}

static void test_address_is_looked_for_among_addresses(void **state)
{
    (void)state;
    struct forge as = leaf_as;
    as.san = "\300\0\2\1";
    as.san_len = 4;
    as.is_ip = true;
    assert_int_equal(judge_leaf(&as, NULL).code, TLS_FAULT_NONE);
    as.san = "\300\0\2\2";
    assert_int_equal(judge_leaf(&as, NULL).code, TLS_FAULT_NAME_MISMATCH);
    assert_int_equal(judge_leaf(&leaf_as, NULL).code, TLS_FAULT_NAME_MISMATCH);
}

static void test_self_signed_and_untrusted_are_told_apart(void **state)
{
    (void)state;
    struct forge as = leaf_as;
    as.signer = NULL;
    as.issuer = "CN=leaf";
    struct tls_fault fault = judge_leaf(&as, "www.example.com");
    assert_int_equal(fault.code, TLS_FAULT_SELF_SIGNED);
    as.issuer = "CN=nobody knows";
    fault = judge_leaf(&as, "www.example.com");
    assert_int_equal(fault.code, TLS_FAULT_UNTRUSTED);
    assert_non_null(strstr(fault.message, "\"CN=nobody knows\""));
    /* The issuer's name with another key: the signature decides. */
    as.issuer = "CN=test root";
    assert_int_equal(judge_leaf(&as, "www.example.com").code, TLS_FAULT_UNTRUSTED);
    as.issuer = "CN=test intermediate";
    assert_int_equal(judge_leaf(&as, "www.example.com").code, TLS_FAULT_UNTRUSTED);
}

static void test_trusted_self_signed_leaf_is_good(void **state)
{
    (void)state;
    struct forge as = leaf_as;
    as.signer = NULL;
    as.issuer = "CN=leaf";
    assert_int_equal(forge(&as, &leaf), 0);
    struct tls_roots *own = NULL;
    assert_int_equal(tls_roots_new(leaf.pem, strlen(leaf.pem), roots, &own, NULL, NULL), 0);
    struct verifier v = verifier_for("www.example.com");
    v.roots = own;
    assert_int_equal(judge(&v, &leaf.certificate).code, TLS_FAULT_NONE);
    v.now_s += 365 * 86400;
    assert_int_equal(judge(&v, &leaf.certificate).code, TLS_FAULT_EXPIRED);
    tls_roots_unref(own);
    forged_free(&leaf);
}

static void test_uses_that_are_not_a_server_are_refused(void **state)
{
    (void)state;
    struct forge as = leaf_as;
    as.extended_usage = MBEDTLS_OID_CLIENT_AUTH;
    assert_int_equal(judge_leaf(&as, "www.example.com").code, TLS_FAULT_BAD_CERTIFICATE);
    as.extended_usage = MBEDTLS_OID_SERVER_AUTH;
    assert_int_equal(judge_leaf(&as, "www.example.com").code, TLS_FAULT_NONE);
    as.key_usage = MBEDTLS_X509_KU_KEY_ENCIPHERMENT;
    assert_int_equal(judge_leaf(&as, "www.example.com").code, TLS_FAULT_BAD_CERTIFICATE);
    as.key_usage = MBEDTLS_X509_KU_DIGITAL_SIGNATURE;
    assert_int_equal(judge_leaf(&as, "www.example.com").code, TLS_FAULT_NONE);
}

/* root, an intermediate that may have none below it, one more below it, leaf */
static void test_path_length_and_ca_flag_are_kept(void **state)
{
    (void)state;
    struct forged below;
    struct forge below_as = {.subject = "CN=below",
                             .issuer = "CN=test intermediate",
                             .signer = &intermediate,
                             .is_ca = true,
                             .path_length = -1};
    assert_int_equal(forge(&below_as, &below), 0);
    struct forge as = leaf_as;
    as.issuer = "CN=below";
    as.signer = &below;
    assert_int_equal(forge(&as, &leaf), 0);
    leaf.certificate.next = &below.certificate;
    below.certificate.next = &intermediate.certificate;
    struct verifier v = verifier_for("www.example.com");
    assert_int_equal(judge(&v, &leaf.certificate).code, TLS_FAULT_BAD_CERTIFICATE);
    below.certificate.next = NULL;
    forged_free(&below);
    below_as.is_ca = false; /* a leaf of the intermediate's that signs others */
    assert_int_equal(forge(&below_as, &below), 0);
    as.signer = &below;
    leaf.certificate.next = NULL;
    forged_free(&leaf);
    assert_int_equal(forge(&as, &leaf), 0);
    leaf.certificate.next = &below.certificate;
    below.certificate.next = &intermediate.certificate;
    assert_int_equal(judge(&v, &leaf.certificate).code, TLS_FAULT_UNTRUSTED);
    leaf.certificate.next = NULL;
    below.certificate.next = NULL;
    forged_free(&below);
    forged_free(&leaf);
}

/* A hostile chain of many certificates with the issuer's name, none of which signed the leaf. */
static void test_work_is_bounded(void **state)
{
    (void)state;
    enum { COPIES = 40 };
    static struct forged copies[COPIES];
    struct forge as = leaf_as;
    as.issuer = "CN=everyone";
    as.signer = &root;
    assert_int_equal(forge(&as, &leaf), 0);
    struct forge copy_as = {.subject = "CN=everyone",
                            .issuer = "CN=someone",
                            .signer = &root,
                            .is_ca = true,
                            .path_length = -1};
    mbedtls_x509_crt *last = &leaf.certificate;
    for (int i = 0; i < COPIES; i++) {
        assert_int_equal(forge(&copy_as, &copies[i]), 0);
        last = last->next = &copies[i].certificate;
    }
    struct verifier v = verifier_for("www.example.com");
    struct tls_fault fault = {.name = ""};
    int steps = 0;
    verifier_start(&v, &leaf.certificate);
    while (verifier_step(&v, &fault) == VERIFIER_GOES_ON) {
        steps++;
    }
    assert_int_equal(fault.code, TLS_FAULT_UNTRUSTED);
    assert_true(steps <= VERIFIER_SIGNATURES + VERIFIER_DEPTH);
    leaf.certificate.next = NULL;
    forged_free(&leaf);
    for (int i = 0; i < COPIES; i++) {
        copies[i].certificate.next = NULL;
        forged_free(&copies[i]);
    }
}

static void test_nothing_is_trusted_without_roots(void **state)
{
    (void)state;
    assert_int_equal(forge(&leaf_as, &leaf), 0);
    leaf.certificate.next = &intermediate.certificate;
    struct verifier v = verifier_for("www.example.com");
    struct tls_roots *none = tls_roots_none();
    v.roots = none;
    assert_int_equal(judge(&v, &leaf.certificate).code, TLS_FAULT_UNTRUSTED);
    v.roots = NULL;
    assert_int_equal(judge(&v, &leaf.certificate).code, TLS_FAULT_UNTRUSTED);
    v.verify = false;
    assert_int_equal(judge(&v, &leaf.certificate).code, TLS_FAULT_NONE);
    tls_roots_unref(none);
    leaf.certificate.next = NULL;
    forged_free(&leaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_chain_is_trusted),
        cmocka_unit_test(test_dates_are_judged_by_the_given_clock),
        cmocka_unit_test(test_expired_root_or_intermediate_is_expired),
        cmocka_unit_test(test_wrong_names_are_told_with_the_right_ones),
        cmocka_unit_test(test_common_name_does_not_count),
        cmocka_unit_test(test_address_is_looked_for_among_addresses),
        cmocka_unit_test(test_self_signed_and_untrusted_are_told_apart),
        cmocka_unit_test(test_trusted_self_signed_leaf_is_good),
        cmocka_unit_test(test_uses_that_are_not_a_server_are_refused),
        cmocka_unit_test(test_path_length_and_ca_flag_are_kept),
        cmocka_unit_test(test_work_is_bounded),
        cmocka_unit_test(test_nothing_is_trusted_without_roots),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
