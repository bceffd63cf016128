/* `--events FILE`: events as JSON Lines, one object a line. */
#ifndef LN_CLI_EVENT_LOG_H
#define LN_CLI_EVENT_LOG_H

#include <stdint.h>

#include "cli/sink.h"
#include "lunette/event.h"

struct event_log {
    struct sink *sink; /* NULL: no log was asked for */
    uint64_t untold;   /* events lost since the last one that was written */
};

/* Writes to `fd`, which is the log's from success on. Returns 0 or -errno. */
int event_log_open(struct event_log *log, int fd);
/* Queues one event, with the guest's slot where several share the log (`slot` NULL: they do not).
 * Returns 0, or negative when it is lost: the file is slow, or failed. */
int event_log_put(struct event_log *log, const ln_event *event, const uint32_t *slot);
/* Tells what was lost last, and waits a moment for the file. */
void event_log_close(struct event_log *log);

#endif
