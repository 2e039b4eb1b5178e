"""Which site is meant: an object id first, then the name in the journal, then on chain, else a new site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from walrus_sdk.errors import ConfigurationError, ValidationError
from walrus_sdk.model.units import ObjectId
from walrus_sdk.sites.ws_resources import check_site_name

__all__ = ["Choice", "Name", "choose_name", "choose_site"]


@dataclass(frozen=True, slots=True)
class Name:
    """A site's name; `explicit` when somebody wrote it down, so that it may be matched against the chain."""

    text: str
    explicit: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """The site that is meant (`None`: a new one), and how it was found."""

    site_id: ObjectId | None
    how: str


def choose_name(flag: str | None, ws_resources: str | None, project: str | None, folder: str) -> Name:
    """Return the name: flag, ws-resources.json, project file, else the folder's own name.

    Raises `ValidationError` ``site_name_invalid``.
    """
    for text in (flag, ws_resources, project):
        if text is not None:
            return Name(check_site_name(text), explicit=True)
    own = PurePath(folder).name or "site"
    try:
        return Name(check_site_name(own), explicit=False)
    except ValidationError:
        return Name("site", explicit=False)


def choose_site(
    flag: ObjectId | None,
    ws_resources: ObjectId | None,
    journal: ObjectId | None,
    on_chain: Sequence[tuple[ObjectId, str]],
    name: Name,
) -> Choice:
    """Return which site is meant. `journal`: the site of that name in this home; `on_chain`: the owner's sites.

    Raises `ConfigurationError` ``name_ambiguous`` with the list when several sites have the name.
    """
    if flag is not None:
        return Choice(flag, "object id given")
    if ws_resources is not None:
        return Choice(ws_resources, "ws-resources.json")
    if journal is not None:
        return Choice(journal, "journal")
    found = [site_id for site_id, text in on_chain if text == name.text] if name.explicit else []
    if len(found) > 1:
        listed = ", ".join(str(site_id) for site_id in sorted(found))
        raise ConfigurationError("name_ambiguous", f"{len(found)} sites are named {name.text!r}: {listed}")
    return Choice(found[0], "found on chain by its name") if found else Choice(None, "new")
