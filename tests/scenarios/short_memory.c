/* The linker leads lunette's allocations here (--wrap), and those of mbedTLS and nghttp2 where they
 * are linked in; those of libslirp, glib and ldns stay. */
#include "short_memory.h"

#include <stdlib.h>
#include <string.h>

#include "lunette/gateway.h"
#include "net/gateway.h"

static bool armed;       /* a function of lunette's is running, and failures are wanted */
static long left;        /* allocations until one fails */
static bool for_good;    /* all after it fail too */
static bool failed_once; /* one did */

static bool fails(void)
{
    if (!armed) {
        return false;
    }
    if (left > 0) {
        left--;
        return false;
    }
    bool fail = !failed_once || for_good;
    failed_once = true;
    return fail;
}

/* Declares what the linker calls in the place of `name`, and what `name` is then called. */
#define WRAPPED(type, name, ...)                                                                   \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

/* clang-format off */
WRAPPED(void *, malloc, size_t size) { return fails() ? NULL : __real_malloc(size); }
WRAPPED(void *, calloc, size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
WRAPPED(void *, realloc, void *old, size_t size) { return fails() ? NULL : __real_realloc(old, size); }
WRAPPED(void *, reallocarray, void *old, size_t n, size_t size) { return fails() ? NULL : __real_reallocarray(old, n, size); }
WRAPPED(char *, strdup, const char *text) { return fails() ? NULL : __real_strdup(text); }
WRAPPED(char *, strndup, const char *text, size_t len) { return fails() ? NULL : __real_strndup(text, len); }
/* clang-format on */

/* Lunette's functions that the harness calls, and what they call of the harness. */

static bool wanted;
static ln_host harness;

static int pass_frame(void *user, const ln_frame *frame)
{
    bool was = armed;
    armed = false;
    int r = harness.send_frame(user, frame);
    armed = was;
    return r;
}

static int pass_event(void *user, const ln_event *event)
{
    bool was = armed;
    armed = false;
    int r = harness.on_event(user, event);
    armed = was;
    return r;
}

WRAPPED(int, ln_gateway_new, const ln_config *config, const ln_host *host, void *user,
        ln_gateway **ret, ln_error *reterr)
{
    harness = *host;
    ln_host ours = *host;
    ours.send_frame = pass_frame;
    ours.on_event = pass_event;
    armed = wanted;
    int r = __real_ln_gateway_new(config, &ours, user, ret, reterr);
    armed = false;
    return r;
}

WRAPPED(int, ln_gateway_input, ln_gateway *gw, const ln_frame *frame)
{
    armed = wanted && !gw->inside;
    int r = __real_ln_gateway_input(gw, frame);
    armed = false;
    return r;
}

WRAPPED(int, ln_gateway_dispatch, ln_gateway *gw)
{
    armed = wanted;
    int r = __real_ln_gateway_dispatch(gw);
    armed = false;
    return r;
}

WRAPPED(int, ln_gateway_reload, ln_gateway *gw, ln_policy *policy, ln_error *reterr)
{
    armed = wanted;
    int r = __real_ln_gateway_reload(gw, policy, reterr);
    armed = false;
    return r;
}

void run_out_at(long allocation, bool and_after)
{
    left = allocation;
    for_good = and_after;
    failed_once = false;
    wanted = true;
}

bool enough_again(void)
{
    wanted = false;
    return failed_once;
}

bool memory_ran_out(void)
{
    return failed_once;
}
