"""The guard against publishing secrets: what is stored on Walrus is public and cannot be taken back.

Names that only secrets have, and texts that only secrets contain: headers of private keys followed by key material, Sui
private keys, tokens with a fixed shape. No guessing by entropy. Findings name the file, the line and the kind,
never the secret.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import groupby

__all__ = ["MAX_SCANNED", "Finding", "look_inside", "suspicious_name", "warning_name"]

MAX_SCANNED = 1024 * 1024
"""Files up to this size (bytes) are looked into; a larger text is no hand-written secret."""

_NAMES = tuple(
    """
    .env .env.* *.env .envrc *.pem *.key *.p12 *.pfx *.jks *.keystore *.kdbx *.ppk id_rsa id_dsa id_ecdsa
    id_ed25519 id_*_sk .npmrc .pypirc .netrc _netrc .git-credentials .dockercfg .docker/config.json .pgpass
    .my.cnf .htpasswd .aws/* .ssh/* .gnupg/* .kube/* sui.keystore sui.aliases wallet*.json keystore*.json
    *.mnemonic mnemonic.txt seed.txt secrets.json secrets.y*ml secret.json credentials.json service-account*.json
    *.tfstate *.tfstate.backup terraform.tfvars .vault-token .terraformrc .rspec_status.env master.key
    .walrus-deployment/*
     client.yaml .bash_history .zsh_history .python_history .node_repl_history
    """.split()
)
_HARMLESS_NAMES = (".env.example", ".env.sample", ".env.template", "example.env")

# A header alone is documentation; a header with a line of key material under it is a key.
_BREAK = rb"(?:\r?\n|\\n)[ \t]*"
_PEM = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    + _BREAK
    + rb"(?:[A-Za-z-]+: [^\n]{0,200}"
    + _BREAK
    + rb")*(?:\r?\n)?[ \t]*[A-Za-z0-9+/=]{40,}"
)
# Each with the texts of which one stands in every match: finding those is many times faster than the pattern.
_PATTERNS: tuple[tuple[str, tuple[bytes, ...], re.Pattern[bytes]], ...] = (
    ("private key", (b"PRIVATE KEY",), _PEM),
    (
        "Sui private key",
        (b"suiprivkey1",),
        re.compile(rb"(?<![A-Za-z0-9])suiprivkey1[02-9ac-hj-np-z]{58,62}(?![A-Za-z0-9])"),
    ),
    ("AWS access key", (b"AKIA", b"ASIA"), re.compile(rb"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])")),
    (
        "GitHub token",
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
        re.compile(rb"(?<![A-Za-z0-9_])(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,90})"),
    ),
    ("GitLab token", (b"glpat-",), re.compile(rb"(?<![A-Za-z0-9_])glpat-[A-Za-z0-9_-]{20}(?![A-Za-z0-9_-])")),
    ("Slack token", (b"xox",), re.compile(rb"(?<![A-Za-z0-9])xox[abprs]-[0-9]{8,}-[A-Za-z0-9-]{10,}")),
    ("Stripe key", (b"k_live_",), re.compile(rb"(?<![A-Za-z0-9])[sr]k_live_[A-Za-z0-9]{24,}")),
    ("Google API key", (b"AIza",), re.compile(rb"(?<![A-Za-z0-9_-])AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])")),
    ("npm token", (b"npm_",), re.compile(rb"(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])")),
    ("PyPI token", (b"pypi-AgEI",), re.compile(rb"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}")),
    (
        "JSON web token",
        (b".eyJ",),
        re.compile(rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{32,}"),
    ),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that looks like a secret: where, and of which kind; never what."""

    path: str
    kind: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.path}{f':{self.line}' if self.line else ''} ({self.kind})"


def _wild(patterns: Iterable[str]) -> str:
    """Return shell patterns as one regular expression; each ends where the text does."""
    return "(?:" + "|".join(fnmatch.translate(pattern) for pattern in patterns) + ")"


# The names in the order of what they cost: a table, one comparison of endings, one expression for the rest.
_EXACT = frozenset(name for name in _NAMES if "*" not in name and "/" not in name)
_ENDINGS = tuple(name[1:] for name in _NAMES if name[0] == "*" and "*" not in name[1:])
_OTHERS = re.compile(_wild(n for n in _NAMES if "*" in n[1:] and "/" not in n))
_FOLDERS = re.compile("(?:^|/)" + _wild(name for name in _NAMES if "/" in name))


def suspicious_name(relative: str) -> bool:
    """Return whether a file's name says that it is a secret."""
    lower = relative.lower()
    name = lower.rpartition("/")[2]
    if name in _HARMLESS_NAMES:
        return False
    if name in _EXACT or name.endswith(_ENDINGS) or _OTHERS.match(name):
        return True
    return _FOLDERS.search(lower) is not None


def warning_name(relative: str) -> str | None:
    """Return what is doubtful about publishing a file of this name, if anything."""
    return "source map: it may hold the unminified source" if relative.lower().endswith(".map") else None


def _signs() -> list[Callable[[bytes], object]]:
    """Return searches of which one finds something wherever a mark stands.

    An expression for marks that begin alike takes as long as the search for one short mark; a lone one is found faster
    without.
    """
    marks = sorted(mark for _, own, _ in _PATTERNS for mark in own)
    groups = [list(group) for _, group in groupby(marks, key=lambda mark: mark[:1])]
    together = [re.compile(b"|".join(map(re.escape, group))).search for group in groups if len(group) > 1]
    return [*together, *(partial(_holds, group[0]) for group in groups if len(group) == 1)]


def _holds(mark: bytes, data: bytes) -> bool:
    return mark in data


_SIGNS = _signs()


def look_inside(relative: str, data: bytes) -> Finding | None:
    """Return the first secret in a file's bytes, if there is one."""
    if not any(sign(data) for sign in _SIGNS):
        return None
    for kind, marks, pattern in _PATTERNS:
        match = pattern.search(data) if any(mark in data for mark in marks) else None
        if match is not None:
            return Finding(relative, kind, data.count(b"\n", 0, match.start()) + 1)
    return None
