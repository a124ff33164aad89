# Policies and lists: their image, written and opened, and what they decide of a request.
#
# Law: the structs of csrc/policy/policy.h are the only statement of the image's layout; they are filled here, field by field.
# csrc/ checks an image once, so its buffer must be read-only. csrc/ takes the decision.

from cpython.buffer cimport PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.math cimport NAN
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sidecar.core.csrc cimport (
    XB_CLAIMED, XB_DISPROVED, XB_H_SIGNATURE, XB_H_SIGNATURE_AGENT, XB_H_SIGNATURE_INPUT, XB_MAX_NAME, XB_MAX_PURPOSE, XB_MAX_REASON,
    XB_NO_CLAIM, XB_N_OPTIONS, XB_POLICIES_MAGIC, XB_POLICIES_VERSION, XB_PROVEN, XB_UNPROVEN, xb_agent_slot, xb_differ, xb_has,
    xb_header_id, xb_place, xb_proof, xb_request, xb_signer, xb_address, xb_address_parse, xb_agent_facts, xb_agent_facts_of,
    xb_holder_of, xb_identify,
    xb_apply_policy, xb_catalogue, xb_claim, xb_crawler, xb_decision_text, xb_holder, xb_identity,
    xb_hash, xb_is_word, xb_judge, xb_list, xb_option_rows, xb_path_resolve, xb_policies_header, xb_policies_open, xb_policy,
    xb_policy_named, xb_range6, xb_route, xb_span, xb_text,
)


def resolve_path(bytes path not None):
    """The path as the lists of a policy see it (csrc/policy/policy.h)."""
    cdef bytearray scratch = bytearray(len(path) + 1)
    return _bytes(xb_path_resolve(_span(path), scratch))


cdef int _put_name(char *to, str name, size_t size=XB_MAX_NAME) except -1:
    """Into a field of `size` bytes, all zero before."""
    cdef bytes text = name.encode()
    if len(text) >= <Py_ssize_t>size:
        raise ValueError(f"{name!r} is longer than {size - 1} bytes")
    memcpy(to, PyBytes_AS_STRING(text), len(text))
    return 0


cdef xb_text _put_text(bytearray texts, uint64_t at, bytes text):
    """Puts a text behind the others, the first of which is at `at` in the image."""
    cdef xb_text place
    place.at, place.size = at + len(texts), len(text)
    texts += text
    return place


cdef int _put_options(xb_policy *policy, options) except -1:
    """The rows of options.def, from attributes of the same names."""
    cdef char *at
    for i in range(XB_N_OPTIONS):
        value = getattr(options, POLICY_OPTIONS[i].name)
        at = <char *>policy + xb_option_rows[i].offset
        if POLICY_OPTIONS[i].values is None:
            (<double *>at)[0] = NAN if value is None else value
        else:
            (<uint32_t *>at)[0] = POLICY_OPTIONS[i].values.index(value)
    return 0


cdef int _pad(bytearray data) except -1:
    data += bytes(-len(data) % 8)
    return 0


cdef xb_span _first_word(bytes text):
    cdef xb_span word = _span(text)
    while word.size and xb_is_word(word.at[0]):
        word.at += 1
        word.size -= 1
    word.size, word.at = word.at - PyBytes_AS_STRING(text), PyBytes_AS_STRING(text)
    return word


_LOWER_HALF = (1 << 64) - 1  # of an IPv6 address


cdef bytes _packed_list(xb_list *row, listed, uint64_t at):
    """Fills all of `row` but the name, which is all zero before. Returns the parts that it points to; they begin at `at`."""
    cdef uint32_t *v4
    cdef xb_range6 *v6
    cdef xb_agent_slot slot
    cdef xb_agent_slot *slots
    cdef xb_text *path
    cdef bytes text
    cdef xb_span word
    cdef size_t i, mask
    row.n_v4, row.n_v6, row.n_paths = len(listed.v4), len(listed.v6), len(listed.paths)
    row.source = listed.source
    networks = bytearray(2 * sizeof(uint32_t) * row.n_v4 + sizeof(xb_range6) * row.n_v6)
    row.v4, row.v6 = at, at + 2 * sizeof(uint32_t) * row.n_v4
    v4 = <uint32_t *><char *>networks
    for i, (first, last) in enumerate(listed.v4):
        v4[i], v4[row.n_v4 + i] = first, last
    v6 = <xb_range6 *>(v4 + 2 * row.n_v4)
    for i, (first, last) in enumerate(listed.v6):
        v6[i].first[0], v6[i].first[1] = first >> 64, first & _LOWER_HALF
        v6[i].last[0], v6[i].last[1] = last >> 64, last & _LOWER_HALF
    # At most half of the slots are taken.
    row.agent_bits = max(1, (2 * len(listed.agents) - 1).bit_length()) if listed.agents else 0
    table = bytearray(sizeof(xb_agent_slot) << row.agent_bits if listed.agents else 0)
    row.agents = at + len(networks)
    row.paths = row.agents + len(table)
    texts, paths = bytearray(), bytearray(sizeof(xb_text) * row.n_paths)
    cdef uint64_t texts_at = row.paths + sizeof(xb_text) * row.n_paths
    slots = <xb_agent_slot *><char *>table
    mask = (<size_t>1 << row.agent_bits) - 1
    for text in listed.agents:
        word = _first_word(text)
        slot.hash, slot.text = xb_hash(word), _put_text(texts, texts_at, text)
        i = slot.hash >> (64 - row.agent_bits)
        while slots[i].text.size:
            i = (i + 1) & mask
        slots[i] = slot
    path = <xb_text *><char *>paths
    for i, text in enumerate(listed.paths):
        path[i] = _put_text(texts, texts_at, text)
    parts = networks + table + paths + texts
    _pad(parts)
    return bytes(parts)


cdef bytes _packed_crawlers(crawlers, list actions, uint64_t at):
    """struct xb_catalogue with its parts, for an image in which it begins at `at`."""
    cdef xb_catalogue head
    cdef xb_crawler row
    cdef xb_holder holder
    cdef xb_claim claim
    cdef xb_claim *claims
    cdef uint32_t *v4
    cdef xb_range6 range6
    cdef xb_span word
    cdef bytes text
    cdef size_t i, mask
    memset(&head, 0, sizeof(head))
    head.n_crawlers, head.n_v4, head.n_v6 = len(crawlers.rows), len(crawlers.v4), len(crawlers.v6)
    head.claim_bits = max(1, (2 * len(crawlers.words) - 1).bit_length())  # at most half of the slots are taken
    parts, begin = bytearray(), at + sizeof(head)
    head.crawlers = begin
    for name, purpose, sources, recent, domains, search in crawlers.rows:
        memset(&row, 0, sizeof(row))
        _put_name(row.name, name)
        _put_name(row.purpose, purpose, XB_MAX_PURPOSE)
        row.sources, row.recent, row.domains, row.search = sources, recent, domains, search
        parts += (<const char *>&row)[:sizeof(row)]
    head.actions = begin + len(parts)
    for each in actions:
        parts += <bytes>each
    _pad(parts)
    head.v4 = begin + len(parts)
    numbers = bytearray(2 * sizeof(uint32_t) * head.n_v4)
    v4 = <uint32_t *><char *>numbers
    for i, (first, last, _, _) in enumerate(crawlers.v4):
        v4[i], v4[head.n_v4 + i] = first, last
    parts += numbers
    memset(&holder, 0, sizeof(holder))
    head.holders4 = begin + len(parts)
    for _, _, sources, silent in crawlers.v4:
        holder.sources, holder.silent = sources, silent
        parts += (<const char *>&holder)[:sizeof(holder)]
    head.v6 = begin + len(parts)
    for first, last, _, _ in crawlers.v6:
        range6.first[0], range6.first[1] = first >> 64, first & _LOWER_HALF
        range6.last[0], range6.last[1] = last >> 64, last & _LOWER_HALF
        parts += (<const char *>&range6)[:sizeof(range6)]
    head.holders6 = begin + len(parts)
    for _, _, sources, silent in crawlers.v6:
        holder.sources, holder.silent = sources, silent
        parts += (<const char *>&holder)[:sizeof(holder)]
    head.claims = begin + len(parts)
    table, texts = bytearray(sizeof(xb_claim) << head.claim_bits), bytearray()
    cdef uint64_t texts_at = head.claims + len(table)
    claims = <xb_claim *><char *>table
    mask = (<size_t>1 << head.claim_bits) - 1
    memset(&claim, 0, sizeof(claim))
    for text, number in crawlers.words:
        word = _first_word(text)
        claim.hash, claim.text, claim.crawler = xb_hash(word), _put_text(texts, texts_at, text), number
        head.words[claim.hash >> 58] |= <uint64_t>1 << (claim.hash >> 52 & 63)
        i = claim.hash >> (64 - head.claim_bits)
        while claims[i].text.size:
            i = (i + 1) & mask
        claims[i] = claim
    parts += table + texts
    _pad(parts)
    return (<const char *>&head)[:sizeof(head)] + bytes(parts)


def policies_image(dict policies not None, dict lists not None, list routes not None, crawlers=None, dict actions=None):
    """The image of policies, lists and routes (csrc/policy/policy.h); `Policies` opens it.

    policies: name -> what has an attribute for each of POLICY_OPTIONS, None for a share that is not set, and allow, deny and
    verified, names of `lists`; lists: name -> what has v4, v6, agents, paths and source as Contents of
    sidecar/config/lists.py; routes: (path prefix in bytes, name of its policy), the longer before the shorter; crawlers: what
    has the attributes of Crawlers of sidecar/config/crawlers.py, or None, and for each policy its actions, a byte a crawler. ValueError for
    a name that is too long, KeyError for one that is not there.
    """
    cdef xb_policies_header header
    cdef xb_policy policy
    cdef xb_list row
    cdef xb_route route
    cdef uint32_t number
    rows, heads, packed_routes, order, parts = bytearray(), bytearray(), bytearray(), bytearray(), bytearray()
    numbers = {name: i for i, name in enumerate(lists)}
    for name, each in policies.items():
        memset(&policy, 0, sizeof(policy))
        _put_name(policy.name, name)
        _put_options(&policy, each)
        policy.first = len(order) // sizeof(number)
        policy.n_allow, policy.n_deny, policy.n_verified = len(each.allow), len(each.deny), len(each.verified)
        for listed in (*each.allow, *each.deny, *each.verified):
            number = numbers[listed]
            order += (<const char *>&number)[:sizeof(number)]
        rows += (<const char *>&policy)[:sizeof(policy)]
    memset(&header, 0, sizeof(header))
    memcpy(header.magic, XB_POLICIES_MAGIC, sizeof(header.magic))
    header.version, header.n_policies, header.n_lists = XB_POLICIES_VERSION, len(policies), len(lists)
    header.n_order, header.n_routes = len(order) // sizeof(number), len(routes)
    _pad(order)
    cdef uint64_t begin = sizeof(header) + len(rows) + len(lists) * sizeof(row) + len(routes) * sizeof(route) + len(order)
    for name, contents in lists.items():
        memset(&row, 0, sizeof(row))
        _put_name(row.name, name)
        parts += _packed_list(&row, contents, begin + len(parts))
        heads += (<const char *>&row)[:sizeof(row)]
    numbers = {name: i for i, name in enumerate(policies)}
    for prefix, name in routes:
        memset(&route, 0, sizeof(route))
        route.prefix, route.policy = _put_text(parts, begin, prefix), numbers[name]
        packed_routes += (<const char *>&route)[:sizeof(route)]
    _pad(parts)
    if crawlers is not None:
        header.crawlers = begin + len(parts)
        parts += _packed_crawlers(crawlers, [actions[name] for name in policies], header.crawlers)
    header.size = begin + len(parts)
    return (<const char *>&header)[:sizeof(header)] + bytes(rows + heads + packed_routes + order + parts)


cdef _proven(const xb_identity *identity):
    """(name, purpose) of a crawler that is proven, else None."""
    if identity.proof != XB_PROVEN:
        return None
    return (<const char *>identity.crawler.name).decode("ascii"), (<const char *>identity.crawler.purpose).decode("ascii")


# What a request says that a signature may cover: bytes, None where absent; and its signature.
Signed = namedtuple("Signed", "method scheme host uri signature signature_input signature_agent")
PROOFS = ("none", "unproven", "disproved", "proven")


cdef bytes _once(const xb_request *r, xb_header_id id):
    """The value of a header that is there once, or with one value."""
    return _bytes(r.headers[xb_place(r, id)].value) if xb_has(r, id) and not xb_differ(r, id) else None


cdef xb_proof _check_signature(const xb_signer *self, const xb_request *r, uint32_t *crawler) noexcept:
    try:
        signed = Signed(_bytes(r.method), _bytes(r.scheme), _bytes(r.host), _bytes(r.uri), _once(r, XB_H_SIGNATURE),
                        _once(r, XB_H_SIGNATURE_INPUT), _once(r, XB_H_SIGNATURE_AGENT))
        proof, number = (<object>(<signer *>self).check)(signed)
        crawler[0] = number
        return (XB_NO_CLAIM, XB_UNPROVEN, XB_DISPROVED, XB_PROVEN)[PROOFS.index(proof)]
    except Exception:
        return XB_NO_CLAIM


cdef class Policies:
    """Policies and lists, opened from an image that policies_image made. `data` is a read-only buffer and is not copied. Without
    `lookups` whoever needs the DNS is unproven.

    `signer` is called with a Signed for each request that is signed, and returns what `PROOFS` lists and the crawler by its
    number; whatever it raises, the request is unsigned."""

    def __cinit__(self, data, Lookups lookups=None, signer=None):
        cdef const char *why
        _hold(data, &self.view)
        self.data = data
        why = xb_policies_open(&self.policies, self.view.buf, self.view.len)
        if why is not NULL:
            raise PoliciesError(why.decode())
        self.lookups = lookups
        if lookups is not None:
            self.policies.crawlers.lookups, self.policies.crawlers.asks = lookups.table, lookups.table
        self.signer = signer
        if signer is not None:
            self.signing.row.check, self.signing.check = _check_signature, <void *>signer
            self.policies.crawlers.signer = &self.signing.row

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    @property
    def names(self):
        """The policies' names, in the order of the image."""
        return tuple((<const char *>self.policies.policy[i].name).decode("ascii") for i in range(self.policies.n_policies))

    cdef const xb_policy *named(self, str name) except NULL:
        cdef bytes text = name.encode()
        cdef const xb_policy *policy = xb_policy_named(&self.policies, _span(text))
        if policy is NULL:
            raise KeyError(name)
        return policy

    def decide(self, Model model not None, Request request not None, str policy not None):
        """The Decision on what `request` holds now: by the policy that it asks for, or by `policy`."""
        cdef char reason[XB_MAX_REASON]
        cdef const xb_policy *chosen = self.named(policy)
        request.idle()
        xb_judge(&model.model, request.work)
        xb_apply_policy(&self.policies, chosen, &model.model, request.work)
        d = &request.work.decision
        size = xb_decision_text(d, &request.work.verdict, &request.work.vector, reason, sizeof(reason))
        listed = None if d.list is NULL else (<const char *>d.list.name).decode("ascii")
        return Decision(OUTCOMES[d.outcome], bool(d.refuse), reason[:size].decode("ascii"), (<const char *>d.policy.name).decode("ascii"), listed,
                        _proven(&d.identity))

    def identify(self, Request request not None):
        """The Identity that `request` claims or proves by its agent and address; None if it names no crawler. No list of the owner's
        and no signature counts here."""
        cdef xb_address address
        cdef xb_agent_facts agent
        request.idle()
        r = &request.work.request
        memset(&address, 0, sizeof(address))
        xb_address_parse(r.ip, &address)
        if r.agent.at is NULL:
            memset(&agent, 0, sizeof(agent))
        else:
            xb_agent_facts_of(r.agent, &agent)
        found = xb_identify(&self.policies.crawlers, &address, xb_holder_of(&self.policies.crawlers, &address), &agent)
        if found.proof == XB_NO_CLAIM:
            return None
        proof = {XB_CLAIMED: "claimed", XB_UNPROVEN: "unproven", XB_DISPROVED: "disproved", XB_PROVEN: "proven"}[found.proof]
        return Identity((<const char *>found.crawler.name).decode("ascii"), (<const char *>found.crawler.purpose).decode("ascii"), proof)
