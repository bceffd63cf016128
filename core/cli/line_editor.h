/* Lines from a terminal, with editing, history and completion (libedit); from anything else as they
 * come. */
#ifndef LN_CLI_LINE_EDITOR_H
#define LN_CLI_LINE_EDITOR_H

#include <stdbool.h>

struct line_editor;

/* What the word before the cursor can go on with. `line` is what stands before it. Fills
 * `insertion`, to be put there, and `fitting`, to be shown; each may be empty. */
enum { COMPLETION_MAX = 4096 };
typedef void line_completer(void *user, const char *line, char insertion[COMPLETION_MAX],
                            char fitting[COMPLETION_MAX]);

/* An editor of stdin. Returns 0 or -ENOMEM. */
int line_editor_new(line_completer *complete, void *user, struct line_editor **ret);
/* Ends the history, too. Takes NULL, returns NULL. */
struct line_editor *line_editor_free(struct line_editor *editor);
/* The next line without its newline; borrowed until the next call. NULL at the end. On a terminal
 * `prompt` is shown, and *ret_cancelled tells of a line that was given up (control-C). */
const char *line_editor_read(struct line_editor *editor, const char *prompt, bool *ret_cancelled);

#endif
