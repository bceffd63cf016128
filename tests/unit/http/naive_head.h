/* A reader of request heads for comparing: lines are split first, then each is taken apart with
 * regular expressions. Written from RFC 9110 and 9112, not from core/http. */
#ifndef TEST_NAIVE_HEAD_H
#define TEST_NAIVE_HEAD_H

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/request_head.h"
#include "lunette/address.h"

#define NAIVE_TCHAR "[-!#$%&'*+.^_`|~0-9A-Za-z]"
#define NAIVE_TOKEN NAIVE_TCHAR "+"
/* All but NUL, which ends a string, tab, LF, which ends a line, and CR. */
#define NAIVE_CONTROLS                                                                             \
    "\1\2\3\4\5\6\7\10\13\14\16\17\20\21\22\23\24\25\26\27\30\31\32\33\34\35\36\37"

/* The pattern, compiled once. */
static inline const regex_t *naive_regex(const char *pattern)
{
    static struct {
        const char *pattern;
        regex_t regex;
    } compiled[8];
    size_t i = 0;
    while (compiled[i].pattern != NULL && strcmp(compiled[i].pattern, pattern) != 0) {
        i++;
    }
    if (compiled[i].pattern == NULL) {
        compiled[i].pattern = pattern;
        if (regcomp(&compiled[i].regex, pattern, REG_EXTENDED) != 0) {
            abort();
        }
    }
    return &compiled[i].regex;
}

/* Matches and copies three groups, "" where there is none. */
static inline bool naive_match(const char *pattern, const char *text, char *groups[3])
{
    regmatch_t at[4];
    bool matches = regexec(naive_regex(pattern), text, 4, at, 0) == 0;
    for (int i = 0; i < 3; i++) {
        regmatch_t *m = &at[i + 1];
        bool there = matches && m->rm_so >= 0;
        groups[i] = there ? strndup(text + m->rm_so, (size_t)(m->rm_eo - m->rm_so)) : strdup("");
    }
    return matches;
}

static inline void naive_free(char *groups[3])
{
    for (int i = 0; i < 3; i++) {
        free(groups[i]);
    }
}

/* The host of an authority, "" for addresses and for an empty one. */
static inline bool naive_authority(const char *authority, char name[256])
{
    char *g[3];
    ln_addr addr;
    bool fine;
    name[0] = '\0';
    if (authority[0] == '\0') {
        return true;
    }
    if (strchr(authority, '@') != NULL) {
        return false;
    }
    if (authority[0] == '[') {
        fine = naive_match("^\\[([^]]*)\\](:[0-9]{0,5})?$", authority, g) &&
               ln_addr_parse(g[0], strlen(g[0]), &addr) == 0;
    } else {
        fine = naive_match("^([^:]+)(:[0-9]{0,5})?$", authority, g);
        bool is_addr = fine && ln_addr_parse(g[0], strlen(g[0]), &addr) == 0;
        fine = fine && (is_addr || strlen(g[0]) <= 255);
        if (fine && !is_addr) {
            strcpy(name, g[0]);
        }
    }
    naive_free(g);
    return fine;
}

/* Whether a line is a request line for who splits at any white space of Latin-1. */
static inline bool naive_is_loose_request(const char *line)
{
    char *g[3];
    char *plain = strdup(line);
    for (char *at = plain; *at != '\0'; at++) {
        *at = strchr("\t\13\14\r\34\35\36\37\205\240", *at) != NULL ? ' ' : *at;
    }
    bool is = naive_match("^ *(" NAIVE_TOKEN ") (.* |) *[hH][tT][tT][pP]/[^ ]+ *$", plain, g);
    naive_free(g);
    free(plain);
    return is;
}

/* What stands between "://" and the path of a target, or the whole of CONNECT's. */
static inline char *naive_target_authority(const char *method, const char *target)
{
    char *g[3];
    if (strcasecmp(method, "CONNECT") == 0) {
        return strdup(target);
    }
    bool absolute = naive_match("^[^/?]*://", target, g);
    naive_free(g);
    const char *from = absolute ? strstr(target, "://") + 3 : "";
    return strndup(from, strcspn(from, "/?#\\"));
}

/* Behaves like request_head_look() on all bytes at once, but for what is said below. */
static inline enum request_head naive_head_look(const uint8_t *data, size_t len, char name[256])
{
    enum request_head found = REQUEST_HEAD_PARTIAL;
    bool have_host = false;
    char *authority = NULL;
    name[0] = '\0';
    while (len > 0 && (*data == '\r' || *data == '\n')) {
        data++;
        len--;
    }
    for (int n = 0; found == REQUEST_HEAD_PARTIAL; n++) {
        const uint8_t *lf = memchr(data, '\n', len);
        size_t size = lf == NULL ? len : (size_t)(lf - data);
        char *line = strndup((const char *)data, size);
        size_t used = strlen(line);
        char *cr = strchr(line, '\r');
        char *g[3] = {NULL, NULL, NULL};
        if (used < size || (cr != NULL && cr != line + size - 1)) {
            found = REQUEST_HEAD_BAD;
        } else if (lf == NULL) {
            free(line);
            break;
        } else if (cr != NULL) {
            *cr = '\0';
        }
        if (n == 0) {
            bool is_request = naive_match(
                "^(" NAIVE_TOKEN ")[ \t]([ \t]*.*[ \t]|)[ \t]*[hH][tT][tT][pP]/[^ \t]+[ \t]*$",
                line, g);
            if (found == REQUEST_HEAD_PARTIAL && !is_request) {
                found = naive_is_loose_request(line) ? REQUEST_HEAD_BAD : REQUEST_HEAD_NOT_HTTP;
            } else if (found == REQUEST_HEAD_PARTIAL && strpbrk(line, NAIVE_CONTROLS) != NULL) {
                found = REQUEST_HEAD_BAD;
            } else if (found == REQUEST_HEAD_PARTIAL) {
                char *target = g[1] + strspn(g[1], " \t");
                for (size_t i = strlen(target); i > 0 && strchr(" \t", target[i - 1]) != NULL;
                     i--) {
                    target[i - 1] = '\0';
                }
                authority = naive_target_authority(g[0], target);
                found = naive_authority(authority, name) ? found : REQUEST_HEAD_BAD;
            }
            naive_free(g);
        } else if (found == REQUEST_HEAD_PARTIAL && line[0] == '\0') {
            found = name[0] == '\0' ? REQUEST_HEAD_UNNAMED : REQUEST_HEAD_NAMED;
        } else if (found == REQUEST_HEAD_PARTIAL) {
            if (!naive_match("^(" NAIVE_TOKEN "):(.*)$", line, g)) {
                found = REQUEST_HEAD_BAD;
            } else if (strcasecmp(g[0], "host") == 0) {
                char host[256];
                char *value = g[1] + strspn(g[1], " \t");
                for (size_t i = strlen(value); i > 0 && strchr(" \t", value[i - 1]) != NULL; i--) {
                    value[i - 1] = '\0';
                }
                if (have_host || !naive_authority(value, host) ||
                    (authority[0] != '\0' && strcasecmp(host, name) != 0)) {
                    found = REQUEST_HEAD_BAD;
                } else {
                    strcpy(name, host);
                }
                have_host = true;
            }
            naive_free(g);
        }
        free(line);
        data += size + 1;
        len -= lf == NULL ? size : size + 1;
    }
    free(authority);
    return found;
}

/* Whether a result agrees with the naive one. The naive reader does not tell early that the first
 * line cannot become a request. */
static inline bool naive_head_agrees(enum request_head found, const char *name,
                                     enum request_head naive, const char *naive_name)
{
    if (found == REQUEST_HEAD_NAMED && strcmp(name, naive_name) != 0) {
        return false;
    }
    bool early = found == REQUEST_HEAD_NOT_HTTP &&
                 (naive == REQUEST_HEAD_PARTIAL || naive == REQUEST_HEAD_BAD);
    return found == naive || early;
}

#endif
