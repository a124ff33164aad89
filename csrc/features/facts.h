/* facts.h - what features.def computes from: a request taken apart once.
 *
 * Law: every byte is looked at once here; the rows of features.def only combine what stands in these structs.
 * All counts are exact below 2^24, so that a float32 matrix holds the same values as the scorer's doubles.
 */
#ifndef XB_FACTS_H
#define XB_FACTS_H

#include "base/address.h"
#include "features/values.h"

#define XB_BROWSER(name, vendor) XB_BROWSER_##name,
enum {
#include "features/agents.def"
};
#undef XB_BROWSER
#define XB_VENDOR(name) XB_VENDOR_##name,
enum {
#include "features/agents.def"
};
#undef XB_VENDOR
#define XB_OS(name) XB_OS_##name,
enum {
#include "features/agents.def"
};
#undef XB_OS
#define XB_CATEGORY(name) XB_CATEGORY_##name,
enum {
#include "features/agents.def"
};
#undef XB_CATEGORY

/* Marks: words that tell something else. A bit set. */
enum {
    XB_MARK_NONE = 0,
    XB_MARK_WEBVIEW = 1 << 0,
    XB_MARK_VERSION = 1 << 1,
    XB_MARK_WEBKIT = 1 << 2,
    XB_MARK_GECKO = 1 << 3,
    XB_MARK_KHTML = 1 << 4,
    XB_MARK_COMPATIBLE = 1 << 5,
    XB_MARK_URL = 1 << 6,
    XB_MARK_HEADLESS = 1 << 7,
    XB_MARK_CHROMIUM = 1 << 8,
    XB_MARK_NOT_A_BOT = 1 << 9,
    XB_MARK_PRODUCT = 1 << 10,
    XB_MARK_EMBEDDED = 1 << 11,  /* a browser's engine inside a program of a desk */
    XB_MARK_EDGEHTML = 1 << 12,  /* Edge before it was a Chromium */
    XB_MARK_CFNETWORK = 1 << 13, /* a program by Apple's library */
    XB_MARK_DALVIK = 1 << 14,    /* a program by Android's */
    XB_MARK_PLAYER = 1 << 15     /* plays films and sounds */
};

typedef struct {
    xb_span text;
    uint64_t hash; /* xb_hash(text) */
} xb_word;

enum { XB_ORIGINS = 64 /* beginnings of referrers that are kept; a power of two */, XB_ORIGIN_TEXT = 96 /* bytes of one, at most */ };
enum { XB_MAX_WORDS = 64 }; /* words kept of an agent, and of a path; more are counted, not kept */

typedef struct {
    xb_span text;      /* the agent; words lie in it */
    uint64_t hash;     /* xb_hash(text); 0 of one that is too long to be kept (memo.h): whoever needs it makes it */
    uint32_t length, words, digits, semicolons;
    uint32_t marks;    /* XB_MARK_* */
    uint32_t major;    /* the browser's major version, 0 if it says none */
    uint32_t chromium; /* the version of Chromium in it, 0 if it says none */
    uint32_t foreign;  /* products, outside brackets, that no browser is known to name */
    uint8_t browser, vendor, os, category;
    bool mozilla;      /* starts with "Mozilla/" */
    bool bot_word;     /* a word ends in bot, crawler, spider */
    bool full_version; /* says more than the major version of Chromium: "131.0.6778.86" where browsers say "131.0.0.0" */
    bool mail;         /* holds an @ before a letter, as an address does: "x@example.org", but not "android@111" */
    bool strange;      /* holds control bytes or bytes above 0x7f */
    uint32_t n_words;
    xb_word word[XB_MAX_WORDS]; /* without those that are digits only */
} xb_agent_facts;

typedef struct {
    xb_span scheme, host, path, query; /* host without port, path from its '/' to before the '?' */
    uint32_t length, dots;             /* bytes of all, dots in the host */
    bool numeric;                      /* the host is an address */
} xb_url;

/* What is found in the beginning of a referrer, up to its path; kept for the next one that begins so (memo.h). */
typedef struct {
    uint16_t size;      /* bytes of the beginning; 0: nothing is kept */
    uint16_t host, host_size; /* where the host is in it */
    uint32_t dots;
    bool numeric;
    uint32_t site;      /* as in xb_facts */
    uint64_t hash;      /* xb_hash of the host */
    char bytes[XB_ORIGIN_TEXT];
} xb_known_origin;

/* MEDIA: pictures, films and icons, which people also open by themselves; ASSET: styles, scripts and fonts. */
enum { XB_KIND_PAGE, XB_KIND_SCRIPT, XB_KIND_ASSET, XB_KIND_MEDIA, XB_KIND_FEED, XB_KIND_OTHER };

typedef struct {
    xb_url url;
    uint32_t depth, parameters, percent, dots;
    uint8_t kind;      /* XB_KIND_*, by the extension of the last segment, before its parameters (";": RFC 3986, 3.3) */
    bool hidden;       /* a segment starts with a dot: /.git, /.env */
    uint32_t n_words;
    xb_word word[XB_MAX_WORDS];
} xb_path_facts;

typedef struct {
    uint32_t present; /* XB_HAS_* of the request */
    const xb_request *request;
    xb_address ip;
    const xb_agent_facts *agent;
    xb_span host;        /* the site's, without its port */
    xb_url referrer;
    xb_handshake handshake; /* `known` 0: absent */
    uint64_t referrer_hash; /* xb_hash of its host */
    uint32_t referrer_site; /* xb_host_hash of its host */
    bool referrer_own;   /* the referrer's host is the site's; only where the host is known */
    xb_path_facts path;
    uint32_t protocol;   /* 10, 11, 20, 30; 0 unknown */
    uint32_t n_visitor;  /* headers of the visitor */
    xb_value_facts accept, encodings, brands; /* of Accept, Accept-Encoding, Sec-CH-UA */
    uint32_t situation;  /* XB_SITUATION_* (situation.h) */
    uint64_t odd;        /* bit set of contradictions: XB_ODD_* (claims.h) */
} xb_facts;

void xb_facts_init(void);

/* Who asks: address, protocol and handshake. That is what the keys of a client are made of, beside the request itself (behaviour.h), so
 * the table's memory can be asked for before everything else is found. */
void xb_facts_begin(const xb_request *r, xb_facts *f);

/* Path, referrer and situation, after xb_facts_begin. `agent`: the facts of xb_agent_text(r), which live as long as `f` is looked at. What
 * is left, values and contradictions, follows from them and from what the program says (fingerprint.h). `origins`: of referrers before, all
 * zero at first. */
void xb_facts_finish(xb_facts *f, const xb_agent_facts *agent, xb_known_origin origins[XB_ORIGINS]);

/* The agent, or an empty text for none, and for a lone dash: so logs write "nothing", and a visitor who sends one must look the same in a
 * log and on the wire. */
xb_span xb_agent_text(const xb_request *r);

#endif
