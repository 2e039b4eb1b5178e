"""The variables of the original design: read, documented, and used where there is a use."""

from __future__ import annotations

from pathlib import Path

import pytest

from walrus_sdk import settings
from walrus_sdk.errors import ConfigurationError


def test_the_variables_of_the_original_design_are_read(tmp_path: Path) -> None:
    environment = {
        "HOME": str(tmp_path),
        "WALTODO_CLI_PATH": "/opt/waltodo",
        "SITE_BUILDER_PATH": "/opt/site-builder",
        "WALRUS_CONFIG_PATH": "/etc/walrus/client_config.yaml",
    }
    found = settings.load(environment, folder=tmp_path)
    assert (found.cli_path, found.site_builder) == (Path("/opt/waltodo"), Path("/opt/site-builder"))
    assert (found.walrus_config, found.project.path) == (Path("/etc/walrus/client_config.yaml"), None)
    assert set(environment) - {"HOME"} <= set(settings.ENVIRONMENT)


def test_a_project_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    (tmp_path / "walrus-sdk.toml").write_text('name = "here"\n')
    other = tmp_path / "elsewhere" / "site.toml"
    other.parent.mkdir()
    other.write_text('name = "tides"\nfolder = "out"\n')
    found = settings.load({"HOME": str(tmp_path), "WALRUS_CONFIG_PATH": str(other)}, folder=tmp_path)
    assert (found.project.name, found.project.path) == ("tides", other)
    with pytest.raises(ConfigurationError) as caught:
        settings.load({"HOME": str(tmp_path), "WALRUS_CONFIG_PATH": str(tmp_path / "no.toml")}, folder=tmp_path)
    assert caught.value.code == "setting_invalid"
