#include "clients/outcomes.h"

enum { LONGEST_PREFIX = 96 }; /* bytes: "<190>", a date of 15 bytes, and a tag of at most 32 */

/* What follows the prefix of syslog, which ends in a colon and a blank. The clock in it has colons, too. */
static xb_span without_prefix(xb_span s)
{
    if (!s.size || *s.at != '<')
        return s;
    const size_t most = s.size < LONGEST_PREFIX ? s.size : LONGEST_PREFIX;
    for (size_t i = 0; i + 1 < most; i++)
        if (s.at[i] == ':' && s.at[i + 1] == ' ')
            return xb_span_of(s.at + i + 2, s.at + s.size);
    return (xb_span){NULL, 0};
}

/* The next word, up to a blank or the end; `s` moves behind the blank. */
static xb_span word(xb_span *s)
{
    const char *end = s->at + s->size, *stop = xb_find(s->at, end, ' ', ' ');
    const xb_span found = xb_span_of(s->at, stop);
    *s = xb_span_of(stop < end ? stop + 1 : end, end);
    return found;
}

bool xb_outcome_parse(xb_span message, xb_client_keys *keys, xb_response *response)
{
    xb_span rest = without_prefix(message);
    int64_t status, bytes;
    xb_client_keys k;
    const bool read = rest.size && xb_client_keys_parse(word(&rest), &k) && xb_span_number(word(&rest), 3, &status) &&
                      xb_span_number(word(&rest), 15, &bytes) && status < 600;
    *keys = (xb_client_keys){0, 0, 0};
    *response = (xb_response){0, -1, XB_CONTENT_UNKNOWN};
    if (!read)
        return false;
    *keys = k;
    *response = (xb_response){status < 100 ? 0 : (int)status, bytes, (uint8_t)xb_content_of(rest)};
    return true;
}

void xb_outcome_count(xb_clients *t, const xb_client_keys *keys, uint64_t now_ms, const xb_response *response)
{
    xb_clients_outcome(t, keys, now_ms, response);
    __atomic_fetch_add(&t->outcomes, 1, __ATOMIC_RELAXED);
}

void xb_outcome_take(xb_clients *t, xb_span message, uint64_t now_ms)
{
    xb_client_keys keys;
    xb_response response;
    if (xb_outcome_parse(message, &keys, &response)) {
        xb_outcome_count(t, &keys, now_ms, &response);
    } else {
        __atomic_fetch_add(&t->bad_outcomes, 1, __ATOMIC_RELAXED);
    }
}
