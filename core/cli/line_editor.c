/* Lines from a terminal by libedit, and a history in the user's state directory. */
#include "cli/line_editor.h"

#include <errno.h>
#include <histedit.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HISTORY_MAX = 1000 };

struct line_editor {
    line_completer *complete;
    void *user;
    EditLine *edit; /* NULL: stdin is not a terminal */
    History *history;
    char history_path[PATH_MAX]; /* "": there is no place for it */
    const char *prompt;
    char *line; /* of getline() and what el_gets() gave */
    size_t room;
};

/* ---- the history's file ---- */

/* XDG base directory specification: $XDG_STATE_HOME, else ~/.local/state. */
static void find_history(char dst[PATH_MAX])
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int len = 0;
    if (state != NULL && *state == '/') {
        len = snprintf(dst, PATH_MAX, "%s/lunette/history", state);
    } else if (home != NULL && *home == '/') {
        len = snprintf(dst, PATH_MAX, "%s/.local/state/lunette/history", home);
    }
    if (len <= 0 || len >= PATH_MAX) {
        *dst = '\0';
    }
}

/* Makes the directories that a file is in. What cannot be made shows when the file is written. */
static void make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
}

static void keep_history(struct line_editor *editor)
{
    if (*editor->history_path == '\0') {
        return;
    }
    make_directories(editor->history_path);
    HistEvent event;
    mode_t mask = umask(0077);
    history(editor->history, &event, H_SAVE, editor->history_path);
    umask(mask);
}

/* ---- libedit's callbacks ---- */

static struct line_editor *editor_of(EditLine *edit)
{
    void *editor = NULL;
    el_get(edit, EL_CLIENTDATA, &editor);
    return editor;
}

static char *prompt(EditLine *edit)
{
    return (char *)(uintptr_t)editor_of(edit)->prompt;
}

static unsigned char complete(EditLine *edit, int key)
{
    (void)key;
    struct line_editor *editor = editor_of(edit);
    const LineInfo *info = el_line(edit);
    char *line = strndup(info->buffer, (size_t)(info->cursor - info->buffer));
    if (line == NULL) {
        return CC_ERROR;
    }
    char insertion[COMPLETION_MAX] = "", fitting[COMPLETION_MAX] = "";
    editor->complete(editor->user, line, insertion, fitting);
    free(line);
    if (*insertion != '\0') {
        return el_insertstr(edit, insertion) == 0 ? CC_REFRESH : CC_ERROR;
    }
    if (*fitting == '\0') {
        return CC_REFRESH_BEEP;
    }
    printf("\n%s\n", fitting);
    fflush(stdout);
    return CC_REDISPLAY;
}

/* Control-C ends the reading of a line, not lunette. */
static void interrupt(int signal)
{
    (void)signal;
}

/* ---- the editor ---- */

static int open_terminal(struct line_editor *editor)
{
    editor->edit = el_init("lunette", stdin, stdout, stderr);
    editor->history = history_init();
    if (editor->edit == NULL || editor->history == NULL) {
        return -ENOMEM;
    }
    HistEvent event;
    history(editor->history, &event, H_SETSIZE, HISTORY_MAX);
    history(editor->history, &event, H_SETUNIQUE, 1);
    find_history(editor->history_path);
    if (*editor->history_path != '\0') {
        history(editor->history, &event, H_LOAD, editor->history_path);
    }
    el_set(editor->edit, EL_CLIENTDATA, editor);
    el_set(editor->edit, EL_PROMPT, prompt);
    el_set(editor->edit, EL_EDITOR, "emacs");
    el_set(editor->edit, EL_HIST, history, editor->history);
    el_set(editor->edit, EL_ADDFN, "lunette-complete", "Complete a word", complete);
    el_set(editor->edit, EL_BIND, "^I", "lunette-complete", NULL);
    struct sigaction action = {.sa_handler = interrupt};
    sigaction(SIGINT, &action, NULL);
    return 0;
}

int line_editor_new(line_completer *completer, void *user, struct line_editor **ret)
{
    struct line_editor *editor = calloc(1, sizeof(*editor));
    if (editor == NULL) {
        return -ENOMEM;
    }
    editor->complete = completer;
    editor->user = user;
    int r = isatty(STDIN_FILENO) ? open_terminal(editor) : 0;
    if (r < 0) {
        line_editor_free(editor);
        return r;
    }
    *ret = editor;
    return 0;
}

struct line_editor *line_editor_free(struct line_editor *editor)
{
    if (editor != NULL) {
        if (editor->edit != NULL) {
            el_end(editor->edit);
        }
        if (editor->history != NULL) {
            keep_history(editor);
            history_end(editor->history);
        }
        free(editor->line);
        free(editor);
    }
    return NULL;
}

static const char *read_terminal(struct line_editor *editor, bool *ret_cancelled)
{
    int count = 0;
    errno = 0;
    const char *line = el_gets(editor->edit, &count);
    if (line == NULL || count <= 0) {
        *ret_cancelled = errno == EINTR;
        putchar('\n');
        el_reset(editor->edit);
        return NULL;
    }
    free(editor->line);
    editor->line = strndup(line, strcspn(line, "\n"));
    if (editor->line != NULL && *editor->line != '\0') {
        HistEvent event;
        history(editor->history, &event, H_ENTER, editor->line);
    }
    return editor->line;
}

const char *line_editor_read(struct line_editor *editor, const char *text, bool *ret_cancelled)
{
    *ret_cancelled = false;
    if (editor->edit != NULL) {
        editor->prompt = text;
        return read_terminal(editor, ret_cancelled);
    }
    ssize_t len = getline(&editor->line, &editor->room, stdin);
    if (len < 0) {
        return NULL;
    }
    editor->line[strcspn(editor->line, "\n")] = '\0';
    return editor->line;
}
