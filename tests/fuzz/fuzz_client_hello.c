/* First bytes of TLS clients: whole and in pieces they show the same, which is what the naive
 * reader sees. The first byte of the input says how large the pieces are. */
#include "../unit/tls/naive_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char naive_name[256] = "";
    struct client_hello_view whole = {0};
    struct client_hello_view pieces = {0};
    if (size == 0) {
        return 0;
    }
    size_t step = data[0] + 1u;
    data++;
    size--;
    enum client_hello found = client_hello_look(&whole, data, size);
    enum client_hello last = CLIENT_HELLO_PARTIAL;
    for (size_t len = 0; len < size && last == CLIENT_HELLO_PARTIAL; len += step) {
        last = client_hello_look(&pieces, data, len);
    }
    last = last == CLIENT_HELLO_PARTIAL ? client_hello_look(&pieces, data, size) : last;
    enum client_hello naive = naive_hello_look(data, size, naive_name);
    if (last != found || (found == CLIENT_HELLO_NAMED && strcmp(pieces.name, whole.name) != 0) ||
        !naive_hello_agrees(found, whole.name, naive, naive_name)) {
        abort();
    }
    return 0;
}
