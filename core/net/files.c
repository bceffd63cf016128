/* Files and commands. */
#include "net/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/command.h"

static int open_regular(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    int r = fstat(fd, &st) != 0   ? -errno
            : S_ISDIR(st.st_mode) ? -EISDIR
            : S_ISREG(st.st_mode) ? 0
                                  : -EINVAL;
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

int files_open(const ln_files *files, const char *path)
{
    return files == NULL ? open_regular(path) : files->open(files->user, path);
}

int files_run(const ln_files *files, const char *command)
{
    return files == NULL ? command_start(command, NULL) : files->run(files->user, command);
}

ssize_t files_read_all(int fd, char *dst, size_t room)
{
    size_t len = 0;
    for (;;) {
        char beyond;
        bool full = len == room;
        ssize_t n = read(fd, full ? &beyond : dst + len, full ? 1 : room - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : (ssize_t)len;
        }
        if (full) {
            return -EFBIG;
        }
        len += (size_t)n;
    }
}

int files_read(const ln_files *files, const char *path, size_t max, char **ret, size_t *ret_len)
{
    int fd = files_open(files, path);
    if (fd < 0) {
        return fd;
    }
    struct stat st;
    size_t room = max;
    if (fstat(fd, &st) == 0 && st.st_size >= 0 && (size_t)st.st_size < max) {
        room = (size_t)st.st_size; /* else, or when it grows meanwhile, it is too large */
    }
    char *text = malloc(room + 1);
    ssize_t len = text == NULL ? -ENOMEM : files_read_all(fd, text, room);
    close(fd);
    if (len < 0) {
        free(text);
        return (int)len;
    }
    text[len] = '\0';
    *ret = text;
    *ret_len = (size_t)len;
    return 0;
}

const char *files_why(int err)
{
    return err == -EFBIG    ? "it is too large"
           : err == -EINVAL ? "it is not a regular file"
           : err == -EPERM  ? "only what the policy named when lunette started may be read"
                            : strerror(-err);
}
