/* A file that is written without ever making the datapath wait: records go into a bounded ring, and
 * a thread of the sink's own writes them. A record that does not fit is lost, which its owner
 * counts and tells. */
#ifndef LN_CLI_SINK_H
#define LN_CLI_SINK_H

#include <stddef.h>
#include <sys/uio.h>

#define SINK_RESERVE 8192u /* bytes of the ring that only the last record may use */

struct sink;

/* `fd`: blocking or not; the sink's from success on. `size`: of the ring, bytes, more than
 * SINK_RESERVE. No thread runs before sink_start(). Returns 0, -ENOMEM or another -errno. */
int sink_new(int fd, size_t size, struct sink **ret);
/* Starts the thread. Records may have been put before. Returns 0 or -errno. */
int sink_start(struct sink *sink);
/* Queues one record, whole or not at all. Returns 0, -EAGAIN when there is no room for it, or the
 * error that ended writing. Never waits for the file. */
int sink_put(struct sink *sink, const struct iovec *parts, int n_parts);
/* Likewise for the last record, for which room is kept: at most SINK_RESERVE bytes. */
int sink_put_last(struct sink *sink, const struct iovec *parts, int n_parts);
/* Waits up to `timeout_ms` for the queue to be written, and frees the sink. When the file does not
 * take it in time, the sink is abandoned to its thread. Takes NULL, returns NULL. */
struct sink *sink_free(struct sink *sink, unsigned timeout_ms);

#endif
