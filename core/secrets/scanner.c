#include "secrets/scanner.h"

#include <errno.h>
#include <stdlib.h>

#include "secrets/stream.h"
#include "secrets/vault_use.h"

struct secret_scanner {
    struct stream stream;
    const struct secret_scope *scope;
    enum secret_place place;
    struct secret_report *report; /* of the call */
};

static enum stream_verdict judge(void *user, const struct pattern *pattern, const struct hit *hit)
{
    const struct secret_scanner *scanner = user;
    (void)hit;
    if (secret_set_has(&scanner->scope->allowed, pattern->secret) ||
        secret_set_has(&scanner->report->passed, pattern->secret)) {
        return STREAM_PASS;
    }
    secret_set_add(&scanner->report->violations[scanner->place], pattern->secret);
    return STREAM_STOP;
}

int secret_scanner_new(const struct secret_scope *scope, struct secret_scanner **ret)
{
    static const struct stream_ops ops = {.judge = judge};
    struct secret_scanner *scanner = calloc(1, sizeof(*scanner));
    if (scanner == NULL) {
        return -ENOMEM;
    }
    scanner->scope = scope;
    int r = stream_init(&scanner->stream, vault_placeholders(scope->vault), &ops, scanner, false);
    if (r < 0) {
        free(scanner);
        return r;
    }
    *ret = scanner;
    return 0;
}

struct secret_scanner *secret_scanner_free(struct secret_scanner *scanner)
{
    if (scanner != NULL) {
        stream_free(&scanner->stream);
        free(scanner);
    }
    return NULL;
}

int secret_scan_raw(struct secret_scanner *scanner, const uint8_t *data, size_t len,
                    enum secret_place place, struct secret_report *report)
{
    scanner->place = place;
    scanner->report = report;
    return stream_feed(&scanner->stream, data, len, false, NULL);
}
