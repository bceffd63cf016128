/* nghttp2 counts some floods by itself, in ways that differ between its versions and that depend on
 * how the bytes were split. Here each frame is counted once, when its header is whole. */
#include "http/h2_meter.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

#include "base/bytes.h"

void h2_meter_init(struct h2_meter *m, size_t preface)
{
    *m = (struct h2_meter){.preface_left = preface};
}

void h2_meter_forgive(struct h2_meter *m, size_t frames)
{
    m->idle = m->idle > frames ? m->idle - frames : 0;
}

/* A whole header. Returns whether the frame may be read. */
static bool frame_begins(struct h2_meter *m, const uint8_t *head)
{
    uint8_t type = head[3];
    m->payload_left = get_be32(head) >> 8;
    switch (type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_PUSH_PROMISE:
        m->continuations = 0;
        return true; /* these are counted as requests, or refused */
    case NGHTTP2_CONTINUATION:
        m->continuations++;
        if (m->continuations > H2_CONTINUATIONS_MAX) {
            m->fault = "a field block of too many frames";
        }
        return m->fault == NULL;
    default: /* DATA too: what is in it is forgiven as it comes */
        m->idle++;
        if (m->idle > H2_IDLE_FRAMES_MAX) {
            m->fault = "a flood of frames";
        }
        return m->fault == NULL;
    }
}

/* How many of the bytes are whole headers and payload. */
static size_t whole(struct h2_meter *m, const uint8_t *data, size_t len)
{
    size_t at = 0;
    while (at < len && m->fault == NULL) {
        size_t left = len - at;
        if (m->preface_left > 0) {
            size_t n = left < m->preface_left ? left : m->preface_left;
            m->preface_left -= n;
            at += n;
        } else if (m->payload_left > 0) {
            uint32_t n = left < m->payload_left ? (uint32_t)left : m->payload_left;
            m->payload_left -= n;
            at += n;
        } else if (left >= H2_FRAME_HEADER && frame_begins(m, data + at)) {
            at += H2_FRAME_HEADER;
        } else {
            break;
        }
    }
    return at;
}

size_t h2_meter_take(struct h2_meter *m, const uint8_t *data, size_t len, const uint8_t **ret_span,
                     size_t *ret_span_len)
{
    *ret_span_len = 0;
    if (m->fault != NULL || len == 0) {
        return 0;
    }
    if (m->head_len == 0) {
        size_t n = whole(m, data, len);
        if (n > 0 || m->fault != NULL) {
            *ret_span = data;
            *ret_span_len = n;
            return n;
        }
    }
    size_t missing = H2_FRAME_HEADER - m->head_len;
    size_t n = len < missing ? len : missing;
    memcpy(m->head + m->head_len, data, n);
    m->head_len += n;
    if (m->head_len < H2_FRAME_HEADER) {
        return n;
    }
    m->head_len = 0;
    if (!frame_begins(m, m->head)) {
        return 0;
    }
    *ret_span = m->head;
    *ret_span_len = H2_FRAME_HEADER;
    return n;
}
