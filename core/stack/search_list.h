/* A list of domains to complete short names with, as DHCP and router advertisements carry it. */
#ifndef LN_STACK_SEARCH_LIST_H
#define LN_STACK_SEARCH_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes canonical names one after the other in the form of RFC 1035 section 3.1, as many as fit in
 * `size`; `compressed`: with pointers to what stands before (section 4.1.4), counted from `dst`
 * (RFC 3397). Returns the length. */
size_t search_list_write(const char *const *names, size_t n, bool compressed, uint8_t *dst,
                         size_t size);

#endif
