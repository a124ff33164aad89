from array import array
from collections.abc import Callable, Collection
from typing import Any, Final, Literal, NamedTuple

class Row(NamedTuple):
    name: str
    group: str
    version: int
    doc: str

class Option(NamedTuple):
    name: str
    values: tuple[str, str] | None
    without: str | None
    doc: str

class Verdict(NamedTuple):
    bot: bool
    score: float
    margin: float
    reason: str

class Reported(NamedTuple):
    lines: int
    bad: int  # that cannot be read
    first_bad: tuple[int, str, str] | None  # line, field, why
    late: int  # lines that are earlier than the line before them
    first_late: int  # 0: none

class Decision(NamedTuple):
    outcome: str
    refuse: bool
    reason: str
    policy: str
    list: str | None
    crawler: tuple[str, str] | None  # name and purpose, where proven

class Identity(NamedTuple):
    crawler: str
    purpose: str
    proof: Literal["none", "claimed", "unproven", "disproved", "proven"]  # as xb_proof of csrc/policy/crawlers.h

class Recorded(NamedTuple):
    id: str
    time: int
    generation: int
    margin: float
    score: float
    outcome: str
    refuse: bool
    untold: bool
    reason: str
    policy: str
    dialect: str
    past: list[float]
    head: bytes
    handshake: bytes | None
    logged: bool
    doubt: Literal["none", "doubted", "regretted"]  # as xb_doubt of csrc/answer.h
    client: int
    network: int
    shape: int

class Contribution(NamedTuple):
    name: str
    value: float | None
    contribution: float
    doc: str

class Tls(NamedTuple):
    protocol: bytes | None
    ciphers: bytes | None
    curves: bytes | None
    alpn: bytes | None
    reused: bytes | None
    sigalgs: bytes | None

GROUPS: Final[dict[str, int]]
FEATURES: Final[tuple[Row, ...]]
FAMILIES: Final[tuple[Row, ...]]
DIALECTS: Final[tuple[str, ...]]
MAX_TIME: Final[int]
MAX_BYTES: Final[int]
MAX_CONNECTION: Final[int]
MAX_REQUESTS: Final[int]
MIN_K: Final[int]
MAX_K: Final[int]
MAX_HEAD: Final[int]
MAX_LINE: Final[int]
STATS_SIZE: Final[int]
CLOSED: Final[tuple[str, ...]]
LANE_SIZE: Final[int]
MARGINS: int
ID_LETTERS: Final[int]
FATES: Final[tuple[str, ...]]
WHEEL_SIZE: Final[int]
WHEEL_EVER: Final[int]
WHEEL_MODES: Final[tuple[str, ...]]
BY_HAND: Final[str]
HANDSHAKES_SIZE: Final[int]
HANDSHAKES_SECRET: Final[int]
LOOKUPS_SIZE: Final[int]
LOOKUPS_SECRET: Final[int]
MAX_DOMAINS: Final[int]
FILES: Final[int]
COUNTERS_HEADER: Final[int]
COUNTERS_SLOT: Final[int]
COUNTERS_MOST: Final[int]
OUTCOMES: Final[tuple[str, ...]]
DECIDERS: Final[tuple[str, ...]]
PROOFS: Final[tuple[str, ...]]
POLICY_OPTIONS: Final[tuple[Option, ...]]
MAX_NAME: Final[int]
MODEL_MAGIC: Final[bytes]
MODEL_VERSION: Final[int]
MODEL_HEADER: Final[int]
MODEL_DIGEST: Final[int]

class ModelError(ValueError): ...
class PoliciesError(ValueError): ...

class LineError(ValueError):
    args: tuple[str, str]

def hash_text(text: bytes) -> int: ...
def host_hash(host: bytes) -> int: ...
def parse_address(text: bytes) -> bytes | None: ...
def resolve_path(path: bytes) -> bytes: ...
def report_error(line: int, field: str, why: str, as_json: bool) -> bytes: ...
def policies_image(
    policies: dict[str, Any],
    lists: dict[str, Any],
    routes: list[tuple[bytes, str]],
    crawlers: Any = None,
    actions: dict[str, bytes] | None = None,
) -> bytes: ...
def read_stats(buffer: Any) -> dict[str, Any]: ...
def served_image(model: bytes, policies: bytes, made: int, booted: int) -> bytes: ...
def served_parts(image: Any, *, verified: bool) -> tuple[memoryview, memoryview]: ...
def served_made(image: bytes) -> int: ...
def counters_slots(file: Any) -> int: ...
def counters_image(slots: int, made: int, booted: int, carried: bytes = ...) -> bytes: ...
def sum_counters(file: bytes) -> dict[str, Any]: ...

class BoardError(ValueError): ...

def model_header(
    k: int,
    groups: int,
    families: int,
    n_hosts: int,
    n_tests: int,
    tests_size: int,
    provenance_size: int,
    file_size: int,
    bias: float,
    threshold: float,
    a: float,
    b: float,
) -> bytes: ...

class Request:
    def load_line(self, log_format: str, line: bytes) -> None: ...
    def load_json(self, line: bytes) -> bool: ...
    def load_head(self, head: bytes, dialect: str | None = "nginx") -> None: ...
    def come_from(self, ip: bytes) -> None: ...
    def ask_policy(self, name: bytes) -> None: ...
    @property
    def text(self) -> bytes: ...
    def self_test(self, margin: float) -> bytes: ...
    def load_record(
        self,
        headers: list[tuple[bytes, bytes]] | None,
        ordered: bool,
        agent: bytes | None = None,
        referrer: bytes | None = None,
        ip: bytes | None = None,
        method: bytes | None = None,
        uri: bytes | None = None,
        protocol: bytes | None = None,
        scheme: bytes | None = None,
        host: bytes | None = None,
        label: int = -1,
        status: int = -1,
        time_ms: int = -1,
        tls: Tls | None = None,
        connection: int = 0,
        connection_requests: int = 0,
        size: int = -1,
        content_type: bytes | None = None,
    ) -> None: ...
    @property
    def tls(self) -> Tls | None: ...
    @property
    def stack(self) -> str | None: ...
    @property
    def claim(self) -> tuple[str, int] | None: ...
    @property
    def connection(self) -> tuple[int, int]: ...
    @property
    def label(self) -> bool | None: ...
    @property
    def time(self) -> int | None: ...
    @property
    def time_ms(self) -> int | None: ...
    @property
    def size(self) -> int | None: ...
    @property
    def content_type(self) -> bytes | None: ...
    @property
    def status(self) -> int | None: ...
    @property
    def present(self) -> int: ...
    @property
    def truncated(self) -> bool: ...
    @property
    def fields(self) -> dict[str, bytes | None]: ...
    @property
    def headers(self) -> list[tuple[bytes, bytes]]: ...
    @property
    def own_headers(self) -> list[tuple[bytes, bytes]]: ...
    @property
    def ordered(self) -> bool: ...
    def know_handshake(self, facts: bytes) -> None: ...
    def features(
        self, k: int, hosts: array[int] | None = None, families: int = ...
    ) -> tuple[list[float], list[tuple[int, str, str]]]: ...

class Handshakes:
    def recall(self, request: Request) -> None: ...

class Clients:
    def __init__(self, mebibytes: int = 64) -> None: ...
    def read(self, request: Request) -> bool: ...
    def count(self, request: Request) -> None: ...

class Matrix:
    dense: array[float]
    indices: array[int]
    indptr: array[int]
    label: array[int]
    time: array[int]
    line: array[int]
    client: array[int]
    keys: array[int]
    proof: array[int]
    buckets: array[int]
    k: int
    present: int
    families: int
    errors: list[tuple[int, str, str]]
    unreadable: int
    late: int
    first_late: int
    def __init__(
        self,
        k: int,
        hosts: array[int] | None = None,
        without: Collection[str] = ...,
        clients: Clients | None = None,
    ) -> None: ...
    def __len__(self) -> int: ...
    def append(self, request: Request, line: int = 0) -> None: ...
    def refuse(self, line: int, field: str, why: str) -> None: ...
    def append_lines(self, log_format: str, block: bytes, first_line: int) -> int: ...

class Model:
    data: Any  # a read-only buffer
    def __init__(self, data: Any) -> None: ...
    @property
    def header(self) -> dict[str, Any]: ...
    @property
    def rows(self) -> dict[str, int]: ...
    @property
    def k(self) -> int: ...
    @property
    def threshold(self) -> float: ...
    @property
    def mark(self) -> int: ...
    @property
    def mean(self) -> memoryview[float]: ...
    @property
    def scale(self) -> memoryview[float]: ...
    @property
    def lower(self) -> memoryview[float]: ...
    @property
    def upper(self) -> memoryview[float]: ...
    @property
    def weight(self) -> memoryview[float]: ...
    @property
    def provenance(self) -> dict[str, Any]: ...
    def judge(self, request: Request, threshold: float | None = None) -> Verdict: ...
    def explain(self, request: Request) -> tuple[Verdict, float, list[Contribution]]: ...
    def recorded(self, one: Recorded, request: Request) -> tuple[float, list[float], list[tuple[str, int, str]]]: ...
    def explain_vector(
        self, request: Request, dense: dict[str, float], words: list[tuple[str, int, str]]
    ) -> tuple[Verdict, float, list[Contribution]]: ...
    def report(self, request: Request, line: int, as_json: bool) -> bytes: ...
    def report_lines(
        self,
        request: Request,
        log_format: str,
        block: bytes,
        first_line: int,
        as_json: bool,
        write: Callable[[bytes], object],
        clients: Clients | None = None,
        load: Callable[[bytes, Request], None] | None = None,
        handshakes: Handshakes | None = None,
    ) -> Reported: ...

class Signed(NamedTuple):
    method: bytes | None
    scheme: bytes | None
    host: bytes | None
    uri: bytes | None
    signature: bytes | None
    signature_input: bytes | None
    signature_agent: bytes | None

class Lookups:
    def __init__(self, buffer: Any) -> None: ...
    def take(self, most: int) -> list[bytes]: ...
    def take_over(self, other: Lookups, most: int) -> None: ...
    def keep(
        self, address: bytes, state: Literal["answered", "silent", "away"], seconds: float, domains: int = 0
    ) -> None: ...
    def find(self, address: bytes) -> tuple[str, int, int] | None: ...
    def counts(self) -> dict[str, int]: ...

class Policies:
    data: Any  # a read-only buffer
    lookups: Lookups | None
    def __init__(
        self,
        data: Any,
        lookups: Lookups | None = None,
        signer: Callable[[Signed], tuple[str, int]] | None = None,
    ) -> None: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    def decide(self, model: Model, request: Request, policy: str) -> Decision: ...
    def identify(self, request: Request) -> Identity | None: ...

class Answerer:
    model: Model
    closing: bool
    def __init__(
        self,
        model: Model,
        *,
        dialect: str = "nginx",
        enforce: bool = False,
        policies: Policies | None = None,
        policy: str | None = None,
        stats: Any = None,
        handshakes: Any = None,
        listener: int = 0,
        wheel: Any = None,
        clients: Any = None,
        visitors: Any = None,
        clock: Any = None,
        lane: Any = None,
        sample: float | None = None,
        watched: tuple[int, int] = (0, 0),
        per_second: int = ...,
        max_connections: int = 4096,
        max_bytes: int = 16777216,
        peer_seconds: float = 10.0,
        last_seconds: float = 1.0,
    ) -> None: ...
    def serve(self, model: Model, policies: Policies, policy: str, generation: int = 0) -> None: ...

class Wheel:
    def __init__(self, memory: Any) -> None: ...
    def turn(self, policy: str | None, mode: str, now: int, end: int) -> None: ...
    def let_by(self, address: bytes, bits: int, now: int, end: int) -> None: ...
    def said(self, now: int) -> tuple[list[tuple[str | None, str, int]], list[tuple[bytes, int, int]]]: ...

def wheel_image(made: int, booted: int) -> bytes: ...
def check_wheel(data: Any, booted: int) -> None: ...

CLIENTS_SECRET: Final[int]
OUTCOME_MOST: Final[int]
VISITORS_SIZE: Final[int]

def clients_size(mebibytes: int) -> int: ...
def make_clients(buffer: Any, secret: bytes, *, by_network: bool = False) -> None: ...
def rekey_clients(buffer: Any, secret: bytes, now_ms: int) -> None: ...
def clients_have(buffer: Any, secret: bytes) -> bool: ...
def read_clients(buffer: Any) -> dict[str, int]: ...
def read_entry(
    buffer: Any, kind: Literal["client", "network", "shape"], key: int, now_ms: int
) -> dict[str, float] | None: ...

class Visitor(NamedTuple):
    margin: float
    network: int
    shape: int

def make_visitors(buffer: Any) -> None: ...
def read_visitors(buffer: Any, model: int, since_ms: int) -> list[Visitor]: ...

CLIENT_DELTA: Final[int]

class Exchange:
    def __init__(self, clients: Any, now_ms: int) -> None: ...
    def collect(self, now_ms: int, most: int) -> bytes: ...
    def merge(self, told: bytes, now_ms: int) -> int: ...

class Outcomes:
    def __init__(self, clients: Any, clock: Any = None) -> None: ...

def read_lane(memory: Any, most: int) -> tuple[list[Recorded], int]: ...
def lane_dropped(memory: Any) -> tuple[int, int]: ...

SHARES: Final[tuple[str, ...]]

def share_message(
    kinds: list[str], *, sample: float | None, watched: tuple[int, int], per_second: int, signs: bool
) -> bytes: ...
