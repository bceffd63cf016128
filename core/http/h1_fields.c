/* The names are few: they are compared by length first. */
#include "http/h1_fields.h"

#include <ctype.h>
#include <strings.h>

struct name {
    const char *text;
    size_t len;
    enum h1_field kind;
};

#define NAME(text, kind)                                                                           \
    {                                                                                              \
        text, sizeof(text) - 1, kind                                                               \
    }

static const struct name known[] = {
    NAME("host", H1_HOST),
    NAME("content-length", H1_CONTENT_LENGTH),
    NAME("transfer-encoding", H1_TRANSFER_ENCODING),
    NAME("connection", H1_CONNECTION),
    NAME("upgrade", H1_UPGRADE),
    NAME("expect", H1_EXPECT),
    NAME("keep-alive", H1_HOP),
    NAME("te", H1_HOP),
    NAME("trailer", H1_HOP),
    NAME("http2-settings", H1_HOP),
    NAME("proxy", H1_HOP), /* becomes HTTP_PROXY in a CGI's environment */
};

/* Whether it is the same but for what stands in the place of "-". */
static bool looks_like(const char *name, const char *real, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (real[i] == '-' ? isalnum((unsigned char)name[i]) != 0
                           : tolower((unsigned char)name[i]) != real[i]) {
            return false;
        }
    }
    return true;
}

enum h1_field h1_field_kind(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].len != len) {
            continue;
        }
        if (strncasecmp(name, known[i].text, len) == 0) {
            return known[i].kind;
        }
        bool framing = known[i].kind == H1_CONTENT_LENGTH || known[i].kind == H1_TRANSFER_ENCODING;
        if (framing && looks_like(name, known[i].text, len)) {
            return H1_LOOKALIKE;
        }
    }
    return len > 6 && strncasecmp(name, "proxy-", 6) == 0 ? H1_HOP : H1_ORDINARY;
}

bool h1_field_may_trail(const char *name, size_t len)
{
    static const struct name barred[] = {
        NAME("authorization", 0), NAME("cookie", 0),        NAME("set-cookie", 0),
        NAME("age", 0),           NAME("date", 0),          NAME("expires", 0),
        NAME("location", 0),      NAME("max-forwards", 0),  NAME("pragma", 0),
        NAME("range", 0),         NAME("retry-after", 0),   NAME("vary", 0),
        NAME("warning", 0),       NAME("cache-control", 0), NAME("www-authenticate", 0),
        NAME("forwarded", 0),
    };
    for (size_t i = 0; i < sizeof(barred) / sizeof(barred[0]); i++) {
        if (barred[i].len == len && strncasecmp(name, barred[i].text, len) == 0) {
            return false;
        }
    }
    return h1_field_kind(name, len) == H1_ORDINARY &&
           !(len > 8 && strncasecmp(name, "content-", 8) == 0) &&
           !(len > 3 && strncasecmp(name, "if-", 3) == 0) &&
           !(len > 12 && strncasecmp(name, "x-forwarded-", 12) == 0);
}
