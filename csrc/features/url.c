#include "features/url.h"

#include "base/hash.h"

/* The host alone: of "[::1]:8080" what is within the brackets. */
xb_span xb_without_port(xb_span host)
{
    const char *mark = xb_span_find(host, host.size && *host.at == '[' ? ']' : ':');
    if (!mark)
        return host;
    if (*mark == ']')
        return xb_span_of(host.at + 1, mark);
    return memchr(mark + 1, ':', (size_t)(host.at + host.size - mark - 1)) ? host : xb_span_of(host.at, mark);
}

/* The colon of "https://": letters, digits, "+", "-" and ".", of them a letter first (RFC 3986, 3.1). NULL if there is none, as
 * in "/login?to=http://host/". nginx takes no other target for a whole URL. */
static const char *scheme_end(xb_span s)
{
    const char *p = s.at, *end = s.at + s.size;
    if (!s.size || !(xb_class(*p) & XB_LETTER))
        return NULL;
    if (s.size >= 8 && memcmp(p, "https://", 8) == 0) /* most are */
        return p + 5;
    while (p < end && (xb_class(*p) & (XB_LETTER | XB_DIGIT) || *p == '+' || *p == '-' || *p == '.'))
        p++;
    return end - p > 2 && p[0] == ':' && p[1] == '/' && p[2] == '/' ? p : NULL;
}

void xb_url_split(xb_span s, xb_url *u)
{
    const char *end = s.at + s.size;
    *u = (xb_url){.length = (uint32_t)s.size};
    const char *colon = scheme_end(s), *rest = s.at;
    if (colon) {
        u->scheme = xb_span_of(s.at, colon);
        const char *from = colon + 3;
        rest = xb_find(from, xb_find(from, end, '/', '?'), '#', '#');
        for (const char *at; (at = xb_find(from, rest, '@', '@')) < rest;)
            from = at + 1;
        u->host = xb_without_port(xb_span_of(from, rest));
        u->dots = xb_span_count(u->host, '.');
        xb_address ignored;
        u->numeric = xb_address_parse(u->host, &ignored);
    }
    xb_span tail = xb_span_of(rest, end);
    const char *query = xb_span_find(tail, '?');
    u->path = xb_span_of(rest, query ? query : end);
    u->query = query ? xb_span_of(query + 1, end) : (xb_span){end, 0};
}

xb_span xb_without_www(xb_span host)
{
    return xb_span_starts(host, XB_SPAN("www.")) ? (xb_span){host.at + 4, host.size - 4} : host;
}

static uint8_t kind_of(xb_span extension)
{
    static const struct {
        xb_span text;
        uint8_t kind;
    } kinds[] = {
        {{"html", 4}, XB_KIND_PAGE},   {{"htm", 3}, XB_KIND_PAGE},    {{"php", 3}, XB_KIND_SCRIPT},
        {{"asp", 3}, XB_KIND_SCRIPT},  {{"aspx", 4}, XB_KIND_SCRIPT}, {{"jsp", 3}, XB_KIND_SCRIPT},
        {{"cgi", 3}, XB_KIND_SCRIPT},  {{"css", 3}, XB_KIND_ASSET},   {{"js", 2}, XB_KIND_ASSET},
        {{"mjs", 3}, XB_KIND_ASSET},   {{"png", 3}, XB_KIND_MEDIA},   {{"jpg", 3}, XB_KIND_MEDIA},
        {{"jpeg", 4}, XB_KIND_MEDIA},  {{"gif", 3}, XB_KIND_MEDIA},   {{"ico", 3}, XB_KIND_MEDIA},
        {{"svg", 3}, XB_KIND_MEDIA},   {{"webp", 4}, XB_KIND_MEDIA},  {{"avif", 4}, XB_KIND_MEDIA},
        {{"woff", 4}, XB_KIND_ASSET},  {{"woff2", 5}, XB_KIND_ASSET}, {{"ttf", 3}, XB_KIND_ASSET},
        {{"map", 3}, XB_KIND_ASSET},   {{"mp4", 3}, XB_KIND_MEDIA},   {{"webm", 4}, XB_KIND_MEDIA},
        {{"xml", 3}, XB_KIND_FEED},    {{"rss", 3}, XB_KIND_FEED},    {{"atom", 4}, XB_KIND_FEED},
    };
    if (extension.size >= 2 && extension.size <= 5)
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            if (xb_span_is(extension, kinds[i].text))
                return kinds[i].kind;
    return XB_KIND_OTHER;
}

void xb_path_facts_of(xb_span uri, xb_path_facts *f)
{
    memset(f, 0, offsetof(xb_path_facts, word));
    xb_url_split(uri, &f->url);
    const char *p = f->url.path.at, *end = p + f->url.path.size, *dot = NULL;
    while (p < end) {
        char c = *p;
        if (xb_is_word(c)) {
            const char *from = p;
            while (p < end && xb_is_digit(*p))
                p++;
            const bool number = p == end || !xb_is_word(*p);
            p = xb_word_end(p, end);
            if (!number && f->n_words < XB_MAX_WORDS)
                f->word[f->n_words++] = (xb_word){xb_span_of(from, p), xb_hash_within(xb_span_of(from, p), uri.at + uri.size)};
            continue;
        }
        if (c == '/') {
            f->depth++;
            f->hidden |= p + 1 < end && p[1] == '.' && p + 2 < end && p[2] != '.' && p[2] != '/' &&
                         !(f->depth == 1 && xb_span_starts(xb_span_of(p, end), XB_SPAN("/.well-known/")));
            dot = NULL;
        } else if (c == '.') {
            f->dots++;
            dot = p;
        } else if (c == '%') {
            f->percent++;
        }
        p++;
    }
    f->kind = dot ? kind_of(xb_span_of(dot + 1, end)) : XB_KIND_PAGE;
    if (f->url.query.size)
        f->parameters = 1 + xb_span_count(f->url.query, '&');
    f->percent += xb_span_count(f->url.query, '%');
}
