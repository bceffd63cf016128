/* What a gateway trusts, and the secrets that it holds.
 *
 * Theory of operation. A change is read as a whole and then swapped in, so that a reload that fails
 * leaves everything as it was. A secret with `refresh_s`, and at a reload every command, is read
 * again while the gateway runs:
 *
 *   idle     due at `due_ns`: trust_tick() begins a reading. A file is read there and then.
 *   running  a command runs, and its pipe is watched; when it ends, the value is set, or what went
 *            wrong is told and the value before stays; then idle, sooner after a failure.
 *
 * A change that is swapped in or thrown away, and the gateway's end, end a reading: whoever attends
 * to the command finds that nobody reads its outcome, and kills it. */
#include "net/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fail.h"
#include "base/problems.h"
#include "base/text.h"
#include "net/secret_source.h"
#include "policy/name_pattern.h"

enum { RETRY_S = 30 };

/* One secret's upkeep. */
struct upkeep {
    struct trust *trust;
    const ln_secret *secret;
    struct watch watch;
    struct secret_reading *reading; /* NULL: idle */
    uint64_t read_ns;
    uint64_t due_ns; /* TIMER_NEVER: not until a reload */
    char failure[160];
};

/* What a reload exchanges. */
struct trust_change {
    ln_policy *policy;
    struct credentials credentials;
    struct upkeep *upkeeps; /* as many as the policy has secrets */
};

struct trust {
    struct loop *loop;
    const ln_files *files;
    char *data_dir; /* NULL: the default */
    struct events *events;
    struct trust_change now;
};

static const ln_settings *settings_of(const struct trust_change *change)
{
    return ln_policy_settings(change->policy);
}

/* ---- reading again ---- */

static void schedule(struct upkeep *upkeep, bool failed)
{
    uint32_t after_s = upkeep->secret->refresh_s;
    if (failed && (after_s == 0 || after_s > RETRY_S)) {
        after_s = RETRY_S;
    }
    upkeep->due_ns = after_s == 0 ? TIMER_NEVER : upkeep->trust->loop->now_ns + after_s * SECOND_NS;
}

static void stop_reading(struct upkeep *upkeep)
{
    if (upkeep->reading != NULL) {
        if (upkeep->watch.fd >= 0) {
            loop_unwatch(upkeep->trust->loop, &upkeep->watch);
        }
        secret_reading_end(upkeep->reading);
        free(upkeep->reading);
        upkeep->reading = NULL;
    }
}

static void end_reading(struct upkeep *upkeep, int r)
{
    struct trust *trust = upkeep->trust;
    const char *why = upkeep->reading->why;
    if (r == SECRET_READ) {
        size_t index = (size_t)(upkeep - trust->now.upkeeps);
        r = vault_set(trust->now.credentials.vault, index, upkeep->reading->data,
                      upkeep->reading->len, &why);
        why = r == -ENOMEM ? strerror(ENOMEM) : why;
    }
    struct text failure = text_of(upkeep->failure, sizeof(upkeep->failure));
    if (r < 0) {
        text_puts(&failure, why);
    } else {
        upkeep->read_ns = trust->loop->now_ns;
    }
    schedule(upkeep, r < 0);
    stop_reading(upkeep);
    events_tell(trust->events, &(ln_event){.kind = LN_EVENT_RELOAD,
                                           .name = upkeep->secret->env,
                                           .reason = r < 0 ? "secret_failed" : "secret",
                                           .detail = r < 0 ? upkeep->failure : NULL});
}

static void on_output(struct watch *watch, uint32_t events)
{
    struct upkeep *upkeep =
        (struct upkeep *)(void *)((char *)watch - offsetof(struct upkeep, watch));
    (void)events;
    int r = secret_reading_go_on(upkeep->reading);
    if (r != SECRET_RUNS) {
        end_reading(upkeep, r);
    }
}

/* Returns 0, or -errno: then it does not go on in the loop. */
static int watch_reading(struct upkeep *upkeep)
{
    int fd = upkeep->reading->fd;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        return -errno;
    }
    upkeep->watch.ready = on_output;
    return loop_watch(upkeep->trust->loop, &upkeep->watch, fd, EPOLLIN);
}

static void begin_reading(struct upkeep *upkeep)
{
    upkeep->reading = calloc(1, sizeof(*upkeep->reading));
    if (upkeep->reading == NULL) {
        schedule(upkeep, true);
        return;
    }
    upkeep->due_ns = TIMER_NEVER;
    int r = secret_reading_begin(upkeep->reading, upkeep->trust->files, upkeep->secret);
    if (r == SECRET_RUNS) {
        r = watch_reading(upkeep);
        if (r == 0) {
            return;
        }
        struct text why = text_of(upkeep->reading->why, sizeof(upkeep->reading->why));
        text_puts(&why, strerror(-r));
    }
    end_reading(upkeep, r);
}

void trust_tick(struct trust *trust)
{
    size_t n = settings_of(&trust->now)->n_secrets;
    for (size_t i = 0; i < n; i++) {
        if (trust->now.upkeeps[i].due_ns <= trust->loop->now_ns) {
            begin_reading(&trust->now.upkeeps[i]);
        }
    }
}

/* ---- changes ---- */

static void clear_change(struct trust_change *change)
{
    if (change->upkeeps != NULL) {
        for (size_t i = 0; i < settings_of(change)->n_secrets; i++) {
            stop_reading(&change->upkeeps[i]);
        }
    }
    free(change->upkeeps);
    credentials_free(&change->credentials);
    (void)ln_policy_unref(change->policy);
    *change = (struct trust_change){0};
}

/* All problems in one sentence, as far as there is room. */
static int fail_with_problems(const ln_problems *problems, ln_error *reterr)
{
    char all[sizeof(reterr->message)];
    size_t count = ln_problems_count(problems), told = 0;
    struct text text = text_of(all, sizeof(all));
    for (size_t i = 0; i < count; i++) {
        char one[1024];
        ln_problem problem = *ln_problems_get(problems, i);
        problem.file = NULL; /* whoever shows an error knows what was loaded */
        (void)ln_problem_format(&problem, one, sizeof(one));
        if (i > 0 && text.len + strlen(one) + sizeof("; and 4294967295 more") > sizeof(all)) {
            break;
        }
        text_printf(&text, "%s%s", i == 0 ? "" : "; ", one);
        told++;
    }
    if (told < count) {
        text_printf(&text, "; and %zu more", count - told);
    }
    return fail_with(reterr, -EINVAL, "%s", all);
}

static int read_credentials(const struct trust *trust, const ln_settings *settings, bool again,
                            struct credentials *ret, ln_error *reterr)
{
    struct credentials_request request = {.settings = settings,
                                          .data_dir = trust->data_dir,
                                          .files = trust->files,
                                          .services = trust->loop->services,
                                          .before = again ? &trust->now.credentials : NULL};
    ln_problems *problems = ln_problems_new();
    int r = problems == NULL ? -ENOMEM : credentials_read(&request, ret, problems);
    if (r == -EINVAL) {
        r = fail_with_problems(problems, reterr);
    } else if (r < 0) {
        r = fail_with(reterr, r, "credentials cannot be read: %s", strerror(-r));
    }
    ln_problems_free(problems);
    return r;
}

/* How a secret is kept up. `before` (NULL: at the start): what is in force, where the command of
 * the same secret ran last. */
static struct upkeep upkeep_of(struct trust *trust, const ln_secret *secret,
                               const struct trust_change *before)
{
    struct upkeep upkeep = {
        .trust = trust, .secret = secret, .watch.fd = -1, .read_ns = trust->loop->now_ns};
    size_t n =
        before == NULL || secret->from != LN_SECRET_COMMAND ? 0 : settings_of(before)->n_secrets;
    schedule(&upkeep, false);
    for (size_t i = 0; i < n; i++) {
        const ln_secret *other = before->upkeeps[i].secret;
        if (other->from == LN_SECRET_COMMAND && strcmp(secret->env, other->env) == 0 &&
            strcmp(secret->source, other->source) == 0) {
            upkeep.read_ns = before->upkeeps[i].read_ns;
            upkeep.due_ns = 0;
        }
    }
    return upkeep;
}

static int prepare(struct trust *trust, ln_policy *policy, bool again, struct trust_change *ret,
                   ln_error *reterr)
{
    struct trust_change change = {.policy = ln_policy_ref(policy)};
    const ln_settings *settings = ln_policy_settings(policy);
    int r = read_credentials(trust, settings, again, &change.credentials, reterr);
    if (r == 0) {
        change.upkeeps = calloc(settings->n_secrets + 1, sizeof(*change.upkeeps));
        if (change.upkeeps == NULL) {
            r = fail_with(reterr, -ENOMEM, "out of memory");
        }
    }
    if (r < 0) {
        clear_change(&change);
        return r;
    }
    const struct trust_change *before = again ? &trust->now : NULL;
    (void)loop_now(trust->loop); /* reading may have taken a while */
    for (size_t i = 0; i < settings->n_secrets; i++) {
        change.upkeeps[i] = upkeep_of(trust, &settings->secrets[i], before);
    }
    *ret = change;
    return 0;
}

int trust_prepare(struct trust *trust, ln_policy *policy, struct trust_change **ret,
                  ln_error *reterr)
{
    struct trust_change *change = calloc(1, sizeof(*change));
    if (change == NULL) {
        return fail_with(reterr, -ENOMEM, "out of memory");
    }
    int r = prepare(trust, policy, true, change, reterr);
    if (r < 0) {
        free(change);
        return r;
    }
    *ret = change;
    return 0;
}

void trust_commit(struct trust *trust, struct trust_change *change)
{
    credentials_keep_ca(&change->credentials, &trust->now.credentials);
    clear_change(&trust->now);
    trust->now = *change;
    free(change);
    trust_tick(trust);
}

void trust_abandon(struct trust_change *change)
{
    if (change != NULL) {
        clear_change(change);
        free(change);
    }
}

/* ---- life ---- */

int trust_new(struct loop *loop, struct events *events, const ln_config *config, struct trust **ret,
              ln_error *reterr)
{
    struct trust *trust = calloc(1, sizeof(*trust));
    if (trust == NULL) {
        return fail_with(reterr, -ENOMEM, "out of memory");
    }
    *trust = (struct trust){.loop = loop, .events = events, .files = config->files};
    int r = 0;
    if (config->data_dir != NULL && (trust->data_dir = strdup(config->data_dir)) == NULL) {
        r = fail_with(reterr, -ENOMEM, "out of memory");
    }
    if (r == 0) {
        r = prepare(trust, config->policy, false, &trust->now, reterr);
    }
    if (r < 0) {
        free(trust->data_dir);
        free(trust);
        return r;
    }
    *ret = trust;
    return 0;
}

struct trust *trust_free(struct trust *trust)
{
    if (trust != NULL) {
        clear_change(&trust->now);
        free(trust->data_dir);
        free(trust);
    }
    return NULL;
}

/* ---- asking ---- */

struct tls_authority *trust_authority(const struct trust *trust)
{
    return trust->now.credentials.authority;
}

struct vault *trust_vault(const struct trust *trust)
{
    return trust->now.credentials.vault;
}

/* How much of the name a pattern speaks of; 0: it does not match. */
static size_t match_length(const ln_name_pattern *pattern, const char *name)
{
    if (name == NULL || !name_pattern_matches(pattern, name)) {
        return 0;
    }
    return strlen(pattern->name) +
           (pattern->below ? 1 : 2); /* the name itself is more than ".name" */
}

struct tls_roots *trust_roots(const struct trust *trust, const char *name)
{
    const ln_tls_settings *tls = &settings_of(&trust->now)->tls;
    const struct credentials *credentials = &trust->now.credentials;
    struct tls_roots *found = credentials->roots;
    size_t longest = 0;
    for (size_t i = 0; i < credentials->n_roots_for; i++) {
        size_t len = match_length(&tls->ca_certs_for[i].host, name);
        if (len > longest) {
            longest = len;
            found = credentials->roots_for[i];
        }
    }
    return found;
}

bool trust_verifies(const struct trust *trust, const char *name)
{
    const ln_tls_settings *tls = &settings_of(&trust->now)->tls;
    bool verifies = tls->verify_upstream;
    size_t longest = 0;
    for (size_t i = 0; i < tls->n_verify_for; i++) {
        size_t len = match_length(&tls->verify_for[i].host, name);
        if (len > longest) {
            longest = len;
            verifies = tls->verify_for[i].verify;
        }
    }
    return verifies;
}

const char *trust_ca(const struct trust *trust)
{
    struct tls_authority *authority = trust->now.credentials.authority;
    return authority == NULL ? NULL : tls_authority_certificate(authority);
}

const char *trust_host_cas(const struct trust *trust)
{
    return trust->now.credentials.host_cas;
}

void trust_secrets(const struct trust *trust,
                   void (*visit)(void *user, const ln_secret_status *status), void *user)
{
    for (size_t i = 0; i < settings_of(&trust->now)->n_secrets; i++) {
        const struct upkeep *upkeep = &trust->now.upkeeps[i];
        ln_secret_status status = {
            .secret = upkeep->secret,
            .placeholder = vault_placeholder(trust->now.credentials.vault, i),
            .age_ms = (trust->loop->now_ns - upkeep->read_ns) / MS_NS,
            .failure = upkeep->failure[0] == '\0' ? NULL : upkeep->failure,
        };
        visit(user, &status);
    }
}
