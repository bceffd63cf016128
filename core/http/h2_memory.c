/* Each piece knows its size and its neighbours, which stand in front of it. */
#include "http/h2_memory.h"

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct h2_piece {
    struct h2_piece *prev, *next;
    size_t size;
    alignas(max_align_t) uint8_t bytes[];
};

static void *piece_new(struct h2_memory *memory, size_t size)
{
    if (size > memory->cap || memory->used > memory->cap - size) {
        return NULL;
    }
    struct h2_piece *piece = calloc(1, sizeof(*piece) + size);
    if (piece == NULL) {
        return NULL;
    }
    piece->size = size;
    piece->next = memory->first;
    if (piece->next != NULL) {
        piece->next->prev = piece;
    }
    memory->first = piece;
    memory->used += size;
    return piece->bytes;
}

static struct h2_piece *piece_of(void *at)
{
    return (struct h2_piece *)(void *)((uint8_t *)at - offsetof(struct h2_piece, bytes));
}

static void piece_free(struct h2_memory *memory, struct h2_piece *piece)
{
    *(piece->prev != NULL ? &piece->prev->next : &memory->first) = piece->next;
    if (piece->next != NULL) {
        piece->next->prev = piece->prev;
    }
    memory->used -= piece->size;
    explicit_bzero(piece->bytes, piece->size);
    free(piece);
}

static void *mem_malloc(size_t size, void *user)
{
    return piece_new(user, size);
}

static void mem_free(void *at, void *user)
{
    if (at != NULL) {
        piece_free(user, piece_of(at));
    }
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
        size_t before = piece_of(at)->size;
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

void h2_memory_free(struct h2_memory *memory)
{
    while (memory->first != NULL) {
        piece_free(memory, memory->first);
    }
}
