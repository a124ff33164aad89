/* Log lines: the cases of tests/data/lines.tsv whole and in every prefix, at both edges of readable memory, with decoded
 * text going to a place that is as large as the line and no larger. */
#include "harness.h"
#include "invariants.h"
#include "request/challenge.h"
#include "request/logline.h"
#include "request/logtime.h"
#include "model_image.h"

/* The formats of tests/data/lines.tsv: challenge, or a kind of combined. */
enum { CHALLENGE = -1 };
static const struct {
    const char *name;
    int kind;
} formats[] = {
    {"challenge", CHALLENGE},
    {"combined", XB_CLF_COMBINED},
    {"common", XB_CLF_SHORT},
    {"vhost_combined", XB_CLF_HOST},
    {"vhost_common", XB_CLF_HOST | XB_CLF_SHORT},
    {"forwarded_combined", XB_CLF_FORWARDED},
    {"traefik_clf", XB_CLF_DASH_UNKNOWN},
};

static xb_workspace work;
static xb_model model;

/* Reads a line at an edge; a line that is read can be judged, one that is not says where and why. */
static bool read_at(int kind, placement place, const char *text, size_t size, xb_line *out)
{
    const char *line = place(text, size);
    char *scratch = room(size);
    xb_span whole = {line, size};
    bool ok = kind == CHALLENGE ? xb_challenge_line(whole, scratch, &work.request, out)
                                : xb_clf_line((unsigned)kind, whole, scratch, &work.request, out);
    if (!ok) {
        CHECK(out->error && *out->error && out->error_field && *out->error_field);
        return false;
    }
    const xb_request *r = &work.request;
    const xb_span fields[] = {r->ip, r->method, r->uri, r->protocol, r->agent, r->referrer, r->host};
    CHECK(span_inside(out->type, line, size));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        CHECK(span_inside(fields[i], line, size) || span_inside(fields[i], scratch, size));
    CHECK(!r->n_headers && !r->scheme.at);
    xb_judge(&model, &work);
    char wrong[128];
    if (!judged_well(&model, &work, wrong, sizeof wrong))
        check(false, __FILE__, __LINE__, wrong);
    return true;
}

static void table_of_lines(const char *path)
{
    static table t;
    int rows = 0;
    table_open(&t, path);
    for (; table_next(&t); rows++) {
        if (!CHECK(t.n == 5))
            continue;
        size_t f = 0;
        while (f < sizeof formats / sizeof *formats && strcmp(t.column[1], formats[f].name) != 0)
            f++;
        if (!CHECK(f < sizeof formats / sizeof *formats))
            continue;
        bool want = strcmp(t.column[2], "ok") == 0;
        size_t size = unescape_cell(t.column[4]);
        xb_line out;
        for (int edge = 0; edge < 2; edge++) {
            CHECK_EQUAL(read_at(formats[f].kind, placements[edge], t.column[4], size, &out), want);
            if (!want && out.error) {
                check_text((xb_span){out.error_field, strlen(out.error_field)}, (xb_span){t.column[2], strlen(t.column[2])}, __FILE__, __LINE__, "field");
                if (!CHECK(strstr(out.error, t.column[3]) != NULL))
                    fprintf(stderr, "    %s\n", out.error);
            }
            for (size_t n = 0; n < size; n++)
                read_at(formats[f].kind, placements[edge], t.column[4], n, &out);
        }
    }
    CHECK(rows > 80);
}

static void values(void)
{
    xb_line out;
    const char challenge[] = "192%2E0.2.1\tMozilla%2F5.0+%28X11%29\t-\tfalse";
    CHECK(read_at(CHALLENGE, at_end, challenge, sizeof challenge - 1, &out));
    CHECK_TEXT(work.request.ip, "192.0.2.1");
    CHECK_TEXT(work.request.agent, "Mozilla/5.0 (X11)");
    CHECK_TEXT(work.request.referrer, "-");
    CHECK_EQUAL(out.label, XB_LABEL_BOT);
    CHECK_EQUAL(work.request.present, XB_HAS_IP | XB_HAS_UA | XB_HAS_REFERRER);

    CHECK(!read_at(CHALLENGE, at_end, "192.0.2.1\t%zz%zz\t-", 18, &out) && strcmp(out.error_field, "user_agent") == 0);

    const char combined[] = "203.0.113.7 - a b [17/May/2015:10:05:03 +0200] \"GET /a\\x20b HTTP/1.1\" 404 12 \"\\xd0\\\"\\\\\\n\" \"a\\q\" x";
    CHECK(read_at(XB_CLF_COMBINED, at_end, combined, sizeof combined - 1, &out));
    CHECK_TEXT(work.request.ip, "203.0.113.7");
    CHECK_TEXT(work.request.method, "GET");
    CHECK_TEXT(work.request.uri, "/a b");
    CHECK_TEXT(work.request.protocol, "HTTP/1.1");
    CHECK_TEXT(work.request.referrer, "\xd0\"\\\n");
    CHECK_TEXT(work.request.agent, "a\\q");
    CHECK_EQUAL(out.status, 404);
    CHECK_EQUAL(out.label, XB_LABEL_NONE);
    CHECK_EQUAL(out.time, 1431849903000);
    CHECK_EQUAL(out.bytes, 12);
    CHECK(!out.type.at);
    CHECK_EQUAL(work.request.present, XB_HAS_IP | XB_HAS_UA | XB_HAS_REFERRER | XB_HAS_URL);

    const char tls[] = "203.0.113.7 - - [17/May/2015:10:05:03 +0200] \"\\x16\\x03\" 400 0 \"-\" \"-\"";
    CHECK(read_at(XB_CLF_COMBINED, at_end, tls, sizeof tls - 1, &out));
    CHECK(!(work.request.present & XB_HAS_URL) && !work.request.uri.at);
}

/* Bytes, and what nginx/log_format.conf puts at the end: milliseconds and content type, if they are of the line's own second. */
static void replies(void)
{
    static const struct {
        const char *bytes, *tail;
        int64_t means, milliseconds;
        const char *type;
    } cases[] = {
        {"12", " \"human\" \"0.0100\" \"none\" \"default\" 1431849903.250 \"text/html; charset=utf-8\"", 12, 250, "text/html; charset=utf-8"},
        {"-", " 1431849903.007 \"-\"", 0, 7, NULL},
        {"12x", " 1431849903.007 \"\"", -1, 7, ""},
        {"9999999999999999", " 1431849904.250 \"text/html\"", -1, 0, NULL},
        {"+1", " 431849903.250 \"text/html\"", -1, 0, NULL},
        {"1", " 11431849903.250 \"text/html\"", 1, 0, NULL},
        {"1", " 1431849903.25 \"text/html\"", 1, 0, NULL},
        {"1", " 1431849903.2500 \"text/html\"", 1, 0, NULL},
        {"1", " 1431849903,250 \"text/html\"", 1, 0, NULL},
        {"1", " x1431849903.250 \"text/html\"", 1, 0, NULL},
        {"1", " 1431849903.250 \"text/html\" x", 1, 0, NULL},
        {"1", " .250 \"text/html\"", 1, 0, NULL},
        {"1", "", 1, 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int common = 0; common < 2; common++) {
            char line[256];
            xb_line out;
            int size = snprintf(line, sizeof line, "::1 - - [17/May/2015:10:05:03 +0200] \"GET / HTTP/1.1\" 200 %s%s%s", cases[i].bytes, common ? "" : " \"-\" \"-\"", cases[i].tail);
            if (!CHECK(read_at(common ? XB_CLF_SHORT : XB_CLF_COMBINED, at_end, line, (size_t)size, &out)))
                continue;
            CHECK_EQUAL(out.bytes, cases[i].means);
            CHECK_EQUAL(out.time, 1431849903000 + cases[i].milliseconds);
            CHECK_EQUAL(out.type.at != NULL, cases[i].type != NULL);
            if (cases[i].type)
                check_text(out.type, (xb_span){cases[i].type, strlen(cases[i].type)}, __FILE__, __LINE__, cases[i].tail);
        }
}

/* Fields that other kinds of combined have, or have not. */
static void kinds(void)
{
    xb_line out;
    const char vhost[] = "shop.example:443 203.0.113.7 - - [17/May/2015:10:05:03 +0200] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"";
    CHECK(read_at(XB_CLF_HOST, at_end, vhost, sizeof vhost - 1, &out));
    CHECK_TEXT(work.request.host, "shop.example:443");
    CHECK_TEXT(work.request.ip, "203.0.113.7");

    const char list[] = "192.0.2.1, 203.0.113.9,203.0.113.7 - - [17/May/2015:10:05:03 +0200] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"";
    CHECK(read_at(XB_CLF_FORWARDED, at_end, list, sizeof list - 1, &out));
    CHECK_TEXT(work.request.ip, "203.0.113.7");
    CHECK(read_at(XB_CLF_COMBINED, at_end, list, sizeof list - 1, &out));
    CHECK(!work.request.ip.at && !(work.request.present & XB_HAS_IP));

    const char common[] = "203.0.113.7 - - [17/May/2015:10:05:03 +0200] \"GET / HTTP/1.1\" 200 1";
    CHECK(read_at(XB_CLF_SHORT, at_end, common, sizeof common - 1, &out));
    CHECK_EQUAL(work.request.present, XB_HAS_IP | XB_HAS_URL);

    const char traefik[] = "203.0.113.7 - - [17/May/2015:10:05:03 +0200] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\" 7 \"a@file\" \"http://x\" 3ms";
    CHECK(read_at(XB_CLF_DASH_UNKNOWN, at_end, traefik, sizeof traefik - 1, &out));
    CHECK_EQUAL(work.request.present, XB_HAS_IP | XB_HAS_URL);
    static const char *const durations[] = {"3s", "3mx", "3xs", "xms", "3ms "};
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        char line[256];
        int size = snprintf(line, sizeof line, "%.*s%s", (int)sizeof traefik - 4, traefik, durations[i]);
        CHECK(!read_at(XB_CLF_DASH_UNKNOWN, at_end, line, (size_t)size, &out) && strcmp(out.error_field, "duration") == 0);
    }
    CHECK(read_at(XB_CLF_COMBINED, at_end, traefik, sizeof traefik - 1, &out));
    CHECK_EQUAL(work.request.present, XB_HAS_IP | XB_HAS_UA | XB_HAS_REFERRER | XB_HAS_URL);
}

/* Quotes that are not escaped belong to the field, or it is at fault; a field is never cut at one. */
static void raw_quotes(void)
{
    static const struct {
        const char *agent, *means;
    } cases[] = {
        {"\"\"Mozilla/5.0 (X11)\"\"", "\"Mozilla/5.0 (X11)\""},
        {"\"Dalvik/2.1.0 (Alba 10\" Build/LMY47I)\"", "Dalvik/2.1.0 (Alba 10\" Build/LMY47I)"},
        {"\"a \"b\" c\"", "a \"b\" c"},
        {"\"\" a b\"\"", "\" a b\""},
        {"\"a\\\"b\" 0.1 rt=\"0.2\" \"-\"", "a\"b"},
        {"\"a\" \"human\" \"0.01\" \"none\" \"default\"", "a"},
        {"\"\" \"human\"", ""},
        {"\"a\"\t\"human\"", "a"},
        {"\"a\" x=\"b\";", "a"},
        {"\"a\"b", NULL},
        {"\"a\" b\" c", "a\" b"},
        {"\"a\"b c", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[256];
        xb_line out;
        int size = snprintf(line, sizeof line, "::1 - - [17/May/2015:10:05:03 +0200] \"GET /?a=\"b\" HTTP/1.1\" 200 1 \"x\"y\" %s", cases[i].agent);
        bool ok = read_at(XB_CLF_COMBINED, at_end, line, (size_t)size, &out);
        if (!CHECK_EQUAL(ok, cases[i].means != NULL))
            continue;
        if (!ok) {
            CHECK(strcmp(out.error_field, "user_agent") == 0);
            continue;
        }
        check_text(work.request.agent, (xb_span){cases[i].means, strlen(cases[i].means)}, __FILE__, __LINE__, cases[i].agent);
        CHECK_TEXT(work.request.uri, "/?a=\"b\"");
        CHECK_TEXT(work.request.referrer, "x\"y");
    }
}

/* Times of both kinds, at the edge of memory; what is none, and where each of their parts is broken. */
static void times(void)
{
    static const struct {
        const char *text;
        int64_t means;
    } good[] = {
        {"17/May/2015:10:05:03 +0200", 1431849903000}, {"17/May/2015:08:05:03", 1431849903000}, {"17/May/2015:08:05:03.25", 1431849903250},
        {"2015-05-17T10:05:03+02:00", 1431849903000}, {"2015-05-17T10:05:03 +0200", 1431849903000}, {"2015-05-17 08:05:03,5Z", 1431849903500},
        {"2015-05-17T06:05:03-0200", 1431849903000},    {"2015/05/17 08:05:03", 1431849903000},       {"17/May/2015:08:05:03 UTC", 1431849903000},
        {"17/May/2015:08:05:03 GMT", 1431849903000},    {"1431849903", 1431849903000},                {"1431849903.25", 1431849903250},
        {"1431849903250", 1431849903250},               {"Sun May 17 08:05:03 2015", 1431849903000},  {"Thu May  7 08:05:03 2015", 1430985903000},
        {"Thu May 7 08:05:03 2015", 1430985903000},
    };
    static const char *const bad[] = {
        "", "17/May/2015", "20x5-05-17T10:05:03", "2015-0x-17T10:05:03", "2015-05x17T10:05:03", "2015-05-1xT10:05:03", "2015-05-17x10:05:03",
        "2015-00-17T10:05:03", "2015-13-17T10:05:03", "2015-05-00T10:05:03", "2015-05-32T10:05:03", "x7/May/2015:10:05:03", "17-May/2015:10:05:03",
        "17/Mai/2015:10:05:03", "17/May-2015:10:05:03", "17/May/20x5:10:05:03", "17/May/2015-10:05:03", "17/May/2015:1x:05:03", "17/May/2015:10-05:03",
        "17/May/2015:10:x5:03", "17/May/2015:10:05-03", "17/May/2015:10:05:x3", "17/May/2015:24:05:03", "17/May/2015:10:60:03", "17/May/2015:10:05:61",
        "17/May/2015:10:05:03 0200", "17/May/2015:10:05:03 ", "17/May/2015:10:05:03 +0200x",
        "2015-05-17T10:05:03Zx", "2015-05-17T10:05:03+", "2015-05-17T10:05:03+0x00", "2015-05-17T10:05:03+02", "2015-05-17T10:05:03+02:", "2015-05-17T10:05:03+02:x0",
        "2015-05-17T10:05", "7/Ma/2015:10:05:03", "17/May/2015:10:05:03 CET", "143184990325012", "1431849903x", "1431849903.25x", "201 5-05-17T10:05:03",
        "Sun Ma", "Sun May ", "Sun May 1", "Sun Mai 17 10:05:03 2015", "Sun May-17 10:05:03 2015", "Sun May x7 10:05:03 2015", "Sun May 17-10:05:03 2015",
        "Sun May 17 10:05 2015", "Sun May 17 10:05:03-2015", "Sun May 17 10:05:03 20x5", "Sun May 17 10:05:03 2015x", "Sun May 00 10:05:03 2015",
        "Sun May 32 10:05:03 2015",
    };
    int64_t time;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const size_t size = strlen(good[i].text);
        case_name = good[i].text;
        CHECK(xb_log_time((xb_span){at_end(good[i].text, size), size}, &time));
        CHECK_EQUAL(time, good[i].means);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const size_t size = strlen(bad[i]);
        case_name = bad[i];
        CHECK(!xb_log_time((xb_span){at_end(bad[i], size), size}, &time));
    }
    case_name = "";
}

/* Lines that are nearly as they should be: what is read of them, or at which field they are broken. */
static void nearly(void)
{
#define TIME " - - [17/May/2015:10:05:03 +0200]"
#define REST " 200 1 \"-\" \"-\""
#define REQUEST "::1" TIME " \"GET / HTTP/1.1\" 200 1"
#define COMMON(tail) "::1" TIME " \"GET / HTTP/1.1\" 200 1" tail
    static const struct {
        int kind;
        const char *line, *uri, *field; /* of one that is broken */
    } cases[] = {
        {XB_CLF_COMBINED, "::1" TIME "\"GET / HTTP/1.1\"" REST, "/", NULL},
        {XB_CLF_COMBINED, "::1" TIME " \"GET /\\x4g HTTP/1.1\"" REST, "/\\x4g", NULL},
        {XB_CLF_COMBINED, "::1" TIME " \"GET /\"" REST, "/", NULL}, /* HTTP/0.9 */
        {XB_CLF_COMBINED, "::1" TIME " \"GET /a b\"" REST, "/a b", NULL},
        {XB_CLF_COMBINED, "::1 -a - [17/May/2015:10:05:03 +0200] \"GET / HTTP/1.1\"" REST, "/", NULL},
        {XB_CLF_COMBINED, "::1" TIME " \"GET / HTTP/1.1\" 2x0 1 \"-\" \"-\"", NULL, "status"},
        {XB_CLF_COMBINED, "::1" TIME " \" GET / HTTP/1.1\"" REST, NULL, NULL},
        {XB_CLF_COMBINED, "::1" TIME " \"GET \"" REST, NULL, NULL},
        {XB_CLF_COMBINED, "::1" TIME " \"GET / HTTP/1.1\" 20x 1 \"-\" \"-\"", NULL, "status"},
        {XB_CLF_COMBINED, "::1" TIME " \"GET / HTTP/1.1\" 2000 1 \"-\" \"-\"", NULL, "bytes"},
        {XB_CLF_COMBINED, "::1" TIME " \"GET / HTTP/1.1\" 200 1 \"-\" \"a\" \"b\"x", NULL, "user_agent"},
        {XB_CLF_COMBINED, "::1" TIME " \"GET / HTTP/1.1\" 200 1 \"-\" \"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a", NULL, "user_agent"},
        {XB_CLF_COMBINED, " 203.0.113.7" TIME " \"GET / HTTP/1.1\"" REST, "/", NULL},
        {XB_CLF_HOST, " 203.0.113.7" TIME " \"GET / HTTP/1.1\"" REST, NULL, "ip"},
        {XB_CLF_DASH_UNKNOWN, "::1" TIME " \"GET / HTTP/1.1\" 200 1 \"-\" \"curl\" 7 \"a\" \"b\" 3ms", "/", NULL},
        {XB_CLF_COMBINED, "::1" TIME " \"- - -\"" REST, NULL, NULL},
        {XB_CLF_COMBINED, "::1" TIME " \"GET / HTTP/1.1\" 000 1 \"-\" \"-\"", "/", NULL},
        /* words before the referrer */
        {XB_CLF_COMBINED, REQUEST " 0.1 12 \"-\" \"-\"", "/", NULL},
        {XB_CLF_COMBINED, REQUEST " 1 2 3 4 5 6 7 8 9 \"-\" \"-\"", NULL, "referrer"},
        {XB_CLF_COMBINED, REQUEST " 0.1", NULL, "referrer"},
        {XB_CLF_COMBINED, REQUEST " rt=\"0.1\" \"-\" \"-\"", NULL, "referrer"},
        /* quotes */
        {XB_CLF_COMBINED, REQUEST " \"a\" \"b\" \"Mozilla/5.0\"", NULL, "referrer"},
        {XB_CLF_COMBINED, REQUEST " \"a\" \"b\" \"Mozilla 5.0\" \"c\"", "/", NULL},
        {XB_CLF_COMBINED, REQUEST " \"-\" \"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"a\"", "/", NULL}, /* the last of those that are tried */
        /* hosts */
        {XB_CLF_HOST, "~^www 203.0.113.7" TIME " \"GET / HTTP/1.1\"" REST, "/", NULL},
        {XB_CLF_HOST, "www.example.org:443 203.0.113.7" TIME " \"GET / HTTP/1.1\"" REST, "/", NULL},
        {XB_CLF_HOST, "[2001:db8::1]:443 203.0.113.7" TIME " \"GET / HTTP/1.1\"" REST, "/", NULL},
        {XB_CLF_HOST, "[abc] unix:" TIME " \"GET / HTTP/1.1\"" REST, NULL, "ip"},
        {XB_CLF_HOST, "[abc unix:" TIME " \"GET / HTTP/1.1\"" REST, NULL, "ip"},
        {XB_CLF_HOST, "[] unix:" TIME " \"GET / HTTP/1.1\"" REST, NULL, "ip"},
        {XB_CLF_HOST, "abc] unix:" TIME " \"GET / HTTP/1.1\"" REST, NULL, "ip"},
        {XB_CLF_HOST, "a:b unix:" TIME " \"GET / HTTP/1.1\"" REST, NULL, "ip"},
        {XB_CLF_HOST, "123 unix:" TIME " \"GET / HTTP/1.1\"" REST, NULL, "ip"},
        {XB_CLF_HOST, ":80 unix:" TIME " \"GET / HTTP/1.1\"" REST, NULL, "ip"},
        {XB_CLF_HOST, "a, 203.0.113.7" TIME " \"GET / HTTP/1.1\"" REST, NULL, "ip"},
        {XB_CLF_HOST, "\"\" 203.0.113.7" TIME " \"GET / HTTP/1.1\"" REST, "/", NULL},
        /* lists, and words that may be addresses */
        {XB_CLF_FORWARDED, "\"198.51.100.1, 203.0.113.7\"" TIME " \"GET / HTTP/1.1\"" REST, "/", NULL},
        {XB_CLF_FORWARDED, "\", \"" TIME " \"GET / HTTP/1.1\"" REST, "/", NULL},
        {XB_CLF_COMBINED, "  ", NULL, "line"},
        {XB_CLF_COMBINED, "\"a", NULL, "line"},
        {XB_CLF_COMBINED, "\"\" 203.0.113.7" TIME " \"GET / HTTP/1.1\"" REST, NULL, "ip"},
        {XB_CLF_COMBINED, "x :80" TIME " \"GET / HTTP/1.1\"" REST, "/", NULL},
        {XB_CLF_COMBINED, "x a80" TIME " \"GET / HTTP/1.1\"" REST, "/", NULL},
        {XB_CLF_COMBINED, "x \"y\"" TIME " \"GET / HTTP/1.1\"" REST, "/", NULL},
        {XB_CLF_COMBINED, "x y 203.0.113.7:80" TIME " \"GET / HTTP/1.1\"" REST, NULL, "ip"},
        {XB_CLF_COMBINED, "x 80" TIME " \"GET / HTTP/1.1\"" REST, "/", NULL},
        {XB_CLF_COMBINED, "x  y" TIME " \"GET / HTTP/1.1\"" REST, "/", NULL},
        {XB_CLF_COMBINED, "x a a a a a a a a a a a a a" TIME " \"GET / HTTP/1.1\"" REST, "/", NULL},
        {XB_CLF_COMBINED, "x a", NULL, "time"},
        {XB_CLF_SHORT, COMMON(" abcdefgh\""), "/", NULL}, /* no time and type at the end */
        {XB_CLF_SHORT, COMMON(" 1431849903.250x\"text/html\""), "/", NULL},
        {XB_CLF_SHORT, COMMON(" 1431849903.2x0 \"text/html\""), "/", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        xb_line out;
        case_name = cases[i].line;
        CHECK_EQUAL(read_at(cases[i].kind, at_end, cases[i].line, strlen(cases[i].line), &out), !cases[i].field);
        if (cases[i].field) {
            CHECK(out.error_field && strcmp(out.error_field, cases[i].field) == 0);
            continue;
        }
        CHECK(!out.type.at && out.time == 1431849903000);
        CHECK_EQUAL(work.request.uri.at != NULL, cases[i].uri != NULL);
        if (cases[i].uri)
            check_text(work.request.uri, (xb_span){cases[i].uri, strlen(cases[i].uri)}, __FILE__, __LINE__, cases[i].line);
    }
    case_name = "";
}

static void too_long(void)
{
    xb_line out;
    size_t size;
    char *line = repeated("192.0.2.1\t", "%41", XB_MAX_LINE / 3, "\t", &size);
    CHECK(size > XB_MAX_LINE);
    CHECK(!read_at(CHALLENGE, at_end, line, size, &out));
    CHECK(strcmp(out.error_field, "line") == 0);
    CHECK(!read_at(XB_CLF_COMBINED, at_end, line, size, &out));
    CHECK(strcmp(out.error_field, "line") == 0);
    memcpy(line + XB_MAX_LINE - 3, "A\t", 3); /* as long as can be */
    CHECK(read_at(CHALLENGE, at_end, line, XB_MAX_LINE - 1, &out));
    free(line);
}

int main(int argc, char **argv)
{
    static model_image image;
    if (argc != 2)
        return 2;
    xb_init();
    image_init(&image);
    image_fill(&image);
    const char *why = xb_model_open(&model, &image, sizeof image, &work.request, &work.vector);
    if (why) {
        fprintf(stderr, "%s\n", why);
        return 2;
    }
    table_of_lines(argv[1]);
    values();
    replies();
    kinds();
    raw_quotes();
    times();
    nearly();
    too_long();
    return done("logline");
}
