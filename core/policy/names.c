/* Canonical host names, and the stable names of what policies are made of. */
#include <assert.h>
#include <errno.h>
#include <idn2.h>
#include <string.h>

#include "base/text.h"
#include "lunette/policy.h"

enum {
    LABEL_MAX = 63,               /* RFC 1035 section 2.3.4 */
    UNICODE_MAX = 4 * LN_NAME_MAX /* bytes of a name before conversion */
};

/* The lower-case form of a byte that a label can hold, else 0. Underscores stand in the names of
 * services (RFC 8552). */
static char label_byte(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') {
        return (char)c;
    }
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : 0);
}

static int refuse(const char **ret_why, const char *why)
{
    if (ret_why != NULL) {
        *ret_why = why;
    }
    return -EINVAL;
}

static int canonical_ascii(const char *text, size_t len, char dst[LN_NAME_MAX + 1],
                           const char **ret_why)
{
    if (len > 0 && text[len - 1] == '.') {
        len--;
    }
    if (len == 0) {
        return refuse(ret_why, "it is empty");
    }
    if (len > LN_NAME_MAX) {
        return refuse(ret_why, "it is longer than 253 bytes");
    }
    char name[LN_NAME_MAX + 1];
    size_t label = 0; /* length so far */
    for (size_t i = 0; i < len; i++) {
        name[i] = text[i] == '.' ? '.' : label_byte((unsigned char)text[i]);
        label = text[i] == '.' ? 0 : label + 1;
        if (name[i] == '\0') {
            return refuse(ret_why, "it has a character that no host name can hold");
        }
        if (label > LABEL_MAX) {
            return refuse(ret_why, "it has a label longer than 63 bytes");
        }
        if (label == 0 && (i == 0 || text[i - 1] == '.')) {
            return refuse(ret_why, "it has an empty label");
        }
    }
    if (label == 0) {
        return refuse(ret_why, "it has an empty label");
    }
    name[len] = '\0';
    memcpy(dst, name, len + 1);
    return (int)len;
}

static int canonical_unicode(const char *text, size_t len, char dst[LN_NAME_MAX + 1],
                             const char **ret_why)
{
    if (len > UNICODE_MAX) {
        return refuse(ret_why, "it is longer than 253 bytes");
    }
    if (memchr(text, '\0', len) != NULL) {
        return refuse(ret_why, "it has a character that no host name can hold");
    }
    char terminated[UNICODE_MAX + 1];
    memcpy(terminated, text, len);
    terminated[len] = '\0';
    uint8_t *ascii = NULL;
    int r =
        idn2_lookup_u8((const uint8_t *)terminated, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (r != IDN2_OK) {
        return r == IDN2_MALLOC ? -ENOMEM
                                : refuse(ret_why, "it is no internationalized name (UTS 46)");
    }
    int name_len = canonical_ascii((const char *)ascii, strlen((const char *)ascii), dst, ret_why);
    idn2_free(ascii);
    return name_len;
}

int ln_name_canonical(const char *text, size_t len, char dst[LN_NAME_MAX + 1], const char **ret_why)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] >= 0x80) {
            return canonical_unicode(text, len, dst, ret_why);
        }
    }
    return canonical_ascii(text, len, dst, ret_why);
}

bool ln_name_is_canonical(const char *name)
{
    char canonical[LN_NAME_MAX + 1];
    return name != NULL && ln_name_canonical(name, strlen(name), canonical, NULL) >= 0 &&
           strcmp(name, canonical) == 0;
}

/* ---- stable names ---- */

#define COUNT(names) (sizeof(names) / sizeof((names)[0]))
#define NAME_OF(names, value)                                                                      \
    ((unsigned)(value) < COUNT(names) ? (names)[(unsigned)(value)] : "unknown")

const char *ln_action_name(ln_action action)
{
    static const char *const names[] = {
        [LN_DENY] = "deny", [LN_ALLOW] = "allow", [LN_REJECT] = "reject", [LN_DEFER] = "defer"};
    static_assert(COUNT(names) == LN_DEFER + 1, "a name for each action");
    return NAME_OF(names, action);
}

const char *ln_direction_name(ln_direction direction)
{
    static const char *const names[] = {[LN_EGRESS] = "egress", [LN_INGRESS] = "ingress"};
    static_assert(COUNT(names) == LN_INGRESS + 1, "a name for each direction");
    return NAME_OF(names, direction);
}

const char *ln_protocol_name(ln_protocol protocol)
{
    static const char *const names[] = {
        [LN_TCP] = "tcp", [LN_UDP] = "udp", [LN_ICMPV4] = "icmpv4", [LN_ICMPV6] = "icmpv6"};
    static_assert(COUNT(names) == LN_ICMPV6 + 1, "a name for each protocol");
    return NAME_OF(names, protocol);
}

const char *ln_group_name(ln_group group)
{
    static const char *const names[] = {
        [LN_GROUP_HOST] = "host",
        [LN_GROUP_METADATA] = "metadata",
        [LN_GROUP_PRIVATE] = "private",
        [LN_GROUP_LOOPBACK] = "loopback",
        [LN_GROUP_LINK_LOCAL] = "link-local",
        [LN_GROUP_MULTICAST] = "multicast",
        [LN_GROUP_PUBLIC] = "public",
    };
    static_assert(COUNT(names) == LN_GROUPS, "a name for each group");
    return NAME_OF(names, group);
}

const char *ln_reason_name(ln_reason reason)
{
    static const char *const names[] = {
        [LN_REASON_DEFAULT] = "default",
        [LN_REASON_RULE] = "rule",
        [LN_REASON_DENY_DOMAIN] = "deny_domain",
        [LN_REASON_NEVER] = "never",
        [LN_REASON_ON_CONNECT] = "on_connect",
        [LN_REASON_ON_DNS] = "on_dns",
        [LN_REASON_HANDLER_ERROR] = "handler_error",
        [LN_REASON_NAME_UNKNOWN] = "name_unknown",
        [LN_REASON_REBIND] = "rebind",
        [LN_REASON_GEOIP_ERROR] = "geoip_error",
        [LN_REASON_BUDGET] = "budget",
    };
    static_assert(COUNT(names) == LN_REASONS, "a name for each reason");
    return NAME_OF(names, reason);
}

const char *ln_violation_name(ln_violation violation)
{
    static const char *const names[] = {
        [LN_VIOLATION_BLOCK] = "block",
        [LN_VIOLATION_BLOCK_AND_LOG] = "block-and-log",
        [LN_VIOLATION_BLOCK_AND_TERMINATE] = "block-and-terminate",
        [LN_VIOLATION_HANDLER] = "handler",
        [LN_VIOLATION_PASS_PLACEHOLDER] = "pass-placeholder",
    };
    static_assert(COUNT(names) == LN_VIOLATION_PASS_PLACEHOLDER + 1, "a name for each");
    return NAME_OF(names, violation);
}

const char *ln_miss_name(ln_miss miss)
{
    static const char *const names[] = {
        [LN_MATCHED] = "matched",
        [LN_MISS_DIRECTION] = "direction",
        [LN_MISS_PROTOCOL] = "protocol",
        [LN_MISS_PORT] = "port",
        [LN_MISS_DESTINATION] = "destination",
        [LN_MISS_GATEWAY] = "gateway",
        [LN_MISS_NOT_RESOLVED] = "not_resolved",
        [LN_MISS_NAME] = "name",
        [LN_MISS_NAME_UNKNOWN] = "name_unknown",
        [LN_MISS_WHEN] = "when",
        [LN_MISS_HTTP_UNKNOWN] = "http_unknown",
        [LN_MISS_HTTP_NONE] = "http_none",
        [LN_MISS_METHOD] = "method",
        [LN_MISS_PATH] = "path",
        [LN_MISS_PATH_AMBIGUOUS] = "path_ambiguous",
        [LN_MISS_HEADER] = "header",
    };
    static_assert(COUNT(names) == LN_MISS_KINDS, "a name for each");
    return NAME_OF(names, miss);
}
