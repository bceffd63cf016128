/* The list of a policy's mistakes, and how one of them is put into words. */
#include "lunette/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/problems.h"
#include "base/text.h"

struct entry {
    ln_problem problem;
    size_t added; /* its place in the order of adding */
};

struct ln_problems {
    struct arena arena; /* the strings */
    struct entry *entries;
    size_t count, room;
};

ln_problems *ln_problems_new(void)
{
    return calloc(1, sizeof(ln_problems));
}

ln_problems *ln_problems_free(ln_problems *problems)
{
    if (problems != NULL) {
        arena_free(&problems->arena);
        free(problems->entries);
        free(problems);
    }
    return NULL;
}

size_t ln_problems_count(const ln_problems *problems)
{
    return problems == NULL ? 0 : problems->count;
}

const ln_problem *ln_problems_get(const ln_problems *problems, size_t index)
{
    return index < ln_problems_count(problems) ? &problems->entries[index].problem : NULL;
}

static int reserve(ln_problems *problems)
{
    if (problems->count < problems->room) {
        return 0;
    }
    size_t room = problems->room == 0 ? 8 : problems->room * 2;
    struct entry *entries = reallocarray(problems->entries, room, sizeof(*entries));
    if (entries == NULL) {
        return -ENOMEM;
    }
    problems->entries = entries;
    problems->room = room;
    return 0;
}

/* Copies *text, which may be NULL. Returns 0 or -ENOMEM. */
static int keep(struct arena *arena, const char **text)
{
    if (*text != NULL) {
        *text = arena_strndup(arena, *text, strlen(*text));
        return *text == NULL ? -ENOMEM : 0;
    }
    return 0;
}

int problems_add(ln_problems *problems, const char *file, int line, const char *field,
                 const char *found, const char *accepted, const char *format, ...)
{
    if (problems == NULL) {
        return 0;
    }
    va_list args;
    va_start(args, format);
    char *message = NULL;
    int len = vasprintf(&message, format, args);
    va_end(args);
    if (len < 0) {
        return -ENOMEM;
    }
    ln_problem problem = {.file = file,
                          .line = line,
                          .field = field,
                          .found = found,
                          .accepted = accepted,
                          .message = message};
    int r = reserve(problems);
    r = r < 0 ? r : keep(&problems->arena, &problem.file);
    r = r < 0 ? r : keep(&problems->arena, &problem.field);
    r = r < 0 ? r : keep(&problems->arena, &problem.found);
    r = r < 0 ? r : keep(&problems->arena, &problem.accepted);
    r = r < 0 ? r : keep(&problems->arena, &problem.message);
    free(message);
    if (r == 0) {
        problems->entries[problems->count] =
            (struct entry){.problem = problem, .added = problems->count};
        problems->count++;
    }
    return r;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    const char *x_file = x->problem.file == NULL ? "" : x->problem.file;
    const char *y_file = y->problem.file == NULL ? "" : y->problem.file;
    int order = strcmp(x_file, y_file);
    order = order != 0 ? order
                       : (x->problem.line > y->problem.line) - (x->problem.line < y->problem.line);
    return order != 0 ? order : (x->added > y->added) - (x->added < y->added);
}

void problems_sort(ln_problems *problems)
{
    if (ln_problems_count(problems) > 1) {
        qsort(problems->entries, problems->count, sizeof(*problems->entries), compare_entries);
    }
}

int ln_problem_format(const ln_problem *problem, char *dst, size_t size)
{
    struct text text = text_of(dst, size);
    if (problem->file != NULL) {
        text_puts(&text, problem->file);
        text_puts(&text, ":");
    }
    if (problem->line > 0) {
        text_printf(&text, problem->file != NULL ? "%d:" : "line %d:", problem->line);
    }
    if (text.len > 0) {
        text_puts(&text, " ");
    }
    if (problem->field != NULL && problem->field[0] != '\0') {
        text_puts(&text, problem->field);
        text_puts(&text, ": ");
    }
    text_puts(&text, problem->message);
    if (problem->found != NULL) {
        text_puts(&text, ": found ");
        text_puts(&text, problem->found);
    }
    if (problem->accepted != NULL) {
        text_puts(&text, problem->found != NULL ? "; accepted: " : ": accepted: ");
        text_puts(&text, problem->accepted);
    }
    return (int)text.len;
}
