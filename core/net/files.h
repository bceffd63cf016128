/* Files and commands, by way of what the embedder gave for that (ln_files), or the system. */
#ifndef LN_NET_FILES_H
#define LN_NET_FILES_H

#include <sys/types.h>

#include "lunette/gateway.h"

/* Opens a regular file for reading. Returns a descriptor or -errno. `files` may be NULL. */
int files_open(const ln_files *files, const char *path);
/* Starts a command, as ln_files.run. Returns a descriptor or -errno. */
int files_run(const ln_files *files, const char *command);

/* Reads a descriptor to its end. Returns how many bytes, -EFBIG when there are more than `room`, or
 * another -errno. */
ssize_t files_read_all(int fd, char *dst, size_t room);
/* Reads a file of up to `max` bytes, to be freed by the caller, with a NUL behind them. Returns 0
 * or -errno as above. */
int files_read(const ln_files *files, const char *path, size_t max, char **ret, size_t *ret_len);
/* What to say of a failure of these, about a file; static or strerror()'s. */
const char *files_why(int err);

#endif
