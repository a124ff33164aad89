#include "policy/crawlers.h"

#include "base/hash.h"

/* ---- opening ---- */

static const char *check_holders(const xb_crawlers *c, const xb_holder *holder, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (holder[i].silent > c->head->n_crawlers)
            return "a range of a crawler that is not there";
    return NULL;
}

static const char *check_claims(const xb_crawlers *c, uint64_t total)
{
    uint32_t n_slots = UINT32_C(1) << c->head->claim_bits, n_free = 0;
    for (uint32_t i = 0; i < n_slots; i++) {
        const xb_claim *claim = &c->claim[i];
        n_free += claim->text.size == 0;
        if (!xb_text_fits(claim->text, total))
            return "a word of a crawler outside the image";
        if (claim->text.size && claim->crawler >= c->head->n_crawlers)
            return "a word of a crawler that is not there";
    }
    return n_free ? NULL : "a full table of crawlers' words"; /* a search would not end */
}

const char *xb_crawlers_open(xb_crawlers *c, const char *image, uint64_t total, uint64_t at, uint32_t n_policies)
{
    *c = (xb_crawlers){.image = image};
    if (!at)
        return NULL;
    const xb_catalogue *h = xb_image_part(image, total, at, 1, sizeof *h);
    if (!h || h->claim_bits < 1 || h->claim_bits > 16)
        return "crawlers outside the image";
    c->head = h;
    c->crawler = xb_image_part(image, total, h->crawlers, h->n_crawlers, sizeof *c->crawler);
    c->action = xb_image_part(image, total, h->actions, (uint64_t)h->n_crawlers * n_policies, 1);
    c->v4 = xb_image_part(image, total, h->v4, h->n_v4, 8);
    c->holder4 = xb_image_part(image, total, h->holders4, h->n_v4, sizeof *c->holder4);
    c->v6 = xb_image_part(image, total, h->v6, h->n_v6, sizeof *c->v6);
    c->holder6 = xb_image_part(image, total, h->holders6, h->n_v6, sizeof *c->holder6);
    c->claim = xb_image_part(image, total, h->claims, UINT64_C(1) << h->claim_bits, sizeof *c->claim);
    if (!c->crawler || !c->action || !c->v4 || !c->holder4 || !c->v6 || !c->holder6 || !c->claim)
        return "crawlers outside the image";
    for (uint32_t i = 0; i < h->n_crawlers; i++)
        if (!xb_is_name(c->crawler[i].name, XB_MAX_NAME) || !xb_is_name(c->crawler[i].purpose, XB_MAX_PURPOSE))
            return "a crawler without a name or a purpose";
    for (uint64_t i = 0; i < (uint64_t)h->n_crawlers * n_policies; i++)
        if (c->action[i] >= XB_N_ACTIONS)
            return "an action that is none";
    if (!xb_ranges4_ordered(c->v4, h->n_v4) || !xb_ranges6_ordered(c->v6, h->n_v6))
        return "ranges of crawlers out of order";
    const char *why = check_holders(c, c->holder4, h->n_v4);
    why = why ? why : check_holders(c, c->holder6, h->n_v6);
    return why ? why : check_claims(c, total);
}

/* ---- identifying ---- */

const xb_holder *xb_holder_of(const xb_crawlers *c, const xb_address *address)
{
    int64_t found = -1;
    if (!c->head)
        return NULL;
    if (address->version == 4) {
        found = xb_find4(c->v4, c->head->n_v4, xb_number4(address));
        return found < 0 ? NULL : &c->holder4[found];
    }
    if (address->version == 6) {
        const uint64_t number[2] = {xb_big_endian64(address->bytes), xb_big_endian64(address->bytes + 8)};
        found = xb_find6(c->v6, c->head->n_v6, number);
    }
    return found < 0 ? NULL : &c->holder6[found];
}

bool xb_is_public(const xb_address *a)
{
    const uint8_t *b = a->bytes;
    if (a->version == 6) {
        static const uint8_t zeros[15];
        const bool own = memcmp(b, zeros, 15) == 0 && b[15] <= 1;
        return !own && (b[0] & 0xfe) != 0xfc && !(b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
    }
    return a->version == 4 && b[0] != 0 && b[0] != 10 && b[0] != 127 && !(b[0] == 100 && (b[1] & 0xc0) == 64) &&
           !(b[0] == 169 && b[1] == 254) && !(b[0] == 172 && (b[1] & 0xf0) == 16) && !(b[0] == 192 && b[1] == 168);
}

/* What the DNS says. `excused`: there is no answer yet and one is waited for, or the resolver is away. Not excused is who does not answer
 * for his own addresses, who has one in a network of which another was disproved, and who comes in a storm that leaves no room for
 * his question: else whoever has many addresses would be let by for a word. */
static xb_proof proof_by_name(const xb_crawlers *c, const xb_crawler *crawler, const xb_address *address, bool *excused)
{
    xb_lookup found = {0};
    bool waited_for = true;
    *excused = true;
    if (!c->lookups)
        return XB_UNPROVEN;
    const uint32_t now = xb_lookups_now();
    if ((!xb_lookups_find(c->lookups, address, now, &found) || now > found.until) && c->asks)
        waited_for = xb_lookups_ask(c->asks, address);
    if (found.state == XB_LOOKUP_ANSWERED)
        return found.domains & crawler->domains ? XB_PROVEN : XB_DISPROVED;
    *excused = waited_for && found.state != XB_LOOKUP_SILENT && !xb_lookups_neighbour_denied(c->lookups, address, now);
    return XB_UNPROVEN;
}

static xb_identity identity_of(const xb_crawlers *c, const xb_crawler *crawler, const xb_holder *holder, const xb_address *address)
{
    const bool public = xb_is_public(address), listed = crawler->sources && crawler->recent == crawler->sources;
    xb_identity i = {.crawler = crawler, .proof = XB_UNPROVEN};
    if (!crawler->sources && !crawler->domains)
        i.proof = XB_CLAIMED;
    else if (holder && holder->sources & crawler->sources)
        i.proof = XB_PROVEN;
    else if (public && listed)
        i.proof = XB_DISPROVED;
    else if (public && crawler->domains)
        i.proof = proof_by_name(c, crawler, address, &i.excused);
    else
        i.excused = public;
    i.excused &= i.proof == XB_UNPROVEN && crawler->search;
    return i;
}

/* Who claims to be a crawler, while the words of an agent are read. */
typedef struct {
    const xb_crawlers *c;
    const xb_address *address;
    const xb_holder *holder;
    xb_span agent;
    xb_identity found;
} claimant;

/* Is a claim a telephone's name? "(Linux; Android 13; Spider 8)" is one: who says a crawler's word in these brackets ends it otherwise, as in
 * "Nexus 5X Build/MMB29P; AdsBot-Google;". */
static bool names_device(xb_span agent, xb_span claim)
{
    enum { MOST = 160 }; /* bytes looked back at; else an agent full of such words costs the square of its length */
    const char *behind = claim.at + claim.size, *from = claim.at;
    if (behind == agent.at + agent.size || (*behind != ' ' && *behind != ')'))
        return false;
    while (from > agent.at && claim.at - from < MOST && from[-1] != '(' && from[-1] != ')')
        from--;
    return from > agent.at && from[-1] == '(' && xb_contains(xb_span_of(from, claim.at), XB_SPAN("android"));
}

/* Does the agent only compare itself? Feedly sends "Feedly/1.0 (...; like FeedFetcher-Google)": that is Feedly's, and no Google's. */
static bool compares_itself(xb_span agent, xb_span claim)
{
    static const xb_span like = XB_SPAN("like ");
    const size_t before = (size_t)(claim.at - agent.at);
    return before > like.size && !xb_is_word(claim.at[-(ptrdiff_t)like.size - 1]) &&
           xb_span_is((xb_span){claim.at - like.size, like.size}, like);
}

/* Takes the crawlers that say what stands at the beginning of `rest`, as whole words, if their proof is stronger. `hash`: of its first. */
static void take_claims(claimant *w, uint64_t hash, xb_span rest)
{
    const xb_crawlers *c = w->c;
    const size_t mask = ((size_t)1 << c->head->claim_bits) - 1;
    const char *end = rest.at + rest.size;
    for (size_t i = hash >> (64 - c->head->claim_bits); c->claim[i].text.size; i = (i + 1) & mask) {
        xb_span text = {c->image + c->claim[i].text.at, c->claim[i].text.size};
        const char *behind = rest.at + text.size;
        if (c->claim[i].hash != hash || rest.size < text.size || (behind != end && xb_is_word(*behind)) ||
            !xb_span_is(xb_span_of(rest.at, behind), text))
            continue;
        const xb_span claim = xb_span_of(rest.at, behind);
        const xb_identity one = identity_of(c, &c->crawler[c->claim[i].crawler], w->holder, w->address);
        if (one.proof > w->found.proof && !(one.proof == XB_CLAIMED && names_device(w->agent, claim)) &&
            !(one.proof != XB_PROVEN && compares_itself(w->agent, claim)))
            w->found = one;
    }
}

static bool may_be_claim(const xb_crawlers *c, uint64_t hash)
{
    return c->head->words[hash >> 58] >> (hash >> 52 & 63) & 1;
}

enum { SHORTEST_GLUED = 5 }; /* a letter, "bot" and a digit */

/* A crawler's word without the version that is glued to it: "GPTBot2.0" says GPTBot. Only what ends as names of crawlers do, and not that
 * ending alone, as there are telephones called Spider1. Empty if there is none. */
static xb_span unglued(xb_span word)
{
    static const xb_span endings[] = {XB_SPAN("bot"), XB_SPAN("spider"), XB_SPAN("crawler")};
    const xb_span none = {word.at, 0};
    if (!xb_is_digit(word.at[word.size - 1])) /* no word is empty */
        return none;
    while (word.size && xb_is_digit(word.at[word.size - 1]))
        word.size--;
    if (word.size && xb_lower(word.at[word.size - 1]) == 'v')
        word.size--;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (word.size > endings[i].size && xb_span_ends(word, endings[i]))
            return word;
    return none;
}

/* Takes what is said by a word that may be a claim, or is one with a version glued to it. */
__attribute__((noinline)) static void take_said(claimant *w, xb_word word, xb_span rest)
{
    if (may_be_claim(w->c, word.hash))
        take_claims(w, word.hash, rest);
    const xb_span bare = unglued(word.text);
    if (bare.size)
        take_claims(w, xb_hash(bare), bare);
}

/* Takes what a word claims; `rest` begins with it. Most words of most agents are in no catalogue, and end in no version. */
static inline void take_word(claimant *w, xb_word word, xb_span rest)
{
    const bool versioned = word.text.size >= SHORTEST_GLUED && xb_is_digit(word.text.at[word.text.size - 1]);
    if (versioned || may_be_claim(w->c, word.hash))
        take_said(w, word, rest);
}

xb_identity xb_identify(const xb_crawlers *c, const xb_address *address, const xb_holder *holder, const xb_agent_facts *agent)
{
    const xb_span text = agent->text;
    claimant w = {c, address, holder, text, {NULL, XB_NO_CLAIM, false}};
    if (!c->head)
        return w.found;
    const char *end = text.at + text.size, *at = text.at;
    const uint32_t n = text.size ? agent->n_words : 0;
    for (uint32_t i = 0; i < n; i++) {
        at = agent->word[i].text.at;
        take_word(&w, agent->word[i], xb_span_of(at, end));
        at += agent->word[i].text.size;
    }
    /* Of a long agent only the first words were kept: look at the others too, so that nobody hides a word behind them. */
    while (n == XB_MAX_WORDS && at < end) {
        const char *from = at;
        while (at < end && xb_is_word(*at))
            at++;
        if (at > from)
            take_word(&w, (xb_word){xb_span_of(from, at), xb_hash(xb_span_of(from, at))}, xb_span_of(from, end));
        at += at == from;
    }
    if (w.found.proof == XB_NO_CLAIM && holder && holder->silent < c->head->n_crawlers)
        w.found = (xb_identity){&c->crawler[holder->silent], XB_PROVEN, false};
    return w.found;
}

xb_identity xb_identify_signer(const xb_crawlers *c, const xb_request *r)
{
    uint32_t number = 0;
    if (!c->head || !c->signer || !xb_has(r, XB_H_SIGNATURE) || !xb_has(r, XB_H_SIGNATURE_INPUT))
        return (xb_identity){NULL, XB_NO_CLAIM, false};
    const xb_proof proof = c->signer->check(c->signer, r, &number);
    if (proof == XB_NO_CLAIM || number >= c->head->n_crawlers)
        return (xb_identity){NULL, XB_NO_CLAIM, false};
    return (xb_identity){&c->crawler[number], proof, false};
}

xb_action xb_action_of(const xb_crawlers *c, uint32_t policy, const xb_crawler *crawler)
{
    return (xb_action)c->action[(size_t)policy * c->head->n_crawlers + (size_t)(crawler - c->crawler)];
}
