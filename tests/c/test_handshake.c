/* The handshake: its texts at both edges of readable memory, bounds, what counts as absent; and the name of a connection. */
#include "harness.h"
#include "base/hash.h"
#include "request/handshake.h"

static xb_handshake of(xb_span ciphers, xb_span curves)
{
    const xb_tls tls = {.ciphers = ciphers, .curves = curves};
    xb_handshake h;
    memset(&h, 0x5a, sizeof h); /* whatever was there before */
    xb_handshake_of(&tls, &h);
    return h;
}

static xb_handshake of_text(const char *ciphers, const char *curves)
{
    return of((xb_span){ciphers, strlen(ciphers)}, (xb_span){curves, strlen(curves)});
}

/* Every handshake of the table: at the edges of memory it is the same, byte for byte, and whose it is. */
static void programs(const char *path)
{
    table t;
    size_t rows = 0;
    table_open(&t, path);
    while (table_next(&t)) {
        const char *suites = t.column[2], *groups = t.column[3];
        const xb_handshake want = of_text(suites, groups);
        CHECK(strcmp(xb_stack_names[want.stack], t.column[1]) == 0);
        for (size_t i = 0; i < 2; i++) {
            const size_t size = strlen(suites);
            xb_handshake got = of((xb_span){placements[i](suites, size), size}, (xb_span){groups, strlen(groups)});
            CHECK(memcmp(&got, &want, sizeof got) == 0);
        }
        CHECK((want.known & XB_KNOWS_CIPHERS) && want.n_ciphers && want.ciphers);
        CHECK_EQUAL(!!(want.known & XB_KNOWS_CURVES), *groups != 0);
        CHECK_EQUAL(want.curves != 0, *groups != 0);
        rows++;
    }
    CHECK(rows > 20);
}

static void nothing(void)
{
    static const xb_handshake zero;
    static const char *const empty[] = {"", ":", ",,,", " : ,"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        case_name = empty[i];
        xb_handshake h = of_text(empty[i], empty[i]);
        CHECK(memcmp(&h, &zero, sizeof h) == 0);
    }
    xb_handshake h = of((xb_span){NULL, 0}, (xb_span){NULL, 0});
    CHECK(memcmp(&h, &zero, sizeof h) == 0);
    const xb_tls odd = {.protocol = XB_SPAN("TLSv1.4"), .reused = XB_SPAN("yes")};
    xb_handshake_of(&odd, &h);
    CHECK(memcmp(&h, &zero, sizeof h) == 0);
}

static void texts(void)
{
    static const struct {
        const char *protocol, *alpn, *reused;
        int version, proto, again;
    } cases[] = {
        {"TLSv1.3", "h2", ".", 0x0304, XB_ALPN_H2, 0},    {"TLSv1.2", "http/1.1", "r", 0x0303, XB_ALPN_H1, 1},
        {"TLSv1.1", "h3", ".", 0x0302, XB_ALPN_H3, 0},    {"TLSv1", "-", "r", 0x0301, XB_ALPN_NONE, 1},
        {"SSLv3", "spdy/3", ".", 0x0300, XB_ALPN_OTHER, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        xb_handshake h;
        case_name = cases[i].protocol;
        const xb_tls tls = {.protocol = {cases[i].protocol, strlen(cases[i].protocol)},
                            .alpn = {cases[i].alpn, strlen(cases[i].alpn)},
                            .reused = {cases[i].reused, strlen(cases[i].reused)}};
        xb_handshake_of(&tls, &h);
        CHECK_EQUAL(h.known, XB_KNOWS_PROTOCOL | XB_KNOWS_ALPN | XB_KNOWS_REUSED);
        CHECK_EQUAL(h.protocol, cases[i].version);
        CHECK_EQUAL(h.alpn, cases[i].proto);
        CHECK_EQUAL(h.reused, cases[i].again);
    }
}

/* Members that nearly have a code point are names that nobody knows; and handshakes that are nearly of a stack are of none. */
static void nearly(void)
{
    static const char *const members[] = {"0y1301", "0x130g", "0x0a1a", "UNKNOWN(130g)", "UNKNOWN[1301)"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        case_name = members[i];
        const xb_handshake h = of_text(members[i], "");
        CHECK(h.n_ciphers == 1 && !h.marks && h.ciphers);
    }
    static const struct {
        const char *ciphers, *curves;
        xb_stack stack;
    } cases[] = {
        {"0x1301:0x1303:0x1302", "X25519:0x0100", XB_STACK_NSS}, {"0x1301:0x1303:0x1302", "", XB_STACK_NSS},
        {"0x1301:0x1303:0x1302", "X25519", XB_STACK_NONE},       {"0x1301:0x1303:0x00ff", "X25519:0x0100", XB_STACK_NONE},
        {"0xcca9:0x00ff", "", XB_STACK_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        case_name = cases[i].ciphers;
        CHECK_EQUAL(of_text(cases[i].ciphers, cases[i].curves).stack, cases[i].stack);
    }
    const xb_tls one[] = {{.protocol = XB_SPAN("a")}, {.ciphers = XB_SPAN("a")}, {.curves = XB_SPAN("a")}, {.alpn = XB_SPAN("a")},
                          {.reused = XB_SPAN("a")},   {.sigalgs = XB_SPAN("a")}, {.protocol = XB_SPAN("")}};
    for (size_t i = 0; i < 7; i++)
        CHECK_EQUAL(xb_tls_said(&one[i]), i < 6);
}

/* 64 KiB of anything is looked at as far as the bounds, and said to be cut. */
static void bounds(void)
{
    static const char *const units[] = {":", "0x0a0a:", "0x1301,", "AES128-SHA:", "a", "130a", "UNKNOWN(1301):"};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t size, bounded;
        char *text = repeated("", units[i], (1u << 16) / strlen(units[i]), "", &size);
        case_name = units[i];
        const xb_span all = {at_end(text, size), size};
        const xb_handshake h = of(all, (xb_span){NULL, 0});
        CHECK(h.n_ciphers <= XB_MAX_SUITES);
        CHECK_EQUAL(!!(h.marks & XB_TLS_CUT), *units[i] != ':'); /* "a" is a row of digits, too */
        free(text);
        text = repeated("", units[i], 255, "", &bounded);
        const xb_handshake most = of((xb_span){at_end(text, bounded), bounded}, (xb_span){NULL, 0});
        CHECK(!(most.marks & XB_TLS_CUT));
        free(text);
    }
}

static void connections(void)
{
    static const struct {
        const char *text;
        unsigned long long process, serial, requests;
    } good[] = {
        {"1-1-1", 1, 1, 1},
        {"4711-123456-7", 4711, 123456, 7},
        {"4294967295-18446744073709551615-4294967295", UINT32_MAX, UINT64_MAX, UINT32_MAX},
        {"0-0-1", 0, 0, 1},
    };
    static const char *const bad[] = {"", "1", "1-", "1-2", "1-2-", "-2-3", "1--3", "1-2-0", "1-2-3-", "1-2-3 ", " 1-2-3", "a-2-3", "1-2-x", "1x2-3", "1-2x3",
                                      "4294967296-1-1", "1-18446744073709551616-1", "1-1-4294967296", "99999999999999999999999-1-1"};
    xb_connection_id c;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const size_t size = strlen(good[i].text);
        case_name = good[i].text;
        CHECK(xb_connection_id_parse((xb_span){at_end(good[i].text, size), size}, &c));
        CHECK(c.process == good[i].process && c.serial == good[i].serial && c.requests == good[i].requests);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const size_t size = strlen(bad[i]);
        case_name = bad[i];
        CHECK(!xb_connection_id_parse((xb_span){at_end(bad[i], size), size}, &c));
        CHECK(!c.process && !c.serial && !c.requests);
    }
    CHECK(!xb_connection_id_parse((xb_span){NULL, 0}, &c));
}

/* Two names with one hash would be one suite: there are none in the table, and each has its own code point again. */
static void names(void)
{
    static const struct {
        const char *name;
        unsigned code;
        bool group;
    } all[] = {
#define XB_SUITE(code, name) {name, code, false},
#define XB_GROUP(code, name) {name, code, true},
#include "request/suites.def"
#undef XB_SUITE
#undef XB_GROUP
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char hex[8];
        snprintf(hex, sizeof hex, "0x%04x", all[i].code);
        case_name = all[i].name;
        const xb_handshake by_name = all[i].group ? of_text("", all[i].name) : of_text(all[i].name, "");
        const xb_handshake by_code = all[i].group ? of_text("", hex) : of_text(hex, "");
        CHECK(memcmp(&by_name, &by_code, sizeof by_name) == 0);
        const xb_handshake elsewhere = all[i].group ? of_text(all[i].name, "") : of_text("", all[i].name);
        CHECK(!elsewhere.marks); /* a group among suites is an unknown name */
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    xb_handshake_init();
    programs(argv[1]);
    nothing();
    texts();
    nearly();
    bounds();
    connections();
    names();
    return done("handshake");
}
