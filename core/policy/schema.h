/* Checking a configuration tree: where a value stands, what is wrong with it, and readers for
 * tables and lists. Readers report every mistake and go on, so that all are told at once. */
#ifndef LN_POLICY_SCHEMA_H
#define LN_POLICY_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/problems.h"
#include "base/value.h"

struct schema {
    struct arena *arena; /* of what is read */
    ln_problems *problems;
    size_t mistakes;
    bool out_of_memory; /* sticky: what is read from then on is worth nothing */
};

/* A value and the way to it; lives on the stack of the readers. */
struct place {
    const struct place *up;       /* NULL: the configuration as a whole */
    const struct ln_value *value; /* NULL: nothing stands here */
    const char *key;              /* in the table around it; NULL: `index` instead */
    size_t key_len;
    int64_t index;
    bool hidden; /* may hold a secret: problems tell its type only */
};

struct place place_of_key(const struct place *up, const char *key, const struct ln_value *value);
struct place place_of_item(const struct place *up, size_t index); /* 0-based */
/* Whatever the entry's key is: a string, an integer, else the name of its type. */
struct place place_of_entry(const struct place *up, const struct value_entry *entry);
/* The user's path of the value, "rules[3].ports[1]"; in the schema's arena, NULL: out of memory. */
const char *schema_path(struct schema *schema, const struct place *place);
/* File and line of the value, or of what is around it. */
const char *place_file(const struct place *place);
int place_line(const struct place *place);

/* Reports a mistake; what was found is described from the value. `accepted` may be NULL. */
void schema_wrong(struct schema *schema, const struct place *place, const char *accepted,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The same where the key is what is wrong. */
void schema_wrong_key(struct schema *schema, const struct place *place, const char *accepted,
                      const char *message);
/* Reports that a table lacks a key. */
void schema_missing(struct schema *schema, const struct place *table, const char *key,
                    const char *accepted);
/* The integer a value stands for; false when it is none. */
bool value_integer(const struct ln_value *value, int64_t *ret);
/* Memory for what is read; NULL with out_of_memory set. */
void *schema_array(struct schema *schema, size_t count, size_t size);

/* ---- scalars: false when it is something else, which is reported ---- */

/* Text of at least one byte and without NUL. */
bool schema_text(struct schema *schema, const struct place *place, const char *accepted);
bool schema_bool(struct schema *schema, const struct place *place, bool *ret);
/* An integer within bounds; a number without fraction is one too. */
bool schema_integer(struct schema *schema, const struct place *place, uint64_t min, uint64_t max,
                    uint64_t *ret);
/* One of `n` words: its number. `what` is the kind of thing: "action". */
bool schema_choice(struct schema *schema, const struct place *place, const char *what,
                   const char *const *words, size_t n, unsigned *ret);
/* A copy of a value that schema_text() found good. */
const char *schema_copy(struct schema *schema, const struct place *place);

/* ---- lists ---- */

typedef void (*item_reader)(struct schema *schema, const struct place *item, void *out);

/* Whether it is a list (or an empty table); entries that are not in the list are reported too. */
bool schema_list(struct schema *schema, const struct place *place, const char *accepted);
/* Reads every item of a list. */
void schema_each(struct schema *schema, const struct place *place, const char *accepted,
                 item_reader read, void *out);
/* Reads a value, or every item when it is a list. */
void schema_one_or_each(struct schema *schema, const struct place *place, item_reader read,
                        void *out);
/* How many values schema_one_or_each() reads. */
size_t value_count(const struct ln_value *value);

/* ---- tables ---- */

/* One key of a table and how its value is read into `out`, a struct that all fields share. */
struct field {
    const char *key;
    void (*read)(struct schema *schema, const struct place *place, const struct field *field,
                 void *out);
    size_t offset; /* in `out`, for the readers below */
    uint64_t min, max;
    bool hidden;                /* its value may be a secret */
    const struct field *fields; /* read_table: those of the table inside */
    size_t n_fields;
};

/* Reads the fields of a table; other keys are reported. */
void schema_table(struct schema *schema, const struct place *place, const struct field *fields,
                  size_t n, void *out);

/* Readers that store at field->offset. */
void read_bool(struct schema *schema, const struct place *place, const struct field *field,
               void *out); /* bool */
void read_u32(struct schema *schema, const struct place *place, const struct field *field,
              void *out); /* uint32_t from min to max */
void read_u64(struct schema *schema, const struct place *place, const struct field *field,
              void *out); /* uint64_t from min to max */
void read_text(struct schema *schema, const struct place *place, const struct field *field,
               void *out); /* const char * */
/* A table of its own fields, whose offsets count from field->offset. */
void read_table(struct schema *schema, const struct place *place, const struct field *field,
                void *out);
/* For a key that is there for people: whatever its value is, it is not read. */
void read_nothing(struct schema *schema, const struct place *place, const struct field *field,
                  void *out);
/* Keeps the place, a struct place, to be read later; it points to the place of the table. */
void read_later(struct schema *schema, const struct place *place, const struct field *field,
                void *out);

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
