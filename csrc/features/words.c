#include "features/words.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/hash.h"
#include "features/fingerprint.h"

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
    const xb_print *print; /* whose words are there already, or NULL */
    xb_vector *v;
} maker;

static __attribute__((noinline)) bool holds(const xb_print *p, uint32_t bucket)
{
    for (uint32_t i = 0; i < p->n_tokens; i++)
        if (p->tokens[i].bucket == bucket)
            return true;
    return false;
}

/* Adds a word, unless its bucket is taken or there is no room for one more. Returns how many are there then. The caller has asked whether
 * the family counts. */
static inline size_t put(const maker *m, size_t n, xb_family_id family, uint32_t bucket, uint32_t word)
{
    uint64_t *taken = &m->v->taken[bucket / 64];
    const uint64_t set = *taken;
    if (set >> (bucket % 64) & 1 || (m->print && xb_print_may_hold(m->print, bucket) && holds(m->print, bucket)))
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

/* The hash of a network before xb_mix. The prefix length is a part of it: 10.0.0.0/24 is not 10.0.0.0/16. */
static inline uint64_t network_hash(const xb_address *ip, unsigned prefix)
{
    uint64_t h = prefix;
    if (ip->version == 4) { /* what the loop gives for so few bytes */
        const uint32_t address = (uint32_t)ip->bytes[0] << 24 | (uint32_t)ip->bytes[1] << 16 | (uint32_t)ip->bytes[2] << 8 | ip->bytes[3];
        return h << prefix | address >> (32 - prefix);
    }
    for (unsigned byte = 0; byte < prefix / 8; byte++)
        h = (h << 8 | ip->bytes[byte]) ^ (h >> 56) * XB_GOLDEN;
    return h;
}

static size_t networks(const maker *m, size_t n)
{
    static const uint8_t prefixes[2][3] = {{32, 24, 16}, {128, 64, 48}};
    const xb_address *ip = &m->facts->ip;
    const uint8_t *prefix = prefixes[ip->version == 6];
    for (int i = 0; i < 3; i++)
        n = put(m, n, XB_T_ip_net, bucket_of(m->shape, XB_T_ip_net, xb_mix(network_hash(ip, prefix[i]))), prefix[i]);
    return n;
}

static size_t agent_words(const maker *m, size_t n)
{
    const xb_agent_facts *agent = m->facts->agent;
    for (uint32_t i = 0; i < agent->n_words; i++)
        n = put(m, n, XB_T_ua_word, bucket_of(m->shape, XB_T_ua_word, agent->word[i].hash), i);
    return n;
}

static size_t path_words(const maker *m, size_t n)
{
    const xb_path_facts *path = &m->facts->path;
    for (uint32_t i = 0; i < path->n_words; i++)
        n = put(m, n, XB_T_url_word, bucket_of(m->shape, XB_T_url_word, path->word[i].hash), i);
    return n;
}

/* ---- headers ---- */

/* The headers that have words, one after the other: those of the visitor in their order, made-up names up to a bound; then, by name, known ones
 * that came behind the bound on headers. Words name them by their rank in this order. */
typedef struct {
    const xb_request *r;
    uint32_t at;     /* where it goes on: a place, then XB_MAX_HEADERS + id */
    uint32_t others; /* names that mean nothing here, so far */
} walk;

/* The next one, or NULL. */
static inline const xb_header *next_header(walk *w)
{
    const xb_request *r = w->r;
    while (w->at < r->n_headers) {
        const xb_header *h = &r->headers[w->at++];
        if (h->visitor && (h->id != XB_H_OTHER || ++w->others <= XB_MAX_NAMED))
            return h;
    }
    if (!r->n_late)
        return NULL;
    w->at = w->at < XB_MAX_HEADERS ? XB_MAX_HEADERS : w->at;
    while (w->at < XB_MAX_HEADERS + XB_H_COUNT) {
        const uint32_t place = w->at++;
        const xb_header_id id = (xb_header_id)(place - XB_MAX_HEADERS);
        if (xb_has(r, id) && r->first[id] == place && r->headers[place].visitor)
            return &r->headers[place];
    }
    return NULL;
}

static bool has_value(uint8_t id) { return id == XB_H_ACCEPT || id == XB_H_ACCEPT_ENCODING; }

/* xb_hash(h->value) is known of the first header of a name. */
static inline uint32_t value_bucket(const maker *m, const xb_header *h)
{
    const xb_facts *f = m->facts;
    const uint64_t hash = h != &f->request->headers[f->request->first[h->id]] ? xb_hash(h->value)
                          : h->id == XB_H_ACCEPT                              ? f->accept.hash
                                                                              : f->encodings.hash;
    return bucket_of(m->shape, XB_T_hdr_value, xb_name_hash(h) * XB_MIX_1 + hash);
}

/* What stands before the first header. */
static const xb_header start = {.name = {"^", 1}, .id = XB_H_COUNT};

static size_t headers(const maker *m, size_t n)
{
    const bool all = m->facts->present & XB_HAS_ORDER, names = m->shape->families >> XB_T_hdr_name & 1,
               values = m->shape->families >> XB_T_hdr_value & 1, order = all && m->shape->families >> XB_T_hdr_order & 1;
    uint64_t before = 0; /* of what stands before the first header */
    uint32_t rank = 0;
    walk w = {.r = m->facts->request};
    for (const xb_header *h; (h = next_header(&w)); rank++) {
        const uint64_t hash = xb_name_hash(h);
        if (names && (all || h->id != XB_H_OTHER))
            n = put(m, n, XB_T_hdr_name, bucket_of(m->shape, XB_T_hdr_name, hash), rank);
        if (order)
            n = put(m, n, XB_T_hdr_order, bucket_of(m->shape, XB_T_hdr_order, before * XB_MIX_1 + hash), rank);
        if (values && has_value(h->id))
            n = put(m, n, XB_T_hdr_value, value_bucket(m, h), rank);
        before = hash;
    }
    return n;
}

/* The header of a word, and the one before it. The words of a vector are of headers that are there. */
static const xb_header *header_of(const xb_request *r, uint32_t rank, const xb_header **before)
{
    const xb_header *h = &start;
    walk w = {.r = r};
    do {
        *before = h;
        h = next_header(&w);
    } while (h && rank--);
    return h ? h : &start;
}

/* ---- the handshake ---- */

static const uint64_t *tls_list(const xb_handshake *h, uint8_t family, uint8_t *known)
{
    *known = family == XB_T_tls_ciphers ? XB_KNOWS_CIPHERS : family == XB_T_tls_curves ? XB_KNOWS_CURVES : XB_KNOWS_SIGALGS;
    return family == XB_T_tls_ciphers ? &h->ciphers : family == XB_T_tls_curves ? &h->curves : &h->sigalgs;
}

/* Whole lists are words. The text may be gone by now: what names such a word is its hash. */
static size_t handshake(const maker *m, size_t n)
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

/* Nobody has taken the bucket of a word of a print that is kept. */
static void release(xb_vector *v, uint32_t from)
{
    for (uint32_t i = from; i < v->n_tokens; i++)
        v->taken[v->tokens[i].bucket / 64] = 0;
}

void xb_words_forget(xb_vector *v)
{
    release(v, v->print ? v->n_said : 0);
    v->n_tokens = v->n_said = 0;
    v->truncated = false;
}

void xb_words_said(const xb_shape *shape, xb_vector *v)
{
    const xb_facts *f = &v->facts;
    const maker made = {.shape = shape, .facts = f, .v = v}, *m = &made;
    size_t n = 0;
    if (counts(m, XB_HAS_UA, XB_T_ua_word))
        n = agent_words(m, n);
    if (f->present & XB_HAS_HEADERS)
        n = headers(m, n);
    v->n_tokens = v->n_said = (uint32_t)n;
}

void xb_words_keep(xb_vector *v, xb_print *p)
{
    release(v, 0);
    p->n_tokens = v->n_said;
    memcpy(p->tokens, v->tokens, v->n_said * sizeof *p->tokens);
    memset(p->filter, 0, sizeof p->filter);
    for (uint32_t i = 0; i < p->n_tokens; i++)
        p->filter[p->tokens[i].bucket / 64 % XB_PRINT_FILTER] |= UINT64_C(1) << (p->tokens[i].bucket % 64);
}

void xb_words_recall(const xb_print *p, xb_vector *v)
{
    memcpy(v->tokens, p->tokens, p->n_tokens * sizeof *p->tokens);
    v->n_tokens = v->n_said = p->n_tokens;
}

void xb_words_of(const xb_shape *shape, xb_vector *v)
{
    const xb_facts *f = &v->facts;
    const maker made = {.shape = shape, .facts = f, .print = v->print, .v = v}, *m = &made;
    size_t n = v->n_said;
    if (counts(m, XB_HAS_IP, XB_T_ip_net))
        n = networks(m, n);
    if (f->referrer.host.size && counts(m, XB_HAS_REFERRER, XB_T_ref_host))
        n = put(m, n, XB_T_ref_host, bucket_of(shape, XB_T_ref_host, f->referrer_hash), 0);
    if (counts(m, XB_HAS_URL, XB_T_url_word))
        n = path_words(m, n);
    if (f->present & XB_HAS_TLS)
        n = handshake(m, n);
    v->n_tokens = (uint32_t)n;
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

static size_t header_text(const xb_request *r, const xb_token *t, char *out, size_t size)
{
    const xb_header *before, *h = header_of(r, t->word, &before);
    size_t used = 0;
    if (t->family == XB_T_hdr_order) {
        used = append(out, used, size, before->name);
        used = append(out, used, size, XB_SPAN(">"));
    }
    used = append(out, used, size, h->name);
    if (t->family == XB_T_hdr_value) {
        used = append(out, used, size, XB_SPAN(":"));
        used = append(out, used, size, h->value);
    }
    return used;
}

size_t xb_token_text(const xb_vector *v, const xb_token *t, char *out, size_t size)
{
    const xb_facts *f = &v->facts;
    size_t used = 0;
    switch (t->family) {
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
    case XB_T_hdr_order:
    case XB_T_hdr_value:
        used = header_text(f->request, t, out, size);
        break;
    case XB_T_tls_ciphers:
    case XB_T_tls_curves:
    case XB_T_tls_sigalgs:
        return tls_text(&f->handshake, t->family, out, size);
    default: /* a family whose words nothing cuts yet has none */
        break;
    }
    out[used] = 0;
    return used;
}
