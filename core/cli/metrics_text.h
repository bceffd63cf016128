/* The counters of a gateway in the text format of Prometheus. */
#ifndef LN_CLI_METRICS_TEXT_H
#define LN_CLI_METRICS_TEXT_H

#include <stdio.h>

#include "lunette/gateway.h"

#define METRICS_RULES_MAX 1000u /* rules with a line of their own, the first */

/* Writes them; `policy` as it was given, `slot` of the gateway. */
void metrics_write(const ln_gateway *gw, const char *policy, uint32_t slot, FILE *out);

#endif
