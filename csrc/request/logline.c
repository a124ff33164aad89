#include "request/logline.h"

#include "request/dialect.h"
#include "base/address.h"
#include "request/logtime.h"

static bool fail(xb_line *out, const char *field, const char *why)
{
    out->error_field = field;
    out->error = why;
    return false;
}

static void start(xb_request *r, xb_line *out)
{
    xb_request_clear(r);
    *out = (xb_line){.label = XB_LABEL_NONE, .status = -1, .time = -1, .bytes = -1};
}

/* The usual state machine of RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF. */
static bool valid_utf8(xb_span s)
{
    const unsigned char *p = (const unsigned char *)s.at, *end = p + s.size;
    while (p < end) {
        unsigned c = *p++, more, low = 0x80, high = 0xbf;
        if (c < 0x80)
            continue;
        if (c >= 0xc2 && c <= 0xdf)
            more = 1;
        else if ((c & 0xf0) == 0xe0)
            more = 2;
        else if (c >= 0xf0 && c <= 0xf4)
            more = 3;
        else
            return false;
        if (c == 0xe0)
            low = 0xa0;
        else if (c == 0xed)
            high = 0x9f;
        else if (c == 0xf0)
            low = 0x90;
        else if (c == 0xf4)
            high = 0x8f;
        for (; more; more--, low = 0x80, high = 0xbf)
            if (p == end || *p < low || *p++ > high)
                return false;
    }
    return true;
}

static const char *why_no_address(xb_span s)
{
    size_t dots = xb_span_count(s, '.');
    if (s.size == 0)
        return "empty";
    for (size_t i = 0; i < s.size; i++)
        if (!xb_is_digit(s.at[i]) && s.at[i] != '.')
            return "not an IPv4 or IPv6 address";
    return dots == 3 ? "bad octet: each is a number from 0 to 255" : "an IPv4 address has four octets";
}

/* ---- challenge ---- */

static const char *const challenge_fields[] = {"ip", "user_agent", "referrer", "status"};

bool xb_challenge_line(xb_span line, char *scratch, xb_request *r, xb_line *out)
{
    xb_span field[4];
    size_t n = 0;
    start(r, out);
    if (line.size > XB_MAX_LINE)
        return fail(out, "line", "longer than 65536 bytes");
    for (const char *p = line.at, *end = line.at + line.size; p; n++) {
        const char *tab = p < end ? memchr(p, '\t', (size_t)(end - p)) : NULL;
        if (n < 4)
            field[n] = xb_span_of(p, tab ? tab : end);
        p = tab ? tab + 1 : NULL;
    }
    if (n < 3)
        return fail(out, "line", "fewer than 3 fields: expected ip, user_agent, referrer and perhaps true or false");
    if (n > 4)
        return fail(out, "line", "more than 4 fields: expected ip, user_agent, referrer and perhaps true or false");
    for (size_t i = 0; i < n; i++) {
        const char *bad;
        field[i] = xb_url_decode(field[i], scratch, &bad);
        scratch += field[i].size;
        if (bad)
            return fail(out, challenge_fields[i], "bad escape: % is followed by two hexadecimal digits");
        if (field[i].size && memchr(field[i].at, 0, field[i].size))
            return fail(out, challenge_fields[i], "holds a NUL");
        if (!valid_utf8(field[i]))
            return fail(out, challenge_fields[i], "invalid UTF-8");
    }
    xb_address ignored;
    if (!xb_address_parse(field[0], &ignored))
        return fail(out, "ip", why_no_address(field[0]));
    if (n == 4) {
        if (xb_span_is(field[3], XB_SPAN("true")))
            out->label = XB_LABEL_HUMAN;
        else if (xb_span_is(field[3], XB_SPAN("false")))
            out->label = XB_LABEL_BOT;
        else
            return fail(out, "status", "neither true (human) nor false (bot)");
    }
    r->present = XB_HAS_IP | XB_HAS_UA | XB_HAS_REFERRER;
    r->ip = field[0];
    r->agent = field[1];
    r->referrer = field[2];
    return true;
}

/* ---- combined, and what differs from it at an end ---- */

/* A quoted field that starts behind p's quote: the place of its closing quote, or NULL. */
static const char *closing_quote(const char *p, const char *end, bool *escaped)
{
    const char *quote = p < end ? memchr(p, '"', (size_t)(end - p)) : NULL;
    *escaped = quote && memchr(p, '\\', (size_t)(quote - p));
    if (!*escaped)
        return quote;
    for (; p < end; p++) {
        if (*p == '"')
            return p;
        if (*p == '\\')
            p++;
    }
    return NULL;
}

/* nginx writes \xHH; Apache writes \xHH, \", \\ and the letters of C. Anything else stands for itself. */
static xb_span unescape(xb_span s, char *out)
{
    char *to = out;
    const char *end = s.at + s.size;
    for (const char *p = s.at; p < end; p++) {
        if (*p != '\\' || p + 1 == end) {
            *to++ = *p;
            continue;
        }
        static const char letters[] = "tnrbvfa", meaning[] = "\t\n\r\b\v\f\a";
        char c = *++p;
        const char *letter = memchr(letters, c, sizeof letters - 1);
        if (c == 'x' && end - p > 2 && xb_hex(p[1]) >= 0 && xb_hex(p[2]) >= 0) {
            *to++ = (char)(xb_hex(p[1]) * 16 + xb_hex(p[2]));
            p += 2;
        } else if (letter) {
            *to++ = meaning[letter - letters];
        } else {
            if (c != '"' && c != '\\')
                *to++ = '\\';
            *to++ = c;
        }
    }
    return xb_span_of(out, to);
}

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

typedef struct {
    const char *p, *end;
    char *scratch;
} reader;

static void blanks(reader *in)
{
    while (in->p < in->end && *in->p == ' ')
        in->p++;
}

static xb_span word(const char *p, const char *end)
{
    const char *space = p < end ? memchr(p, ' ', (size_t)(end - p)) : NULL;
    return xb_span_of(p, space ? space : end);
}

/* Words without quotes that owners put before the referrer: how long it took, how long the request was. */
static void bare_words(reader *in)
{
    enum { WORDS = 8 };
    blanks(in);
    for (int i = 0; i < WORDS && in->p < in->end && *in->p != '"'; i++) {
        const xb_span next = word(in->p, in->end);
        if (xb_span_find(next, '"')) /* rt="0.1" */
            return;
        in->p = next.at + next.size;
        blanks(in);
    }
}

/* ---- which quote closes a field ----
 * nginx and Apache escape quotes, so the first one does. Programs that do not (Varnish, many a library's logger) leave a
 * visitor's quotes as they came: then it is the first one that what must stand behind the field follows. */

typedef bool follows(const char *p, const char *end);

static bool status_follows(const char *p, const char *end)
{
    return end - p >= 4 && *p == ' ' && xb_is_digit(p[1]) && xb_is_digit(p[2]) && xb_is_digit(p[3]) && (p + 4 == end || p[4] == ' ');
}

static bool quote_follows(const char *p, const char *end)
{
    while (p < end && *p == ' ')
        p++;
    return p < end && *p == '"';
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* Nothing, or whole fields: a quote in them begins a field, or a value behind a sign (rt="0.1"), and is closed. */
static bool fields_follow(const char *p, const char *end)
{
    if (p < end && !is_blank(*p))
        return false;
    for (; p < end; p++) {
        if (*p != '"')
            continue;
        bool escaped;
        if (!is_blank(p[-1]) && !memchr("=:(,[{", p[-1], 6))
            return false;
        if (!(p = closing_quote(p + 1, end, &escaped)))
            return false;
        if (p + 1 < end && !is_blank(p[1]) && !memchr(";),]}", p[1], 5))
            return false;
    }
    return true;
}

/* An agent that its own first quote closes: behind `"a" "b" "Mozilla/5.0"` a referrer of three words in quotes would have taken its place. */
static bool agent_follows(const char *p, const char *end)
{
    bool escaped;
    while (p < end && *p == ' ')
        p++;
    const char *close = p < end && *p == '"' ? closing_quote(p + 1, end, &escaped) : NULL;
    return close && fields_follow(close + 1, end);
}

/* Quotes that are tried where the first one closes nothing: a line may be full of them, and looking behind each costs. */
enum { MOST_QUOTES = 16 };

/* The first of the quotes behind `from` that the right thing follows; NULL for none. */
static const char *fitting_quote(const char *from, const char *end, follows *fits, bool *escaped)
{
    bool more;
    const char *close = closing_quote(from, end, escaped);
    for (int i = 0; close && i < MOST_QUOTES; i++) {
        if (fits(close + 1, end))
            return close;
        close = closing_quote(close + 1, end, &more);
        *escaped |= more;
    }
    return close && fits(close + 1, end) ? close : NULL;
}

static bool quoted(reader *in, const char *name, follows *fits, xb_span *field, xb_line *out)
{
    blanks(in);
    if (in->p == in->end || *in->p != '"')
        return fail(out, name, "missing, or not in quotes");
    bool escaped;
    const char *from = ++in->p, *close = fitting_quote(from, in->end, fits, &escaped);
    if (!close && fits == agent_follows) /* quotes in the agent, too */
        close = fitting_quote(from, in->end, quote_follows, &escaped);
    if (!close) {
        if (!(close = closing_quote(from, in->end, &escaped)))
            return fail(out, name, "the closing quote is missing");
        if (fits == fields_follow)
            return fail(out, name, "a quote in it is not escaped");
    }
    *field = xb_span_of(from, close);
    if (escaped) {
        *field = unescape(*field, in->scratch);
        in->scratch += field->size;
    }
    in->p = close + 1;
    return true;
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
static bool first_fields(reader *in, unsigned kind, xb_request *r, xb_line *out)
{
    xb_address parsed;
    blanks(in);
    const char *quote = in->p < in->end && *in->p == '"' ? memchr(in->p + 1, '"', (size_t)(in->end - in->p - 1)) : NULL;
    xb_span first = quote ? xb_span_of(in->p + 1, quote) : word(in->p, in->end);
    in->p = quote ? quote + 1 : first.at + first.size;
    if (in->p == in->end)
        return fail(out, "line", "no fields: expected ip - user [time] \"request\" status bytes \"referrer\" \"user agent\"");
    if (kind & XB_CLF_HOST) {
        xb_span second = word(in->p + 1, in->end);
        const bool is_address = xb_address_parse(second, &parsed), names_host = is_host(first);
        if (!is_address && (!names_host || xb_span_is(second, XB_SPAN("-")) || xb_address_parse(first, &parsed)))
            return fail(out, "ip", "missing: expected host ip - user [time] ...");
        if (first.size && first.at[first.size - 1] == ',')
            return fail(out, "ip", "a list of addresses stands before it: ip, ip - user [time] ... is forwarded_combined");
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
        return fail(out, "ip", "it stands behind another field: host ip - user [time] ... is vhost_combined");
    }
    char sign;
    if (xb_address_parse(first, &parsed)) {
        if (xb_address_is_nobodys(&parsed))
            return true;
        r->ip = first;
        r->present = XB_HAS_IP;
    } else if (address_behind(first, &sign)) {
        return fail(out, "ip", sign == ':' ? "a word and a colon stand before it, as grep writes them: use grep -h, without -n"
                                           : "other words stand before it");
    } else if (!(first.size && in->p[-1] == ',') && address_follows(in->p, in->end)) {
        return fail(out, "ip", "other words stand before it");
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
    int64_t n = 0;
    if (s.size == 0 || s.size > 15)
        return -1;
    for (size_t i = 0; i < s.size; i++) {
        if (!xb_is_digit(s.at[i]))
            return -1;
        n = 10 * n + (s.at[i] - '0');
    }
    return n;
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

/* What a line that cannot be read leaves behind is nothing. */
static bool clf_line(xb_span line, unsigned kind, reader *in, xb_request *r, xb_line *out)
{
    if (line.size > XB_MAX_LINE)
        return fail(out, "line", "longer than 65536 bytes");
    if (!first_fields(in, kind, r, out))
        return false;
    const char *behind = find_time(in->p, in->end, &out->time);
    if (!behind)
        return fail(out, "time", "expected [day/Mon/year:hour:minute:second +zone], or ISO 8601 in brackets");
    in->p = behind;
    xb_span request, referrer, agent;
    if (!quoted(in, "request", status_follows, &request, out))
        return false;
    blanks(in);
    if (!xb_take_number(&in->p, in->end, 3, &out->status))
        return fail(out, "status", "expected three digits");
    if (out->status == 0) /* nginx: nothing was answered */
        out->status = -1;
    if (!xb_take_byte(&in->p, in->end, ' '))
        return fail(out, "bytes", "missing");
    const xb_span bytes = word(in->p, in->end);
    out->bytes = xb_span_is(bytes, XB_SPAN("-")) ? 0 : whole_number(bytes); /* Apache writes a dash for none */
    in->p = bytes.at + bytes.size;
    if (!(kind & XB_CLF_SHORT)) {
        bare_words(in);
        if (!quoted(in, "referrer", agent_follows, &referrer, out) || !quoted(in, "user_agent", fields_follow, &agent, out))
            return false;
        if (!xb_span_starts(agent, XB_SPAN("mozilla/")) && agent_stands_behind(in->p, in->end))
            return fail(out, "referrer", "a quote in it is not escaped");
        if (kind & XB_CLF_DASH_UNKNOWN && !ends_in_milliseconds(line))
            return fail(out, "duration", "expected a number of milliseconds at the end");
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
    start(r, out);
    reader in = {line.at, line.at + line.size, scratch};
    if (clf_line(line, kind, &in, r, out))
        return true;
    xb_request_clear(r);
    return false;
}
