/* Lua patterns with a bound: every step of a match is charged to the budget.
 *
 * Theory of operation. match() walks the pattern item by item. It calls itself only where it may
 * have to come back: to try another length of a repetition, or to undo a capture. So its depth is
 * bounded by the number of such items in the pattern, and that by DEPTH_MAX. */
#include "luabind/pattern.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

#include "luabind/budget.h"

enum { DEPTH_MAX = 200, STEPS_A_CHARGE = 128, STEP_COST = 2 /* instructions */ };

static const char *match(struct pattern *m, const char *s, const char *p);

static void count_steps(struct pattern *m, size_t steps)
{
    m->steps += steps;
    if (m->steps >= STEPS_A_CHARGE) {
        pattern_done(m);
    }
}

/* ---- single characters ---- */

static bool in_class(unsigned char c, char class)
{
    bool in;
    switch (tolower((unsigned char)class)) {
    case 'a':
        in = isalpha(c);
        break;
    case 'c':
        in = iscntrl(c);
        break;
    case 'd':
        in = isdigit(c);
        break;
    case 'g':
        in = isgraph(c);
        break;
    case 'l':
        in = islower(c);
        break;
    case 'p':
        in = ispunct(c);
        break;
    case 's':
        in = isspace(c);
        break;
    case 'u':
        in = isupper(c);
        break;
    case 'w':
        in = isalnum(c);
        break;
    case 'x':
        in = isxdigit(c);
        break;
    default:
        return (unsigned char)class == c;
    }
    return in != (isupper((unsigned char)class) != 0);
}

/* `set` points behind the opening bracket, `close` at the closing one. */
static bool in_set(unsigned char c, const char *set, const char *close)
{
    bool wanted = *set != '^';
    for (const char *p = wanted ? set : set + 1; p < close; p++) {
        if (*p == '%') {
            if (in_class(c, *++p)) {
                return wanted;
            }
        } else if (p[1] == '-' && p + 2 < close) {
            if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2]) {
                return wanted;
            }
            p += 2;
        } else if ((unsigned char)*p == c) {
            return wanted;
        }
    }
    return !wanted;
}

/* Behind the item at `p` that stands for one character. */
static const char *item_end(struct pattern *m, const char *p)
{
    if (*p == '%') {
        if (p + 1 == m->text_end) {
            luaL_error(m->L, "malformed pattern (ends with '%%')");
        }
        return p + 2;
    }
    if (*p != '[') {
        return p + 1;
    }
    const char *open = p++;
    if (p < m->text_end && *p == '^') {
        p++;
    }
    do { /* a closing bracket that comes first stands for itself */
        if (p == m->text_end) {
            luaL_error(m->L, "malformed pattern (missing ']')");
        }
        p += *p == '%' && p + 1 < m->text_end ? 2 : 1;
    } while (p == m->text_end || *p != ']');
    count_steps(m, (size_t)(p - open) / 4);
    return p + 1;
}

/* Whether the character at `s` fits the item from `p` to `end`. */
static bool fits(struct pattern *m, const char *s, const char *p, const char *end)
{
    if (s == m->subject_end) {
        return false;
    }
    unsigned char c = (unsigned char)*s;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class(c, p[1]);
    case '[':
        count_steps(m, (size_t)(end - p) / 4);
        return in_set(c, p + 1, end - 1);
    default:
        return (unsigned char)*p == c;
    }
}

/* ---- repetitions ---- */

/* `*` and `+`: the longest that lets the rest of the pattern match. */
static const char *match_longest(struct pattern *m, const char *s, const char *p, const char *end)
{
    ptrdiff_t count = 0, least = *end == '+';
    while (fits(m, s + count, p, end)) {
        count_steps(m, 1);
        count++;
    }
    for (; count >= least; count--) {
        const char *found = match(m, s + count, end + 1);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

/* `-`: the shortest. */
static const char *match_shortest(struct pattern *m, const char *s, const char *p, const char *end)
{
    for (;; s++) {
        const char *found = match(m, s, end + 1);
        if (found != NULL || !fits(m, s, p, end)) {
            return found;
        }
    }
}

/* ---- captures ---- */

static const char *match_capture_open(struct pattern *m, const char *s, const char *p)
{
    if (m->n_captures == PATTERN_CAPTURES_MAX) {
        luaL_error(m->L, "too many captures");
    }
    bool position = p < m->text_end && *p == ')';
    m->captures[m->n_captures++] =
        (struct capture){.start = s, .len = position ? CAPTURE_POSITION : CAPTURE_OPEN};
    const char *found = match(m, s, position ? p + 1 : p);
    if (found == NULL) {
        m->n_captures--;
    }
    return found;
}

static const char *match_capture_close(struct pattern *m, const char *s, const char *p)
{
    int i = m->n_captures - 1;
    while (i >= 0 && m->captures[i].len != CAPTURE_OPEN) {
        i--;
    }
    if (i < 0) {
        luaL_error(m->L, "invalid pattern capture");
    }
    m->captures[i].len = s - m->captures[i].start;
    const char *found = match(m, s, p);
    if (found == NULL) {
        m->captures[i].len = CAPTURE_OPEN;
    }
    return found;
}

/* ---- %b, %f and %1 ---- */

/* Behind the balanced text at `s`, or NULL. `p` points at the two delimiters. */
static const char *match_balance(struct pattern *m, const char *s, const char *p)
{
    if (m->text_end - p < 2) {
        luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    }
    if (s == m->subject_end || *s != p[0]) {
        return NULL;
    }
    ptrdiff_t open = 1;
    while (++s < m->subject_end) {
        count_steps(m, 1);
        if (*s == p[1]) {
            if (--open == 0) {
                return s + 1;
            }
        } else if (*s == p[0]) {
            open++;
        }
    }
    return NULL;
}

static bool is_frontier(const struct pattern *m, const char *s, const char *set, const char *close)
{
    unsigned char before = s == m->subject ? 0 : (unsigned char)s[-1];
    unsigned char after = s == m->subject_end ? 0 : (unsigned char)*s;
    return !in_set(before, set, close) && in_set(after, set, close);
}

static const char *match_back_reference(struct pattern *m, const char *s, char digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->n_captures || m->captures[i].len == CAPTURE_OPEN) {
        luaL_error(m->L, "invalid capture index %%%d in pattern", i + 1);
    }
    const struct capture *capture = &m->captures[i];
    if (capture->len < 0 || capture->len > m->subject_end - s) {
        return NULL;
    }
    budget_charge(m->L, (uint64_t)capture->len / 16);
    size_t len = (size_t)capture->len;
    return memcmp(capture->start, s, len) == 0 ? s + len : NULL;
}

/* An item at *p that is more than one character or less. False: it is none of these. Else *ret_s is
 * behind what it matched, or NULL, and *p behind it. */
static bool match_special(struct pattern *m, const char *s, const char **p, const char **ret_s)
{
    const char *at = *p;
    if (*at != '%' || at + 1 == m->text_end) {
        return false;
    }
    if (at[1] == 'b') {
        *ret_s = match_balance(m, s, at + 2);
        *p = at + 4;
    } else if (at[1] == 'f') {
        if (at + 2 == m->text_end || at[2] != '[') {
            luaL_error(m->L, "missing '[' after '%%f' in pattern");
        }
        *p = item_end(m, at + 2);
        *ret_s = is_frontier(m, s, at + 3, *p - 1) ? s : NULL;
    } else if (isdigit((unsigned char)at[1])) {
        *ret_s = match_back_reference(m, s, at[1]);
        *p = at + 2;
    } else {
        return false;
    }
    return true;
}

/* ---- the walk ---- */

/* One character, perhaps repeated; the end of the match, or NULL. *ret_s is set where the walk
 * simply goes on, at *p. */
static const char *match_item(struct pattern *m, const char *s, const char **p, const char **ret_s)
{
    const char *at = *p, *end = item_end(m, at);
    char suffix = '\0';
    if (end < m->text_end) {
        suffix = *end;
    }
    *ret_s = NULL;
    switch (suffix) {
    case '*':
    case '+':
        return match_longest(m, s, at, end);
    case '-':
        return match_shortest(m, s, at, end);
    case '?':
        *p = end + 1;
        const char *found = fits(m, s, at, end) ? match(m, s + 1, end + 1) : NULL;
        *ret_s = found == NULL ? s : NULL;
        return found;
    default:
        *p = end;
        *ret_s = fits(m, s, at, end) ? s + 1 : NULL;
        return NULL;
    }
}

static const char *match(struct pattern *m, const char *s, const char *p)
{
    if (++m->depth > DEPTH_MAX) {
        luaL_error(m->L, "pattern too complex");
    }
    const char *found = NULL;
    while (s != NULL) {
        count_steps(m, 1);
        if (p == m->text_end) {
            found = s;
            break;
        }
        if (*p == '$' && p + 1 == m->text_end) {
            found = s == m->subject_end ? s : NULL;
            break;
        }
        if (*p == '(') {
            found = match_capture_open(m, s, p + 1);
            break;
        }
        if (*p == ')') {
            found = match_capture_close(m, s, p + 1);
            break;
        }
        if (!match_special(m, s, &p, &s)) {
            found = match_item(m, s, &p, &s);
        }
    }
    m->depth--;
    return found;
}

void pattern_init(struct pattern *m, lua_State *L, const char *subject, size_t subject_len,
                  const char *pattern, size_t pattern_len)
{
    m->L = L;
    m->subject = subject;
    m->subject_end = subject + subject_len;
    m->text = pattern;
    m->text_end = pattern + pattern_len;
    m->steps = 0;
}

void pattern_done(struct pattern *m)
{
    budget_charge(m->L, m->steps * STEP_COST);
    m->steps = 0;
}

void pattern_push_capture(const struct pattern *m, int i, const char *s, const char *end)
{
    if (i >= m->n_captures) {
        if (i != 0) {
            luaL_error(m->L, "invalid capture index %%%d", i + 1);
        }
        lua_pushlstring(m->L, s, (size_t)(end - s));
        return;
    }
    const struct capture *capture = &m->captures[i];
    if (capture->len == CAPTURE_OPEN) {
        luaL_error(m->L, "unfinished capture");
    }
    if (capture->len == CAPTURE_POSITION) {
        lua_pushinteger(m->L, capture->start - m->subject + 1);
    } else {
        lua_pushlstring(m->L, capture->start, (size_t)capture->len);
    }
}

int pattern_push_captures(const struct pattern *m, const char *s, const char *end)
{
    int count = m->n_captures == 0 && s != NULL ? 1 : m->n_captures;
    luaL_checkstack(m->L, count, "too many captures");
    for (int i = 0; i < count; i++) {
        pattern_push_capture(m, i, s, end);
    }
    return count;
}

const char *pattern_match(struct pattern *m, const char *s)
{
    m->n_captures = 0;
    m->depth = 0;
    return match(m, s, m->text);
}
