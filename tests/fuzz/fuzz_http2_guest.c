/* The HTTP/2 relay against a guest that sends anything: upstream only ever sees HTTP/2 as it should
 * be, every request that was judged ends, and all that is kept stays within its bounds. */
#include "h2_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Upstream says back what it got, in another order than it was asked. */
static void serve(struct peer *p, struct peer_stream *s)
{
    static const nghttp2_nv trailers[] = {
        {(uint8_t *)(uintptr_t) "a", (uint8_t *)(uintptr_t) "b", 1, 1, NGHTTP2_NV_FLAG_NONE}};
    upstream_answers(p, s, "200", NULL, 0, s->id % 4 == 1);
    if (s->id % 4 == 1) {
        s->trailers = trailers;
        s->n_trailers = s->id % 8 == 1;
        peer_send(p, s, byte_queue_bytes(&s->body), s->body.len, true);
    }
}

static void happen(struct world *w, uint8_t what)
{
    struct peer_stream *s = &w->upstream->streams[what / 16];
    switch (what % 8) {
    case 0:
        w->guest_stalls = !w->guest_stalls;
        break;
    case 1:
        w->upstream_stalls = !w->upstream_stalls;
        break;
    case 2:
        if (s->id != 0) {
            (void)nghttp2_submit_rst_stream(w->upstream->session, 0, s->id, what / 16);
        }
        break;
    case 3:
        (void)nghttp2_submit_goaway(w->upstream->session, 0, what / 16 * 2 + 1, 0, NULL, 0);
        break;
    case 4:
        w->upstream->early = !w->upstream->early;
        break;
    case 5:
        if (what == 5) {
            http_relay_upstream_ended(w->relay);
        }
        break;
    case 6: {
        nghttp2_settings_entry few = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, what / 16};
        (void)nghttp2_submit_settings(w->upstream->session, 0, &few, 1);
        break;
    }
    default:
        w->upstream->holds = !w->upstream->holds;
        break;
    }
    world_run(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader in = reader_of(data, size);
    uint8_t flags = reader_u8(&in), what;
    struct world *w = world_bare(false);
    w->upstream = peer_new(w, true, 65535);
    w->upstream->serve = serve;
    fuzz_begin(w, flags);
    w->upstream->holds = (flags & FUZZ_HOLD) != 0;
    w->upstream_stalls = (flags & FUZZ_STALL) != 0;
    if ((flags & FUZZ_PREFACE) != 0) {
        raw_guest_preface(&w->from_guest);
    }
    while (fuzz_next(&in, &w->from_guest, &what)) {
        world_run(w);
        fuzz_check(w);
        happen(w, what);
    }
    fuzz_end(w);
    world_free(w);
    return 0;
}
