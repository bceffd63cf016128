/* Names of rules: a keyed hash map from a canonical name to what rules say about exactly it and
 * about everything below it. */
#ifndef LN_POLICY_NAME_MAP_H
#define LN_POLICY_NAME_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/hash.h"

enum { NAME_LABELS_MAX = 127 /* of a name of 253 bytes */ };

/* Rules that allow and rules that deny are kept apart, since a name merely claimed can make only
 * the latter match. */
enum name_use { NAME_EXACT_ALLOW, NAME_EXACT_DENY, NAME_BELOW_ALLOW, NAME_BELOW_DENY, NAME_USES };

#define BUCKET_NONE UINT32_MAX

struct name_entry {
    const char *name; /* borrowed */
    uint32_t len;
    uint32_t bucket[NAME_USES]; /* BUCKET_NONE: no such rule */
};

struct name_slot {
    uint32_t tag;   /* bits of the hash, to skip most other names unread */
    uint32_t entry; /* number + 1; 0: free */
};

struct name_map {
    struct hash_key key;
    struct name_slot *slots; /* open addressing, at most half full */
    uint32_t mask;
    struct name_entry *entries;
    uint32_t count, room;
    uint64_t below[2];  /* bit n: some entry of n labels has rules for what is below it */
    uint32_t below_max; /* the highest bit */
};

/* An empty map for at most `room` names; memory is of `arena`. Returns 0 or -ENOMEM. */
int name_map_init(struct name_map *map, struct arena *arena, struct hash_key key, uint32_t room);
/* The entry of a name, made when there is none; `name` must outlive the map. At most `room`
 * different names. */
struct name_entry *name_map_put(struct name_map *map, const char *name, uint32_t len);
/* Notes that the entry has rules for what is below it. */
void name_map_mark_below(struct name_map *map, const struct name_entry *entry);
/* The entry of a name, or NULL. */
const struct name_entry *name_map_find(const struct name_map *map, const char *name, size_t len);

/* Walk over the entries with rules for what is above `name` (so that `name` is below them),
 * shortest first:
 *     struct name_walk walk = name_walk_start(map, name, len);
 *     while ((entry = name_walk_next(&walk)) != NULL) */
struct name_walk {
    const struct name_map *map;
    const char *name;
    size_t len, at; /* labels behind `at` have been walked */
    uint32_t labels;
};
struct name_walk name_walk_start(const struct name_map *map, const char *name, size_t len);
const struct name_entry *name_walk_next(struct name_walk *walk);

#endif
