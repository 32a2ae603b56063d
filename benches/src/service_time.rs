//! How service times spread around their mean.
//!
//! The usual models of queueing theory, from no variance at all to a heavy tail:
//! a controller that is right for one of them only is right by accident. Each is
//! drawn as a factor whose mean is one, so that capacity does not depend on it.
//!
//! In scenarios and on the command line it is one word: `uniform:0.5`,
//! `deterministic`, `exponential`, `lognormal:1.5`, `pareto:1.3:1000`.

use rand::Rng;
use rand_distr::{Distribution as _, Exp1, StandardNormal};
use std::fmt;
use std::str::FromStr;

/// The distribution of service times around their mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Distribution {
    /// All alike.
    Deterministic,
    /// From mean x (1 - spread) to mean x (1 + spread).
    Uniform {
        /// 0 to 1.
        spread: f64,
    },
    /// Many short, a few long; the coefficient of variation is one.
    Exponential,
    /// The product of many causes: what services of real shops look like.
    Lognormal {
        /// Standard deviation over mean.
        variation: f64,
    },
    /// A power law, cut off: `P(T > t) ~ t^-tail`, none longer than `longest` times the shortest.
    Pareto {
        /// The exponent; below 2 the variance comes from the tail.
        tail: f64,
        /// The longest time over the shortest.
        longest: f64,
    },
}

impl Default for Distribution {
    /// What the project's published measurements were made with.
    fn default() -> Distribution {
        Distribution::Uniform { spread: 0.5 }
    }
}

impl Distribution {
    /// A factor to multiply the mean with; its own mean is one.
    pub(crate) fn draw(self, rng: &mut impl Rng) -> f64 {
        match self {
            Distribution::Deterministic => 1.0,
            Distribution::Uniform { spread } => 1.0 + rng.random_range(-spread..=spread),
            Distribution::Exponential => Exp1.sample(rng),
            Distribution::Lognormal { variation } => {
                let variance = (1.0 + variation * variation).ln();
                let normal: f64 = StandardNormal.sample(rng);
                (variance.sqrt() * normal - variance / 2.0).exp()
            }
            Distribution::Pareto { tail, longest } => {
                let cut = 1.0 - longest.powf(-tail);
                let shortest = 1.0 / pareto_mean(tail, longest);
                shortest * (1.0 - rng.random::<f64>() * cut).powf(-1.0 / tail)
            }
        }
    }
}

/// The mean of a bounded Pareto distribution whose shortest time is one.
fn pareto_mean(tail: f64, longest: f64) -> f64 {
    let cut = 1.0 - longest.powf(-tail);
    if (tail - 1.0).abs() < 1e-9 {
        longest.ln() / cut
    } else {
        tail / (tail - 1.0) * (1.0 - longest.powf(1.0 - tail)) / cut
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Deterministic => f.write_str("deterministic"),
            Distribution::Uniform { spread } => write!(f, "uniform:{spread}"),
            Distribution::Exponential => f.write_str("exponential"),
            Distribution::Lognormal { variation } => write!(f, "lognormal:{variation}"),
            Distribution::Pareto { tail, longest } => write!(f, "pareto:{tail}:{longest}"),
        }
    }
}

/// Why a word is no distribution.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a distribution of service times: write `deterministic`, `uniform:0.5` (mean x (1 +- 0.5)), \
     `exponential`, `lognormal:1.5` (coefficient of variation) or `pareto:1.3:1000` (tail, longest over shortest)"
)]
pub(crate) struct NoDistribution(String);

impl FromStr for Distribution {
    type Err = NoDistribution;

    fn from_str(text: &str) -> Result<Distribution, NoDistribution> {
        let parts: Vec<&str> = text.split(':').collect();
        let number = |text: &str, from: f64, to: f64| {
            text.parse::<f64>().ok().filter(|number| (from..=to).contains(number))
        };
        let read = match parts.as_slice() {
            ["deterministic"] => Some(Distribution::Deterministic),
            ["uniform"] => Some(Distribution::default()),
            ["uniform", spread] => number(spread, 0.0, 1.0).map(|spread| Distribution::Uniform { spread }),
            ["exponential"] => Some(Distribution::Exponential),
            ["lognormal", variation] => {
                number(variation, 0.01, 100.0).map(|variation| Distribution::Lognormal { variation })
            }
            ["pareto", tail, longest] => number(tail, 0.1, 10.0)
                .zip(number(longest, 1.01, 1e9))
                .map(|(tail, longest)| Distribution::Pareto { tail, longest }),
            _ => None,
        };
        read.ok_or_else(|| NoDistribution(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const ALL: [&str; 6] =
        ["deterministic", "uniform:0.5", "exponential", "lognormal:1.5", "pareto:2.5:1000", "pareto:1:100"];

    fn sample(word: &str, number: usize) -> (f64, f64) {
        let distribution: Distribution = word.parse().unwrap();
        let mut rng = SmallRng::seed_from_u64(1);
        let draws: Vec<f64> = (0..number).map(|_| distribution.draw(&mut rng)).collect();
        let mean = draws.iter().sum::<f64>() / number as f64;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / number as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn every_distribution_has_mean_one() {
        for word in ALL {
            let (mean, _) = sample(word, 200_000);
            assert!((mean - 1.0).abs() < 0.02, "{word}: {mean}");
        }
    }

    #[test]
    fn spread_is_what_was_asked_for() {
        for (word, expected) in
            [("deterministic", 0.0), ("uniform:0.5", 0.2887), ("exponential", 1.0), ("lognormal:1.5", 1.5)]
        {
            let (_, deviation) = sample(word, 400_000);
            assert!((deviation - expected).abs() <= 0.05 * expected, "{word}: {deviation}");
        }
    }

    #[test]
    fn bounded_pareto_stays_within_its_bounds_and_reaches_far() {
        let distribution = Distribution::Pareto { tail: 1.3, longest: 1000.0 };
        let shortest = 1.0 / pareto_mean(1.3, 1000.0);
        let mut rng = SmallRng::seed_from_u64(1);
        let draws: Vec<f64> = (0..200_000).map(|_| distribution.draw(&mut rng)).collect();
        let longest = draws.iter().copied().fold(0.0, f64::max);
        assert!(draws.iter().all(|draw| (shortest..=shortest * 1000.0).contains(draw)));
        assert!(longest > shortest * 500.0, "{longest}");
    }

    #[test]
    fn word_is_read_back_as_it_is_written() {
        for word in ALL {
            assert_eq!(word.parse::<Distribution>().unwrap().to_string(), *word);
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for word in [
            "",
            "normal",
            "uniform:1.1",
            "lognormal",
            "lognormal:0",
            "pareto:1.3",
            "pareto:0:9",
            "exponential:1",
        ] {
            let error = word.parse::<Distribution>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{word}` is not a distribution")), "{error}");
        }
    }
}
