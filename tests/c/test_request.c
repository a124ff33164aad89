/* Request heads: the cases of tests/data/heads.tsv whole, in every prefix and byte by byte, at both edges of readable
 * memory; then what a table cannot list: every byte value in every place, and the bounds. */
#include "harness.h"
#include "invariants.h"
#include "model_image.h"

static const char next[] = "GET /next HTTP/1.1\r\nHost: next\r\n\r\n";

static bool same_span(xb_span a, xb_span b)
{
    return !a.at == !b.at && a.size == b.size && (!a.size || memcmp(a.at, b.at, a.size) == 0);
}

/* Everything that a parse tells. */
static bool same_request(const xb_request *a, const xb_request *b)
{
    if (a->present != b->present || memcmp(a->seen, b->seen, sizeof a->seen) != 0 || a->n_headers != b->n_headers || a->malformed != b->malformed ||
        a->truncated != b->truncated || a->keepalive != b->keepalive || a->body != b->body)
        return false;
    if (!same_span(a->method, b->method) || !same_span(a->uri, b->uri) || !same_span(a->protocol, b->protocol) ||
        !same_span(a->agent, b->agent) || !same_span(a->referrer, b->referrer) || !same_span(a->host, b->host))
        return false;
    for (int id = 0; id < XB_H_COUNT; id++)
        if (!same_span(xb_value(a, (xb_header_id)id), xb_value(b, (xb_header_id)id)))
            return false;
    for (uint32_t i = 0; i < a->n_headers; i++)
        if (!same_span(a->headers[i].name, b->headers[i].name) || !same_span(a->headers[i].value, b->headers[i].value) ||
            a->headers[i].id != b->headers[i].id ||
            a->headers[i].visitor != b->headers[i].visitor)
            return false;
    return true;
}

static bool inside(const xb_request *r, const char *buf, size_t size)
{
    bool ok = span_inside(r->method, buf, size) && span_inside(r->uri, buf, size) && span_inside(r->protocol, buf, size);
    for (uint32_t i = 0; i < r->n_headers; i++)
        ok = ok && span_inside(r->headers[i].name, buf, size) && span_inside(r->headers[i].value, buf, size);
    return ok;
}

/* Every prefix as the first read of a connection, and the head in pieces of some sizes: with each byte it is what the prefix is. */
static void in_pieces(const char *head, size_t size, long want)
{
    static xb_request r;
    static signed char whole[MAX_ROW + 1];
    for (size_t n = 0; n < size; n++) {
        long got = xb_request_parse(&r, at_end(head, n), n, 0);
        CHECK(got == XB_PARTIAL || (got == XB_BAD && want == XB_BAD));
        CHECK(!n || whole[n - 1] != XB_BAD || got == XB_BAD); /* what is broken does not mend */
        whole[n] = (signed char)got;
    }
    for (size_t step = 1; step <= 101; step += step < 10 ? 3 : 13) {
        long got = XB_PARTIAL;
        for (size_t seen = 0, n; seen < size && got == XB_PARTIAL; seen = n) {
            n = seen + step < size ? seen + step : size;
            got = xb_request_parse(&r, at_end(head, n), n, seen);
            CHECK_EQUAL(got, n == size ? want : whole[n]);
        }
        CHECK_EQUAL(got, want);
    }
}

static void table_of_heads(const char *path)
{
    static table t;
    static xb_request r, fresh, grown;
    static char head[MAX_ROW + sizeof next];
    int rows = 0;
    table_open(&t, path);
    for (; table_next(&t); rows++) {
        if (!CHECK(t.n == 6))
            continue;
        const char *outcome = t.column[1];
        size_t size = unescape_cell(t.column[5]);
        memcpy(head, t.column[5], size);
        long want = strcmp(outcome, "ok") == 0 ? (long)size : strcmp(outcome, "bad") == 0 ? XB_BAD : XB_PARTIAL;
        for (int edge = 0; edge < 2; edge++) {
            const char *buf = placements[edge](head, size);
            memset(&fresh, 0, sizeof fresh);
            CHECK_EQUAL(xb_request_parse(&r, buf, size, 0), want);
            CHECK_EQUAL(xb_request_parse(&fresh, buf, size, 0), want);
            if (want <= 0)
                continue;
            CHECK(same_request(&r, &fresh)); /* nothing is left of the row before */
            CHECK(inside(&r, buf, size));
            CHECK_EQUAL(r.n_headers, atoi(t.column[3]));
            CHECK_EQUAL(r.malformed, atoi(t.column[4]));
            CHECK_EQUAL(r.keepalive && !r.body, strcmp(t.column[2], "keep") == 0);
            CHECK(!r.truncated);
        }
        in_pieces(head, size, want);
        if (want > 0) { /* what is pipelined behind it changes nothing */
            memcpy(head + size, next, sizeof next - 1);
            CHECK_EQUAL(xb_request_parse(&grown, at_end(head, size + sizeof next - 1), size + sizeof next - 1, 0), want);
            CHECK_EQUAL(xb_request_parse(&r, at_start(head, size), size, 0), want);
            CHECK(grown.n_headers == r.n_headers && grown.malformed == r.malformed);
            CHECK(xb_head_end(head, size, 0) <= size);
        }
    }
    CHECK(rows > 70);
}

/* Every byte but a line feed passes where a visitor can put it. */
static void every_byte(void)
{
    static xb_request r;
    for (int c = 0; c < 256; c++) {
        if (c == '\n')
            continue;
        char head[128], name[16];
        snprintf(name, sizeof name, "byte %02x", c);
        case_name = name;
        int n = snprintf(head, sizeof head, "GET /a%cb HTTP/1.1\r\nX-A: a%cb\r\nX%cA: v\r\nUser-Agent: %c\r\n\r\n", c, c, c, c);
        CHECK_EQUAL(xb_request_parse(&r, at_end(head, (size_t)n), (size_t)n, 0), n);
        char value[] = {'a', (char)c, 'b'}, target[] = {'/', 'a', (char)c, 'b'};
        CHECK(same_span(r.uri, (xb_span){target, 4}));
        if (CHECK(r.n_headers == 3)) {
            CHECK(same_span(r.headers[0].value, (xb_span){value, 3}));
            CHECK_EQUAL(r.headers[1].name.size, c == ':' ? 1 : 3);
        }
        bool blank = c == ' ' || c == '\t' || c == '\r'; /* the last is taken for a part of the line's end below */
        CHECK_EQUAL(r.agent.size, c == '\r' ? 1 : !blank);
    }
    case_name = "";
}

static void values(void)
{
    static xb_request r;
    const char head[] = "POST  /x?y  HTTP/1.1\r\nhOST:  \t one \t two\t \r\nHost: second\r\nuser-AGENT: \tfirst\r\nUser-Agent: x\r\nReferer:\r\n\r\n";
    CHECK_EQUAL(xb_request_parse(&r, head, sizeof head - 1, 0), sizeof head - 1);
    CHECK_TEXT(r.method, "POST");
    CHECK_TEXT(r.uri, " /x?y ");
    CHECK_TEXT(r.protocol, "HTTP/1.1");
    CHECK_TEXT(r.host, "one \t two");
    CHECK_TEXT(r.agent, "first");
    CHECK_TEXT(r.referrer, "");
    CHECK_TEXT(r.headers[1].value, "second");
    CHECK(!xb_value(&r, XB_H_ACCEPT).at);
    CHECK(r.headers[0].id == XB_H_HOST && !r.headers[0].visitor && r.headers[2].visitor);
    CHECK_EQUAL(r.present, XB_HAS_UA | XB_HAS_REFERRER | XB_HAS_URL | XB_HAS_HEADERS | XB_HAS_ORDER | XB_HAS_CASE);
}

/* Each name of headers.def is found, in any case; a name that differs by one byte is another. */
static void names(void)
{
    static const char *const known[] = {
#define XB_HEADER(id, name, role) name,
#include "request/headers.def"
#undef XB_HEADER
    };
    static xb_request r;
    for (int i = 0; i < XB_H_COUNT; i++) {
        case_name = known[i];
        char name[64];
        size_t n = strlen(known[i]);
        for (size_t j = 0; j <= n; j++)
            name[j] = (char)(known[i][j] >= 'a' && known[i][j] <= 'z' && j % 2 ? known[i][j] - 32 : known[i][j]);
        xb_request_clear(&r);
        xb_request_add(&r, (xb_span){name, n}, XB_SPAN("v"));
        CHECK(r.headers[0].id == i && xb_has(&r, (xb_header_id)i));
        for (size_t j = 0; j < n; j++)
            for (int bit = 0; bit < 8; bit++) {
                char good = name[j];
                name[j] ^= (char)(1 << bit);
                if (xb_lower(name[j]) != known[i][j]) { /* another name; the hash alone does not see bit 5 */
                    r.n_headers = 1;
                    xb_request_add(&r, (xb_span){at_end(name, n), n}, XB_SPAN("v"));
                    CHECK_EQUAL(r.headers[1].id, XB_H_OTHER);
                    CHECK(r.headers[1].visitor);
                }
                name[j] = good;
            }
    }
    case_name = "";
}

static void too_many_headers(void)
{
    static xb_request r;
    for (size_t n = XB_MAX_HEADERS - 1; n <= XB_MAX_HEADERS + 2; n++) {
        size_t size;
        char *head = repeated("GET / HTTP/1.1\r\n", "X-A: b\r\n", n, "User-Agent: last\r\n\r\n", &size);
        CHECK_EQUAL(xb_request_parse(&r, at_end(head, size), size, 0), size);
        CHECK_EQUAL(r.n_headers, XB_MAX_HEADERS);
        CHECK_EQUAL(r.truncated, n + 1 > XB_MAX_HEADERS);
        CHECK_TEXT(r.agent, "last");
        free(head);
    }
}

/* Known names on both sides of the bound: the first of each counts, of X-Forwarded-For the last is known, too. */
static void known_headers_past_the_bound(void)
{
    static xb_request r;
    static const struct {
        const char *before, *behind, *first, *last;
        bool differ;
    } cases[] = {
        {"", "X-Forwarded-For: a\r\n", "a", "a", false},
        {"", "X-Forwarded-For: a\r\nx-forwarded-for: a\r\n", "a", "a", false},
        {"", "X-Forwarded-For: a\r\nX-A: b\r\nx-forwarded-for: b\r\n", "b", "b", true}, /* the place is the last one's */
        {"X-Forwarded-For: a\r\n", "X-Forwarded-For: b\r\nX-Forwarded-For: c\r\n", "a", "c", true},
        {"X-Forwarded-For: a\r\n", "X-Forwarded-For: b\r\nX-Forwarded-For: a\r\n", "a", "a", true},
        {"X-Forwarded-For: a\r\nX-Forwarded-For: b\r\n", "", "a", "b", true},
        {"X-Forwarded-For: a\r\nX-Forwarded-For: a\r\n", "", "a", "a", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char begin[256], end[256];
        size_t size;
        case_name = cases[i].behind;
        snprintf(begin, sizeof begin, "GET / HTTP/1.1\r\n%s", cases[i].before);
        snprintf(end, sizeof end, "%sReferer: r\r\nreferer: s\r\n\r\n", cases[i].behind);
        char *head = repeated(begin, "X-A: b\r\n", XB_MAX_HEADERS, end, &size);
        CHECK_EQUAL(xb_request_parse(&r, at_end(head, size), size, 0), size);
        CHECK_EQUAL(r.n_headers, XB_MAX_HEADERS);
        CHECK(r.truncated && !r.keepalive);
        CHECK_TEXT(r.referrer, "r");
        CHECK(xb_differ(&r, XB_H_REFERER));
        CHECK_EQUAL(xb_differ(&r, XB_H_X_FORWARDED_FOR), cases[i].differ);
        xb_span first = xb_value(&r, XB_H_X_FORWARDED_FOR);
        xb_span last = cases[i].differ ? r.headers[r.last_forwarded].value : first;
        check_text(first, (xb_span){cases[i].first, 1}, __FILE__, __LINE__, "first");
        check_text(last, (xb_span){cases[i].last, 1}, __FILE__, __LINE__, "last");
        free(head);
    }
    case_name = "";
}

/* Framing counts beyond the 256th header, too: what is behind a head that announces a body is no request. */
static void body_behind_many_headers(void)
{
    static xb_request r;
    const char *const bodies[] = {"Content-Length: 5\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n", "Connection: close\r\n\r\n"};
    for (int i = 0; i < 3; i++) {
        case_name = bodies[i];
        size_t size;
        char *head = repeated("GET / HTTP/1.1\r\n", "X-A: b\r\n", XB_MAX_HEADERS, bodies[i], &size);
        long got = xb_request_parse(&r, at_end(head, size), size, 0);
        CHECK(got == XB_BAD || (got == (long)size && (r.body || !r.keepalive)));
        free(head);
    }
    case_name = "";
}

/* A head beyond the bound: its whole lines count, the one that is cut does not. */
static void too_long(void)
{
    static xb_request r;
    size_t size;
    char *head = repeated("GET / HTTP/1.1\r\nUser-Agent: first\r\nX-Long: ", "0123456789abcdef", 5000, "\r\nX-Last: 1\r\n\r\n", &size);
    CHECK_EQUAL(xb_request_parse(&r, at_end(head, XB_MAX_HEAD), XB_MAX_HEAD, 0), XB_PARTIAL);
    CHECK_EQUAL(xb_request_parse_truncated(&r, at_end(head, XB_MAX_HEAD), XB_MAX_HEAD), XB_MAX_HEAD);
    CHECK(r.truncated && !r.keepalive);
    CHECK_EQUAL(r.n_headers, 1);
    CHECK_TEXT(r.agent, "first");
    CHECK_EQUAL(r.missing, 0);
    free(head);
    head = repeated("GET / HTTP/1.1\r\n", "X-A: b\r\n", 200, "\r\n", &size);
    for (size_t cut = 16; cut < size; cut++) { /* the same at each place of a line */
        CHECK_EQUAL(xb_request_parse_truncated(&r, at_end(head, cut), cut), cut);
        CHECK_EQUAL(r.n_headers, (cut - 16) / 8);
        CHECK_EQUAL(r.missing, XB_HAS_UA); /* it may stand behind the cut */
    }
    for (size_t cut = 0; cut < 16; cut++)
        CHECK_EQUAL(xb_request_parse_truncated(&r, at_end(head, cut), cut), XB_BAD);
    free(head);
}

/* Nothing of the head before, or of half a head, is left where no whole head was found. */
static void nothing_is_left(void)
{
    static const xb_request empty;
    static xb_request r;
    static const char good[] = "GET /?ip=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nReferer: c\r\nContent-Length: 1\r\nno colon\r\nHost: d\r\n\r\n";
    static const char broken[] = "GET / HTTP/1.1\r\nUser-Agent: b\r\nContent-Length: x\r\n\r\n";
    static const char *const heads[] = {"", "\r\n", "GET", "GET / HTTP/1.1\r\nHost: a\r\n", "nonsense\r\n\r\n", broken, good};
    char scratch[64];
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        for (size_t seen = 0; seen < 3; seen++) {
            const size_t size = strlen(heads[i]) - (heads[i] == good);
            CHECK(xb_request_parse(&r, good, sizeof good - 1, 0) > 0);
            xb_dialect_apply(XB_DIALECT_CHALLENGE, &r, scratch);
            CHECK(r.n_headers && r.status_only);
            const long used = seen == 2 ? xb_request_parse_truncated(&r, heads[i], i < 5 ? size / 8 : 0)
                                        : xb_request_parse(&r, heads[i], size, seen ? size : 0);
            CHECK(used == XB_PARTIAL || used == XB_BAD);
            CHECK(same_request(&r, &empty) && !r.missing && !r.required && !r.ip.at && !r.policy.at && !r.scheme.at && !r.status_only);
        }
}

/* A name that is longer than any known one; and one that comes more often than there is room, also where it is expected by then. */
static void long_and_often(void)
{
    static xb_request r;
    static const char head[] = "GET / HTTP/1.1\r\nX-A-Name-That-Is-Longer-Than-Each-Of-Those-That-Mean-Something-Here: 1\r\n"
                               "X-Other: a value that makes the line long enough for a whole load\r\nHost: a\r\n\r\n";
    CHECK(xb_request_parse(&r, at_end(head, sizeof head - 1), sizeof head - 1, 0) == sizeof head - 1);
    CHECK_EQUAL(r.n_headers, 3);
    CHECK(r.headers[0].id == XB_H_OTHER && r.headers[2].id == XB_H_HOST);
    size_t size;
    char *often = repeated("GET / HTTP/1.1\r\n", "Accept: a\r\n", XB_MAX_HEADERS + 6, "\r\n", &size);
    for (int turn = 0; turn < 2; turn++) {
        CHECK(xb_request_parse(&r, often, size, 0) == (long)size);
        CHECK(r.n_headers == XB_MAX_HEADERS && r.truncated && xb_place(&r, XB_H_ACCEPT) == 0);
    }
    free(often);
    xb_request_clear(&r); /* and header by header, as from a record */
    for (int i = 0; i < XB_MAX_HEADERS; i++)
        xb_request_add(&r, XB_SPAN("Accept"), XB_SPAN("a"));
    xb_request_add(&r, XB_SPAN("Cookie"), XB_SPAN("b"));
    CHECK(r.n_headers == XB_MAX_HEADERS && xb_has(&r, XB_H_COOKIE) && xb_place(&r, XB_H_COOKIE) >= XB_MAX_HEADERS);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    xb_init();
    table_of_heads(argv[1]);
    every_byte();
    values();
    names();
    too_many_headers();
    known_headers_past_the_bound();
    body_behind_many_headers();
    too_long();
    nothing_is_left();
    long_and_often();
    return done("request");
}
