/* Open addressing with linear probing; nothing is ever removed. The key is random because lists of
 * names come from third parties, who could otherwise choose names that collide. */
#include "policy/name_map.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int name_map_init(struct name_map *map, struct arena *arena, struct hash_key key, uint32_t room)
{
    *map = (struct name_map){.key = key, .room = room};
    if (room == 0) {
        return 0;
    }
    if (room > UINT32_MAX / 4) {
        return -ENOMEM;
    }
    uint32_t slots = 2;
    while (slots < 2 * room) {
        slots *= 2;
    }
    map->slots = arena_array(arena, slots, sizeof(*map->slots));
    map->entries = arena_array(arena, room, sizeof(*map->entries));
    map->mask = slots - 1;
    return map->slots == NULL || map->entries == NULL ? -ENOMEM : 0;
}

/* The slot of the name, or the free one where it belongs. */
static struct name_slot *slot_of(const struct name_map *map, const char *name, size_t len,
                                 uint32_t *ret_tag)
{
    uint64_t hash = hash_bytes(&map->key, name, len);
    uint32_t tag = (uint32_t)(hash >> 32);
    *ret_tag = tag;
    for (uint32_t i = (uint32_t)hash & map->mask;; i = (i + 1) & map->mask) {
        struct name_slot *slot = &map->slots[i];
        if (slot->entry == 0) {
            return slot;
        }
        if (slot->tag == tag) {
            const struct name_entry *entry = &map->entries[slot->entry - 1];
            if (entry->len == len && memcmp(entry->name, name, len) == 0) {
                return slot;
            }
        }
    }
}

struct name_entry *name_map_put(struct name_map *map, const char *name, uint32_t len)
{
    uint32_t tag;
    struct name_slot *slot = slot_of(map, name, len, &tag);
    if (slot->entry == 0) {
        assert(map->count < map->room);
        map->entries[map->count] = (struct name_entry){
            .name = name,
            .len = len,
            .bucket = {BUCKET_NONE, BUCKET_NONE, BUCKET_NONE, BUCKET_NONE},
        };
        slot->tag = tag;
        slot->entry = ++map->count;
    }
    return &map->entries[slot->entry - 1];
}

const struct name_entry *name_map_find(const struct name_map *map, const char *name, size_t len)
{
    if (map->count == 0) {
        return NULL;
    }
    uint32_t tag;
    const struct name_slot *slot = slot_of(map, name, len, &tag);
    return slot->entry == 0 ? NULL : &map->entries[slot->entry - 1];
}

static bool has_below(const struct name_map *map, uint32_t labels)
{
    return (map->below[labels / 64] >> (labels % 64) & 1) != 0;
}

void name_map_mark_below(struct name_map *map, const struct name_entry *entry)
{
    uint32_t labels = 1;
    for (uint32_t i = 0; i < entry->len; i++) {
        labels += entry->name[i] == '.';
    }
    assert(labels <= NAME_LABELS_MAX);
    map->below[labels / 64] |= UINT64_C(1) << (labels % 64);
    map->below_max = labels > map->below_max ? labels : map->below_max;
}

struct name_walk name_walk_start(const struct name_map *map, const char *name, size_t len)
{
    return (struct name_walk){.map = map, .name = name, .len = len, .at = len, .labels = 0};
}

const struct name_entry *name_walk_next(struct name_walk *walk)
{
    while (walk->labels < walk->map->below_max) {
        const char *dot = memrchr(walk->name, '.', walk->at);
        if (dot == NULL) {
            break; /* what is left is the name itself, which is not below itself */
        }
        walk->at = (size_t)(dot - walk->name);
        walk->labels++;
        if (has_below(walk->map, walk->labels)) {
            const struct name_entry *entry =
                name_map_find(walk->map, dot + 1, walk->len - walk->at - 1);
            if (entry != NULL) {
                return entry;
            }
        }
    }
    return NULL;
}
