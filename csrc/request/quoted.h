/* quoted.h - fields in quotes of a line of a log: which quote closes one, and what its escapes stand for.
 *
 * Law: nginx and Apache escape quotes, so the first one closes a field. Programs that do not (Varnish, many a library's logger) leave a
 * visitor's quotes as they came: then it is the first one that what must stand behind the field follows. Nothing here knows which
 * fields a format has.
 */
#ifndef XB_QUOTED_H
#define XB_QUOTED_H

#include "base/span.h"

/* What is still to be read of a line, and where fields go that are not written as they are. */
typedef struct {
    const char *p, *end;
    char *scratch;
} xb_line_reader;

void xb_line_blanks(xb_line_reader *in);

/* Does that which must stand behind a closing quote stand at p? */
typedef bool xb_follows(const char *p, const char *end);
/* A status. */
xb_follows xb_status_follows;
/* Nothing, or whole fields: a quote in them begins a field, or a value behind a sign (rt="0.1"), and is closed. */
xb_follows xb_fields_follow;
/* An agent that its own first quote closes: behind `"a" "b" "Mozilla/5.0"` a referrer of three words in quotes would have taken its place. */
xb_follows xb_agent_follows;

/* Takes the quoted field at in->p, behind blanks: as it stands, or unescaped in the scratch. False, with the reason in *why, if there is none. */
bool xb_quoted(xb_line_reader *in, xb_follows *fits, xb_span *field, const char **why);

#endif
