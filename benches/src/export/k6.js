// PLAN is the scenario; the rest of this script is the same for all of them.
//
//   k6 run -e TARGET=http://127.0.0.1:8080 THIS_FILE
//
// On several machines each sends its share, and holds that alone to the thresholds.
//
// Arrivals are evenly spaced: k6 knows no Poisson process, so queues are shorter than in
// `plimsoll-bench load`. Latency counts from when k6 begins a request; when it can not begin one on
// time it drops it, and the threshold on dropped_iterations fails the run.
//
// A k6 user is busy until its last retry is over, or its way through a funnel: maxVUs leaves room
// for that, and preAllocatedVUs for a shop that answers soon. More users are made during the test,
// which takes k6 a while: if dropped_iterations fails, raise preAllocatedVUs.
//
// Outside of funnels a user stays one shopper of one class, however long a visit is in the
// scenario, and k6 draws anew in each run, whatever the seed. Its cookies heed path, domain and
// Secure, as a browser's do.
import { sleep } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Rate, Trend } from 'k6/metrics';

const target = (__ENV.TARGET || '').replace(/\/+$/, '');
// As many as any page loads.
const together = Math.max(1, ...PLAN.requests.map((request) => request.loads.length));

export const options = {
  scenarios: PLAN.scenarios,
  thresholds: PLAN.thresholds,
  // A session outside of funnels is a k6 user's: it keeps the cookies it was given.
  noCookiesReset: true,
  discardResponseBodies: true,
  // k6 would send six at a time, and not count how long the others wait.
  batch: together,
  batchPerHost: together,
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
// Sessions of funnels that took every step, of those that were let in.
const survived = new Rate('survived');
// What there was to measure: k6 holds a threshold of nothing wherever zero would hold it.
const counted = new Counter('counted');

// Not when the script is read: `k6 archive` and `k6 inspect`, with which a distributed run begins, know no TARGET.
export function setup() {
  if (!target) {
    throw new Error('say where the load goes: k6 run -e TARGET=http://127.0.0.1:8080 ...');
  }
}

// One arrival: a request of the class that the k6 scenario stands for.
export function arrive() {
  const page = drawn(PLAN.classes[__ENV.CLASS].map((place) => PLAN.requests[place]));
  const jar = http.cookieJar();
  if (pursued(page, jar) === 'served') {
    load(page, jar);
  }
}

// A visitor with cookies of its own goes from step to step, and leaves where it is not served.
export function visit() {
  const { steps, think_s } = PLAN.funnels[__ENV.FUNNEL];
  const jar = new http.CookieJar();
  const begun = moment();
  for (let step = 0; step < steps.length; step += 1) {
    const page = PLAN.requests[any(steps[step])];
    const end = pursued(page, jar);
    if (end !== 'served') {
      // Who was never let in has no session to lose, and who is under way at the end has not lost it.
      if (step > 0 && end === 'lost') {
        judged(false, begun);
      }
      return;
    }
    const servedMs = nowMs();
    load(page, jar);
    if (step + 1 < steps.length) {
      // The shopper reads while the pictures come in.
      sleep(Math.max(0, think_s * exponential() - (nowMs() - servedMs) / 1000));
      if (isOver()) {
        return;
      }
    }
  }
  judged(true, begun);
}

// Counts a session: whether it survived.
function judged(hasSurvived, begun) {
  survived.add(hasSurvived, begun);
  counted.add(1, Object.assign({ of: 'sessions' }, begun));
}

// Sends a request until it is served or there are no more retries; nobody sends anything after the scenario.
function pursued(request, jar) {
  const { attempts, backoff_s, has_jitter } = PLAN.retries;
  for (let attempt = 0; !isServed(sent(request, jar)); attempt += 1) {
    if (attempt === attempts) {
      return 'lost';
    }
    // It doubles each time; with jitter, who was refused together does not return together.
    sleep(backoff_s * Math.pow(2, attempt) * (has_jitter ? 2 * Math.random() : 1));
    if (isOver()) {
      return 'over';
    }
  }
  return 'served';
}

function isServed(end) {
  return end === 'good' || end === 'late';
}

// Sends a request once: how it ended.
function sent(request, jar) {
  const tags = moment();
  const { method, url, body, params } = written(request, jar, tags);
  return settled(request, http.request(method, url, body, params), tags);
}

// What a browser asks for once it has the page: all at once, and nobody tries again.
function load(page, jar) {
  if (page.loads.length === 0 || isOver()) {
    return;
  }
  const tags = moment();
  const assets = page.loads.map((place) => PLAN.requests[place]);
  const answers = http.batch(assets.map((asset) => written(asset, jar, tags)));
  assets.forEach((asset, at) => settled(asset, answers[at], tags));
}

function written(request, jar, tags) {
  const params = {
    headers: request.headers,
    timeout: request.patience_ms,
    redirects: 0,
    jar: request.keeps_cookies ? jar : new http.CookieJar(),
    // Without the name each product would be a time series of its own.
    tags: Object.assign({ name: request.name, class: request.class }, tags),
  };
  return { method: request.method, url: target + path(request), body: request.body || null, params };
}

// By weight.
function drawn(requests) {
  let rest = Math.random() * requests.reduce((sum, request) => sum + request.weight, 0);
  return requests.find((request) => (rest -= request.weight) < 0) || requests[requests.length - 1];
}

function any(list) {
  return list[Math.floor(Math.random() * list.length)];
}

// With a mean of one.
function exponential() {
  return -Math.log(1 - Math.random());
}

// `{500}` stands for a number from 1 to 500.
function path(request) {
  return any(request.paths).replace(/\{(\d+)\}/, (_, most) => 1 + Math.floor(Math.random() * Number(most)));
}

function nowMs() {
  return exec.instance.currentTestRunDuration;
}

function isOver() {
  return nowMs() >= PLAN.phases[PLAN.phases.length - 1].end_ms;
}

// The phase that it is: that of a retry or of a later step may not be the one in which its k6 scenario began.
function moment() {
  const now = nowMs();
  const { phase, counts } = PLAN.phases.find((one) => now < one.end_ms) || PLAN.phases[PLAN.phases.length - 1];
  return { phase, counts };
}

// Counts an answer: how it ended.
function settled(request, answer, moment) {
  // k6 counts connecting and the TLS handshake as time that a request is blocked.
  const { blocked, duration } = answer.timings;
  const tookMs = blocked + duration;
  const tags = Object.assign({ class: request.class }, moment);
  const end = endOf(answer, tookMs, request.slo_ms);
  if (end === 'shed') {
    shedMs.add(tookMs, tags);
  } else if (end === 'timed_out') {
    // k6 times what was done by then: of a connection that never came, nothing.
    waitedMs.add(request.patience_ms, tags);
  } else if (end === 'good' || end === 'late') {
    waitedMs.add(tookMs, tags);
  }
  Object.keys(ends).forEach((one) => ends[one].add(one === end, tags));
  counted.add(1, Object.assign({ of: 'requests' }, tags));
  return end;
}

function endOf(answer, tookMs, sloMs) {
  // While it waited for the answer, and while it connected.
  const TIMEOUTS = [1050, 1211];
  if (answer.status === 0) {
    return TIMEOUTS.includes(answer.error_code) ? 'timed_out' : 'failed';
  }
  if (answer.status === 503 || answer.status === 429) {
    return 'shed';
  }
  if (answer.status < 200 || answer.status > 399) {
    return 'errors';
  }
  return tookMs <= sloMs ? 'good' : 'late';
}
