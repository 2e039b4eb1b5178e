"""Environment and project file: which one wins, what is refused, and that secrets are not shown."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.settings import Secret, load


def project(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "walrus-sdk.toml").write_text(text, encoding="utf-8")
    return folder


def test_without_anything_the_home_is_below_the_users_and_the_network_is_local(tmp_path: Path) -> None:
    found = load({"HOME": str(tmp_path)}, folder=tmp_path)
    assert found.home == tmp_path / ".walrus-deployment"
    assert found.network(None).name == "local"


def test_the_environment_is_read(tmp_path: Path) -> None:
    env = {
        "HOME": str(tmp_path),
        "WALRUS_DEPLOYMENT_HOME": "relative",
        "SUI_PRIVATE_KEY": " suiprivkey1secret ",
        "WALRUS_WALLET_PATH": "~/wallet",
        "CI": "true",
        "VERBOSE": "1",
        "GITHUB_SHA": "abc",
    }
    found = load(env, folder=tmp_path)
    assert found.home.is_absolute()
    assert found.private_key is not None
    assert found.private_key.reveal() == "suiprivkey1secret"
    assert (found.ci, found.verbose, found.commit) == (True, True, "abc")
    assert found.wallet_path is not None
    assert found.wallet_path.is_absolute()


def test_a_secret_is_never_shown_or_pickled(tmp_path: Path) -> None:
    found = load({"HOME": str(tmp_path), "SUI_PRIVATE_KEY": "suiprivkey1secret"}, folder=tmp_path)
    assert "suiprivkey1" not in repr(found)
    assert "suiprivkey1" not in str(found)
    with pytest.raises(TypeError):
        pickle.dumps(Secret("x"))


def test_the_project_file_of_a_folder_above_is_found_and_its_addresses_belong_to_its_network(tmp_path: Path) -> None:
    text = 'network = "testnet"\nname = "tides"\nepochs = 3\npublisher = "https://p.example"\nignore = ["/x/*"]\n'
    project(tmp_path, text)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    found = load({"HOME": str(tmp_path)}, folder=below)
    assert (found.project.name, found.project.epochs, found.project.ignore) == ("tides", 3, ("/x/*",))
    assert found.network(None).name == "testnet"
    assert found.network(None).publisher_urls == ("https://p.example",)
    assert found.network("mainnet").publisher_urls == ()


def test_the_project_file_sets_the_limits_of_uploads(tmp_path: Path) -> None:
    found = load({"HOME": str(tmp_path)}, folder=project(tmp_path, "concurrency = 4\nmax_memory = 1000000\n"))
    assert found.project.limits == {"concurrency": 4, "max_bodies": None, "max_memory": 1_000_000}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("netwrok = 'x'", "netwrok"),
        ("epochs = 0", "epochs"),
        ("epochs = true", "epochs"),
        ("concurrency = 0", "concurrency"),
        ('max_memory = "1GB"', "max_memory"),
        ("name = 3", "name"),
        ("ignore = [1]", "ignore"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({"HOME": str(tmp_path)}, folder=project(tmp_path, text))
    assert (caught.value.code, caught.value.fields["key"]) == ("setting_invalid", key)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({"HOME": str(tmp_path)}, folder=project(tmp_path, "= nonsense"))
    assert "walrus-sdk.toml" in caught.value.message


def test_an_unknown_network_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({"HOME": str(tmp_path)}, folder=tmp_path).network("nonet")
    assert caught.value.code == "network_unknown"
    assert "testnet" in caught.value.message


def test_a_file_of_authorities_is_named_by_the_environment(tmp_path: Path) -> None:
    assert load({"HOME": "/h"}, folder=tmp_path).ca_file is None
    assert load({"HOME": "/h", "WALRUS_CA_FILE": "/etc/ours.pem"}, folder=tmp_path).ca_file == Path("/etc/ours.pem")


@pytest.mark.parametrize(("text", "rate"), [('"500K"', 512_000), ('"1.5MB"', 1_500_000), ("4096", 4096)])
def test_the_project_file_may_bound_the_bytes_sent_a_second(tmp_path: Path, text: str, rate: int) -> None:
    project(tmp_path, f"max_bandwidth = {text}\n")
    assert load({"HOME": str(tmp_path)}, folder=tmp_path).project.max_bandwidth == rate


@pytest.mark.parametrize("text", ['"fast"', "1023", "true", "[1]", "-5"])
def test_a_rate_that_is_none_is_refused_with_what_was_expected(tmp_path: Path, text: str) -> None:
    project(tmp_path, f"max_bandwidth = {text}\n")
    with pytest.raises(ConfigurationError, match="bytes a second"):
        load({"HOME": str(tmp_path)}, folder=tmp_path)
