/* What is answered at the control socket: a request in, lines of JSON out. */
#ifndef LN_CLI_CONTROL_ANSWER_H
#define LN_CLI_CONTROL_ANSWER_H

#include <stdio.h>

struct session;

/* Answers one line, without its newline, which is changed; see control.h. */
void control_answer(struct session *session, FILE *out, char *request);
/* Answers that it cannot be. */
void control_refuse(FILE *out, const char *why);

#endif
