// PLAN is the scenario; the rest of this script is the same for all of them.
//
//   k6 run -e TARGET=http://127.0.0.1:8080 THIS_FILE
//
// Arrivals are evenly spaced: k6 knows no Poisson process, so queues are shorter than
// in `plimsoll-bench load`. Latency counts from when k6 begins a request; when it can
// not begin one on time it drops it, and the threshold on dropped_iterations fails the run.
import http from 'k6/http';
import { Rate, Trend } from 'k6/metrics';

const target = (__ENV.TARGET || '').replace(/\/+$/, '');
if (!target) {
  throw new Error('say where the load goes: k6 run -e TARGET=http://127.0.0.1:8080 ...');
}

export const options = {
  scenarios: PLAN.scenarios,
  thresholds: PLAN.thresholds,
  // A session is a k6 user's: it keeps the cookies it was given.
  noCookiesReset: true,
  discardResponseBodies: true,
  summaryTrendStats: ['med', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
};

// The same words as in the thresholds of a scenario.
const ends = {
  good: new Rate('good'),
  late: new Rate('late'),
  shed: new Rate('shed'),
  errors: new Rate('errors'),
  timed_out: new Rate('timed_out'),
  failed: new Rate('failed'),
};
// Until an answer is there or the client leaves.
const waitedMs = new Trend('waited_ms', true);
const shedMs = new Trend('shed_ms', true);

// One arrival: a request of the class that the k6 scenario stands for.
export function arrive() {
  const request = drawn(PLAN.requests[__ENV.CLASS]);
  const answer = http.request(request.method, target + path(request), request.body || null, {
    headers: request.headers,
    timeout: request.patience_ms,
    redirects: 0,
    // Without it each product would be a time series of its own.
    tags: { name: request.name },
  });
  const { blocked, connecting, tls_handshaking, duration } = answer.timings;
  count(end(answer, blocked + connecting + tls_handshaking + duration, request.slo_ms));
}

function drawn(requests) {
  let rest = Math.random() * requests.reduce((sum, request) => sum + request.weight, 0);
  return requests.find((request) => (rest -= request.weight) < 0) || requests[requests.length - 1];
}

// `{500}` stands for a number from 1 to 500.
function path(request) {
  const pattern = request.paths[Math.floor(Math.random() * request.paths.length)];
  return pattern.replace(/\{(\d+)\}/, (_, most) => 1 + Math.floor(Math.random() * Number(most)));
}

function end(answer, tookMs, sloMs) {
  const REQUEST_TIMEOUT = 1050;
  if (answer.status === 0 && answer.error_code === REQUEST_TIMEOUT) {
    waitedMs.add(tookMs);
    return 'timed_out';
  }
  if (answer.status === 0) {
    return 'failed';
  }
  if (answer.status === 503 || answer.status === 429) {
    shedMs.add(tookMs);
    return 'shed';
  }
  if (answer.status < 200 || answer.status > 399) {
    return 'errors';
  }
  waitedMs.add(tookMs);
  return tookMs <= sloMs ? 'good' : 'late';
}

function count(name) {
  Object.keys(ends).forEach((end) => ends[end].add(end === name));
}
