/* The head of a request or a response, whatever version of HTTP it came in. */
#ifndef LN_HTTP_MESSAGE_H
#define LN_HTTP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "http/syntax.h"

enum {
    HTTP_FIELDS_MAX = 256,         /* of one head */
    HTTP_HEAD_TEXT_MAX = 512 << 10 /* bytes of text that a head ever held, replaced text too */
};

/* Text of a head: terminated, without NULs in it, never NULL. */
struct http_text {
    const char *at;
    size_t len;
};

struct http_field {
    struct http_text name;  /* as it was spelled (HTTP/2: lower case); compare without case */
    struct http_text value; /* without white space around it */
    bool sensitive;         /* HTTP/2: to be sent as never indexed (RFC 7541 section 6.2.3) */
};

/* A head owns its text, which is overwritten before it is let go of. The fields of the framing and
 * of the connection (Connection, Keep-Alive, Transfer-Encoding, TE, Trailer, Upgrade, Expect, Host,
 * and whatever Connection names) are not among `fields`: the relay reads them and writes its own.
 * Content-Length is there, for reading: the relay corrects it where a filter changes the body. */
struct http_head {
    /* A request: all of them. */
    struct http_text method;
    struct http_text scheme;    /* "http" or "https": of the connection */
    struct http_text authority; /* of :authority, the target or Host; "" in HTTP/1.0 without Host */
    struct http_text path;      /* with query; "*" for OPTIONS of the server */
    /* A response: 100-999. A request: 0; trailers: 0, and no method. */
    unsigned status;
    struct http_field *fields; /* in the order of the message */
    size_t n_fields;
    size_t room; /* of `fields` */
    struct arena text;
};

/* An empty head. Cannot fail; holds no memory yet. */
void http_head_init(struct http_head *head);
/* Wipes it and frees what it holds; it is as after http_head_init(). */
void http_head_free(struct http_head *head);

/* Replaces one of the head's texts by a copy of `text`. Returns 0; -EINVAL when it is nothing that
 * may stand there; -ENOBUFS over HTTP_HEAD_TEXT_MAX or when out of memory. The old text stays valid
 * until the head is freed. */
int http_head_set_method(struct http_head *head, const char *text, size_t len);
int http_head_set_scheme(struct http_head *head, const char *text, size_t len);
int http_head_set_authority(struct http_head *head, const char *text, size_t len);
int http_head_set_path(struct http_head *head, const char *text, size_t len);
int http_head_set_value(struct http_head *head, struct http_field *field, const char *text,
                        size_t len);

/* Appends a field. Returns as above; -ENOBUFS also when there are HTTP_FIELDS_MAX. Pointers to
 * fields do not survive it. */
int http_head_add(struct http_head *head, const char *name, size_t name_len, const char *value,
                  size_t value_len);
/* The same without a copy: the text lives as long as the head does. */
int http_head_add_borrowed(struct http_head *head, struct http_text name, struct http_text value);
/* The first field of that name (a string), or NULL. */
struct http_field *http_head_find(const struct http_head *head, const char *name);
/* The next field of that name behind `field`, or NULL. */
struct http_field *http_head_next(const struct http_head *head, const struct http_field *field,
                                  const char *name);
/* Removes all fields of that name. Returns how many there were. */
size_t http_head_remove(struct http_head *head, const char *name);
/* Where the request goes: its authority, read. Returns 0, or -EINVAL when there is none. */
int http_head_host(const struct http_head *head, struct http_host *ret);

#endif
