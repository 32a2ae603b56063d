//! Why a request is answered before there is anything to decide about.

use http::StatusCode;

use crate::hygiene::Flaw;

/// Why a request was rejected before it was anything to decide about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Its head is not in order.
    Flawed(Flaw),
    /// Its body did not come in time, or broke off.
    IncompleteBody,
    /// A hard limit of its session or address.
    RateLimited,
    /// No seat for another stream.
    StreamsFull,
    /// It is one of the less important half, and the process near its end.
    Strained,
    /// The parser made nothing of its head, and answered by itself.
    Unparsed,
}

impl Rejection {
    pub(super) fn all() -> impl Iterator<Item = Rejection> {
        let others = [
            Rejection::IncompleteBody,
            Rejection::RateLimited,
            Rejection::StreamsFull,
            Rejection::Strained,
            Rejection::Unparsed,
        ];
        Flaw::ALL.map(Rejection::Flawed).into_iter().chain(others)
    }

    /// Its place in [`Rejection::all`].
    pub(super) fn index(self) -> usize {
        match self {
            Rejection::Flawed(flaw) => flaw as usize,
            Rejection::IncompleteBody => Flaw::ALL.len(),
            Rejection::RateLimited => Flaw::ALL.len() + 1,
            Rejection::StreamsFull => Flaw::ALL.len() + 2,
            Rejection::Strained => Flaw::ALL.len() + 3,
            Rejection::Unparsed => Flaw::ALL.len() + 4,
        }
    }

    /// What it is answered with.
    pub const fn status(self) -> StatusCode {
        match self {
            Rejection::Flawed(flaw) => flaw.status(),
            Rejection::Unparsed => StatusCode::BAD_REQUEST,
            Rejection::IncompleteBody => StatusCode::REQUEST_TIMEOUT,
            Rejection::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Rejection::StreamsFull | Rejection::Strained => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Rejection::Flawed(flaw) => flaw.name(),
            Rejection::IncompleteBody => "incomplete_body",
            Rejection::RateLimited => "rate_limited",
            Rejection::StreamsFull => "streams_full",
            Rejection::Strained => "self_protection",
            Rejection::Unparsed => "unparsed",
        }
    }
}
