/* Pins: which names this sandbox resolved to which addresses.
 *
 * Theory of operation. A pin joins a name and an address and is in the lists of both. Names and
 * addresses are found through one keyed hash table each, which grow with use.
 *
 * A pin lives until it expires, and as long as its address is held. An address may be held before
 * it has a pin, so that holds and releases pair up whatever happens in between. A name is evictable
 * when none of its addresses is held: evictable names form a queue, the one to go first at its
 * tail. Adding a pin or holding its address moves the name to the head of the queue, or out of it.
 *
 * Reading ignores expired pins; ln_pins_expire() only gives their memory back, and looks at a
 * bounded number of them each time. */
#include "policy/pins.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { TABLE_MIN = 16, SWEEP_WORK = 512 /* slots and pins of one ln_pins_expire() */ };

/* First member of whatever is in a table. */
struct node {
    struct node *chain;
    uint64_t hash;
};

struct table {
    struct node **slots; /* a power of two of chains */
    size_t n_slots, count;
};

struct pin {
    struct pin_name *name;
    struct pin_addr *addr;
    struct pin *name_prev, *name_next; /* the name's list, last added or refreshed first */
    struct pin *addr_prev, *addr_next; /* the address's list */
    uint64_t expires_ns;
};

struct pin_name {
    struct node node;
    struct pin_name *newer, *older; /* the queue; only meaningful while evictable */
    struct pin *pins;
    uint32_t n_pins;
    uint32_t n_held; /* pins whose address is held */
    size_t len;
    char text[];
};

struct pin_addr {
    struct node node;
    ln_addr addr;
    struct pin *pins;
    uint32_t n_pins;
    uint32_t holds;
};

struct ln_pins {
    struct table names, addrs;
    struct hash_key key;
    uint32_t max_names, max_addrs;
    struct pin_name *newest, *oldest; /* ends of the queue of evictable names */
    const char **list;                /* room for the names of any one address */
    uint32_t list_room;
    size_t sweep;    /* the slot of `names` at which ln_pins_expire() goes on */
    uint64_t now_ns; /* the latest time told: ln_pins_hold() is not told any */
};

/* ---- tables ---- */

static struct node **table_slot(const struct table *table, uint64_t hash)
{
    return &table->slots[hash & (table->n_slots - 1)];
}

static void table_resize(struct table *table, size_t n_slots)
{
    struct node **slots = calloc(n_slots, sizeof(struct node *));
    if (slots == NULL) {
        return; /* longer chains are no failure */
    }
    struct table bigger = {.slots = slots, .n_slots = n_slots, .count = table->count};
    for (size_t i = 0; i < table->n_slots; i++) {
        struct node *node = table->slots[i];
        while (node != NULL) {
            struct node *next = node->chain;
            struct node **slot = table_slot(&bigger, node->hash);
            node->chain = *slot;
            *slot = node;
            node = next;
        }
    }
    free(table->slots);
    *table = bigger;
}

static void table_insert(struct table *table, struct node *node, uint64_t hash)
{
    if (table->count >= table->n_slots) {
        table_resize(table, table->n_slots * 2);
    }
    struct node **slot = table_slot(table, hash);
    node->hash = hash;
    node->chain = *slot;
    *slot = node;
    table->count++;
}

static void table_remove(struct table *table, struct node *node)
{
    struct node **at = table_slot(table, node->hash);
    while (*at != node) {
        at = &(*at)->chain;
    }
    *at = node->chain;
    table->count--;
}

static struct pin_name *find_name(const ln_pins *pins, const char *text, size_t len, uint64_t hash)
{
    for (struct node *node = *table_slot(&pins->names, hash); node != NULL; node = node->chain) {
        struct pin_name *name = (struct pin_name *)node;
        if (node->hash == hash && name->len == len && memcmp(name->text, text, len) == 0) {
            return name;
        }
    }
    return NULL;
}

static struct pin_addr *find_addr(const ln_pins *pins, const ln_addr *addr, uint64_t hash)
{
    for (struct node *node = *table_slot(&pins->addrs, hash); node != NULL; node = node->chain) {
        struct pin_addr *at = (struct pin_addr *)node;
        if (node->hash == hash && memcmp(&at->addr, addr, sizeof(*addr)) == 0) {
            return at;
        }
    }
    return NULL;
}

static uint64_t hash_addr(const ln_pins *pins, const ln_addr *addr)
{
    return hash_bytes(&pins->key, addr->bytes, sizeof(addr->bytes));
}

/* ---- the queue of evictable names ---- */

static void queue_remove(ln_pins *pins, struct pin_name *name)
{
    *(name->newer != NULL ? &name->newer->older : &pins->newest) = name->older;
    *(name->older != NULL ? &name->older->newer : &pins->oldest) = name->newer;
    name->newer = name->older = NULL;
}

static void queue_push(ln_pins *pins, struct pin_name *name)
{
    name->newer = NULL;
    name->older = pins->newest;
    *(pins->newest != NULL ? &pins->newest->newer : &pins->oldest) = name;
    pins->newest = name;
}

static void name_hold(ln_pins *pins, struct pin_name *name)
{
    if (name->n_held++ == 0) {
        queue_remove(pins, name);
    }
}

static void name_release(ln_pins *pins, struct pin_name *name)
{
    if (--name->n_held == 0) {
        queue_push(pins, name);
    }
}

/* ---- making and dropping ---- */

static bool pin_is_live(const struct pin *pin, uint64_t now_ns)
{
    return pin->addr->holds > 0 || pin->expires_ns > now_ns;
}

static void name_list_push(struct pin *pin)
{
    struct pin_name *name = pin->name;
    pin->name_prev = NULL;
    pin->name_next = name->pins;
    if (name->pins != NULL) {
        name->pins->name_prev = pin;
    }
    name->pins = pin;
}

static void name_list_remove(struct pin *pin)
{
    *(pin->name_prev != NULL ? &pin->name_prev->name_next : &pin->name->pins) = pin->name_next;
    if (pin->name_next != NULL) {
        pin->name_next->name_prev = pin->name_prev;
    }
}

static void addr_list_push(struct pin *pin)
{
    struct pin_addr *addr = pin->addr;
    pin->addr_prev = NULL;
    pin->addr_next = addr->pins;
    if (addr->pins != NULL) {
        addr->pins->addr_prev = pin;
    }
    addr->pins = pin;
}

static void addr_list_remove(struct pin *pin)
{
    *(pin->addr_prev != NULL ? &pin->addr_prev->addr_next : &pin->addr->pins) = pin->addr_next;
    if (pin->addr_next != NULL) {
        pin->addr_next->addr_prev = pin->addr_prev;
    }
}

static void addr_drop_if_unused(ln_pins *pins, struct pin_addr *addr)
{
    if (addr->n_pins == 0 && addr->holds == 0) {
        table_remove(&pins->addrs, &addr->node);
        free(addr);
    }
}

static void name_drop_if_unused(ln_pins *pins, struct pin_name *name)
{
    if (name->n_pins == 0) {
        queue_remove(pins, name); /* without pins nothing holds it */
        table_remove(&pins->names, &name->node);
        free(name);
    }
}

/* Unlinks and frees the pin; its name stays, even without pins, its address only if in use. */
static void pin_drop(ln_pins *pins, struct pin *pin)
{
    struct pin_name *name = pin->name;
    struct pin_addr *addr = pin->addr;
    name_list_remove(pin);
    addr_list_remove(pin);
    name->n_pins--;
    addr->n_pins--;
    if (addr->holds > 0) {
        name_release(pins, name);
    }
    free(pin);
    addr_drop_if_unused(pins, addr);
}

static void name_drop(ln_pins *pins, struct pin_name *name)
{
    while (name->pins != NULL) {
        pin_drop(pins, name->pins);
    }
    name_drop_if_unused(pins, name);
}

/* Drops what has expired of one name, the name too when nothing is left. */
static void name_expire(ln_pins *pins, struct pin_name *name, uint64_t now_ns)
{
    struct pin *next;
    for (struct pin *pin = name->pins; pin != NULL; pin = next) {
        next = pin->name_next;
        if (!pin_is_live(pin, now_ns)) {
            pin_drop(pins, pin);
        }
    }
    name_drop_if_unused(pins, name);
}

/* Drops what has expired at one address that is not held. */
static void addr_expire(ln_pins *pins, struct pin_addr *addr, uint64_t now_ns)
{
    struct pin *next;
    for (struct pin *pin = addr->pins; pin != NULL; pin = next) {
        next = pin->addr_next; /* the last pin may take the address with it, and ends the walk */
        if (!pin_is_live(pin, now_ns)) {
            struct pin_name *name = pin->name;
            pin_drop(pins, pin);
            name_drop_if_unused(pins, name);
        }
    }
}

/* The name's entry, made when there is none, for which another may have to go. */
static int name_get(ln_pins *pins, const char *text, size_t len, struct pin_name **ret)
{
    uint64_t hash = hash_bytes(&pins->key, text, len);
    struct pin_name *name = find_name(pins, text, len, hash);
    if (name == NULL) {
        if (pins->names.count >= pins->max_names && pins->oldest == NULL) {
            return -ENOSPC;
        }
        name = calloc(1, sizeof(*name) + len + 1);
        if (name == NULL) {
            return -ENOMEM;
        }
        if (pins->names.count >= pins->max_names) {
            name_drop(pins, pins->oldest);
        }
        memcpy(name->text, text, len);
        name->len = len;
        queue_push(pins, name);
        table_insert(&pins->names, &name->node, hash);
    }
    *ret = name;
    return 0;
}

/* The address's entry, made when there is none; NULL when out of memory. */
static struct pin_addr *addr_get(ln_pins *pins, const ln_addr *addr)
{
    uint64_t hash = hash_addr(pins, addr);
    struct pin_addr *at = find_addr(pins, addr, hash);
    if (at == NULL) {
        at = calloc(1, sizeof(*at));
        if (at != NULL) {
            at->addr = *addr;
            table_insert(&pins->addrs, &at->node, hash);
        }
    }
    return at;
}

/* Makes room in a full name: drops the pin added or refreshed longest ago that is not held. Returns
 * 0, or -ENOSPC when all are held. */
static int name_make_room(ln_pins *pins, struct pin_name *name)
{
    struct pin *victim = NULL;
    for (struct pin *pin = name->pins; pin != NULL; pin = pin->name_next) {
        victim = pin->addr->holds == 0 ? pin : victim;
    }
    if (victim == NULL) {
        return -ENOSPC;
    }
    pin_drop(pins, victim);
    return 0;
}

/* Room for one more name of `addr` in the array of pins_list(). */
static int list_reserve(ln_pins *pins, const struct pin_addr *addr)
{
    if (addr->n_pins < pins->list_room) {
        return 0;
    }
    uint32_t room = pins->list_room == 0 ? 4 : pins->list_room * 2;
    const char **list = reallocarray(pins->list, room, sizeof(*list));
    if (list == NULL) {
        return -ENOMEM;
    }
    pins->list = list;
    pins->list_room = room;
    return 0;
}

static int pin_new(ln_pins *pins, struct pin_name *name, struct pin_addr *addr, uint64_t expires_ns)
{
    if (list_reserve(pins, addr) < 0) {
        return -ENOMEM;
    }
    struct pin *pin = calloc(1, sizeof(*pin));
    if (pin == NULL) {
        return -ENOMEM;
    }
    *pin = (struct pin){.name = name, .addr = addr, .expires_ns = expires_ns};
    name_list_push(pin);
    addr_list_push(pin);
    name->n_pins++;
    addr->n_pins++;
    if (addr->holds > 0) {
        name_hold(pins, name);
    }
    return 0;
}

static struct pin *pin_of(const struct pin_name *name, const ln_addr *addr)
{
    struct pin *pin = name->pins;
    while (pin != NULL && memcmp(&pin->addr->addr, addr, sizeof(*addr)) != 0) {
        pin = pin->name_next;
    }
    return pin;
}

static void tell_time(ln_pins *pins, uint64_t now_ns)
{
    pins->now_ns = now_ns > pins->now_ns ? now_ns : pins->now_ns;
}

/* ---- public ---- */

ln_pins *ln_pins_new(uint32_t max_names, uint32_t max_addrs, const uint8_t hash_key[16])
{
    ln_pins *pins = calloc(1, sizeof(*pins));
    if (pins == NULL) {
        return NULL;
    }
    pins->key = hash_key_from(hash_key);
    pins->max_names = max_names;
    pins->max_addrs = max_addrs;
    pins->names.slots = calloc(TABLE_MIN, sizeof(struct node *));
    pins->addrs.slots = calloc(TABLE_MIN, sizeof(struct node *));
    pins->names.n_slots = pins->addrs.n_slots = TABLE_MIN;
    if (pins->names.slots == NULL || pins->addrs.slots == NULL) {
        return ln_pins_free(pins);
    }
    return pins;
}

static void free_chains(struct table *table)
{
    for (size_t i = 0; table->slots != NULL && i < table->n_slots; i++) {
        struct node *node = table->slots[i];
        while (node != NULL) {
            struct node *next = node->chain;
            free(node);
            node = next;
        }
    }
    free(table->slots);
}

ln_pins *ln_pins_free(ln_pins *pins)
{
    if (pins == NULL) {
        return NULL;
    }
    for (size_t i = 0; pins->names.slots != NULL && i < pins->names.n_slots; i++) {
        for (struct node *node = pins->names.slots[i]; node != NULL; node = node->chain) {
            struct pin *next;
            for (struct pin *pin = ((struct pin_name *)node)->pins; pin != NULL; pin = next) {
                next = pin->name_next;
                free(pin);
            }
        }
    }
    free_chains(&pins->names);
    free_chains(&pins->addrs);
    free(pins->list);
    free(pins);
    return NULL;
}

int ln_pins_add(ln_pins *pins, const char *text, const ln_addr *addr, uint64_t now_ns,
                uint64_t expires_ns)
{
    size_t len = text == NULL ? 0 : strnlen(text, LN_NAME_MAX + 1);
    if (len == 0 || len > LN_NAME_MAX || pins->max_addrs == 0) {
        return -EINVAL;
    }
    tell_time(pins, now_ns);
    struct pin_name *name;
    int r = name_get(pins, text, len, &name);
    if (r < 0) {
        return r;
    }
    struct pin *pin = pin_of(name, addr);
    if (pin != NULL) {
        name_list_remove(pin);
        name_list_push(pin);
        pin->expires_ns = expires_ns > pin->expires_ns ? expires_ns : pin->expires_ns;
    } else {
        if (name->n_pins >= pins->max_addrs) {
            r = name_make_room(pins, name);
        }
        struct pin_addr *at = r < 0 ? NULL : addr_get(pins, addr);
        if (at != NULL) {
            r = pin_new(pins, name, at, expires_ns);
            addr_drop_if_unused(pins, at);
        } else if (r == 0) {
            r = -ENOMEM;
        }
    }
    if (name->n_held == 0) {
        queue_remove(pins, name);
        queue_push(pins, name);
    }
    name_drop_if_unused(pins, name);
    return r;
}

void ln_pins_hold(ln_pins *pins, const ln_addr *addr)
{
    struct pin_addr *at = find_addr(pins, addr, hash_addr(pins, addr));
    if (at != NULL && at->holds == 0) {
        addr_expire(pins, at, pins->now_ns); /* what is dead must not come alive by being held */
    }
    at = addr_get(pins, addr);
    if (at == NULL || at->holds++ > 0) {
        return; /* without memory the pins only die earlier */
    }
    for (struct pin *pin = at->pins; pin != NULL; pin = pin->addr_next) {
        name_hold(pins, pin->name);
    }
}

void ln_pins_release(ln_pins *pins, const ln_addr *addr, uint64_t now_ns)
{
    tell_time(pins, now_ns);
    struct pin_addr *at = find_addr(pins, addr, hash_addr(pins, addr));
    if (at == NULL || at->holds == 0 || --at->holds > 0) {
        return;
    }
    for (struct pin *pin = at->pins; pin != NULL; pin = pin->addr_next) {
        name_release(pins, pin->name);
    }
    if (at->pins != NULL) {
        addr_expire(pins, at, pins->now_ns);
    } else {
        addr_drop_if_unused(pins, at);
    }
}

void ln_pins_expire(ln_pins *pins, uint64_t now_ns)
{
    tell_time(pins, now_ns);
    size_t work = 0;
    for (size_t i = 0; i < pins->names.n_slots && work < SWEEP_WORK; i++) {
        size_t slot = pins->sweep++ & (pins->names.n_slots - 1);
        work++;
        struct node *next;
        for (struct node *node = pins->names.slots[slot]; node != NULL; node = next) {
            next = node->chain;
            work += ((struct pin_name *)node)->n_pins;
            name_expire(pins, (struct pin_name *)node, pins->now_ns);
        }
    }
}

bool ln_pins_revoke(ln_pins *pins, const char *text)
{
    size_t len = strlen(text);
    struct pin_name *name = find_name(pins, text, len, hash_bytes(&pins->key, text, len));
    if (name == NULL) {
        return false;
    }
    name_drop(pins, name);
    return true;
}

bool ln_pins_has(const ln_pins *pins, const char *text, const ln_addr *addr, uint64_t now_ns)
{
    return pins_has(pins, text, strlen(text), addr, now_ns);
}

size_t ln_pins_names(const ln_pins *pins, const ln_addr *addr, uint64_t now_ns, const char **names,
                     size_t max)
{
    struct pin_walk walk = pins_walk(pins, addr, now_ns);
    size_t n = 0;
    size_t len;
    while (n < max && (names[n] = pins_walk_next(&walk, &len)) != NULL) {
        n++;
    }
    return n;
}

size_t ln_pins_count(const ln_pins *pins)
{
    return pins->names.count;
}

void ln_pins_each(const ln_pins *pins, uint64_t now_ns,
                  void (*visit)(void *user, const char *name, const ln_addr *addr,
                                uint64_t expires_ns),
                  void *user)
{
    for (size_t i = 0; i < pins->names.n_slots; i++) {
        for (struct node *node = pins->names.slots[i]; node != NULL; node = node->chain) {
            struct pin_name *name = (struct pin_name *)node;
            for (struct pin *pin = name->pins; pin != NULL; pin = pin->name_next) {
                if (pin_is_live(pin, now_ns)) {
                    visit(user, name->text, &pin->addr->addr, pin->expires_ns);
                }
            }
        }
    }
}

/* ---- as the evaluator reads them ---- */

bool pins_has(const ln_pins *pins, const char *text, size_t len, const ln_addr *addr,
              uint64_t now_ns)
{
    if (pins == NULL) {
        return false;
    }
    struct pin_name *name = find_name(pins, text, len, hash_bytes(&pins->key, text, len));
    struct pin *pin = name == NULL ? NULL : pin_of(name, addr);
    return pin != NULL && pin_is_live(pin, now_ns);
}

struct pin_walk pins_walk(const ln_pins *pins, const ln_addr *addr, uint64_t now_ns)
{
    struct pin_walk walk = {.now_ns = now_ns};
    if (pins != NULL && pins->names.count > 0) {
        const struct pin_addr *at = find_addr(pins, addr, hash_addr(pins, addr));
        walk.at = at == NULL ? NULL : at->pins;
    }
    return walk;
}

const char *pins_walk_next(struct pin_walk *walk, size_t *ret_len)
{
    const struct pin *pin = walk->at;
    while (pin != NULL && !pin_is_live(pin, walk->now_ns)) {
        pin = pin->addr_next;
    }
    if (pin == NULL) {
        walk->at = NULL;
        return NULL;
    }
    walk->at = pin->addr_next;
    *ret_len = pin->name->len;
    return pin->name->text;
}

const char *const *pins_list(const ln_pins *pins, struct pin_walk walk, size_t *ret_n)
{
    size_t n = 0;
    size_t len;
    const char *name;
    while ((name = pins_walk_next(&walk, &len)) != NULL) {
        pins->list[n++] = name; /* list_reserve() made room */
    }
    *ret_n = n;
    return n == 0 ? NULL : pins->list;
}
