/* Makes the test program's n-th allocation fail. Include it in one file of a test: it takes the
 * place of calloc() and reallocarray() for the whole program. */
#ifndef TEST_FAILING_ALLOC_H
#define TEST_FAILING_ALLOC_H

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>

/* How many allocations still succeed; negative: all. */
static long allocations_left = -1;

static inline int allocation_fails(void)
{
    if (allocations_left == 0) {
        errno = ENOMEM;
        return 1;
    }
    allocations_left -= allocations_left > 0;
    return 0;
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    static void *(*next)(size_t, size_t);
    if (next == NULL) {
        *(void **)&next = dlsym(RTLD_NEXT, "calloc");
    }
    return allocation_fails() ? NULL : next(count, size);
}

__attribute__((visibility("default"))) void *reallocarray(void *old, size_t count, size_t size)
{
    static void *(*next)(void *, size_t, size_t);
    if (next == NULL) {
        *(void **)&next = dlsym(RTLD_NEXT, "reallocarray");
    }
    return allocation_fails() ? NULL : next(old, count, size);
}

#endif
