#include "features/featurizer.h"

#include <math.h>

#include "features/agent.h"
#include "features/claims.h"
#include "features/fingerprint.h"
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

bool xb_hosts_know(const xb_hosts *hosts, uint32_t want)
{
    const uint32_t *at = hosts->hash;
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
/* Visitors of a group who had the time to load a part, and to bring a cookie: nobody in his first quarter of a minute, all after some minutes. */
#define LATE(group) (2.0f * b->group.latest)
#define SETTLED(group) (b->group.count[XB_TALLY_VISITORS] - LATE(group))
/* One network says nothing of who looks alike elsewhere, or it could have a stranger refused. */
#define SPREAD (FLEET(NETWORKS) > 9.5)
/* Most who have this shape load no part. Each row asks first that enough of them have settled. */
#define BARE(share) (SPREAD && FLEET(LOADERS) < (share) * SETTLED(shape))

/* Which rows stand where. Those of handshake and client stand last: where they are absent, nobody looks at them. */
#define IN(row, from, to) ((int)XB_F_##row >= (int)(from) && (int)XB_F_##row < (int)(to))
#define XB_FEATURE(name, group, version, expression, doc)                                                                          \
    _Static_assert(IN(name, XB_FIRST_OF_UA, XB_BEHIND_UA) == (XB_HAS_##group == XB_HAS_UA), "the rows of UA stand first");            \
    _Static_assert(IN(name, XB_FIRST_OF_HEADERS, XB_BEHIND_HEADERS) || (XB_HAS_##group != XB_HAS_HEADERS && XB_HAS_##group != XB_HAS_ORDER), \
                   "those of HEADERS and ORDER stand together");                                                                    \
    _Static_assert(IN(name, XB_FIRST_OF_TLS, XB_FIRST_OF_CLIENT) == (XB_HAS_##group == XB_HAS_TLS), "then those of TLS");             \
    _Static_assert(IN(name, XB_FIRST_OF_CLIENT, XB_N_DENSE) == (XB_HAS_##group == XB_HAS_CLIENT), "and last those of CLIENT");
#define XB_FAMILY(name, group, version, doc)
#include "features/features.def"
#undef XB_FEATURE
#undef XB_FAMILY
#undef IN

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
static const xb_known_agent *agent_of(xb_vector *v, xb_span text)
{
    const uint64_t hash = xb_memo_hash(text);
    size_t place = xb_memo_set(hash, XB_AGENTS, XB_AGENT_WAYS);
    for (size_t way = 0; way < XB_AGENT_WAYS; way++)
        if (v->agent_hash[place + way] == hash && xb_memo_holds(&v->agents[place + way].text, text))
            return &v->agents[place + way];
    place += v->new_agents++ % XB_AGENT_WAYS;
    xb_known_agent *a = &v->agents[place];
    xb_agent_facts_of(xb_memo_keep(&a->text, text), &a->facts);
    a->number = a->text.kept ? v->new_agents : 0;
    v->agent_hash[place] = hash;
    return a;
}

/* The number of a shape: that of the last one, if its words fall into the same buckets. The first differs from none, which has no buckets. */
static uint32_t shape_of(xb_vector *v, const xb_shape *shape)
{
    uint64_t differ = (v->shape.k ^ shape->k) | (v->shape.families ^ shape->families);
    for (size_t i = 0; i < XB_N_FAMILIES; i++)
        differ |= v->shape.salt[i] ^ shape->salt[i];
    if (differ) {
        v->shape = *shape;
        v->shapes += v->shapes == UINT32_MAX ? 2 : 1;
    }
    return v->shapes;
}

/* The rows of the print. */
static void said_rows(const xb_request *r, const xb_facts *f, double of_agent[XB_BEHIND_UA - XB_FIRST_OF_UA], double of_headers[XB_BEHIND_HEADERS - XB_FIRST_OF_HEADERS])
{
    if (f->present & XB_HAS_UA)
        rows(r, NULL, f, NULL, of_agent, XB_FIRST_OF_UA, XB_BEHIND_UA);
    else
        for (int i = 0; i < XB_BEHIND_UA - XB_FIRST_OF_UA; i++)
            of_agent[i] = NAN;
    rows(r, NULL, f, NULL, of_headers, XB_FIRST_OF_HEADERS, XB_BEHIND_HEADERS);
}

static void keep(xb_vector *v, xb_print *p)
{
    const xb_facts *f = &v->facts;
    p->accept = f->accept;
    p->encodings = f->encodings;
    p->brands = f->brands;
    p->odd = f->odd;
    xb_words_keep(v, p);
}

static void recall(const xb_print *p, xb_vector *v)
{
    xb_facts *f = &v->facts;
    f->accept = p->accept;
    f->encodings = p->encodings;
    f->brands = p->brands;
    f->odd = p->odd;
    xb_words_recall(p, v);
}

/* Everything that follows from what the program says. */
static void print_of(const xb_request *r, const xb_shape *shape, uint64_t agent, xb_vector *v)
{
    xb_facts *f = &v->facts;
    bool known;
    xb_print *p = xb_print_of(&v->prints, r, f, agent, shape_of(v, shape), &known);
    if (known) {
        recall(p, v);
    } else {
        f->accept = xb_value_facts_of(r, XB_H_ACCEPT, &v->values);
        f->encodings = xb_value_facts_of(r, XB_H_ACCEPT_ENCODING, &v->values);
        f->brands = xb_value_facts_of(r, XB_H_SEC_CH_UA, &v->values);
        f->odd = xb_claims(r, f);
        said_rows(r, f, p ? p->of_agent : v->dense + XB_FIRST_OF_UA, p ? p->of_headers : v->dense + XB_FIRST_OF_HEADERS);
        xb_words_said(shape, v);
        if (p)
            keep(v, p);
    }
    v->print = p;
}

/* Makes the rows of a group absent, unless they were left so. */
static void absent(xb_vector *v, uint32_t group, int first, int end)
{
    for (int i = first; i < end && !(v->absent & group); i++)
        v->dense[i] = NAN;
    v->absent |= group;
}

/* All other rows but those of the client. */
static void dense(const xb_request *r, const xb_hosts *hosts, xb_vector *v)
{
    const xb_facts *f = &v->facts;
    rows(r, hosts, f, NULL, v->dense + XB_BEHIND_UA, XB_BEHIND_UA, XB_FIRST_OF_HEADERS);
    if (f->present & XB_HAS_TLS) {
        rows(r, hosts, f, NULL, v->dense + XB_FIRST_OF_TLS, XB_FIRST_OF_TLS, XB_FIRST_OF_CLIENT);
        v->absent &= ~(uint32_t)XB_HAS_TLS;
        v->n_held = XB_FIRST_OF_CLIENT;
    } else {
        absent(v, XB_HAS_TLS, XB_FIRST_OF_TLS, XB_FIRST_OF_CLIENT);
        v->n_held = XB_FIRST_OF_TLS;
    }
}

/* The rows of the client: of the behaviour, or NAN. */
static void dense_client(const xb_request *r, const xb_hosts *hosts, xb_vector *v, bool client)
{
    if (client) {
        rows(r, hosts, &v->facts, &v->behaviour, v->dense + XB_FIRST_OF_CLIENT, XB_FIRST_OF_CLIENT, XB_N_DENSE);
        v->absent &= ~(uint32_t)XB_HAS_CLIENT;
        v->n_held = XB_N_DENSE;
    } else {
        absent(v, XB_HAS_CLIENT, XB_FIRST_OF_CLIENT, XB_N_DENSE);
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
    const xb_known_agent *agent = agent_of(v, xb_agent_text(r));
    xb_facts_finish(f, &agent->facts, v->origins);
    const bool client = look && look->keys.client;
    if (client)
        xb_clients_look_all(&look->keys, &look->places);
    print_of(r, shape, agent->number, v);
    if (f->handshake.known)
        f->odd |= xb_claims_of_handshake(f);
    dense(r, &shape->hosts, v);
    xb_words_of(shape, v);
    if (client) {
        f->present |= XB_HAS_CLIENT;
        xb_visit_of(f, &look->visit);
        xb_behaviour_of(look->table, &look->places, look->now_ms, f, &look->visit, &v->behaviour);
    }
    dense_client(r, &shape->hosts, v, client);
}

void xb_featurize(const xb_request *r, const xb_shape *shape, xb_vector *v) { featurize(r, shape, NULL, v); }

void xb_featurize_client(const xb_request *r, const xb_shape *shape, xb_client_look *look, xb_vector *v) { featurize(r, shape, look, v); }
