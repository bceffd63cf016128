/* Pins as the evaluator reads them; the public side is in lunette/policy.h. */
#ifndef LN_POLICY_PINS_H
#define LN_POLICY_PINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lunette/policy.h"

/* ln_pins_has() for a name of known length; `pins` may be NULL. */
bool pins_has(const ln_pins *pins, const char *name, size_t len, const ln_addr *addr,
              uint64_t now_ns);

/* A walk over the live names of one address; copy it to walk again. Valid until the pins change. */
struct pin_walk {
    const struct pin *at;
    uint64_t now_ns;
};

/* Starts a walk; `pins` may be NULL. This is the only lookup, the rest follows a list. */
struct pin_walk pins_walk(const ln_pins *pins, const ln_addr *addr, uint64_t now_ns);
/* The next name (terminated, its length in *ret_len), or NULL at the end. */
const char *pins_walk_next(struct pin_walk *walk, size_t *ret_len);
/* All names of the walk as one array of *ret_n, which belongs to `pins` and is valid until they
 * change or this is called again. `pins` may be NULL. */
const char *const *pins_list(const ln_pins *pins, struct pin_walk walk, size_t *ret_n);

#endif
