/* Reading the value of one secret from where it comes from. */
#ifndef LN_NET_SECRET_SOURCE_H
#define LN_NET_SECRET_SOURCE_H

#include "lunette/gateway.h"
#include "net/command.h"

/* One reading. What it holds is secret: to be ended in any case. */
struct secret_reading {
    int fd;           /* of a command that runs; -1: none */
    const char *data; /* the value, without a newline at its end; once it is there */
    size_t len;
    size_t filled; /* of `buffer` */
    char why[160]; /* what failed */
    char buffer[sizeof(int32_t) + COMMAND_OUTPUT_MAX];
};

enum { SECRET_READ, SECRET_RUNS };

/* Begins; all but commands are read at once. Returns SECRET_READ; SECRET_RUNS: then `fd` is to be
 * read; or a negative errno, and `why` says what is wrong. */
int secret_reading_begin(struct secret_reading *reading, const ln_files *files,
                         const ln_secret *secret);
/* Reads what a command printed: as long as there is something, where the descriptor does not block.
 * Returns likewise. */
int secret_reading_go_on(struct secret_reading *reading);
/* Waits for the command. Returns SECRET_READ, or a negative errno likewise. */
int secret_reading_finish(struct secret_reading *reading);
/* Closes and wipes. */
void secret_reading_end(struct secret_reading *reading);

#endif
