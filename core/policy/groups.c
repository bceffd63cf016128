/* Groups of addresses. An IPv6 address that embeds an IPv4 address may end up there, by way of a
 * translator or a tunnel, so it is judged by what it embeds too. */
#include "policy/groups.h"

#include "base/bytes.h"

struct range4 {
    uint32_t net, mask;
    ln_group group;
};

struct range6 {
    uint64_t net, mask;         /* the first 8 bytes */
    uint64_t low_net, low_mask; /* the last 8 */
    ln_group group;
};

#define MASK32(bits) (UINT32_MAX << (32 - (bits)))
#define MASK64(bits) (UINT64_MAX << (64 - (bits)))

/* Metadata first: it lies inside the others. */
static const struct range4 GROUPS4[] = {
    {0xa9fea9fe, MASK32(32), LN_GROUP_METADATA},   /* 169.254.169.254: most clouds */
    {0xa9feaa02, MASK32(32), LN_GROUP_METADATA},   /* 169.254.170.2: AWS ECS */
    {0x646464c8, MASK32(32), LN_GROUP_METADATA},   /* 100.100.100.200: Alibaba Cloud */
    {0x0a000000, MASK32(8), LN_GROUP_PRIVATE},     /* 10/8: RFC 1918 */
    {0xac100000, MASK32(12), LN_GROUP_PRIVATE},    /* 172.16/12: RFC 1918 */
    {0xc0a80000, MASK32(16), LN_GROUP_PRIVATE},    /* 192.168/16: RFC 1918 */
    {0x64400000, MASK32(10), LN_GROUP_PRIVATE},    /* 100.64/10: RFC 6598 */
    {0x7f000000, MASK32(8), LN_GROUP_LOOPBACK},    /* 127/8: RFC 1122 */
    {0xa9fe0000, MASK32(16), LN_GROUP_LINK_LOCAL}, /* 169.254/16: RFC 3927 */
    {0xe0000000, MASK32(4), LN_GROUP_MULTICAST},   /* 224/4: RFC 5771 */
};

static const struct range6 GROUPS6[] = {
    {0xfd000ec200000000, UINT64_MAX, 0x254, UINT64_MAX, LN_GROUP_METADATA}, /* AWS: fd00:ec2::254 */
    {0, UINT64_MAX, 1, UINT64_MAX, LN_GROUP_LOOPBACK},                      /* ::1 */
    {0xfc00000000000000, MASK64(7), 0, 0, LN_GROUP_PRIVATE},                /* RFC 4193 */
    {0xfe80000000000000, MASK64(10), 0, 0, LN_GROUP_LINK_LOCAL},            /* RFC 4291 */
    {0xff00000000000000, MASK64(8), 0, 0, LN_GROUP_MULTICAST},              /* RFC 4291 */
};

/* IANA's registries of special-purpose addresses, as far as no group holds them. */
static const struct range4 RESERVED4[] = {
    {0x00000000, MASK32(8), LN_GROUP_PUBLIC},  /* 0/8: "this network", RFC 1122 */
    {0xc0000000, MASK32(24), LN_GROUP_PUBLIC}, /* 192.0.0/24: RFC 6890 */
    {0xc0586300, MASK32(24), LN_GROUP_PUBLIC}, /* 192.88.99/24: RFC 7526 */
    {0xc6120000, MASK32(15), LN_GROUP_PUBLIC}, /* 198.18/15: RFC 2544 */
    {0xf0000000, MASK32(4), LN_GROUP_PUBLIC},  /* 240/4, broadcast: RFC 1112 */
};

static const struct range6 RESERVED6[] = {
    {0xfec0000000000000, MASK64(10), 0, 0, LN_GROUP_PUBLIC}, /* fec0::/10: RFC 3879 */
    {0x0100000000000000, UINT64_MAX, 0, 0, LN_GROUP_PUBLIC}, /* 100::/64: RFC 6666 */
    {0x0064ff9b00010000, MASK64(48), 0, 0, LN_GROUP_PUBLIC}, /* 64:ff9b:1::/48: RFC 8215 */
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* An address in the forms in which it is compared. */
struct forms {
    uint64_t high, low;
    uint32_t v4;
    bool is_v4;
    bool has_v4; /* `v4` is the address or is embedded in it */
};

static struct forms forms_of(const ln_addr *addr)
{
    const uint8_t *bytes = addr->bytes;
    struct forms forms = {
        .high = get_be64(bytes),
        .low = get_be64(bytes + 8),
        .v4 = get_be32(bytes + 12),
        .is_v4 = ln_addr_is_v4(addr),
    };
    if (forms.is_v4) {
        forms.has_v4 = true;
    } else if (forms.high >> 48 == 0x2002) { /* 6to4: RFC 3056 section 2 */
        forms.has_v4 = true;
        forms.v4 = get_be32(bytes + 2);
    } else if (forms.low >> 32 == 0) {
        forms.has_v4 = forms.high == 0                      /* compatible: RFC 4291 2.5.5.1 */
                       || forms.high == 0x0064ff9b00000000; /* NAT64: RFC 6052 section 2.1 */
    }
    return forms;
}

static const struct range4 *find4(const struct range4 *table, size_t n, uint32_t v4)
{
    for (size_t i = 0; i < n; i++) {
        if ((v4 & table[i].mask) == table[i].net) {
            return &table[i];
        }
    }
    return NULL;
}

static const struct range6 *find6(const struct range6 *table, size_t n, const struct forms *forms)
{
    for (size_t i = 0; i < n; i++) {
        if ((forms->high & table[i].mask) == table[i].net &&
            (forms->low & table[i].low_mask) == table[i].low_net) {
            return &table[i];
        }
    }
    return NULL;
}

static bool is_of_host(const ln_host_addrs *host, const ln_addr *addr)
{
    for (size_t i = 0; i < host->n_addrs; i++) {
        if (ln_addr_equal(&host->addrs[i], addr)) {
            return true;
        }
    }
    return false;
}

ln_group ln_addr_group(const ln_addr *addr, const ln_host_addrs *host)
{
    struct forms forms = forms_of(addr);
    if (host != NULL && host->n_addrs > 0) {
        ln_addr embedded = ln_addr_v4(forms.v4);
        if (is_of_host(host, addr) || (forms.has_v4 && is_of_host(host, &embedded))) {
            return LN_GROUP_HOST;
        }
    }
    const struct range6 *range6 = forms.is_v4 ? NULL : find6(GROUPS6, COUNT(GROUPS6), &forms);
    if (range6 != NULL) {
        return range6->group;
    }
    const struct range4 *range4 = forms.has_v4 ? find4(GROUPS4, COUNT(GROUPS4), forms.v4) : NULL;
    return range4 != NULL ? range4->group : LN_GROUP_PUBLIC;
}

bool ln_addr_is_never(const ln_addr *addr)
{
    struct forms forms = forms_of(addr);
    if (!forms.has_v4) {
        return false;
    }
    /* `::` and `::1` embed 0.0.0.0 and 0.0.0.1. */
    uint32_t first = forms.v4 >> 24;
    return first == 0 || first == 127 || first >= 240;
}

bool addr_is_reserved(const ln_addr *addr)
{
    struct forms forms = forms_of(addr);
    return find6(RESERVED6, COUNT(RESERVED6), &forms) != NULL ||
           (forms.has_v4 && find4(RESERVED4, COUNT(RESERVED4), forms.v4) != NULL);
}

ln_addr addr_inner(const ln_addr *addr)
{
    struct forms forms = forms_of(addr);
    return forms.has_v4 ? ln_addr_v4(forms.v4) : *addr;
}

/* ---- boundaries ---- */

/* A prefix of the first `bits` bits. */
static ln_prefix prefix6(uint64_t high, uint64_t low, unsigned bits)
{
    ln_prefix prefix = {.bits = (uint8_t)bits};
    put_be64(prefix.addr.bytes, high);
    put_be64(prefix.addr.bytes + 8, low);
    return prefix;
}

/* The range, and where IPv6 addresses embed it as forms_of() sees them. */
static void visit4(uint32_t net, unsigned bits, void (*visit)(void *user, const ln_prefix *prefix),
                   void *user)
{
    const ln_prefix prefixes[] = {
        {.addr = ln_addr_v4(net), .bits = (uint8_t)(96 + bits)},
        prefix6(UINT64_C(0x2002) << 48 | (uint64_t)net << 16, 0, 16 + bits),
        prefix6(0x0064ff9b00000000, net, 96 + bits),
        prefix6(0, net, 96 + bits),
    };
    for (size_t i = 0; i < COUNT(prefixes); i++) {
        visit(user, &prefixes[i]);
    }
}

static void visit_table4(const struct range4 *table, size_t n,
                         void (*visit)(void *user, const ln_prefix *prefix), void *user)
{
    for (size_t i = 0; i < n; i++) {
        visit4(table[i].net, (unsigned)__builtin_popcount(table[i].mask), visit, user);
    }
}

static void visit_table6(const struct range6 *table, size_t n,
                         void (*visit)(void *user, const ln_prefix *prefix), void *user)
{
    for (size_t i = 0; i < n; i++) {
        unsigned bits = (unsigned)__builtin_popcountll(table[i].mask) +
                        (unsigned)__builtin_popcountll(table[i].low_mask);
        ln_prefix prefix = prefix6(table[i].net, table[i].low_net, bits);
        visit(user, &prefix);
    }
}

void groups_each_boundary(void (*visit)(void *user, const ln_prefix *prefix), void *user)
{
    ln_prefix all6 = {0};
    visit(user, &all6);
    visit4(0, 0, visit, user);
    visit_table4(GROUPS4, COUNT(GROUPS4), visit, user);
    visit_table4(RESERVED4, COUNT(RESERVED4), visit,
                 user); /* with 127/8 all that is never opened */
    visit_table6(GROUPS6, COUNT(GROUPS6), visit, user);
    visit_table6(RESERVED6, COUNT(RESERVED6), visit, user);
}
