#include "request/logline.h"

#include "base/address.h"
#include "request/logtime.h"
#include "request/quoted.h"

/* The place behind the time, in milliseconds, or NULL. A user's name stands before it and may hold blanks and brackets, but no quote: of
 * several times, the one before the request counts. */
static const char *find_time(const char *p, const char *end, int64_t *out)
{
    enum { USUAL = sizeof "[17/May/2015:10:05:03 +0000]" - 1, SHORTEST = sizeof "[1431849903]" - 1, LONGEST = 48 };
    const char *found = NULL;
    for (; (p = memchr(p, '[', (size_t)(end - p))); p++) {
        int64_t time;
        if (p[-1] != ' ' || end - p < SHORTEST)
            continue;
        const char *close = end - p >= USUAL && p[USUAL - 1] == ']'
                                ? p + USUAL - 1
                                : memchr(p, ']', (size_t)(end - p < LONGEST ? end - p : LONGEST));
        if (!close || !xb_log_time(xb_span_of(p + 1, close), &time))
            continue;
        bool request = end - close > 2 && close[1] == ' ' && close[2] == '"';
        if (request || !found) {
            *out = time;
            found = close + 1;
        }
        if (request)
            break;
    }
    return found;
}

/* "GET /path HTTP/1.1". A request that was no request (TLS on a plain port, "-", "- - -") leaves the URL absent. */
static void request_field(xb_request *r, xb_span s)
{
    const char *space = xb_span_find(s, ' '), *end = s.at + s.size;
    if (!space || space == s.at || space + 1 == end || xb_span_is(xb_span_of(s.at, space), XB_SPAN("-")))
        return;
    const char *version = end;
    while (version > space + 1 && version[-1] != ' ')
        version--;
    r->method = xb_span_of(s.at, space);
    if (version > space + 1 && xb_span_starts(xb_span_of(version, end), XB_SPAN("http/"))) {
        r->protocol = xb_span_of(version, end);
        r->uri = xb_span_of(space + 1, version - 1);
    } else {
        r->uri = xb_span_of(space + 1, end); /* HTTP/0.9 */
    }
    r->present |= XB_HAS_URL;
}

static xb_span word(const char *p, const char *end)
{
    const char *space = p < end ? memchr(p, ' ', (size_t)(end - p)) : NULL;
    return xb_span_of(p, space ? space : end);
}

/* Words without quotes that owners put before the referrer: how long it took, how long the request was. */
static void bare_words(xb_line_reader *in)
{
    enum { WORDS = 8 };
    xb_line_blanks(in);
    for (int i = 0; i < WORDS && in->p < in->end && *in->p != '"'; i++) {
        const xb_span next = word(in->p, in->end);
        if (xb_span_find(next, '"')) /* rt="0.1" */
            return;
        in->p = next.at + next.size;
        xb_line_blanks(in);
    }
}

/* ---- whose address it is ---- */

/* A host's name or address, maybe with a port; or what nginx calls a server (*.example.org, ~^www). No time and no number. */
static bool is_host(xb_span s)
{
    static const char never[] = "<>()[]{}\"=/,;|@";
    xb_address parsed;
    if (s.size && (*s.at == '~' || xb_address_parse(s, &parsed)))
        return true;
    const char *end = s.at + s.size, *port = end;
    while (port > s.at && xb_is_digit(port[-1]))
        port--;
    if (port > s.at && port < end && port[-1] == ':')
        end = port - 1;
    xb_span name = xb_span_of(s.at, end);
    if (name.size > 2 && *name.at == '[' && end[-1] == ']')
        name = xb_span_of(name.at + 1, end - 1);
    if (xb_address_parse(name, &parsed))
        return true;
    bool number = true;
    for (const char *p = name.at; p < end; p++) {
        if (*p == ':' || memchr(never, *p, sizeof never - 1))
            return false;
        number = number && (xb_is_digit(*p) || *p == '.');
    }
    return !number;
}

/* An address, or one with a port behind it. */
static bool address_maybe_port(xb_span s)
{
    xb_address parsed;
    const char *end = s.at + s.size;
    if (xb_address_parse(s, &parsed))
        return true;
    while (end > s.at && xb_is_digit(end[-1]))
        end--;
    return end > s.at && end[-1] == ':' && xb_address_parse(xb_span_of(s.at, end - 1), &parsed);
}

/* Does an address stand in a word behind other signs (MESSAGE=192.0.2.1, access.log:192.0.2.1)? */
static bool address_behind(xb_span s, char *sign)
{
    xb_address parsed;
    const char *end = s.at + s.size;
    for (const char *p = s.at; p < end; p++)
        if (memchr(":=])>|\"", *p, 7) && xb_address_parse(xb_span_of(p + 1, end), &parsed)) {
            *sign = *p;
            return true;
        }
    return false;
}

/* Does an address stand behind this place, before the lone dash of the fields behind the address, or the time? A user's name may
 * look like one: it stands behind the dash. */
static bool address_follows(const char *p, const char *end)
{
    enum { WORDS = 12 };
    for (int i = 0; i < WORDS && p < end; i++) {
        xb_span next = word(p + 1, end);
        if (next.size && (*next.at == '"' || xb_span_is(next, XB_SPAN("-"))))
            return false;
        char sign;
        if (address_maybe_port(next) || address_behind(next, &sign))
            return true;
        p = next.at + next.size;
    }
    return false;
}

/* The first fields. What is no address (a host's name, "unix:", a list, one with a port, a zone or hidden octets, nobody's) is none; what shows that
 * the line is of another kind is an error, as it would lose the address of each line. */
static bool first_fields(xb_line_reader *in, unsigned kind, xb_request *r, xb_line *out)
{
    xb_address parsed;
    xb_line_blanks(in);
    const char *quote = in->p < in->end && *in->p == '"' ? memchr(in->p + 1, '"', (size_t)(in->end - in->p - 1)) : NULL;
    xb_span first = quote ? xb_span_of(in->p + 1, quote) : word(in->p, in->end);
    in->p = quote ? quote + 1 : first.at + first.size;
    if (in->p == in->end)
        return xb_line_fail(out, "line", "no fields: expected ip - user [time] \"request\" status bytes \"referrer\" \"user agent\"");
    if (kind & XB_CLF_HOST) {
        xb_span second = word(in->p + 1, in->end);
        const bool is_address = xb_address_parse(second, &parsed), names_host = is_host(first);
        if (!is_address && (!names_host || xb_span_is(second, XB_SPAN("-")) || xb_address_parse(first, &parsed)))
            return xb_line_fail(out, "ip", "missing: expected host ip - user [time] ...");
        if (first.size && first.at[first.size - 1] == ',')
            return xb_line_fail(out, "ip", "a list of addresses stands before it: ip, ip - user [time] ... is forwarded_combined");
        if (names_host)
            r->host = first;
        first = second;
        in->p = second.at + second.size;
    } else if (kind & XB_CLF_FORWARDED) {
        while (first.size && first.at[first.size - 1] == ',' && in->p < in->end) {
            first = word(in->p + 1, in->end);
            in->p = first.at + first.size;
        }
        for (const char *comma; (comma = xb_span_find(first, ',')); )
            first = xb_span_of(comma + 1, first.at + first.size);
        while (first.size && *first.at == ' ') /* of a list in quotes */
            first = xb_span_of(first.at + 1, first.at + first.size);
    } else if (in->end - in->p > 2 && !(in->p[1] == '-' && in->p[2] == ' ') && !(first.size && in->p[-1] == ',') &&
               xb_address_parse(word(in->p + 1, in->end), &parsed)) {
        return xb_line_fail(out, "ip", "it stands behind another field: host ip - user [time] ... is vhost_combined");
    }
    char sign;
    if (xb_address_parse(first, &parsed)) {
        if (xb_address_is_nobodys(&parsed))
            return true;
        r->ip = first;
        r->present = XB_HAS_IP;
    } else if (address_behind(first, &sign)) {
        return xb_line_fail(out, "ip", sign == ':' ? "a word and a colon stand before it, as grep writes them: use grep -h, without -n"
                                           : "other words stand before it");
    } else if (!(first.size && in->p[-1] == ',') && address_follows(in->p, in->end)) {
        return xb_line_fail(out, "ip", "other words stand before it");
    }
    return true;
}

static void kept(xb_request *r, unsigned kind, xb_span *to, xb_span field, uint32_t part)
{
    if (kind & XB_CLF_DASH_UNKNOWN && xb_span_is(field, XB_SPAN("-")))
        return;
    *to = field;
    r->present |= part;
}

/* Of a line with all its fields. */
static bool ends_in_milliseconds(xb_span line)
{
    return xb_is_digit(line.at[line.size - 3]) && line.at[line.size - 2] == 'm' && line.at[line.size - 1] == 's';
}

/* Does a quoted field behind the agent say what only agents say? Then a referrer with quotes stood in two places, and what was read as
 * the agent is its end. */
static bool agent_stands_behind(const char *p, const char *end)
{
    static const xb_span field = {"\"Mozilla/", 9};
    for (; p < end && (p = memchr(p, '"', (size_t)(end - p))); p++)
        if ((size_t)(end - p) >= field.size && memcmp(p, field.at, field.size) == 0)
            return true;
    return false;
}

/* -1 for what is no number, or too large to be meant as one. */
static int64_t whole_number(xb_span s)
{
    int64_t n;
    return xb_span_number(s, 15, &n) ? n : -1;
}

/* What nginx/log_format.conf puts at the end of a line: `1431849903.250 "text/html"`. In logs of other programs a visitor may have
 * written what stands there: so it counts only if it is the same second as the line's time. */
static void time_and_type(const char *from, const char *end, xb_line *out)
{
    if (end - from < 8 || end[-1] != '"')
        return;
    const char *open = end - 2;
    while (open > from && *open != '"')
        open--;
    const char *dot = open - 5, *number_from = dot;
    if (dot <= from || *dot != '.' || open[-1] != ' ')
        return;
    while (xb_is_digit(number_from[-1])) /* as far as the blank at `from` */
        number_from--;
    int64_t seconds = whole_number(xb_span_of(number_from, dot));
    int milliseconds;
    const char *p = dot + 1;
    if (number_from[-1] != ' ' || !xb_take_number(&p, open, 3, &milliseconds) || seconds != out->time / 1000)
        return;
    out->time = seconds * 1000 + milliseconds;
    if (!xb_span_is(xb_span_of(open + 1, end - 1), XB_SPAN("-")))
        out->type = xb_span_of(open + 1, end - 1);
}

static bool quoted(xb_line_reader *in, const char *name, xb_follows *fits, xb_span *field, xb_line *out)
{
    const char *why;
    if (xb_quoted(in, fits, field, &why))
        return true;
    return xb_line_fail(out, name, why);
}

/* What a line that cannot be read leaves behind is nothing. */
static bool clf_line(xb_span line, unsigned kind, xb_line_reader *in, xb_request *r, xb_line *out)
{
    if (line.size > XB_MAX_LINE)
        return xb_line_fail(out, "line", "longer than 65536 bytes");
    if (!first_fields(in, kind, r, out))
        return false;
    const char *behind = find_time(in->p, in->end, &out->time);
    if (!behind)
        return xb_line_fail(out, "time", "expected [day/Mon/year:hour:minute:second +zone], or ISO 8601 in brackets");
    in->p = behind;
    xb_span request, referrer, agent;
    if (!quoted(in, "request", xb_status_follows, &request, out))
        return false;
    xb_line_blanks(in);
    if (!xb_take_number(&in->p, in->end, 3, &out->status))
        return xb_line_fail(out, "status", "expected three digits");
    if (out->status == 0) /* nginx: nothing was answered */
        out->status = -1;
    if (!xb_take_byte(&in->p, in->end, ' '))
        return xb_line_fail(out, "bytes", "missing");
    const xb_span bytes = word(in->p, in->end);
    out->bytes = xb_span_is(bytes, XB_SPAN("-")) ? 0 : whole_number(bytes); /* Apache writes a dash for none */
    in->p = bytes.at + bytes.size;
    if (!(kind & XB_CLF_SHORT)) {
        bare_words(in);
        if (!quoted(in, "referrer", xb_agent_follows, &referrer, out) || !quoted(in, "user_agent", xb_fields_follow, &agent, out))
            return false;
        if (!xb_span_starts(agent, XB_SPAN("mozilla/")) && agent_stands_behind(in->p, in->end))
            return xb_line_fail(out, "referrer", "a quote in it is not escaped");
        if (kind & XB_CLF_DASH_UNKNOWN && !ends_in_milliseconds(line))
            return xb_line_fail(out, "duration", "expected a number of milliseconds at the end");
        kept(r, kind, &r->referrer, referrer, XB_HAS_REFERRER);
        kept(r, kind, &r->agent, agent, XB_HAS_UA);
    }
    if (!(kind & XB_CLF_DASH_UNKNOWN))
        time_and_type(in->p, in->end, out);
    request_field(r, request);
    return true;
}

bool xb_clf_line(unsigned kind, xb_span line, char *scratch, xb_request *r, xb_line *out)
{
    xb_request_clear(r);
    xb_line_clear(out);
    xb_line_reader in = {line.at, line.at + line.size, scratch};
    if (clf_line(line, kind, &in, r, out))
        return true;
    xb_request_clear(r);
    return false;
}
