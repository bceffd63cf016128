/* What the embedder injects into every engine: time and randomness. Tests inject their own. */
#ifndef LN_BASE_HOST_H
#define LN_BASE_HOST_H

#include <stddef.h>
#include <stdint.h>

struct host_services {
    void *user;
    uint64_t (*now_ns)(void *user);                       /* monotonic */
    void (*random)(void *user, uint8_t *dst, size_t len); /* cryptographic; cannot fail */
};

/* The system's own: CLOCK_MONOTONIC and getrandom(2). */
extern const struct host_services host_services_system;

#endif
