/* Java's own form of a bundle of root certificates: a key store of type JKS. */
#ifndef LN_CLI_JAVA_STORE_H
#define LN_CLI_JAVA_STORE_H

#include <stddef.h>
#include <stdint.h>

/* Makes a key store of the certificates of a PEM bundle (RFC 7468), with Java's customary password
 * "changeit"; what cannot be decoded is left out. Java reads it whatever type it expects. Returns 0
 * and a buffer that the caller frees, or -ENOMEM. */
int java_store_make(const char *pem, uint8_t **ret, size_t *ret_len);

#endif
