/* Fields and pairs become a request: each field alone and all together, with and without headers, and what wins. */
#include "harness.h"
#include "request/fields.h"
#include "features/featurizer.h"

static xb_request r;

static void complete(xb_fields f, bool pairs)
{
    xb_request_clear(&r);
    if (pairs) {
        xb_request_add(&r, XB_SPAN("user-agent"), XB_SPAN("of a header"));
        xb_request_add(&r, XB_SPAN("Host"), XB_SPAN("host.example"));
        xb_request_add(&r, XB_SPAN("Accept"), XB_SPAN("*/*"));
    }
    CHECK(xb_request_complete(&r, &f));
}

/* What is absent stays absent, what is empty is there. */
static void each_alone(void)
{
    static const uint32_t part[] = {XB_HAS_IP, 0, XB_HAS_URL, 0, 0, 0, XB_HAS_UA, XB_HAS_REFERRER, 0};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        for (int empty = 0; empty < 2; empty++) {
            xb_fields f = {.headers = XB_HEADERS_UNKNOWN};
            xb_span *const field[] = {&f.ip, &f.method, &f.uri, &f.protocol, &f.scheme, &f.host, &f.agent, &f.referrer, &f.policy};
            *field[i] = empty ? XB_SPAN("") : XB_SPAN("a");
            complete(f, false);
            const xb_span got[] = {r.ip, r.method, r.uri, r.protocol, r.scheme, r.host, r.agent, r.referrer, r.policy};
            for (size_t j = 0; j < sizeof got / sizeof *got; j++) {
                CHECK_EQUAL(got[j].at != NULL, i == j);
                CHECK_EQUAL(got[j].size, i == j && !empty);
            }
            CHECK_EQUAL(r.present, part[i]);
            CHECK(!r.required && !r.missing && !r.status_only);
        }
}

static void with_headers(void)
{
    const uint32_t all = XB_HAS_UA | XB_HAS_REFERRER | XB_HAS_HEADERS;
    complete((xb_fields){.headers = XB_HEADERS_UNORDERED}, true);
    CHECK_EQUAL(r.present, all);
    CHECK_TEXT(r.agent, "of a header");
    CHECK_TEXT(r.host, "host.example");
    CHECK(!r.referrer.at && !r.uri.at && r.n_headers == 3);
    complete((xb_fields){.headers = XB_HEADERS_ORDERED, .agent = XB_SPAN(""), .host = XB_SPAN("site.example"), .ip = XB_SPAN("192.0.2.1")}, true);
    CHECK_EQUAL(r.present, all | XB_HAS_ORDER | XB_HAS_CASE | XB_HAS_IP);
    CHECK(r.agent.at && !r.agent.size); /* a field is the last word */
    CHECK_TEXT(r.host, "site.example");
    complete((xb_fields){.headers = XB_HEADERS_ORDERED}, false); /* known to be none */
    CHECK_EQUAL(r.present, all | XB_HAS_ORDER | XB_HAS_CASE);
    CHECK(!r.agent.at && !r.n_headers);
}

/* A workspace has room for a path of XB_MAX_HEAD bytes. */
static void long_target(void)
{
    size_t size;
    char *uri = repeated("/", "a", XB_MAX_HEAD, "", &size);
    complete((xb_fields){.uri = {uri, XB_MAX_HEAD}}, true);
    CHECK_EQUAL(r.uri.size, XB_MAX_HEAD);
    const xb_fields longer = {.uri = {uri, XB_MAX_HEAD + 1}, .agent = XB_SPAN("a"), .headers = XB_HEADERS_ORDERED};
    CHECK(!xb_request_complete(&r, &longer));
    CHECK(!r.present && !r.n_headers && !r.uri.at && !r.agent.at);
    free(uri);
}

int main(void)
{
    xb_init();
    each_alone();
    with_headers();
    long_target();
    return done("fields");
}
