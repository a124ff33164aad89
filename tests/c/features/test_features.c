/* Features of texts at both edges of readable memory, in every prefix: the same as of the same text elsewhere. */
#include "harness.h"
#include "invariants.h"
#include "model_image.h"

static const char *const texts[] = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html) mail@example.com \x01\x7f\x80\xff",
    "bot", "spider", "crawler", "cubot", "Chrome/", "Chrome/1234567890", "Version/99 Safari", "-", "a", "\xff", "1", "12345678",
    "http://user:pass@www.example.com:8080/a/b.html?c=d&e=%20#f", "https://[2001:db8::1]:443/", "http://[", "http://[]", "http://:80",
    "http://192.0.2.1/", "://", "http:/", "http://", "x://y?z", "http://a@b@c@d/", "HTTP://EXAMPLE.COM",
    "http:abc", "http:/abc", "a+b-c.d://x", "/../.git/.env/./a.b.c/index.php.woff2?x=1&&y=%%%&z", "/.", "/..", "/.a", "//", "?", "?a&b", "*", ".", "/x.js", "/robots.txt",
    "gzip, deflate;q=0.5 ,br ;q=1,\tzstd,identity;q=0", ",,,,", " ", "gzip", "br", ";q", "*/*", "text/html",
    "192.0.2.255", "255.255.255.2555", "1.2.3.4.", "1.2.3", "....", "::", "::1", "::ffff:192.0.2.1", "2001:db8:0:0:0:0:0:17", "1:2:3:4:5:6:7:8:9",
    "HTTP/1.1", "HTTP/2.0", "HTTP/3", "HTTP/", "http", "https", "\"Not/A)Brand\";v=\"8\", \"HeadlessChrome\";v=\"126\"", "\"Chromium\";v=\"1234567\"", "\"Chromium\", \"a\"", "\"Chromium\";v=13",
    "navigate", "none",
};

static xb_span *field(xb_request *r, int which)
{
    xb_span *const fields[] = {&r->ip, &r->method, &r->uri, &r->protocol, &r->scheme, &r->host, &r->agent, &r->referrer};
    xb_span *const texts_of_tls[] = {&r->tls.protocol, &r->tls.ciphers, &r->tls.curves, &r->tls.alpn, &r->tls.reused, &r->tls.sigalgs};
    return which < 8 ? fields[which] : which >= 16 && which < 22 ? texts_of_tls[which - 16] : NULL;
}

/* A request that is all there, with `text` in one place: a field, or the value or name of a header. */
enum { PLACES = 22, ALL = 0x7f | XB_HAS_TLS };
static void request_with(xb_request *r, int place, xb_span text)
{
    static const char *const headers[] = {"accept", "accept-encoding", "sec-ch-ua", "sec-fetch-mode", "accept-language", "x-own", "connection"};
    xb_request_clear(r);
    r->present = ALL;
    r->ip = XB_SPAN("192.0.2.1");
    r->method = XB_SPAN("GET");
    r->uri = XB_SPAN("/a/b.html?c=d");
    r->protocol = XB_SPAN("HTTP/2.0");
    r->scheme = XB_SPAN("https");
    r->host = XB_SPAN("www.example.com");
    r->agent = XB_SPAN("Mozilla/5.0 Chrome/126.0.0.0 Safari/537.36");
    r->referrer = XB_SPAN("https://example.com/");
    r->tls = (xb_tls){XB_SPAN("TLSv1.3"), XB_SPAN("0x1a1a:TLS_AES_128_GCM_SHA256"), XB_SPAN("0x2a2a:X25519"), XB_SPAN("h2"), XB_SPAN("."),
                      XB_SPAN("0x0403")};
    if (field(r, place))
        *field(r, place) = text;
    for (int i = 0; i < 7; i++)
        if (place == 8 + i)
            xb_request_add(r, (xb_span){headers[i], strlen(headers[i])}, text);
    if (place == 15)
        xb_request_add(r, text, XB_SPAN("value"));
    xb_request_add(r, XB_SPAN("user-agent"), r->agent);
}

static const xb_model *the_model(void)
{
    static model_image image;
    static xb_model model;
    static xb_workspace work;
    if (!model.bucket) {
        image_init(&image);
        image_fill(&image);
        const char *why = xb_model_open(&model, &image, sizeof image, &work.request, &work.vector);
        if (why) {
            fprintf(stderr, "%s\n", why);
            exit(2);
        }
    }
    return &model;
}

static bool same_vector(const xb_vector *a, const xb_vector *b)
{
    if (a->n_tokens != b->n_tokens || a->truncated != b->truncated)
        return false;
    for (size_t i = 0; i < XB_N_DENSE; i++)
        if (xb_row(a, i) != xb_row(b, i) && !(isnan(xb_row(a, i)) && isnan(xb_row(b, i))))
            return false;
    for (uint32_t t = 0; t < a->n_tokens; t++)
        if (a->tokens[t].bucket != b->tokens[t].bucket || a->tokens[t].family != b->tokens[t].family)
            return false;
    return true;
}

static void check_judged(const xb_workspace *w)
{
    char wrong[128];
    if (!judged_well(the_model(), w, wrong, sizeof wrong))
        check(false, __FILE__, __LINE__, wrong);
    else
        checks++;
}

/* As if no request had been before. */
static void forget(xb_vector *v)
{
    for (size_t i = 0; i < XB_AGENTS; i++)
        v->agents[i].text.kept = false;
    for (size_t i = 0; i < XB_VALUES; i++)
        v->values.value[i].text.kept = false;
    memset(v->prints.tag, 0, sizeof v->prints.tag);
    memset(v->prints.once, 0, sizeof v->prints.once);
    memset(v->origins, 0, sizeof v->origins);
}

static void texts_at_edges(void)
{
    static xb_workspace here, edge;
    for (int place = 0; place < PLACES; place++)
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            for (size_t size = 0; size <= strlen(texts[i]); size++) {
                case_name = texts[i];
                request_with(&here.request, place, (xb_span){texts[i], size});
                xb_judge(the_model(), &here);
                check_judged(&here);
                for (int at = 0; at < 2; at++) {
                    forget(&edge.vector);
                    request_with(&edge.request, place, (xb_span){placements[at](texts[i], size), size});
                    xb_judge(the_model(), &edge);
                    CHECK(same_vector(&here.vector, &edge.vector));
                    CHECK(here.verdict.margin == edge.verdict.margin);
                }
                check_judged(&edge);
            }
    case_name = "";
}

/* What is kept of texts changes nothing: not for the same text in another header, for texts that differ in one byte, nor for those that
 * are too long to be kept. */
static void known_texts(void)
{
    static const int places[] = {6, 8, 9, 10};
    static const size_t sizes[] = {0, 1, 7, 8, 40, XB_MEMO_TEXT - 1, XB_MEMO_TEXT, XB_MEMO_TEXT + 1};
    static xb_workspace kept, fresh;
    uint64_t state = 1;
    uint32_t known = 0;
    for (int turn = 0; turn < 20000; turn++) {
        char text[XB_MEMO_TEXT + 1];
        const uint64_t draw = xb_mix(state++);
        const size_t size = sizes[draw >> 8 & 7], which = (draw >> 16) % (sizeof texts / sizeof *texts), n = strlen(texts[which]);
        for (size_t i = 0; i < size; i++)
            text[i] = texts[which][i % n];
        if (size)
            text[(draw >> 32) % size] ^= (char)(draw >> 24 & 1);
        request_with(&kept.request, places[draw & 3], (xb_span){text, size});
        for (size_t i = 0; i < XB_AGENTS; i++)
            known += !(draw & 3) && xb_memo_holds(&kept.vector.agents[i].text, kept.request.agent);
        xb_judge(the_model(), &kept);
        check_judged(&kept);
        forget(&fresh.vector);
        request_with(&fresh.request, places[draw & 3], (xb_span){text, size});
        xb_judge(the_model(), &fresh);
        CHECK(same_vector(&kept.vector, &fresh.vector) && kept.verdict.margin == fresh.verdict.margin);
        CHECK(kept.vector.facts.odd == fresh.vector.facts.odd && kept.vector.facts.agent->n_words == fresh.vector.facts.agent->n_words);
    }
    CHECK(known > 100); /* or nothing was tried */
}

/* What a source does not hold is NAN in all rows of its group, and says nothing to the margin. */
static void absent_groups(void)
{
    static xb_workspace w;
    for (uint32_t set = 0; set < 0x100; set++) {
        const uint32_t present = (set & 0x7f) | (set & 0x80 ? XB_HAS_TLS : 0);
        request_with(&w.request, 99, XB_SPAN(""));
        w.request.present = present;
        xb_judge(the_model(), &w);
        check_judged(&w);
        for (size_t i = 0; i < XB_N_DENSE; i++)
            if (!(present & xb_feature_rows[i].group))
                CHECK(isnan(xb_row(&w.vector, i)));
        for (uint32_t t = 0; t < w.vector.n_tokens; t++)
            CHECK(present & xb_family_rows[w.vector.tokens[t].family].group);
    }
    request_with(&w.request, 99, XB_SPAN(""));
    w.request.present = 0;
    xb_judge(the_model(), &w);
    CHECK_EQUAL(w.vector.n_tokens, 0);
    CHECK(w.verdict.margin == the_model()->header.bias && w.verdict.reason == -1);
    /* Spans that are absent all through, in groups that are there. */
    xb_request_clear(&w.request);
    w.request.present = 0x7f;
    xb_judge(the_model(), &w);
    check_judged(&w);
    CHECK(xb_row(&w.vector, XB_F_ua_empty) == 1.0 && xb_row(&w.vector, XB_F_ref_empty) == 1.0);
}

/* Facts that somebody remembered are as good as the texts, and win over them. */
static void remembered(void)
{
    static xb_workspace told, kept;
    request_with(&told.request, 99, XB_SPAN(""));
    xb_judge(the_model(), &told);
    CHECK(told.vector.facts.present & XB_HAS_TLS && xb_row(&told.vector, XB_F_tls_13) == 1.0);
    for (int texts_too = 0; texts_too < 2; texts_too++) {
        request_with(&kept.request, 99, XB_SPAN(""));
        xb_handshake_of(&kept.request.tls, &kept.request.handshake);
        kept.request.tls = texts_too ? (xb_tls){.ciphers = XB_SPAN("0x1302")} : (xb_tls){0};
        kept.request.present = texts_too ? ALL : ALL & ~(uint32_t)XB_HAS_TLS;
        xb_judge(the_model(), &kept);
        check_judged(&kept);
        CHECK(same_vector(&told.vector, &kept.vector) && told.verdict.margin == kept.verdict.margin);
    }
}

/* Where a word ends, for each byte behind it, at each distance from the end of memory. */
/* Buckets that are kept are those of one model: with another that names its families in another order all are found anew. */
static void another_model(void)
{
    static const int families[] = {XB_T_ua_word, XB_T_hdr_name, XB_T_hdr_order};
    static model_image images[3];
    static xb_model models[3];
    static xb_workspace kept, fresh;
    for (int i = 0; i < 3; i++) {
        image_init(&images[i]);
        image_fill(&images[i]);
        xb_model_row *a = &images[i].rows[XB_N_DENSE + families[i]], *b = &images[i].rows[XB_N_DENSE + XB_T_ip_net], swap = *a;
        *a = *b, *b = swap;
        CHECK(!xb_model_open(&models[i], &images[i], sizeof images[i], &kept.request, &kept.vector));
    }
    for (int turn = 0; turn < 40; turn++) {
        const xb_model *m = turn % 4 == 3 ? the_model() : &models[turn % 4];
        if (turn == 20) /* their number goes round, and 0 is never one */
            kept.vector.shapes = UINT32_MAX;
        for (int repeat = 0; repeat < 2; repeat++) {
            request_with(&kept.request, 99, XB_SPAN(""));
            xb_judge(m, &kept);
            forget(&fresh.vector);
            request_with(&fresh.request, 99, XB_SPAN(""));
            xb_judge(m, &fresh);
            CHECK(same_vector(&kept.vector, &fresh.vector) && kept.verdict.margin == fresh.verdict.margin);
            CHECK(kept.vector.shapes != 0);
        }
    }
}

/* Agents that are nearly a browser's. */
static void agents(void)
{
#define MOZILLA "Mozilla/5.0 (X11; Linux x86_64) "
#define KIT "AppleWebKit/537.36 (KHTML, like Gecko) "
    static const struct {
        const char *agent;
        int row;
        bool fires;
    } cases[] = {
        {MOZILLA KIT "Chrome/126.0.0.0 Safari/537.36", XB_F_ua_full_version, false},
        {MOZILLA KIT "Chrome/126.0.6478.1 Safari/537.36", XB_F_ua_full_version, true},
        {MOZILLA KIT "Chrome/126.0.6478.1 Electron/31.0 Safari/537.36", XB_F_ua_full_version, false},
        {MOZILLA KIT "Chrome/126.0.0.0 Safari/537.36", XB_F_ua_incomplete, false},
        {MOZILLA "AppleWebKit/537.36 (KHTML) Chrome/126.0.0.0 Safari/537.36", XB_F_ua_incomplete, true},
        {MOZILLA "AppleWebKit/537.36 (like Gecko) Chrome/126.0.0.0 Safari/537.36", XB_F_ua_incomplete, true},
        {MOZILLA "(KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", XB_F_ua_incomplete, true},
        {"Dalvik/2.1.0 (Linux; U; Android 13) Chrome/126", XB_F_ua_browser_unknown, false},
        {"App/1 CFNetwork/1498 Darwin/23.6.0 Safari/1", XB_F_ua_browser_unknown, false},
        {"Chrome/126", XB_F_ua_browser_unknown, true},
        {"BlackBerry/9000", XB_F_ua_browser_unknown, false},
    };
    static xb_workspace w;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        case_name = cases[i].agent;
        request_with(&w.request, 6, (xb_span){cases[i].agent, strlen(cases[i].agent)});
        xb_judge(the_model(), &w);
        CHECK_EQUAL(w.vector.dense[cases[i].row], cases[i].fires);
    }
    case_name = "";
    xb_address a;
    CHECK(xb_address_parse(XB_SPAN("::1"), &a) && !xb_address_parse((xb_span){"::\0001", 4}, &a) && !xb_address_parse((xb_span){"1::\0001", 5}, &a));
}

static void word_ends(void)
{
    char text[40];
    for (int byte = 0; byte < 256; byte++)
        for (size_t size = 1; size <= sizeof text; size++) {
            memset(text, 'a', sizeof text);
            const size_t at = (size_t)byte % size;
            text[at] = (char)byte;
            const char *from = at_end(text, size);
            CHECK(xb_word_end(from, from + size) == from + (xb_is_word((char)byte) ? size : at));
        }
}

static bool same_words(const xb_vector *a, const xb_vector *b)
{
    for (uint32_t t = 0; t < a->n_tokens; t++) {
        char one[80], other[80];
        xb_token_text(a, &a->tokens[t], one, sizeof one);
        xb_token_text(b, &b->tokens[t], other, sizeof other);
        if (a->tokens[t].bucket != b->tokens[t].bucket || a->tokens[t].family != b->tokens[t].family || strcmp(one, other) != 0)
            return false;
    }
    return a->n_tokens == b->n_tokens;
}

/* Words of headers in an order that is kept, or could be, are those that a shape gets for which none is: the same names and pairs. */
static void orders(void)
{
    static const char *const names[] = {
#define XB_HEADER(id, name, role) name,
#include "request/headers.def"
#undef XB_HEADER
        "x-own", "x-other"};
    enum { N = sizeof names / sizeof *names, LISTS = 3000 };
    static xb_workspace kept, plain;
    const uint32_t named = 1u << XB_T_hdr_name | 1u << XB_T_hdr_order;
    const xb_shape shape = xb_shape_of(XB_MAX_K, named | 1u << XB_T_hdr_value, (xb_hosts){NULL, 0}), without = xb_shape_of(XB_MAX_K, named, (xb_hosts){NULL, 0});
    uint64_t draw = 1;
    uint8_t order[N];
    size_t n = 0;
    for (int list = 0; list < LISTS; list++) {
        draw = xb_mix(draw + XB_GOLDEN);
        const bool twice = draw >> 40 & 1;
        const size_t size = list % 3 ? draw % N : n; /* each third differs from the one before in its end alone */
        n = list % 3 || !n ? 0 : n - 1;
        for (size_t tries = 0; n < size && tries < 4 * N; tries++) {
            draw = xb_mix(draw + XB_GOLDEN);
            const uint8_t id = (uint8_t)((draw >> 8) % (twice ? N : XB_H_COUNT));
            if (twice || !memchr(order, id, n))
                order[n++] = id;
        }
        xb_request_clear(&kept.request);
        kept.request.present = XB_HAS_HEADERS | XB_HAS_ORDER;
        for (size_t i = 0; i < n; i++)
            xb_request_add(&kept.request, (xb_span){names[order[i]], strlen(names[order[i]])}, XB_SPAN("v"));
        plain.request = kept.request;
        xb_featurize(&plain.request, &without, &plain.vector);
        for (int again = 0; again < 2; again++) {
            xb_featurize(&kept.request, &shape, &kept.vector);
            uint32_t left = 0;
            for (uint32_t t = 0; t < kept.vector.n_tokens; t++)
                if (kept.vector.tokens[t].family == XB_T_hdr_value) {
                    char text[80];
                    xb_token_text(&kept.vector, &kept.vector.tokens[t], text, sizeof text);
                    CHECK(strcmp(text, "accept:v") == 0 || strcmp(text, "accept-encoding:v") == 0);
                } else {
                    kept.vector.tokens[left++] = kept.vector.tokens[t];
                }
            kept.vector.n_tokens = left;
            CHECK(same_words(&kept.vector, &plain.vector));
            memset(kept.vector.taken, 0, sizeof kept.vector.taken); /* by words that were left out */
        }
    }
}

/* A request of a few programs, of which up to two things are as no program has them. */
static void request_of(xb_request *r, uint64_t draw)
{
    static const struct {
        const char *name, *values[3];
    } headers[] = {
        {"Accept", {"text/html,application/xhtml+xml,*/*;q=0.8", "*/*", "text/html,application/xhtml+xml,image/apng"}},
        {"Accept-Encoding", {"gzip, deflate, br", "identity", "gzip, deflate, br, zstd"}},
        {"Accept-Language", {"de", "en", "fr"}},
        {"sec-ch-ua", {"\"Chromium\";v=\"126\"", "\"Chromium\";v=\"125\"", "\"Microsoft Edge\";v=\"126\""}},
        {"sec-ch-ua-mobile", {"?0", "?1", "?2"}},
        {"sec-ch-ua-platform", {"\"Windows\"", "\"Android\"", "\"macOS\""}},
        {"Sec-Fetch-Site", {"none", "same-origin", "cross-site"}},
        {"Sec-Fetch-Mode", {"navigate", "cors", "no-cors"}},
        {"Sec-Fetch-Dest", {"document", "empty", "style"}},
        {"Upgrade-Insecure-Requests", {"1", "2", "3"}},
        {"Content-Type", {"text/plain", "application/json", ""}},
        {"Cookie", {"a=b", "c=d", "e"}},
        {"Origin", {"https://example.com", "null", "x"}},
        {"Range", {"bytes=0-", "bytes=1-", "bytes=2-"}},
    };
    enum { N = sizeof headers / sizeof *headers };
    static const char *const fields[8][4] = {
        {"192.0.2.1", "127.0.0.1", "::1", "unix:"}, {"GET", "POST", "PUT", "OPTIONS"}, {"/a", "/a.css", "/.well-known/a", "/a.png"},
        {"HTTP/1.1", "HTTP/2.0", "HTTP/1.0", ""}, {"https", "http", "", "ws"}, {"www.example.com", "localhost:80", "a.localhost", "127.0.0.1"},
        {"Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
         "Mozilla/5.0 (X11; Linux; rv:128.0) Gecko/20100101 Firefox/128.0", "curl/8.5.0", "Opera/9.80 (X11) Presto/2.12"},
        {"", "https://www.example.com/", "https://www.EXAMPLE.org:80/b", "https://wwx.example.com/"},
    };
    const unsigned program = draw & 3, what = draw >> 8 & 63, other = draw >> 16 & 63;
    uint8_t choice[8] = {0}, value[N] = {0}, order[N];
    bool left_out[N] = {false};
    for (uint8_t i = 0; i < N; i++)
        order[i] = i;
    for (int turn = 0; turn < 2; turn++) {
        const unsigned at = turn ? other : what, to = (unsigned)(draw >> (24 + 2 * turn) & 3);
        if (at < 8)
            choice[at] = (uint8_t)to;
        else if (at < 8 + N)
            value[at - 8] = (uint8_t)(to % 3);
        else if (at < 8 + 2 * N)
            left_out[at - 8 - N] = true;
        else if (at < 8 + 2 * N + N - 1)
            order[at - 8 - 2 * N] = (uint8_t)(at - 8 - 2 * N + 1), order[at - 8 - 2 * N + 1] = (uint8_t)(at - 8 - 2 * N);
    }
    xb_span *const to[] = {&r->ip, &r->method, &r->uri, &r->protocol, &r->scheme, &r->host, &r->agent, &r->referrer};
    xb_request_clear(r);
    for (size_t i = 0; i < 8; i++) {
        const char *text = fields[i][i == 6 && !choice[i] ? program : choice[i]];
        *to[i] = (xb_span){text, strlen(text)};
    }
    r->present = draw >> 32 & 7 ? ALL | XB_HAS_CASE : (uint32_t)(draw >> 36) & (ALL | XB_HAS_CASE);
    r->malformed = (draw >> 50 & 15) == 0;
    for (size_t i = 0; i < N; i++) {
        const size_t which = order[i];
        const char *text = headers[which].values[value[which]];
        static const char *const small[] = {"accept", "accept-encoding"};
        const char *name = which < 2 && (draw >> 54 & 7) == 0 ? small[which] : headers[which].name;
        if (!left_out[which] && (which < 10 || program == which % 4))
            xb_request_add(r, (xb_span){name, strlen(name)}, (xb_span){text, strlen(text)});
    }
    xb_request_add(r, XB_SPAN("User-Agent"), r->agent);
}

/* What is kept with a print is what a request gets that is the first of its print: rows, contradictions, words, margin and reason. */
static void prints(void)
{
    static xb_workspace kept, fresh;
    uint64_t draw = 7;
    uint32_t known = 0;
    for (int turn = 0; turn < 40000; turn++) {
        draw = xb_mix(draw + XB_GOLDEN);
        request_of(&kept.request, draw);
        xb_judge(the_model(), &kept);
        known += kept.vector.print != NULL;
        check_judged(&kept);
        forget(&fresh.vector);
        request_of(&fresh.request, draw);
        xb_judge(the_model(), &fresh);
        CHECK(!fresh.vector.print && same_vector(&kept.vector, &fresh.vector));
        CHECK(kept.verdict.margin == fresh.verdict.margin && kept.verdict.reason == fresh.verdict.reason);
        CHECK(kept.vector.facts.odd == fresh.vector.facts.odd && kept.vector.facts.accept.marks == fresh.vector.facts.accept.marks);
    }
    CHECK(known > 10000); /* or nothing was tried */
}

/* A family that a model did not learn falls into no bucket, and takes none from another. */
static void families(void)
{
    static xb_workspace w;
    request_with(&w.request, 99, XB_SPAN(""));
    xb_request_add(&w.request, XB_SPAN("Accept"), XB_SPAN("*/*"));
    for (uint32_t learnt = 0; learnt <= XB_ALL_FAMILIES; learnt++) {
        xb_shape shape = xb_shape_of(IMAGE_K, learnt, (xb_hosts){NULL, 0});
        uint32_t found = 0;
        xb_featurize(&w.request, &shape, &w.vector);
        for (uint32_t t = 0; t < w.vector.n_tokens; t++)
            found |= 1u << w.vector.tokens[t].family;
        CHECK_EQUAL(found, learnt);
    }
}

/* More words than the bounds: counted, cut, and said so; nothing is left for the next request. */
static void too_many_words(void)
{
    static xb_workspace w;
    static char text[XB_MAX_HEAD];
    size_t size = 0;
    for (int i = 0; size + 8 < sizeof text; i++)
        size += (size_t)snprintf(text + size, 8, "w%x/", i);
    for (int place = 0; place < PLACES; place++) {
        request_with(&w.request, place, (xb_span){at_end(text, size), size});
        if (place == 5)
            for (int i = 0; i < XB_MAX_HEADERS; i++)
                xb_request_add(&w.request, (xb_span){text + 5 * i, 5}, XB_SPAN("v"));
        xb_judge(the_model(), &w);
        check_judged(&w);
    }
    request_with(&w.request, 99, XB_SPAN(""));
    xb_judge(the_model(), &w);
    check_judged(&w);
}

/* Text of tokens: within its room, zero-ended, whatever the room. */
static void token_text(void)
{
    static xb_workspace w;
    request_with(&w.request, 0, XB_SPAN("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"));
    xb_request_add(&w.request, XB_SPAN("Accept"), XB_SPAN("a\r\nb\"c\\d \x80"));
    xb_judge(the_model(), &w);
    for (uint32_t t = 0; t < w.vector.n_tokens; t++)
        for (size_t size = 1; size < 80; size++) {
            char *out = room(size);
            size_t n = xb_token_text(&w.vector, &w.vector.tokens[t], out, size);
            CHECK(n < size && strlen(out) == n && safe_text(out, n));
        }
    int networks = 0;
    bool value = false;
    for (uint32_t t = 0; t < w.vector.n_tokens; t++) {
        char text[80];
        size_t n = xb_token_text(&w.vector, &w.vector.tokens[t], text, sizeof text);
        networks += w.vector.tokens[t].family == XB_T_ip_net;
        if (w.vector.tokens[t].family == XB_T_ip_net && w.vector.tokens[t].word == 48)
            CHECK_TEXT(((xb_span){text, n}), "2001:db8:ffff::/48");
        if (w.vector.tokens[t].family == XB_T_hdr_value) {
            value = true;
            CHECK_TEXT(((xb_span){text, n}), "accept:a__b_c_d__");
        }
    }
    CHECK_EQUAL(networks, 3);
    CHECK(value);
}

int main(void)
{
    xb_init();
    xb_init(); /* a second time changes nothing */
    texts_at_edges();
    known_texts();
    absent_groups();
    remembered();
    another_model();
    agents();
    word_ends();
    orders();
    prints();
    families();
    too_many_words();
    token_text();
    return done("features");
}
