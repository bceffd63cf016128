#include "secrets/vault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "policy/name_pattern.h"
#include "secrets/html.h"
#include "secrets/locked.h"
#include "secrets/vault_use.h"

enum {
    SUFFIX_LEN = 16,   /* characters of 5 random bits */
    ENV_IN_NAME = 512, /* bytes of a variable's name that a placeholder tells */
    TRIES_MAX = 16
};

struct value {
    uint8_t *bytes; /* locked memory; NULL: none */
    size_t len;
    bool locked;
};

struct entry {
    const char *env, *placeholder;
    const char *source; /* NULL: the value itself */
    const ln_name_pattern *hosts;
    size_t n_hosts;
    ln_secret_source from;
    unsigned inject;
    bool require_tls;
    bool made_up; /* the placeholder */
    struct value value, before;
};

struct vault {
    uint32_t refs;
    struct arena arena; /* what is not secret */
    struct entry *entries;
    size_t n;
    struct automaton *placeholders;
    struct automaton *values; /* NULL: to be made */
};

/* ---- placeholders ---- */

static bool nests(const char *a, const char *b)
{
    return strstr(a, b) != NULL || strstr(b, a) != NULL;
}

/* Whether a placeholder is no part of another secret's, nor another's of it. */
static bool stands_alone(const struct vault *vault, size_t i, const char *placeholder)
{
    for (size_t k = 0; k < vault->n; k++) {
        const char *other = vault->entries[k].placeholder;
        if (k != i && other != NULL && nests(other, placeholder)) {
            return false;
        }
    }
    return true;
}

static int make_up(struct vault *vault, size_t i,
                   void (*random)(void *user, uint8_t *dst, size_t len), void *user)
{
    static const char digits[32] = "abcdefghijkmnpqrstuvwxyz23456789";
    struct entry *entry = &vault->entries[i];
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        uint8_t bytes[SUFFIX_LEN];
        char suffix[SUFFIX_LEN + 1] = "";
        random(user, bytes, sizeof(bytes));
        for (size_t k = 0; k < SUFFIX_LEN; k++) {
            suffix[k] = digits[bytes[k] % sizeof(digits)];
        }
        const char *made =
            arena_printf(&vault->arena, "$LUNETTE_%.*s_%s", ENV_IN_NAME, entry->env, suffix);
        if (made == NULL) {
            return -ENOMEM;
        }
        if (stands_alone(vault, i, made)) {
            entry->placeholder = made;
            entry->made_up = true;
            return 0;
        }
    }
    return -EINVAL;
}

static int take_placeholder(struct vault *vault, size_t i, const char *placeholder)
{
    size_t len = strlen(placeholder);
    if (len == 0 || len > VAULT_PLACEHOLDER_MAX || strpbrk(placeholder, "\r\n") != NULL ||
        !stands_alone(vault, i, placeholder)) {
        return -EINVAL;
    }
    vault->entries[i].placeholder = arena_strndup(&vault->arena, placeholder, len);
    return vault->entries[i].placeholder == NULL ? -ENOMEM : 0;
}

/* An automaton of `placeholders`, one for each secret. */
static int look_for(const char *const *placeholders, size_t n, struct automaton **ret)
{
    struct automaton_text *texts = calloc(n + 1, sizeof(*texts));
    if (texts == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        texts[i] = (struct automaton_text){.bytes = (const uint8_t *)placeholders[i],
                                           .len = strlen(placeholders[i]),
                                           .secret = (uint32_t)i};
    }
    int r = automaton_new(texts, n, false, ret);
    free(texts);
    return r;
}

/* ---- life ---- */

static int copy_hosts(struct vault *vault, struct entry *entry, const ln_secret *secret)
{
    ln_name_pattern *hosts = arena_array(&vault->arena, secret->n_hosts + 1, sizeof(*hosts));
    for (size_t i = 0; hosts != NULL && i < secret->n_hosts; i++) {
        const char *name = secret->hosts[i].name;
        hosts[i].below = secret->hosts[i].below;
        hosts[i].name = arena_strndup(&vault->arena, name, strlen(name));
        hosts = hosts[i].name == NULL ? NULL : hosts;
    }
    entry->hosts = hosts;
    entry->n_hosts = secret->n_hosts;
    return hosts == NULL ? -ENOMEM : 0;
}

static int copy_secret(struct vault *vault, size_t i, const ln_secret *secret)
{
    struct entry *entry = &vault->entries[i];
    entry->from = secret->from;
    entry->inject = secret->inject;
    entry->require_tls = secret->require_tls;
    entry->env = arena_strndup(&vault->arena, secret->env, strlen(secret->env));
    if (secret->from != LN_SECRET_VALUE) {
        entry->source = arena_strndup(&vault->arena, secret->source, secret->source_len);
    }
    if (entry->env == NULL || (secret->from != LN_SECRET_VALUE && entry->source == NULL)) {
        return -ENOMEM;
    }
    int r = copy_hosts(vault, entry, secret);
    return r < 0 || secret->placeholder == NULL ? r
                                                : take_placeholder(vault, i, secret->placeholder);
}

static int make_placeholders(struct vault *vault,
                             void (*random)(void *user, uint8_t *dst, size_t len), void *user)
{
    const char **placeholders = calloc(vault->n + 1, sizeof(*placeholders));
    int r = placeholders == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < vault->n && r == 0; i++) {
        r = vault->entries[i].placeholder == NULL ? make_up(vault, i, random, user) : 0;
        placeholders[i] = vault->entries[i].placeholder;
    }
    r = r < 0 ? r : look_for(placeholders, vault->n, &vault->placeholders);
    free(placeholders);
    return r;
}

int vault_new(const ln_secret *secrets, size_t n,
              void (*random)(void *user, uint8_t *dst, size_t len), void *user, struct vault **ret)
{
    if (n > VAULT_SECRETS_MAX) {
        return -E2BIG;
    }
    struct vault *vault = calloc(1, sizeof(*vault));
    if (vault == NULL) {
        return -ENOMEM;
    }
    vault->refs = 1;
    vault->n = n;
    vault->entries = arena_array(&vault->arena, n + 1, sizeof(*vault->entries));
    int r = vault->entries == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < n && r == 0; i++) {
        r = copy_secret(vault, i, &secrets[i]);
    }
    r = r < 0 ? r : make_placeholders(vault, random, user);
    if (r < 0) {
        vault_unref(vault);
        return r;
    }
    *ret = vault;
    return 0;
}

struct vault *vault_ref(struct vault *vault)
{
    vault->refs++;
    return vault;
}

static void value_free(struct value *value)
{
    locked_free(value->bytes, value->len);
    *value = (struct value){0};
}

struct vault *vault_unref(struct vault *vault)
{
    if (vault == NULL || --vault->refs > 0) {
        return NULL;
    }
    for (size_t i = 0; vault->entries != NULL && i < vault->n; i++) {
        value_free(&vault->entries[i].value);
        value_free(&vault->entries[i].before);
    }
    automaton_unref(vault->placeholders);
    automaton_unref(vault->values);
    arena_free(&vault->arena);
    free(vault);
    return NULL;
}

/* ---- values ---- */

static int value_copy(struct value *ret, const uint8_t *bytes, size_t len)
{
    struct value value = {.len = len};
    value.bytes = locked_alloc(len, &value.locked);
    if (value.bytes == NULL) {
        return -ENOMEM;
    }
    memcpy(value.bytes, bytes, len);
    *ret = value;
    return 0;
}

static const char *what_is_wrong(const uint8_t *bytes, size_t len)
{
    if (len == 0) {
        return "it is empty";
    }
    if (len > VAULT_VALUE_MAX) {
        return "it is longer than 8192 bytes";
    }
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\r' || bytes[i] == '\n') {
            return "it has a line break";
        }
        if ((bytes[i] < 0x20 && bytes[i] != '\t') || bytes[i] == 0x7f) {
            return "it has a control character";
        }
    }
    const char blanks[] = {' ', '\t'};
    if (memchr(blanks, bytes[0], sizeof(blanks)) != NULL ||
        memchr(blanks, bytes[len - 1], sizeof(blanks)) != NULL) {
        return "it begins or ends with a space";
    }
    return NULL;
}

static void forget_values(struct vault *vault)
{
    vault->values = automaton_unref(vault->values);
}

int vault_set(struct vault *vault, size_t i, const void *value, size_t len, const char **ret_why)
{
    struct entry *entry = &vault->entries[i];
    const char *why = what_is_wrong(value, len);
    if (why != NULL) {
        if (ret_why != NULL) {
            *ret_why = why;
        }
        return -EINVAL;
    }
    if (entry->value.len == len && memcmp(entry->value.bytes, value, len) == 0) {
        return 0;
    }
    struct value copy;
    int r = value_copy(&copy, value, len);
    if (r < 0) {
        return r;
    }
    if (entry->value.bytes != NULL) {
        value_free(&entry->before);
        entry->before = entry->value;
    }
    entry->value = copy;
    forget_values(vault);
    return 0;
}

void vault_clear(struct vault *vault, size_t i)
{
    struct entry *entry = &vault->entries[i];
    if (entry->value.bytes != NULL) {
        value_free(&entry->before);
        entry->before = entry->value;
        entry->value = (struct value){0};
        forget_values(vault);
    }
}

int vault_put(struct vault *vault, size_t i, enum encoding encoding, struct byte_queue *out)
{
    const struct value *value = &vault->entries[i].value;
    if (!vault_has_value(vault, i)) {
        return -ENOENT;
    }
    return encode_put(out, encoding, value->bytes, value->len);
}

/* Appends a value, and what templates make of it where that is something else (in `pages`, which
 * are empty). Returns 0 or -ENOMEM. */
static int look_for_value(struct automaton_text *texts, size_t *n, const struct value *value,
                          uint32_t secret, struct byte_queue *pages)
{
    texts[(*n)++] =
        (struct automaton_text){.bytes = value->bytes, .len = value->len, .secret = secret};
    for (unsigned i = 0; i < HTML_DIALECTS; i++) {
        pages[i].cap = VAULT_VALUE_MAX;
        int r = html_put(&pages[i], i, value->bytes, value->len);
        if (r == -ENOMEM) {
            return r;
        }
        if (r == 0 && pages[i].len != value->len) {
            texts[(*n)++] = (struct automaton_text){.bytes = byte_queue_bytes(&pages[i]),
                                                    .len = pages[i].len,
                                                    .secret = secret,
                                                    .bare = true};
        }
    }
    return 0;
}

int vault_values(struct vault *vault, struct automaton **ret)
{
    size_t most = 2 * vault->n, n = 0;
    if (vault->values != NULL) {
        *ret = vault->values;
        return 0;
    }
    struct automaton_text *texts = calloc(most * (1 + HTML_DIALECTS) + 1, sizeof(*texts));
    struct byte_queue *pages = calloc(most * HTML_DIALECTS + 1, sizeof(*pages));
    int r = texts == NULL || pages == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < most && r == 0; i++) {
        const struct entry *entry = &vault->entries[i / 2];
        const struct value *value = i % 2 == 0 ? &entry->value : &entry->before;
        if (value->len >= VAULT_ECHO_MIN) {
            r = look_for_value(texts, &n, value, (uint32_t)(i / 2), &pages[i * HTML_DIALECTS]);
        }
    }
    r = r < 0 ? r : automaton_new(texts, n, true, &vault->values);
    for (size_t i = 0; pages != NULL && i < most * HTML_DIALECTS; i++) {
        byte_queue_free(&pages[i]);
    }
    free(pages);
    free(texts);
    if (r == 0) {
        *ret = vault->values;
    }
    return r;
}

/* ---- reload ---- */

static const struct entry *find(const struct vault *vault, const char *env)
{
    for (size_t i = 0; i < vault->n; i++) {
        if (strcmp(vault->entries[i].env, env) == 0) {
            return &vault->entries[i];
        }
    }
    return NULL;
}

/* Whether the value of one is that of the other, as far as the policy tells. */
static bool same_source(const struct entry *a, const struct entry *b)
{
    return a->from == b->from && a->source != NULL && b->source != NULL &&
           strcmp(a->source, b->source) == 0;
}

/* What an entry takes over. */
struct heirloom {
    const char *placeholder; /* its own, where it takes none */
    struct value value, before;
};

static int inherit(struct vault *vault, size_t i, const struct vault *old, struct heirloom *ret)
{
    const struct entry *entry = &vault->entries[i];
    const struct entry *was = find(old, entry->env);
    *ret = (struct heirloom){.placeholder = entry->placeholder};
    if (was == NULL) {
        return 0;
    }
    if (entry->made_up && was->made_up && stands_alone(vault, i, was->placeholder)) {
        ret->placeholder = arena_strndup(&vault->arena, was->placeholder, strlen(was->placeholder));
        if (ret->placeholder == NULL) {
            return -ENOMEM;
        }
    }
    bool keeps = entry->value.bytes == NULL && same_source(entry, was);
    /* What a host was given it may show from now on too. */
    const struct value *before = keeps ? &was->before : &was->value;
    int r = keeps && was->value.bytes != NULL
                ? value_copy(&ret->value, was->value.bytes, was->value.len)
                : 0;
    return r < 0 || before->bytes == NULL ? r
                                          : value_copy(&ret->before, before->bytes, before->len);
}

static void take_over(struct vault *vault, struct heirloom *heirlooms,
                      struct automaton *placeholders)
{
    for (size_t i = 0; i < vault->n; i++) {
        struct entry *entry = &vault->entries[i];
        entry->placeholder = heirlooms[i].placeholder;
        if (heirlooms[i].value.bytes != NULL) {
            entry->value = heirlooms[i].value;
            heirlooms[i].value = (struct value){0};
        }
        if (heirlooms[i].before.bytes != NULL) {
            value_free(&entry->before);
            entry->before = heirlooms[i].before;
            heirlooms[i].before = (struct value){0};
        }
    }
    automaton_unref(vault->placeholders);
    vault->placeholders = placeholders;
    forget_values(vault);
}

int vault_adopt(struct vault *vault, const struct vault *old)
{
    struct heirloom *heirlooms = calloc(vault->n + 1, sizeof(*heirlooms));
    const char **placeholders = calloc(vault->n + 1, sizeof(*placeholders));
    struct automaton *automaton;
    int r = heirlooms == NULL || placeholders == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < vault->n && r == 0; i++) {
        r = inherit(vault, i, old, &heirlooms[i]);
        placeholders[i] = heirlooms[i].placeholder;
    }
    r = r < 0 ? r : look_for(placeholders, vault->n, &automaton);
    if (r == 0) {
        take_over(vault, heirlooms, automaton);
    }
    for (size_t i = 0; heirlooms != NULL && i < vault->n; i++) {
        value_free(&heirlooms[i].value);
        value_free(&heirlooms[i].before);
    }
    free(heirlooms);
    free(placeholders);
    return r;
}

/* ---- looking ---- */

size_t vault_count(const struct vault *vault)
{
    return vault->n;
}

const char *vault_env(const struct vault *vault, size_t i)
{
    return vault->entries[i].env;
}

const char *vault_placeholder(const struct vault *vault, size_t i)
{
    return vault->entries[i].placeholder;
}

bool vault_has_value(const struct vault *vault, size_t i)
{
    /* No value has a NUL: in a fork there are only these. */
    const struct value *value = &vault->entries[i].value;
    return value->bytes != NULL && value->bytes[0] != '\0';
}

bool vault_echoes(const struct vault *vault, size_t i)
{
    return vault->entries[i].value.len >= VAULT_ECHO_MIN;
}

bool vault_is_locked(const struct vault *vault)
{
    for (size_t i = 0; i < vault->n; i++) {
        const struct value *value = &vault->entries[i].value;
        const struct value *before = &vault->entries[i].before;
        if ((value->bytes != NULL && !value->locked) ||
            (before->bytes != NULL && !before->locked)) {
            return false;
        }
    }
    return vault->values == NULL || vault->values->locked;
}

struct automaton *vault_placeholders(const struct vault *vault)
{
    return vault->placeholders;
}

bool vault_is_for(const struct vault *vault, size_t i, const char *name)
{
    const struct entry *entry = &vault->entries[i];
    for (size_t k = 0; k < entry->n_hosts; k++) {
        if (name_pattern_matches(&entry->hosts[k], name)) {
            return true;
        }
    }
    return false;
}

bool vault_requires_tls(const struct vault *vault, size_t i)
{
    return vault->entries[i].require_tls;
}

unsigned vault_inject(const struct vault *vault, size_t i)
{
    return vault->entries[i].inject;
}
