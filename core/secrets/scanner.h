/* Looking for placeholders in a stream that is not rewritten: the first flight of a plain
 * connection, a tunnel. */
#ifndef LN_SECRETS_SCANNER_H
#define LN_SECRETS_SCANNER_H

#include "secrets/scope.h"

struct secret_scanner;

/* `scope` must outlive it. Returns 0 or -ENOMEM. */
int secret_scanner_new(const struct secret_scope *scope, struct secret_scanner **ret);
struct secret_scanner *secret_scanner_free(struct secret_scanner *scanner); /* takes NULL */
/* Looks at the next bytes, in every reading that secrets/readings.h lists and at every split, for
 * placeholders that the scope does not allow. Returns 0, or -EPERM at a violation of `place`, which
 * is in `report`: these bytes are not to be sent, or after secret_report_pass() are to be offered
 * again. */
int secret_scan_raw(struct secret_scanner *scanner, const uint8_t *data, size_t len,
                    enum secret_place place, struct secret_report *report);

#endif
