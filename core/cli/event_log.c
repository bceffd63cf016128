/* Events as JSON Lines, through a sink. */
#include "cli/event_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { RING_SIZE = 1 << 20, LINE_MAX_BYTES = 8000, CLOSE_MS = 2000 };

_Static_assert(LINE_MAX_BYTES < SINK_RESERVE, "the last line must fit");

int event_log_open(struct event_log *log, int fd)
{
    *log = (struct event_log){0};
    return sink_new(fd, RING_SIZE, &log->sink);
}

/* `slot`: NULL: the line has none. */
static int put_line(struct event_log *log, const ln_event *event, const uint32_t *slot,
                    int (*put)(struct sink *, const struct iovec *, int))
{
    char line[LINE_MAX_BYTES];
    int at = slot == NULL ? 0 : snprintf(line, sizeof(line), "{\"slot\":%" PRIu32, *slot);
    size_t room = sizeof(line) - (size_t)at;
    size_t len = ln_event_format_json(event, line + at, room);
    if (len >= room) {
        return -EMSGSIZE;
    }
    if (slot != NULL) {
        line[at] = ','; /* the event's own brace */
    }
    line[(size_t)at + len] = '\n';
    struct iovec part = {.iov_base = line, .iov_len = (size_t)at + len + 1};
    return put(log->sink, &part, 1);
}

int event_log_put(struct event_log *log, const ln_event *event, const uint32_t *slot)
{
    if (log->sink == NULL) {
        return 0;
    }
    int r = put_line(log, event, slot, sink_put);
    log->untold = r < 0 ? log->untold + 1 : 0;
    return r;
}

void event_log_close(struct event_log *log)
{
    if (log->sink != NULL && log->untold > 0) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        ln_event event = {.size = sizeof(event),
                          .kind = LN_EVENT_LIMIT,
                          .time_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000,
                          .reason = "events_lost",
                          .lost = log->untold};
        (void)put_line(log, &event, NULL, sink_put_last);
    }
    log->sink = sink_free(log->sink, CLOSE_MS);
}
