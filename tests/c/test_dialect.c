/* Dialects: what each makes of its proxy's question, of one that lacks everything, and of one in which the visitor forges. */
#include "harness.h"

#include "request/dialect.h"
#include "request/fields.h"

static xb_request r;
static char scratch[XB_MAX_HEAD];

/* The visitor's request, from the question at the edge of readable memory. */
static void question(xb_dialect dialect, const char *head)
{
    size_t size = strlen(head);
    case_name = xb_dialects[dialect].name;
    CHECK_EQUAL(xb_request_parse(&r, at_end(head, size), size, 0), size);
    xb_dialect_apply(dialect, &r, scratch);
}

static uint32_t visitors(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r.n_headers; i++)
        n += r.headers[i].visitor;
    return n;
}

#define ABSENT(span) CHECK(!(span).at)

/* What the proxy did not send is absent, whatever the visitor sent for another dialect. */
static void nothing_said(void)
{
    for (xb_dialect d = 0; d < XB_DIALECT_COUNT; d++) {
        question(d, "GET / HTTP/1.1\r\nHost: proxy\r\nUser-Agent: a\r\n\r\n");
        ABSENT(r.ip);
        ABSENT(r.policy);
        ABSENT(r.scheme);
        CHECK(!(r.present & XB_HAS_IP));
        bool own_target = d == XB_DIALECT_EXT_AUTHZ || d == XB_DIALECT_CHALLENGE;
        CHECK(own_target || (!r.uri.at && !r.method.at && !r.protocol.at && !r.host.at && !(r.present & XB_HAS_URL)));
        bool ordered = d == XB_DIALECT_NGINX || d == XB_DIALECT_INGRESS_NGINX;
        CHECK(ordered == !!(r.present & XB_HAS_ORDER));
    }
}

static void ingress_nginx(void)
{
    const xb_dialect d = XB_DIALECT_INGRESS_NGINX;
    question(d, "GET /?policy=login HTTP/1.1\r\nHost: xbot.xbot.svc:9401\r\nX-Original-URL: https://a.example:8443/b/c?d=http://e/f\r\n"
                "X-Original-Method: POST\r\nX-Sent-From: nginx-ingress-controller\r\nX-Real-IP: 2001:db8::1\r\nX-Forwarded-For: 2001:db8::1\r\n"
                "X-Auth-Request-Redirect: /b/c\r\nX-Scheme: https\r\nX-Bot-Policy: forged\r\nUser-Agent: a\r\nX-Own: b\r\n\r\n");
    CHECK_TEXT(r.ip, "2001:db8::1");
    CHECK_TEXT(r.method, "POST");
    CHECK_TEXT(r.scheme, "https");
    CHECK_TEXT(r.host, "a.example:8443");
    CHECK_TEXT(r.uri, "/b/c?d=http://e/f");
    CHECK_TEXT(r.policy, "login");
    ABSENT(r.protocol);
    CHECK_EQUAL(visitors(), 2);
    question(d, "GET / HTTP/1.1\r\nX-Original-URL: http:///no/host\r\n\r\n");
    CHECK_TEXT(r.host, "");
    CHECK_TEXT(r.uri, "/no/host");
    question(d, "GET / HTTP/1.1\r\nX-Original-URL: http://no.path\r\n\r\n");
    CHECK_TEXT(r.host, "no.path");
    CHECK_TEXT(r.uri, "");
    question(d, "GET / HTTP/1.1\r\nX-Original-URL: /only?a=http://path\r\n\r\n");
    CHECK_TEXT(r.uri, "/only?a=http://path");
    ABSENT(r.scheme);
    ABSENT(r.host);
    static const char *const broken[] = {"/", ":/", "://", "a:/", ":", "//", "a/b", "a:/b"};
    char head[64];
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        snprintf(head, sizeof head, "GET / HTTP/1.1\r\nX-Original-URL:%s\r\n\r\n", broken[i]);
        question(d, head);
        CHECK(r.uri.at && (r.present & XB_HAS_URL));
    }
}

static void forward_auth(void)
{
    const xb_dialect d = XB_DIALECT_FORWARD_AUTH;
    question(d, "GET /?policy=p HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nX-Bot-Policy: forged\r\nX-Real-Ip: 6.6.6.6\r\nX-Original-Order: forged\r\n"
                "X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\nX-Forwarded-Method: PUT\r\nX-Forwarded-Uri: /c?policy=forged\r\n"
                "X-Forwarded-Proto: http\r\nX-Forwarded-Host: d.example\r\n\r\n");
    CHECK_TEXT(r.ip, "192.0.2.1");
    CHECK_TEXT(r.method, "PUT");
    CHECK_TEXT(r.uri, "/c?policy=forged");
    CHECK_TEXT(r.scheme, "http");
    CHECK_TEXT(r.host, "d.example");
    CHECK_TEXT(r.policy, "p");
    ABSENT(r.protocol);
    CHECK(!(r.present & XB_HAS_ORDER) && (r.present & XB_HAS_HEADERS));

    static const struct {
        const char *header, *ip;
    } chains[] = {
        {"X-Forwarded-For: 192.0.2.1", "192.0.2.1"},
        {"X-Forwarded-For: 6.6.6.6,\t 192.0.2.1 ", "192.0.2.1"},
        {"X-Forwarded-For: 6.6.6.6\r\nA: b\r\nX-Forwarded-For: 7.7.7.7,2001:db8::2", "2001:db8::2"},
        {"X-Forwarded-For: 6.6.6.6, ", ""},
        {"X-Forwarded-For:", ""},
        {"X-Forwarded-For: ,", ""},
    };
    char head[256];
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        snprintf(head, sizeof head, "GET / HTTP/1.1\r\n%s\r\n\r\n", chains[i].header);
        question(d, head);
        check_text(r.ip, (xb_span){chains[i].ip, strlen(chains[i].ip)}, __FILE__, __LINE__, chains[i].header);
    }
}

static void ext_authz(void)
{
    const xb_dialect d = XB_DIALECT_EXT_AUTHZ;
    question(d, "PUT /a?policy=forged HTTP/1.1\r\nhost: b.example\r\ncontent-length: 0\r\nzeta: 1\r\nalpha: 2\r\nx-forwarded-for: 6.6.6.6,10.0.0.1\r\n"
                "x-forwarded-proto: https\r\nx-envoy-external-address: 192.0.2.1\r\nx-request-id: c\r\nx-bot: unknown\r\nx-real-ip: 192.0.2.1\r\n"
                "x-original-protocol: HTTP/2\r\nx-original-order: kept\r\nx-bot-policy: login\r\nx-envoy-internal: true\r\n\r\n");
    CHECK_TEXT(r.ip, "192.0.2.1");
    CHECK_TEXT(r.method, "PUT");
    CHECK_TEXT(r.uri, "/a?policy=forged");
    CHECK_TEXT(r.protocol, "HTTP/2");
    CHECK_TEXT(r.scheme, "https");
    CHECK_TEXT(r.host, "b.example");
    CHECK_TEXT(r.policy, "login");
    CHECK(r.present & XB_HAS_ORDER);
    CHECK_EQUAL(visitors(), 2);
    CHECK(r.keepalive && !r.body);
}

static void haproxy(void)
{
    const xb_dialect d = XB_DIALECT_HAPROXY;
    question(d, "GET /?a=b&&policy=login&policy=no HTTP/1.1\r\nX-Real-IP: 192.0.2.1\r\nX-Original-Method: OPTIONS\r\nX-Original-URI: *\r\n"
                "X-Original-Protocol: HTTP/2.0\r\nX-Original-Scheme: https\r\nX-Original-Host: b\r\nX-Original-Order: kept\r\nhost: forged\r\n"
                "x-real-ip: 6.6.6.6\r\nx-original-uri: /forged\r\nx-original-host: forged\r\nx-bot-policy: forged\r\naccept: */*\r\n\r\n");
    CHECK_TEXT(r.ip, "192.0.2.1");
    CHECK_TEXT(r.method, "OPTIONS");
    CHECK_TEXT(r.uri, "*");
    CHECK_TEXT(r.protocol, "HTTP/2.0");
    CHECK_TEXT(r.scheme, "https");
    CHECK_TEXT(r.host, "b");
    CHECK_TEXT(r.policy, "login");
    CHECK(r.present & XB_HAS_ORDER);
    CHECK_EQUAL(visitors(), 1);
}

/* X-TLS-* and X-Connection are the proxy's where the dialect's proxy writes them, and nobody's elsewhere. */
static void handshakes(void)
{
    static const char head[] = "GET / HTTP/1.1\r\nX-TLS-Protocol: TLSv1.3\r\nX-TLS-Ciphers: 0x1301\r\nX-TLS-Curves: X25519\r\nX-TLS-ALPN: h2\r\n"
                               "X-TLS-Reused: .\r\nX-TLS-Sigalgs: 0x0403\r\nX-Connection: 4-5-6\r\nX-Real-IP: 192.0.2.1\r\nAccept: a\r\n";
    char full[1024];
    for (xb_dialect d = 0; d < XB_DIALECT_COUNT; d++) {
        const bool told = d == XB_DIALECT_NGINX || d == XB_DIALECT_HAPROXY;
        for (int lost = 0; lost < 2; lost++) {
            snprintf(full, sizeof full, "%s%s\r\n", head, lost ? "X-Original-Order: lost\r\n" : "");
            question(d, full);
            CHECK_EQUAL(visitors(), 1);
            CHECK_EQUAL(!!(r.present & XB_HAS_TLS), told && !lost);
            CHECK_EQUAL(r.connection.requests, told && !lost ? 6 : 0);
            if (told && !lost) {
                CHECK_TEXT(r.tls.protocol, "TLSv1.3");
                CHECK_TEXT(r.tls.ciphers, "0x1301");
                CHECK_TEXT(r.tls.curves, "X25519");
                CHECK_TEXT(r.tls.alpn, "h2");
                CHECK_TEXT(r.tls.reused, ".");
                CHECK_TEXT(r.tls.sigalgs, "0x0403");
                CHECK(r.connection.process == 4 && r.connection.serial == 5);
            } else {
                CHECK(!xb_tls_said(&r.tls));
            }
        }
    }
    /* Empty is how a proxy says nothing; two that differ are not from one that writes over what it gets. */
    question(XB_DIALECT_NGINX, "GET / HTTP/1.1\r\nX-TLS-Ciphers:\r\nX-Connection:\r\n\r\n");
    CHECK(!(r.present & XB_HAS_TLS) && !r.connection.requests);
    question(XB_DIALECT_NGINX, "GET / HTTP/1.1\r\nX-TLS-Ciphers: 0x1301\r\nX-TLS-Ciphers: 0x1302\r\nX-Connection: 1-2-3\r\nX-Connection: 1-2-4\r\n\r\n");
    CHECK(!(r.present & XB_HAS_TLS) && !r.connection.requests);
    question(XB_DIALECT_HAPROXY, "GET / HTTP/1.1\r\nX-TLS-Ciphers: 0x1301\r\nx-tls-ciphers: 0x1302\r\n\r\n");
    CHECK_TEXT(r.tls.ciphers, "0x1301");
}

/* A visitor's own X-Original-Order is nothing where the proxy's files write none: it would take order and scheme out of the evidence. */
static void orders(void)
{
    static const struct {
        bool scheme, kept, said, lost; /* does it tell the scheme; is the order there without the header, with "kept", with "lost" */
    } wanted[XB_DIALECT_COUNT] = {
        [XB_DIALECT_NGINX] = {true, true, true, false},         [XB_DIALECT_INGRESS_NGINX] = {true, true, true, true},
        [XB_DIALECT_FORWARD_AUTH] = {true, false, false, false}, [XB_DIALECT_EXT_AUTHZ] = {true, false, true, false},
        [XB_DIALECT_HAPROXY] = {true, false, true, false},      [XB_DIALECT_CHALLENGE] = {false, false, false, false},
    };
    static const char head[] = "GET / HTTP/1.1\r\n%sX-Original-URL: https://a/\r\nX-Original-Scheme: https\r\nX-Forwarded-Proto: https\r\n\r\n";
    char full[256];
    for (xb_dialect d = 0; d < XB_DIALECT_COUNT; d++) {
        const char *const headers[] = {"", "X-Original-Order: kept\r\n", "X-Original-Order: lost\r\n"};
        const bool held[] = {wanted[d].kept, wanted[d].said, wanted[d].lost};
        const bool hears = d == XB_DIALECT_NGINX || d == XB_DIALECT_EXT_AUTHZ || d == XB_DIALECT_HAPROXY;
        for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
            snprintf(full, sizeof full, head, headers[i]);
            question(d, full);
            CHECK_EQUAL(!!(r.present & XB_HAS_ORDER), held[i]);
            CHECK_EQUAL(r.scheme.size != 0, wanted[d].scheme && !(hears && i == 2));
        }
    }
}

/* Each required header alone decides what is missing: not there, empty, or there twice and different. */
static void required(void)
{
    enum { LINE = 64 };
    for (xb_dialect d = 0; d < XB_DIALECT_COUNT; d++) {
        const xb_dialect_row *row = &xb_dialects[d];
        size_t n = 0;
        uint32_t all = 0;
        while (n < XB_MAX_REQUIRED && row->required[n].part)
            all |= row->required[n++].part;
        for (size_t which = 0; which <= n; which++)
            for (int how = 0; how < 4; how++) {
                char head[512] = "GET / HTTP/1.1\r\n", line[LINE];
                for (size_t i = 0; i < n; i++) {
                    static const char *const names[XB_H_COUNT] = {
#define XB_HEADER(id, name, role) [XB_H_##id] = name,
#include "request/headers.def"
#undef XB_HEADER
                    };
                    const char *name = names[row->required[i].id];
                    if (i != which || how >= 2) {
                        snprintf(line, sizeof line, "%s: /x\r\n", name);
                        strcat(head, line);
                    }
                    if (i == which && how >= 1) {
                        snprintf(line, sizeof line, "%s:%s\r\n", name, how == 1 ? "" : how == 2 ? " /y" : " /x");
                        strcat(head, line);
                    }
                }
                strcat(head, "\r\n");
                question(d, head);
                CHECK_EQUAL(r.required, all);
                bool several_matter = row->writes == XB_WRITES_OVER && which < n && row->required[which].id != XB_H_X_FORWARDED_FOR;
                bool is_missing = which < n && (how < 2 || (how == 2 && several_matter));
                CHECK_EQUAL(r.missing, is_missing ? row->required[which].part : 0);
            }
    }
    question(XB_DIALECT_NGINX, "GET / HTTP/1.1\r\nX-Real-IP: unix:\r\nX-Original-URI: /\r\nX-Original-Method: GET\r\n\r\n");
    CHECK(!r.missing);
}

/* "http://site?/a" is a whole URL without a path, and "site?" a host: where the target begins is then not to be told. */
static void ingress_nginx_targets(void)
{
    static const struct {
        const char *url;
        bool doubtful;
    } urls[] = {
        {"http://site/a", false},  {"http://site:80//a", false}, {"http://site/http://b?c", false}, {"http://site://a", false},
        {"http://site?/a", true}, {"http://site?a", true},      {"http://?", true},                {"http://site", false},
    };
    char head[256];
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        snprintf(head, sizeof head, "GET / HTTP/1.1\r\nX-Real-IP: 192.0.2.1\r\nX-Original-Method: GET\r\nX-Original-URL: %s\r\n\r\n", urls[i].url);
        question(XB_DIALECT_INGRESS_NGINX, head);
        CHECK_EQUAL(r.missing, urls[i].doubtful ? XB_HAS_URL : 0);
    }
}

/* The target of the question, where the proxy's configuration writes it. */
static void policies(void)
{
    static const struct {
        const char *target, *policy;
    } targets[] = {
        {"/?policy=a", "a"},     {"/x?b=c&policy=a", "a"}, {"/?POLICY=a&b", "a"}, {"/?policy=", ""},
        {"/?policy=a?b", "a?b"}, {"/?policy=%61", "%61"}, /* names need no encoding */
        {"/?policy", NULL},      {"/policy=a", NULL},      {"/?xpolicy=a", NULL}, {"/?", NULL},
    };
    static const xb_dialect asking[] = {XB_DIALECT_INGRESS_NGINX, XB_DIALECT_FORWARD_AUTH, XB_DIALECT_HAPROXY};
    char head[64];
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        snprintf(head, sizeof head, "GET %s HTTP/1.1\r\n\r\n", targets[i].target);
        for (size_t j = 0; j < sizeof asking / sizeof *asking; j++) {
            question(asking[j], head);
            if (!targets[i].policy)
                ABSENT(r.policy);
            else
                check_text(r.policy, (xb_span){targets[i].policy, strlen(targets[i].policy)}, __FILE__, __LINE__, head);
        }
    }
}

static xb_request visitor;
static char asked[XB_MAX_HEAD];

static bool same_text(xb_span a, xb_span b) { return a.size == b.size && memcmp(a.at, b.at, a.size) == 0; }

/* The question that is made of a request, read again at the edge of readable memory. */
static void ask_again(void)
{
    const size_t size = xb_question_of(&visitor, asked);
    CHECK(size <= XB_MAX_HEAD);
    CHECK_EQUAL(xb_request_parse(&r, at_end(asked, size), size, 0), size);
    xb_dialect_apply(XB_DIALECT_NGINX, &r, scratch);
}

static void visit(const xb_fields *fields, const char *const (*headers)[2], size_t n)
{
    xb_request_clear(&visitor);
    for (size_t i = 0; i < n; i++)
        xb_request_add(&visitor, (xb_span){headers[i][0], strlen(headers[i][0])}, (xb_span){headers[i][1], strlen(headers[i][1])});
    CHECK(xb_request_complete(&visitor, fields));
}

/* A question that is made of a request says what the request was; and no header of the visitor's says it in nginx's place. */
static void made_of_a_request(void)
{
    static const char *const headers[][2] = {
        {"X-Real-IP", "6.6.6.6"},   {"Host", "a.example"},    {"user-agent", "curl/8"}, {"X-Original-URI", "/forged"}, {"Accept", "*/*"},
        {"Content-Length", "5"},    {"X-Bot-Policy", "lax"},  {"X-Own", ""},            {"X-Connection", "1-1-1"},     {"Cookie", "a=b"},
        {"Transfer-Encoding", "x"}, {"Connection", "close"},  {"X-Xbot-Files", "1"},    {"X-TLS-Protocol", "TLSv1.2"}, {"Via", "1.1 x"},
    };
    xb_fields fields = {
        .ip = XB_SPAN("2001:db8::1"), .method = XB_SPAN("PUT"), .uri = XB_SPAN("/a?b=c"), .protocol = XB_SPAN("HTTP/2.0"), .scheme = XB_SPAN("https"),
        .host = XB_SPAN("a.example"), .policy = XB_SPAN("shop"), .connection = {UINT64_MAX / 8, 77, 3}, .headers = XB_HEADERS_ORDERED,
    };
    case_name = "a question made of a request";
    visit(&fields, headers, sizeof headers / sizeof *headers);
    ask_again();
    CHECK_TEXT(r.ip, "2001:db8::1");
    CHECK_TEXT(r.method, "PUT");
    CHECK_TEXT(r.uri, "/a?b=c");
    CHECK_TEXT(r.protocol, "HTTP/2.0");
    CHECK_TEXT(r.scheme, "https");
    CHECK_TEXT(r.host, "a.example");
    CHECK_TEXT(r.policy, "shop");
    CHECK_EQUAL(r.missing, 0);
    CHECK(!r.body && !xb_tls_said(&r.tls));
    CHECK(r.connection.serial == UINT64_MAX / 8 && r.connection.process == 77 && r.connection.requests == 3);
    CHECK(r.present & XB_HAS_ORDER && r.present & XB_HAS_CASE);
    uint32_t k = 0; /* the visitor's own headers are all there, in their order */
    for (uint32_t i = 0; i < r.n_headers; i++)
        if (r.headers[i].visitor) {
            while (k < visitor.n_headers && !visitor.headers[k].visitor)
                k++;
            if (!CHECK(k < visitor.n_headers))
                return;
            CHECK(same_text(r.headers[i].name, visitor.headers[k].name) && same_text(r.headers[i].value, visitor.headers[k].value));
            k++;
        }
    CHECK_EQUAL(visitors(), 4);

    case_name = "behind another proxy";
    fields.protocol = fields.scheme = (xb_span){NULL, 0};
    fields.connection = (xb_connection_id){0, 0, 0};
    visit(&fields, headers, sizeof headers / sizeof *headers);
    visitor.present &= ~(uint32_t)(XB_HAS_ORDER | XB_HAS_CASE);
    ask_again();
    CHECK(!(r.present & (XB_HAS_ORDER | XB_HAS_CASE)));
    CHECK_EQUAL(r.connection.requests, 0);
    ABSENT(r.protocol);

    case_name = "a line break in a value";
    static const char *const broken[][2] = {{"A", "b\r\nX-Real-IP: 6.6.6.6\r\n\r\nGET / HTTP/1.1"}, {"User-Agent", "c"}};
    visit(&fields, broken, 2);
    ask_again();
    CHECK_TEXT(r.ip, "2001:db8::1");
    CHECK_TEXT(r.agent, "c");

    case_name = "more than there is room for";
    static char much[XB_MAX_HEAD];
    memset(much, 'x', sizeof much - 1);
    const char *const large[][2] = {{"A", much}, {"B", much + XB_MAX_HEAD / 2}, {"C", much + XB_MAX_HEAD / 3}, {"User-Agent", "c"}};
    visit(&fields, large, 4);
    ask_again();
    CHECK_TEXT(r.agent, "c");
    CHECK_TEXT(r.ip, "2001:db8::1");
}

int main(void)
{
    xb_request_init();
    nothing_said();
    ingress_nginx();
    forward_auth();
    ext_authz();
    haproxy();
    policies();
    handshakes();
    orders();
    required();
    ingress_nginx_targets();
    made_of_a_request();
    return done("test_dialect");
}
