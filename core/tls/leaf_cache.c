/* The cache of leaves: a keyed hash table, and a list by time of use. The keys are names that
 * guests choose. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tls/leaf.h"

int leaf_cache_init(struct leaf_cache *cache, uint32_t most, const struct host_services *services)
{
    uint8_t key[16];
    services->random(services->user, key, sizeof(key));
    uint32_t size = 16;
    while (size < most && size < 1u << 20) {
        size *= 2;
    }
    *cache = (struct leaf_cache){.key = hash_key_from(key),
                                 .buckets = calloc(size, sizeof(struct tls_leaf *)),
                                 .mask = size - 1,
                                 .most = most > 0 ? most : 1};
    return cache->buckets == NULL ? -ENOMEM : 0;
}

void leaf_cache_clear(struct leaf_cache *cache)
{
    while (cache->oldest != NULL) {
        leaf_cache_remove(cache, cache->oldest);
    }
    free(cache->buckets);
    cache->buckets = NULL;
}

static uint64_t hash_of(const struct leaf_cache *cache, const struct leaf_subject *subject)
{
    return subject->name != NULL
               ? hash_bytes(&cache->key, subject->name, strlen(subject->name))
               : ~hash_bytes(&cache->key, subject->address.bytes, sizeof(subject->address.bytes));
}

static bool is_of(const struct tls_leaf *leaf, const struct leaf_subject *subject)
{
    return subject->name != NULL ? leaf->named && strcmp(leaf->name, subject->name) == 0
                                 : !leaf->named && ln_addr_equal(&leaf->address, &subject->address);
}

static void unlink_use(struct leaf_cache *cache, struct tls_leaf *leaf)
{
    *(leaf->newer != NULL ? &leaf->newer->older : &cache->newest) = leaf->older;
    *(leaf->older != NULL ? &leaf->older->newer : &cache->oldest) = leaf->newer;
    leaf->newer = leaf->older = NULL;
}

static void link_newest(struct leaf_cache *cache, struct tls_leaf *leaf)
{
    leaf->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = leaf;
    cache->newest = leaf;
}

struct tls_leaf *leaf_cache_find(struct leaf_cache *cache, const struct leaf_subject *subject)
{
    struct tls_leaf *leaf = cache->buckets[hash_of(cache, subject) & cache->mask];
    while (leaf != NULL && !is_of(leaf, subject)) {
        leaf = leaf->hash_next;
    }
    if (leaf != NULL && leaf != cache->newest) {
        unlink_use(cache, leaf);
        link_newest(cache, leaf);
    }
    return leaf;
}

void leaf_cache_add(struct leaf_cache *cache, struct tls_leaf *leaf)
{
    if (cache->count == cache->most) {
        leaf_cache_remove(cache, cache->oldest);
    }
    struct leaf_subject subject = {.name = leaf->named ? leaf->name : NULL,
                                   .address = leaf->address};
    leaf->hash = hash_of(cache, &subject);
    leaf->hash_next = cache->buckets[leaf->hash & cache->mask];
    cache->buckets[leaf->hash & cache->mask] = tls_leaf_ref(leaf);
    link_newest(cache, leaf);
    cache->count++;
}

void leaf_cache_remove(struct leaf_cache *cache, struct tls_leaf *leaf)
{
    struct tls_leaf **at = &cache->buckets[leaf->hash & cache->mask];
    while (*at != leaf) {
        at = &(*at)->hash_next;
    }
    *at = leaf->hash_next;
    unlink_use(cache, leaf);
    cache->count--;
    tls_leaf_unref(leaf);
}
