//! The plan of a scenario: who sends what when, over sockets.
//!
//! Two streams become one: arrivals by the schedule, which nothing changes, and the
//! moves of clients with a memory, which follow from answers. What is asked for is
//! put together once for each kind of request, so that sending costs little.
//!
//! Browsers keep the cookies they are given, and bots do not. Each client has an address
//! of its own, where the target is told. Nobody sends anything
//! after the end of the scenario.

use crate::arrivals::Schedule;
use crate::begins::Begins;
use crate::client::Line;
use crate::cookies::CookieJar;
use crate::crowd::{Crowd, Move, Survival, Wish};
use crate::delivery::Delivery;
use crate::funnels::Passage;
use crate::plan::{Plan, Shot};
use crate::scenario::Scenario;
use crate::scenario::template::{ShopperKind, Template};
use crate::tally::span::Span;
use crate::tally::{Account, Verdict};
use crate::target::Target;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

/// Keeps what clients do next apart from what they want: the digits of the golden ratio, as in SplitMix64.
const STREAM: u64 = 0x9e37_79b9_7f4a_7c15;

/// The people of a scenario.
pub(crate) struct Shoppers<'a> {
    scenario: &'a Scenario,
    schedule: Peekable<Schedule<'a>>,
    moves: BinaryHeap<Reverse<Planned>>,
    planned: u64,
    crowd: Crowd<'a>,
    kinds: Vec<Kind>,
    spans: Vec<Span>,
    cookies: Arc<CookieJar>,
    target: &'a Target,
}

/// A move and its time; of two at one time, the one planned first is made first.
#[derive(Clone, Copy, Debug)]
struct Planned {
    at: Duration,
    number: u64,
    next: Move,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Planned) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Planned) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Planned) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// What all requests of a template have in common.
struct Kind {
    class: usize,
    slo: Duration,
    patience: Duration,
    headers: HeaderMap,
    body: Bytes,
    line: Line,
    /// Of each path that has no number in it.
    targets: Vec<Option<Uri>>,
}

impl<'a> Shoppers<'a> {
    /// The plan that `seed` stands for; sessions are remembered in `cookies`.
    pub(crate) fn new(
        scenario: &'a Scenario,
        seed: u64,
        target: &'a Target,
        cookies: Arc<CookieJar>,
    ) -> Shoppers<'a> {
        let classes = scenario.class_of_each();
        let kinds = scenario.mix.iter().zip(classes);
        let mut shoppers = Shoppers {
            scenario,
            schedule: Schedule::new(scenario, seed).peekable(),
            moves: BinaryHeap::new(),
            planned: 0,
            crowd: Crowd::new(scenario, Begins::new(scenario, seed), seed.wrapping_add(STREAM)),
            kinds: kinds
                .map(|(template, class)| Kind::new(scenario, template, class, &target.host))
                .collect(),
            spans: scenario.spans(),
            cookies,
            target,
        };
        for funnel in 0..scenario.funnels.len() {
            shoppers.plan_begin(funnel, 0, Duration::ZERO);
        }
        shoppers
    }

    /// Who passed the steps of funnels, by funnel and step.
    pub(crate) fn passages(&self) -> &[Vec<Passage>] {
        &self.crowd.passages
    }

    /// What became of the sessions that began in each phase.
    pub(crate) fn survival(self) -> Vec<Survival> {
        self.crowd.survival
    }

    /// Plans the next session of a funnel: in this phase or, if it has no more, in a later one.
    fn plan_begin(&mut self, funnel: usize, phase: usize, from: Duration) {
        for phase in phase..self.spans.len() {
            let from = from.max(self.spans[phase].start);
            if let Some((pause, begin)) = self.crowd.next_begin(funnel, phase, from) {
                return self.plan(from + pause, begin);
            }
        }
    }

    fn plan(&mut self, at: Duration, next: Move) {
        if self.spans.last().is_some_and(|last| at < last.end) {
            self.planned += 1;
            self.moves.push(Reverse(Planned { at, number: self.planned, next }));
        }
    }

    fn is_move_next(&mut self) -> bool {
        let moves_at = self.moves.peek().map(|Reverse(planned)| planned.at);
        match (moves_at, self.schedule.peek()) {
            (Some(at), Some(arrival)) => at < arrival.at,
            (moves_at, _) => moves_at.is_some(),
        }
    }

    fn moved(&mut self, Planned { at, next, .. }: Planned) -> Shot {
        let wish = match next {
            Move::Send(wish) => wish,
            Move::Begin { funnel, phase } => {
                self.plan_begin(funnel, phase, at);
                self.crowd.begin(funnel, phase)
            }
        };
        let phase = self.spans.iter().position(|span| at < span.end).unwrap_or_default();
        self.shot(wish, phase, at)
    }

    fn shot(&self, wish: Wish, phase: usize, at: Duration) -> Shot {
        let (kind, template) = (&self.kinds[wish.template], &self.scenario.mix[wish.template]);
        let shopper = (template.shopper != ShopperKind::Bot).then_some(wish.shopper);
        let mut request = kind.request(template, wish);
        let headers = request.headers_mut();
        let cookies = shopper.and_then(|shopper| self.cookies.of(shopper));
        headers.extend(cookies.map(|cookies| (header::COOKIE, cookies)));
        if let Some(address) = self.target.client_of(wish.shopper) {
            // One that the scenario gives stands.
            headers.entry(HeaderName::from_static("x-forwarded-for")).or_insert(address);
        }
        Shot {
            at,
            account: Account { phase, class: kind.class, cost: template.cost, slo: kind.slo },
            patience: kind.patience,
            request,
            line: kind.line,
            shopper,
            wish: Some(wish),
        }
    }
}

impl Plan for Shoppers<'_> {
    fn next_at(&mut self) -> Option<Duration> {
        match self.is_move_next() {
            true => self.moves.peek().map(|Reverse(planned)| planned.at),
            false => self.schedule.peek().map(|arrival| arrival.at),
        }
    }

    fn next_shot(&mut self) -> Option<Shot> {
        if self.is_move_next() {
            let Reverse(planned) = self.moves.pop()?;
            return Some(self.moved(planned));
        }
        let arrival = self.schedule.next()?;
        Some(self.shot(Wish::of(&arrival), arrival.phase, arrival.at))
    }

    fn hear(&mut self, wish: Wish, verdict: Verdict, time: Duration) {
        for (pause, next) in self.crowd.hear(wish, verdict) {
            self.plan(time + pause, next);
        }
    }
}

impl Kind {
    fn new(scenario: &Scenario, template: &Template, class: usize, host: &str) -> Kind {
        // A cookie and an address may come to them.
        let mut headers = HeaderMap::with_capacity(template.headers.len() + 3);
        // A host is part of an address that was resolved, so it is a valid header.
        headers.extend(HeaderValue::from_str(host).ok().map(|host| (header::HOST, host)));
        headers.extend(template.headers.clone());
        let fixed = template.paths.iter().map(|path| (path.variants() == 1).then(|| path.fill(1)));
        Kind {
            class,
            slo: template.slo.unwrap_or(scenario.slo),
            patience: template.patience.unwrap_or(scenario.patience),
            headers,
            body: Bytes::copy_from_slice(template.body.as_bytes()),
            line: line(template),
            targets: fixed.map(|path| path.map(target)).collect(),
        }
    }

    fn request(&self, template: &Template, wish: Wish) -> Request<Delivery> {
        let body = Delivery::whole(self.body.clone()).padded_to(template.upload_bytes.unwrap_or_default());
        let mut request = Request::new(body);
        *request.method_mut() = template.method.clone();
        *request.uri_mut() = match &self.targets[wish.pattern] {
            Some(uri) => uri.clone(),
            None => target(template.paths[wish.pattern].fill(wish.number)),
        };
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// The line over which a transfer takes the time it is given.
fn line(template: &Template) -> Line {
    let pace = |bytes: Option<usize>, time: Option<Duration>| Some(bytes? as f64 / time?.as_secs_f64());
    Line {
        up: pace(template.upload_bytes, template.upload),
        down: pace(template.download_bytes, template.download),
    }
}

fn target(path: String) -> Uri {
    Uri::try_from(path).expect("a scenario's paths are checked when it is read")
}

#[cfg(test)]
#[path = "shoppers_tests.rs"]
mod tests;
