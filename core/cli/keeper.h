/* The keeper of files: a small process beside the datapath, which has no file system of its own
 * any more. It opens the policy and the modules beside it again when the policy is to be reloaded,
 * and the files that secrets and certificates are in; runs the commands that secrets come from; and
 * removes lunette's sockets at the end, however that comes. */
#ifndef LN_CLI_KEEPER_H
#define LN_CLI_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "luabind/file.h"
#include "lunette/gateway.h"

enum { KEEPER_SOCKETS_MAX = 3 };

struct keeper {
    int socket;  /* -1: not started */
    int changed; /* readable (eventfd(2)) when the policy's files have changed; -1: not watched */
    pid_t pid;
    char *module_dir;
    struct file_opener opener; /* asks the keeper; for lua_policy_load_from() */
    ln_files files;            /* likewise; for ln_config */
};

/* Starts the keeper of the policy `policy`, a path or a preset's name, and of up to
 * KEEPER_SOCKETS_MAX sockets in the file system (NULL: none). To be called while this process may
 * still open files and has one thread; whatever it opens later, the keeper does not have.
 * `watches`: the policy's directory is watched for changes of the policy and of `*.lua` files.
 * `keeper` must stay where it is. Returns 0 or -errno. */
int keeper_start(struct keeper *keeper, const char *policy,
                 const char *const sockets[KEEPER_SOCKETS_MAX], bool watches);
/* From here on what these settings name can be had of the keeper too, and nothing else ever.
 * Returns 0, also for a keeper that was not started, or -errno. */
int keeper_seal(const struct keeper *keeper, const ln_settings *settings);
/* Removes the sockets and waits for the keeper's end. Takes one that was never started. */
void keeper_stop(struct keeper *keeper);

#endif
