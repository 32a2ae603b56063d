//! What is promised of the shipped model, as its manifest states it.
//!
//! Training measures, and writes what it found into the bundle that it makes; whoever trains
//! again with the same data gets the same figures. Nothing is measured here but the size.

use super::claim::{Claim, Figure, Target};
use serde_json::Value;
use std::path::Path;

const TRAINING: &str = "make model";
const COMPARISON: &str = "make evaluate";
const LOOP: &str = "make loop";

/// The claims about the bundle in `directory`, whose manifest this is, if it is there.
pub(super) fn claims(directory: &Path, manifest: Option<&Value>) -> Vec<Claim> {
    let measures = Measures(manifest);
    let claim = |promise: &'static str, target, measured, command| Claim {
        promise: promise.into(),
        target,
        measured,
        is_valid: true,
        command,
    };
    let trained = |promise, target, name| claim(promise, Some(target), measures.figure(name), TRAINING);
    let (most, nearly_all) = (Target::at_least(0.9, ""), Target::at_least(0.95, ""));
    vec![
        trained(
            "Classes of shops that training has not seen, macro-F1",
            most,
            "class_vendor_left_out_macro_f1",
        ),
        trained("Checkouts among them, recall", nearly_all, "class_vendor_left_out_checkout_recall"),
        trained("Carts among them, recall", nearly_all, "class_vendor_left_out_cart_recall"),
        trained("Classes of hand-labelled lines of a real log, accuracy", nearly_all, "class_log_accuracy"),
        trained("Checkouts of that log taken for less than a cart", Target::at_most(0.0, ""), LOST_CHECKOUTS),
        claim(
            "Buyers told from others on sessions not trained on, AUC",
            None,
            measures.figure(AUC),
            TRAINING,
        ),
        claim("over LightGBM's on the same features", Some(NEAR_TREES), measures.beside_trees(), COMPARISON),
        trained(
            "Error of that probability (calibration)",
            Target::at_most(0.03, ""),
            "value_calibration_error",
        ),
        claim(
            "Buyers of another shop, told at their second request, AUC",
            None,
            measures.transfer(),
            TRAINING,
        ),
        claim(
            "Order value kept at 3x by a head learned from a shop's journal, over class order alone",
            Some(Target::at_least(0.1, "")),
            measures.gain(""),
            LOOP,
        ),
        claim("the same where intent shows nowhere", None, measures.gain("_without_intent"), LOOP),
        claim("The bundle on disk", Some(Target::at_most(1_024.0, "KiB")), size(directory), TRAINING),
    ]
}

const AUC: &str = "value_auc_held_back";
const LOST_CHECKOUTS: &str = "class_log_checkout_below_cart";
/// The usual best on tables, at a price that no request can pay: the head may be a hundredth below.
const NEAR_TREES: Target = Target::at_least(-0.01, "");

/// The measures of a manifest, if there is one.
struct Measures<'a>(Option<&'a Value>);

impl Measures<'_> {
    fn value(&self, name: &str) -> Option<f64> {
        self.0?["measures"][name].as_f64()
    }

    fn figure(&self, name: &str) -> Option<Figure> {
        self.value(name).map(|value| Figure { value, text: value.to_string() })
    }

    fn beside_trees(&self) -> Option<Figure> {
        let part = |suffix: &str| self.value(&format!("{AUC}_{suffix}"));
        let (value, trees) = (part("over_lightgbm")?, part("lightgbm")?);
        let (low, high) = (part("over_lightgbm_low")?, part("over_lightgbm_high")?);
        Some(Figure { value, text: format!("{value} ({low} to {high}; LightGBM {trees})") })
    }

    /// Its interval is over the seeds, in simulation.
    fn gain(&self, shop: &str) -> Option<Figure> {
        let part = |suffix: &str| self.value(&format!("loop_gain{shop}{suffix}"));
        let (value, low, high) = (part("")?, part("_low")?, part("_high")?);
        Some(Figure { value, text: format!("{value} ({low} to {high})") })
    }

    fn transfer(&self) -> Option<Figure> {
        let part = |suffix: &str| self.value(&format!("value_transfer_auc{suffix}"));
        let (value, low, high) = (part("")?, part("_low")?, part("_high")?);
        let there = part("_fitted_there_logistic")?;
        let text = format!("{value} ({low} to {high}; a logistic regression fitted to that shop {there})");
        Some(Figure { value, text })
    }
}

/// Of all files of a bundle; `None` where there are none.
fn size(directory: &Path) -> Option<Figure> {
    let files = std::fs::read_dir(directory).ok()?.flatten();
    let bytes: u64 = files.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    let value = bytes as f64 / 1_024.0;
    (bytes > 0).then(|| Figure { value, text: format!("{value:.0} KiB") })
}

#[cfg(test)]
mod tests {
    use super::super::claim::table;
    use super::*;
    use serde_json::json;

    #[test]
    fn model_that_misses_a_target_says_so_and_what_was_not_compared_is_not_measured() {
        let measures = json!({ "measures": { "class_vendor_left_out_macro_f1": 0.8799, AUC: 0.7502 } });
        let table = table(&claims(Path::new("no/such/bundle"), Some(&measures)));
        for row in [
            "| Classes of shops that training has not seen, macro-F1 | >= 0.9 | 0.8799 | **missed** | `make model` |",
            "| Buyers told from others on sessions not trained on, AUC |  | 0.7502 |  | `make model` |",
            "| over LightGBM's on the same features | >= -0.01 | not measured |  | `make evaluate` |",
            "| The bundle on disk | <= 1024 KiB | not measured |  | `make model` |",
        ] {
            assert!(table.contains(row), "{row}\nis not in\n{table}");
        }
    }

    #[test]
    fn a_learned_head_is_told_with_its_interval_and_held_to_a_tenth() {
        let gains = |gain: f64| {
            let [low, high] = ["_low", "_high"].map(|end| format!("loop_gain{end}"));
            let measures = json!({ "measures": { "loop_gain": gain, low: 0.05, high: 0.3 } });
            table(&claims(Path::new("no/such/bundle"), Some(&measures)))
        };
        assert!(gains(0.1).contains("| >= 0.1 | 0.1 (0.05 to 0.3) | held | `make loop` |"));
        assert!(gains(0.099).contains("| >= 0.1 | 0.099 (0.05 to 0.3) | **missed** | `make loop` |"));
        assert!(
            gains(0.1).contains("| the same where intent shows nowhere |  | not measured |  | `make loop` |")
        );
    }

    #[test]
    fn head_a_hundredth_below_the_trees_is_near_enough() {
        let beside = |gap: f64| {
            let [over, low, high] = ["", "_low", "_high"].map(|end| format!("{AUC}_over_lightgbm{end}"));
            let trees = format!("{AUC}_lightgbm");
            let measures = json!({ "measures": { over: gap, low: -0.02, high: 0.01, trees: 0.75 } });
            table(&claims(Path::new("no/such/bundle"), Some(&measures)))
        };
        assert!(beside(-0.01).contains("| >= -0.01 | -0.01 (-0.02 to 0.01; LightGBM 0.75) | held |"));
        assert!(beside(-0.011).contains("| -0.011 (-0.02 to 0.01; LightGBM 0.75) | **missed** |"));
    }
}
