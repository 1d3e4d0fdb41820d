"""What is published: the template's metadata for the Serverless Application Repository, one version, the workflows."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from samcli.yamlhelper import yaml_parse

import release

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAY_WRITE = {"release.yml": {"contents", "id-token", "attestations"}, "docs.yml": {"pages", "id-token"}}
LIMITS = {
    "Name": (140, "[a-zA-Z0-9-]+"),
    "Description": (256, ".+"),
    "Author": (127, "[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?"),
}
"""Of the repository: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/
serverless-sam-template-publishing-applications-metadata-properties.html (read 2026-11-24)."""


@pytest.fixture(scope="module")
def application() -> dict[str, Any]:
    template = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = template["Metadata"]["AWS::ServerlessRepo::Application"]
    return found


def test_the_repository_takes_the_metadata(application: dict[str, Any]) -> None:
    for name, (longest, pattern) in LIMITS.items():
        assert len(application[name]) <= longest, name
        assert re.fullmatch(pattern, application[name]), name
    assert len(application["Labels"]) <= 10
    assert all(re.fullmatch(r"[a-zA-Z0-9+\-_:/@]{1,127}", label) for label in application["Labels"])
    for file in ("LicenseUrl", "ReadmeUrl"):
        assert 0 < (ROOT / application[file]).stat().st_size <= 5_000_000


def test_there_is_one_version_and_it_is_in_the_changelog(application: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = application["SemanticVersion"]

    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert project["version"] == version
    assert project["license"] == application["SpdxLicenseId"]
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_are_pinned_and_may_do_little(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)

    for used in re.findall(r"uses: (.+)", text):
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used
    assert workflow["permissions"] == {}
    writing = {name for job in workflow["jobs"].values() for name, may in job["permissions"].items() if may == "write"}
    assert writing == MAY_WRITE.get(file.name, set())
    assert "secrets." not in text
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")


def test_the_job_that_builds_a_release_runs_nothing_else() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))["jobs"]
    runs = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    uses = {name: [step["uses"].split("@")[0] for step in job["steps"] if "uses" in step] for name, job in jobs.items()}
    set_up = ["actions/checkout", "actions/setup-python"]

    # the checks come first and hand nothing on
    assert runs["check"] == [".ci/run"]
    assert uses["check"] == set_up
    assert jobs["check"]["permissions"] == jobs["build"]["permissions"] == {"contents": "read"}
    assert jobs["build"]["needs"] == "check"
    named = (
        "bedrock-quota-monitor-${GITHUB_REF_NAME#v}.zip",
        "bedrock_quota_monitor-${GITHUB_REF_NAME#v}-py3-none-any.whl",
    )
    assert runs["build"] == ["make dist", "".join(f'test -f "dist/{name}"\n' for name in named)]
    assert uses["build"] == [*set_up, "actions/upload-artifact"]
    # and what may write installs nothing
    assert jobs["publish"]["needs"] == "build"
    assert [run.split()[0] for run in runs["publish"]] == ["sha256sum", "gh"]


def test_the_site_is_built_by_the_command_that_everybody_has_and_published_by_a_job_that_runs_nothing() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "docs.yml").read_text(encoding="utf-8"))["jobs"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    runs = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    (path,) = [
        step["with"]["path"] for step in jobs["build"]["steps"] if "upload-pages-artifact" in step.get("uses", "")
    ]

    assert runs == {
        "build": ['make docs SOURCE="$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/blob/$GITHUB_SHA"'],
        "publish": [],
    }
    assert jobs["publish"]["needs"] == "build"
    assert f" {path.removesuffix('/site')}/mkdocs.yml\n" in makefile
    assert "\nmake docs\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_a_pull_request_runs_what_everybody_can_run() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    runs = {step["run"]: step.get("env") for job in workflow["jobs"].values() for step in job["steps"] if "run" in step}

    assert runs == {".ci/run": None, ".ci/install-browser": None, "make test": {"REQUIRE_BROWSER": "1"}}


def test_a_pull_request_is_tested_on_every_python_that_the_project_is_for() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    tested = ["3.11", *workflow["jobs"]["newer"]["strategy"]["matrix"]["python"]]  # .ci/run is on the first

    assert tested == ["3.11", "3.12", "3.13", "3.14"]
    assert project["requires-python"] == ">=3.11,<3.15"


def test_a_release_has_the_code_that_is_not_built_but_used_as_it_stands() -> None:
    template = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    needed = {
        resource["Properties"]["CodeUri"].partition("/")[0]
        for resource in template["Resources"].values()
        if resource.get("Metadata", {}).get("SkipBuild")
    }

    assert needed
    assert needed | {".aws-sam", "LICENSE", "README.md", "examples", "samconfig.toml"} <= set(release.PACKED)


def test_a_release_has_nothing_that_tools_left_beside_the_examples(tmp_path: Path) -> None:
    left = (".terraform/providers/a", ".terraform.lock.hcl", "terraform.tfstate.backup", "my.tfvars", "cdk.out/a.json")
    for name in ("main.tf", "README.md", "terraform.tfstate", *left):
        (tmp_path / "examples" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "examples" / name).touch()

    assert release.list_files(tmp_path, ["examples"]) == ["examples/README.md", "examples/main.tf"]
