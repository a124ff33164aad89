#include "features/words.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/hash.h"

uint64_t xb_family_salt(uint32_t i) { return (uint64_t)(i + 1) * XB_GOLDEN; }

xb_shape xb_shape_of(unsigned k, uint32_t families, xb_hosts hosts)
{
    xb_shape shape = {.k = k, .families = families, .hosts = hosts};
    for (uint32_t i = 0; i < XB_N_FAMILIES; i++)
        shape.salt[i] = xb_family_salt(i);
    return shape;
}

static inline uint32_t bucket_of(const xb_shape *shape, xb_family_id family, uint64_t hash)
{
    return (uint32_t)(xb_mix(hash ^ shape->salt[family]) >> (64 - shape->k));
}

/* What the words of one request are made by. */
typedef struct {
    const xb_shape *shape;
    const xb_facts *facts;
    xb_known_buckets *known;
    xb_vector *v;
} maker;

/* Adds a word, unless its bucket is taken; n words are there. Returns how many are then. The caller has asked whether the family
 * counts. */
static inline uint32_t put(const maker *m, uint32_t n, xb_family_id family, uint32_t bucket, uint32_t word)
{
    uint64_t *taken = &m->v->taken[bucket / 64];
    const uint64_t set = *taken;
    if (set >> (bucket % 64) & 1)
        return n;
    if (n == XB_MAX_TOKENS) {
        m->v->truncated = true;
        return n;
    }
    *taken = set | UINT64_C(1) << (bucket % 64);
    m->v->tokens[n] = (xb_token){bucket, (uint16_t)word, (uint8_t)family};
    return n + 1;
}

static inline bool counts(const maker *m, uint32_t group, xb_family_id family)
{
    return m->facts->present & group && m->shape->families >> family & 1;
}

static uint32_t networks(const maker *m, uint32_t n)
{
    static const uint8_t prefixes[2][3] = {{32, 24, 16}, {128, 64, 48}};
    const xb_address *ip = &m->facts->ip;
    const uint8_t *prefix = prefixes[ip->version == 6];
    for (int i = 0; i < 3; i++) {
        /* The prefix length is a part of what is hashed: 10.0.0.0/24 is not 10.0.0.0/16. */
        uint64_t h = prefix[i];
        for (unsigned byte = 0; byte < prefix[i] / 8u; byte++)
            h = (h << 8 | ip->bytes[byte]) ^ (h >> 56) * XB_GOLDEN;
        n = put(m, n, XB_T_ip_net, bucket_of(m->shape, XB_T_ip_net, xb_mix(h)), prefix[i]);
    }
    return n;
}

static uint32_t agent_words(const maker *m, uint32_t n, xb_known_agent *a)
{
    if (a->made_for != m->known->shapes) {
        for (uint32_t i = 0; i < a->facts.n_words; i++)
            a->bucket[i] = bucket_of(m->shape, XB_T_ua_word, a->facts.word[i].hash);
        a->made_for = m->known->shapes;
    }
    for (uint32_t i = 0; i < a->facts.n_words; i++)
        n = put(m, n, XB_T_ua_word, a->bucket[i], i);
    return n;
}

static uint32_t path_words(const maker *m, uint32_t n)
{
    const xb_path_facts *path = &m->facts->path;
    for (uint32_t i = 0; i < path->n_words; i++)
        n = put(m, n, XB_T_url_word, bucket_of(m->shape, XB_T_url_word, path->word[i].hash), i);
    return n;
}

/* ---- headers ---- */

/* The headers that have words, one after the other: those of the visitor in their order, made-up names up to a bound; then, by name, known ones
 * that came behind the bound on headers. */
typedef struct {
    const xb_request *r;
    uint32_t at;     /* where it goes on: a place, then XB_MAX_HEADERS + id */
    uint32_t others; /* names that mean nothing here, so far */
} walk;

enum { NO_HEADER = UINT16_MAX };

/* The place of the next one; NO_HEADER at the end. */
static inline uint32_t next_header(walk *w)
{
    while (w->at < w->r->n_headers) {
        const xb_header *h = &w->r->headers[w->at++];
        if (h->visitor && (h->id != XB_H_OTHER || ++w->others <= XB_MAX_NAMED))
            return w->at - 1;
    }
    if (!w->r->n_late)
        return NO_HEADER;
    for (uint32_t place = w->at < XB_MAX_HEADERS ? XB_MAX_HEADERS : w->at; place < XB_MAX_HEADERS + XB_H_COUNT; place++) {
        const xb_header_id id = (xb_header_id)(place - XB_MAX_HEADERS);
        w->at = place + 1;
        if (xb_has(w->r, id) && w->r->first[id] == place && w->r->headers[place].visitor)
            return place;
    }
    return NO_HEADER;
}

/* xb_hash(h->value), which is known of the first header of a name. */
static uint64_t value_hash(const xb_facts *f, const xb_header *h)
{
    if (h != &f->request->headers[f->request->first[h->id]])
        return xb_hash(h->value);
    return h->id == XB_H_ACCEPT ? f->accept.hash : f->encodings.hash;
}

static inline uint32_t name_bucket(const maker *m, const xb_header *h)
{
    if (h->id == XB_H_OTHER)
        return bucket_of(m->shape, XB_T_hdr_name, h->hash);
    uint32_t *kept = &m->known->name[h->id];
    if (*kept == XB_NO_BUCKET)
        *kept = bucket_of(m->shape, XB_T_hdr_name, h->hash);
    return *kept;
}

/* Of a pair of names. The first one has XB_H_COUNT and the hash 0 before it. */
static inline uint32_t order_bucket(const maker *m, uint8_t before_id, uint64_t before_hash, const xb_header *h)
{
    const uint64_t hash = before_hash * XB_MIX_1 + h->hash;
    if (h->id == XB_H_OTHER || before_id == XB_H_OTHER)
        return bucket_of(m->shape, XB_T_hdr_order, hash);
    uint32_t *kept = &m->known->order[before_id][h->id];
    if (*kept == XB_NO_BUCKET)
        *kept = bucket_of(m->shape, XB_T_hdr_order, hash);
    return *kept;
}

static uint32_t headers(const maker *m, uint32_t n)
{
    const xb_request *r = m->facts->request;
    const bool all = r->present & XB_HAS_ORDER, names = m->shape->families >> XB_T_hdr_name & 1,
               values = m->shape->families >> XB_T_hdr_value & 1, order = all && m->shape->families >> XB_T_hdr_order & 1;
    uint8_t before_id = XB_H_COUNT;
    uint64_t before_hash = 0;
    walk w = {.r = r};
    for (uint32_t place; (place = next_header(&w)) != NO_HEADER;) {
        const xb_header *h = &r->headers[place];
        if (names && (all || h->id != XB_H_OTHER))
            n = put(m, n, XB_T_hdr_name, name_bucket(m, h), place);
        if (order)
            n = put(m, n, XB_T_hdr_order, order_bucket(m, before_id, before_hash, h), place);
        before_id = h->id;
        before_hash = h->hash;
        if (values && (h->id == XB_H_ACCEPT || h->id == XB_H_ACCEPT_ENCODING))
            n = put(m, n, XB_T_hdr_value, bucket_of(m->shape, XB_T_hdr_value, h->hash * XB_MIX_1 + value_hash(m->facts, h)), place);
    }
    return n;
}

/* The name before that of a header, in the order of words; "^" before the first. */
static xb_span name_before(const xb_request *r, uint32_t place)
{
    xb_span before = XB_SPAN("^");
    walk w = {.r = r};
    for (uint32_t at; (at = next_header(&w)) != NO_HEADER && at != place;)
        before = r->headers[at].name;
    return before;
}

/* ---- the handshake ---- */

static const uint64_t *tls_list(const xb_handshake *h, uint8_t family, uint8_t *known)
{
    *known = family == XB_T_tls_ciphers ? XB_KNOWS_CIPHERS : family == XB_T_tls_curves ? XB_KNOWS_CURVES : XB_KNOWS_SIGALGS;
    return family == XB_T_tls_ciphers ? &h->ciphers : family == XB_T_tls_curves ? &h->curves : &h->sigalgs;
}

/* Whole lists are words. The text may be gone by now: what names such a word is its hash. */
static uint32_t handshake(const maker *m, uint32_t n)
{
    static const xb_family_id families[] = {XB_T_tls_ciphers, XB_T_tls_curves, XB_T_tls_sigalgs};
    const xb_handshake *h = &m->facts->handshake;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        uint8_t known;
        const uint64_t *hash = tls_list(h, (uint8_t)families[i], &known);
        if (h->known & known && counts(m, XB_HAS_TLS, families[i]))
            n = put(m, n, families[i], bucket_of(m->shape, families[i], *hash), 0);
    }
    return n;
}

/* ---- all of them ---- */

void xb_words_forget(xb_vector *v)
{
    for (uint32_t i = 0; i < v->n_tokens; i++)
        v->taken[v->tokens[i].bucket >> 6] = 0;
    v->n_tokens = 0;
    v->truncated = false;
}

/* The buckets that are kept, for this shape. */
static xb_known_buckets *known_buckets(xb_known_buckets *known, const xb_shape *shape)
{
    const uint64_t *salt = shape->salt;
    if (known->k == shape->k && known->ua_word == salt[XB_T_ua_word] && known->hdr_name == salt[XB_T_hdr_name] &&
        known->hdr_order == salt[XB_T_hdr_order])
        return known;
    known->shapes += known->shapes == UINT32_MAX ? 2 : 1;
    known->k = shape->k;
    known->ua_word = salt[XB_T_ua_word];
    known->hdr_name = salt[XB_T_hdr_name];
    known->hdr_order = salt[XB_T_hdr_order];
    memset(known->name, 0xff, sizeof known->name); /* XB_NO_BUCKET */
    memset(known->order, 0xff, sizeof known->order);
    return known;
}

void xb_words_of(const xb_shape *shape, xb_known_agent *agent, xb_vector *v)
{
    const xb_facts *f = &v->facts;
    const maker made = {.shape = shape, .facts = f, .known = known_buckets(&v->buckets, shape), .v = v}, *m = &made;
    uint32_t n = 0;
    if (counts(m, XB_HAS_IP, XB_T_ip_net))
        n = networks(m, n);
    if (counts(m, XB_HAS_UA, XB_T_ua_word))
        n = agent_words(m, n, agent);
    if (f->referrer.host.size && counts(m, XB_HAS_REFERRER, XB_T_ref_host))
        n = put(m, n, XB_T_ref_host, bucket_of(shape, XB_T_ref_host, xb_hash(f->referrer.host)), 0);
    if (counts(m, XB_HAS_URL, XB_T_url_word))
        n = path_words(m, n);
    if (f->present & XB_HAS_HEADERS)
        n = headers(m, n);
    if (f->present & XB_HAS_TLS)
        n = handshake(m, n);
    v->n_tokens = n;
}

/* ---- text ---- */

static size_t append(char *out, size_t used, size_t size, xb_span s)
{
    for (size_t i = 0; i < s.size && used + 1 < size; i++) {
        char c = xb_lower(s.at[i]);
        out[used++] = xb_is_reason(c) ? c : '_';
    }
    return used;
}

static size_t network_text(const xb_address *ip, unsigned prefix, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t bytes[16] = {0};
    memcpy(bytes, ip->bytes, prefix / 8u);
    inet_ntop(prefix > 32 ? AF_INET6 : AF_INET, bytes, text, sizeof text);
    int n = snprintf(out, size, "%s/%u", text, prefix);
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

static size_t tls_text(const xb_handshake *h, uint8_t family, char *out, size_t size)
{
    uint8_t known;
    int n = snprintf(out, size, "%016llx", (unsigned long long)*tls_list(h, family, &known));
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

size_t xb_token_text(const xb_vector *v, const xb_token *t, char *out, size_t size)
{
    const xb_facts *f = &v->facts;
    const xb_header *h = &f->request->headers[t->word];
    size_t used = 0;
    switch ((xb_family_id)t->family) {
    case XB_T_ip_net:
        return network_text(&f->ip, t->word, out, size);
    case XB_T_ua_word:
        used = append(out, used, size, f->agent->word[t->word].text);
        break;
    case XB_T_ref_host:
        used = append(out, used, size, f->referrer.host);
        break;
    case XB_T_url_word:
        used = append(out, used, size, f->path.word[t->word].text);
        break;
    case XB_T_hdr_name:
        used = append(out, used, size, h->name);
        break;
    case XB_T_hdr_order:
        used = append(out, used, size, name_before(f->request, t->word));
        used = append(out, used, size, XB_SPAN(">"));
        used = append(out, used, size, h->name);
        break;
    case XB_T_hdr_value:
        used = append(out, used, size, h->name);
        used = append(out, used, size, XB_SPAN(":"));
        used = append(out, used, size, h->value);
        break;
    case XB_T_tls_ciphers:
    case XB_T_tls_curves:
    case XB_T_tls_sigalgs:
        return tls_text(&f->handshake, t->family, out, size);
    case XB_N_FAMILIES:
        break;
    }
    out[used] = 0;
    return used;
}
