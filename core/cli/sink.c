/* A file that is written by a thread of its own, out of a ring.
 *
 * Theory of operation. The ring holds bytes; records are only whole in that they are put in one
 * piece. The thread takes the longest run of bytes that is contiguous and writes it with the lock
 * released: nobody else moves `head`, and `used` only grows meanwhile. It is woken when the ring
 * was empty, and sleeps when it is again.
 *
 * Once writing failed (a full disk, a reader gone), `error` says so and everything is refused: a
 * file with a hole in the middle helps nobody. */
#include "cli/sink.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WRITE_MAX = 1 << 16, STACK_SIZE = 1 << 16 };

struct sink {
    int fd;
    pthread_t thread;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t filled;
    uint8_t *ring;
    size_t size, head, used;
    int error; /* negative errno that ended writing */
    bool started, closing;
    bool ended;     /* the thread is done with the sink */
    bool abandoned; /* and then frees it itself */
};

int sink_new(int fd, size_t size, struct sink **ret)
{
    struct sink *sink = calloc(1, sizeof(*sink));
    uint8_t *ring = malloc(size);
    if (sink == NULL || ring == NULL) {
        free(sink);
        free(ring);
        return -ENOMEM;
    }
    *sink = (struct sink){.fd = fd, .ring = ring, .size = size};
    pthread_mutex_init(&sink->lock, NULL);
    pthread_cond_init(&sink->filled, NULL);
    *ret = sink;
    return 0;
}

/* Writes some of `len` bytes. Returns how many, or -errno. */
static ssize_t write_some(int fd, const uint8_t *data, size_t len)
{
    for (;;) {
        ssize_t n = write(fd, data, len < WRITE_MAX ? len : WRITE_MAX);
        if (n >= 0) {
            return n;
        }
        if (errno == EAGAIN) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            (void)poll(&writable, 1, -1);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
}

static void destroy(struct sink *sink)
{
    pthread_cond_destroy(&sink->filled);
    pthread_mutex_destroy(&sink->lock);
    close(sink->fd);
    free(sink->ring);
    free(sink);
}

static void *sink_run(void *user)
{
    struct sink *sink = user;
    pthread_mutex_lock(&sink->lock);
    for (;;) {
        while (sink->used == 0 && !sink->closing) {
            pthread_cond_wait(&sink->filled, &sink->lock);
        }
        if (sink->used == 0 || sink->error < 0) {
            break;
        }
        const uint8_t *from = sink->ring + sink->head;
        size_t run = sink->size - sink->head;
        run = run < sink->used ? run : sink->used;
        pthread_mutex_unlock(&sink->lock);
        ssize_t n = write_some(sink->fd, from, run);
        pthread_mutex_lock(&sink->lock);
        if (n < 0) {
            sink->error = (int)n;
        } else {
            sink->head = (sink->head + (size_t)n) % sink->size;
            sink->used -= (size_t)n;
        }
    }
    sink->ended = true;
    bool abandoned = sink->abandoned;
    pthread_mutex_unlock(&sink->lock);
    if (abandoned) {
        destroy(sink);
    }
    return NULL;
}

int sink_start(struct sink *sink)
{
    pthread_attr_t attributes;
    int r = pthread_attr_init(&attributes);
    if (r == 0) {
        (void)pthread_attr_setstacksize(&attributes, STACK_SIZE); /* too small: the default */
        r = pthread_create(&sink->thread, &attributes, sink_run, sink);
        pthread_attr_destroy(&attributes);
    }
    sink->started = r == 0;
    return -r;
}

static void ring_append(struct sink *sink, const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t at = (sink->head + sink->used) % sink->size;
        size_t run = sink->size - at < len ? sink->size - at : len;
        memcpy(sink->ring + at, data, run);
        sink->used += run;
        data += run;
        len -= run;
    }
}

static int put(struct sink *sink, const struct iovec *parts, int n_parts, size_t reserve)
{
    size_t len = 0;
    for (int i = 0; i < n_parts; i++) {
        len += parts[i].iov_len;
    }
    pthread_mutex_lock(&sink->lock);
    int r = sink->error;
    if (r == 0 && len + reserve > sink->size - sink->used) {
        r = -EAGAIN;
    }
    if (r == 0) {
        bool was_empty = sink->used == 0;
        for (int i = 0; i < n_parts; i++) {
            ring_append(sink, parts[i].iov_base, parts[i].iov_len);
        }
        if (was_empty) {
            pthread_cond_signal(&sink->filled);
        }
    }
    pthread_mutex_unlock(&sink->lock);
    return r;
}

int sink_put(struct sink *sink, const struct iovec *parts, int n_parts)
{
    return put(sink, parts, n_parts, SINK_RESERVE);
}

int sink_put_last(struct sink *sink, const struct iovec *parts, int n_parts)
{
    return put(sink, parts, n_parts, 0);
}

/* Waits for the thread's end. Returns false when that takes too long: then the sink is the
 * thread's. */
static bool join(struct sink *sink, unsigned timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    if (pthread_timedjoin_np(sink->thread, NULL, &until) == 0) {
        return true;
    }
    pthread_mutex_lock(&sink->lock);
    bool ended = sink->ended; /* just now */
    sink->abandoned = !ended;
    pthread_t thread = sink->thread;
    pthread_mutex_unlock(&sink->lock);
    if (ended) {
        pthread_join(thread, NULL);
    } else {
        pthread_detach(thread);
    }
    return ended;
}

struct sink *sink_free(struct sink *sink, unsigned timeout_ms)
{
    if (sink == NULL) {
        return NULL;
    }
    if (sink->started) {
        pthread_mutex_lock(&sink->lock);
        sink->closing = true;
        pthread_cond_signal(&sink->filled);
        pthread_mutex_unlock(&sink->lock);
    }
    if (!sink->started || join(sink, timeout_ms)) {
        destroy(sink);
    }
    return NULL;
}
