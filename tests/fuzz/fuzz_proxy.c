/* Answers of an upstream proxy, cut anywhere: nothing is read past the end, what is taken was
 * there, and cutting differently changes nothing. The first byte chooses the protocol, the second
 * how the answers are cut. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "net/proxy_handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* What came of it, and how many bytes belonged to the handshake. */
struct outcome {
    int result;
    size_t taken;
};

static void send_all(struct proxy_handshake *h)
{
    size_t len;
    proxy_handshake_output(h, &len);
    proxy_handshake_sent(h, len);
}

/* Shows the bytes `step` at a time. */
static struct outcome run(uint8_t kind, const uint8_t *data, size_t size, size_t step)
{
    struct proxy_target target = {.addr = {{[10] = 0xff, 0xff, 192, 0, 2, 1}}, .port = 443};
    ln_proxy proxy = {.kind = (kind & 1) != 0 ? LN_PROXY_HTTP : LN_PROXY_SOCKS5};
    struct proxy_handshake *h;
    struct outcome outcome = {0};
    size_t shown = 0;
    proxy.user = proxy.password = (kind & 2) != 0 ? "secret" : NULL;
    target.name = (kind & 4) != 0 ? "a.test" : NULL;
    if (proxy_handshake_new(&proxy, &target, &h) < 0) {
        return outcome;
    }
    while (outcome.result == 0 && shown < size) {
        size_t taken = 1;
        shown = size - shown > step ? shown + step : size;
        while (outcome.result == 0 && taken > 0) {
            size_t len = shown - outcome.taken;
            send_all(h);
            uint8_t *copy = malloc(len); /* so that the sanitizer sees its end */
            len = len > PROXY_ANSWER_MAX ? PROXY_ANSWER_MAX : len;
            memcpy(copy, data + outcome.taken, len);
            outcome.result = proxy_handshake_input(h, copy, len, &taken);
            free(copy);
            require(taken <= len && outcome.result <= 1);
            require(outcome.result != -EPROTO || proxy_handshake_fault(h) != NULL);
            outcome.taken += taken;
        }
    }
    proxy_handshake_free(h);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct outcome whole = run(data[0], data + 2, size - 2, size);
    struct outcome cut = run(data[0], data + 2, size - 2, 1 + (size_t)data[1] % 16);
    require(whole.result == cut.result && (whole.result != 1 || whole.taken == cut.taken));
    return 0;
}
