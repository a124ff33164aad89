#include "request/quoted.h"

void xb_line_blanks(xb_line_reader *in)
{
    while (in->p < in->end && *in->p == ' ')
        in->p++;
}

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

bool xb_status_follows(const char *p, const char *end)
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

bool xb_fields_follow(const char *p, const char *end)
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

bool xb_agent_follows(const char *p, const char *end)
{
    bool escaped;
    while (p < end && *p == ' ')
        p++;
    const char *close = p < end && *p == '"' ? closing_quote(p + 1, end, &escaped) : NULL;
    return close && xb_fields_follow(close + 1, end);
}

/* Quotes that are tried where the first one closes nothing: a line may be full of them, and looking behind each costs. */
enum { MOST_QUOTES = 16 };

/* The first of the quotes behind `from` that the right thing follows; NULL for none. */
static const char *fitting_quote(const char *from, const char *end, xb_follows *fits, bool *escaped)
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

static bool wrong(const char **why, const char *what)
{
    *why = what;
    return false;
}

bool xb_quoted(xb_line_reader *in, xb_follows *fits, xb_span *field, const char **why)
{
    xb_line_blanks(in);
    if (in->p == in->end || *in->p != '"')
        return wrong(why, "missing, or not in quotes");
    bool escaped;
    const char *from = ++in->p, *close = fitting_quote(from, in->end, fits, &escaped);
    if (!close && fits == xb_agent_follows) /* quotes in the agent, too */
        close = fitting_quote(from, in->end, quote_follows, &escaped);
    if (!close) {
        if (!(close = closing_quote(from, in->end, &escaped)))
            return wrong(why, "the closing quote is missing");
        if (fits == xb_fields_follow)
            return wrong(why, "a quote in it is not escaped");
    }
    *field = xb_span_of(from, close);
    if (escaped) {
        *field = unescape(*field, in->scratch);
        in->scratch += field->size;
    }
    in->p = close + 1;
    return true;
}
