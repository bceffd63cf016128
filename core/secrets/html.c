#include "secrets/html.h"

#include <string.h>

struct reference {
    char character;
    const char *text;
};

enum { REFERENCES_MAX = 8 };

/* All of them write "&", "<" and ">" by name. */
static const struct reference common[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}};

static const struct reference dialects[HTML_DIALECTS][REFERENCES_MAX] = {
    {{'"', "&quot;"}, {'\'', "&#x27;"}},               /* Python, Django */
    {{'"', "&quot;"}, {'\'', "&#39;"}},                /* ERB, Lodash */
    {{'"', "&quot;"}, {'\'', "&#039;"}},               /* PHP */
    {{'"', "&#34;"}, {'\'', "&#39;"}},                 /* Jinja, EJS */
    {{'"', "&#34;"}, {'\'', "&#39;"}, {'+', "&#43;"}}, /* Go */
    /* Mustache, Handlebars */
    {{'"', "&quot;"}, {'\'', "&#39;"}, {'/', "&#x2F;"}, {'`', "&#x60;"}, {'=', "&#x3D;"}},
    {{'"', "&quot;"}, {'\'', "&#x27;"}, {'`', "&#x60;"}, {'=', "&#x3D;"}},
};

static const char *find(const struct reference *references, size_t n, char character)
{
    for (size_t i = 0; i < n && references[i].text != NULL; i++) {
        if (references[i].character == character) {
            return references[i].text;
        }
    }
    return NULL;
}

int html_put(struct byte_queue *out, unsigned dialect, const uint8_t *text, size_t len)
{
    int r = 0;
    for (size_t i = 0; i < len && r == 0; i++) {
        const char *reference = find(common, sizeof(common) / sizeof(common[0]), (char)text[i]);
        if (reference == NULL) {
            reference = find(dialects[dialect], REFERENCES_MAX, (char)text[i]);
        }
        r = reference != NULL ? byte_queue_put(out, reference, strlen(reference))
                              : byte_queue_put(out, &text[i], 1);
    }
    return r;
}
