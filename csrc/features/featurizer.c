#include "features/featurizer.h"

#include <math.h>

#include "features/agent.h"
#include "features/claims.h"
#include "features/words.h"
#include "base/hash.h"

const xb_feature_row xb_feature_rows[] = {
#define XB_FEATURE(name, group, version, expression, doc) {#name, doc, XB_HAS_##group, version},
#define XB_FAMILY(name, group, version, doc)
#include "features/features.def"
#undef XB_FEATURE
#undef XB_FAMILY
};

const xb_feature_row xb_family_rows[] = {
#define XB_FEATURE(name, group, version, expression, doc)
#define XB_FAMILY(name, group, version, doc) {#name, doc, XB_HAS_##group, version},
#include "features/features.def"
#undef XB_FEATURE
#undef XB_FAMILY
};

/* A model file names each row in so many bytes. */
#define XB_FEATURE(name, group, version, expression, doc) _Static_assert(sizeof #name <= XB_ROW_NAME, "a shorter name");
#define XB_FAMILY(name, group, version, doc) _Static_assert(sizeof #name <= XB_ROW_NAME, "a shorter name");
#include "features/features.def"
#undef XB_FEATURE
#undef XB_FAMILY

void xb_init(void)
{
    xb_request_init();
    xb_facts_init();
}

/* ---- known hosts ---- */

uint32_t xb_host_hash(xb_span host)
{
    if (xb_span_starts(host, XB_SPAN("www.")))
        host = (xb_span){host.at + 4, host.size - 4};
    return (uint32_t)(xb_hash(host) >> 32);
}

bool xb_hosts_know(const xb_hosts *hosts, xb_span host)
{
    if (!host.size)
        return false;
    const uint32_t want = xb_host_hash(host), *at = hosts->hash;
    if (!hosts->count)
        return false;
    for (uint32_t left = hosts->count; left > 1; left -= left / 2) /* the last at or below `want`, or the first */
        at += at[left / 2] <= want ? left / 2 : 0;
    return *at == want;
}

/* ---- dense ---- */

/* The short names of features.def. */
#define CAP(n, most) ((n) < (most) ? (n) : (most))
#define V4 (f->ip.version == 4)
#define HOSTS (hosts->count > 0)
#define MARK(name) ((ua->marks & XB_MARK_##name) != 0)
#define BROWSER(name) (ua->browser == XB_BROWSER_##name)
#define VENDOR(name) (ua->vendor == XB_VENDOR_##name)
#define OS(name) (ua->os == XB_OS_##name)
#define CATEGORY(name) (ua->category == XB_CATEGORY_##name)
#define HEADER(name) xb_has(r, XB_H_##name)
#define VALUE(name) xb_value(r, XB_H_##name)
#define ENCODING(name) ((f->encodings.marks & XB_ENCODING_##name) != 0)
#define SECURE (r->scheme.size == 5)
/* A contradiction of claims.h; those over https or plain http are absent where the scheme is. */
#define ODD(name) ((f->odd >> XB_ODD_##name & 1) != 0)
#define ODD_OVER(name) (r->scheme.size ? ODD(name) : NAN)
#define CASE_KNOWN ((r->present & XB_HAS_CASE) && f->protocol && f->protocol < 20)

/* An agent that claims to be a browser. */
#define BROWSING (ua->mozilla && !BROWSER(TEXT))
/* Browsers begin with Mozilla/, but for the old Opera; text browsers, Facebook's programs and Apple's helpers with their names. */
#define STARTS(lower) xb_span_starts(ua->text, XB_SPAN(lower))
#define MISSHAPEN                                                                                                              \
    (!ua->mozilla && !BROWSER(NONE) && !BROWSER(UC) && !BROWSER(BLACKBERRY) && !BROWSER(SAMSUNG) && !MARK(CFNETWORK) &&        \
     !MARK(DALVIK) && !STARTS("opera/") && !STARTS("[fb") && !STARTS("lynx/") && !STARTS("links (") && !STARTS("elinks") &&    \
     !STARTS("w3m/") && !STARTS("dillo/") && !STARTS("netsurf/"))
#define ENGINE(name) (xb_engine_of(ua) == XB_ENGINE_##name)
/* Browsers of the last ten years: the older ones, of which there were hundreds, die out. */
#define RECENT (ua->chromium >= 55 || (!ua->chromium && (BROWSER(FIREFOX) || BROWSER(SAFARI)) && ua->major >= (BROWSER(FIREFOX) ? 50 : 10)))
/* The handshake. */
#define KNOWS(text) ((hs->known & XB_KNOWS_##text) != 0)
#define OFFERS(mark) ((hs->marks & XB_TLS_##mark) != 0)
#define STACK(name) (hs->stack == XB_STACK_##name)
#define CLAIMS_KNOWN (KNOWS(CIPHERS) && f->present & XB_HAS_UA)
#define DESK (ua->category == XB_CATEGORY_PC && !MARK(EMBEDDED))

/* What the client did before: its own counts, its network's, those of its shape. */
#define CLIENT(name) (b->client.count[XB_TALLY_##name])
#define NET(name) (b->network.count[XB_TALLY_##name])
#define FLEET(name) (b->shape.count[XB_TALLY_##name])
#define DID(mark) ((b->client.marks & XB_MARK_##mark) != 0)
#define IS_PAGE (b->what == XB_VISIT_PAGE)
#define NO_PART (!DID(PARTED) && b->what != XB_VISIT_PART)
#define NO_COOKIE (!DID(KEEPS) && !b->cookie)
/* For sites whose visitors load parts, or bring cookies: others tell nothing by that. */
#define PARTS_TELL(condition) (b->parts_told ? b->browser && (condition) : NAN)
#define COOKIES_TELL(condition) (b->cookies_told ? b->browser && (condition) : NAN)
/* Most who have this shape load no part. */
#define BARE(share) (FLEET(LOADERS) < (share) * FLEET(VISITORS))

/* The rows of the handshake and, behind them, those of the client stand last: where they are absent, nobody looks at them. */
enum { FIRST_OF_TLS = XB_F_tls_13, FIRST_OF_CLIENT = XB_FIRST_OF_CLIENT };
enum { WITHOUT_TLS = (FIRST_OF_TLS + 3) / 4 * 4, WITHOUT_CLIENT = (FIRST_OF_CLIENT + 3) / 4 * 4 };
#define XB_FEATURE(name, group, version, expression, doc)                                                         \
    _Static_assert(((int)XB_F_##name >= (int)XB_FIRST_OF_UA && (int)XB_F_##name < (int)XB_BEHIND_UA) ==           \
                       (XB_HAS_##group == XB_HAS_UA),                                                             \
                   "features.def: the rows of UA stand together");                                                \
    _Static_assert(((int)XB_F_##name >= (int)FIRST_OF_CLIENT) == (XB_HAS_##group == XB_HAS_CLIENT) &&             \
                       ((int)XB_F_##name >= (int)FIRST_OF_TLS && (int)XB_F_##name < (int)FIRST_OF_CLIENT) ==      \
                           (XB_HAS_##group == XB_HAS_TLS),                                                        \
                   "features.def: the rows of TLS stand last, and behind them those of CLIENT");
#define XB_FAMILY(name, group, version, doc)
#include "features/features.def"
#undef XB_FEATURE
#undef XB_FAMILY

/* The groups whose rows are made only where the group is there; in all others each row looks. */
enum { MADE_IF_THERE = XB_HAS_UA | XB_HAS_TLS | XB_HAS_CLIENT };

/* The rows from `first` on, and before `end`, to out[0] and on; both are constants, so only these are compiled. */
static inline __attribute__((always_inline)) void rows(const xb_request *r, const xb_hosts *hosts, const xb_facts *f, const xb_behaviour *b,
                                                       double *out, const int first, const int end)
{
    const xb_agent_facts *ua = f->agent;
    const xb_url *ref = &f->referrer;
    const xb_path_facts *url = &f->path;
    const xb_handshake *hs = &f->handshake;
    const uint32_t held = f->present;
#define XB_FEATURE(name, group, version, expression, doc)         \
    if ((int)XB_F_##name >= first && (int)XB_F_##name < end)      \
        out[XB_F_##name - first] = (XB_HAS_##group & MADE_IF_THERE) || held & XB_HAS_##group ? (double)(expression) : (double)NAN;
#define XB_FAMILY(name, group, version, doc)
#include "features/features.def"
#undef XB_FEATURE
#undef XB_FAMILY
}

/* Takes an agent apart, unless it is known. */
static xb_known_agent *agent_of(xb_vector *v, xb_span text)
{
    xb_known_agent *a = &v->agents[xb_memo_place(text, XB_AGENTS)];
    for (size_t way = 0; way < XB_MEMO_WAYS; way++)
        if (xb_memo_holds(&a[way].text, text))
            return &a[way];
    a += v->new_agents++ % XB_MEMO_WAYS;
    const xb_facts alone = {.agent = &a->facts};
    a->made_for = 0;
    xb_agent_facts_of(xb_memo_keep(&a->text, text), &a->facts);
    rows(NULL, NULL, &alone, NULL, a->rows, XB_FIRST_OF_UA, XB_BEHIND_UA);
    return a;
}

/* Makes the rows of a group absent, unless they were left so. */
static void absent(xb_vector *v, uint32_t group, int first, int end)
{
    for (int i = first; i < end && !(v->absent & group); i++)
        v->dense[i] = NAN;
    v->absent |= group;
}

/* All rows but those of the client. */
static void dense(const xb_request *r, const xb_hosts *hosts, const xb_known_agent *agent, xb_vector *v)
{
    const xb_facts *f = &v->facts;
    rows(r, hosts, f, NULL, v->dense, 0, XB_FIRST_OF_UA);
    if (f->present & XB_HAS_UA) {
        memcpy(v->dense + XB_FIRST_OF_UA, agent->rows, sizeof agent->rows);
        v->absent &= ~(uint32_t)XB_HAS_UA;
    } else {
        absent(v, XB_HAS_UA, XB_FIRST_OF_UA, XB_BEHIND_UA);
    }
    rows(r, hosts, f, NULL, v->dense + XB_BEHIND_UA, XB_BEHIND_UA, FIRST_OF_TLS);
    if (f->present & XB_HAS_TLS) {
        rows(r, hosts, f, NULL, v->dense + FIRST_OF_TLS, FIRST_OF_TLS, FIRST_OF_CLIENT);
        v->absent &= ~(uint32_t)XB_HAS_TLS;
        v->n_held = WITHOUT_CLIENT;
    } else {
        absent(v, XB_HAS_TLS, FIRST_OF_TLS, FIRST_OF_CLIENT);
        v->n_held = WITHOUT_TLS;
    }
}

/* The rows of the client: of the behaviour, or NAN. */
static void dense_client(const xb_request *r, const xb_hosts *hosts, xb_vector *v, bool client)
{
    if (client) {
        rows(r, hosts, &v->facts, &v->behaviour, v->dense + FIRST_OF_CLIENT, FIRST_OF_CLIENT, XB_N_DENSE);
        v->absent &= ~(uint32_t)XB_HAS_CLIENT;
        v->n_held = XB_PADDED_DENSE;
    } else {
        absent(v, XB_HAS_CLIENT, FIRST_OF_CLIENT, XB_N_DENSE);
    }
}

static void featurize(const xb_request *r, const xb_shape *shape, xb_client_look *look, xb_vector *v)
{
    xb_words_forget(v);
    xb_facts *f = &v->facts;
    xb_facts_begin(r, f);
    /* The table's memory is far away. The sets are asked for as soon as it is known where they are, the entries as soon as the sets are
     * there; everything else is found in the meantime. */
    if (look)
        xb_client_keys_of(look->table, f, &look->keys, &look->places);
    xb_known_agent *agent = agent_of(v, xb_agent_text(r));
    xb_facts_finish(f, &agent->facts, &v->values);
    const bool client = look && look->keys.client;
    if (client)
        xb_clients_look_all(&look->keys, &look->places);
    dense(r, &shape->hosts, agent, v);
    xb_words_of(shape, agent, v);
    if (client) {
        f->present |= XB_HAS_CLIENT;
        xb_visit_of(f, &look->visit);
        xb_behaviour_of(look->table, &look->places, look->now_ms, f, &look->visit, &v->behaviour);
    }
    dense_client(r, &shape->hosts, v, client);
}

void xb_featurize(const xb_request *r, const xb_shape *shape, xb_vector *v) { featurize(r, shape, NULL, v); }

void xb_featurize_client(const xb_request *r, const xb_shape *shape, xb_client_look *look, xb_vector *v) { featurize(r, shape, look, v); }
