//! One record of the journal: an event, a decision, the state, or that something is missing.
//!
//! Times are told as the difference to the record before, which may be negative: events take their time
//! before they take the lock. A record of the state tells its time whole, so reading may begin there.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::breaker::Forced;
use plimsoll_core::controller::{Arrival, Effect, Event, Outcome};
use plimsoll_core::decision::{BreakerState, Decision, Evidence, Reason, RequestId, Side, Standing};
use plimsoll_core::policy::{ClassId, Policy};
use plimsoll_core::standing::{Tenure, Value};
use plimsoll_core::time::Time;

use super::codec::{Reader, put, put_bytes, put_signed};

/// On what grounds a request is decided, besides what the core is told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Grounds {
    /// The random bits of its id.
    pub trace: u64,
    /// Who decided its class: 0 a route, 1 the model, 2 the fallback.
    pub class_by: u8,
    /// The generation of the canary that judged it, if one did.
    pub canary: Option<u64>,
    /// The place of the route that took it, among those of the policy that judged it.
    pub route: Option<u32>,
    /// The model's confidence in the class it gave, 0 if it was not asked.
    pub confidence: f32,
}

/// The generation that decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Its number.
    pub generation: u64,
    /// The digest of its policy.
    pub policy: String,
    /// The seal of its bundle, empty without one.
    pub bundle: String,
    /// The text of its policy: a source as JSON.
    pub text: String,
}

/// One record.
#[derive(Clone, Debug)]
pub enum Entry {
    /// The state of the core before the next event.
    State {
        /// When.
        at: Time,
        /// Events told since the process started.
        events: u64,
        /// The generation in force.
        stamp: Stamp,
        /// The controller's image.
        image: Vec<u8>,
    },
    /// The core was told something.
    Event {
        /// When.
        at: Time,
        /// What.
        event: Event,
        /// On what grounds an arriving request is decided.
        grounds: Option<Grounds>,
        /// The generation that a new policy belongs to.
        stamp: Option<Stamp>,
    },
    /// From here on requests may be judged by this canary, beside the generation in force.
    Canary(Stamp),
    /// The core answered.
    Decided(Effect),
    /// So many events are missing here; a state follows.
    Dropped(u64),
}

const STATE: u8 = 0;
const ARRIVED: u8 = 1;
const FIRST_BYTE: u8 = 2;
const FINISHED: u8 = 3;
const ABANDONED: u8 = 4;
const POLICY_CHANGED: u8 = 5;
const BREAKER_FORCED: u8 = 6;
const WOKEN: u8 = 7;
const DECIDED: u8 = 8;
const DROPPED: u8 = 9;
const CANARY: u8 = 10;

/// Added to who decided a class, if a canary judged the request, whose generation follows.
const BY_CANARY: u8 = 4;
const OUTCOMES: [Outcome; 3] = [Outcome::Success, Outcome::Failed, Outcome::Overloaded];
const FORCED: [Option<Forced>; 3] = [None, Some(Forced::Open), Some(Forced::Closed)];
const BREAKERS: [Option<BreakerState>; 4] =
    [None, Some(BreakerState::Closed), Some(BreakerState::Open), Some(BreakerState::HalfOpen)];
/// Codes of decisions: those without a reason, then admitted ones by reason, then shed ones.
const OBSERVED_FIRST: u8 = 2;
const SHED_FIRST: u8 = OBSERVED_FIRST + Reason::ALL.len() as u8;

/// Writes records one after the other, and knows the time of the one before.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    last: Time,
}

impl Encoder {
    pub(super) fn state(
        &mut self,
        out: &mut Vec<u8>,
        at: Time,
        (events, stamp, image): (u64, &Stamp, &[u8]),
    ) {
        self.last = at;
        out.push(STATE);
        put(out, at.as_nanos());
        put(out, events);
        put_stamp(out, stamp);
        put_bytes(out, image);
    }

    pub(super) fn event(
        &mut self,
        out: &mut Vec<u8>,
        at: Time,
        event: &Event,
        (grounds, stamp): (&Grounds, &Stamp),
    ) {
        match event {
            Event::Arrived(arrival) => self.arrived(out, at, arrival, grounds),
            Event::FirstByte { request, sent } => {
                self.head(out, FIRST_BYTE, at, *request);
                put_signed(out, difference(*sent, at));
            }
            Event::Finished { request, outcome } => {
                self.head(out, FINISHED, at, *request);
                out.push(*outcome as u8);
            }
            Event::Abandoned { request } => self.head(out, ABANDONED, at, *request),
            Event::PolicyChanged(policy) => {
                self.tag(out, POLICY_CHANGED, at);
                put_stamp(out, stamp);
                let mut image = Vec::new();
                policy.write_image(&mut image);
                put_bytes(out, &image);
            }
            Event::BreakerForced { class, forced } => {
                self.tag(out, BREAKER_FORCED, at);
                let forced = FORCED.iter().position(|known| known == forced).expect("they are all there");
                out.extend([class.index() as u8, forced as u8]);
            }
            Event::Woken => self.tag(out, WOKEN, at),
        }
    }

    fn arrived(&mut self, out: &mut Vec<u8>, at: Time, arrival: &Arrival, grounds: &Grounds) {
        self.head(out, ARRIVED, at, arrival.request);
        let tenure = u8::from(arrival.tenure == Tenure::Admitted);
        let Arrival { class, value, usage_penalty, lot, is_idempotent, .. } = *arrival;
        let (class, is_idempotent) = (class.index() as u8, u8::from(is_idempotent));
        out.extend([class, value.step(), tenure, usage_penalty, lot, is_idempotent]);
        put_signed(out, difference(arrival.deadline, at));
        out.extend(grounds.trace.to_le_bytes());
        out.push(grounds.class_by | grounds.canary.map_or(0, |_| BY_CANARY));
        if let Some(generation) = grounds.canary {
            put(out, generation);
        }
        put(out, grounds.route.map_or(0, |route| u64::from(route) + 1));
        out.extend(grounds.confidence.to_le_bytes());
    }

    fn tag(&mut self, out: &mut Vec<u8>, tag: u8, at: Time) {
        out.push(tag);
        put_signed(out, difference(at, self.last));
        self.last = at;
    }

    fn head(&mut self, out: &mut Vec<u8>, tag: u8, at: Time, request: RequestId) {
        self.tag(out, tag, at);
        put_request(out, request);
    }
}

pub(super) fn put_decided(out: &mut Vec<u8>, effect: &Effect) {
    let evidence = &effect.evidence;
    out.push(DECIDED);
    put_request(out, effect.request);
    let [class, side] = [evidence.class.index(), evidence.side.index()].map(|place| place as u8);
    let breaker = BREAKERS.iter().position(|known| *known == evidence.breaker).expect("they are all there");
    out.extend([code(effect.decision), class, side, breaker as u8, u8::from(evidence.is_probe)]);
    for number in [evidence.standing.0.into(), evidence.limit, evidence.inflight, evidence.queued_ahead] {
        put(out, number.into());
    }
    put_duration(out, evidence.wait);
    put_duration(out, evidence.wait_allowed);
    put(out, evidence.threshold.map_or(0, |standing| u64::from(standing.0) + 1));
}

pub(super) fn put_dropped(out: &mut Vec<u8>, events: u64) {
    out.push(DROPPED);
    put(out, events);
}

pub(super) fn put_canary(out: &mut Vec<u8>, stamp: &Stamp) {
    out.push(CANARY);
    put_stamp(out, stamp);
}

fn put_request(out: &mut Vec<u8>, request: RequestId) {
    put(out, request.slot.into());
    put(out, request.epoch.into());
}

fn put_stamp(out: &mut Vec<u8>, stamp: &Stamp) {
    put(out, stamp.generation);
    for text in [&stamp.policy, &stamp.bundle, &stamp.text] {
        put_bytes(out, text.as_bytes());
    }
}

/// Nanoseconds; a wait of centuries is none.
fn put_duration(out: &mut Vec<u8>, duration: Duration) {
    put(out, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
}

/// Wraps at either end of time, and so does the sum that undoes it.
fn difference(later: Time, earlier: Time) -> i64 {
    later.as_nanos().wrapping_sub(earlier.as_nanos()) as i64
}

fn code(decision: Decision) -> u8 {
    match decision {
        Decision::Admit => 0,
        Decision::Queue => 1,
        Decision::AdmitObserved(reason) => OBSERVED_FIRST + reason.index() as u8,
        Decision::Shed(reason) => SHED_FIRST + reason.index() as u8,
    }
}

fn decision(code: u8) -> Option<Decision> {
    let reason = |first: u8| Reason::ALL.get(usize::from(code.checked_sub(first)?)).copied();
    match code {
        0 => Some(Decision::Admit),
        1 => Some(Decision::Queue),
        OBSERVED_FIRST..SHED_FIRST => reason(OBSERVED_FIRST).map(Decision::AdmitObserved),
        _ => reason(SHED_FIRST).map(Decision::Shed),
    }
}

/// Reads records one after the other.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    last: Time,
}

impl Decoder {
    /// The next record; `None` if the bytes are none.
    pub(super) fn next(&mut self, input: &mut Reader<'_>) -> Option<Entry> {
        let tag = input.byte()?;
        match tag {
            STATE => {
                self.last = Time::from_nanos(input.number()?);
                let (events, stamp) = (input.number()?, stamp(input)?);
                Some(Entry::State { at: self.last, events, stamp, image: input.bytes()?.to_vec() })
            }
            DECIDED => effect(input).map(Entry::Decided),
            DROPPED => input.number().map(Entry::Dropped),
            CANARY => stamp(input).map(Entry::Canary),
            _ => self.event(tag, input),
        }
    }

    fn event(&mut self, tag: u8, input: &mut Reader<'_>) -> Option<Entry> {
        self.last = shifted(self.last, input.signed()?);
        let at = self.last;
        let (mut grounds, mut new_stamp) = (None, None);
        let event = match tag {
            ARRIVED => {
                let (arrival, of) = arrival(input, at)?;
                grounds = Some(of);
                Event::Arrived(arrival)
            }
            FIRST_BYTE => Event::FirstByte { request: request(input)?, sent: shifted(at, input.signed()?) },
            FINISHED => {
                let request = request(input)?;
                Event::Finished { request, outcome: *OUTCOMES.get(usize::from(input.byte()?))? }
            }
            ABANDONED => Event::Abandoned { request: request(input)? },
            POLICY_CHANGED => {
                new_stamp = Some(stamp(input)?);
                Event::PolicyChanged(Arc::new(Policy::from_image(input.bytes()?)?))
            }
            BREAKER_FORCED => {
                let class = ClassId::new(input.byte()?.into())?;
                Event::BreakerForced { class, forced: *FORCED.get(usize::from(input.byte()?))? }
            }
            WOKEN => Event::Woken,
            _ => return None,
        };
        Some(Entry::Event { at, event, grounds, stamp: new_stamp })
    }
}

fn shifted(time: Time, difference: i64) -> Time {
    Time::from_nanos(time.as_nanos().wrapping_add(difference as u64))
}

fn request(input: &mut Reader<'_>) -> Option<RequestId> {
    Some(RequestId { slot: input.small()?, epoch: input.small()? })
}

fn arrival(input: &mut Reader<'_>, at: Time) -> Option<(Arrival, Grounds)> {
    let request = request(input)?;
    let [class, value, tenure, usage_penalty, lot, is_idempotent] = input.array()?;
    let arrival = Arrival {
        request,
        class: ClassId::new(class.into())?,
        value: Value::from_step(value),
        tenure: if tenure == 0 { Tenure::Fresh } else { Tenure::Admitted },
        usage_penalty,
        lot,
        is_idempotent: is_idempotent != 0,
        deadline: shifted(at, input.signed()?),
    };
    let trace = u64::from_le_bytes(input.array()?);
    let by = input.byte()?;
    let canary = if by & BY_CANARY == 0 { None } else { Some(input.number()?) };
    let route = input.small()?.checked_sub(1);
    let confidence = f32::from_le_bytes(input.array()?);
    Some((arrival, Grounds { trace, class_by: by & !BY_CANARY, canary, route, confidence }))
}

fn stamp(input: &mut Reader<'_>) -> Option<Stamp> {
    let generation = input.number()?;
    Some(Stamp { generation, policy: input.text()?, bundle: input.text()?, text: input.text()? })
}

fn effect(input: &mut Reader<'_>) -> Option<Effect> {
    let request = request(input)?;
    let [code, class, side, breaker, is_probe] = input.array()?;
    let evidence = Evidence {
        class: ClassId::new(class.into())?,
        standing: Standing(input.number()?.try_into().ok()?),
        side: *Side::ALL.get(usize::from(side))?,
        breaker: *BREAKERS.get(usize::from(breaker))?,
        is_probe: is_probe != 0,
        limit: input.small()?,
        inflight: input.small()?,
        queued_ahead: input.small()?,
        wait: Duration::from_nanos(input.number()?),
        wait_allowed: Duration::from_nanos(input.number()?),
        threshold: match input.number()?.checked_sub(1) {
            Some(standing) => Some(Standing(standing.try_into().ok()?)),
            None => None,
        },
    };
    Some(Effect { request, decision: decision(code)?, evidence })
}
