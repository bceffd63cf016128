/* Answers kept for a while: bytes by key, bounded in number and size.
 *
 * Theory of operation. There are two queues. An answer enters the first, and moves to the second
 * when it is asked for again; the second takes at most three quarters of the room, and what is
 * pushed out of it goes back to the head of the first. Where room is needed, the tail of the first
 * goes. So any number of names that are asked for once push out only each other, and those that are
 * in use stay.
 *
 * A key is everything that an answer depends on; keys and answers are copied. */
#ifndef LN_DNS_CACHE_H
#define LN_DNS_CACHE_H

#include <stddef.h>
#include <stdint.h>

struct dns_cache;

/* At most `max_entries` answers, of `max_bytes` in all, keys and bookkeeping included. `hash_key`
 * keys the table against guests that choose names to collide. NULL when out of memory. */
struct dns_cache *dns_cache_new(uint32_t max_entries, size_t max_bytes, const uint8_t hash_key[16]);
/* Takes NULL, returns NULL. */
struct dns_cache *dns_cache_free(struct dns_cache *cache);
void dns_cache_clear(struct dns_cache *cache);

/* Keeps an answer for `ttl_s` seconds in place of the one there may be. Nothing happens when there
 * is no memory, or when it is too large: for a hundredth of the room. */
void dns_cache_put(struct dns_cache *cache, const uint8_t *key, size_t key_len, const uint8_t *msg,
                   size_t len, uint32_t ttl_s, uint64_t now_ns);
/* The answer of a key, borrowed until the next change, or NULL. Writes its length and its age. */
const uint8_t *dns_cache_get(struct dns_cache *cache, const uint8_t *key, size_t key_len,
                             uint64_t now_ns, size_t *ret_len, uint32_t *ret_age_s);

/* What is in it, for tests and statistics. */
uint32_t dns_cache_count(const struct dns_cache *cache);
size_t dns_cache_bytes(const struct dns_cache *cache);

#endif
