/* The HTTP/2 relay against an upstream that sends anything: the guest only ever sees HTTP/2 as it
 * should be, and each of its requests ends. */
#include "h2_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void happen(struct world *w, uint8_t what)
{
    struct peer_stream *s = &w->guest->streams[what / 16];
    switch (what % 8) {
    case 0:
        w->guest_stalls = !w->guest_stalls;
        break;
    case 1:
        w->guest->holds = !w->guest->holds;
        break;
    case 2:
        if (s->id != 0) {
            (void)nghttp2_submit_rst_stream(w->guest->session, 0, s->id, what / 16);
        }
        break;
    case 3:
        if (what == 3) {
            (void)nghttp2_submit_goaway(w->guest->session, 0, 0, 0, NULL, 0);
        }
        break;
    case 4:
        if (peer_has_place(w->guest) &&
            nghttp2_session_check_request_allowed(w->guest->session) != 0) {
            (void)guest_gets(w, "/more");
        }
        break;
    case 5:
        if (what == 5) {
            http_relay_guest_ended(w->relay);
        }
        break;
    default:
        if (s->id != 0 && !s->out_ends) {
            peer_send(w->guest, s, "more", 4, what % 8 == 7);
        }
        break;
    }
    world_run(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader in = reader_of(data, size);
    uint8_t flags = reader_u8(&in), what;
    struct world *w = world_bare(false);
    w->guest = peer_new(w, false, 65535);
    fuzz_begin(w, flags);
    (void)guest_gets(w, "/1");
    struct peer_stream *post = guest_asks(w, "POST", "/2", NULL, 0, true);
    peer_send(w->guest, post, "body", 4, false);
    (void)guest_asks(w, "HEAD", "/3", NULL, 0, false);
    w->guest->holds = (flags & FUZZ_HOLD) != 0;
    w->guest_stalls = (flags & FUZZ_STALL) != 0;
    if ((flags & FUZZ_PREFACE) != 0) {
        raw_frame(&w->from_upstream, NGHTTP2_SETTINGS, 0, 0, "", 0);
    }
    world_run(w);
    while (fuzz_next(&in, &w->from_upstream, &what)) {
        world_run(w);
        fuzz_check(w);
        happen(w, what);
    }
    fuzz_end(w);
    world_free(w);
    return 0;
}
