"""Signed requests that others have published: the vectors of Cloudflare for Web Bot Auth, with the key of RFC 9421 (B.1.4)."""

from __future__ import annotations

import base64

# RFC 9421, B.1.4
SECRET = base64.urlsafe_b64decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU=")
PUBLIC = base64.urlsafe_b64decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs=")
KEYID = "poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U"
AGENT = "https://signature-agent.test"
CREATED = 1735689600
# github.com/cloudflare/web-bot-auth, web_bot_auth_architecture_v2.json: those of Ed25519.
_NONCE_1 = "zIW8+cdmA3vdYagbxojpONwa/l0EKJ/O3/wD486VvsQjO/RxPaSt6ZxvQaMcQzNnqKN/mQ6hpGiFro2L2qkz5A=="
_NONCE_2 = "n9p433xm+NJ3ph3upfBIGmsuwHw387YV7Q/F+6BSpGCVjYCqQw6rznNA8PVVLySrAWsv0hQtFioQb6E1YsauiA=="
# (signature, its input, its agent)
VECTORS = [
    (
        b"sig1=:QKN4fTdIYfh82fvoZCQiQA1weuozfCS/Led2zTMbewMMqH8PI2Wsy/5c4ao6B6D09nraNQdBNOADg8aM1MqfCg==:",
        f'sig1=("@authority");created=1735689600;keyid="{KEYID}";alg="ed25519";expires=4889289600;nonce="{_NONCE_1}";tag="web-bot-auth"',
        None,
    ),
    (
        b"sig2=:RdNFx5Bj6au3YgAMQL/RzmUlZE8QZLIaXGRpw985hWnwPfMxT228NMk6ehRS1PSl4e8PhbNZACSanGdhEwYCCg==:",
        """sig2=("@authority" "signature-agent";key="agent2");created=1735689600;"""
        f'keyid="{KEYID}";alg="ed25519";expires=4889289600;nonce="{_NONCE_2}";tag="web-bot-auth"',
        b'agent2="https://signature-agent.test"',
    ),
]
