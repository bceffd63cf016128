/* Search lists in wire form. */
#include "stack/search_list.h"

#include <string.h>

#include "base/bytes.h"

enum {
    POINTER = 0xc000,
    POINTER_MAX = 0x3fff,
    SUFFIXES_MAX = 128 /* that pointers may lead to */
};

/* Ends of names that stand in the list already. */
struct suffixes {
    const char *text[SUFFIXES_MAX];
    uint16_t at[SUFFIXES_MAX];
    size_t n;
};

static bool find(const struct suffixes *suffixes, const char *text, uint16_t *ret_at)
{
    for (size_t i = 0; i < suffixes->n; i++) {
        if (strcmp(suffixes->text[i], text) == 0) {
            *ret_at = suffixes->at[i];
            return true;
        }
    }
    return false;
}

/* Writes one name behind the `len` bytes there are. Returns the new length; 0: it does not fit, and
 * nothing of it counts. */
static size_t put_name(struct suffixes *suffixes, const char *name, uint8_t *dst, size_t len,
                       size_t size)
{
    size_t known = suffixes->n;
    uint16_t at;
    while (*name != '\0') {
        size_t label = strcspn(name, ".");
        if (find(suffixes, name, &at)) {
            if (len + 2 > size) {
                break;
            }
            put_be16(dst + len, (uint16_t)(POINTER | at));
            suffixes->n = known;
            return len + 2;
        }
        if (len + 1 + label > size) {
            break;
        }
        if (known < SUFFIXES_MAX && len <= POINTER_MAX) {
            suffixes->text[known] = name;
            suffixes->at[known++] = (uint16_t)len;
        }
        dst[len++] = (uint8_t)label;
        memcpy(dst + len, name, label);
        len += label;
        name += label + (name[label] == '.');
    }
    if (*name != '\0' || len + 1 > size) {
        return 0;
    }
    dst[len] = 0;
    suffixes->n = known;
    return len + 1;
}

size_t search_list_write(const char *const *names, size_t n, bool compressed, uint8_t *dst,
                         size_t size)
{
    struct suffixes suffixes = {.n = 0};
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        size_t next = put_name(&suffixes, names[i], dst, len, size);
        if (next == 0) {
            break;
        }
        len = next;
        suffixes.n = compressed ? suffixes.n : 0;
    }
    return len;
}
