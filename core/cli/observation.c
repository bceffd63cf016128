/* The file of `--observe`. */
#include "cli/observation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"

static bool is_stderr(const struct observation *observation)
{
    return strcmp(observation->path, "-") == 0;
}

static int open_file(struct observation *observation)
{
    int flags = O_WRONLY | O_CREAT | O_NOCTTY | O_CLOEXEC;
    observation->fd = open(observation->path, flags | O_EXCL, 0600);
    observation->created = observation->fd >= 0;
    if (observation->fd < 0 && errno == EEXIST && observation->force) {
        observation->fd = open(observation->path, flags, 0600);
    }
    return observation->fd < 0 ? -errno : 0;
}

int observation_open(struct observation *observation, struct hide *hide)
{
    if (!observation->wanted) {
        return 0;
    }
    observation->path = observation->path != NULL ? observation->path : OBSERVATION_PATH;
    if (is_stderr(observation)) {
        observation->fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        return observation->fd < 0 ? -errno : 0;
    }
    int r = open_file(observation);
    if (r < 0) {
        command_say("%s: %s%s", observation->path, strerror(-r),
                    r == -EEXIST ? "; --force writes over it" : "");
        return r;
    }
    if (hide != NULL) {
        (void)hide_cover(hide, observation->path); /* else CMD could write its own policy */
    }
    return 0;
}

int observation_begin(struct observation *observation, const ln_link *link)
{
    struct stat st;
    if (!observation->wanted) {
        return 0;
    }
    if (!is_stderr(observation) && fstat(observation->fd, &st) == 0 && S_ISREG(st.st_mode) &&
        ftruncate(observation->fd, 0) < 0) {
        return -errno;
    }
    return observer_new(link, &observation->observer);
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int write_policy(const struct observation *observation, const char *policy,
                        size_t *ret_rules)
{
    char *text = NULL;
    size_t len = 0;
    struct observe_style style = {.policy = policy, .suffixes = observation->suffixes};
    FILE *out = open_memstream(&text, &len);
    if (out == NULL) {
        return -ENOMEM;
    }
    int r = observer_write(observation->observer, &style, out, ret_rules);
    r = fclose(out) != 0 && r == 0 ? -ENOMEM : r;
    r = r < 0 ? r : write_all(observation->fd, text, len);
    free(text);
    return r;
}

int observation_end(struct observation *observation, const char *policy)
{
    size_t rules = 0;
    int r = 0;
    if (observation->observer != NULL) {
        r = write_policy(observation, policy, &rules);
        if (r < 0) {
            command_say("%s: what was observed cannot be written: %s", observation->path,
                        strerror(-r));
        } else if (!is_stderr(observation)) {
            command_say("%s: %zu %s written", observation->path, rules,
                        rules == 1 ? "rule" : "rules");
        }
    } else if (observation->created) {
        (void)unlink(observation->path);
    }
    if (observation->fd >= 0) {
        close(observation->fd);
    }
    observer_free(observation->observer);
    return r;
}
