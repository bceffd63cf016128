/* Telling the service manager how `lunette serve` is (sd_notify(3)). */
#ifndef LN_CLI_SERVE_NOTIFY_H
#define LN_CLI_SERVE_NOTIFY_H

/* A socket to the one that $NOTIFY_SOCKET names, or -1. */
int serve_notify_open(void);
/* Sends a state, "READY=1". `fd` may be -1. */
void serve_notify(int fd, const char *state);
/* RELOADING=1, at this moment: one that asked for it waits for the next READY=1. */
void serve_notify_reloading(int fd);

#endif
