/* What `lunette help TOPIC` shows beside the help of commands: made from lua/meta when lunette is
 * built. */
#ifndef LN_CLI_HELP_H
#define LN_CLI_HELP_H

#include <stddef.h>

struct help_topic {
    const char *name; /* "policy" */
    const char *text; /* Markdown */
};

extern const struct help_topic help_topics[];
extern const size_t help_topics_count;

#endif
