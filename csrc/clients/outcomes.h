/* outcomes.h - what happened to requests, as nginx tells it afterwards: one message of its syslog for each request.
 *
 * Law: a message is bytes of whoever may write to the socket, and says nothing beyond what it may say: it is read within its
 * bounds, and what is no such message is counted and left alone. It can change only entries whose keys it names; keys are
 * keyed hashes (clients.h) that no visitor sees.
 *
 *   <190>Nov 27 13:24:01 xbot: KEYS STATUS BYTES TYPE
 *
 * KEYS are the 48 digits of the reply's X-Bot-Client, STATUS is three digits (below 100, nginx sent none), BYTES are those of the
 * body, and TYPE is the Content-Type up to the message's end, or a lone dash. Of these the visitor chooses none directly; STATUS,
 * BYTES and TYPE are what the site answers to what it was asked for.
 */
#ifndef XB_OUTCOMES_H
#define XB_OUTCOMES_H

#include "clients/correct.h"

enum { XB_OUTCOME_MOST = 1024 /* bytes of a message that are read; what a longer one has behind them is the rest of its TYPE */ };

/* Reads one message, with or without what syslog puts before it. False, and nothing in the outputs, if it is none. */
bool xb_outcome_parse(xb_span message, xb_client_keys *keys, xb_response *response);

/* Counts an outcome that a host knows by itself, as xb_outcome_take does those that it is told of. */
void xb_outcome_count(xb_clients *t, const xb_client_keys *keys, uint64_t now_ms, const xb_response *response);

/* Counts what one message says, in the table: as an outcome, or as a bad one. */
void xb_outcome_take(xb_clients *t, xb_span message, uint64_t now_ms);

#endif
