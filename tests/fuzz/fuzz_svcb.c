/* SVCB data against a naive reader. */
#include <stdlib.h>
#include <string.h>

#include "dns/svcb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Finds one parameter by walking from the start. Returns where its key stands, or 0. */
static size_t find(const uint8_t *data, size_t size, size_t from, unsigned key)
{
    for (size_t at = from; at < size; at += 4u + data[at + 2] * 256u + data[at + 3]) {
        if (data[at] * 256u + data[at + 1] == key) {
            return at;
        }
    }
    return 0;
}

/* Where the parameters start, or 0 when the data is malformed. */
static size_t naive(const uint8_t *data, size_t size)
{
    size_t at = 2;
    while (at < size && data[at] != 0 && data[at] < 64) {
        at += 1u + data[at];
    }
    if (at >= size || data[at] != 0 || at - 1 > 255) {
        return 0;
    }
    size_t start = ++at;
    long last = -1;
    while (at < size) {
        if (size - at < 4) {
            return 0;
        }
        long key = data[at] * 256 + data[at + 1];
        size_t len = data[at + 2] * 256u + data[at + 3];
        bool fine = key > last && len <= size - at - 4;
        fine = fine && (key != 0 || len % 2 == 0);
        fine = fine && (key != 4 || (len > 0 && len % 4 == 0));
        fine = fine && (key != 6 || (len > 0 && len % 16 == 0));
        if (!fine) {
            return 0;
        }
        last = key;
        at += 4 + len;
    }
    return start;
}

static void check_slice(const uint8_t *data, size_t at, size_t head, const uint8_t *slice,
                        size_t slice_len)
{
    size_t len = at == 0 ? 0 : data[at + 2] * 256u + data[at + 3];
    if (at == 0) {
        check(slice == NULL && slice_len == 0);
    } else {
        check(slice == data + at + head && slice_len == len + 4 - head);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct svcb svcb;
    size_t start = naive(data, size);
    int r = svcb_parse(data, size, &svcb);
    check((r == 0) == (start != 0));
    if (r == 0) {
        check(svcb.target == data + 2 && svcb.target_len == start - 2);
        check_slice(data, find(data, size, start, 4), 4, svcb.hints4, svcb.hints4_len);
        check_slice(data, find(data, size, start, 6), 4, svcb.hints6, svcb.hints6_len);
        check_slice(data, find(data, size, start, 5), 0, svcb.ech, svcb.ech_len);
        size_t mandatory = find(data, size, start, 0);
        bool ech = false;
        size_t len = mandatory == 0 ? 0 : data[mandatory + 2] * 256u + data[mandatory + 3];
        for (size_t i = 0; i < len; i += 2) {
            ech = ech || (data[mandatory + 4 + i] == 0 && data[mandatory + 5 + i] == 5);
        }
        check(ech == svcb.ech_mandatory);
    }
    return 0;
}
