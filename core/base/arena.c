/* Memory that is freed all at once: a list of blocks, each twice the size of the one before, up to
 * a limit, so that small plans stay small and large ones need few calls. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_MIN = 1024, BLOCK_MAX = 256 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size, used;
    alignas(max_align_t) unsigned char data[];
};

void *arena_alloc(struct arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    size = (size + align - 1) & ~(align - 1);
    if (arena->cap != 0 && (arena->used > arena->cap || size > arena->cap - arena->used)) {
        return NULL;
    }
    struct arena_block *block = arena->head;
    if (block == NULL || block->size - block->used < size) {
        size_t want = block == NULL ? BLOCK_MIN : block->size * 2;
        want = want > BLOCK_MAX ? BLOCK_MAX : want;
        want = want < size ? size : want;
        block = calloc(1, sizeof(*block) + want);
        if (block == NULL) {
            return NULL;
        }
        block->size = want;
        block->next = arena->head;
        arena->head = block;
    }
    void *p = block->data + block->used;
    block->used += size;
    arena->used += size;
    return p;
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size) {
        return NULL;
    }
    return arena_alloc(arena, count * size);
}

char *arena_strndup(struct arena *arena, const char *text, size_t len)
{
    char *copy = len == SIZE_MAX ? NULL : arena_alloc(arena, len + 1);
    if (copy != NULL) {
        memcpy(copy, text, len);
    }
    return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = len < 0 ? NULL : arena_alloc(arena, (size_t)len + 1);
    if (text != NULL) {
        va_start(args, format);
        vsnprintf(text, (size_t)len + 1, format, args);
        va_end(args);
    }
    return text;
}

void arena_wipe(struct arena *arena)
{
    for (struct arena_block *block = arena->head; block != NULL; block = block->next) {
        explicit_bzero(block->data, block->used);
    }
}

void arena_free(struct arena *arena)
{
    struct arena_block *block = arena->head;
    while (block != NULL) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    arena->head = NULL;
    arena->used = 0;
}
