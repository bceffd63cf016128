/* Streams in which placeholders may stand: the same is found whole, in pieces and byte by byte, and
 * by decoding all and searching it. The first two bytes of the input say how it arrives. */
#include "../unit/secrets/naive_readings.h"
#include "../unit/secrets/secrets_fixture.h"
#include "secrets/scanner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SECRETS = 4, PLAIN = 3 /* the first ones are too short to be looked for in base64 */ };

static uint64_t found(const struct secret_scope *scope, const uint8_t *data, size_t len,
                      size_t split, size_t step)
{
    /* What ends an escape that was begun. */
    static const uint8_t end[] = "......";
    struct secret_report report = {0};
    struct secret_scanner *scanner;
    must(secret_scanner_new(scope, &scanner));
    size_t at = 0;
    size_t next = split < len ? split : len;
    for (;;) {
        while (secret_scan_raw(scanner, data + at, next - at, SECRET_RAW, &report) != 0) {
            secret_report_pass(&report);
        }
        if (next == len) {
            break;
        }
        at = next;
        next = len - at < step ? len : at + step;
    }
    while (secret_scan_raw(scanner, end, sizeof(end) - 1, SECRET_RAW, &report) != 0) {
        secret_report_pass(&report);
    }
    secret_scanner_free(scanner);
    return report.passed.words[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4096) {
        return 0;
    }
    size_t split = data[0];
    size_t step = data[1] + 1u;
    data += 2;
    size -= 2;
    ln_secret secrets[SECRETS] = {secret_of("A", "$ab", 0), secret_of("B", "%2/", 0),
                                  secret_of("C", "\\\"u", 0), secret_of("D", "$HOLDER_D", 0)};
    struct vault *vault = vault_of(secrets, SECRETS);
    struct secret_scope scope = scope_of(vault, "wrong.example");
    uint64_t whole = found(&scope, data, size, size, size);
    if (found(&scope, data, size, split, step) != whole ||
        found(&scope, data, size, 1, 1) != whole) {
        abort();
    }
    bool has_breaks = false;
    for (size_t i = 0; i < size; i++) {
        /* Also escaped: what is left out then is not compared. */
        has_breaks = has_breaks || data[i] == '\r' || data[i] == '\n' || data[i] == 'r' ||
                     data[i] == 'n' || data[i] == 'd' || data[i] == 'D' || data[i] == 'a' ||
                     data[i] == 'A';
    }
    uint8_t *ended = malloc(size + 6);
    memcpy(ended, data, size);
    memcpy(ended + size, "......", 6);
    for (size_t i = 0; i < SECRETS; i++) {
        bool shows = naive_shows(ended, size + 6, vault_placeholder(vault, i));
        bool is = (whole >> i & 1) != 0;
        if ((shows && !is) || (is && !shows && i < PLAIN && !has_breaks)) {
            abort();
        }
    }
    free(ended);
    secret_scope_end(&scope);
    vault_unref(vault);
    return 0;
}
