//! The slope of the straight line that fits points best (least squares).

/// The slope of `points`, in units per second if they are over seconds; 0 where there is no line.
pub(super) fn slope_per_s(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (x, y) in points {
        covariance += (x - mean_x) * (y - mean_y);
        variance += (x - mean_x) * (x - mean_x);
    }
    if variance > 0.0 { covariance / variance } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slope_is_that_of_the_line_whatever_lies_around_it() {
        let line =
            |slope: f64| (0..900).map(move |second| (f64::from(second), 50.0 + slope * f64::from(second)));
        assert!((slope_per_s(&line(0.25).collect::<Vec<_>>()) - 0.25).abs() < 1e-12);
        let swinging: Vec<_> = line(-0.01).map(|(x, y)| (x, y + (x / 10.0).sin())).collect();
        assert!((slope_per_s(&swinging) + 0.01).abs() < 1e-3);
    }

    #[test]
    fn nothing_and_a_moment_have_no_slope() {
        assert_eq!(slope_per_s(&[]), 0.0);
        assert_eq!(slope_per_s(&[(1.0, 5.0), (1.0, 9.0)]), 0.0);
    }
}
