/* Reading the value of one secret. */
#include "net/secret_source.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/files.h"

enum { GRACE_MS = 5000 }; /* for whoever keeps the time limit of commands */

static int failed(struct secret_reading *reading, int err, const char *why)
{
    snprintf(reading->why, sizeof(reading->why), "%s", why);
    return err;
}

static int take(struct secret_reading *reading, const char *data, size_t len)
{
    if (len > 0 && data[len - 1] == '\n') {
        len--;
        len -= len > 0 && data[len - 1] == '\r';
    }
    reading->data = data;
    reading->len = len;
    return SECRET_READ;
}

static int read_env(struct secret_reading *reading, const char *name)
{
    const char *value = getenv(name);
    if (value == NULL) {
        return failed(reading, -ENOENT, "the variable is not in lunette's environment");
    }
    return take(reading, value, strlen(value));
}

static int read_file(struct secret_reading *reading, const ln_files *files, const char *path)
{
    int fd = files_open(files, path);
    if (fd < 0) {
        return failed(reading, fd, files_why(fd));
    }
    ssize_t n = files_read_all(fd, reading->buffer, sizeof(reading->buffer));
    close(fd);
    return n < 0 ? failed(reading, (int)n, files_why((int)n))
                 : take(reading, reading->buffer, (size_t)n);
}

int secret_reading_begin(struct secret_reading *reading, const ln_files *files,
                         const ln_secret *secret)
{
    reading->fd = -1;
    reading->filled = 0;
    switch (secret->from) {
    case LN_SECRET_VALUE:
        reading->data = secret->source;
        reading->len = secret->source_len;
        return SECRET_READ;
    case LN_SECRET_FROM_ENV:
        return read_env(reading, secret->source);
    case LN_SECRET_FROM_FILE:
        return read_file(reading, files, secret->source);
    case LN_SECRET_COMMAND:
        reading->fd = files_run(files, secret->source);
        return reading->fd < 0 ? failed(reading, reading->fd, files_why(reading->fd)) : SECRET_RUNS;
    }
    return -EINVAL;
}

/* What came of a command, once it is there whole. */
static int take_outcome(struct secret_reading *reading)
{
    int32_t code;
    if (reading->filled < sizeof(code)) {
        return failed(reading, -EPIPE, "the command was lost");
    }
    memcpy(&code, reading->buffer, sizeof(code));
    if (code == 0) {
        return take(reading, reading->buffer + sizeof(code), reading->filled - sizeof(code));
    }
    if (code > 0) {
        snprintf(reading->why, sizeof(reading->why), "the command failed with exit status %d",
                 (int)code);
        return -EIO;
    }
    return failed(reading, code,
                  code == -ETIMEDOUT ? "the command took longer than 10 s"
                  : code == -EFBIG   ? "the command printed too much"
                                     : strerror(-code));
}

int secret_reading_go_on(struct secret_reading *reading)
{
    for (;;) {
        size_t room = sizeof(reading->buffer) - reading->filled;
        if (room == 0) {
            return failed(reading, -EFBIG, "the command printed too much");
        }
        ssize_t n = read(reading->fd, reading->buffer + reading->filled, room);
        if (n == 0) {
            return take_outcome(reading);
        }
        if (n > 0) {
            reading->filled += (size_t)n;
        } else if (errno == EAGAIN) {
            return SECRET_RUNS;
        } else if (errno != EINTR) {
            return failed(reading, -errno, strerror(errno));
        }
    }
}

int secret_reading_finish(struct secret_reading *reading)
{
    int r = SECRET_RUNS;
    while (r == SECRET_RUNS) {
        struct pollfd wait = {.fd = reading->fd, .events = POLLIN};
        int n = poll(&wait, 1, COMMAND_TIME_MS + GRACE_MS);
        if (n == 0) {
            return failed(reading, -ETIMEDOUT, "the command took longer than 10 s");
        }
        if (n > 0 || errno != EINTR) {
            r = secret_reading_go_on(reading);
        }
    }
    return r;
}

void secret_reading_end(struct secret_reading *reading)
{
    if (reading->fd >= 0) {
        close(reading->fd);
    }
    explicit_bzero(reading, sizeof(*reading));
    reading->fd = -1;
}
