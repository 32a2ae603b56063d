//! What is stated of a session that is to be explained: how far it has come, and what else is known of it.
//!
//! `cart`, or `cart,requests=250,entry=search`. The names are those that `when:` asks by, and what is left out is as it
//! usually is with shoppers who have come so far.
//!
//! It does not ask whether there can be such a session.

use std::time::Duration;

use crate::classify::session::{Entry, SessionView, Stage};

/// Why a text states no session, in words for an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatedError {
    /// There is no such stage.
    #[error("`{0}` is no stage of a session: none, browsing, cart, checkout")]
    Stage(String),
    /// There is nothing of that name, or it cannot be that.
    #[error(
        "`{0}` is nothing that is known of a session; write requests, views, searches, carts, checkouts, age_s or \
         idle_s with a whole number, returning=true, or entry=search (direct, social, referral, campaign), as in \
         cart,requests=250"
    )]
    Fact(String),
}

/// The session that `text` states.
///
/// # Errors
/// What in it is no part of one.
pub fn session(text: &str) -> Result<SessionView, StatedError> {
    let mut parts = text.split(',').map(str::trim).peekable();
    let stage = match parts.next_if(|part| !part.contains('=')) {
        Some(name) => Stage::named(name).ok_or_else(|| StatedError::Stage(name.to_owned()))?,
        None => Stage::default(),
    };
    let mut view = SessionView::usual(stage);
    for part in parts {
        let stated = part.split_once('=').and_then(|(name, value)| state(&mut view, name, value));
        stated.ok_or_else(|| StatedError::Fact(part.to_owned()))?;
    }
    Ok(view)
}

/// Writes one fact into `view`; `None` if it is none.
fn state(view: &mut SessionView, name: &str, value: &str) -> Option<()> {
    let count = || value.parse::<u32>().ok();
    let seconds = || count().map(|seconds| Duration::from_secs(seconds.into()));
    match name {
        "requests" => view.requests = count()?,
        "views" => view.views = count()?,
        "searches" => view.searches = count()?,
        "carts" => view.carts = count()?,
        "checkouts" => view.checkouts = count()?,
        "age_s" => view.age = seconds()?,
        "idle_s" => view.idle = seconds()?,
        "returning" => view.returning = value.parse().ok()?,
        "entry" => view.entry = Entry::named(value)?,
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_usual_for_the_stage() {
        assert_eq!(session("none"), Ok(SessionView::default()));
        assert_eq!(session("cart"), Ok(SessionView::usual(Stage::Cart)));
        let stated = session("cart, requests=250, age_s=60, entry=search, returning=true").unwrap();
        let expected = SessionView {
            requests: 250,
            age: Duration::from_secs(60),
            entry: Entry::Search,
            returning: true,
            ..SessionView::usual(Stage::Cart)
        };
        assert_eq!(stated, expected);
        assert_eq!(session("views=3"), Ok(SessionView { views: 3, ..SessionView::default() }));
    }

    #[test]
    fn what_is_no_part_of_a_session_is_named() {
        assert_eq!(session("basket"), Err(StatedError::Stage("basket".to_owned())));
        assert_eq!(session(""), Err(StatedError::Stage(String::new())));
        for fact in ["requests", "request=5", "requests=many", "requests=-1", "returning=yes", "entry=tv", ""]
        {
            assert_eq!(session(&format!("cart,{fact}")), Err(StatedError::Fact(fact.to_owned())), "{fact}");
        }
        assert_eq!(session("stage=cart"), Err(StatedError::Fact("stage=cart".to_owned())));
    }
}
