// A worker for Trawl in plain JavaScript (Node 18 or newer, no packages): takes runs of one task type over HTTP.
//
//     TRAWL_KEY=… node examples/worker.mjs http://127.0.0.1:8080/api greetings
//
// Put your own work into `doRun`.

import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

const [api, taskType] = process.argv.slice(2)
const slots = Number(process.env.SLOTS ?? 2)
const held = new Map() // run id -> AbortController

// One request; the answer's `data`. A server that is away is tried again; another refusal is thrown.
async function call(path, body, seconds = 90) {
  for (;;) {
    let answer
    try {
      answer = await fetch(api + path, {
        method: 'POST',
        headers: { Authorization: `Bearer ${process.env.TRAWL_KEY}`, 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(seconds * 1000),
      })
      if (answer.ok) return (await answer.json()).data
    } catch {
      answer = undefined
    }
    if (answer && answer.status !== 429 && answer.status !== 503) {
      throw Object.assign(new Error(`${path}: ${answer.status} ${await answer.text()}`), { status: answer.status })
    }
    await sleep(1000)
  }
}

// The work itself: counts to the parameter `n`, one a second, and greets.
async function doRun(run, report, signal) {
  const steps = run.parameters.n ?? 3
  for (let number = 1; number <= steps; number++) {
    await sleep(1000, undefined, { signal })
    await report('progress', { done: number, total: steps })
    await report('results', { items: [{ key: String(number), data: { number } }] })
    await report('logs', { logs: [`counted ${number}`] })
  }
  return { greeting: `hello ${run.parameters.who ?? 'world'}` }
}

async function work(run) {
  const stop = new AbortController()
  const report = (what, body) => call(`/runs/${run.run_id}/${what}`, { lease_token: run.lease_token, ...body })
  held.set(run.run_id, stop)
  try {
    try {
      await report('complete', { result: await doRun(run, report, stop.signal) })
    } catch (error) {
      if (error.status) throw error
      await report('fail', stop.signal.aborted ? { aborted: true } : { error_message: String(error.stack), retryable: true })
    }
  } catch (error) {
    console.error(`run ${run.run_id}:`, error.message) // 409: it is not ours any more, somebody else does it
  } finally {
    held.delete(run.run_id)
  }
}

async function heartbeats(worker) {
  for (;;) {
    const heard = await call(`/workers/${worker.id}/heartbeat`, { current_tasks: [...held.keys()] }, 10)
    for (const runId of heard.abort) held.get(runId)?.abort()
    await sleep(worker.heartbeat_interval_seconds * 1000)
  }
}

const worker = await call('/workers', {
  hostname: hostname(), ip_address: '127.0.0.1', port: 0, task_types: [taskType], max_concurrent_tasks: slots,
  heartbeat_interval_seconds: Number(process.env.HEARTBEAT ?? 10),
})
console.log('registered as', worker.id)
heartbeats(worker).catch((error) => { console.error(error.message); process.exit(1) })
for (;;) {
  if (held.size >= slots) { await sleep(100); continue }
  const leased = await call(`/workers/${worker.id}/lease`, { max_runs: slots - held.size, wait_seconds: 20 })
  for (const run of leased.runs) work(run)
}
