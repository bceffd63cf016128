/* Reading what a policy's settings name outside of themselves. */
#include "net/credentials.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/problems.h"
#include "base/text.h"
#include "net/ca_store.h"
#include "net/files.h"
#include "net/host_roots.h"
#include "net/secret_source.h"

enum { PEM_MAX = 4 << 20, FIELD_MAX = 320, FOUND_MAX = 512 };

#define A_FILE "a regular file that lunette can read"

struct reader {
    const struct credentials_request *request;
    struct credentials *to;
    ln_problems *problems;
    int line; /* of the policy, where what is being read is asked for; 0: unknown */
    unsigned mistakes;
    bool out_of_memory;
};

/* ---- problems ---- */

/* `found` is shown in quotes; NULL: there is nothing to show. */
static void report(struct reader *reader, const char *field, const char *found,
                   const char *accepted, const char *message)
{
    char quoted[FOUND_MAX];
    if (found != NULL) {
        struct text text = text_of(quoted, sizeof(quoted));
        text_quote(&text, found, strlen(found));
    }
    reader->mistakes++;
    if (problems_add(reader->problems, reader->request->policy, reader->line, field,
                     found == NULL ? NULL : quoted, accepted, "%s", message) < 0) {
        reader->out_of_memory = true;
    }
}

/* Of what returned r, with a sentence where that is -EINVAL or the like. */
static void report_error(struct reader *reader, int r, const char *field, const char *found,
                         const char *accepted, const ln_error *error)
{
    if (r == -ENOMEM) {
        reader->out_of_memory = true;
    } else {
        report(reader, field, found, accepted, error->message);
    }
}

/* Reads a PEM file that the policy names. Returns 0, or -errno after telling. */
static int read_pem(struct reader *reader, const char *field, const char *path, char **ret,
                    size_t *ret_len)
{
    int r = files_read(reader->request->files, path, PEM_MAX, ret, ret_len);
    if (r == -ENOMEM) {
        reader->out_of_memory = true;
    } else if (r < 0) {
        report(reader, field, path, A_FILE, files_why(r));
    }
    return r;
}

static void wipe_and_free(char *text, size_t len)
{
    if (text != NULL) {
        explicit_bzero(text, len);
        free(text);
    }
}

/* ---- the CA ---- */

static struct tls_authority_options authority_options(const struct credentials_request *request)
{
    const ln_limits *limits = &request->settings->limits;
    return (struct tls_authority_options){.services = request->services,
                                          .leaf_certificates = limits->leaf_certificates,
                                          .leaf_valid_s = limits->leaf_valid_s};
}

static void load_pair(struct reader *reader, const struct tls_pair *pair, const char *field,
                      const char *path)
{
    struct tls_authority_options options = authority_options(reader->request);
    ln_error error;
    int r = tls_authority_new(&options, pair->certificate, pair->certificate_len, pair->key,
                              pair->key_len, &reader->to->authority, &error);
    if (r < 0) {
        report_error(reader, r, field, path, "a CA's certificate and the key that fits it", &error);
    }
}

static void read_given_ca(struct reader *reader, const ln_tls_settings *tls)
{
    struct tls_pair pair = {0};
    int r = read_pem(reader, "tls.ca_cert", tls->ca_cert, &pair.certificate, &pair.certificate_len);
    int k = read_pem(reader, "tls.ca_key", tls->ca_key, &pair.key, &pair.key_len);
    if (r == 0 && k == 0) {
        load_pair(reader, &pair, "tls.ca_cert", tls->ca_cert);
        reader->to->ca_path = strdup(tls->ca_cert);
        reader->out_of_memory |= reader->to->ca_path == NULL;
    }
    free(pair.certificate);
    wipe_and_free(pair.key, pair.key_len);
}

static void read_stored_ca(struct reader *reader)
{
    const struct credentials_request *request = reader->request;
    struct tls_authority_options options = authority_options(request);
    struct ca_store store;
    struct tls_pair pair;
    ln_error error;
    int r = ca_store_find(request->data_dir, &store, &error);
    if (r == 0) {
        r = ca_store_open(&store, request->look_only ? CA_STORE_LOOK : CA_STORE_MAKE, &options,
                          &pair, &error);
        if (r == -ENOENT && request->look_only) {
            return; /* it will be made */
        }
    }
    if (r < 0) {
        report_error(reader, r, "tls", NULL, NULL, &error);
        return;
    }
    load_pair(reader, &pair, "tls", store.certificate);
    tls_pair_free(&pair);
}

static bool same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* What the guest was told to trust stays. */
static bool keeps_ca(struct reader *reader, const ln_tls_settings *tls)
{
    const struct credentials *before = reader->request->before;
    if (before == NULL || before->authority == NULL) {
        return false;
    }
    if (!same(tls->ca_cert, before->ca_path)) {
        report(reader, "tls.ca_cert", tls->ca_cert, "what it was before",
               "the guest was told to trust another CA: start lunette again");
    }
    return true;
}

static void read_ca(struct reader *reader)
{
    const struct credentials_request *request = reader->request;
    const ln_tls_settings *tls = &request->settings->tls;
    if (keeps_ca(reader, tls)) {
        return; /* credentials_keep_ca() */
    }
    if (tls->ca_cert != NULL) {
        read_given_ca(reader, tls);
    } else if (request->before != NULL && request->files != NULL) {
        report(reader, "tls", NULL, NULL,
               "the guest was not told to trust a CA: start lunette again");
    } else {
        read_stored_ca(reader);
    }
}

/* ---- roots ---- */

/* The certificates of PEM text in front of `base`, of which the reference is given up. Returns the
 * set, or `base` after telling. */
static struct tls_roots *add_roots(struct reader *reader, struct tls_roots *base, const char *field,
                                   const char *path)
{
    char *pem;
    size_t len;
    struct tls_roots *roots;
    ln_error error;
    if (read_pem(reader, field, path, &pem, &len) < 0) {
        return base;
    }
    int r = tls_roots_new(pem, len, base, &roots, NULL, &error);
    free(pem);
    if (r < 0) {
        report_error(reader, r, field, path, "a file with certificates (PEM)", &error);
        return base;
    }
    (void)tls_roots_unref(base);
    return roots;
}

/* The machine's. Where there are none, those that the policy names must do. */
static void read_host_roots(struct reader *reader)
{
    const struct credentials_request *request = reader->request;
    const ln_settings *settings = request->settings;
    const char *path = host_roots_find();
    struct tls_roots *roots = NULL;
    ln_error error;
    char *pem = NULL;
    size_t len;
    if (path == NULL) {
        roots = tls_roots_none();
        reader->out_of_memory |= roots == NULL;
        if (settings->trust_host_cas ||
            (settings->tls.verify_upstream && settings->tls.n_upstream_ca_certs == 0)) {
            report(reader, settings->trust_host_cas ? "trust_host_cas" : "tls", NULL,
                   "SSL_CERT_FILE in lunette's environment, or tls.upstream_ca_certs",
                   "this machine has no bundle of root certificates");
        }
    } else if (read_pem(reader, "SSL_CERT_FILE", path, &pem, &len) == 0) {
        int r = tls_roots_new(pem, len, NULL, &roots, NULL, &error);
        if (r < 0) {
            report_error(reader, r, "SSL_CERT_FILE", path, "a bundle of certificates (PEM)",
                         &error);
        }
    }
    reader->to->host_roots = roots;
    if (settings->trust_host_cas) {
        reader->to->host_cas = pem;
    } else {
        free(pem);
    }
}

static void read_roots(struct reader *reader)
{
    const ln_tls_settings *tls = &reader->request->settings->tls;
    struct credentials *to = reader->to;
    char field[FIELD_MAX];
    struct tls_roots *roots = tls_roots_ref(to->host_roots);
    for (size_t i = 0; i < tls->n_upstream_ca_certs; i++) {
        snprintf(field, sizeof(field), "tls.upstream_ca_certs[%zu]", i + 1);
        roots = add_roots(reader, roots, field, tls->upstream_ca_certs[i]);
    }
    to->roots = roots;
    to->roots_for = calloc(tls->n_ca_certs_for + 1, sizeof(struct tls_roots *));
    if (to->roots_for == NULL) {
        reader->out_of_memory = true;
        return;
    }
    to->n_roots_for = tls->n_ca_certs_for;
    for (size_t i = 0; i < tls->n_ca_certs_for; i++) {
        const ln_tls_ca_certs_for *of = &tls->ca_certs_for[i];
        roots = tls_roots_ref(to->roots);
        for (size_t k = 0; k < of->n_paths; k++) {
            snprintf(field, sizeof(field), "tls.upstream_ca_certs_for[\"%s%s\"][%zu]",
                     of->host.below ? "*." : "", of->host.name, k + 1);
            roots = add_roots(reader, roots, field, of->paths[k]);
        }
        to->roots_for[i] = roots;
    }
}

static void read_tls(struct reader *reader)
{
    const struct credentials *before = reader->request->before;
    const ln_settings *settings = reader->request->settings;
    reader->line = settings->tls.line;
    if (settings->tls.intercept) {
        read_ca(reader);
    }
    if (before != NULL && before->host_roots != NULL) {
        reader->to->host_roots = tls_roots_ref(before->host_roots);
    } else if (settings->tls.intercept || settings->trust_host_cas) {
        read_host_roots(reader);
    }
    if (settings->tls.intercept) {
        read_roots(reader);
    }
}

/* ---- secrets ---- */

static const char *const source_keys[] = {"value", "from_env", "from_file", "command"};

static void report_secret(struct reader *reader, const ln_secret *secret, const char *why)
{
    static const char *const accepted[] = {
        "text without control characters that fits into a header",
        "a variable of lunette's environment that holds it",
        "a regular file that lunette can read, with the secret in it",
        "a command that prints the secret and exits with status 0",
    };
    char field[FIELD_MAX];
    snprintf(field, sizeof(field), "%s.%s", secret->origin, source_keys[secret->from]);
    reader->line = secret->line;
    report(reader, field, secret->from == LN_SECRET_VALUE ? NULL : secret->source,
           accepted[secret->from], why);
}

static void put_value(struct reader *reader, size_t i, const struct secret_reading *reading)
{
    const char *why;
    int r = vault_set(reader->to->vault, i, reading->data, reading->len, &why);
    if (r == -ENOMEM) {
        reader->out_of_memory = true;
    } else if (r < 0) {
        report_secret(reader, &reader->request->settings->secrets[i], why);
    }
}

/* Whether it is not to be read: a command's value that the vault has from before; or, for a look,
 * what is no file of this machine. */
static bool is_left(const struct reader *reader, size_t i)
{
    ln_secret_source from = reader->request->settings->secrets[i].from;
    return from == LN_SECRET_COMMAND
               ? reader->request->look_only || vault_has_value(reader->to->vault, i)
               : from == LN_SECRET_FROM_ENV && reader->request->look_only;
}

/* Begins all, so that commands run at the same time, and waits for them afterwards. */
static void read_values(struct reader *reader)
{
    const ln_settings *settings = reader->request->settings;
    struct secret_reading *readings = calloc(settings->n_secrets, sizeof(*readings));
    if (readings == NULL) {
        reader->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < settings->n_secrets; i++) {
        struct secret_reading *reading = &readings[i];
        reading->fd = -1;
        int r = is_left(reader, i)
                    ? SECRET_RUNS
                    : secret_reading_begin(reading, reader->request->files, &settings->secrets[i]);
        if (r == SECRET_READ) {
            put_value(reader, i, reading);
        } else if (r < 0) {
            report_secret(reader, &settings->secrets[i], reading->why);
        }
    }
    for (size_t i = 0; i < settings->n_secrets; i++) {
        struct secret_reading *reading = &readings[i];
        if (reading->fd >= 0) {
            if (secret_reading_finish(reading) == SECRET_READ) {
                put_value(reader, i, reading);
            } else {
                report_secret(reader, &settings->secrets[i], reading->why);
            }
        }
        secret_reading_end(reading);
    }
    free(readings);
}

static void read_secrets(struct reader *reader)
{
    const struct credentials_request *request = reader->request;
    const ln_settings *settings = request->settings;
    reader->line = 0;
    int r = vault_new(settings->secrets, settings->n_secrets, request->services.random,
                      request->services.user, &reader->to->vault);
    if (r == 0 && request->before != NULL) {
        r = vault_adopt(reader->to->vault, request->before->vault);
    }
    if (r == 0 && settings->n_secrets > 0) {
        read_values(reader);
    } else if (r == -E2BIG) {
        report(reader, "secrets", NULL, "at most 1024", "there are too many");
    } else if (r == -EINVAL) {
        report(reader, "secrets", NULL, "placeholders of which none is part of another",
               "a placeholder cannot be used");
    } else if (r < 0) {
        reader->out_of_memory = true;
    }
}

/* ---- all of it ---- */

int credentials_read(const struct credentials_request *request, struct credentials *ret,
                     ln_problems *problems)
{
    struct credentials credentials = {0};
    struct reader reader = {.request = request, .to = &credentials, .problems = problems};
    read_tls(&reader);
    read_secrets(&reader);
    if (reader.out_of_memory || reader.mistakes > 0) {
        credentials_free(&credentials);
        return reader.out_of_memory ? -ENOMEM : -EINVAL;
    }
    *ret = credentials;
    return 0;
}

void credentials_keep_ca(struct credentials *credentials, struct credentials *before)
{
    if (before->authority != NULL) {
        credentials->authority = before->authority;
        credentials->ca_path = before->ca_path;
        before->authority = NULL;
        before->ca_path = NULL;
    }
    if (before->host_cas != NULL) {
        free(credentials->host_cas);
        credentials->host_cas = before->host_cas;
        before->host_cas = NULL;
    }
    if (credentials->host_roots == NULL) {
        credentials->host_roots = tls_roots_ref(before->host_roots);
    }
}

void credentials_free(struct credentials *credentials)
{
    for (size_t i = 0; i < credentials->n_roots_for; i++) {
        (void)tls_roots_unref(credentials->roots_for[i]);
    }
    free(credentials->roots_for);
    (void)tls_roots_unref(credentials->roots);
    (void)tls_roots_unref(credentials->host_roots);
    (void)tls_authority_free(credentials->authority);
    (void)vault_unref(credentials->vault);
    free(credentials->host_cas);
    free(credentials->ca_path);
    *credentials = (struct credentials){0};
}
