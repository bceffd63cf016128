/* Each piece knows its size, which stands in front of it. */
#include "http/h2_memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FRONT = 16 }; /* keeps the alignment that malloc() gives */

static void *piece_new(struct h2_memory *memory, size_t size)
{
    if (size > memory->cap || memory->used > memory->cap - size) {
        return NULL;
    }
    uint8_t *piece = calloc(1, FRONT + size);
    if (piece == NULL) {
        return NULL;
    }
    memcpy(piece, &size, sizeof(size));
    memory->used += size;
    return piece + FRONT;
}

static size_t size_of(const void *at)
{
    size_t size;
    memcpy(&size, (const uint8_t *)at - FRONT, sizeof(size));
    return size;
}

static void *mem_malloc(size_t size, void *user)
{
    return piece_new(user, size);
}

static void mem_free(void *at, void *user)
{
    if (at == NULL) {
        return;
    }
    struct h2_memory *memory = user;
    size_t size = size_of(at);
    memory->used -= size;
    explicit_bzero(at, size);
    free((uint8_t *)at - FRONT);
}

static void *mem_calloc(size_t count, size_t size, void *user)
{
    if (size != 0 && count > SIZE_MAX / size) {
        return NULL;
    }
    return piece_new(user, count * size);
}

static void *mem_realloc(void *at, size_t size, void *user)
{
    void *bigger = piece_new(user, size);
    if (bigger != NULL && at != NULL) {
        size_t before = size_of(at);
        memcpy(bigger, at, before < size ? before : size);
        mem_free(at, user);
    }
    return bigger;
}

nghttp2_mem h2_memory_functions(struct h2_memory *memory)
{
    return (nghttp2_mem){.mem_user_data = memory,
                         .malloc = mem_malloc,
                         .free = mem_free,
                         .calloc = mem_calloc,
                         .realloc = mem_realloc};
}
