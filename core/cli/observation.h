/* The file of `--observe`: opened before the guest starts, written when it has ended. */
#ifndef LN_CLI_OBSERVATION_H
#define LN_CLI_OBSERVATION_H

#include "cli/hide.h"
#include "cli/observe.h"

#define OBSERVATION_PATH "observed.lua"

struct observation {
    bool wanted;      /* else everything below does nothing */
    bool force;       /* the file may exist */
    bool suffixes;    /* see observe_style */
    const char *path; /* NULL: OBSERVATION_PATH; "-": standard error */
    int fd;
    bool created;
    struct observer *observer; /* from observation_begin() on */
};

/* Opens the file, and hides it from CMD (`hide` NULL: there is none). Returns 0, or -errno after
 * saying what is wrong. */
int observation_open(struct observation *observation, struct hide *hide);
/* The guest is about to start: what the file held is gone. Returns 0 or -errno. */
int observation_begin(struct observation *observation, const ln_link *link);
/* Writes what was seen under `policy`, or removes the new file where nothing could be. Returns 0,
 * or -errno after saying what failed. */
int observation_end(struct observation *observation, const char *policy);

#endif
