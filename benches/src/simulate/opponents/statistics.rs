//! Averages and correlations over the last samples, as adaptive limiters use them.

use std::collections::VecDeque;

/// An exponential average: a plain one until it is warm.
#[derive(Debug)]
pub(crate) struct Average {
    age: usize,
    samples: usize,
    value: f64,
}

/// Samples until an average or a correlation means something: failsafe-go's `warmupSamples`.
const WARM_UP: usize = 10;

impl Average {
    /// An average that remembers about `age` samples.
    pub(crate) fn new(age: usize) -> Average {
        Average { age, samples: 0, value: 0.0 }
    }

    /// Adds a sample and returns the average.
    pub(crate) fn add(&mut self, sample: f64) -> f64 {
        self.samples += 1;
        let weight =
            if self.samples <= WARM_UP { 1.0 / self.samples as f64 } else { 2.0 / (self.age as f64 + 1.0) };
        self.value += (sample - self.value) * weight;
        self.value
    }
}

/// How two quantities follow each other over the last samples (Pearson).
#[derive(Debug)]
pub(crate) struct Correlation {
    size: usize,
    pairs: VecDeque<(f64, f64)>,
}

impl Correlation {
    /// A correlation over `size` samples.
    pub(crate) fn new(size: usize) -> Correlation {
        Correlation { size, pairs: VecDeque::new() }
    }

    /// Adds a pair and returns the correlation, 0 until it is warm or while one of the two is constant.
    pub(crate) fn add(&mut self, x: f64, y: f64) -> f64 {
        if self.pairs.len() == self.size {
            self.pairs.pop_front();
        }
        self.pairs.push_back((x, y));
        if self.pairs.len() < WARM_UP {
            return 0.0;
        }
        let number = self.pairs.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| self.pairs.iter().map(of).sum::<f64>() / number;
        let (mean_x, mean_y) = (mean(|pair| pair.0), mean(|pair| pair.1));
        let moment = |of: &dyn Fn(f64, f64) -> f64| {
            self.pairs.iter().map(|(x, y)| of(x - mean_x, y - mean_y)).sum::<f64>()
        };
        let spread = (moment(&|x, _| x * x) * moment(&|_, y| y * y)).sqrt();
        if spread > 0.0 { moment(&|x, y| x * y) / spread } else { 0.0 }
    }

    /// The coefficient of variation of the second quantity.
    pub(crate) fn variation(&self) -> f64 {
        let number = self.pairs.len().max(1) as f64;
        let mean = self.pairs.iter().map(|pair| pair.1).sum::<f64>() / number;
        let variance = self.pairs.iter().map(|pair| (pair.1 - mean).powi(2)).sum::<f64>() / number;
        variance.sqrt() / mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation_is_one_where_one_follows_the_other_and_nothing_before_it_is_warm() {
        let mut correlation = Correlation::new(50);
        let values: Vec<f64> = (0..20).map(|x| correlation.add(f64::from(x), f64::from(x * 2))).collect();
        assert_eq!(values[8], 0.0);
        assert!((values[9] - 1.0).abs() < 1e-9 && (values[19] - 1.0).abs() < 1e-9, "{values:?}");
        let mut correlation = Correlation::new(50);
        let last = (0..20).map(|x| correlation.add(f64::from(x), f64::from(-x))).last().unwrap();
        assert!((last + 1.0).abs() < 1e-9, "{last}");
    }

    #[test]
    fn average_is_plain_until_it_is_warm() {
        let mut average = Average::new(5);
        assert_eq!((average.add(1.0), average.add(3.0)), (1.0, 2.0));
    }
}
