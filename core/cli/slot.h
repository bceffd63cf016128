/* `--slot auto`: a slot that no other lunette has, kept by a lock on a file. The lock is the
 * process's: however that ends, the slot is free again, and nothing is left that would have to be
 * cleared away. */
#ifndef LN_CLI_SLOT_H
#define LN_CLI_SLOT_H

#include <stdint.h>

#include "lunette/error.h"
#include "lunette/policy.h"

/* Where the files are: /run/lunette where the machine has one that this user may write to, so that
 * all who may share their slots; else $XDG_RUNTIME_DIR/lunette; else /tmp/lunette-UID. The last two
 * are made where they are missing, and must be this user's and nobody else's to write. Returns a
 * descriptor, or -errno with *reterr filled. */
int slot_open_dir(ln_error *reterr);

/* Takes the lowest slot from 1 up that the policy's pools have, that nobody holds, and of which no
 * address is one of this machine's. Slot 0 is for those who ask for none. Returns a descriptor that
 * holds the slot until it is closed, or -errno with *reterr filled: -ENOSPC when all are taken. */
int slot_take(int dir, const ln_settings *settings, uint32_t *ret_slot, ln_error *reterr);
/* For a slot that was chosen by number: nobody takes it by themselves any more, but others may
 * choose it as well. Returns a descriptor; -EWOULDBLOCK when somebody has taken it by themselves;
 * or another -errno. */
int slot_share(int dir, uint32_t slot);

#endif
