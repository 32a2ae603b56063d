//! Watches whether the sessions and requests a model is asked about are like those it was trained on.
//!
//! The population stability index, as credit scoring uses it: the sum of (p - q) ln(p / q) over the
//! bins of a feature's training histogram, p being the share now and q the share then. Below 0.1
//! nothing has changed; above [`DRIFT_MAX`] the model judges a population it does not know (Siddiqi,
//! "Credit Risk Scorecards", 2006). Counts fade, so that it tells of recent traffic.
//!
//! Of a request its header fields, its depth and how many shop words it names are watched, each as one
//! choice, and the confidence of the class head, against that on shops it was not trained on: what words a
//! shop uses is its own affair, and whether they say something to the model is not. Training asks each route
//! as often as any other, by clients drawn at random: a shop's own mix of requests is never that, so its
//! indices begin somewhere, often above the threshold, and what tells is that one moves by as much.
//!
//! It decides nothing: a shop in a sale drifts too. It is told as a metric, for a person to look.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use crate::classify::features::{RequestFeatures, SessionFeatures, session_names, watched_names};

/// The index from which a feature has drifted: the customary threshold.
pub const DRIFT_MAX: f64 = 0.25;

/// The most bins of a histogram: ten are customary.
pub(super) const BINS_MAX: usize = 12;

/// The name under which the class head's confidence is watched.
pub(super) const CONFIDENCE: &str = "class.confidence";

/// One view in so many is counted; one increment a feature costs as much as a tenth of a run.
const SAMPLE: u32 = 8;

/// One request in so many is counted: there are more of them, and each has a dozen numbers.
const REQUESTS_SAMPLE: u32 = 64;

/// With fewer views the index is noise: by chance alone it is about bins / views.
const VIEWS_MIN: u32 = 1_000;

/// Counts are halved here, so that the last some ten thousand sampled views weigh most.
const VIEWS_MAX: u32 = 20_000;

/// Shares are taken as at least this, for the logarithm's sake.
const SHARE_MIN: f64 = 1e-4;

/// How a feature was distributed in training.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// Upper bounds of all bins but the last, ascending.
    pub edges: Vec<f32>,
    /// The share of each bin; one more than there are edges.
    pub shares: Vec<f64>,
}

impl Histogram {
    /// Whether it can be compared with: bounds in order, shares of a whole.
    pub(super) fn is_sound(&self) -> bool {
        let ordered = self.edges.is_sorted_by(|one, other| one < other);
        let whole = (self.shares.iter().sum::<f64>() - 1.0).abs() < 1e-3;
        let shares = self.shares.iter().all(|share| (0.0..=1.0).contains(share));
        let finite = self.edges.iter().all(|edge| edge.is_finite());
        ordered
            && whole
            && shares
            && finite
            && self.shares.len() == self.edges.len() + 1
            && self.shares.len() <= BINS_MAX
    }

    fn bin(&self, value: f32) -> usize {
        self.edges.iter().position(|edge| value <= *edge).unwrap_or(self.edges.len())
    }
}

/// What is watched of sessions, and of requests.
pub(super) struct DriftWatch {
    views: Population,
    requests: Population,
    confidences: Population,
    offered: AtomicU32,
    requests_offered: AtomicU32,
}

impl DriftWatch {
    /// A watch over the features and the confidence; what has no histogram is not watched.
    pub(super) fn new(histograms: &BTreeMap<String, Histogram>) -> DriftWatch {
        DriftWatch {
            views: Population::new(session_names(), histograms),
            requests: Population::new(watched_names(), histograms),
            confidences: Population::new(vec![CONFIDENCE.to_owned()], histograms),
            offered: AtomicU32::new(0),
            requests_offered: AtomicU32::new(0),
        }
    }

    /// Counts a view, or lets it pass: one in [`SAMPLE`] is counted.
    pub(super) fn observe(&self, view: &SessionFeatures) {
        if self.offered.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE) {
            self.views.count(view);
        }
    }

    /// Counts a request, or lets it pass: one in [`REQUESTS_SAMPLE`] is counted.
    pub(super) fn observe_request(&self, request: &RequestFeatures) {
        if self.requests_offered.fetch_add(1, Ordering::Relaxed).is_multiple_of(REQUESTS_SAMPLE) {
            self.requests.count(&request.watched());
        }
    }

    /// Counts how sure the class head was of a template that it had not scored yet.
    pub(super) fn observe_confidence(&self, confidence: f32) {
        self.confidences.count(&[confidence]);
    }

    /// The index of everything watched; none before enough was counted.
    pub(super) fn indices(&self) -> Vec<(String, f64)> {
        [self.views.indices(), self.requests.indices(), self.confidences.indices()].concat()
    }
}

/// Counts of what was seen lately of some features, against the histograms of training.
struct Population {
    names: Vec<String>,
    histograms: Vec<Histogram>,
    counts: Vec<[AtomicU32; BINS_MAX]>,
    counted: AtomicU32,
}

impl Population {
    fn new(names: Vec<String>, histograms: &BTreeMap<String, Histogram>) -> Population {
        let unwatched = || Histogram { edges: Vec::new(), shares: vec![1.0] };
        let of = |name: &String| histograms.get(name).cloned().unwrap_or_else(unwatched);
        Population {
            histograms: names.iter().map(of).collect(),
            counts: names.iter().map(|_| Default::default()).collect(),
            counted: AtomicU32::new(0),
            names,
        }
    }

    /// Counters are exact only while no two threads halve them at once, which the index survives.
    fn count(&self, values: &[f32]) {
        if self.counted.fetch_add(1, Ordering::Relaxed) >= VIEWS_MAX {
            self.fade();
        }
        for ((histogram, counts), value) in self.histograms.iter().zip(&self.counts).zip(values) {
            counts[histogram.bin(*value)].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn fade(&self) {
        self.counted.store(VIEWS_MAX / 2, Ordering::Relaxed);
        for count in self.counts.iter().flatten() {
            count.store(count.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
        }
    }

    fn indices(&self) -> Vec<(String, f64)> {
        if self.counted.load(Ordering::Relaxed) < VIEWS_MIN {
            return Vec::new();
        }
        let features = self.names.iter().zip(self.histograms.iter().zip(&self.counts));
        let watched = features.filter(|(_, (histogram, _))| !histogram.edges.is_empty());
        watched.map(|(name, (histogram, counts))| (name.clone(), index(histogram, counts))).collect()
    }
}

fn index(histogram: &Histogram, counts: &[AtomicU32; BINS_MAX]) -> f64 {
    let counts: Vec<f64> = counts.iter().map(|count| f64::from(count.load(Ordering::Relaxed))).collect();
    let total: f64 = counts.iter().sum();
    let shares = counts.iter().map(|count| (count / total).max(SHARE_MIN));
    let terms = shares.zip(&histogram.shares).map(|(now, then)| {
        let then = then.max(SHARE_MIN);
        (now - then) * (now / then).ln()
    });
    terms.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::features::SESSION_LEN;
    use crate::classify::head::Head;

    /// A watch over the first feature: half of the training at 0, half above.
    fn watch() -> DriftWatch {
        let histogram = Histogram { edges: vec![0.5], shares: vec![0.5, 0.5] };
        assert!(histogram.is_sound());
        DriftWatch::new(&BTreeMap::from([(session_names()[0].clone(), histogram)]))
    }

    fn see(watch: &DriftWatch, value: f32, views: u32) {
        let mut view = [0.0; SESSION_LEN];
        view[0] = value;
        (0..views).for_each(|_| watch.views.count(&view));
    }

    #[test]
    fn a_population_like_that_of_training_has_not_drifted() {
        let watch = watch();
        see(&watch, 0.0, VIEWS_MIN / 2);
        see(&watch, 1.0, VIEWS_MIN / 2);
        let indices = watch.indices();
        assert_eq!(indices.len(), 1, "{indices:?}");
        assert!(indices[0].1 < 1e-9, "{indices:?}");
    }

    #[test]
    fn a_population_of_another_kind_has_drifted_and_few_views_say_nothing() {
        let watch = watch();
        see(&watch, 1.0, VIEWS_MIN - 1);
        assert!(watch.indices().is_empty());
        see(&watch, 1.0, 1);
        assert!(watch.indices()[0].1 > DRIFT_MAX);
    }

    #[test]
    fn a_class_head_that_is_less_sure_than_on_strange_shops_has_drifted() {
        let histogram = Histogram { edges: vec![0.5], shares: vec![0.1, 0.9] };
        let watch = DriftWatch::new(&BTreeMap::from([(CONFIDENCE.to_owned(), histogram)]));
        (0..VIEWS_MIN - 1).for_each(|_| watch.observe_confidence(0.4));
        assert!(watch.indices().is_empty());
        watch.observe_confidence(0.4);
        let indices = watch.indices();
        assert_eq!(indices[0].0, CONFIDENCE);
        assert!(indices[0].1 > DRIFT_MAX, "{indices:?}");
    }

    #[test]
    fn old_views_fade() {
        let watch = watch();
        see(&watch, 1.0, VIEWS_MAX);
        for _ in 0..6 {
            see(&watch, 0.0, VIEWS_MAX / 4);
            see(&watch, 1.0, VIEWS_MAX / 4);
        }
        assert!(watch.indices()[0].1 < 0.1, "{:?}", watch.indices());
    }

    #[test]
    fn one_view_in_eight_is_counted() {
        let watch = watch();
        (0..8 * VIEWS_MIN - 7).for_each(|_| watch.observe(&[0.0; SESSION_LEN]));
        assert_eq!(watch.views.counted.load(Ordering::Relaxed), VIEWS_MIN);
    }

    fn request(agent: &str) -> RequestFeatures {
        let request = http::Request::get("/cart").header("user-agent", agent).body(()).unwrap();
        RequestFeatures::of(&Head::of_request(&request), "/cart", None)
    }

    #[test]
    fn requests_of_other_clients_than_in_training_have_drifted_and_one_in_64_is_counted() {
        let agents = Histogram { edges: vec![0.5, 1.5, 2.5], shares: vec![0.0, 0.9, 0.1, 0.0] };
        let nouns = Histogram { edges: vec![0.5], shares: vec![0.0, 1.0] };
        let named = [("request.agent", agents), ("request.nouns", nouns)];
        let watch = DriftWatch::new(&named.map(|(name, histogram)| (name.to_owned(), histogram)).into());
        let bot = request("Mozilla/5.0 (compatible; Googlebot/2.1)");
        (0..REQUESTS_SAMPLE * (VIEWS_MIN - 1)).for_each(|_| watch.observe_request(&bot));
        assert!(watch.indices().is_empty());
        watch.observe_request(&bot);
        let indices: BTreeMap<_, _> = watch.indices().into_iter().collect();
        assert_eq!(indices.len(), 2, "{indices:?}");
        assert!(indices["request.agent"] > DRIFT_MAX, "{indices:?}");
        assert!(indices["request.nouns"] < 0.01, "{indices:?}");
    }

    #[test]
    fn a_histogram_that_is_none_is_unsound() {
        let shares = |shares: &[f64], edges: &[f32]| {
            Histogram { edges: edges.to_vec(), shares: shares.to_vec() }.is_sound()
        };
        assert!(shares(&[0.25, 0.75], &[1.0]));
        assert!(!shares(&[0.25, 0.75], &[]));
        assert!(!shares(&[0.25, 0.25], &[1.0]));
        assert!(!shares(&[-0.5, 1.5], &[1.0]));
        assert!(!shares(&[0.2, 0.3, 0.5], &[2.0, 1.0]));
        assert!(!shares(&[0.5, 0.5], &[f32::NAN]));
    }
}
