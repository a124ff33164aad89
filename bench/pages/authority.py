"""An authority, and a certificate of it for this machine's names, for sites that real clients visit over https."""

from __future__ import annotations

from pathlib import Path

import trustme


def issue(here: Path) -> trustme.LeafCert:
    """Writes the authority's certificate `ca.crt`, and `site.crt` and `site.key` for localhost and 127.0.0.1; what was issued."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(here / "ca.crt")
    issued.private_key_pem.write_to_path(here / "site.key")
    (here / "site.crt").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    return issued
