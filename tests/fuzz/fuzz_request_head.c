/* First bytes of HTTP clients: whole and in pieces they show the same, which is what the naive
 * reader sees. The first byte of the input says how large the pieces are. */
#include "../unit/http/naive_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char naive_name[256];
    struct request_head_view whole = {0};
    struct request_head_view pieces = {0};
    if (size == 0) {
        return 0;
    }
    size_t step = data[0] + 1u;
    data++;
    size--;
    enum request_head found = request_head_look(&whole, data, size);
    enum request_head last = REQUEST_HEAD_PARTIAL;
    for (size_t len = 0; len < size && last == REQUEST_HEAD_PARTIAL; len += step) {
        last = request_head_look(&pieces, data, len);
    }
    last = last == REQUEST_HEAD_PARTIAL ? request_head_look(&pieces, data, size) : last;
    enum request_head naive = naive_head_look(data, size, naive_name);
    if (last != found || strcmp(pieces.name, whole.name) != 0 ||
        !naive_head_agrees(found, whole.name, naive, naive_name)) {
        abort();
    }
    return 0;
}
