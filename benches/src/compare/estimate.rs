//! A mean of a few repeats, and how far to believe it.

use serde::Serialize;
use std::fmt;

/// Student's t for a two-sided interval of 95 %, by degrees of freedom from one.
const STUDENT_T: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
/// The same for many.
const NORMAL: f64 = 1.96;

/// A mean with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Estimate {
    pub(crate) mean: f64,
    /// Half the width of the interval; unknown after a single run.
    pub(crate) margin: Option<f64>,
}

impl Estimate {
    /// The estimate from independent `values`; `None` if there are none.
    pub(crate) fn of(values: &[f64]) -> Option<Estimate> {
        let number = values.len() as f64;
        let mean = values.iter().sum::<f64>() / number;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let margin = |freedom: usize| {
            let t = STUDENT_T.get(freedom - 1).copied().unwrap_or(NORMAL);
            t * (squares / freedom as f64 / number).sqrt()
        };
        match values.len() {
            0 => None,
            1 => Some(Estimate { mean, margin: None }),
            runs => Some(Estimate { mean, margin: Some(margin(runs - 1)) }),
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        match self.margin {
            Some(margin) => write!(f, "{:.digits$} +- {margin:.digits$}", self.mean),
            None => write!(f, "{:.digits$}", self.mean),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_is_students() {
        // Mean 4, standard deviation 2, over the root of 3, times 4.303.
        let estimate = Estimate::of(&[2.0, 4.0, 6.0]).unwrap();
        assert!((estimate.mean - 4.0).abs() < 1e-12 && (estimate.margin.unwrap() - 4.9687).abs() < 1e-3);
        assert_eq!(estimate.to_string(), "4.0 +- 5.0");
    }

    #[test]
    fn single_run_has_no_interval() {
        assert_eq!(Estimate::of(&[7.25]).unwrap().to_string(), "7.2");
        assert_eq!(Estimate::of(&[]), None);
    }
}
