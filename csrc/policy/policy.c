#include "policy/policy.h"

#include <math.h>

#include "base/hash.h"
#include "policy/paths.h"

#define XB_SHARE(name, without, doc) .name = NAN,
#define XB_CHOICE(name, first, second, doc)
const xb_policy xb_observing = {
#include "policy/options.def"
};
const xb_policy xb_enforcing = {
#include "policy/options.def"
    .mode = XB_mode_enforce};
#undef XB_SHARE
#undef XB_CHOICE

const xb_option_row xb_option_rows[XB_N_OPTIONS] = {
#define XB_SHARE(name, without, doc) {#name, NULL, NULL, without, doc, offsetof(xb_policy, name)},
#define XB_CHOICE(name, first, second, doc) {#name, #first, #second, NULL, doc, offsetof(xb_policy, name)},
#include "policy/options.def"
#undef XB_SHARE
#undef XB_CHOICE
};

const char *const xb_outcome_names[XB_N_OUTCOMES] = {"human", "suspect", "bot", "verified"};
static const char *const decider_names[XB_N_DECIDERS] = {"unproven", "allow", "deny", "verified", "impostor"};

/* ---- opening ---- */

static const void *part(const xb_policies *p, uint64_t total, uint64_t at, uint64_t n, size_t size)
{
    return xb_image_part(p->image, total, at, n, size);
}

static xb_span text_of(const xb_policies *p, xb_text t) { return (xb_span){p->image + t.at, t.size}; }

static bool share_or_nan(double x) { return isnan(x) || (x >= 0.0 && x <= 1.0); }

static int compare(xb_span a, xb_span b)
{
    int order = memcmp(a.at, b.at, a.size < b.size ? a.size : b.size);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static bool starts(xb_span s, xb_span prefix)
{
    return s.size >= prefix.size && memcmp(s.at, prefix.at, prefix.size) == 0;
}

static const char *check_networks(const xb_policies *p, const xb_list *l, uint64_t total)
{
    const uint32_t *first = part(p, total, l->v4, l->n_v4, 8);
    const xb_range6 *range = part(p, total, l->v6, l->n_v6, sizeof *range);
    if (!first || !range)
        return "networks outside the image";
    if (!xb_ranges4_ordered(first, l->n_v4))
        return "IPv4 networks out of order";
    if (!xb_ranges6_ordered(range, l->n_v6))
        return "IPv6 networks out of order";
    return NULL;
}

static const char *check_texts(const xb_policies *p, const xb_list *l, uint64_t total)
{
    if (l->agent_bits > 24)
        return "too many agents";
    uint32_t n_slots = l->agent_bits ? UINT32_C(1) << l->agent_bits : 0, n_free = 0;
    const xb_agent_slot *slot = part(p, total, l->agents, n_slots, sizeof *slot);
    const xb_text *path = part(p, total, l->paths, l->n_paths, sizeof *path);
    if (!slot || !path)
        return "agents or paths outside the image";
    for (uint32_t i = 0; i < n_slots; i++) {
        n_free += slot[i].text.size == 0;
        if (!xb_text_fits(slot[i].text, total))
            return "an agent outside the image";
    }
    if (n_slots && !n_free)
        return "a full table of agents"; /* a search would not end */
    for (uint32_t i = 0; i < l->n_paths; i++) {
        if (!xb_text_fits(path[i], total))
            return "a path outside the image";
        if (i && (compare(text_of(p, path[i - 1]), text_of(p, path[i])) >= 0 ||
                  starts(text_of(p, path[i]), text_of(p, path[i - 1]))))
            return "paths out of order";
    }
    return NULL;
}

static const char *check_policy(const xb_policies *p, const xb_policy *policy, uint32_t n_order)
{
    uint64_t end = (uint64_t)policy->first + policy->n_allow + policy->n_deny + policy->n_verified;
    if (!xb_is_name(policy->name, XB_MAX_NAME))
        return "a policy without a name";
#define XB_SHARE(name, without, doc) if (!share_or_nan(policy->name)) return #name " outside 0 to 1";
#define XB_CHOICE(name, first, second, doc) if (policy->name > 1) return #name " is none of its two values";
#include "policy/options.def"
#undef XB_SHARE
#undef XB_CHOICE
    if (end > n_order)
        return "lists of a policy outside the image";
    for (uint64_t i = policy->first; i < end; i++)
        if (p->order[i] >= p->n_lists)
            return "a policy with a list that is not there";
    return NULL;
}

static const char *check_routes(const xb_policies *p, uint64_t total)
{
    for (uint32_t i = 0; i < p->n_routes; i++) {
        const xb_route *r = &p->route[i];
        if (!xb_text_fits(r->prefix, total) || r->policy >= p->n_policies)
            return "a route outside the image";
        if (i && r->prefix.size > r[-1].prefix.size)
            return "routes out of order";
    }
    return NULL;
}

const char *xb_policies_open(xb_policies *p, const void *image, size_t size)
{
    xb_policies_header h;
    if (size < sizeof h || memcmp(image, XB_POLICIES_MAGIC, sizeof h.magic) != 0)
        return "wrong magic: no policies";
    if ((uintptr_t)image % 8)
        return "image not aligned to 8 bytes";
    memcpy(&h, image, sizeof h);
    if (h.version != XB_POLICIES_VERSION)
        return "unknown version";
    if (h.size != size || h.n_policies == 0)
        return "wrong size";
    p->image = image;
    p->n_policies = h.n_policies;
    p->n_lists = h.n_lists;
    p->n_routes = h.n_routes;
    uint64_t at = sizeof h;
    p->policy = part(p, size, at, h.n_policies, sizeof *p->policy);
    at += h.n_policies * sizeof *p->policy;
    p->list = part(p, size, at, h.n_lists, sizeof *p->list);
    at += h.n_lists * sizeof *p->list;
    p->route = part(p, size, at, h.n_routes, sizeof *p->route);
    at += h.n_routes * sizeof *p->route;
    p->order = part(p, size, at, h.n_order, sizeof *p->order);
    if (!p->policy || !p->list || !p->route || !p->order)
        return "wrong size";
    const char *why = check_routes(p, size);
    for (uint32_t i = 0; i < p->n_lists && !why; i++) {
        why = xb_is_name(p->list[i].name, XB_MAX_NAME) ? check_networks(p, &p->list[i], size) : "a list without a name";
        why = why ? why : check_texts(p, &p->list[i], size);
    }
    for (uint32_t i = 0; i < p->n_policies && !why; i++)
        why = check_policy(p, &p->policy[i], h.n_order);
    why = why ? why : xb_crawlers_open(&p->crawlers, p->image, size, h.crawlers, h.n_policies);
    for (uint32_t i = 0; i < p->n_lists && !why; i++)
        if (p->list[i].source && !p->crawlers.head)
            why = "a list among the networks of crawlers, which are not there";
    return why;
}

const xb_policy *xb_policy_named(const xb_policies *p, xb_span name)
{
    for (uint32_t i = 0; i < p->n_policies; i++)
        if (strlen(p->policy[i].name) == name.size && memcmp(p->policy[i].name, name.at, name.size) == 0)
            return &p->policy[i];
    return NULL;
}

/* ---- networks ---- */

/* Is the address in a network that the list names itself? */
static bool has_address(const xb_policies *p, const xb_list *list, const xb_address *address)
{
    if (address->version == 4)
        return xb_find4((const uint32_t *)(const void *)(p->image + list->v4), list->n_v4, xb_number4(address)) >= 0;
    const uint64_t number[2] = {xb_big_endian64(address->bytes), xb_big_endian64(address->bytes + 8)};
    return address->version == 6 &&
           xb_find6((const xb_range6 *)(const void *)(p->image + list->v6), list->n_v6, number) >= 0;
}

/* ---- agents ---- */

/* Does a listed text stand at `from`, as whole words? Its first word has this hash. */
static bool listed_at(const xb_policies *p, const xb_list *list, uint64_t hash, const char *from, const char *end)
{
    const xb_agent_slot *table = (const xb_agent_slot *)(const void *)(p->image + list->agents);
    size_t mask = ((size_t)1 << list->agent_bits) - 1;
    for (size_t i = hash >> (64 - list->agent_bits); table[i].text.size; i = (i + 1) & mask) {
        xb_span text = text_of(p, table[i].text);
        const char *behind = from + text.size;
        if (table[i].hash == hash && (size_t)(end - from) >= text.size && (behind == end || !xb_is_word(*behind)) &&
            xb_span_is(xb_span_of(from, behind), text))
            return true;
    }
    return false;
}

static bool has_agent(const xb_policies *p, const xb_list *list, const xb_agent_facts *agent)
{
    const xb_span text = agent->text;
    if (!list->agent_bits || !text.size)
        return false;
    const char *end = text.at + text.size, *at = text.at;
    for (uint32_t i = 0; i < agent->n_words; i++) {
        if (listed_at(p, list, agent->word[i].hash, agent->word[i].text.at, end))
            return true;
        at = agent->word[i].text.at + agent->word[i].text.size;
    }
    /* Of a long agent only the first words were kept: look at the others too, so that nobody hides a word behind them. */
    while (agent->n_words == XB_MAX_WORDS && at < end) {
        const char *from = at;
        while (at < end && xb_is_word(*at))
            at++;
        if (at > from && listed_at(p, list, xb_hash(xb_span_of(from, at)), from, end))
            return true;
        at += at == from;
    }
    return false;
}

/* ---- paths ---- */

/* How a listed path begins, without the zero byte of one that names that path `alone`. */
static xb_span beginning(const xb_policies *p, xb_text listed, bool *alone)
{
    xb_span s = text_of(p, listed);
    *alone = s.size && s.at[s.size - 1] == 0;
    return (xb_span){s.at, s.size - *alone};
}

static bool has_path(const xb_policies *p, const xb_list *list, xb_span path)
{
    const xb_text *base = (const xb_text *)(const void *)(p->image + list->paths);
    bool alone;
    if (list->n_paths == 0)
        return false;
    /* None is a prefix of another, but of those that are named alone: the only candidate is the last that sorts at or before the path.
     * One that is named alone stands between a prefix of the path and the path only if it has that prefix, too, and then it is not listed. */
    for (uint32_t left = list->n_paths; left > 1; left -= left / 2)
        if (compare(beginning(p, base[left / 2], &alone), path) <= 0)
            base += left / 2;
    const xb_span begin = beginning(p, *base, &alone);
    return starts(path, begin) && (!alone || path.size == begin.size);
}

const xb_policy *xb_policy_for_path(const xb_policies *p, xb_span path, char *scratch)
{
    const xb_span resolved = xb_path_resolve(path, scratch);
    for (uint32_t i = 0; i < p->n_routes; i++) {
        const xb_policy *policy = &p->policy[p->route[i].policy];
        if (starts(resolved, text_of(p, p->route[i].prefix)) && (policy->mode == XB_mode_enforce || !xb_path_is_read_otherwise(path)))
            return policy;
    }
    return NULL;
}

/* ---- deciding ---- */

/* What a list is compared with. */
static uint32_t needed(const xb_list *list)
{
    return (list->n_v4 | list->n_v6 || list->source ? XB_HAS_IP : 0u) | (list->n_paths ? XB_HAS_URL : 0u) | (list->agent_bits ? XB_HAS_UA : 0u);
}

/* What the proxy should have sent and did not. An address that cannot be parsed counts as missing; "unix:" means that there is none. */
static uint32_t missing(const xb_facts *f)
{
    const xb_request *r = f->request;
    const bool unreadable = r->required & XB_HAS_IP && !f->ip.version && !xb_span_starts(r->ip, XB_SPAN("unix:"));
    return r->missing | (unreadable ? XB_HAS_IP : 0u);
}

/* Does the list name the resolved path? One that lets somebody by does not where the site may read it otherwise. */
static bool names_path(const xb_policies *p, const xb_list *list, const xb_facts *f, xb_span path, bool denies)
{
    return has_path(p, list, path) && (denies || !xb_path_is_read_otherwise(f->path.url.path));
}

/* The first of `n` lists that names the visitor, or needs a part that is missing. */
static const xb_list *naming(const xb_policies *p, uint32_t from, uint32_t n, const xb_facts *f, const xb_holder *holder, xb_span path,
                             uint32_t lost, bool denies)
{
    for (uint32_t i = from; i < from + n; i++) {
        const xb_list *list = &p->list[p->order[i]];
        const bool here = list->source ? holder && holder->sources & list->source : has_address(p, list, &f->ip);
        if ((lost && needed(list) & lost) || here || names_path(p, list, f, path, denies) || has_agent(p, list, f->agent))
            return list;
    }
    return NULL;
}

static bool have_paths(const xb_policies *p, uint32_t from, uint32_t n)
{
    uint32_t n_paths = 0;
    for (uint32_t i = from; i < from + n; i++)
        n_paths |= p->list[p->order[i]].n_paths;
    return n_paths != 0;
}

/* The first of `n` lists that deny which names the path as the site may read it. */
static const xb_list *naming_another_reading(const xb_policies *p, uint32_t from, uint32_t n, xb_span path, char *scratch)
{
    for (int r = 0; r < XB_N_READINGS; r++) {
        const xb_span read = xb_path_read_by(r, path, scratch);
        for (uint32_t i = from; i < from + n; i++)
            if (has_path(p, &p->list[p->order[i]], read))
                return &p->list[p->order[i]];
    }
    return NULL;
}

static xb_outcome by_score(const xb_policy *policy, const xb_model *m, double score)
{
    if (score >= (isnan(policy->threshold) ? m->header.threshold : policy->threshold))
        return XB_BOT;
    return score >= policy->suspect_above ? XB_SUSPECT : XB_HUMAN; /* nothing is above NAN */
}

/* What the policy says of the crawler that sent this, where no list has decided; and who that is, in any case. */
static void by_crawler(const xb_policies *p, const xb_facts *f, const xb_holder *holder, xb_decision *d)
{
    static const xb_address none;
    const bool lost = missing(f) != 0;
    d->identity = xb_identify(&p->crawlers, lost ? &none : &f->ip, lost ? NULL : holder, f->agent);
    const xb_identity signer = xb_identify_signer(&p->crawlers, f->request);
    if (signer.proof > d->identity.proof)
        d->identity = signer;
    if (d->list || d->identity.proof == XB_NO_CLAIM)
        return;
    const bool ours = d->policy >= p->policy && d->policy < p->policy + p->n_policies; /* else &xb_observing, which says nothing */
    const xb_action action = !ours ? XB_SCORED : xb_action_of(&p->crawlers, (uint32_t)(d->policy - p->policy), d->identity.crawler);
    if (d->identity.proof == XB_DISPROVED)
        d->by = XB_BY_IMPOSTOR;
    else if (action == XB_DENIED)
        d->by = XB_BY_DENY; /* a word is enough to speak against whoever sends it */
    else if (action == XB_LET_IN && d->identity.proof == XB_PROVEN)
        d->by = XB_BY_VERIFIED;
}

xb_decision xb_decide(const xb_policies *p, const xb_policy *policy, const xb_model *m, const xb_facts *f,
                      const xb_verdict *v, char *scratch)
{
    static const xb_outcome outcomes[XB_N_DECIDERS] = {0, XB_HUMAN, XB_BOT, XB_VERIFIED, XB_BOT};
    const uint32_t n[] = {0, policy->n_allow, policy->n_deny, policy->n_verified};
    xb_decision d = {.policy = policy};
    uint32_t from = policy->first;
    const xb_holder *holder = p ? xb_holder_of(&p->crawlers, &f->ip) : NULL;
    if (n[1] | n[2] | n[3]) {
        const xb_span sent = f->present & XB_HAS_URL ? f->path.url.path : (xb_span){"", 0};
        xb_span path = f->present & XB_HAS_URL ? xb_path_resolve(sent, scratch) : sent;
        const uint32_t lost = missing(f);
        for (int by = XB_BY_ALLOW; by <= XB_BY_VERIFIED && !d.list; from += n[by++]) {
            if (!lost || by == XB_BY_DENY)
                d.list = naming(p, from, n[by], f, holder, path, lost, by == XB_BY_DENY);
            if (!d.list && by == XB_BY_DENY && sent.size && have_paths(p, from, n[by]) && xb_path_has_other_readings(sent)) {
                d.list = naming_another_reading(p, from, n[by], sent, scratch);
                path = xb_path_resolve(sent, scratch);
            }
            if (d.list)
                d.by = (xb_decided_by)by;
        }
    }
    if (p && d.by != XB_BY_ALLOW && d.by != XB_BY_DENY)
        by_crawler(p, f, holder, &d);
    d.outcome = d.by == XB_BY_SCORE ? by_score(policy, m, v->score) : outcomes[d.by];
    /* While an engine's list is old, or the DNS does not answer, a site must not lose its place in the index: nobody is refused by
     * score who says its name. A new list or an answer ends that. Otherwise a word lets nobody by, not even behind a proxy that
     * hides the visitors' addresses. */
    if (d.by == XB_BY_SCORE && d.outcome == XB_BOT && d.identity.excused)
        d.outcome = XB_SUSPECT;
    if (d.by == XB_BY_DENY && policy->deny_as == XB_deny_as_suspect)
        d.outcome = XB_SUSPECT;
    d.refuse = policy->mode == XB_mode_enforce && d.outcome == XB_BOT;
    return d;
}

size_t xb_decision_text(const xb_decision *d, const xb_verdict *verdict, const xb_vector *v, char *out, size_t size)
{
    if (d->by == XB_BY_SCORE && d->identity.proof != XB_UNPROVEN)
        return xb_reason_text(verdict, v, d->outcome != XB_HUMAN, out, size);
    const char *const parts[] = {decider_names[d->by], "=", d->list ? d->list->name : d->identity.crawler->name};
    size_t n = 0;
    for (int i = 0; i < 3; i++) /* printf takes as long as all else that is told of a crawler */
        for (const char *p = parts[i]; *p && n + 1 < size; p++)
            out[n++] = *p;
    if (size)
        out[n] = 0;
    return n;
}
