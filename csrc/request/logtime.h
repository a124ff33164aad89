/* logtime.h - the time that a line of a log gives, as a number.
 *
 * Law: a text is a time as a whole, or none. Nothing here knows where in a line it stands.
 */
#ifndef XB_LOGTIME_H
#define XB_LOGTIME_H

#include "base/span.h"

/* So many digits from *p on, which moves behind them: a number. False if there are fewer. */
static inline bool xb_take_number(const char **p, const char *end, int digits, int *out)
{
    *out = 0;
    for (; digits; digits--, (*p)++) {
        if (*p == end || !xb_is_digit(**p))
            return false;
        *out = *out * 10 + (**p - '0');
    }
    return true;
}

/* This byte at *p, which moves on, whichever byte it is. */
static inline bool xb_take_byte(const char **p, const char *end, char c)
{
    return *p < end && *(*p)++ == c;
}

/* "17/May/2015:10:05:03 +0000" (Python's servers write a blank for the first colon), "2015-05-17T10:05:03+00:00" (nginx's $time_iso8601)
 * or "2015/05/17 10:05:03", "Sun May 17 10:05:03 2015", each maybe with a fraction of the second, or seconds or milliseconds since 1970
 * ("1431857103.250", of ten and of thirteen digits): milliseconds since 1970 UTC. Without a zone a time is UTC. False if it is none. */
bool xb_log_time(xb_span s, int64_t *out);

#endif
