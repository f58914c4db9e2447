// The three ways in which programs use the task management API: start and poll, cancel what runs, read a log.
// usage: node scenarios.mjs BASE poll|cancel|logs NAME-OR-ID
//
// These clients know paths without a host, and an answer whose body is under `data` as well as behind `json()`.
const [base, scenario, subject] = process.argv.slice(2);

async function request(path, options) {
  const answer = await fetch(base + path, options);
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${answer.status} ${text}`);
  return { status: answer.status, data: JSON.parse(text), json: async () => JSON.parse(text) };
}
const sendJson = (method, body) => ({
  method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
});

async function poll() {
  const begun = await request(`/tasks/${subject}/execute/manual`, sendJson('POST', { params: {} }));
  const id = begun.data.executionId;
  const seen = await new Promise((resolve, reject) => {
    const timer = setInterval(async () => {
      try {
        const state = await (await request(`/tasks/running/execution/${id}`)).json();
        if (state.status !== 'running') {
          clearInterval(timer);
          resolve(state.status);
        }
      } catch (error) { clearInterval(timer); reject(error); }
    }, 100);
  });
  return { id, status: seen };
}

async function cancel() {
  const executions = await (await request(`/tasks/running/${subject}`)).json();
  const ids = executions.map((entry) => entry.executionId);
  const answer = await request('/tasks/executions/cancel/by-ids', sendJson('DELETE', { executionIds: ids }));
  return { ids, ...answer.data };
}

async function logs() {
  const found = await (await request(`/tasks/running/execution/${subject}`)).json();
  const lines = [];
  found.logs.forEach((line) => {
    lines.push(`[${line.level}] ${line.timestamp}: ${line.message}`);
    if (line.data) lines.push(JSON.stringify(line.data));
  });
  return lines;
}

console.log(JSON.stringify(await { poll, cancel, logs }[scenario]()));
