"""The guard against publishing secrets: a corpus of them, and of what only looks like one."""

from __future__ import annotations

import base64
import fnmatch

import pytest

from walrus_sdk.source import leaks
from walrus_sdk.source.leaks import look_inside, suspicious_name, warning_name

KEY_LINES = base64.b64encode(bytes(range(48)) * 2).decode()

SECRET_NAMES = """
.env .env.local .env.production prod.env .envrc server.pem tls.key cert.p12 cert.pfx app.jks release.keystore
passwords.kdbx putty.ppk id_rsa id_dsa id_ecdsa id_ed25519 id_ed25519_sk .npmrc .pypirc .netrc _netrc .git-credentials
 .dockercfg .docker/config.json .pgpass .my.cnf .htpasswd .aws/credentials .ssh/known_hosts
.gnupg/secring.gpg .kube/config sui.keystore sui.aliases wallet.json wallet-main.json keystore-1.json
my.mnemonic mnemonic.txt seed.txt secrets.json secrets.yml secrets.yaml secret.json credentials.json
service-account-prod.json
 terraform.tfstate x.tfstate.backup terraform.tfvars .vault-token .terraformrc master.key
.walrus-deployment/state client.yaml .bash_history .zsh_history .python_history .node_repl_history
nested/deep/.env nested/.aws/config NESTED/ID_RSA .ENV
""".split()

HARMLESS_NAMES = """
index.html environment.html .env.example .env.sample keyboard.js monkey.css id.html wallet.html pem.txt
key.svg credentials.html .well-known/security.txt docs/secrets.html aws/credentials.html seed.html
""".split()


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert suspicious_name(name)


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_an_honest_name_is_let_through(name: str) -> None:
    assert not suspicious_name(name)


SECRET_TEXTS = {
    "private key": [
        f"-----BEGIN PRIVATE KEY-----\n{KEY_LINES}\n-----END PRIVATE KEY-----",
        f"x\r\n-----BEGIN RSA PRIVATE KEY-----\r\n{KEY_LINES}\r\n",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{KEY_LINES}",
        f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES,AB\n\n{KEY_LINES}",
        f'{{"private_key": "-----BEGIN PRIVATE KEY-----\\n{KEY_LINES}\\n"}}',
    ],
    "Sui private key": ["key = suiprivkey1" + "q" * 60],
    "AWS access key": ["AKIA" + "ABCDEFGH23456723"],
    "GitHub token": ["ghp_" + "a1B2" * 9, "github_pat_" + "a1_" * 22],
    "GitLab token": ["glpat-" + "a1B2c3D4e5F6g7H8i9J0"],
    "Slack token": ["xoxb-123456789012-abcdefABCDEF"],
    "Stripe key": ["sk_live_" + "a1B2" * 6],
    "Google API key": ["AIza" + "a1_-B" * 7],
    "npm token": ["npm_" + "a1B2" * 9],
    "PyPI token": ["pypi-AgEIcHlwaS5vcmc" + "a1B2" * 15],
    "JSON web token": ["eyJhbGciOiJIUzI1NiIs.eyJzdWIiOiIxMjM0NTY3ODkw." + "a1B2" * 10],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in SECRET_TEXTS.items() for text in texts])
def test_a_secret_is_known_by_its_text_and_never_repeated(kind: str, text: str) -> None:
    finding = look_inside("a/b.txt", f"line one\n{text}\n".encode())
    assert finding is not None
    assert (finding.kind, finding.path) == (kind, "a/b.txt")
    assert finding.line in (2, 3)
    assert text not in str(finding)


@pytest.mark.parametrize(
    "text",
    [
        "A file that starts with -----BEGIN PRIVATE KEY----- is a private key.",
        "-----BEGIN RSA PRIVATE KEY-----\n... your key here ...\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----\n" + KEY_LINES,
        "-----BEGIN PUBLIC KEY-----\n" + KEY_LINES,
        "suiprivkey1... is the prefix",
        "AKIAIOSFODNN7EXAMPLEKEY",
        "eyJ.eyJ.sig",
        "sha512-" + "a1B2" * 30,
        "data:image/png;base64," + KEY_LINES * 5,
    ],
)
def test_talk_about_secrets_is_let_through(text: str) -> None:
    assert look_inside("a.html", text.encode()) is None


def test_a_source_map_is_worth_a_warning_only() -> None:
    assert warning_name("app.js.map")
    assert warning_name("app.js") is None


def test_every_listed_name_is_known_wherever_it_stands_as_the_shell_would_match_it() -> None:
    """The table, the endings and the expressions together decide what the list of shell patterns says."""
    parts = sorted({part for name in leaks._NAMES for part in name.replace("*", "").split("/")} | {"a", "x.env", ""})
    tried = {
        prefix + name + suffix
        for pattern in leaks._NAMES
        for name in (pattern.replace("*", filler) for filler in ("", "a", "-x.y", "a/b"))
        for prefix in ("", "x", ".", "/", "d/", "d.aws/")
        for suffix in ("", "x", ".bak", "/", "/y", "\n")
    } | {f"{one}/{other}" for one in parts for other in parts}
    assert len(tried) > 5000
    for name in tried:
        assert suspicious_name(name) == by_the_list(name), name


def by_the_list(relative: str) -> bool:
    lower = relative.lower()
    name = lower.rpartition("/")[2]
    return name not in leaks._HARMLESS_NAMES and any(
        fnmatch.fnmatchcase(lower, pattern) or fnmatch.fnmatchcase(lower, f"*/{pattern}")
        if "/" in pattern
        else fnmatch.fnmatchcase(name, pattern)
        for pattern in leaks._NAMES
    )


def test_a_file_is_looked_into_wherever_a_mark_of_a_secret_stands_in_it() -> None:
    for _, marks, _ in leaks._PATTERNS:
        for mark in marks:
            for text in (mark, b"x" * 1000 + mark, mark + b"x", b"A" + mark[:-1] + b"g" + mark):
                assert any(sign(text) for sign in leaks._SIGNS), text
    assert not any(
        sign(b"AKI ghp glpat github_pat xo suiprivkey PRIVATE_KEY .ey k_liv npm pypi-Ag") for sign in leaks._SIGNS
    )
