/* jsonline.h - one line of the format jsonl, as a request.
 *
 * Law: what is read here gives the request that sidecar/sources/records.py makes of the same line. Only plain lines are read: of ASCII,
 * without what is rare (a second member of one name, exponents, \u beyond a byte, times as text, facts of a handshake, ...) or wrong.
 * Of any other line nothing is said, and the host's reader has it: what is refused, and why, is decided there alone.
 */
#ifndef XB_JSONLINE_H
#define XB_JSONLINE_H

#include "request/logline.h"

/* Reads a line without its line break. `scratch` takes what is not written as it is, line.size bytes, and must live as long as r. False
 * if the line is not plain: then the request is empty. */
bool xb_json_line(xb_span line, char *scratch, xb_request *r, xb_line *out);

#endif
