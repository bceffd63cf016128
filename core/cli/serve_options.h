/* The arguments of `lunette serve`: links, policies, and options of all guests or of each.
 *
 * Links and policies pair up in order; one policy is for all. An option that names what is one
 * guest's own, as a file or a socket, is given once for each guest, in the order of the links; an
 * empty value says that this one has none. --events and --keylog may be given once for all. */
#ifndef LN_CLI_SERVE_OPTIONS_H
#define LN_CLI_SERVE_OPTIONS_H

#include "cli/serve_link.h"
#include "cli/session.h"

enum { SERVE_GUESTS_MAX = 64, SERVE_OWN_OPTIONS = 8 };

/* What is one guest's. */
struct serve_guest {
    struct session session;
    const char *ca_bundle, *placeholders; /* files for the guest; NULL: not asked for */
    struct serve_link link;
    struct watch watch; /* of its gateway, where there are several */
    struct serve *serve;
    uint64_t spent_ns; /* in its turns, but for those that it did not need */
    bool over;         /* its network has ended */
};

/* An option that each guest has its own of. */
struct own_option {
    const char *name;
    size_t at; /* in struct serve_guest: of a const char pointer */
    const char *values[SERVE_GUESTS_MAX];
    size_t n;
    bool too_many;
};

struct serve_options {
    struct serve_guest common; /* what all guests begin as */
    struct link_spec links[SERVE_GUESTS_MAX];
    size_t n_links;
    char **policies;
    size_t n_policies;
    struct own_option own[SERVE_OWN_OPTIONS];
    bool one_log, one_keylog; /* the first guest's is for all */
    uint32_t ready_fd;
    bool tells_ready;
};

/* Reads `argv`, which the options borrow from. Returns OPTIONS_GO_ON, or the exit status after
 * saying what is wrong. */
int serve_options_parse(struct serve_options *options, char **argv);
/* The guest of the link `i`, with nothing opened. */
void serve_options_guest(const struct serve_options *options, size_t i, struct serve_guest *ret);

#endif
