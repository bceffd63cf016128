/* Reading resolv.conf(5): the nameserver lines, nothing else. */
#include "net/resolv_conf.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PORT = 53 };

struct word {
    const char *at;
    size_t len;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of a line, empty at its end. */
static struct word next_word(const char **at, const char *end)
{
    while (*at < end && is_blank(**at)) {
        (*at)++;
    }
    struct word word = {.at = *at};
    while (*at < end && !is_blank(**at)) {
        (*at)++;
    }
    word.len = (size_t)(*at - word.at);
    return word;
}

/* The number of an interface given by name or number; 0 when there is none. */
static uint32_t scope_of(struct word word)
{
    char name[IF_NAMESIZE] = "";
    if (word.len == 0 || word.len >= sizeof(name)) {
        return 0;
    }
    memcpy(name, word.at, word.len);
    uint32_t index = if_nametoindex(name);
    if (index == 0) {
        char *end;
        unsigned long number = strtoul(name, &end, 10);
        index = *end == '\0' && number <= UINT32_MAX ? (uint32_t)number : 0;
    }
    return index;
}

/* An address, for IPv6 with %INTERFACE behind it where it is link-local (RFC 4007 section 11). */
static bool parse_server(struct word word, struct nameserver *ret)
{
    const char *percent = memchr(word.at, '%', word.len);
    size_t len = percent == NULL ? word.len : (size_t)(percent - word.at);
    struct nameserver server = {.port = PORT};
    if (ln_addr_parse(word.at, len, &server.addr) != 0) {
        return false;
    }
    if (percent != NULL) {
        server.scope_id = scope_of((struct word){percent + 1, word.len - len - 1});
        if (server.scope_id == 0) {
            return false;
        }
    }
    *ret = server;
    return true;
}

void resolv_conf_parse(const char *text, size_t len, struct nameservers *ret)
{
    const char *end = text + len;
    ret->n = 0;
    while (text < end && ret->n < NAMESERVERS_MAX) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        line_end = line_end == NULL ? end : line_end;
        struct word key = next_word(&text, line_end);
        if (key.len == 10 && memcmp(key.at, "nameserver", 10) == 0 &&
            parse_server(next_word(&text, line_end), &ret->at[ret->n])) {
            ret->n++;
        }
        text = line_end < end ? line_end + 1 : end;
    }
}

/* Reads up to RESOLV_CONF_BYTES_MAX bytes. */
static ssize_t read_all(int fd, char *dst)
{
    size_t len = 0;
    while (len < RESOLV_CONF_BYTES_MAX) {
        ssize_t n = read(fd, dst + len, RESOLV_CONF_BYTES_MAX - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    return (ssize_t)len;
}

int resolv_conf_read(const char *path, struct nameservers *ret)
{
    struct nameservers found = {.n = 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT) {
        return -errno;
    }
    if (fd >= 0) {
        char *text = malloc(RESOLV_CONF_BYTES_MAX);
        ssize_t len = text == NULL ? -ENOMEM : read_all(fd, text);
        if (len > 0) {
            resolv_conf_parse(text, (size_t)len, &found);
        }
        free(text);
        close(fd);
        if (len < 0) {
            return (int)len;
        }
    }
    if (found.n == 0) {
        found.at[found.n++] =
            (struct nameserver){.addr = ln_addr_v4(INADDR_LOOPBACK), .port = PORT};
    }
    *ret = found;
    return 0;
}
