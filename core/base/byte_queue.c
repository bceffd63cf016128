/* The bytes stand anywhere in the memory. They are moved to its start only where that makes the
 * room that an append needs and at least as many bytes were dropped in front of them; else the
 * memory is doubled. So each byte is moved at most twice on average, however full the queue is
 * kept. */
#include "base/byte_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROOM_FIRST = 1024,     /* bytes: the first allocation */
    ROOM_KEPT = 16u << 10, /* what an empty queue may always keep */
};

static void let_go(struct byte_queue *queue)
{
    if (queue->data != NULL) {
        explicit_bzero(queue->data, queue->room);
        free(queue->data);
    }
    queue->data = NULL;
    queue->room = 0;
    queue->at = 0;
}

/* Moves the bytes to the start of more memory, which has room for `need`. */
static int grow(struct byte_queue *queue, size_t need)
{
    size_t room = queue->room == 0 ? ROOM_FIRST : 2 * queue->room;
    while (room < need) {
        room *= 2; /* need is within the cap, which is far from SIZE_MAX */
    }
    uint8_t *bigger = malloc(room);
    if (bigger == NULL) {
        return -ENOMEM;
    }
    size_t len = queue->len;
    if (len > 0) {
        memcpy(bigger, queue->data + queue->at, len);
    }
    let_go(queue);
    queue->data = bigger;
    queue->room = room;
    return 0;
}

static int make_room(struct byte_queue *queue, size_t len)
{
    if (len > byte_queue_space(queue)) {
        return -ENOBUFS;
    }
    if (queue->room - queue->at - queue->len >= len) {
        return 0;
    }
    if (queue->at >= queue->len && queue->room - queue->len >= len) {
        memmove(queue->data, queue->data + queue->at, queue->len);
        queue->at = 0;
        return 0;
    }
    return grow(queue, queue->len + len);
}

int byte_queue_put(struct byte_queue *queue, const void *data, size_t len)
{
    if (len == 0) {
        return 0;
    }
    int r = make_room(queue, len);
    if (r == 0) {
        memcpy(queue->data + queue->at + queue->len, data, len);
        queue->len += len;
    }
    return r;
}

uint8_t *byte_queue_reserve(struct byte_queue *queue, size_t len)
{
    return len == 0 || make_room(queue, len) < 0 ? NULL : queue->data + queue->at + queue->len;
}

void byte_queue_commit(struct byte_queue *queue, size_t len)
{
    assert(len <= queue->room - queue->at - queue->len);
    queue->len += len;
}

void byte_queue_drop(struct byte_queue *queue, size_t len)
{
    assert(len <= queue->len);
    queue->at += len;
    queue->len -= len;
    if (queue->len == 0) {
        queue->at = 0;
        if (!queue->keeps) {
            byte_queue_trim(queue);
        }
    }
}

void byte_queue_trim(struct byte_queue *queue)
{
    if (queue->len == 0 && queue->room > ROOM_KEPT) {
        let_go(queue);
    }
}

void byte_queue_free(struct byte_queue *queue)
{
    let_go(queue);
    queue->len = 0;
}
