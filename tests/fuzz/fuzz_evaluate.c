/* Policies, pins and queries made of the input's bytes: the evaluator, traced and untraced, must
 * agree with the naive one. */
#include <stdlib.h>

#include "../unit/policy/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    struct source s = {.data = data, .len = size};
    bool agrees = true;
    world_make(&s, &w);
    for (int i = 0; i < 16 && agrees && s.len > 0; i++) {
        ln_query q = choose_query(&s, &w);
        ln_decision decision;
        agrees = world_agrees_on(&w, &q, &decision);
    }
    ln_addr addr = choose_addr(&s);
    const char *name = choose_name(&s);
    agrees = agrees && world_agrees_on_dns(&w, name, choose(&s, 2) == 0 ? LN_UDP : LN_TCP) &&
             world_agrees_on_answer(&w, &addr);
    world_free(&w);
    if (!agrees) {
        abort();
    }
    return 0;
}
