/* Answers kept for a while: a keyed hash table, and two queues that decide what goes first. */
#include "dns/cache.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/timer.h"

enum { SLOTS_MIN = 64, LARGEST_PART = 100 };

enum queue_name { ONCE, AGAIN, QUEUES };

struct entry {
    struct entry *chain;
    struct entry *newer, *older;
    uint64_t hash, stored_ns, expires_ns;
    uint16_t key_len, len; /* messages have at most 65535 bytes */
    uint8_t queue;
    uint8_t bytes[]; /* the key, then the message */
};

struct queue {
    struct entry *newest, *oldest;
    uint32_t count;
    size_t bytes;
};

struct dns_cache {
    struct hash_key key;
    struct entry **slots; /* a power of two of chains */
    size_t n_slots;
    uint32_t max_entries;
    size_t max_bytes;
    struct queue queues[QUEUES];
};

static size_t size_of(const struct entry *entry)
{
    return sizeof(*entry) + entry->key_len + entry->len;
}

/* ---- the queues ---- */

static void enqueue(struct dns_cache *cache, struct entry *entry, enum queue_name name)
{
    struct queue *queue = &cache->queues[name];
    entry->queue = (uint8_t)name;
    entry->newer = NULL;
    entry->older = queue->newest;
    *(queue->newest != NULL ? &queue->newest->newer : &queue->oldest) = entry;
    queue->newest = entry;
    queue->count++;
    queue->bytes += size_of(entry);
}

static void dequeue(struct dns_cache *cache, struct entry *entry)
{
    struct queue *queue = &cache->queues[entry->queue];
    *(entry->newer != NULL ? &entry->newer->older : &queue->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &queue->oldest) = entry->newer;
    queue->count--;
    queue->bytes -= size_of(entry);
}

/* ---- the table ---- */

static struct entry **slot_of(const struct dns_cache *cache, uint64_t hash)
{
    return &cache->slots[hash & (cache->n_slots - 1)];
}

static struct entry *find(const struct dns_cache *cache, uint64_t hash, const uint8_t *key,
                          size_t key_len)
{
    struct entry *entry = *slot_of(cache, hash);
    while (entry != NULL && (entry->hash != hash || entry->key_len != key_len ||
                             memcmp(entry->bytes, key, key_len) != 0)) {
        entry = entry->chain;
    }
    return entry;
}

static void drop(struct dns_cache *cache, struct entry *entry)
{
    struct entry **at = slot_of(cache, entry->hash);
    while (*at != entry) {
        at = &(*at)->chain;
    }
    *at = entry->chain;
    dequeue(cache, entry);
    free(entry);
}

/* Makes room for one entry of `size` bytes. */
static void make_room(struct dns_cache *cache, size_t size)
{
    while (dns_cache_count(cache) >= cache->max_entries ||
           dns_cache_bytes(cache) + size > cache->max_bytes) {
        struct entry *oldest = cache->queues[ONCE].oldest;
        drop(cache, oldest != NULL ? oldest : cache->queues[AGAIN].oldest);
    }
}

static bool is_too_much(const struct dns_cache *cache, const struct queue *queue)
{
    return queue->count > cache->max_entries - cache->max_entries / 4 ||
           queue->bytes > cache->max_bytes - cache->max_bytes / 4;
}

/* It was asked for again. */
static void promote(struct dns_cache *cache, struct entry *entry)
{
    struct queue *again = &cache->queues[AGAIN];
    dequeue(cache, entry);
    enqueue(cache, entry, AGAIN);
    while (is_too_much(cache, again) && again->oldest != entry) {
        struct entry *oldest = again->oldest;
        dequeue(cache, oldest);
        enqueue(cache, oldest, ONCE);
    }
}

/* ---- public ---- */

struct dns_cache *dns_cache_new(uint32_t max_entries, size_t max_bytes, const uint8_t hash_key[16])
{
    struct dns_cache *cache = calloc(1, sizeof(*cache));
    size_t n_slots = SLOTS_MIN;
    if (cache == NULL) {
        return NULL;
    }
    while (n_slots < max_entries) {
        n_slots *= 2;
    }
    *cache = (struct dns_cache){
        .key = hash_key_from(hash_key),
        .slots = calloc(n_slots, sizeof(*cache->slots)),
        .n_slots = n_slots,
        .max_entries = max_entries,
        .max_bytes = max_bytes,
    };
    return cache->slots != NULL ? cache : dns_cache_free(cache);
}

void dns_cache_clear(struct dns_cache *cache)
{
    for (int i = 0; i < QUEUES; i++) {
        while (cache->queues[i].oldest != NULL) {
            drop(cache, cache->queues[i].oldest);
        }
    }
}

struct dns_cache *dns_cache_free(struct dns_cache *cache)
{
    if (cache != NULL) {
        dns_cache_clear(cache);
        free(cache->slots);
        free(cache);
    }
    return NULL;
}

void dns_cache_put(struct dns_cache *cache, const uint8_t *key, size_t key_len, const uint8_t *msg,
                   size_t len, uint32_t ttl_s, uint64_t now_ns)
{
    uint64_t hash = hash_bytes(&cache->key, key, key_len);
    struct entry *old = find(cache, hash, key, key_len);
    enum queue_name queue = old != NULL ? (enum queue_name)old->queue : ONCE;
    size_t size = sizeof(struct entry) + key_len + len;
    if (old != NULL) {
        drop(cache, old);
    }
    if (ttl_s == 0 || size > cache->max_bytes / LARGEST_PART) {
        return;
    }
    struct entry *entry = malloc(size);
    if (entry == NULL) {
        return;
    }
    make_room(cache, size);
    *entry = (struct entry){
        .hash = hash,
        .stored_ns = now_ns,
        .expires_ns = now_ns + ttl_s * SECOND_NS,
        .key_len = (uint16_t)key_len,
        .len = (uint16_t)len,
    };
    memcpy(entry->bytes, key, key_len);
    memcpy(entry->bytes + key_len, msg, len);
    struct entry **slot = slot_of(cache, hash);
    entry->chain = *slot;
    *slot = entry;
    enqueue(cache, entry, ONCE);
    if (queue == AGAIN) {
        promote(cache, entry);
    }
}

const uint8_t *dns_cache_get(struct dns_cache *cache, const uint8_t *key, size_t key_len,
                             uint64_t now_ns, size_t *ret_len, uint32_t *ret_age_s)
{
    struct entry *entry = find(cache, hash_bytes(&cache->key, key, key_len), key, key_len);
    if (entry == NULL || entry->expires_ns <= now_ns) {
        return NULL; /* what is over is replaced by what is asked for now */
    }
    promote(cache, entry);
    *ret_len = entry->len;
    *ret_age_s = (uint32_t)((now_ns - entry->stored_ns) / SECOND_NS);
    return entry->bytes + key_len;
}

uint32_t dns_cache_count(const struct dns_cache *cache)
{
    return cache->queues[ONCE].count + cache->queues[AGAIN].count;
}

size_t dns_cache_bytes(const struct dns_cache *cache)
{
    return cache->queues[ONCE].bytes + cache->queues[AGAIN].bytes;
}
