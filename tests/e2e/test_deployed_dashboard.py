"""The deployed dashboard's body: what CloudFormation makes of the template's text."""

import json
from collections.abc import Callable

import resolved

from localaws.instance import Instance


def test_the_deployed_body_is_that_of_the_source(local: Instance, resource: Callable[[str], str]) -> None:
    # given the names that the deployment gave to what the dashboard refers to
    values = resolved.VALUES | {"AWS::StackName": local.stack_name, "AWS::Region": local.account.region}
    values |= {"RequestMetadataKeys": "team,environment"}
    for name in ("MetricProcessorFunction", "MetricProcessorLogGroup", "QuotaFetcherLogGroup", "QuotaDashboard"):
        values[name] = resource(name)
    template = resolved.template()
    properties = template["Resources"]["QuotaDashboard"]["Properties"]
    expected = resolved.Resolver(values, template)(properties["DashboardBody"])
    # when the deployed dashboard is read
    cloudwatch = local.session().client("cloudwatch")
    found = cloudwatch.get_dashboard(DashboardName=local.outputs["DashboardName"])["DashboardBody"]
    # then it is that text
    assert json.loads(found) == json.loads(expected)
    assert len(json.loads(found)["widgets"]) == 36
