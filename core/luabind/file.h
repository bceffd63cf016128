/* Reading a file as a whole, with a bound. */
#ifndef LN_LUABIND_FILE_H
#define LN_LUABIND_FILE_H

#include <stddef.h>

/* Opens files for a process that cannot do it itself, or wants to know of them. */
struct file_opener {
    /* Opens a regular file for reading. Returns a descriptor, or -errno. NULL: as without it. */
    int (*open)(void *user, const char *path);
    /* Told of each module beside the policy that was read. NULL: nobody asks. */
    void (*loaded)(void *user, const char *path);
    void *user;
    const char *module_dir; /* where lunette's own modules are, with a slash at the end; NULL: where
                               they are found otherwise */
};

enum file_kind {
    FILE_REGULAR, /* nothing that a read could wait for */
    FILE_STREAM   /* also pipes and the like, up to their end */
};

/* Reads up to `max` bytes, by way of `opener` where that is not NULL. Returns 0 and a buffer that
 * the caller frees; -EFBIG when there is more; -EISDIR, -EINVAL for what is not of that kind; or
 * another negative errno. */
int file_read(const struct file_opener *opener, const char *path, size_t max, enum file_kind kind,
              char **ret_data, size_t *ret_len);

#endif
