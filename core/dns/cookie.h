/* DNS cookies (RFC 7873): 64 random bits that a response has to repeat, and what the server wants
 * to see again, so that nobody who does not see the queries can answer them. */
#ifndef LN_DNS_COOKIE_H
#define LN_DNS_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_COOKIE_CLIENT_LEN 8u
#define DNS_COOKIE_SERVER_MAX 32u
#define DNS_COOKIE_OPTION_MAX (4u + DNS_COOKIE_CLIENT_LEN + DNS_COOKIE_SERVER_MAX)

enum { DNS_BADCOOKIE = 23 }; /* an extended response code */

struct dns_cookie {
    uint8_t client[DNS_COOKIE_CLIENT_LEN];
    uint8_t server[DNS_COOKIE_SERVER_MAX];
    uint8_t server_len; /* 0: the server has given none */
};

/* Appends the cookie to a query that ends in an OPT without options, as dns_query_write() leaves
 * it: up to DNS_COOKIE_OPTION_MAX bytes. Returns the new length. */
size_t dns_cookie_write(const struct dns_cookie *cookie, uint8_t *msg, size_t len);

enum dns_cookie_state {
    DNS_COOKIE_NONE, /* the response has none */
    DNS_COOKIE_RIGHT,
    DNS_COOKIE_WRONG /* another client's, two of them, or of a length that none has */
};

/* Looks for the cookie in a well-formed, whole response to a query that had `cookie`. When it is
 * right, the server's part replaces that in `cookie`; *ret_bad: the response code says that it was
 * not the one it should be (RFC 7873 section 5.3). */
enum dns_cookie_state dns_cookie_read(struct dns_cookie *cookie, const uint8_t *msg, size_t len,
                                      bool *ret_bad);

#endif
