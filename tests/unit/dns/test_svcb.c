/* The data of SVCB and HTTPS records. */
#include <errno.h>
#include <stdlib.h>

#include "dns/svcb.h"
#include "dns/wire.h"

static struct wire svcb(unsigned priority, const char *target)
{
    struct wire w = {0};
    wire_u16(&w, priority);
    wire_name(&w, target);
    return w;
}

static void parameter(struct wire *w, unsigned key, const void *value, size_t len)
{
    wire_u16(w, key);
    wire_u16(w, (unsigned)len);
    wire_bytes(w, value, len);
}

static int parse(const struct wire *w, struct svcb *ret)
{
    return svcb_parse(w->data, w->len, ret);
}

static void test_hints_and_ech_are_found(void **state)
{
    (void)state;
    struct wire w = svcb(1, "svc.example");
    parameter(&w, 1, "\2h2\10http/1.1", 12);
    parameter(&w, 4, "\300\0\2\1\300\0\2\2", 8);
    size_t ech = w.len;
    parameter(&w, 5, "secret", 6);
    parameter(&w, 6, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    struct svcb s;
    assert_int_equal(parse(&w, &s), 0);
    assert_int_equal(s.target_len, 13);
    assert_int_equal(s.hints4_len, 8);
    assert_memory_equal(s.hints4, "\300\0\2\1\300\0\2\2", 8);
    assert_int_equal(s.hints6_len, 16);
    assert_ptr_equal(s.ech, w.data + ech);
    assert_int_equal(s.ech_len, 10);
    assert_false(s.ech_mandatory);
}

static void test_alias_mode_has_a_target_only(void **state)
{
    (void)state;
    struct wire w = svcb(0, "");
    struct svcb s;
    assert_int_equal(parse(&w, &s), 0);
    assert_int_equal(s.target_len, 1);
    assert_null(s.ech);
}

static void test_mandatory_ech_is_told(void **state)
{
    (void)state;
    struct wire w = svcb(1, "");
    parameter(&w, 0, "\0\1\0\5", 4);
    parameter(&w, 5, "secret", 6);
    struct svcb s;
    assert_int_equal(parse(&w, &s), 0);
    assert_true(s.ech_mandatory);
}

static void test_every_cut_is_malformed(void **state)
{
    (void)state;
    struct wire w = svcb(1, "svc.example");
    size_t bare = w.len;
    parameter(&w, 4, "\300\0\2\1", 4);
    for (size_t cut = 0; cut < w.len; cut++) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, w.data, cut);
        copy = realloc(copy, cut == 0 ? 1 : cut);
        struct svcb s;
        assert_int_equal(svcb_parse(copy, cut, &s), cut == bare ? 0 : -EBADMSG);
        free(copy);
    }
}

static void test_keys_out_of_order_are_malformed(void **state)
{
    (void)state;
    struct svcb s;
    struct wire w = svcb(1, "");
    parameter(&w, 6, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    parameter(&w, 4, "\300\0\2\1", 4);
    assert_int_equal(parse(&w, &s), -EBADMSG);
    w = svcb(1, "");
    parameter(&w, 4, "\300\0\2\1", 4);
    parameter(&w, 4, "\300\0\2\1", 4);
    assert_int_equal(parse(&w, &s), -EBADMSG);
}

static void test_broken_hints_and_names_are_malformed(void **state)
{
    (void)state;
    struct svcb s;
    static const size_t sizes4[] = {0, 3, 5};
    for (size_t i = 0; i < 3; i++) {
        struct wire w = svcb(1, "");
        parameter(&w, 4, "\300\0\2\1\1", sizes4[i]);
        assert_int_equal(parse(&w, &s), -EBADMSG);
    }
    struct wire compressed = svcb(1, "svc.@12");
    assert_int_equal(parse(&compressed, &s), -EBADMSG);
    char name[300] = "";
    for (int i = 0; i < 128; i++) {
        strcat(name, i == 0 ? "a" : ".a"); /* 257 bytes */
    }
    struct wire lengthy = svcb(1, name);
    assert_int_equal(parse(&lengthy, &s), -EBADMSG);
    struct wire odd = svcb(1, "");
    parameter(&odd, 0, "\0\1\0", 3);
    assert_int_equal(parse(&odd, &s), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hints_and_ech_are_found),
        cmocka_unit_test(test_alias_mode_has_a_target_only),
        cmocka_unit_test(test_mandatory_ech_is_told),
        cmocka_unit_test(test_every_cut_is_malformed),
        cmocka_unit_test(test_keys_out_of_order_are_malformed),
        cmocka_unit_test(test_broken_hints_and_names_are_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
