/* Memory of the HTTP/2 relay: it runs out at every allocation, and is counted. */
#include "http/h2_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "http/h2_memory.h"

static struct byte_queue guest_says = {.cap = QUEUE_MAX}, upstream_says = {.cap = QUEUE_MAX};

/* What both ends say in an exchange with bodies and trailers, and one that is reset. */
static void record(void)
{
    static struct block b;
    raw_guest_preface(&guest_says);
    block_request(&b, "POST", "/");
    raw_headers(&guest_says, 1, &b, false);
    raw_frame(&guest_says, NGHTTP2_DATA, 0, 1, "body", 4);
    b.len = 0;
    block_put(&b, "a", "b");
    raw_headers(&guest_says, 1, &b, true);
    block_request(&b, "GET", "/");
    raw_headers(&guest_says, 3, &b, true);
    raw_frame(&upstream_says, NGHTTP2_SETTINGS, 0, 0, "", 0);
    b.len = 0;
    block_put(&b, ":status", "200");
    raw_headers(&upstream_says, 1, &b, false);
    raw_frame(&upstream_says, NGHTTP2_DATA, 0, 1, "hello", 5);
    b.len = 0;
    block_put(&b, "c", "d");
    raw_headers(&upstream_says, 1, &b, true);
    raw_u32(&upstream_says, NGHTTP2_RST_STREAM, 3, NGHTTP2_INTERNAL_ERROR);
}

static ssize_t talk(struct world *w)
{
    ssize_t n = http_relay_from_guest(w->relay, byte_queue_bytes(&guest_says), guest_says.len);
    if (n >= 0) {
        n = http_relay_from_upstream(w->relay, byte_queue_bytes(&upstream_says), upstream_says.len);
    }
    return n;
}

static void test_memory_runs_out_at_every_allocation(void **state)
{
    (void)state;
    record();
    static struct world w;
    struct http_relay_settings settings = {
        .head_bytes = HEAD_BYTES, .streams = STREAMS, .scheme = "https"};
    long n = 0;
    bool through = false;
    for (; !through; n++) {
        assert_true(n < 10000);
        memset(&w, 0, sizeof(w));
        allocations_left = n;
        int error = http2_relay_new(&settings, &world_filter, &w, &w.relay);
        ssize_t taken = error == 0 ? talk(&w) : error;
        through = allocations_left > 0;
        allocations_left = -1;
        assert_true(taken == -ENOMEM || taken == (ssize_t)upstream_says.len);
        assert_true(error == 0 || w.relay == NULL);
        if (error == 0) {
            http_relay_free(w.relay);
        }
        assert_int_equal(w.n_done, w.n_requests);
    }
    assert_true(n > 50);
    assert_true(logged(&w, "done 1 200 4 5 -\n"));
    byte_queue_free(&guest_says);
    byte_queue_free(&upstream_says);
}

static void test_memory_is_counted_and_capped(void **state)
{
    (void)state;
    struct h2_memory memory = {.cap = 1000};
    nghttp2_mem mem = h2_memory_functions(&memory);
    void *a = mem.malloc(600, &memory);
    assert_non_null(a);
    assert_null(mem.malloc(500, &memory));
    assert_null(mem.calloc(SIZE_MAX / 2, 4, &memory));
    assert_null(mem.malloc(SIZE_MAX, &memory));
    void *b = mem.calloc(10, 20, &memory);
    assert_non_null(b);
    assert_int_equal(memory.used, 800);
    memset(b, 7, 200);
    assert_null(mem.realloc(b, 300, &memory)); /* both are held for a moment */
    mem.free(a, &memory);
    b = mem.realloc(b, 300, &memory);
    assert_non_null(b);
    assert_int_equal(((uint8_t *)b)[199], 7);
    assert_int_equal(memory.used, 300);
    mem.free(b, &memory);
    mem.free(NULL, &memory);
    assert_int_equal(memory.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_runs_out_at_every_allocation),
        cmocka_unit_test(test_memory_is_counted_and_capped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
