"""Checks of large bodies: request bodies over 100 KB, which Bedrock writes to a bucket instead of the log."""

from bedrock_quota.deployment.invocation_logging import BUCKET_REFUSED
from bedrock_quota.deployment.preflight import is_usable
from quota_monitor.aws_session import Stack
from quota_monitor.doctor.findings import Findings, check, ok, problem
from quota_monitor.doctor.observed import READING_STATES, Access, Function, InvocationLogging, Parts, Reader
from quota_monitor.doctor.policies import allows
from quota_monitor.doctor.remedies import (
    SETTINGS,
    add_statement,
    advise,
    command,
    enable_key,
    for_this_account,
    read_logging_again,
    restore_resources,
)

_UNKNOWN = "max_tokens of calls over 100 KB is unknown."
_LOST = "Late calls are missing from all metrics, and after 14 days they are lost."


@check("large bodies", needs=("stack", "parts", "invocation_logging", "processor", "large_bodies"))
def check_reading(
    stack: Stack, parts: Parts, logging: InvocationLogging | None, processor: Function | None, access: Access | None
) -> Findings:
    """Check that the processor can read large bodies."""
    if logging is None or processor is None or access is None or "MetricProcessorRole" in parts.gone:
        return
    large = logging.large_bodies
    if large is None and BUCKET_REFUSED in stack.outputs.get("InvocationLogging", ""):
        bucket = stack.resources.get("LargeBodiesBucket", "the stack's bucket")
        yield problem(
            f"Bodies over 100 KB are not logged, because Bedrock could not write to {bucket} at the last deployment. "
            f"{_UNKNOWN}",
            f"Ask the owner of your organization's policies to let Bedrock write to {bucket}.\n"
            f"{read_logging_again(stack)}",
        )
        return
    if large is None:
        yield ok(f"Bodies over 100 KB are not logged. {_UNKNOWN} See docs/limits.md.")
        return
    if not access.bucket_there and "LargeBodiesBucket" in parts.gone:
        return
    if not access.bucket_there:
        yield problem(f"The bucket {large.bucket} does not exist.", f"Create it, or choose another one {SETTINGS}.")
    elif processor.environment.get("LARGE_BODIES_BUCKET") != large.bucket:
        yield problem(
            f"Large bodies go to {large.bucket}, but the processor does not know that bucket.",
            read_logging_again(stack),
        )
    elif not access.reads:
        yield problem(
            f"The processor is not allowed to read s3://{large.bucket}/{large.prefix}.", read_logging_again(stack)
        )
    elif access.key is not None and not is_usable(access.key.state):
        yield problem(
            f"s3://{large.bucket} is encrypted with {access.key.arn}, which is {access.key.state}. {_UNKNOWN}",
            enable_key(access.key) or "Encrypt the bucket with another key.",
        )
    elif access.key is not None and not access.decrypts:
        statement = {"Effect": "Allow", "Principal": {"AWS": access.role}, "Action": "kms:Decrypt", "Resource": "*"}
        yield problem(
            f"s3://{large.bucket} is encrypted with {access.key.arn}, which the processor is not allowed to use. "
            f"{_UNKNOWN}",
            add_statement("that key", statement),
        )
    else:
        yield ok(f"The processor can read s3://{large.bucket}/{large.prefix}.")


@check("large bodies", needs=("stack", "invocation_logging", "large_bodies"))
def check_writing(stack: Stack, logging: InvocationLogging | None, access: Access | None) -> Findings:
    """Check that Bedrock is allowed to write large bodies."""
    large = logging.large_bodies if logging else None
    if large is None or access is None or not access.bucket_there:
        return
    if not allows(access.writers, {"bedrock.amazonaws.com"}, stack.bedrock_arn_prefix, stack.account):
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "bedrock.amazonaws.com"},
            "Action": "s3:PutObject",
            "Resource": stack.bucket_arn(f"{large.folder}{stack.account}/BedrockModelInvocationLogs/*"),
            "Condition": for_this_account(stack),
        }
        yield problem(
            f"Bedrock is not allowed to write to s3://{large.bucket}/{large.prefix}. {_UNKNOWN}",
            add_statement("that bucket", statement),
        )


@check("large bodies", needs=("stack", "parts", "late_calls"))
def check_late_calls(stack: Stack, parts: Parts, reader: Reader | None) -> Findings:
    """Check that the processor takes back the calls that wait for their body."""
    if "LateBodiesQueue" in parts.gone:
        return  # check_resources reports it
    if reader is None:
        yield problem(f"Nothing reads the queue of late calls. {_LOST}", restore_resources(stack))
        return
    change = ("aws", "lambda", "update-event-source-mapping", "--uuid", reader.uuid)
    if reader.state not in READING_STATES:
        yield problem(
            f"The processor does not read the queue of late calls: its event source mapping is {reader.state}. {_LOST}",
            advise("Enable it within 14 days", command(*change, "--enabled")),
        )
    elif not reader.in_part:
        yield problem(
            "The event source mapping of late calls does not report partial batch failures. Late calls are lost if the "
            "processor fails.",
            advise("Switch that on", command(*change, "--function-response-types", "ReportBatchItemFailures")),
        )
    else:
        yield ok("The processor reads the queue of late calls.")
