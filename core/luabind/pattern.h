/* Lua patterns (Lua 5.4 manual, section 6.4.1) whose matching is charged to the budget: a pattern
 * can backtrack for ever inside C, where no hook runs. */
#ifndef LN_LUABIND_PATTERN_H
#define LN_LUABIND_PATTERN_H

#include <lua.h>
#include <stddef.h>

enum { PATTERN_CAPTURES_MAX = 32 };
enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };

struct capture {
    const char *start;
    ptrdiff_t len; /* bytes, or CAPTURE_* */
};

/* A pattern, a subject, and the captures of the last match. All functions may raise. */
struct pattern {
    lua_State *L;
    const char *subject, *subject_end;
    const char *text, *text_end; /* the pattern, without the anchor */
    unsigned depth;
    size_t steps; /* not charged yet */
    int n_captures;
    struct capture captures[PATTERN_CAPTURES_MAX];
};

/* Both strings are borrowed while the pattern is used. */
void pattern_init(struct pattern *m, lua_State *L, const char *subject, size_t subject_len,
                  const char *text, size_t text_len);
/* The end of the match that starts at `s`, or NULL. */
const char *pattern_match(struct pattern *m, const char *s);
/* Charges for what was not charged yet. */
void pattern_done(struct pattern *m);
/* Pushes capture `i` of a match from `s` to `end`; without captures, capture 0 is all of it. */
void pattern_push_capture(const struct pattern *m, int i, const char *s, const char *end);
/* Pushes all captures, or what was matched where there are none (nothing where `s` is NULL).
 * Returns how many values. */
int pattern_push_captures(const struct pattern *m, const char *s, const char *end);

#endif
