/* Taking from the datapath process all it does not need once it runs: whoever takes it over by a
 * forged frame finds no files, no privileges, and few system calls. */
#ifndef LN_CLI_CONFINE_H
#define LN_CLI_CONFINE_H

/* No core files, no tracing, no reading of this process's memory by others of its user. Before
 * anything secret is read. Returns 0 or -errno. */
int confine_memory(void);
/* No capability and no_new_privs alone. Returns 0 or -errno. */
int confine_privileges(void);
/* That, and an empty, read-only file system in a mount namespace of its own.
 * What is to be opened must be open; this process must have one thread. Returns 0 or -errno. */
int confine_files(void);
/* The system calls of core/net and core/cli's loop, and no others: those end the process. For every
 * thread there is. `terminal_fd`: the terminal to be taken back at the end, -1: none. Returns 0 or
 * -errno. In builds with address sanitizer, which needs more, it does nothing. */
int confine_calls(int terminal_fd);

#endif
