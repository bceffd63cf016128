/* Where the host's nameservers stand: resolv.conf(5). */
#ifndef LN_NET_RESOLV_CONF_H
#define LN_NET_RESOLV_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns/cookie.h"
#include "lunette/address.h"

#define NAMESERVERS_MAX       8u
#define RESOLV_CONF_BYTES_MAX 65536u

struct nameserver {
    ln_addr addr;
    uint32_t scope_id; /* of a link-local IPv6 address: the interface; else 0 */
    uint16_t port;
    /* What is learned by asking it. */
    bool no_edns;             /* it does not know EDNS */
    uint8_t other_case;       /* how many times in a row it repeated a question in another case */
    struct dns_cookie cookie; /* that goes with the server's part, where it has given one */
};

struct nameservers {
    struct nameserver at[NAMESERVERS_MAX]; /* in the order in which they are tried */
    size_t n;
};

/* Takes the addresses of the `nameserver` lines of `text`, in order, NAMESERVERS_MAX at most; what
 * is no address is passed over, as is every other line. */
void resolv_conf_parse(const char *text, size_t len, struct nameservers *ret);

/* Likewise of a file; of its first RESOLV_CONF_BYTES_MAX bytes. Where there is no such file, or no
 * nameserver in it, that is the local machine, as for the C library. Returns 0, or a negative errno
 * when a file that is there cannot be read. */
int resolv_conf_read(const char *path, struct nameservers *ret);

#endif
