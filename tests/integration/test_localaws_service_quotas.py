"""Service Quotas for Bedrock, asked by a real client over a real port."""

import threading

import msgspec
import pytest
from botocore.exceptions import ClientError

from localaws import service_quotas
from localaws.account import Account
from localaws.service_quotas import Quota, ServiceQuotas
from localaws.sidecar import Server

QUOTAS = [
    Quota("L-0000000A", "On-demand model inference tokens per minute for Tiny", default=300_000, applied=20_000),
    Quota("L-0000000B", "On-demand model inference requests per minute for Tiny", default=100, applied=0),
    Quota("L-0000000C", "Cross-region model inference tokens per minute for Tiny", default=600_000),
    *(Quota(f"L-000001{i:02}", f"Filler {i}", default=i, applied=i, adjustable=False) for i in range(100)),
]


@pytest.fixture(scope="module")
def client():
    with Server(0, ServiceQuotas(QUOTAS, region="eu-central-1", account="111122223333")) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        client = (
            Account(endpoint_url=url, service_quotas_url=url, region="eu-central-1").session().client("service-quotas")
        )
        yield client
        client.close()
        server.shutdown()
        thread.join()


def listed(client, operation, **request):
    pages = client.get_paginator(operation).paginate(ServiceCode="bedrock", **request)
    return [quota for page in pages for quota in page["Quotas"]]


def test_a_quota_has_the_real_shape(client):
    assert client.get_service_quota(ServiceCode="bedrock", QuotaCode="L-0000000A")["Quota"] == {
        "ServiceCode": "bedrock",
        "ServiceName": "Amazon Bedrock",
        "QuotaArn": "arn:aws:servicequotas:eu-central-1:111122223333:bedrock/L-0000000A",
        "QuotaCode": "L-0000000A",
        "QuotaName": "On-demand model inference tokens per minute for Tiny",
        "Value": 20_000.0,
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
        "QuotaAppliedAtLevel": "ACCOUNT",
    }


def test_applied_quotas_leave_out_what_was_never_applied_and_keep_a_zero(client):
    values = {quota["QuotaCode"]: quota["Value"] for quota in listed(client, "list_service_quotas")}
    assert len(values) == 102
    assert "L-0000000C" not in values
    assert values["L-0000000B"] == 0


def test_defaults_name_every_quota_and_no_account(client):
    quotas = {quota["QuotaCode"]: quota for quota in listed(client, "list_aws_default_service_quotas")}
    assert len(quotas) == 103
    assert quotas["L-0000000A"]["Value"] == 300_000
    assert quotas["L-0000000C"]["QuotaArn"] == "arn:aws:servicequotas:eu-central-1::bedrock/L-0000000C"
    assert (
        client.get_aws_default_service_quota(ServiceCode="bedrock", QuotaCode="L-0000000C")["Quota"]["Value"] == 600_000
    )


@pytest.mark.parametrize(("size", "pages"), [(100, 2), (51, 2), (50, 3), (1, 102)])
def test_pages_are_as_long_as_asked_and_none_is_empty(client, size, pages):
    made = list(
        client.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock", PaginationConfig={"PageSize": size})
    )
    assert len(made) == pages
    assert all(page["Quotas"] for page in made)
    assert len({quota["QuotaCode"] for page in made for quota in page["Quotas"]}) == 102


def test_a_page_holds_100_without_asking(client):
    page = client.list_service_quotas(ServiceCode="bedrock")
    assert len(page["Quotas"]) == 100
    assert len(client.list_service_quotas(ServiceCode="bedrock", NextToken=page["NextToken"])["Quotas"]) == 2


def test_one_quota_can_be_listed(client):
    [quota] = client.list_service_quotas(ServiceCode="bedrock", QuotaCode="L-0000000B")["Quotas"]
    assert quota["Value"] == 0


@pytest.mark.parametrize(
    ("operation", "request_", "code"),
    [
        pytest.param(
            "list_service_quotas", {"ServiceCode": "vpc"}, "NoSuchResourceException", id="list of another service"
        ),
        pytest.param(
            "list_aws_default_service_quotas",
            {"ServiceCode": "vpc"},
            "NoSuchResourceException",
            id="default list of another service",
        ),
        pytest.param(
            "get_service_quota",
            {"ServiceCode": "vpc", "QuotaCode": "L-0000000A"},
            "NoSuchResourceException",
            id="quota of another service",
        ),
        pytest.param(
            "get_service_quota",
            {"ServiceCode": "bedrock", "QuotaCode": "L-FFFFFFFF"},
            "NoSuchResourceException",
            id="quota that does not exist",
        ),
        pytest.param(
            "get_service_quota",
            {"ServiceCode": "bedrock", "QuotaCode": "L-0000000C"},
            "NoSuchResourceException",
            id="quota without an applied value",
        ),
        pytest.param(
            "list_service_quotas",
            {"ServiceCode": "bedrock", "QuotaCode": "L-0000000C"},
            "NoSuchResourceException",
            id="list of a quota without an applied value",
        ),
        pytest.param(
            "list_service_quotas",
            {"ServiceCode": "bedrock", "MaxResults": 101},
            "IllegalArgumentException",
            id="page too large",
        ),
        pytest.param(
            "list_service_quotas",
            {"ServiceCode": "bedrock", "NextToken": "x"},
            "InvalidPaginationTokenException",
            id="token that is not base64",
        ),
        pytest.param(
            "list_service_quotas",
            {"ServiceCode": "bedrock", "NextToken": "OTk5"},
            "InvalidPaginationTokenException",
            id="token beyond the end",
        ),
        pytest.param("list_services", {}, "UnknownOperationException", id="unknown operation"),
    ],
)
def test_errors_are_those_of_the_api(client, operation, request_, code):
    with pytest.raises(ClientError) as error:
        getattr(client, operation)(**request_)
    assert error.value.response["Error"]["Code"] == code
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_request_is_pending_and_there_is_one_per_quota(client):
    wanted = {"ServiceCode": "bedrock", "QuotaCode": "L-0000000A"}

    made = client.request_service_quota_increase(**wanted, DesiredValue=500_000)["RequestedQuota"]

    assert {name: made[name] for name in ("Status", "DesiredValue", "QuotaCode", "QuotaName", "QuotaArn")} == {
        "Status": "PENDING",
        "DesiredValue": 500_000.0,
        "QuotaCode": "L-0000000A",
        "QuotaName": "On-demand model inference tokens per minute for Tiny",
        "QuotaArn": "arn:aws:servicequotas:eu-central-1:111122223333:bedrock/L-0000000A",
    }
    with pytest.raises(client.exceptions.ResourceAlreadyExistsException):
        client.request_service_quota_increase(**wanted, DesiredValue=600_000)
    assert client.get_service_quota(**wanted)["Quota"]["Value"] == 20_000  # nobody has granted it
    history = client.list_requested_service_quota_change_history
    assert [each["Id"] for each in history(ServiceCode="bedrock")["RequestedQuotas"]] == [made["Id"]]
    assert history(ServiceCode="bedrock", Status="DENIED")["RequestedQuotas"] == []


@pytest.mark.parametrize(
    ("code", "value", "error"),
    [
        pytest.param("L-FFFFFFFF", 1, "NoSuchResourceException", id="quota that does not exist"),
        pytest.param("L-0000000B", 1e11, "IllegalArgumentException", id="larger than any"),
    ],
)
def test_a_wrong_request_is_refused(client, code, value, error):
    with pytest.raises(ClientError) as raised:
        client.request_service_quota_increase(ServiceCode="bedrock", QuotaCode=code, DesiredValue=value)

    assert raised.value.response["Error"]["Code"] == error


@pytest.mark.parametrize(
    "body",
    [pytest.param(b"{", id="unfinished JSON"), pytest.param(b"[]", id="array"), pytest.param(b"\xff", id="not UTF-8")],
)
def test_a_body_that_is_no_object_is_an_error(body):
    api = ServiceQuotas(QUOTAS, region="us-east-1", account="111122223333")
    status, document = api.answer("ServiceQuotasV20190624.ListServiceQuotas", body)
    assert (status, document["__type"]) == (400, "SerializationException")


def test_the_data_file_is_what_an_account_might_have():
    quotas = service_quotas.load()
    applied = [quota for quota in quotas if quota.applied is not None]
    assert len(quotas) >= 150
    assert len({quota.name for quota in quotas}) == len(quotas)
    assert any(quota.applied == 0 for quota in applied)
    assert any(0 < (quota.applied or 0) < quota.default for quota in applied)
    assert len(applied) < len(quotas)
    assert all(quota.default > 0 for quota in quotas)


def test_a_code_given_twice_is_an_error(tmp_path):
    path = tmp_path / "quotas.json"
    path.write_bytes(msgspec.json.encode({"quotas": [QUOTAS[0], QUOTAS[0]]}))
    with pytest.raises(ValueError, match="L-0000000A is there twice"):
        service_quotas.load(path)
