//! The classes the class head tells apart.
//!
//! They are fixed, unlike a policy's classes: a model is trained once for many shops. A policy maps
//! them by name; what it does not name goes to its fallback.

use std::fmt;

/// A class of the class head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ModelClass {
    /// Paying: address, shipping, payment, order.
    Checkout = 0,
    /// The cart and all that changes it.
    Cart = 1,
    /// Signing in, profile, past orders, wish lists.
    Account = 2,
    /// Searching, suggestions.
    Search = 3,
    /// Pages: home, categories, products, articles.
    Browse = 4,
    /// Scripts, styles, pictures, fonts.
    Static = 5,
    /// Other calls of programs.
    Api = 6,
    /// Beacons, counters, error reports.
    Analytics = 7,
}

impl ModelClass {
    /// All classes, in the order of the head's output.
    pub const ALL: [ModelClass; 8] = [
        ModelClass::Checkout,
        ModelClass::Cart,
        ModelClass::Account,
        ModelClass::Search,
        ModelClass::Browse,
        ModelClass::Static,
        ModelClass::Api,
        ModelClass::Analytics,
    ];

    /// The name, as manifests and policies write it.
    pub fn name(self) -> &'static str {
        match self {
            ModelClass::Checkout => "checkout",
            ModelClass::Cart => "cart",
            ModelClass::Account => "account",
            ModelClass::Search => "search",
            ModelClass::Browse => "browse",
            ModelClass::Static => "static",
            ModelClass::Api => "api",
            ModelClass::Analytics => "analytics",
        }
    }
}

impl fmt::Display for ModelClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The probability of each class, in the order of [`ModelClass::ALL`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassScores(pub [f32; ModelClass::ALL.len()]);

impl ClassScores {
    /// The likeliest class; of equals, the more important one.
    pub fn guess(&self) -> Guess {
        let mut best = 0;
        for (index, score) in self.0.iter().enumerate() {
            if *score > self.0[best] {
                best = index;
            }
        }
        Guess { class: ModelClass::ALL[best], confidence: self.0[best] }
    }
}

/// What the class head makes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// The likeliest class.
    pub class: ModelClass,
    /// Its probability, in [0, 1].
    pub confidence: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_class_wins_and_the_more_important_of_equals() {
        let mut scores = ClassScores([0.125; 8]);
        assert_eq!(scores.guess().class, ModelClass::Checkout);
        scores.0[7] = 0.2;
        assert_eq!(scores.guess(), Guess { class: ModelClass::Analytics, confidence: 0.2 });
    }
}
