/* policy.h - what an owner decided beside the model: policies, and the lists that they consult.
 *
 * Law: a policy sees a request and what the model says of it, and gives the outcome that the proxy is told. Its options are the
 * rows of options.def. Lists come
 * first: allow, then deny, then verified; then what the crawler is that the request says or proves to come from (crawlers.h): one
 * that is proven follows the policy's word on it, one that is disproved is a bot; the score decides the rest. Where a part of the request is missing that
 * the proxy always sends (dialect.h), no list allows or verifies, and each list that denies by that part denies the visitor: by networks without an address, by paths without a target, by agents behind a head that was cut. No allocation;
 * a lookup costs the logarithm of a list's networks and path prefixes, and one probe for each word of the agent; finding the
 * policy of a path, one comparison for each route. The list of search engines that comes with xbot lies among the networks of
 * crawlers, so one search of an address answers for both.
 *
 * Policies and lists lie in one image, made by sidecar/config/policies.py from the configuration and shared by all workers.
 * Layout, little-endian, all parts at multiples of 8; offsets count from the image's beginning:
 *   header    struct xb_policies_header
 *   policies  struct xb_policy[n_policies], the names all different
 *   lists     struct xb_list[n_lists]
 *   routes    struct xb_route[n_routes]   path prefixes with their policies, the longer before the shorter
 *   order     u32[n_order]          lists by number; each policy has a run of it
 *   and what the lists' offsets name:
 *   v4        u32 first[n_v4], u32 last[n_v4]        ranges of addresses as numbers, ascending, none touching another
 *   v6        struct xb_range6[n_v6]                 likewise
 *   agents    struct xb_agent_slot[2^agent_bits]     open addressing by the top bits of the hash of the first word
 *   paths     struct xb_text[n_paths]                ascending by bytes, none a prefix of another; one that ends with a zero byte
 *                                                    names the path before that byte alone
 *   texts     the bytes that agents, paths and routes name
 *   crawlers  struct xb_catalogue (crawlers.h), with its parts
 */
#ifndef XB_POLICY_H
#define XB_POLICY_H

#include "features/facts.h"
#include "model/scorer.h"
#include "policy/crawlers.h"

#define XB_POLICIES_MAGIC "XBPOLICY"

enum {
#define XB_SHARE(name, without, doc) XB_O_##name,
#define XB_CHOICE(name, first, second, doc) XB_O_##name,
#include "policy/options.def"
#undef XB_SHARE
#undef XB_CHOICE
    XB_N_OPTIONS
};
/* A new option changes the layout, so a worker of another version refuses the image. */
enum { XB_POLICIES_VERSION = 0x600 + XB_N_OPTIONS };

#define XB_SHARE(name, without, doc)
#define XB_CHOICE(name, first, second, doc) enum { XB_##name##_##first, XB_##name##_##second };
#include "policy/options.def"
#undef XB_SHARE
#undef XB_CHOICE

typedef struct {
    char name[XB_MAX_NAME];
#define XB_SHARE(name, without, doc) double name;
#define XB_CHOICE(name, first, second, doc) uint32_t name;
#include "policy/options.def"
#undef XB_SHARE
#undef XB_CHOICE
    uint32_t first;         /* where its lists begin in `order`: those that allow, then deny, then verify */
    uint32_t n_allow, n_deny, n_verified;
} xb_policy;

/* A row of options.def, for whoever fills a policy: a share is a double at `offset`, a choice an uint32_t. */
typedef struct {
    const char *name, *first, *second; /* `first` and `second` are NULL for a share */
    const char *without, *doc;         /* `without` is NULL for a choice */
    size_t offset;                     /* in xb_policy */
} xb_option_row;

extern const xb_option_row xb_option_rows[XB_N_OPTIONS];

typedef struct {
    char name[XB_MAX_NAME];
    uint32_t n_v4, n_v6, n_paths;
    uint32_t agent_bits; /* 0: no agents */
    uint64_t v4, v6, agents, paths; /* offsets */
    uint64_t source; /* a bit: its networks lie among those of crawlers (crawlers.h), which are looked at anyhow; 0: they lie here */
} xb_list;

/* Requests whose path begins so are decided by this policy, unless the proxy asks for one by name. */
typedef struct {
    xb_text prefix;  /* of the resolved path */
    uint32_t policy; /* by number */
    uint32_t reserved;
} xb_route;

/* The words of an agent that a list names, such as "curl" or "go-http-client". */
typedef struct {
    uint64_t hash; /* of the first word */
    xb_text text;  /* all of it, lower case; size 0: a free slot */
} xb_agent_slot;

typedef struct {
    uint8_t magic[8];
    uint32_t version;
    uint32_t n_policies, n_lists, n_order, n_routes;
    uint32_t reserved;
    uint64_t size;     /* bytes of the image */
    uint64_t crawlers; /* offset of struct xb_catalogue (crawlers.h), or 0 */
} xb_policies_header;

_Static_assert(sizeof(xb_policy) % 8 == 0 && sizeof(xb_list) == 88 && sizeof(xb_route) == 16 && sizeof(xb_policies_header) == 48,
               "parts lie at multiples of 8");

typedef struct {
    const char *image;
    const xb_policy *policy; /* n_policies */
    const xb_list *list;     /* n_lists */
    const xb_route *route;   /* n_routes */
    const uint32_t *order;
    xb_crawlers crawlers;
    uint32_t n_policies, n_lists, n_routes;
} xb_policies;

/* For a service without policies: observe, or enforce, by the model's own threshold. Their names are empty. */
extern const xb_policy xb_observing, xb_enforcing;

/* What the proxy is told in X-Bot. */
typedef enum { XB_HUMAN, XB_SUSPECT, XB_BOT, XB_VERIFIED, XB_N_OUTCOMES } xb_outcome;
extern const char *const xb_outcome_names[XB_N_OUTCOMES];

/* What decided: the score, a list of this kind, a crawler that this policy lets in (XB_BY_VERIFIED) or denies (XB_BY_DENY), or
 * a proof that was tried and failed. */
typedef enum { XB_BY_SCORE, XB_BY_ALLOW, XB_BY_DENY, XB_BY_VERIFIED, XB_BY_IMPOSTOR, XB_N_DECIDERS } xb_decided_by;

typedef struct {
    const xb_policy *policy;
    xb_outcome outcome;
    xb_decided_by by;
    const xb_list *list;  /* NULL where no list decided */
    xb_identity identity; /* whom the request says or proves to come from; without a crawler where a list allowed or denied before */
    bool refuse;         /* the outcome is a bot, and the policy enforces or the reply's status is all that is looked at (judge.h) */
    bool untold;         /* the site is told nothing: an operator has switched the policy off (wheel.h) */
} xb_decision;

/* Opens an image of exactly `size` bytes, aligned to 8. Returns NULL, or why it is refused. The image must outlive it.
 * Everything that a lookup reads is checked to lie inside it. */
const char *xb_policies_open(xb_policies *p, const void *image, size_t size);

/* The policy of this name, or NULL. */
const xb_policy *xb_policy_named(const xb_policies *p, xb_span name);

/* The policy of the longest prefix with which a request's path begins, or NULL. It is compared resolved (xb_path_resolve), so that no other
 * spelling of it leaves its policy; and one that the site may read as another path, such as "/api/..;/login", is in none that refuses
 * nobody. `scratch` has room for path.size bytes. */
const xb_policy *xb_policy_for_path(const xb_policies *p, xb_span path, char *scratch);

/* Decides by lists, then by the crawler, then by score. A list of paths lets nobody by where the site may read another path than nginx
 * does, and denies whichever of the two it names. `p` may be NULL for a policy without
 * lists. `scratch` takes the request's path, XB_MAX_HEAD bytes. */
xb_decision xb_decide(const xb_policies *p, const xb_policy *policy, const xb_model *m, const xb_facts *f,
                      const xb_verdict *v, char *scratch);

/* The decision's reason: "deny=abuse", "verified=crawlers", of a crawler "verified=googlebot", "deny=gptbot" or
 * "impostor=googlebot", "unproven=googlebot" where the score decided because no proof could be tried, or by score what accuses a suspect or a bot most; a human by
 * score has "none". Returns its length. */
size_t xb_decision_text(const xb_decision *d, const xb_verdict *verdict, const xb_vector *v, char *out, size_t size);

#endif
