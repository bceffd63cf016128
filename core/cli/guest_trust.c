/* What CMD trusts.
 *
 * Theory of operation. Each bundle of the system gets in its place a copy with the certificates
 * that are added: the distributions' names for it often are links to one file, which is replaced
 * once. Most programs need no more. Variables are set for those that bring roots of their own, and
 * for whatever was told to look elsewhere: what a variable names already is copied and added to.
 *
 * Java has a bundle in a form of its own (java_store.h): where there is a Java, it is replaced too.
 *
 * OpenSSL's own name for the bundle is not there on Debian, where it looks for one file a
 * certificate in a directory instead: there the name is made. */
#include "cli/guest_trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/java_store.h"
#include "net/files.h"
#include "net/host_roots.h"

#define DIRECTORY "/run/lunette/trust"
#define OPENSSL   "/usr/lib/ssl"
#define ADDED     DIRECTORY "/added.pem" /* what is added alone */
#define SYSTEM    DIRECTORY "/system%zu.pem"
#define JAVA      DIRECTORY "/java.jks"

enum { PEM_MAX = 4 << 20, BUNDLE_PATH = 128 };

static const struct variable {
    const char *name;
    bool adds; /* to roots that the program has besides */
} variables[] = {
    {"SSL_CERT_FILE", false},      /* OpenSSL, Go, Python, Ruby, Rust's native roots */
    {"CURL_CA_BUNDLE", false},     /* curl, and Python's requests */
    {"REQUESTS_CA_BUNDLE", false}, /* Python's requests */
    {"PIP_CERT", false},
    {"GIT_SSL_CAINFO", false},
    {"CARGO_HTTP_CAINFO", false},
    {"AWS_CA_BUNDLE", false},
    {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", false},
    {"NIX_SSL_CERT_FILE", false},
    {"npm_config_cafile", false},
    {"NODE_EXTRA_CA_CERTS", true},
    {"DENO_CERT", true},
};

int guest_trust_add(struct guest_trust *trust, const char *piece)
{
    size_t len = strlen(piece);
    if (len > PEM_MAX - trust->len) {
        return -EFBIG;
    }
    char *pem = realloc(trust->pem, trust->len + len + 1);
    if (pem == NULL) {
        return -ENOMEM;
    }
    memcpy(pem + trust->len, piece, len + 1);
    trust->pem = pem;
    trust->len += len;
    return 0;
}

static int failed(const char *path)
{
    int err = errno;
    command_say("cannot give CMD the interception CA: %s: %s", path, strerror(err));
    return -err;
}

/* Writes a bundle: what is in the file `from` (NULL, or one that cannot be read: nothing) and what
 * is added. */
static int write_bundle(const struct guest_trust *trust, const char *from, const char *path)
{
    char *own = NULL;
    size_t len = 0;
    if (from != NULL) {
        (void)files_read(NULL, from, PEM_MAX, &own, &len);
    }
    FILE *file = fopen(path, "wxe");
    if (file == NULL) {
        int r = failed(path);
        free(own);
        return r;
    }
    if (own != NULL) {
        fwrite(own, 1, len, file);
        fputc('\n', file);
        free(own);
    }
    fwrite(trust->pem, 1, trust->len, file);
    bool written = ferror(file) == 0 && fchmod(fileno(file), 0444) == 0;
    return fclose(file) == 0 && written ? 0 : failed(path);
}

/* Whether the path leads to one of the bundles that were made here. */
static bool is_ours(const char *path)
{
    struct stat of_path, own;
    char bundle[64];
    if (stat(path, &of_path) != 0) {
        return false;
    }
    for (size_t i = 0; host_roots_bundles[i] != NULL; i++) {
        snprintf(bundle, sizeof(bundle), SYSTEM, i);
        if (stat(bundle, &own) == 0 && own.st_ino == of_path.st_ino &&
            own.st_dev == of_path.st_dev) {
            return true;
        }
    }
    return false;
}

/* Puts bundles over those of the system. *ret_first: the first of them. */
static int replace_bundles(const struct guest_trust *trust, const struct hide *hide,
                           char ret_first[BUNDLE_PATH])
{
    char real[PATH_MAX], bundle[BUNDLE_PATH];
    int r = 0;
    for (size_t i = 0; host_roots_bundles[i] != NULL && r == 0; i++) {
        if (realpath(host_roots_bundles[i], real) == NULL || is_ours(real)) {
            continue;
        }
        snprintf(bundle, sizeof(bundle), SYSTEM, i);
        r = write_bundle(trust, real, bundle);
        if (r == 0) {
            r = hide_replace(hide, bundle, real);
        }
        if (ret_first[0] == '\0') {
            strcpy(ret_first, bundle);
        }
    }
    return r;
}

static int set_variable(const struct guest_trust *trust, const struct variable *variable,
                        const char *everything)
{
    char bundle[BUNDLE_PATH];
    const char *path = variable->adds ? ADDED : everything;
    const char *named = getenv(variable->name);
    if (named != NULL && named[0] != '\0') {
        if (is_ours(named)) {
            return 0;
        }
        snprintf(bundle, sizeof(bundle), DIRECTORY "/%s.pem", variable->name);
        int r = write_bundle(trust, named, bundle);
        if (r < 0) {
            return r;
        }
        path = bundle;
    }
    return setenv(variable->name, path, 1) != 0 ? failed(variable->name) : 0;
}

/* ---- Java ---- */

/* Where distributions keep it; each Java's own is a link to it, or JAVA_HOME's. */
static const char *const java_stores[] = {
    "/etc/ssl/certs/java/cacerts",              /* Debian, Alpine, Arch */
    "/etc/pki/ca-trust/extracted/java/cacerts", /* Fedora */
    "/etc/pki/java/cacerts",                    /* the same, older */
    "/var/lib/ca-certificates/java-cacerts",    /* SUSE */
};

static int write_java_store(const char *bundle)
{
    char *pem;
    size_t len, store_len;
    uint8_t *store;
    int r = files_read(NULL, bundle, 2 * PEM_MAX, &pem, &len);
    if (r == 0) {
        r = java_store_make(pem, &store, &store_len);
        free(pem);
    }
    if (r < 0) {
        errno = -r;
        return failed(JAVA);
    }
    FILE *file = fopen(JAVA, "wxe");
    bool written = file != NULL && fwrite(store, 1, store_len, file) == store_len &&
                   fchmod(fileno(file), 0444) == 0;
    free(store);
    return file != NULL && fclose(file) == 0 && written ? 0 : failed(JAVA);
}

/* Puts Java's bundle over one that is there. */
static int replace_java_store(const struct hide *hide, const char *path, const char *everything)
{
    char real[PATH_MAX];
    struct stat own, there;
    if (realpath(path, real) == NULL || stat(real, &there) != 0 || !S_ISREG(there.st_mode)) {
        return 0;
    }
    int r = access(JAVA, F_OK) == 0 ? 0 : write_java_store(everything);
    if (r < 0 ||
        (stat(JAVA, &own) == 0 && own.st_ino == there.st_ino && own.st_dev == there.st_dev)) {
        return r;
    }
    return hide_replace(hide, JAVA, real);
}

static int replace_java_stores(const struct hide *hide, const char *everything)
{
    char path[PATH_MAX];
    const char *home = getenv("JAVA_HOME");
    int r = 0;
    for (size_t i = 0; i < sizeof(java_stores) / sizeof(java_stores[0]) && r == 0; i++) {
        r = replace_java_store(hide, java_stores[i], everything);
    }
    if (r == 0 && home != NULL &&
        (size_t)snprintf(path, sizeof(path), "%s/lib/security/cacerts", home) < sizeof(path)) {
        r = replace_java_store(hide, path, everything);
    }
    return r;
}

static int apply(const struct guest_trust *trust, const struct hide *hide)
{
    char everything[BUNDLE_PATH] = "";
    if (mkdir(DIRECTORY, 0755) != 0) {
        return failed(DIRECTORY);
    }
    int r = write_bundle(trust, NULL, ADDED);
    if (r == 0) {
        r = replace_bundles(trust, hide, everything);
    }
    if (everything[0] == '\0') {
        strcpy(everything, ADDED); /* the system trusts nobody */
    }
    if (r == 0) {
        r = replace_java_stores(hide, everything);
    }
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]) && r == 0; i++) {
        r = set_variable(trust, &variables[i], everything);
    }
    if (r == 0 && access(OPENSSL, X_OK) == 0 && access(OPENSSL "/cert.pem", F_OK) != 0) {
        r = hide_replace(hide, everything, OPENSSL "/cert.pem");
    }
    return r;
}

int guest_trust_apply(struct guest_trust *trust, const struct hide *hide)
{
    int r = trust->len == 0 ? 0 : apply(trust, hide);
    free(trust->pem);
    *trust = (struct guest_trust){0};
    return r;
}
