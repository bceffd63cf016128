/* Countries and autonomous systems of addresses. The fields are those of MaxMind's own databases
 * (GeoLite2, GeoIP2), or the same without nesting as others publish them. */
#include "policy/geo.h"

#include <errno.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/problems.h"
#include "policy/groups.h"

struct database {
    bool is_open;
    MMDB_s mmdb;
};

struct geo {
    struct database country, asn;
};

uint16_t geo_code(const char *text, size_t len)
{
    if (len != 2 || text[0] < 'A' || text[0] > 'Z' || text[1] < 'A' || text[1] > 'Z') {
        return GEO_NONE;
    }
    return (uint16_t)((text[0] - 'A') * 26 + (text[1] - 'A'));
}

void geo_code_text(uint16_t code, char dst[3])
{
    memset(dst, 0, 3);
    if (code < GEO_CODES) {
        dst[0] = (char)('A' + code / 26);
        dst[1] = (char)('A' + code % 26);
    }
}

/* ---- opening ---- */

/* A relative path is one from the directory of the policy's file. NULL: out of memory. */
static const char *path_beside(struct arena *arena, const char *file, const char *path)
{
    const char *slash = file == NULL ? NULL : strrchr(file, '/');
    if (path[0] == '/' || slash == NULL) {
        return path;
    }
    return arena_printf(arena, "%.*s/%s", (int)(slash - file), file, path);
}

static const char *why_not(int status)
{
    bool by_system = status == MMDB_FILE_OPEN_ERROR || status == MMDB_IO_ERROR;
    return by_system && errno != 0 ? strerror(errno) : MMDB_strerror(status);
}

/* Opens the database that is the value of geoip.`key`, if it is a path: anything else is the plan's
 * to refuse. */
static int open_database(const struct ln_value *config, const char *key, struct database *ret,
                         ln_problems *problems)
{
    const struct ln_value *geoip = value_get(config, "geoip");
    const struct ln_value *value = geoip == NULL ? NULL : value_get(geoip, key);
    if (value == NULL || value->type != VALUE_STRING) {
        return 0;
    }
    struct arena arena = {0};
    const char *file = value->file != NULL ? value->file : config->file;
    const char *path = path_beside(&arena, file, value->string.data);
    const char *field = arena_printf(&arena, "geoip.%s", key);
    const char *found = path == NULL ? NULL : arena_printf(&arena, "\"%s\"", path);
    int status = MMDB_OUT_OF_MEMORY_ERROR;
    if (field != NULL && found != NULL) {
        errno = 0;
        status = MMDB_open(path, MMDB_MODE_MMAP, &ret->mmdb);
    }
    ret->is_open = status == MMDB_SUCCESS;
    int r = status == MMDB_SUCCESS ? 0 : status == MMDB_OUT_OF_MEMORY_ERROR ? -ENOMEM : -EINVAL;
    if (r == -EINVAL && problems_add(problems, file, value->line, field, found, NULL,
                                     "the database cannot be used: %s", why_not(status)) < 0) {
        r = -ENOMEM;
    }
    arena_free(&arena);
    return r;
}

int geo_open(const struct ln_value *config, struct geo **ret, ln_problems *problems)
{
    struct geo *geo = calloc(1, sizeof(*geo));
    if (geo == NULL) {
        return -ENOMEM;
    }
    int r_country = open_database(config, "country_db", &geo->country, problems);
    int r_asn = open_database(config, "asn_db", &geo->asn, problems);
    if (r_country < 0 || r_asn < 0 || (!geo->country.is_open && !geo->asn.is_open)) {
        geo = geo_close(geo);
    }
    int r = r_country == -ENOMEM || r_asn == -ENOMEM ? -ENOMEM : r_country < 0 ? r_country : r_asn;
    if (r == 0) {
        *ret = geo;
    }
    return r;
}

static void close_database(struct database *database)
{
    if (database->is_open) {
        MMDB_close(&database->mmdb);
    }
}

struct geo *geo_close(struct geo *geo)
{
    if (geo != NULL) {
        close_database(&geo->country);
        close_database(&geo->asn);
        free(geo);
    }
    return NULL;
}

/* ---- looking up ---- */

/* Whether there is an entry for the address. */
static bool find_entry(const struct database *database, const ln_addr *addr, MMDB_entry_s *ret,
                       bool *ret_failed)
{
    if (!database->is_open) {
        return false;
    }
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to;
    memset(&to, 0, sizeof(to));
    if (ln_addr_is_v4(addr)) {
        to.v4.sin_family = AF_INET;
        to.v4.sin_addr.s_addr = htonl(ln_addr_to_v4(addr));
    } else {
        to.v6.sin6_family = AF_INET6;
        memcpy(&to.v6.sin6_addr, addr->bytes, sizeof(addr->bytes));
    }
    int status = MMDB_SUCCESS;
    MMDB_lookup_result_s result = MMDB_lookup_sockaddr(&database->mmdb, &to.any, &status);
    if (status != MMDB_SUCCESS) {
        *ret_failed |= status != MMDB_IPV6_LOOKUP_IN_IPV4_DATABASE_ERROR;
        return false;
    }
    *ret = result.entry;
    return result.found_entry;
}

/* The value at a path of keys in an entry. False: there is none. */
static bool find_value(MMDB_entry_s *entry, const char *const *path, uint32_t type,
                       MMDB_entry_data_s *ret, bool *ret_failed)
{
    int status = MMDB_aget_value(entry, ret, path);
    *ret_failed |= status != MMDB_SUCCESS && status != MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR;
    return status == MMDB_SUCCESS && ret->has_data && ret->type == type;
}

/* A code of two letters, nested or flat. */
static uint16_t find_code(MMDB_entry_s *entry, const char *const *nested, const char *const *flat,
                          bool *ret_failed)
{
    MMDB_entry_data_s data;
    if (!find_value(entry, nested, MMDB_DATA_TYPE_UTF8_STRING, &data, ret_failed) &&
        !find_value(entry, flat, MMDB_DATA_TYPE_UTF8_STRING, &data, ret_failed)) {
        return GEO_NONE;
    }
    return geo_code(data.utf8_string, data.data_size);
}

void geo_locate(const struct geo *geo, const ln_addr *addr, struct geo_place *ret)
{
    static const char *const country[] = {"country", "iso_code", NULL};
    static const char *const country_flat[] = {"country_code", NULL};
    static const char *const continent[] = {"continent", "code", NULL};
    static const char *const continent_flat[] = {"continent_code", NULL};
    static const char *const asn[] = {"autonomous_system_number", NULL};
    *ret = GEO_NOWHERE;
    if (geo == NULL) {
        return;
    }
    ln_addr at = addr_inner(addr);
    MMDB_entry_s entry;
    MMDB_entry_data_s data;
    if (find_entry(&geo->country, &at, &entry, &ret->failed)) {
        ret->country = find_code(&entry, country, country_flat, &ret->failed);
        ret->continent = find_code(&entry, continent, continent_flat, &ret->failed);
    }
    if (find_entry(&geo->asn, &at, &entry, &ret->failed) &&
        find_value(&entry, asn, MMDB_DATA_TYPE_UINT32, &data, &ret->failed)) {
        ret->asn = data.uint32;
    }
}
