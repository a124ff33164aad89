#include "request/handshake.h"

#include "base/hash.h"

const char *const xb_stack_names[XB_N_STACKS] = {
    [XB_STACK_NONE] = "unknown", [XB_STACK_OPENSSL] = "openssl", [XB_STACK_GNUTLS] = "gnutls",     [XB_STACK_NSS] = "nss",
    [XB_STACK_CHROMIUM] = "chromium", [XB_STACK_APPLE] = "apple", [XB_STACK_GO] = "go",            [XB_STACK_JAVA] = "java",
    [XB_STACK_SCHANNEL] = "schannel", [XB_STACK_RUSTLS] = "rustls",
};

enum { SUITES, GROUPS, SCHEMES, LISTS };

/* ---- names ---- */

/* Of a name only the hash is kept: proxies write names, and visitors choose among them by numbers. */
typedef struct {
    uint64_t hash; /* 0: an empty slot */
    uint16_t code;
    uint8_t list;
} known_name;

enum { NAME_BITS = 10, NAME_SLOTS = 1 << NAME_BITS };
static known_name names[NAME_SLOTS];

/* The marks of suites, by code point; those of TLS 1.2 and before lie in these four pages of the registry. */
enum { PAGES = 4, PAGE = 256 };
static const uint8_t pages[PAGES] = {0x00, 0x13, 0xc0, 0xcc};
static uint32_t suite_marks[PAGES][PAGE];

static uint32_t marks_of_name(xb_span name)
{
    uint32_t marks = 0;
    const bool ecdhe = xb_span_starts(name, XB_SPAN("ecdhe-")), aead = xb_contains(name, XB_SPAN("gcm")) ||
                       xb_contains(name, XB_SPAN("ccm")) || xb_contains(name, XB_SPAN("chacha"));
    const bool cbc = !aead && (xb_contains(name, XB_SPAN("aes")) || xb_contains(name, XB_SPAN("camellia")) ||
                               xb_contains(name, XB_SPAN("des-")) || xb_contains(name, XB_SPAN("seed")));
    const bool sha2 = xb_span_ends(name, XB_SPAN("-sha256")) || xb_span_ends(name, XB_SPAN("-sha384"));
    if (xb_span_starts(name, XB_SPAN("tls_")))
        return xb_contains(name, XB_SPAN("scsv")) ? xb_contains(name, XB_SPAN("renegotiation")) ? XB_TLS_SCSV : 0
                                                  : XB_TLS_13 | (xb_contains(name, XB_SPAN("ccm")) ? XB_TLS_13_CCM : 0);
    marks |= xb_contains(name, XB_SPAN("ccm")) ? XB_TLS_CCM : 0;
    marks |= xb_contains(name, XB_SPAN("dss")) ? XB_TLS_DSS : 0;
    marks |= xb_contains(name, XB_SPAN("aria")) ? XB_TLS_ARIA : 0;
    marks |= xb_contains(name, XB_SPAN("camellia")) ? XB_TLS_CAMELLIA : 0;
    marks |= xb_contains(name, XB_SPAN("chacha")) ? XB_TLS_CHACHA : 0;
    marks |= xb_contains(name, XB_SPAN("des-cbc3")) || xb_contains(name, XB_SPAN("3des")) ? XB_TLS_3DES : 0;
    marks |= xb_span_starts(name, XB_SPAN("dhe-")) || xb_span_starts(name, XB_SPAN("edh-")) ? XB_TLS_DHE : 0;
    marks |= cbc ? XB_TLS_CBC : 0;
    marks |= cbc && ecdhe && sha2 && xb_contains(name, XB_SPAN("aes")) ? XB_TLS_CBC_SHA2 : 0;
    marks |= cbc && !sha2 && xb_span_starts(name, XB_SPAN("ecdhe-ecdsa-aes")) ? XB_TLS_ECDSA_CBC : 0;
    return marks;
}

static uint32_t marks_of_suite(uint32_t code)
{
    for (unsigned page = 0; page < PAGES; page++)
        if (code >> 8 == pages[page])
            return suite_marks[page][code & 0xff];
    return 0;
}

static void put_name(uint8_t list, uint16_t code, xb_span name)
{
    const uint64_t hash = xb_hash(name);
    size_t slot = hash >> (64 - NAME_BITS);
    while (names[slot].hash && names[slot].hash != hash)
        slot = (slot + 1) % NAME_SLOTS;
    names[slot] = (known_name){hash, code, list};
    for (unsigned page = 0; list == SUITES && page < PAGES; page++)
        if (code >> 8 == pages[page])
            suite_marks[page][code & 0xff] = marks_of_name(name);
}

void xb_handshake_init(void)
{
#define XB_SUITE(code, name) put_name(SUITES, code, XB_SPAN(name));
#define XB_GROUP(code, name) put_name(GROUPS, code, XB_SPAN(name));
#include "request/suites.def"
#undef XB_SUITE
#undef XB_GROUP
}

/* ---- members ---- */

static int hex4(const char *p)
{
    int n = 0;
    for (int i = 0; i < 4; i++) {
        const int digit = xb_hex(p[i]);
        if (digit < 0)
            return -1;
        n = n * 16 + digit;
    }
    return n;
}

/* The code point of a member, or -1 for a name that is not known; *hash is then that of the name. */
static int code_of(xb_span member, const char *end, unsigned list, uint64_t *hash)
{
    int code = -1;
    if (member.size == 6 && member.at[0] == '0' && (member.at[1] | 0x20) == 'x' && (code = hex4(member.at + 2)) >= 0)
        return code;
    if (member.size == 13 && xb_span_starts(member, XB_SPAN("unknown(")) && (code = hex4(member.at + 8)) >= 0)
        return code;
    *hash = xb_hash_within(member, end);
    for (size_t slot = *hash >> (64 - NAME_BITS); names[slot].hash; slot = (slot + 1) % NAME_SLOTS)
        if (names[slot].hash == *hash)
            return names[slot].list == list ? names[slot].code : -1;
    return -1;
}

static bool is_grease(int code) { return (code & 0x0f0f) == 0x0a0a && code >> 8 == (code & 0xff); }

enum { GREASE = 0x0a0a, P256 = 0x17, P384 = 0x18, P521 = 0x19, X448 = 0x1e, AES128_13 = 0x1301, AES256_13 = 0x1302, CHACHA_13 = 0x1303 };

/* What was seen of a list so far. */
typedef struct {
    uint64_t hash;
    uint32_t marks;
    uint32_t members, grease;
    int before;          /* the code point before, GREASE left out; -1: none, or an unknown name */
    int first13, second13; /* the first two suites of TLS 1.3 */
    bool older, p384;    /* a suite before TLS 1.3, P-384 */
} walk;

static void suite(walk *w, int code)
{
    const uint32_t marks = code < 0 ? 0 : marks_of_suite((uint32_t)code);
    w->marks |= marks;
    if (marks & XB_TLS_13) {
        w->marks |= w->older ? XB_TLS_13_LAST : 0;
        if (!w->first13)
            w->first13 = code;
        else if (!w->second13)
            w->second13 = code;
    } else if (!(marks & XB_TLS_SCSV)) {
        w->older = true;
    }
}

static void group(walk *w, int code)
{
    if (code == P256)
        w->marks |= w->members ? 0 : XB_TLS_P256_FIRST;
    else if (code == P384)
        w->p384 = true;
    else if (code == P521)
        w->marks |= XB_TLS_P521 | (w->p384 ? 0 : XB_TLS_P521_EARLY);
    else if (code == X448)
        w->marks |= XB_TLS_X448 | (w->before == P256 ? XB_TLS_X448_EARLY : 0);
    else if (code == 0x100 || code == 0x101)
        w->marks |= XB_TLS_FFDHE;
    else if (code >= 0x102 && code <= 0x104)
        w->marks |= XB_TLS_FFDHE_BIG;
    else if ((code >= 0x200 && code <= 0x202) || (code >= 0x11eb && code <= 0x11ee) || code == 0x6399 || code == 0x639a)
        w->marks |= XB_TLS_HYBRID;
}

/* One member; `other` is the hash of a name without a code point. */
static void step(walk *w, unsigned list, int code, uint64_t other)
{
    if (code >= 0 && is_grease(code)) {
        const bool first = !w->members && !w->grease;
        if (list == SUITES)
            w->marks |= XB_TLS_GREASE_CIPHER | (first ? XB_TLS_GREASE_CIPHER_FIRST : 0);
        else if (list == GROUPS)
            w->marks |= XB_TLS_GREASE_CURVE | (first ? XB_TLS_GREASE_CURVE_FIRST : 0);
        w->grease++;
        w->hash = xb_mix(w->hash ^ GREASE);
        return;
    }
    if (list == SUITES)
        suite(w, code);
    else if (list == GROUPS)
        group(w, code);
    w->hash = xb_mix(w->hash ^ (code < 0 ? other | UINT64_C(1) << 63 : (uint64_t)code));
    w->before = code;
    w->members++;
}

static bool is_end(char c) { return c == ':' || c == ','; }

_Static_assert(XB_MAX_LIST % 4 == 0, "a row is cut behind a member");

/* Is this a row of four hex digits a member? No name is: each has a letter behind F or a dash. */
static bool is_row(xb_span text)
{
    if (text.size % 4)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (xb_hex(text.at[i]) < 0)
            return false;
    return true;
}

static walk walked(xb_span text, unsigned list)
{
    walk w = {.hash = XB_GOLDEN * (list + 1), .before = -1};
    const char *const end = text.at + text.size;
    const char *stop = text.size > XB_MAX_LIST ? text.at + XB_MAX_LIST : end;
    const bool row = is_row(xb_span_of(text.at, stop));
    if (stop < end) { /* whole members only */
        w.marks |= XB_TLS_CUT;
        while (!row && stop > text.at && !is_end(*stop))
            stop--;
    }
    for (const char *p = text.at; p < stop;) {
        uint64_t other = 0;
        int code;
        if (w.members + w.grease == XB_MAX_SUITES) {
            w.marks |= XB_TLS_CUT;
            break;
        }
        if (row) {
            code = hex4(p);
            p += 4;
        } else {
            const char *to = xb_find(p, stop, ':', ',');
            xb_span member = xb_span_of(p, to);
            p = to + 1;
            while (member.size && *member.at == ' ')
                member = (xb_span){member.at + 1, member.size - 1};
            if (!member.size)
                continue;
            code = code_of(member, end, list, &other);
        }
        step(&w, list, code, other);
    }
    if (w.first13 == AES128_13 && w.second13 == CHACHA_13)
        w.marks |= XB_TLS_13_NSS;
    else if (w.first13 == AES256_13 && w.second13 == CHACHA_13)
        w.marks |= XB_TLS_13_OPENSSL;
    else if (w.first13 == AES256_13 && w.second13 == AES128_13)
        w.marks |= XB_TLS_13_JAVA;
    return w;
}

/* ---- the whole ---- */

/* Reads a list, if there is a member in it. */
static void read_list(xb_span text, unsigned list, uint8_t knows, xb_handshake *h, uint64_t *hash, uint16_t *members)
{
    if (!text.size)
        return;
    const walk w = walked(text, list);
    if (!w.members && !w.grease)
        return;
    h->known |= knows;
    h->marks |= w.marks;
    *hash = w.hash ? w.hash : 1;
    *members = (uint16_t)w.members;
}

static uint16_t version_of(xb_span s)
{
    if (xb_span_is(s, XB_SPAN("tlsv1.3")))
        return 0x0304;
    if (xb_span_is(s, XB_SPAN("tlsv1.2")))
        return 0x0303;
    if (xb_span_is(s, XB_SPAN("tlsv1.1")))
        return 0x0302;
    if (xb_span_is(s, XB_SPAN("tlsv1")) || xb_span_is(s, XB_SPAN("tlsv1.0")))
        return 0x0301;
    return xb_span_is(s, XB_SPAN("sslv3")) ? 0x0300 : 0;
}

static uint8_t alpn_of(xb_span s)
{
    if (xb_span_is(s, XB_SPAN("-")))
        return XB_ALPN_NONE;
    if (xb_span_is(s, XB_SPAN("h2")))
        return XB_ALPN_H2;
    if (xb_span_starts(s, XB_SPAN("http/1.")))
        return XB_ALPN_H1;
    return xb_span_is(s, XB_SPAN("h3")) ? XB_ALPN_H3 : XB_ALPN_OTHER;
}

/* Whose marks these are. What each one does was captured from it, or is in its source: Chromium and Apple put GREASE first in both
 * lists, and Chromium offers neither P-521 nor ECDHE-ECDSA in CBC mode; Go adds the suites of TLS 1.3 behind the others; GnuTLS
 * alone offers CCM in TLS 1.3; NSS puts AES-128 before ChaCha20 before AES-256, and offers two of the five ffdhe groups; OpenSSL has
 * P-521 before P-384, or X448 right behind P-256; Java has all five ffdhe groups and P-384 before P-521; rustls has the SCSV and
 * no CBC; Windows has CBC with SHA-2 and no ChaCha20. */
static xb_stack stack_of(const xb_handshake *h)
{
    const uint32_t m = h->marks;
    const bool curves = h->known & XB_KNOWS_CURVES;
    if (!(h->known & XB_KNOWS_CIPHERS))
        return XB_STACK_NONE;
    if (m & (XB_TLS_GREASE_CIPHER | XB_TLS_GREASE_CURVE)) {
        if (!(m & XB_TLS_GREASE_CIPHER_FIRST) || (curves && !(m & XB_TLS_GREASE_CURVE_FIRST)))
            return XB_STACK_NONE;
        return m & (XB_TLS_P521 | XB_TLS_ECDSA_CBC) ? XB_STACK_APPLE : XB_STACK_CHROMIUM;
    }
    if (m & XB_TLS_13_LAST)
        return XB_STACK_GO;
    if (m & XB_TLS_13_CCM)
        return XB_STACK_GNUTLS;
    if (m & (XB_TLS_X448_EARLY | XB_TLS_P521_EARLY) || (m & XB_TLS_13_OPENSSL))
        return XB_STACK_OPENSSL;
    if (m & XB_TLS_13_NSS && !(m & (XB_TLS_SCSV | XB_TLS_CCM | XB_TLS_X448 | XB_TLS_FFDHE_BIG)) && (!curves || m & XB_TLS_FFDHE))
        return XB_STACK_NSS;
    if (m & XB_TLS_SCSV && m & XB_TLS_FFDHE_BIG)
        return XB_STACK_JAVA;
    if (m & XB_TLS_SCSV && m & XB_TLS_CHACHA && m & XB_TLS_13_JAVA && !(m & (XB_TLS_CBC | XB_TLS_DHE)))
        return XB_STACK_RUSTLS;
    if (m & XB_TLS_CBC_SHA2 && !(m & (XB_TLS_CHACHA | XB_TLS_SCSV | XB_TLS_CCM | XB_TLS_X448 | XB_TLS_FFDHE | XB_TLS_FFDHE_BIG)))
        return XB_STACK_SCHANNEL;
    return XB_STACK_NONE;
}

void xb_handshake_of(const xb_tls *tls, xb_handshake *out)
{
    *out = (xb_handshake){0};
    read_list(tls->ciphers, SUITES, XB_KNOWS_CIPHERS, out, &out->ciphers, &out->n_ciphers);
    read_list(tls->curves, GROUPS, XB_KNOWS_CURVES, out, &out->curves, &out->n_curves);
    read_list(tls->sigalgs, SCHEMES, XB_KNOWS_SIGALGS, out, &out->sigalgs, &out->n_sigalgs);
    out->protocol = version_of(tls->protocol);
    out->known |= out->protocol ? XB_KNOWS_PROTOCOL : 0;
    if (tls->alpn.size) {
        out->known |= XB_KNOWS_ALPN;
        out->alpn = alpn_of(tls->alpn);
    }
    if (xb_span_is(tls->reused, XB_SPAN("r")) || xb_span_is(tls->reused, XB_SPAN("."))) {
        out->known |= XB_KNOWS_REUSED;
        out->reused = *tls->reused.at == 'r' || *tls->reused.at == 'R';
    }
    out->stack = (uint8_t)stack_of(out);
}

/* ---- the connection ---- */

/* The number at p, of at most `most`, and what stands behind it; NULL if there is none, or a larger one. */
static inline const char *number(const char *p, const char *end, uint64_t most, uint64_t *out)
{
    const char *from = p;
    uint64_t n = 0;
    for (unsigned digit; p < end && (digit = (unsigned)(unsigned char)*p - '0') < 10; p++) {
        if (n > (UINT64_MAX - 9) / 10 && (__builtin_mul_overflow(n, UINT64_C(10), out) || __builtin_add_overflow(*out, digit, out)))
            return NULL;
        n = n * 10 + digit;
    }
    *out = n;
    return p > from && n <= most ? p : NULL;
}

bool xb_connection_id_parse(xb_span text, xb_connection_id *out)
{
    uint64_t process, serial, requests;
    *out = (xb_connection_id){0};
    if (!text.size)
        return false;
    const char *p = text.at, *end = p + text.size;
    if (!(p = number(p, end, UINT32_MAX, &process)) || p == end || *p++ != '-' || !(p = number(p, end, UINT64_MAX, &serial)) ||
        p == end || *p++ != '-' || !(p = number(p, end, UINT32_MAX, &requests)) || p != end || !requests)
        return false;
    *out = (xb_connection_id){serial, (uint32_t)process, (uint32_t)requests};
    return true;
}
