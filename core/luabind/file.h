/* Reading a file as a whole, with a bound. */
#ifndef LN_LUABIND_FILE_H
#define LN_LUABIND_FILE_H

#include <stddef.h>

enum file_kind {
    FILE_REGULAR, /* nothing that a read could wait for */
    FILE_STREAM   /* also pipes and the like, up to their end */
};

/* Reads up to `max` bytes. Returns 0 and a buffer that the caller frees; -EFBIG when there is more;
 * -EISDIR, -EINVAL for what is not of that kind; or another negative errno. */
int file_read(const char *path, size_t max, enum file_kind kind, char **ret_data, size_t *ret_len);

#endif
