//! What a request carries through the phases.
//!
//! It owns the permit: however the request ends (an answer, an error, a client
//! that leaves, a task that is dropped, a panic), dropping the context gives the
//! seat back. Everything else in it is for the log and for the answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::controller::Outcome;
use plimsoll_core::decision::{Decision, Evidence};
use plimsoll_core::policy::ClassId;
use plimsoll_core::time::Time;
use tokio::sync::OwnedSemaphorePermit;

use super::deadline::Busy;
use super::hold::Hold;
use super::room::Taken;
use crate::classify::sessions::{KnownSession, SessionKey};
use crate::gate::Permit;
use crate::generation::ClassBy;
use crate::serving::{Running, Unfinished};

/// What was decided about a request, as the log and the decision header tell it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// Nothing yet: its client left, or it broke off.
    Undecided,
    /// Answered before any decision, for this reason.
    Rejected(&'static str),
    /// The core's answer.
    Decided(Decision, Evidence),
}

/// A request that has been judged.
#[derive(Debug)]
pub(super) struct Judged {
    /// The generation it is decided under.
    pub(super) running: Arc<Running>,
    /// Its class.
    pub(super) class: ClassId,
    /// Its class before its session's stage lifted it.
    pub(super) own_class: ClassId,
    /// Who decided that.
    pub(super) class_by: ClassBy,
    /// The place of the route that took it.
    pub(super) route: Option<u32>,
    /// The model's confidence in its class, 0 where it was not asked.
    pub(super) confidence: f32,
    /// The index of its pool.
    pub(super) pool: usize,
    /// Who sends it.
    pub(super) session: SessionKey,
    /// What was known of them.
    pub(super) known: KnownSession,
    /// The GraphQL operation that it was judged by.
    pub(super) operation: Option<String>,
    /// What they are worth, where something depended on it.
    pub(super) worth: Option<Worth>,
}

/// What a session is taken to be worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worth {
    /// In [0, 1].
    pub(super) value: f32,
    /// Whether that was drawn at random, so that a model can learn from whom no model chose.
    pub(super) is_drawn: bool,
}

/// The context of one request.
#[derive(Debug)]
pub struct Context {
    /// When its head was read.
    pub(super) received: Time,
    /// When it was complete as far as it is read before asking: patience counts from here, for the
    /// time a client takes to send its order is not the shop's.
    pub(super) complete: Time,
    /// Random bits: its id, its place in samples.
    pub(super) bits: u64,
    /// Who connected.
    pub(super) peer: Option<IpAddr>,
    /// Its client, as far as hops are trusted.
    pub(super) client: Option<IpAddr>,
    /// What it is, once that is known.
    pub(super) judged: Option<Judged>,
    /// What was decided.
    pub(super) fate: Fate,
    /// Time waited for a seat.
    pub(super) waited: Duration,
    /// The seat.
    pub(super) permit: Option<Permit>,
    /// A place among the streams, for what outlives its seat.
    pub(super) stream: Option<OwnedSemaphorePermit>,
    /// When the last byte of it was sent upstream.
    pub(super) sent: Option<Time>,
    /// Whether all of it was sent: only then do silence and failure tell of the shop.
    pub(super) is_sent: bool,
    /// When the upstream's first byte came.
    pub(super) first_byte: Option<Time>,
    /// What the order is worth that the upstream says was placed.
    pub(super) order_value: Option<f64>,
    /// How the upstream's status counts.
    pub(super) outcome: Outcome,
    /// Its response, while it is held back.
    pub(super) hold: Hold,
    /// Bytes of its body so far.
    pub(super) body_bytes: u64,
    /// The memory that the beginning of its body takes.
    pub(super) taken: Option<Taken>,
    /// The endpoint that was tried last.
    pub(super) endpoint: Option<SocketAddr>,
    /// How often an upstream was tried.
    pub(super) tries: usize,
    /// Whether its response has no end: events, or an upgraded connection.
    pub(super) is_endless: bool,
    /// When it must be further.
    pub(super) busy: Busy,
    /// What the process waits for before it ends; not for an endless stream.
    pub(super) unfinished: Option<Unfinished>,
}

impl Context {
    /// The context of a request that was just received.
    pub(super) fn new(received: Time, bits: u64, unfinished: Unfinished, busy: Busy) -> Context {
        Context {
            received,
            complete: received,
            bits,
            peer: None,
            client: None,
            judged: None,
            fate: Fate::Undecided,
            waited: Duration::ZERO,
            permit: None,
            stream: None,
            sent: None,
            is_sent: false,
            first_byte: None,
            order_value: None,
            outcome: Outcome::Success,
            hold: Hold::default(),
            body_bytes: 0,
            taken: None,
            endpoint: None,
            tries: 0,
            is_endless: false,
            busy,
            unfinished: Some(unfinished),
        }
    }

    /// The index of its pool; before it is judged, of the default one.
    pub(super) fn pool(&self) -> usize {
        self.judged.as_ref().map_or(0, |judged| judged.pool)
    }

    /// Whether the upstream let its time pass. What is passed on as it comes may as well be late because
    /// its reader is slow.
    pub(super) fn is_upstream_late(&self) -> bool {
        self.is_sent && !self.hold.is_large() && self.busy.is_late()
    }

    /// Gives the seat back: the upstream is done with the request.
    pub(super) fn finish(&mut self, outcome: Outcome) {
        if let Some(permit) = self.permit.take() {
            permit.finish(outcome);
        }
    }
}

impl Drop for Context {
    /// Dropped late, it was dropped for being late: by its task, which has no other way to tell.
    fn drop(&mut self) {
        if self.permit.is_some() && self.is_upstream_late() {
            self.finish(Outcome::Overloaded);
        }
    }
}
