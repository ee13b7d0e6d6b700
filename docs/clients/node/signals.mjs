// Submits a signal, claims it and records its result: node signals.mjs [URL of an instance]. It needs Node 18.
//
// Repeat the submission with the same fields until there is an answer. Do not repeat a claim whose answer was lost: the
// signal is then in the list GET /signals?state=claimed.
import { setTimeout } from "node:timers/promises";

const instance = process.argv[2] ?? "http://127.0.0.1:5000";

/** Sends a request. Throws if the answer is a refusal, or if there is no answer. */
async function post(url, body) {
  const response = await fetch(url, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
    signal: AbortSignal.timeout(6000),
  });
  const answer = await response.json();
  if (!response.ok) {
    throw Object.assign(new Error(`HTTP ${response.status}: ${answer.detail}`), { status: response.status });
  }
  return answer;
}

/** Repeats the same request until it is answered. A refusal (400 to 499) is final. */
async function repeated(url, body) {
  for (;;) {
    try {
      return await post(url, body);
    } catch (error) {
      if (error.status >= 400 && error.status < 500) throw error;
      await setTimeout(500);
    }
  }
}

await repeated(`${instance}/signals`, {
  instrument: "NIFTY",
  signal_type: "BASE_ENTRY",
  position: "Long_1",
  timestamp: new Date().toISOString(),
  payload: { price: "24310.55" },
});

// The leader is this instance, or it is named in the answer 503.
const leader = await (await fetch(`${instance}/leader`)).json();
const claim = await post(`${leader.address}/signals/claim`, { max: 1, wait_ms: 4000 });
for (const signal of claim.signals) {
  // Execute the signal here, with its fingerprint as the client order id. Then record the result:
  const result = { attempt: signal.attempt, outcome: "done", note: "order 4711" };
  console.log(JSON.stringify(await repeated(`${leader.address}/signals/${signal.id}/result`, result)));
}
