# The interface of csrc/ as Cython sees it.
#
# Law: the only statement of it on this side, header by header.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "base/span.h" nogil:
    ctypedef struct xb_span:
        const char *at
        size_t size
    bint xb_is_word(char c)

cdef extern from "base/hash.h" nogil:
    uint64_t xb_hash(xb_span s)
    uint64_t xb_hash_bytes(xb_span s)

cdef extern from "request/handshake.h" nogil:
    ctypedef struct xb_tls:
        xb_span protocol
        xb_span ciphers
        xb_span curves
        xb_span alpn
        xb_span reused
        xb_span sigalgs
    enum:
        XB_N_STACKS
        XB_ALPN_OTHER
        XB_KNOWS_CIPHERS
        XB_KNOWS_CURVES
    ctypedef struct xb_handshake:
        uint64_t ciphers
        uint64_t curves
        uint64_t sigalgs
        uint32_t marks
        uint16_t protocol
        uint16_t n_ciphers
        uint16_t n_curves
        uint16_t n_sigalgs
        uint8_t known
        uint8_t alpn
        uint8_t reused
        uint8_t stack
    ctypedef struct xb_connection_id:
        uint64_t serial
        uint32_t process
        uint32_t requests
    bint xb_tls_said(const xb_tls *tls)
    void xb_handshake_of(const xb_tls *tls, xb_handshake *out)
    const char *xb_stack_names[]

cdef extern from "request/request.h" nogil:
    enum:
        XB_MAX_HEAD
        XB_MAX_HEADERS
        XB_PARTIAL
        XB_BAD
        XB_HAS_IP
        XB_HAS_UA
        XB_HAS_REFERRER
        XB_HAS_URL
        XB_HAS_HEADERS
        XB_HAS_CLIENT
        XB_HAS_ORDER
        XB_HAS_CASE
        XB_HAS_TLS
        XB_H_SIGNATURE
        XB_H_SIGNATURE_INPUT
        XB_H_SIGNATURE_AGENT
    ctypedef int xb_header_id
    ctypedef struct xb_header:
        xb_span name
        xb_span value
        bint visitor
    ctypedef struct xb_request:
        uint32_t present
        uint32_t missing
        xb_span ip
        xb_span method
        xb_span uri
        xb_span protocol
        xb_span scheme
        xb_span host
        xb_span agent
        xb_span referrer
        xb_span policy
        xb_tls tls
        xb_handshake handshake
        xb_connection_id connection
        uint32_t n_headers
        bint truncated
        xb_header headers[256]
    long xb_request_parse(xb_request *r, const char *buf, size_t size, size_t seen_size)
    void xb_request_add(xb_request *r, xb_span name, xb_span value)
    void xb_request_clear(xb_request *r)
    bint xb_has(const xb_request *r, xb_header_id id)
    bint xb_differ(const xb_request *r, xb_header_id id)
    uint32_t xb_place(const xb_request *r, xb_header_id id)

cdef extern from "request/fields.h" nogil:
    enum:
        XB_HEADERS_UNKNOWN
        XB_HEADERS_UNORDERED
        XB_HEADERS_ORDERED
    ctypedef int xb_headers
    ctypedef struct xb_fields:
        xb_span ip
        xb_span method
        xb_span uri
        xb_span protocol
        xb_span scheme
        xb_span host
        xb_span agent
        xb_span referrer
        xb_tls tls
        xb_connection_id connection
        xb_span policy
        xb_headers headers
    bint xb_request_complete(xb_request *r, const xb_fields *f)

cdef extern from "base/address.h" nogil:
    ctypedef struct xb_address:
        uint32_t version
        uint8_t bytes[16]
    bint xb_address_parse(xb_span text, xb_address *out)

cdef extern from "request/dialect.h" nogil:
    enum:
        XB_FILES
        XB_DIALECT_COUNT
    ctypedef int xb_dialect
    ctypedef struct xb_dialect_row:
        const char *name
    const xb_dialect_row xb_dialects[]
    void xb_dialect_apply(xb_dialect dialect, xb_request *r, char *scratch)

cdef extern from "features/agent.h" nogil:
    enum:
        XB_BROWSER_NONE
    ctypedef struct xb_agent_facts:
        uint32_t major
        uint8_t browser
    void xb_agent_facts_of(xb_span s, xb_agent_facts *a)
    const char *xb_browser_names[]

cdef extern from "features/facts.h" nogil:
    ctypedef struct xb_facts:
        pass

cdef extern from "features/behaviour.h" nogil:
    ctypedef struct xb_behaviour:
        pass
    enum:
        XB_PROVEN_NOTHING
        XB_PROVEN_VISITOR
        XB_PROVEN_FALSE
    int xb_behaviour_proves(const xb_behaviour *b, const xb_facts *f)

cdef extern from "features/featurizer.h" nogil:
    enum:
        XB_N_DENSE
        XB_N_FAMILIES
        XB_MIN_K
        XB_MAX_K
    ctypedef struct xb_feature_row:
        const char *name
        const char *doc
        uint32_t group
        uint32_t version
    const xb_feature_row xb_feature_rows[]
    const xb_feature_row xb_family_rows[]
    ctypedef struct xb_hosts:
        const uint32_t *hash
        uint32_t count
    ctypedef struct xb_shape:
        unsigned k
        uint32_t families
        xb_hosts hosts
    enum:
        XB_ALL_FAMILIES
    ctypedef struct xb_token:
        uint32_t bucket
        uint8_t family
    enum:
        XB_MAX_TOKENS
        XB_FIRST_OF_CLIENT
    ctypedef struct xb_print:
        pass
    ctypedef struct xb_vector:
        double *dense
        uint32_t n_held
        uint32_t absent
        uint32_t n_said
        uint32_t n_tokens
        xb_print *print
        xb_token *tokens
        xb_facts facts
        xb_behaviour behaviour
    double xb_row(const xb_vector *v, size_t i)
    void xb_init()
    void xb_featurize(const xb_request *r, const xb_shape *shape, xb_vector *v)

cdef extern from "features/url.h" nogil:
    uint32_t xb_host_hash(xb_span host)

cdef extern from "features/words.h" nogil:
    xb_shape xb_shape_of(unsigned k, uint32_t families, xb_hosts hosts)
    void xb_words_forget(xb_vector *v)
    size_t xb_token_text(const xb_vector *v, const xb_token *t, char *out, size_t size)

cdef extern from "model/model.h" nogil:
    const char *XB_MODEL_MAGIC
    enum:
        XB_MODEL_VERSION
        XB_MODEL_HEADER
        XB_MODEL_DIGEST
        XB_DTYPE_F64
        XB_TEST_TLS
    ctypedef struct xb_model_header:
        uint8_t magic[8]
        uint32_t version
        uint32_t header_size
        uint32_t n_dense
        uint32_t n_families
        uint32_t k
        uint32_t dtype
        uint32_t groups
        uint32_t families
        uint32_t n_hosts
        uint32_t n_tests
        uint64_t tests_size
        uint64_t provenance_size
        uint64_t file_size
        double bias
        double threshold
        double a
        double b
    ctypedef struct xb_model_row:
        char name[28]
        uint32_t version
    ctypedef struct xb_self_test:
        double margin
        uint32_t size
        uint32_t headers
    ctypedef struct xb_model:
        xb_model_header header
        const xb_model_row *rows
        const double *bucket
        xb_shape shape
        double *mean
        double *scale
        double *lower
        double *upper
        double *weight
        xb_span provenance
    const char *xb_model_open(xb_model *m, const void *image, size_t size, xb_request *r, xb_vector *v)
    uint32_t xb_model_mark(const xb_model *m)

cdef extern from "model/scorer.h" nogil:
    enum:
        XB_MAX_REASON
    ctypedef struct xb_verdict:
        double margin
        double score
        bint bot
        int reason
    xb_verdict xb_score(const xb_model *m, const xb_vector *v)
    double xb_contribution(const xb_model *m, const xb_vector *v, size_t i)
    double xb_token_contribution(const xb_model *m, const xb_token *t)
    char *xb_score_text(char *to, double score)
    size_t xb_reason_text(const xb_verdict *verdict, const xb_vector *v, bint accused, char *out, size_t size)

cdef extern from "policy/image.h" nogil:
    enum:
        XB_MAX_NAME
    ctypedef struct xb_text:
        uint32_t at
        uint32_t size
    ctypedef struct xb_range6:
        uint64_t first[2]
        uint64_t last[2]

cdef extern from "board/lookups.h" nogil:
    enum:
        XB_LOOKUPS_QUESTIONS
        XB_MAX_DOMAINS
        XB_LOOKUP_AWAY
        XB_LOOKUP_SILENT
        XB_LOOKUP_ANSWERED
        XB_N_LOOKUPS
    ctypedef struct xb_lookup:
        uint64_t domains
        uint32_t state
        uint32_t given
        uint32_t until
    ctypedef struct xb_lookups:
        uint64_t asked
        uint64_t dropped
        uint64_t looked[4]
        uint64_t confirmed
    uint32_t xb_lookups_now()
    bint xb_lookups_find(const xb_lookups *t, const xb_address *address, uint32_t now, xb_lookup *out)
    void xb_lookups_ask(xb_lookups *t, const xb_address *address)
    size_t xb_lookups_take(xb_lookups *t, uint32_t *at, xb_address *out, size_t most)
    void xb_lookups_keep(xb_lookups *t, const xb_address *address, const xb_lookup *what)

cdef extern from "policy/crawlers.h" nogil:
    enum:
        XB_MAX_PURPOSE
        XB_MAX_SOURCES
        XB_PROVEN
    ctypedef struct xb_crawler:
        char name[32]
        char purpose[16]
        uint64_t sources
        uint64_t recent
        uint64_t domains
        uint32_t search
    ctypedef struct xb_holder:
        uint64_t sources
        uint32_t silent
    ctypedef struct xb_claim:
        uint64_t hash
        xb_text text
        uint32_t crawler
    ctypedef struct xb_catalogue:
        uint32_t n_crawlers
        uint32_t n_v4
        uint32_t n_v6
        uint32_t claim_bits
        uint64_t crawlers
        uint64_t actions
        uint64_t v4
        uint64_t holders4
        uint64_t v6
        uint64_t holders6
        uint64_t claims
        uint64_t words[64]
    ctypedef struct xb_identity:
        const xb_crawler *crawler
        int proof
        bint excused
    ctypedef int xb_proof
    enum:
        XB_NO_CLAIM
        XB_CLAIMED
        XB_UNPROVEN
        XB_DISPROVED
    ctypedef struct xb_signer:
        xb_proof (*check)(const xb_signer *self, const xb_request *r, uint32_t *crawler) noexcept
    ctypedef struct xb_crawlers:
        const xb_lookups *lookups
        xb_lookups *asks
        const xb_signer *signer
    const xb_holder *xb_holder_of(const xb_crawlers *c, const xb_address *address)
    xb_identity xb_identify(const xb_crawlers *c, const xb_address *address, const xb_holder *holder, const xb_agent_facts *agent)

cdef extern from "policy/paths.h" nogil:
    xb_span xb_path_resolve(xb_span path, char *scratch)

cdef extern from "policy/policy.h" nogil:
    const char *XB_POLICIES_MAGIC
    enum:
        XB_POLICIES_VERSION
        XB_N_OUTCOMES
        XB_BY_SCORE
        XB_BY_ALLOW
        XB_BY_DENY
        XB_BY_VERIFIED
        XB_N_DECIDERS
    ctypedef struct xb_policy:
        char name[32]
        uint32_t first
        uint32_t n_allow
        uint32_t n_deny
        uint32_t n_verified
    ctypedef struct xb_option_row:
        const char *name
        const char *first
        const char *second
        const char *without
        const char *doc
        size_t offset
    enum:
        XB_N_OPTIONS
    const xb_option_row xb_option_rows[]
    ctypedef struct xb_list:
        char name[32]
        uint32_t n_v4
        uint32_t n_v6
        uint32_t n_paths
        uint32_t agent_bits
        uint64_t v4
        uint64_t v6
        uint64_t agents
        uint64_t paths
        uint64_t source
    ctypedef struct xb_route:
        xb_text prefix
        uint32_t policy
    ctypedef struct xb_agent_slot:
        uint64_t hash
        xb_text text
    ctypedef struct xb_policies_header:
        uint8_t magic[8]
        uint32_t version
        uint32_t n_policies
        uint32_t n_lists
        uint32_t n_order
        uint32_t n_routes
        uint64_t size
        uint64_t crawlers
    ctypedef struct xb_policies:
        const xb_policy *policy
        xb_crawlers crawlers
        const xb_list *list
        uint32_t n_policies
        uint32_t n_lists
    ctypedef struct xb_decision:
        const xb_policy *policy
        int outcome
        int by
        const xb_list *list
        xb_identity identity
        bint refuse
    const xb_policy xb_observing
    const xb_policy xb_enforcing
    const char *xb_outcome_names[]
    const char *xb_policies_open(xb_policies *p, const void *image, size_t size)
    const xb_policy *xb_policy_named(const xb_policies *p, xb_span name)
    size_t xb_decision_text(const xb_decision *d, const xb_verdict *verdict, const xb_vector *v, char *out, size_t size)

cdef extern from "base/ids.h" nogil:
    ctypedef struct xb_ids:
        uint64_t key[2]
        uint64_t count
    enum: XB_ID_SIZE
    void xb_id_text(uint64_t id, char *out)

cdef extern from "board/wheel.h" nogil:
    enum:
        XB_N_WHEEL_MODES
        XB_WHEEL_NAME
        XB_WHEEL_POLICIES
        XB_WHEEL_ADDRESSES
    uint64_t XB_WHEEL_EVER
    ctypedef int xb_wheel_mode
    ctypedef struct xb_wheel_policy:
        uint64_t name[4]
        uint64_t word
    ctypedef struct xb_wheel_address:
        uint64_t high
        uint64_t low
        uint64_t word
    ctypedef struct xb_wheel:
        uint64_t all
        xb_wheel_policy policy[64]
        xb_wheel_address address[64]
    const char *xb_wheel_names[]
    void xb_wheel_init(xb_wheel *w, uint64_t made, uint64_t booted)
    const char *xb_wheel_check(const void *file, size_t size, uint64_t booted)
    bint xb_wheel_turn(xb_wheel *w, const char *name, xb_wheel_mode mode, uint64_t now, uint64_t end)
    bint xb_wheel_let_by(xb_wheel *w, const xb_address *address, unsigned bits, uint64_t now, uint64_t end)
cdef extern from "clients/clients.h" nogil:
    enum:
        XB_CLIENTS_WAYS
        XB_SAYS
    ctypedef struct xb_clients:
        uint64_t *secret
        uint64_t n_sets
        uint32_t privacy
        uint64_t keyed_ms
        uint64_t entries
        uint64_t replaced
        uint64_t outcomes
        uint64_t bad_outcomes
    ctypedef enum xb_clients_privacy:
        XB_CLIENTS_BY_ADDRESS
        XB_CLIENTS_BY_NETWORK
    ctypedef struct xb_client_keys:
        uint64_t client
        uint64_t network
        uint64_t shape
    ctypedef struct xb_client_entry:
        pass
    ctypedef struct xb_client_places:
        xb_client_entry *client
        xb_client_entry *network
        xb_client_entry *shape
    enum:
        XB_TALLY_REQUESTS
        XB_TALLY_PAGES
        XB_TALLY_PARTS
        XB_TALLY_ARRIVED
        XB_TALLY_VISITORS
        XB_TALLY_LOADERS
        XB_TALLY_NETWORKS
        XB_MARK_PARTED
        XB_MARK_DOUBTED
        XB_MARK_REGRETTED
        XB_MARK_BROUGHT
    ctypedef struct xb_client_view:
        float count[24]
        uint32_t marks
    xb_client_places xb_clients_find(const xb_clients *t, const xb_client_keys *k)
    void xb_client_read(const xb_client_entry *e, uint64_t now_ms, xb_client_view *out)
    enum:
        XB_CONTENT_UNKNOWN
    ctypedef struct xb_response:
        int status
        int64_t bytes
        uint8_t content
    size_t xb_clients_size(unsigned mebibytes)
    void xb_clients_init(xb_clients *t, size_t size, const uint64_t *secret, xb_clients_privacy privacy)
    void xb_clients_rekey(xb_clients *t, const uint64_t *secret, uint64_t now_ms)
    const char *xb_clients_check(const void *memory, size_t size)
    uint8_t xb_content_of(xb_span content_type)
    void xb_clients_outcome(xb_clients *t, const xb_client_keys *k, uint64_t now_ms, const xb_response *r)

cdef extern from "clients/exchange.h" nogil:
    ctypedef struct xb_client_delta:
        uint32_t set
    ctypedef struct xb_exchange:
        uint64_t since_ms
    size_t xb_exchange_size(const xb_clients *t)
    void xb_exchange_init(xb_exchange *x, uint64_t now_ms)
    size_t xb_exchange_collect(xb_exchange *x, const xb_clients *t, uint64_t now_ms, xb_client_delta *out, size_t most)
    size_t xb_exchange_merge(xb_exchange *x, xb_clients *t, uint64_t now_ms, const xb_client_delta *told, size_t n)

cdef extern from "clients/visitors.h" nogil:
    enum:
        XB_VISITORS_WAYS
        XB_VISITORS_SETS
    ctypedef struct xb_visitor:
        uint64_t network
        uint64_t shape
        uint64_t last
        uint32_t model
        float margin
    ctypedef struct xb_visitor_set:
        uint64_t client[8]
        xb_visitor visitor[8]
    ctypedef struct xb_visitors:
        xb_visitor_set set[1024]
    void xb_visitors_init(xb_visitors *t)
    const char *xb_visitors_check(const void *memory, size_t size)

cdef extern from "judge.h" nogil:
    const char *XB_BY_HAND
    ctypedef struct xb_workspace:
        xb_request request
        xb_vector vector
        xb_verdict verdict
        xb_decision decision
        xb_clients *clients
        uint64_t now_ms
        bint reads_only
        xb_client_keys keys
        uint64_t id
        uint8_t doubt
        char *scratch
        char *path
    void xb_see(const xb_shape *shape, xb_workspace *w)
    void xb_judge(const xb_model *m, xb_workspace *w)
    bint xb_apply_policy(const xb_policies *policies, const xb_policy *policy, const xb_model *m, xb_workspace *w)

cdef extern from "board/handshakes.h" nogil:
    ctypedef struct xb_handshakes:
        uint64_t secret[2]
    bint xb_handshakes_recall(xb_handshakes *t, uint32_t listener, uint32_t now, xb_request *r)

cdef extern from "served.h" nogil:
    ctypedef struct xb_board_header:
        uint64_t made
    size_t xb_served_size(size_t model_size, size_t policies_size)
    void xb_served_init(void *image, xb_span model, xb_span policies, uint64_t made, uint64_t booted)
    const char *xb_served_open(const void *image, size_t size, bint verified, xb_span *model, xb_span *policies)

cdef extern from "board/counters.h" nogil:
    enum:
        XB_COUNTERS_HEADER
        XB_COUNTERS_SLOT
        XB_COUNTERS_MOST
        XB_CLOSED_SLOW
        XB_CLOSED_UNREAD
        XB_CLOSED_CONNECTIONS
        XB_CLOSED_BYTES
        XB_N_CLOSED
        XB_HISTOGRAM
        XB_COUNTED_OUTCOMES
        XB_COUNTED_DECIDERS
        XB_COUNTED_POLICIES
        XB_SCORES
        XB_MARGINS
    ctypedef int xb_closed
    ctypedef struct xb_policy_counts:
        char name[32]
        uint64_t named
        uint64_t decided[5][4]
        uint64_t refused[5]
    ctypedef struct xb_stats:
        uint64_t unknown_policy
        uint64_t bad_request
        uint64_t truncated
        uint64_t connections_total
        uint64_t asked_again
        uint64_t older_files
        uint64_t newer_files
        uint64_t closed[4]
        uint64_t sum_ns
        uint64_t histogram[64]
        uint64_t probes
        uint64_t sum_score
        uint64_t score[20]
        uint64_t margin[32]
        uint64_t doubted
        uint64_t regretted
        xb_policy_counts policy[33]
    uint64_t xb_counters_decided(const xb_stats *stats, uint64_t *outcome, uint64_t *decided_by, uint64_t *refused)
    size_t xb_counters_size(uint32_t n_slots)
    void xb_counters_init(void *file, uint32_t n_slots, uint64_t made, uint64_t booted)
    const char *xb_counters_check(const void *file, size_t size, uint32_t *n_slots)
    void xb_counters_add(xb_stats *total, const void *file)
    xb_stats *xb_counters_slot(void *file, uint32_t i)

cdef extern from "base/rate.h" nogil:
    ctypedef struct xb_rate:
        uint32_t most

cdef extern from "board/share.h" nogil:
    enum: XB_N_SHARES
    enum: XB_SHARE_MOST
    enum: XB_SHARE_VERSION
    const char *XB_SHARE_MAGIC
    const char *xb_share_names[]
    ctypedef struct xb_share:
        uint8_t magic[8]
        uint32_t version
        uint32_t n
        uint64_t sample
        uint32_t logged
        uint32_t per_second
        uint32_t accused
        uint32_t others
        uint32_t signs
        uint8_t kind[16]

cdef extern from "board/lane.h" nogil:
    ctypedef struct xb_lane:
        uint64_t dropped
        uint64_t capped
        xb_rate rate
    const void *xb_lane_first(xb_lane *lane, size_t *size)
    void xb_lane_next(xb_lane *lane, size_t size)

cdef extern from "record.h" nogil:
    ctypedef struct xb_recorder:
        bint logged
        uint64_t sample
        xb_rate accused
        xb_rate others
    enum:
        XB_PAST
    ctypedef struct xb_record:
        uint32_t head
        uint64_t id
        uint64_t generation
        uint64_t time
        double margin
        double score
        xb_client_keys keys
        uint8_t dialect
        uint8_t outcome
        uint8_t refuse
        uint8_t untold
        uint8_t has_tls
        uint8_t logged
        uint8_t past
        uint8_t reason_size
        uint8_t doubt
        xb_handshake handshake
        char policy[32]
        char reason[96]

cdef extern from "answer.h" nogil:
    enum:
        XB_MAX_REPLY
        XB_REGRETTED
    ctypedef struct xb_service:
        const xb_model *model
        const xb_policies *policies
        const xb_policy *policy
        xb_dialect dialect
        bint closing
        xb_stats *stats
        xb_handshakes *handshakes
        uint32_t listener
        xb_ids *ids
        xb_lane *lane
        xb_recorder *recorder
        uint64_t generation
        const xb_wheel *wheel
        xb_clients *clients
        xb_visitors *visitors
        const uint64_t *clock_ms
    ctypedef struct xb_reply:
        size_t size
        bint close
        bint again
        char bytes[512]
    uint64_t xb_now()
    uint64_t xb_time_ms(const uint64_t *clock_ms)

cdef extern from "clients/outcomes.h" nogil:
    enum:
        XB_OUTCOME_MOST
    void xb_outcome_take(xb_clients *t, xb_span message, uint64_t now_ms)

cdef extern from "connection.h" nogil:
    uint64_t XB_NEVER
    const char *xb_closed_names[]
    enum:
        XB_IDLE
        XB_HALF
        XB_UNREAD
        XB_LAST
        XB_GONE
    ctypedef int xb_state
    enum:
        XB_WAIT
        XB_ANSWERED
        XB_REFUSED
    ctypedef int xb_step
    ctypedef struct xb_connection:
        void *host
        char *piece
        uint64_t deadline
        xb_state state
        bint last
    ctypedef struct xb_host:
        void *(*resize)(void *memory, size_t size)
        uint64_t (*clock)()
        size_t max_connections
        size_t max_bytes
        uint64_t patience[4]
    ctypedef struct xb_listener:
        size_t connections
        size_t bytes
    void xb_listener_init(xb_listener *l, const xb_service *service, xb_workspace *work, const xb_host *host)
    void xb_connection_begin(xb_listener *l, xb_connection *c, void *host)
    void xb_connection_end(xb_listener *l, xb_connection *c)
    xb_step xb_connection_next(xb_listener *l, xb_connection *c, xb_span *input, xb_reply *reply)
    void xb_connection_unread(xb_listener *l, xb_connection *c, size_t bytes)
    void xb_connection_last(xb_listener *l, xb_connection *c)
    xb_connection *xb_listener_out(xb_listener *l, xb_closed *why)
    bint xb_listener_over(const xb_listener *l)
    uint64_t xb_listener_wake(const xb_listener *l)
    void xb_listener_drain(xb_listener *l, uint64_t idle, uint64_t rest)

cdef extern from "request/logline.h" nogil:
    enum:
        XB_MAX_LINE
    ctypedef struct xb_line:
        int label
        int status
        int64_t time
        int64_t bytes
        xb_span type
        const char *error_field
        const char *error
    bint xb_clf_line(unsigned kind, xb_span line, char *scratch, xb_request *r, xb_line *out)
    enum: XB_CLF_COMBINED, XB_CLF_HOST, XB_CLF_FORWARDED, XB_CLF_SHORT, XB_CLF_DASH_UNKNOWN

cdef extern from "request/challenge.h" nogil:
    bint xb_challenge_line(xb_span line, char *scratch, xb_request *r, xb_line *out)

cdef extern from "request/jsonline.h" nogil:
    bint xb_json_line(xb_span line, char *scratch, xb_request *r, xb_line *out)
