# Names and numbers of csrc/ as Python has them, what a verdict and a decision are, and the errors.
#
# Law: each is read from csrc/ once, when the module is loaded; nothing here depends on a request.

from sidecar.core.csrc cimport (
    XB_DIALECT_COUNT, XB_FILES, XB_HAS_CASE, XB_HAS_CLIENT, XB_HAS_HEADERS, XB_HAS_IP, XB_HAS_ORDER, XB_HAS_REFERRER, XB_HAS_TLS,
    XB_HAS_UA, XB_HAS_URL, XB_MAX_HEAD, XB_MAX_K, XB_MAX_LINE, XB_MAX_NAME, XB_MIN_K, XB_MODEL_DIGEST, XB_MODEL_HEADER,
    XB_MODEL_MAGIC, XB_MODEL_VERSION, XB_N_CLOSED, XB_N_DENSE, XB_N_FAMILIES, XB_N_OPTIONS, XB_N_OUTCOMES, xb_closed_names,
    xb_dialects, xb_family_rows, xb_feature_rows, xb_handshakes, xb_option_rows, xb_outcome_names, xb_stats,
)

from collections import namedtuple

Row = namedtuple("Row", "name group version doc")
Option = namedtuple("Option", "name values without doc")
Verdict = namedtuple("Verdict", "bot score margin reason")
Contribution = namedtuple("Contribution", "name value contribution doc")
Reported = namedtuple("Reported", "lines bad first_bad late first_late")
Decision = namedtuple("Decision", "outcome refuse reason policy list crawler")
Identity = namedtuple("Identity", "crawler purpose proof")
# The texts of a TLS handshake, as nginx's $ssl_* variables say them (csrc/request/handshake.h): bytes, or None where absent.
Tls = namedtuple("Tls", "protocol ciphers curves alpn reused sigalgs")

_GROUPS = {
    XB_HAS_IP: "ip", XB_HAS_UA: "ua", XB_HAS_REFERRER: "referrer", XB_HAS_URL: "url", XB_HAS_HEADERS: "headers",
    XB_HAS_CLIENT: "client", XB_HAS_ORDER: "headers", XB_HAS_TLS: "tls",
}
# Name of a group -> its bits in a model's `groups` and a request's `present`.
GROUPS = {
    "ip": XB_HAS_IP, "ua": XB_HAS_UA, "referrer": XB_HAS_REFERRER, "url": XB_HAS_URL,
    "headers": XB_HAS_HEADERS | XB_HAS_ORDER | XB_HAS_CASE, "client": XB_HAS_CLIENT, "tls": XB_HAS_TLS,
}

FEATURES = tuple(
    Row(xb_feature_rows[i].name.decode(), _GROUPS[xb_feature_rows[i].group], xb_feature_rows[i].version, xb_feature_rows[i].doc.decode())
    for i in range(XB_N_DENSE)
)
FAMILIES = tuple(
    Row(xb_family_rows[i].name.decode(), _GROUPS[xb_family_rows[i].group], xb_family_rows[i].version, xb_family_rows[i].doc.decode())
    for i in range(XB_N_FAMILIES)
)
DIALECTS = tuple(xb_dialects[i].name.decode() for i in range(XB_DIALECT_COUNT))
MAX_TIME = 253402300799  # seconds since 1970 UTC: the last one of the year 9999
MAX_BYTES = 2**53 - 1  # of a reply: what a double counts exactly
MAX_CONNECTION, MAX_REQUESTS = 2**64 - 1, 2**32 - 1  # of a connection: its number, the requests on it
MIN_K, MAX_K = XB_MIN_K, XB_MAX_K
MAX_HEAD, MAX_LINE = XB_MAX_HEAD, XB_MAX_LINE
STATS_SIZE = sizeof(xb_stats)
# Bytes of the handshakes that workers share: all zero, but for the first, which are drawn.
HANDSHAKES_SIZE, HANDSHAKES_SECRET = sizeof(xb_handshakes), 16
FILES = XB_FILES  # the version of nginx/
OUTCOMES = tuple(xb_outcome_names[i].decode() for i in range(XB_N_OUTCOMES))
CLOSED = tuple(xb_closed_names[i].decode() for i in range(XB_N_CLOSED))
DECIDERS = ("score", "allow", "deny", "verified", "impostor")
# The options of a policy that csrc/ decides by: `values` None for a share, which is a number from 0 to 1.
POLICY_OPTIONS = tuple(
    Option(xb_option_rows[i].name.decode(),
           None if xb_option_rows[i].first is NULL else (xb_option_rows[i].first.decode(), xb_option_rows[i].second.decode()),
           None if xb_option_rows[i].without is NULL else xb_option_rows[i].without.decode(), xb_option_rows[i].doc.decode())
    for i in range(XB_N_OPTIONS)
)
MAX_NAME = XB_MAX_NAME - 1  # bytes of the name of a policy or list
MODEL_MAGIC = XB_MODEL_MAGIC[:8]
MODEL_VERSION, MODEL_HEADER, MODEL_DIGEST = XB_MODEL_VERSION, XB_MODEL_HEADER, XB_MODEL_DIGEST


class ModelError(ValueError):
    """The bytes are no usable model; the text says why."""


class PoliciesError(ValueError):
    """The bytes are no usable image of policies; the text says why."""


class BoardError(ValueError):
    """The bytes are no usable file of the board; the text says why."""


class LineError(ValueError):
    """A log line or record cannot be read: args are the field's name and what is wrong with it."""
