//! What a session is to a decision: how far it is in the funnel, and how much it has asked for.
//!
//! Plain values; the memory behind them is [`sessions`](super::sessions). Their JSON is what the proxy samples and
//! what `plimsoll features` reads, so that training computes what serving did.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How far a session has come towards an order. Later stages are worth more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Stage {
    /// Has looked at nothing yet. Samples of earlier versions call it by its own name.
    #[default]
    #[serde(rename = "none", alias = "arrived")]
    Arrived = 0,
    /// Looks at pages or searches.
    Browsing = 1,
    /// Has put something in the cart.
    Cart = 2,
    /// Is checking out.
    Checkout = 3,
}

impl Stage {
    /// All, in their order.
    pub const ALL: [Stage; 4] = [Stage::Arrived, Stage::Browsing, Stage::Cart, Stage::Checkout];

    /// The stage of that name in policies.
    pub fn named(name: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.name() == name)
    }

    /// The name in policies.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Arrived => "none",
            Stage::Browsing => "browsing",
            Stage::Cart => "cart",
            Stage::Checkout => "checkout",
        }
    }
}

/// What a request means to the funnel of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Visit {
    /// A page.
    Page,
    /// A search.
    Search,
    /// Something done to the cart.
    Cart,
    /// A step of the checkout.
    Checkout,
    /// No step in the funnel: a script, an account page, an API call, a beacon.
    #[default]
    Other,
}

impl Visit {
    /// The stage a session reaches by it, at least.
    pub const fn stage(self) -> Stage {
        match self {
            Visit::Page | Visit::Search => Stage::Browsing,
            Visit::Cart => Stage::Cart,
            Visit::Checkout => Stage::Checkout,
            Visit::Other => Stage::Arrived,
        }
    }

    /// Whether a session that is refused it is no longer whole: nobody misses a beacon.
    pub const fn is_step(self) -> bool {
        !matches!(self, Visit::Other)
    }
}

/// Where a session's first request came from, as its referrer tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Entry {
    /// No referrer.
    #[default]
    Direct = 0,
    /// A search engine.
    Search = 1,
    /// A social network.
    Social = 2,
    /// Any other site.
    Referral = 3,
    /// A campaign: the landing query names one (`utm_*`, `gclid`, ...).
    Campaign = 4,
}

impl Entry {
    /// All, in the order of the features.
    pub const ALL: [Entry; 5] =
        [Entry::Direct, Entry::Search, Entry::Social, Entry::Referral, Entry::Campaign];

    /// The entry of that name in policies.
    pub fn named(name: &str) -> Option<Entry> {
        Entry::ALL.into_iter().find(|entry| entry.name() == name)
    }

    /// The name in policies.
    pub const fn name(self) -> &'static str {
        match self {
            Entry::Direct => "direct",
            Entry::Search => "search",
            Entry::Social => "social",
            Entry::Referral => "referral",
            Entry::Campaign => "campaign",
        }
    }
}

/// What the table knows of one session at one request, the request itself not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionView {
    /// Requests so far.
    pub requests: u32,
    /// Pages viewed so far.
    pub views: u32,
    /// Searches so far.
    pub searches: u32,
    /// Cart requests so far.
    pub carts: u32,
    /// Checkout requests so far.
    pub checkouts: u32,
    /// Time since the first request.
    #[serde(rename = "age_s", with = "whole_seconds")]
    pub age: Duration,
    /// Time since the request before this one.
    #[serde(rename = "idle_s", with = "whole_seconds")]
    pub idle: Duration,
    /// How far it is.
    pub stage: Stage,
    /// Where it came from.
    pub entry: Entry,
    /// Whether it carried a session cookie on its first request.
    pub returning: bool,
    /// Whether a request of it was admitted before, and no step refused since. No feature: a model must not learn our
    /// decisions.
    #[serde(skip)]
    pub admitted: bool,
}

impl SessionView {
    /// A session that has come so far, as shoppers usually do: for tests of policies and for explanations, where no
    /// real one is known.
    pub fn usual(stage: Stage) -> SessionView {
        let reached = |step: Stage, count: u32| if stage >= step { count } else { 0 };
        if stage == Stage::Arrived {
            return SessionView::default();
        }
        SessionView {
            requests: 10 + reached(Stage::Cart, 10) + reached(Stage::Checkout, 10),
            views: 5,
            carts: reached(Stage::Cart, 2),
            checkouts: reached(Stage::Checkout, 2),
            age: Duration::from_secs(300),
            idle: Duration::from_secs(10),
            stage,
            admitted: true,
            ..SessionView::default()
        }
    }
}

/// Where only the stage is stated.
impl From<Stage> for SessionView {
    fn from(stage: Stage) -> SessionView {
        SessionView::usual(stage)
    }
}

mod whole_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_called_in_json_as_in_policies() {
        for stage in Stage::ALL {
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
            assert_eq!(serde_json::from_value::<Stage>(stage.name().into()).unwrap(), stage);
        }
        // Samples of earlier versions.
        assert_eq!(serde_json::from_str::<Stage>(r#""arrived""#).unwrap(), Stage::Arrived);
    }
}
