"""The dashboard's links to the saved queries: the console's own form, and the same queries as in Logs Insights."""

import re
from typing import Any
from urllib.parse import unquote

import pytest
import resolved
from resolved import VALUES, Resolver

from dashboard.query_links import make_address


def decode(address: str) -> dict[str, Any]:
    """Read an address as the console does: `$` for `%`, decoded twice, and JSURL behind `queryDetail`."""
    location = unquote(address.partition("#")[2].replace("$", "%"))
    page, _, detail = location.partition("?queryDetail=")
    assert page == "logsV2:logs-insights"
    value, rest = read_value(unquote(detail))
    assert rest == ""
    found: dict[str, Any] = value
    return found


def read_value(text: str) -> tuple[Any, str]:
    """Read a value of JSURL, which begins with `~`. Return it, and the text behind it."""
    if text.startswith("~(~"):  # a list
        items, rest = [], text[2:]
        while not rest.startswith(")"):
            item, rest = read_value(rest)
            items.append(item)
        return items, rest[1:]
    if text.startswith("~("):
        members, rest = {}, "~" + text[2:]
        while not rest.startswith(")"):
            name, value = re.match(r"~(\w+)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
            members[name], rest = read_value(value)
        return members, rest[1:]
    written, rest = re.match(r"~([^~)]*)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    if written.startswith("'"):
        return re.sub(r"\*([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), written[1:]), rest
    return int(written), rest


def test_the_decoder_reads_an_address_of_the_console() -> None:
    # an address that somebody copied from the console (stackoverflow.com/questions/68446281, read 2026-11-29)
    copied = (
        "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:logs-insights$3FqueryDetail$3D"
        "$257E$2528end$257E0$257Estart$257E-3600$257EtimeType$257E$2527RELATIVE$257Eunit$257E$2527seconds"
        "$257EeditorString$257E$2527fields*20*40timestamp*0a*7c*20limit*20200"
        "$257Esource$257E$2528$257E$2527*2faws*2flambda*2fone$257E$2527two$2529$2529"
    )

    assert decode(copied) == {
        "end": 0,
        "start": -3600,
        "timeType": "RELATIVE",
        "unit": "seconds",
        "editorString": "fields @timestamp\n| limit 200",
        "source": ["/aws/lambda/one", "two"],
    }


def test_an_address_is_written_as_the_console_writes_it() -> None:
    saved = {
        "LogGroupNames": [{"Ref": "Group"}],
        "QueryString": {"Fn::Sub": ['filter `a.b` = "c"\n| stats max(d_e) by ${Fields}, f-g*', {"Fields": "x"}]},
    }

    assert make_address(saved) == (
        "https://${AWS::Region}.${Console}/cloudwatch/home?region=${AWS::Region}#logsV2:logs-insights$3FqueryDetail$3D"
        "$257E$2528end$257E0$257Estart$257E-10800$257EtimeType$257E$2527RELATIVE$257Etz$257E$2527UTC"
        "$257Eunit$257E$2527seconds$257EeditorString$257E$2527"
        "filter*20*60a.b*60*20*3d*20*22c*22*0a*7c*20stats*20max*28d_e*29*20by*20${FieldsInLink}*2c*20f-g*2a"
        "$257Esource$257E$2528$257E$2527${GroupInLink}$2529$2529"
    )


@pytest.mark.parametrize(
    ("partition", "console"),
    [("aws", "us-east-1.console.aws.amazon.com"), ("aws-cn", "us-east-1.console.amazonaws.cn")],
    ids=["commercial", "China"],
)
@pytest.mark.parametrize("detail", ["role", "session"])
def test_each_link_opens_the_saved_query_of_its_name(
    monkeypatch: pytest.MonkeyPatch, detail: str, partition: str, console: str
) -> None:
    monkeypatch.setitem(VALUES, "AWS::Partition", partition)
    template = resolved.template()
    resolve = Resolver(VALUES | {"CallerDetail": detail}, template)
    saved = [
        each["Properties"] for each in template["Resources"].values() if each["Type"] == "AWS::Logs::QueryDefinition"
    ]
    texts = [
        each["properties"]["markdown"]
        for each in resolved.dashboard(template, "", detail)["widgets"]
        if each["type"] == "text"
    ]

    links = dict(re.findall(r"\[([^\]]+)\]\((\S+queryDetail\S+)\)", "\n".join(texts)))

    assert {f"stack/{name}" for name in links} == {resolve(each["Name"]) for each in saved}
    for each in saved:
        address = links[resolve(each["Name"]).removeprefix("stack/")]
        assert address.startswith(f"https://{console}/cloudwatch/home?region=us-east-1#")
        assert re.fullmatch(r"[\w$*.-]+", address.partition("#logsV2:")[2]), (
            "a character that Markdown may take for its own"
        )
        found = decode(address)
        assert found == {
            "end": 0,
            "start": -3 * 3600,  # the dashboard's own range
            "timeType": "RELATIVE",
            "tz": "UTC",
            "unit": "seconds",
            "editorString": resolve(each["QueryString"]),
            "source": ["/aws/lambda/processor"],
        }
