//! The features of a request and of its session: one definition, read by serving and by training.
//!
//! A request is a set of yes/no features, so that a few machine words hold it: two requests have
//! the same class scores if these words are equal, which makes their hash the key of the memo,
//! and nothing is computed for a request seen before. A session is a short vector of numbers.
//! Training calls this very code (`plimsoll features`), so the two cannot drift apart, and
//! [`schema_hash`] ties a model bundle to the features it was trained on.
//!
//! Scaling is the model's affair, and so is what a feature means for the class.

mod fields;
mod lexicon;
mod nouns;
mod request;
mod session;
mod words;

pub use request::{REQUEST_LEN, RequestFeatures, WATCHED_LEN};
pub use session::{LocalTime, SESSION_LEN, SessionFeatures, write_session};

use words::Fnv;

/// The version of what the names alone do not tell: hashing, word splitting, lexicon, header lists.
/// Raise it with every change that moves a feature of any request.
const VERSION: &str = "3";

/// The names of the request features, in vector order.
pub fn request_names() -> Vec<String> {
    let tokens = (0..request::TOKEN_BUCKETS).map(|bucket| format!("token.{bucket}"));
    let nouns = request::NOUN_PLACES
        .iter()
        .flat_map(|place| lexicon::noun_names().map(move |noun| format!("noun.{noun}.{place}")));
    tokens.chain(fields::names()).chain(nouns).collect()
}

/// The names under which requests are watched for drift: one a header field, flag and outline, and how many
/// shop words are named. The hashed words are not watched: which ones a shop uses is its own affair.
pub fn watched_names() -> Vec<String> {
    request::watched_names().map(|name| format!("request.{name}")).collect()
}

/// The names of the session features, in vector order.
pub fn session_names() -> Vec<String> {
    session::NAMES.iter().map(ToString::to_string).collect()
}

/// Sixteen hexadecimal digits that change when any feature changes its place or its meaning.
pub fn schema_hash() -> String {
    let mut hash = Fnv::new();
    hash.write(VERSION.as_bytes());
    for name in request_names().iter().chain(&session_names()) {
        hash.write(b"\n");
        hash.write(name.as_bytes());
    }
    format!("{:016x}", hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_a_name_of_its_own() {
        let mut names = request_names();
        assert_eq!(names.len(), REQUEST_LEN);
        names.extend(session_names());
        assert_eq!(names.len(), REQUEST_LEN + SESSION_LEN);
        let total = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), total);
    }
}
