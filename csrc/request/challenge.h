/* challenge.h - one line of the hackathon's format, as a request.
 *
 * Law: ip TAB user_agent TAB referrer [TAB true|false], URL-encoded UTF-8; false means bot. Each field is decoded, and there.
 */
#ifndef XB_CHALLENGE_H
#define XB_CHALLENGE_H

#include "request/logline.h"

/* `line` comes without its line break; `scratch` takes the decoded fields, line.size bytes, and must live as long as r.
 * Returns false with out->error set if the line cannot be read. */
bool xb_challenge_line(xb_span line, char *scratch, xb_request *r, xb_line *out);

#endif
