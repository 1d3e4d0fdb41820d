// Evaluate requests, a JSON list on stdin, and print a JSON list of verdicts. See evaluator.py.
import { text } from 'node:stream/consumers'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const listed = (value) => (value === undefined ? [] : [value].flat())
const matched = (explained, name) => listed(explained).filter((each) => each.matches).map((each) => each[name])

/** Pairs of an action and a resource, as written in the policy, of the statements that allow the request. */
const grants = (analysis) =>
  listed(analysis.identityAnalysis?.allowStatements).flatMap(({ explain }) =>
    matched(explain.actions, 'action').flatMap((action) =>
      matched(explain.resources, 'resource').map((resource) => [action, resource])
    )
  )

async function evaluate({ principal, account, action, resource, context, policies, resource_policy }) {
  const simulation = {
    request: { principal, action, resource: { resource, accountId: account }, contextVariables: context },
    identityPolicies: Object.entries(policies).map(([name, policy]) => ({ name, policy })),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    resourcePolicy: resource_policy ?? undefined
  }
  const { resultType, errors, overallResult, result } = await runSimulation(simulation, {})
  if (resultType !== 'single') return { result: 'Error', message: JSON.stringify(errors ?? resultType) }
  return { result: overallResult, grants: grants(result.analysis), unused_keys: result.ignoredContextKeys }
}

const requests = JSON.parse(await text(process.stdin))
console.log(JSON.stringify(await Promise.all(requests.map(evaluate))))
