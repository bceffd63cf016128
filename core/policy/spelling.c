/* Edit distance between short words: insertions, deletions, substitutions and swaps of neighbours
 * count 1 each, case does not count. */
#include "policy/spelling.h"

#include <string.h>

enum { WORD_MAX = 32 };

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Optimal string alignment, three rows at a time. Both words are at most WORD_MAX bytes. */
static unsigned edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0];
    unsigned *last = rows[1];
    unsigned *row = rows[2];
    for (size_t j = 0; j <= b_len; j++) {
        row[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *oldest = before;
        before = last;
        last = row;
        row = oldest;
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned changed = lower(a[i - 1]) != lower(b[j - 1]);
            row[j] = least(least(last[j], row[j - 1]) + 1, last[j - 1] + changed);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1])) {
                row[j] = least(row[j], before[j - 2] + 1);
            }
        }
    }
    return row[b_len];
}

void spelling_consider(struct spelling *spelling, const char *candidate)
{
    size_t len = strlen(candidate);
    if (spelling->len > WORD_MAX || len > WORD_MAX) {
        return;
    }
    unsigned distance = edit_distance(spelling->word, spelling->len, candidate, len);
    /* A third of the word may be wrong; of short words one letter. */
    size_t tolerated = len / 3 > 1 ? len / 3 : 1;
    if (distance <= tolerated && distance < len &&
        (spelling->nearest == NULL || distance < spelling->distance)) {
        spelling->nearest = candidate;
        spelling->distance = distance;
    }
}
