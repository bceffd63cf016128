/* Addresses, prefixes and names: what is accepted has one canonical text, which is accepted again
 * and means the same. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lunette/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_addr(const char *text, size_t len)
{
    ln_addr addr;
    if (ln_addr_parse(text, len, &addr) != 0) {
        return;
    }
    char canonical[LN_ADDR_TEXT_MAX];
    size_t canonical_len = ln_addr_format(&addr, canonical);
    REQUIRE(canonical_len == strlen(canonical) && canonical_len < LN_ADDR_TEXT_MAX);
    ln_addr again;
    REQUIRE(ln_addr_parse(canonical, canonical_len, &again) == 0);
    REQUIRE(ln_addr_equal(&addr, &again));
}

static void check_prefix(const char *text, size_t len)
{
    ln_prefix prefix;
    int r = ln_prefix_parse(text, len, &prefix);
    if (r != 0 && r != -ERANGE) {
        return;
    }
    REQUIRE(prefix.bits <= 128);
    REQUIRE(ln_prefix_contains(&prefix, &prefix.addr) ||
            ln_addr_is_v4(&prefix.addr) != ln_prefix_is_v4(&prefix));
    char canonical[LN_PREFIX_TEXT_MAX];
    size_t canonical_len = ln_prefix_format(&prefix, canonical);
    REQUIRE(canonical_len == strlen(canonical) && canonical_len < LN_PREFIX_TEXT_MAX);
    ln_prefix again;
    REQUIRE(ln_prefix_parse(canonical, canonical_len, &again) == 0);
    REQUIRE(again.bits == prefix.bits && ln_addr_equal(&again.addr, &prefix.addr));
}

static void check_name(const char *text, size_t len)
{
    char name[LN_NAME_MAX + 1];
    const char *why = NULL;
    int name_len = ln_name_canonical(text, len, name, &why);
    if (name_len < 0) {
        REQUIRE(name_len == -EINVAL && why != NULL);
        return;
    }
    REQUIRE(name_len >= 1 && name_len <= LN_NAME_MAX && strlen(name) == (size_t)name_len);
    REQUIRE(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == (size_t)name_len);
    size_t label = 0;
    for (int i = 0; i <= name_len; i++) {
        if (name[i] == '.' || name[i] == '\0') {
            REQUIRE(label >= 1 && label <= 63);
            label = 0;
        } else {
            label++;
        }
    }
    char again[LN_NAME_MAX + 1];
    REQUIRE(ln_name_canonical(name, (size_t)name_len, again, NULL) == name_len);
    REQUIRE(strcmp(name, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_addr((const char *)data, size);
    check_prefix((const char *)data, size);
    check_name((const char *)data, size);
    return 0;
}
