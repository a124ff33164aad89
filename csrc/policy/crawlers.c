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

/* Takes the crawlers that say what stands at `from`, as whole words, into `found` if their proof is stronger. */
static void take_claims(const xb_crawlers *c, uint64_t hash, xb_span rest, const xb_holder *holder, const xb_address *address,
                        xb_identity *found)
{
    const size_t mask = ((size_t)1 << c->head->claim_bits) - 1;
    const char *end = rest.at + rest.size;
    for (size_t i = hash >> (64 - c->head->claim_bits); c->claim[i].text.size; i = (i + 1) & mask) {
        xb_span text = {c->image + c->claim[i].text.at, c->claim[i].text.size};
        const char *behind = rest.at + text.size;
        if (c->claim[i].hash != hash || rest.size < text.size || (behind != end && xb_is_word(*behind)) ||
            !xb_span_is(xb_span_of(rest.at, behind), text))
            continue;
        const xb_identity one = identity_of(c, &c->crawler[c->claim[i].crawler], holder, address);
        if (one.proof > found->proof)
            *found = one;
    }
}

static bool may_be_claim(const xb_crawlers *c, uint64_t hash)
{
    return c->head->words[hash >> 58] >> (hash >> 52 & 63) & 1;
}

xb_identity xb_identify(const xb_crawlers *c, const xb_address *address, const xb_holder *holder, const xb_agent_facts *agent)
{
    const xb_span text = agent->text;
    xb_identity found = {NULL, XB_NO_CLAIM, false};
    if (!c->head)
        return found;
    const char *end = text.at + text.size, *at = text.at;
    const uint32_t n = text.size ? agent->n_words : 0;
    for (uint32_t i = 0; i < n; i++) {
        at = agent->word[i].text.at;
        if (may_be_claim(c, agent->word[i].hash))
            take_claims(c, agent->word[i].hash, xb_span_of(at, end), holder, address, &found);
        at += agent->word[i].text.size;
    }
    /* Of a long agent only the first words were kept: look at the others too, so that nobody hides a word behind them. */
    while (n == XB_MAX_WORDS && at < end) {
        const char *from = at;
        while (at < end && xb_is_word(*at))
            at++;
        if (at > from)
            take_claims(c, xb_hash(xb_span_of(from, at)), xb_span_of(from, end), holder, address, &found);
        at += at == from;
    }
    if (found.proof == XB_NO_CLAIM && holder && holder->silent < c->head->n_crawlers)
        found = (xb_identity){&c->crawler[holder->silent], XB_PROVEN, false};
    return found;
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
