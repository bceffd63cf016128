/* A capped queue of bytes, in one piece of memory: what an engine has to send. */
#ifndef LN_BASE_BYTE_QUEUE_H
#define LN_BASE_BYTE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Set `cap`, and `keeps` where much goes through; zero the rest to start. Memory that is let go of
 * is overwritten: what passes through an inspected flow may be secret. */
struct byte_queue {
    uint8_t *data;
    size_t at, len; /* the bytes are data[at] up to data[at + len] */
    size_t room;    /* of `data`: less than four times `cap` */
    size_t cap;     /* most bytes it holds */
    bool keeps;     /* its memory, when it is empty, until byte_queue_trim() */
};

/* How many more bytes it may hold. */
static inline size_t byte_queue_space(const struct byte_queue *queue)
{
    return queue->len < queue->cap ? queue->cap - queue->len : 0;
}
/* Appends all of `data`, or nothing. Returns 0, -ENOBUFS over the cap, or -ENOMEM. */
int byte_queue_put(struct byte_queue *queue, const void *data, size_t len);
/* Room for `len` bytes behind the last, to be filled and then kept by byte_queue_commit(); NULL
 * over the cap or when out of memory. Borrowed until the next call on the queue. */
uint8_t *byte_queue_reserve(struct byte_queue *queue, size_t len);
/* Keeps the first `len` bytes of what was reserved. */
void byte_queue_commit(struct byte_queue *queue, size_t len);
/* The bytes, in one piece; borrowed until the next call that changes the queue. */
static inline const uint8_t *byte_queue_bytes(const struct byte_queue *queue)
{
    return queue->data == NULL ? NULL : queue->data + queue->at;
}
/* Drops the first `len` bytes, of which there are as many. An empty queue holds no memory that is
 * worth keeping, unless it `keeps`: it is freed when it was large. */
void byte_queue_drop(struct byte_queue *queue, size_t len);
/* Frees the memory of an empty queue that `keeps`, when it is large: nothing more is expected for a
 * while. */
void byte_queue_trim(struct byte_queue *queue);
/* Forgets everything; the queue can be used again. */
void byte_queue_free(struct byte_queue *queue);

#endif
