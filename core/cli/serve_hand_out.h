/* The files of --ca-bundle and --placeholders: what is to be handed to a guest. */
#ifndef LN_CLI_SERVE_HAND_OUT_H
#define LN_CLI_SERVE_HAND_OUT_H

#include "lunette/gateway.h"

/* Writes them; NULL: not asked for; "-": standard output. Returns 0, or -errno after saying what is
 * wrong. */
int serve_hand_out(const ln_gateway *gateway, const char *ca_bundle, const char *placeholders);

#endif
