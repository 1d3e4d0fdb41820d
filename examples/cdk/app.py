"""Deploy Bedrock Quota Monitor with the AWS CDK, from the template that `quota-monitor package` writes.

docs/install.md says how to use it.
"""

import sys

import aws_cdk as cdk
from aws_cdk.cloudformation_include import CfnInclude

TEMPLATE = "stack-set.json"
ROLES_WITHOUT_BOUNDARY = cdk.Acknowledgment(
    id="CloudFormation-Validate::F3033",
    reason="If PermissionsBoundaryArn is empty, which is its default, no role has a PermissionsBoundary.",
)


def add_monitor(app: cdk.App, template: str = TEMPLATE) -> cdk.Stack:
    """Add the stack to an application. The template's parameters become parameters of `cdk deploy`."""
    stack = cdk.Stack(app, "bedrock-quota-monitor", stack_name="bedrock-quota-monitor")
    CfnInclude(stack, "Monitor", template_file=template)
    cdk.Validations.of(stack).acknowledge(ROLES_WITHOUT_BOUNDARY)
    return stack


if __name__ == "__main__":
    application = cdk.App()
    add_monitor(application, *sys.argv[1:])
    application.synth()
