/* logline.h - one line of a log of the combined format or its kin, as a request; and what lines of any format say besides.
 *
 * Law: the line fills the same struct as a request head; what the format does not hold stays absent. For a line that cannot be
 * read, the result names the field and the reason; nothing else is changed.
 *
 * challenge.h and jsonline.h read lines of their formats; all others become fields in the host (fields.h).
 */
#ifndef XB_LOGLINE_H
#define XB_LOGLINE_H

#include "request/request.h"

enum { XB_MAX_LINE = XB_MAX_HEAD };

typedef enum { XB_LABEL_HUMAN = 0, XB_LABEL_BOT = 1, XB_LABEL_NONE = -1 } xb_label;

typedef struct {
    int label;      /* xb_label */
    int status;     /* HTTP status, -1 unknown */
    int64_t time;   /* milliseconds since 1970 UTC, -1 unknown; whole seconds where the log has no more */
    int64_t bytes;  /* of the reply, as the log counts them; -1 unknown */
    xb_span type;   /* the reply's Content-Type; absent where the log does not hold it */
    const char *error_field; /* with an error: the field's name, or "line" */
    const char *error;       /* and what is wrong with it */
} xb_line;

/* Nothing is known of a line yet. */
static inline void xb_line_clear(xb_line *out)
{
    *out = (xb_line){.label = XB_LABEL_NONE, .status = -1, .time = -1, .bytes = -1};
}

/* The line cannot be read: always false. */
static inline bool xb_line_fail(xb_line *out, const char *field, const char *why)
{
    out->error_field = field;
    out->error = why;
    return false;
}

/* How a format differs from nginx's and Apache's combined one, as bits. */
enum {
    XB_CLF_COMBINED = 0,
    XB_CLF_HOST = 1,        /* the site's host, maybe with a port, stands before the address */
    XB_CLF_FORWARDED = 2,   /* the address is X-Forwarded-For: of a list the last, which the nearest proxy wrote */
    XB_CLF_SHORT = 4,       /* no referrer and no agent: the common format */
    XB_CLF_DASH_UNKNOWN = 8 /* Traefik's: "-" for a referrer or agent says that it was not kept; milliseconds at the end */
};

/* A line of the combined format or of one of these kinds, with their escapes; fields after the last one are ignored, but for
 * `$msec "$sent_http_content_type"` of nginx/log_format.conf at the line's end. If the first field is not an address, the address
 * is absent. A quote that is not escaped is accepted if what follows shows where the
 * field ends; otherwise it is an error of that field. `line` comes without its line break; `scratch` takes what is not written as it is,
 * line.size bytes, and must live as long as r. Returns false with out->error set if the line cannot be read. */
bool xb_clf_line(unsigned kind, xb_span line, char *scratch, xb_request *r, xb_line *out);

#endif
