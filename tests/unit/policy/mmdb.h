/* Writes small databases of MaxMind's format (version 2.0 of its specification) for tests. */
#ifndef TEST_POLICY_MMDB_H
#define TEST_POLICY_MMDB_H

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "lunette/address.h"

struct mmdb_entry {
    const char *prefix;              /* an enclosing one stands before those inside it */
    const char *country, *continent; /* NULL: not said */
    uint32_t asn;                    /* 0: not said */
    bool flat;                       /* `country_code` rather than `country.iso_code` */
};

enum { MMDB_NODES = 4096, MMDB_DATA = 8192, MMDB_LEAF = 1u << 30 };

struct mmdb {
    uint32_t nodes[MMDB_NODES][2]; /* 0: nothing, MMDB_LEAF + offset: data, else a node */
    uint32_t n_nodes;
    uint8_t data[MMDB_DATA];
    uint32_t n_data;
};

/* ---- data ---- */

enum {
    MMDB_TEXT = 2,
    MMDB_UINT16 = 5,
    MMDB_UINT32 = 6,
    MMDB_MAP = 7,
    MMDB_UINT64 = 9,
    MMDB_ARRAY = 11
};

static inline void mmdb_put(struct mmdb *db, const void *bytes, size_t len)
{
    assert(db->n_data + len <= MMDB_DATA);
    memcpy(db->data + db->n_data, bytes, len);
    db->n_data += (uint32_t)len;
}

static inline void mmdb_control(struct mmdb *db, unsigned type, size_t size)
{
    assert(size < 29);
    uint8_t bytes[2] = {(uint8_t)((type < 8 ? type << 5 : 0) | size), (uint8_t)(type - 7)};
    mmdb_put(db, bytes, type < 8 ? 1 : 2);
}

static inline void mmdb_text(struct mmdb *db, const char *text)
{
    mmdb_control(db, MMDB_TEXT, strlen(text));
    mmdb_put(db, text, strlen(text));
}

static inline void mmdb_number(struct mmdb *db, unsigned type, size_t size, uint64_t value)
{
    mmdb_control(db, type, size);
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * (size - 1 - i));
        mmdb_put(db, &byte, 1);
    }
}

static inline void mmdb_code(struct mmdb *db, const char *outer, const char *inner,
                             const char *flat_key, bool flat, const char *code)
{
    if (code == NULL) {
        return;
    }
    mmdb_text(db, flat ? flat_key : outer);
    if (!flat) {
        mmdb_control(db, MMDB_MAP, 1);
        mmdb_text(db, inner);
    }
    mmdb_text(db, code);
}

static inline uint32_t mmdb_record(struct mmdb *db, const struct mmdb_entry *entry)
{
    uint32_t start = db->n_data;
    size_t n = (size_t)(entry->country != NULL) + (entry->continent != NULL) + (entry->asn != 0);
    mmdb_control(db, MMDB_MAP, n);
    mmdb_code(db, "country", "iso_code", "country_code", entry->flat, entry->country);
    mmdb_code(db, "continent", "code", "continent_code", entry->flat, entry->continent);
    if (entry->asn != 0) {
        mmdb_text(db, "autonomous_system_number");
        mmdb_number(db, MMDB_UINT32, 4, entry->asn);
    }
    return start;
}

static inline void mmdb_metadata(struct mmdb *db, unsigned ip_version)
{
    mmdb_put(db, "\xab\xcd\xefMaxMind.com", 14);
    mmdb_control(db, MMDB_MAP, 9);
    mmdb_text(db, "binary_format_major_version");
    mmdb_number(db, MMDB_UINT16, 2, 2);
    mmdb_text(db, "binary_format_minor_version");
    mmdb_number(db, MMDB_UINT16, 2, 0);
    mmdb_text(db, "build_epoch");
    mmdb_number(db, MMDB_UINT64, 8, 1700000000);
    mmdb_text(db, "database_type");
    mmdb_text(db, "Test");
    mmdb_text(db, "description");
    mmdb_control(db, MMDB_MAP, 0);
    mmdb_text(db, "ip_version");
    mmdb_number(db, MMDB_UINT16, 2, ip_version);
    mmdb_text(db, "languages");
    mmdb_control(db, MMDB_ARRAY, 0);
    mmdb_text(db, "node_count");
    mmdb_number(db, MMDB_UINT32, 4, db->n_nodes);
    mmdb_text(db, "record_size");
    mmdb_number(db, MMDB_UINT16, 2, 32);
}

/* ---- the tree ---- */

/* IPv4 addresses stand at ::/96. `first_bit` is 96 in a database of IPv4 alone. */
static inline void mmdb_insert(struct mmdb *db, const struct mmdb_entry *entry, unsigned first_bit)
{
    ln_prefix prefix;
    int r = ln_prefix_parse(entry->prefix, strlen(entry->prefix), &prefix);
    assert(r == 0);
    (void)r;
    if (ln_prefix_is_v4(&prefix)) {
        prefix.addr.bytes[10] = prefix.addr.bytes[11] = 0;
    }
    uint32_t leaf = MMDB_LEAF + mmdb_record(db, entry);
    uint32_t node = 0;
    for (unsigned bit = first_bit;; bit++) {
        uint32_t *record = &db->nodes[node][prefix.addr.bytes[bit / 8] >> (7 - bit % 8) & 1];
        if (bit + 1 == prefix.bits) {
            *record = leaf;
            return;
        }
        if (*record == 0 || *record >= MMDB_LEAF) {
            assert(db->n_nodes < MMDB_NODES);
            db->nodes[db->n_nodes][0] = db->nodes[db->n_nodes][1] = *record;
            *record = db->n_nodes++;
        }
        node = *record;
    }
}

/* A database of these entries in a file. `broken`: its records point behind the data. */
static inline void mmdb_write(const char *path, unsigned ip_version,
                              const struct mmdb_entry *entries, size_t n, bool broken)
{
    static struct mmdb db;
    memset(&db, 0, sizeof(db));
    db.n_nodes = 1;
    for (size_t i = 0; i < n; i++) {
        mmdb_insert(&db, &entries[i], ip_version == 4 ? 96 : 0);
    }
    FILE *file = fopen(path, "wb");
    assert(file != NULL);
    for (uint32_t i = 0; i < 2 * db.n_nodes; i++) {
        uint32_t record = db.nodes[i / 2][i % 2];
        record = record == 0 ? db.n_nodes
                 : record >= MMDB_LEAF
                     ? record - MMDB_LEAF + db.n_nodes + 16 + (broken ? 1u << 20 : 0)
                     : record;
        uint8_t bytes[4] = {(uint8_t)(record >> 24), (uint8_t)(record >> 16),
                            (uint8_t)(record >> 8), (uint8_t)record};
        fwrite(bytes, 1, sizeof(bytes), file);
    }
    uint8_t separator[16] = {0};
    fwrite(separator, 1, sizeof(separator), file);
    mmdb_metadata(&db, ip_version);
    fwrite(db.data, 1, db.n_data, file);
    fclose(file);
}

#endif
