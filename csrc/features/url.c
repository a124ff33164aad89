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

/* Where what names the host ends, from behind the slashes on. */
static const char *authority_end(const char *from, const char *end) { return xb_find_any(from, end, '/', '?', '#'); }

/* The host of the URL in [from, end), which has no path. */
static void take_host(const char *from, const char *end, xb_url *u)
{
    for (const char *at; (at = xb_find(from, end, '@', '@')) < end;)
        from = at + 1;
    u->host = xb_without_port(xb_span_of(from, end));
    u->dots = xb_span_count(u->host, '.');
    xb_address ignored;
    u->numeric = xb_address_parse(u->host, &ignored);
}

static void take_path(const char *path, const char *end, xb_url *u)
{
    const char *query = xb_span_find(xb_span_of(path, end), '?');
    u->path = xb_span_of(path, query ? query : end);
    u->query = query ? xb_span_of(query + 1, end) : (xb_span){end, 0};
}

void xb_url_split(xb_span s, xb_url *u)
{
    const char *end = s.at + s.size, *colon = scheme_end(s), *path = s.at;
    *u = (xb_url){.length = (uint32_t)s.size};
    if (colon) {
        u->scheme = xb_span_of(s.at, colon);
        path = authority_end(colon + 3, end);
        take_host(colon + 3, path, u);
    }
    take_path(path, end, u);
}

uint32_t xb_host_hash(xb_span host) { return (uint32_t)(xb_hash(xb_without_www(host)) >> 32); }

void xb_referrer_of(xb_span s, xb_known_origin origins[XB_ORIGINS], xb_facts *f)
{
    const char *end = s.at + s.size, *colon = scheme_end(s);
    xb_url *u = &f->referrer;
    *u = (xb_url){.length = (uint32_t)s.size};
    f->referrer_hash = f->referrer_site = 0;
    if (!colon) {
        take_path(s.at, end, u);
        return;
    }
    const char *path = authority_end(colon + 3, end);
    const size_t size = (size_t)(path - s.at);
    const uint64_t last = size >= 8 ? xb_load64(path - 8) : xb_load_few(s.at, size);
    xb_known_origin *o = &origins[xb_fold(last ^ XB_MIX_1, size ^ XB_MIX_2) & (XB_ORIGINS - 1)];
    u->scheme = xb_span_of(s.at, colon);
    take_path(path, end, u);
    if (o->size == size && xb_same_bytes(o->bytes, s.at, size)) {
        u->host = (xb_span){s.at + o->host, o->host_size};
        u->dots = o->dots;
        u->numeric = o->numeric;
        f->referrer_hash = o->hash;
        f->referrer_site = o->site;
        return;
    }
    take_host(colon + 3, path, u);
    f->referrer_hash = xb_hash(u->host);
    f->referrer_site = xb_host_hash(u->host);
    if (size > XB_ORIGIN_TEXT)
        return;
    *o = (xb_known_origin){.size = (uint16_t)size, .host = (uint16_t)(u->host.at - s.at), .host_size = (uint16_t)u->host.size, .dots = u->dots,
                           .numeric = u->numeric, .hash = f->referrer_hash, .site = f->referrer_site};
    memcpy(o->bytes, s.at, size);
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
