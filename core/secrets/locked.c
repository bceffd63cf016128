/* One mapping an allocation: a page that cannot be touched, the pages, and another such page. The
 * memory ends where the last page begins, so that a read beyond it faults. */
#include "secrets/locked.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALIGNMENT = 16 };

struct extent {
    size_t page, size; /* bytes: of a page, of the memory, aligned */
    size_t inner;      /* of the pages that hold it */
};

static struct extent extent_of(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return (struct extent){.page = page, .size = size, .inner = (size + page - 1) / page * page};
}

void *locked_alloc(size_t size, bool *ret_locked)
{
    if (size == 0 || size > SIZE_MAX / 4) {
        return NULL;
    }
    struct extent extent = extent_of(size);
    size_t whole = extent.inner + 2 * extent.page;
    uint8_t *base = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        return NULL;
    }
    uint8_t *pages = mmap(base + extent.page, extent.inner, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (pages == MAP_FAILED) {
        munmap(base, whole);
        return NULL;
    }
    /* RLIMIT_CORE and the process's not being dumpable stand behind this advice. */
    (void)madvise(pages, extent.inner, MADV_DONTDUMP);
    (void)madvise(pages, extent.inner, MADV_WIPEONFORK);
    *ret_locked = mlock(pages, extent.inner) == 0;
    return pages + extent.inner - extent.size;
}

void locked_free(void *memory, size_t size)
{
    if (memory == NULL) {
        return;
    }
    struct extent extent = extent_of(size);
    explicit_bzero(memory, extent.size);
    uint8_t *pages = (uint8_t *)memory + extent.size - extent.inner;
    munmap(pages - extent.page, extent.inner + 2 * extent.page);
}
