"""Setting logging up with an SDK whose service model lacks members of the logging configuration."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from bedrock_settings import BedrockSettings
from botocore.loaders import Loader

from bedrock_quota.deployment import logging_configuration as configurations

OLDEST = {"cloudWatchConfig", "s3Config", "textDataDeliveryEnabled", "imageDataDeliveryEnabled"}
"""Members of `LoggingConfig` that this older SDK has."""

Older = Callable[[set[str]], BedrockSettings]


@pytest.fixture
def older(tmp_path: Path) -> Older:
    """Make a client from a copy of the service model that has only these members of `LoggingConfig`."""

    def make(members: set[str]) -> BedrockSettings:
        installed = Loader()
        model: Any = installed.load_service_model("bedrock", "service-2")
        version = installed.determine_latest_version("bedrock", "service-2")
        shape = model["shapes"]["LoggingConfig"]
        shape["members"] = {name: value for name, value in shape["members"].items() if name in members}
        model["shapes"]["CloudWatchConfig"]["members"].pop("largeDataDeliveryS3Config")
        folder = tmp_path / "bedrock" / version
        folder.mkdir(parents=True)
        (folder / "service-2.json").write_text(json.dumps(model), encoding="utf-8")
        session = botocore.session.Session()
        session.register_component("data_loader", Loader(extra_search_paths=[str(tmp_path), Loader.BUILTIN_DATA_PATH]))
        return BedrockSettings(session)

    return make


def test_this_sdk_really_lacks_the_members(older: Older) -> None:
    client = older(OLDEST).client

    assert set(client.meta.service_model.shape_for("LoggingConfig").members) == OLDEST
    with pytest.raises(botocore.exceptions.ParamValidationError, match="audioDataDeliveryEnabled"):
        client.put_model_invocation_logging_configuration(loggingConfig={"audioDataDeliveryEnabled": False})


def test_new_configuration_names_every_kind_of_data(older: Older) -> None:
    settings = older(OLDEST)

    settings.expect("PUT")
    configurations.put_configuration(settings.client, configurations.make_text_only(settings.client))

    flags = {f"{kind}DataDeliveryEnabled": kind == "text" for kind in ("text", "image", "embedding", "video", "audio")}
    assert json.loads(settings.bodies[0]) == {"loggingConfig": flags}


@pytest.mark.parametrize(
    "members",
    [
        pytest.param(OLDEST, id="flags missing"),
        pytest.param({"textDataDeliveryEnabled"}, id="destinations missing"),
        pytest.param(set[str](), id="all missing"),
    ],
)
def test_members_that_the_sdk_lacks_are_read_and_put_back(older: Older, members: set[str]) -> None:
    settings = older(members)
    theirs = (
        b'{"loggingConfig":{"audioDataDeliveryEnabled":false,"s3Config":{"bucketName":"theirs"},'
        b'"cloudWatchConfig":{"logGroupName":"/g","roleArn":"r","largeDataDeliveryS3Config":{"bucketName":"b"}}}}'
    )
    settings.expect("GET", answer=theirs)
    found = configurations.read_configuration(settings.client)
    assert found is not None
    assert configurations.configured_large_bodies(found) == configurations.LargeBodies("b")

    settings.expect("PUT")
    configurations.put_configuration(settings.client, found)

    assert settings.bodies == [theirs]
