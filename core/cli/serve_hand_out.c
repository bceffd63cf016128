/* Writing what is to be handed to a guest. */
#include "cli/serve_hand_out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"

/* Opens a file that anybody may read; "-": standard output. NULL after saying what is wrong. */
static FILE *open_hand_out(const char *path)
{
    int fd = strcmp(path, "-") == 0
                 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0644);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL || (strcmp(path, "-") != 0 && fchmod(fd, 0644) != 0 && errno != EPERM)) {
        command_say("%s: %s", path, strerror(errno));
        return NULL; /* this process ends */
    }
    return file;
}

static int close_hand_out(FILE *file, const char *path)
{
    bool written = ferror(file) == 0;
    if (fclose(file) != 0 || !written) {
        command_say("%s: %s", path, strerror(errno));
        return -EIO;
    }
    return 0;
}

static int write_ca_bundle(const ln_gateway *gateway, const char *path)
{
    const char *certificates[] = {ln_gateway_ca(gateway), ln_gateway_host_cas(gateway)};
    FILE *file = open_hand_out(path);
    if (file == NULL) {
        return -EIO;
    }
    for (size_t i = 0; i < 2; i++) {
        if (certificates[i] != NULL) {
            fputs(certificates[i], file);
        }
    }
    return close_hand_out(file, path);
}

static void write_placeholder(void *user, const ln_secret_status *status)
{
    fprintf(user, "%s=%s\n", status->secret->env, status->placeholder);
}

static int write_placeholders(const ln_gateway *gateway, const char *path)
{
    FILE *file = open_hand_out(path);
    if (file == NULL) {
        return -EIO;
    }
    ln_gateway_secrets(gateway, write_placeholder, file);
    return close_hand_out(file, path);
}

int serve_hand_out(const ln_gateway *gateway, const char *ca_bundle, const char *placeholders)
{
    int r = ca_bundle == NULL ? 0 : write_ca_bundle(gateway, ca_bundle);
    return r < 0 || placeholders == NULL ? r : write_placeholders(gateway, placeholders);
}
