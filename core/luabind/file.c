/* Reading a file as a whole, with a bound. */
#include "luabind/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int check_kind(int fd, enum file_kind kind)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    if (S_ISDIR(st.st_mode)) {
        return -EISDIR;
    }
    return kind == FILE_REGULAR && !S_ISREG(st.st_mode) ? -EINVAL : 0;
}

static int read_all(int fd, size_t max, char **ret_data, size_t *ret_len)
{
    size_t room = 16384, len = 0;
    char *data = NULL;
    for (;;) {
        if (data == NULL || len == room) {
            room = data == NULL ? room : room * 2;
            char *more = realloc(data, room);
            if (more == NULL) {
                free(data);
                return -ENOMEM;
            }
            data = more;
        }
        ssize_t n = read(fd, data + len, room - len);
        int r = n < 0 ? -errno : 0;
        len += n > 0 ? (size_t)n : 0;
        if (n == 0) {
            *ret_data = data;
            *ret_len = len;
            return 0;
        }
        if (len > max || (r < 0 && r != -EINTR)) {
            free(data);
            return len > max ? -EFBIG : r;
        }
    }
}

static int open_file(const struct file_opener *opener, const char *path, enum file_kind kind)
{
    if (opener != NULL && opener->open != NULL) {
        return opener->open(opener->user, path);
    }
    int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | (kind == FILE_REGULAR ? O_NONBLOCK : 0);
    int fd = open(path, flags);
    return fd < 0 ? -errno : fd;
}

int file_read(const struct file_opener *opener, const char *path, size_t max, enum file_kind kind,
              char **ret_data, size_t *ret_len)
{
    int fd = open_file(opener, path, kind);
    if (fd < 0) {
        return fd;
    }
    int r = opener == NULL ? check_kind(fd, kind) : 0;
    r = r < 0 ? r : read_all(fd, max, ret_data, ret_len);
    close(fd);
    return r;
}
