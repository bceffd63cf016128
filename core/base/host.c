/* The system's clock and randomness, for those who inject nothing else. */
#include "base/host.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static uint64_t system_now_ns(void *user)
{
    (void)user;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

static void system_random(void *user, uint8_t *dst, size_t len)
{
    (void)user;
    while (len > 0) {
        ssize_t n = getrandom(dst, len, 0);
        if (n < 0) {
            /* Only EINTR before the pool is ready; without randomness nothing here is safe. */
            continue;
        }
        dst += n;
        len -= (size_t)n;
    }
}

const struct host_services host_services_system = {
    .now_ns = system_now_ns,
    .random = system_random,
};
