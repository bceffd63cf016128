/* "Did you mean …": the nearest of the words that would have been right. */
#ifndef LN_POLICY_SPELLING_H
#define LN_POLICY_SPELLING_H

#include <stddef.h>

struct spelling {
    const char *word; /* as found */
    size_t len;
    const char *nearest; /* of those considered; NULL: none is near */
    unsigned distance;
};

static inline struct spelling spelling_of(const char *word, size_t len)
{
    return (struct spelling){.word = word, .len = len};
}
/* Keeps `candidate` when it is near and nearer than those before. */
void spelling_consider(struct spelling *spelling, const char *candidate);

#endif
