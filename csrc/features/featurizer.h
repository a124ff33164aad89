/* featurizer.h - from a request to its feature vector.
 *
 * Law: features.def is the only list of features; everything about it is made from its rows here. The same function
 * serves training and serving, so there is no second featurizer to agree with.
 */
#ifndef XB_FEATURIZER_H
#define XB_FEATURIZER_H

#include "features/behaviour.h"
#include "features/memo.h"

typedef enum {
#define XB_FEATURE(name, group, version, expression, doc) XB_F_##name,
#define XB_FAMILY(name, group, version, doc)
#include "features/features.def"
#undef XB_FEATURE
#undef XB_FAMILY
    XB_N_DENSE
} xb_feature_id;

enum { XB_ROW_NAME = 28 }; /* bytes of a row's name, with the zero that ends it */

/* Arrays of dense features are padded to whole rounds of four, for the scorer. */
enum { XB_FIRST_OF_CLIENT = XB_F_cl_no_part_2 /* the rows of the client, which stand last */ };
enum { XB_PADDED_DENSE = (XB_N_DENSE + 3) / 4 * 4 };

typedef enum {
#define XB_FEATURE(name, group, version, expression, doc)
#define XB_FAMILY(name, group, version, doc) XB_T_##name,
#include "features/features.def"
#undef XB_FEATURE
#undef XB_FAMILY
    XB_N_FAMILIES
} xb_family_id;

typedef struct {
    const char *name, *doc;
    uint32_t group;   /* one XB_HAS_* bit */
    uint32_t version; /* of what the row computes; 1 and up */
} xb_feature_row;

extern const xb_feature_row xb_feature_rows[XB_N_DENSE];
extern const xb_feature_row xb_family_rows[XB_N_FAMILIES];

/* A set of host names that travels in the model: the upper halves of their hashes, ascending. A host that is not in the
 * set is taken for known with probability count / 2^32. */
typedef struct {
    const uint32_t *hash; /* ascending */
    uint32_t count;       /* 0: no set, the feature is absent */
} xb_hosts;

/* Is the host in the set? A leading "www." is no part of a host here. */
bool xb_hosts_know(const xb_hosts *hosts, xb_span host);
uint32_t xb_host_hash(xb_span host);

/* What a model asks of the featurizer. */
typedef struct {
    unsigned k;        /* 2^k buckets */
    uint32_t families; /* bit i: words of family i count. A family that training did not see must not fall into buckets
                          that others learned. */
    uint64_t salt[XB_N_FAMILIES]; /* what keeps equal words of two families apart: xb_family_salt (words.h) of the model's number for it */
    xb_hosts hosts;
} xb_shape;

enum { XB_ALL_FAMILIES = (1 << XB_N_FAMILIES) - 1 };

enum { XB_MIN_K = 8, XB_MAX_K = 20, XB_MAX_TOKENS = 512 };

/* At most so many headers whose names are not in headers.def become words: made-up ones must not outweigh the rest. */
enum { XB_MAX_NAMED = 32 };

/* One hashed word of a request. A bucket appears once: the first word that falls into it names it. */
typedef struct {
    uint32_t bucket; /* 0 to 2^k - 1 */
    uint16_t word;   /* which one: of ip_net, the bits of the network; of ua_word and url_word, the place among the words of the facts; of hdr_*,
                        the place among the headers that have words (words.c); the other families have one */
    uint8_t family;  /* xb_family_id */
} xb_token;

/* The rows of an agent stand together: they follow from its text alone. */
enum { XB_FIRST_OF_UA = XB_F_ua_empty, XB_BEHIND_UA = XB_F_ua_category_crawler + 1 };
enum { XB_AGENTS = 128 /* that are kept; a power of two */ };

typedef struct {
    xb_memo_text text;
    xb_agent_facts facts; /* of the text that is kept */
    double rows[XB_BEHIND_UA - XB_FIRST_OF_UA];
    uint32_t made_for;             /* the tokens are those of xb_known_buckets.shapes; 0: of none */
    xb_token tokens[XB_MAX_WORDS]; /* of the words of the facts */
} xb_known_agent;

/* The buckets that follow from known names alone, and so are the same for each request: each is found when it is first wanted. They
 * are of one shape; one that puts words elsewhere begins anew. */
typedef struct {
    uint32_t shapes; /* how many there were; 0: none */
    unsigned k;
    uint64_t ua_word, hdr_name, hdr_order;           /* salts */
    uint32_t name[XB_H_COUNT];                       /* or XB_NO_BUCKET: not found yet */
    uint32_t order[XB_H_COUNT + 1][XB_H_COUNT];      /* likewise, by the name before, or XB_H_COUNT for none */
} xb_known_buckets;

#define XB_NO_BUCKET UINT32_MAX

enum { XB_ORDERS = 64 /* that are kept; a power of two */ };

/* The words of the visitor's headers, all with names that are known and differ, in an order that came before. */
typedef struct {
    uint32_t made_for;             /* as in xb_known_agent */
    uint32_t n_tokens;
    uint8_t names[XB_MAX_LISTED];  /* as in the request */
    xb_token tokens[2 * XB_MAX_LISTED + 2]; /* of hdr_value without the bucket */
} xb_known_order;

typedef struct {
    double dense[XB_PADDED_DENSE]; /* NAN: absent; the padding stays 0 */
    uint32_t n_held;               /* a multiple of four; dense rows from here on are absent, or padding */
    uint32_t n_tokens;
    bool truncated;           /* more than XB_MAX_TOKENS words */
    uint32_t absent;          /* XB_HAS_*: of these groups, the rows are NAN, as a request without them left them */
    xb_token tokens[XB_MAX_TOKENS];
    xb_facts facts;
    xb_behaviour behaviour;   /* valid where the group `client` is present */
    xb_known_agent agents[XB_AGENTS];
    uint32_t new_agents;
    xb_known_values values;
    xb_known_buckets buckets;
    xb_known_order orders[XB_ORDERS];
    uint32_t new_orders;
    uint64_t taken[(1u << XB_MAX_K) / 64]; /* buckets of this request; all zero between requests */
} xb_vector;

/* Call once before anything else; calling again does nothing. */
void xb_init(void);

/* Fills the vector. `v` must be all zero before its first use. The group `client` is absent. */
void xb_featurize(const xb_request *r, const xb_shape *shape, xb_vector *v);

/* A look into a table of clients. The first two are given; the rest is what a request's client is in it. */
typedef struct {
    const xb_clients *table;
    uint64_t now_ms;
    xb_client_keys keys;
    xb_client_places places;
    xb_visit visit;
} xb_client_look;

/* The same with the group `client`, of what the table knows before this request, if the request has an address. Fills the rest of
 * `look`, by which the request can be counted then (xb_clients_count); without an address its keys are 0. */
void xb_featurize_client(const xb_request *r, const xb_shape *shape, xb_client_look *look, xb_vector *v);

#endif
