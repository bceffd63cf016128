/* Stamping, counting and telling events. */
#include "base/events.h"

#include <time.h>

static uint64_t system_wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void events_tell(struct events *events, ln_event *event)
{
    events->counts[event->kind]++;
    if (events->sink == NULL) {
        return;
    }
    event->size = sizeof(*event);
    event->time_ms = events->wall_ms != NULL ? events->wall_ms(events->user) : system_wall_ms();
    event->lost = events->untold;
    if (events->sink(events->user, event) < 0) {
        events->untold++;
        events->lost++;
    } else {
        events->untold = 0;
    }
}
