//! The numbers that expressions see of a session, and how two numbers are compared.

use super::super::session::SessionView;

/// The name of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Requests,
    Views,
    Searches,
    Carts,
    Checkouts,
    AgeSeconds,
    IdleSeconds,
}

impl Count {
    /// All, as policies name them.
    pub(super) const ALL: [(&str, Count); 7] = [
        ("requests", Count::Requests),
        ("views", Count::Views),
        ("searches", Count::Searches),
        ("carts", Count::Carts),
        ("checkouts", Count::Checkouts),
        ("age_s", Count::AgeSeconds),
        ("idle_s", Count::IdleSeconds),
    ];

    pub(super) fn named(name: &str) -> Option<Count> {
        Count::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, count)| count)
    }

    pub(super) fn of(self, session: &SessionView) -> i64 {
        match self {
            Count::Requests => i64::from(session.requests),
            Count::Views => i64::from(session.views),
            Count::Searches => i64::from(session.searches),
            Count::Carts => i64::from(session.carts),
            Count::Checkouts => i64::from(session.checkouts),
            Count::AgeSeconds => i64::try_from(session.age.as_secs()).unwrap_or(i64::MAX),
            Count::IdleSeconds => i64::try_from(session.idle.as_secs()).unwrap_or(i64::MAX),
        }
    }
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Is,
    IsNot,
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Relation {
    /// What the operator of that name asks.
    pub(super) fn of(operator: &str) -> Option<Relation> {
        match operator {
            "_==_" => Some(Relation::Is),
            "_!=_" => Some(Relation::IsNot),
            "_<_" => Some(Relation::Below),
            "_<=_" => Some(Relation::AtMost),
            "_>_" => Some(Relation::Above),
            "_>=_" => Some(Relation::AtLeast),
            _ => None,
        }
    }

    pub(super) fn holds(self, one: i64, other: i64) -> bool {
        match self {
            Relation::Is => one == other,
            Relation::IsNot => one != other,
            Relation::Below => one < other,
            Relation::AtMost => one <= other,
            Relation::Above => one > other,
            Relation::AtLeast => one >= other,
        }
    }
}
