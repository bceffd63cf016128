/* The flow table: chained hashing over a fixed number of buckets, one intrusive list for each
 * class. */
#include "flow/table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

int flow_table_init(struct flow_table *table, uint32_t most, const uint8_t hash_key[16])
{
    uint32_t buckets = 64;
    while (buckets < most && buckets < (1u << 20)) {
        buckets *= 2;
    }
    *table = (struct flow_table){.mask = buckets - 1, .key = hash_key_from(hash_key)};
    table->buckets = calloc(buckets, sizeof(struct flow *));
    return table->buckets == NULL ? -ENOMEM : 0;
}

void flow_table_fini(struct flow_table *table)
{
    assert(table->count == 0);
    free(table->buckets);
    *table = (struct flow_table){0};
}

static uint64_t hash_key_of(const struct flow_table *table, const struct flow_key *key)
{
    uint8_t bytes[37];
    memcpy(bytes, key->guest.bytes, 16);
    memcpy(bytes + 16, key->peer.bytes, 16);
    put_be16(bytes + 32, key->guest_port);
    put_be16(bytes + 34, key->peer_port);
    bytes[36] = key->ip_protocol;
    return hash_bytes(&table->key, bytes, sizeof(bytes));
}

static bool same_key(const struct flow_key *a, const struct flow_key *b)
{
    return a->guest_port == b->guest_port && a->peer_port == b->peer_port &&
           a->ip_protocol == b->ip_protocol && ln_addr_equal(&a->peer, &b->peer) &&
           ln_addr_equal(&a->guest, &b->guest);
}

struct flow *flow_table_find(const struct flow_table *table, const struct flow_key *key)
{
    uint64_t hash = hash_key_of(table, key);
    struct flow *flow = table->buckets[hash & table->mask];
    while (flow != NULL && (flow->hash != hash || !same_key(&flow->key, key))) {
        flow = flow->chain;
    }
    return flow;
}

static void list_append(struct flow_list *list, struct flow *flow)
{
    flow->older = list->newest;
    flow->newer = NULL;
    *(list->newest != NULL ? &list->newest->newer : &list->oldest) = flow;
    list->newest = flow;
    list->count++;
}

static void list_unlink(struct flow_list *list, struct flow *flow)
{
    *(flow->older != NULL ? &flow->older->newer : &list->oldest) = flow->newer;
    *(flow->newer != NULL ? &flow->newer->older : &list->newest) = flow->older;
    list->count--;
}

void flow_table_add(struct flow_table *table, struct flow *flow, enum flow_class flow_class,
                    uint64_t now_ns)
{
    flow->hash = hash_key_of(table, &flow->key);
    flow->id = ++table->last_id;
    struct flow **bucket = &table->buckets[flow->hash & table->mask];
    flow->chain = *bucket;
    *bucket = flow;
    flow->flow_class = (uint8_t)flow_class;
    flow->opened_ns = flow->used_ns = now_ns;
    list_append(&table->lists[flow_class], flow);
    table->count++;
}

void flow_table_remove(struct flow_table *table, struct flow *flow)
{
    struct flow **at = &table->buckets[flow->hash & table->mask];
    while (*at != flow) {
        at = &(*at)->chain;
    }
    *at = flow->chain;
    list_unlink(&table->lists[flow->flow_class], flow);
    table->count--;
}

void flow_table_touch(struct flow_table *table, struct flow *flow, uint64_t now_ns)
{
    flow->used_ns = now_ns;
    struct flow_list *list = &table->lists[flow->flow_class];
    if (list->newest != flow) {
        list_unlink(list, flow);
        list_append(list, flow);
    }
}

void flow_table_move(struct flow_table *table, struct flow *flow, enum flow_class flow_class,
                     uint64_t now_ns)
{
    list_unlink(&table->lists[flow->flow_class], flow);
    flow->flow_class = (uint8_t)flow_class;
    flow->used_ns = now_ns;
    list_append(&table->lists[flow_class], flow);
}

struct flow *flow_table_oldest(const struct flow_table *table, enum flow_class flow_class,
                               uint64_t now_ns, uint64_t idle_ns)
{
    struct flow *flow = table->lists[flow_class].oldest;
    return flow != NULL && now_ns - flow->used_ns >= idle_ns ? flow : NULL;
}

const ln_addr *flow_peer(const struct flow *flow)
{
    return flow->direction == LN_EGRESS ? &flow->key.peer : &flow->caller;
}

uint32_t flow_table_live(const struct flow_table *table)
{
    return table->count - table->lists[FLOW_DENIED].count;
}
