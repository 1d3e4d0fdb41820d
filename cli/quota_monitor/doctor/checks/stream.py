"""Checks of the Kinesis stream, for stacks with Ingestion=kinesis."""

from quota_monitor.aws_session import Stack
from quota_monitor.doctor.findings import Finding, Findings, check, ok, problem
from quota_monitor.doctor.observed import READING_STATES, Parts, Reader, Stream
from quota_monitor.doctor.remedies import DENIED_ABOVE, advise, command, restore_resources


@check("stream", needs=("stack", "parts", "stream"))
def check_stream(stack: Stack, parts: Parts, stream: Stream | None) -> Findings:
    """Check that CloudWatch Logs writes to the stream, and that the processor reads all of it."""
    if stream is None:
        return
    name = stream.arn.rpartition("/")[2]
    if stream.status in {None, "DELETING"}:
        state = "does not exist" if stream.status is None else f"is {stream.status}"
        yield problem(f"{name} {state}. Every record is lost.", restore_resources(stack))
        return
    problems: list[Finding] = []
    role_is_deleted = "InvocationLogStreamRole" in parts.gone  # which check_resources reports
    if not role_is_deleted and (stream.role is None or stream.role.refused):
        problems.append(
            problem(
                f"CloudWatch Logs is not allowed to write to {name}. Records are lost.",
                f"{restore_resources(stack)}\n{DENIED_ABOVE}",
            )
        )
    problems += _check_reader(name, stack, stream.reader)
    yield from problems
    if not problems and not role_is_deleted:
        yield ok(f"{name} is {stream.status}, and the processor reads it.")


def _check_reader(name: str, stack: Stack, reader: Reader | None) -> Findings:
    if reader is None:
        yield problem(f"Nothing reads {name}. Records are lost after 24 hours.", restore_resources(stack))
        return
    kept = stack.bucket_arn(stack.resources.get("FailedDeliveriesBucket", ""))
    change = ("aws", "lambda", "update-event-source-mapping", "--uuid", reader.uuid)
    if reader.state not in READING_STATES:
        yield problem(
            f"The processor does not read {name}: its event source mapping is {reader.state}.",
            advise("Enable it within 24 hours, before records are lost", command(*change, "--enabled")),
        )
    elif reader.last_result.startswith("PROBLEM"):
        yield problem(
            f"Lambda could not process the last batch of {name}: {reader.last_result}",
            "If the processor failed, its log has the reason.\n"
            f"If Lambda is not allowed to read the stream, restore the stack.\n{restore_resources(stack)}",
        )
    if not reader.in_part:
        yield problem(
            "The event source mapping does not report partial batch failures. Deliveries after a failed one are lost.",
            advise("Switch that on", command(*change, "--function-response-types", "ReportBatchItemFailures")),
        )
    if reader.on_failure != kept:
        yield problem(
            "Failed deliveries of the stream are not kept.",
            advise("Set where they go", command(*change, "--destination-config", f"OnFailure={{Destination={kept}}}")),
        )
