//! The quantities of a policy: durations, shares, sizes, rates and ranges, each with its unit.
//!
//! A number without a unit is refused with what to write instead: `800` is two
//! different policies to two readers. Fractions of a second are written in
//! milliseconds; only shares have decimals, for objectives such as 99.95 %.

use std::ops::RangeInclusive;
use std::time::Duration;

use plimsoll_core::policy::Share;

use super::diagnostic::Mistake;

/// A kind of single value: how it is read, and how it looks.
pub struct Kind<T> {
    /// A regular expression (ECMA 262, as JSON Schema has it) that whatever `read` takes matches.
    pub pattern: &'static str,
    /// Reads it.
    pub read: fn(&str) -> Result<T, Mistake>,
}

/// See [`duration`].
pub(crate) const DURATION: Kind<Duration> = Kind { pattern: "^[0-9]+ *(ms|s|m|h)$", read: duration };
/// See [`durations`].
pub(crate) const DURATIONS: Kind<RangeInclusive<Duration>> =
    Kind { pattern: r"^[0-9]+ *(ms|s|m|h)( *\.\. *[0-9]+ *(ms|s|m|h))?$", read: durations };
/// See [`share`].
pub(crate) const SHARE: Kind<Share> = Kind { pattern: r"^ *[0-9]+(\.[0-9]{0,4})? *%$", read: share };
/// See [`rate`].
pub(crate) const RATE: Kind<(u32, Duration)> = Kind { pattern: "^[0-9]+ */ *[smh] *$", read: rate };
/// See [`size`].
pub(crate) const SIZE: Kind<u64> = Kind { pattern: "^[0-9]+ *(B|KiB|MiB|GiB)$", read: size };
/// See [`multiple`].
pub(crate) const MULTIPLE: Kind<f64> = Kind { pattern: r"^[0-9]*\.?[0-9]+x$", read: multiple };

/// `250ms`, `2s`, `1m`, `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, Mistake> {
    let (number, unit) = split(text);
    let not_one =
        || Mistake::new(format!("`{text}` is not a duration")).hint("write it like 250ms, 2s or 1m");
    let count: u64 = number.parse().map_err(|_| not_one())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" => {
            let mistake = Mistake::new(format!("`{text}` has no unit"));
            return Err(mistake.hint(format!("write {number}ms or {number}s")));
        }
        _ if unit.starts_with('.') => {
            return Err(not_one().hint("whole numbers only: write 1500ms for one and a half seconds"));
        }
        _ => {
            let mistake = Mistake::new(format!("unknown unit `{unit}` of time"));
            return Err(mistake.hint("one of: ms, s, m, h"));
        }
    };
    // A year is beyond any sense here, and keeps every sum of durations in range.
    match count.checked_mul(millis) {
        Some(millis) if millis <= 365 * 24 * 3_600_000 => Ok(Duration::from_millis(millis)),
        _ => Err(Mistake::new(format!("`{text}` is longer than a year")).hint("at most 8760h")),
    }
}

/// `2s..6s`, or `5s` for exactly that.
pub(crate) fn durations(text: &str) -> Result<RangeInclusive<Duration>, Mistake> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (duration(from.trim())?, duration(to.trim())?);
    if from > to {
        return Err(
            Mistake::new(format!("`{text}` ends before it begins")).hint("write the shorter one first")
        );
    }
    Ok(from..=to)
}

/// `20%`, `99.9%`: at most 100 %, at most four decimals.
pub(crate) fn share(text: &str) -> Result<Share, Mistake> {
    let Some(number) = text.strip_suffix('%') else {
        let mistake = Mistake::new(format!("`{text}` is not a percentage"));
        return Err(mistake.hint(format!(
            "write it like {}",
            if is_decimal(text) { format!("{text}%") } else { "20%".into() }
        )));
    };
    let (whole, decimals) = number.trim().split_once('.').unwrap_or((number.trim(), ""));
    let digits = format!("{whole}{decimals:0<4}");
    let valid = decimals.len() <= 4 && !whole.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let millionths = digits.parse().ok().filter(|_| valid);
    let Some(millionths) = millionths else {
        return Err(Mistake::new(format!("`{text}` is not a percentage")).hint("write it like 20% or 99.9%"));
    };
    let too_much = || Mistake::new(format!("`{text}` is more than all")).hint("at most 100%");
    Share::from_millionths(millionths).ok_or_else(too_much)
}

/// So many per so long: `30/s`, `100/m`, `5000/h`.
pub(crate) fn rate(text: &str) -> Result<(u32, Duration), Mistake> {
    let not_one = || Mistake::new(format!("`{text}` is not a rate")).hint("write it like 30/s or 100/m");
    let (count, unit) = text.split_once('/').ok_or_else(not_one)?;
    let count: u32 = count.trim().parse().map_err(|_| not_one())?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(not_one()),
    };
    if count == 0 {
        return Err(Mistake::new("a rate of nothing refuses everyone").hint("at least 1"));
    }
    Ok((count, Duration::from_secs(seconds)))
}

/// `512B`, `64KiB`, `2MiB`, `1GiB`, in bytes.
pub(crate) fn size(text: &str) -> Result<u64, Mistake> {
    /// A thousand times the largest upload of a shop, and far from where sums of sizes end.
    const SIZE_MAX: u64 = 1 << 40;
    let (number, unit) = split(text);
    let not_one = || Mistake::new(format!("`{text}` is not a size")).hint("write it like 64KiB or 2MiB");
    let count: u64 = number.parse().map_err(|_| not_one())?;
    let unknown = |hint: &str| Err(Mistake::new(format!("unknown unit `{unit}` of size")).hint(hint));
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "" => {
            let mistake = Mistake::new(format!("`{text}` has no unit"));
            return Err(mistake.hint(format!("write {number}B or {number}KiB")));
        }
        "k" | "K" | "kB" | "KB" | "kb" => {
            return unknown(&format!("write {number}KiB, which is 1024 bytes each"));
        }
        "m" | "M" | "MB" | "mb" => return unknown(&format!("write {number}MiB")),
        "g" | "G" | "GB" | "gb" => return unknown(&format!("write {number}GiB")),
        _ => return unknown("one of: B, KiB, MiB, GiB"),
    };
    match count.checked_mul(bytes) {
        Some(bytes) if bytes <= SIZE_MAX => Ok(bytes),
        _ => Err(Mistake::new(format!("`{text}` is more than anybody sends")).hint("at most 1024GiB")),
    }
}

/// So many times as much: `4x`, `0.5x`; at most twenty times.
pub(crate) fn multiple(text: &str) -> Result<f64, Mistake> {
    /// Black Friday is five times an ordinary day; beyond twenty nothing new is learned.
    const MULTIPLE_MAX: f64 = 20.0;
    let not_one = || Mistake::new(format!("`{text}` is no multiple")).hint("write it like 4x or 0.5x");
    let number = text.strip_suffix('x').filter(|number| is_decimal(number)).ok_or_else(not_one)?;
    match number.parse::<f64>() {
        Ok(multiple) if multiple <= MULTIPLE_MAX => Ok(multiple),
        Ok(_) => Err(Mistake::new(format!("`{text}` is too much to tell anything")).hint("at most 20x")),
        Err(_) => Err(not_one()),
    }
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3_600)));
        assert_eq!(duration("800").unwrap_err().hint.as_deref(), Some("write 800ms or 800s"));
        let hint = duration("0.8s").unwrap_err().hint.unwrap();
        assert!(hint.contains("write 1500ms"), "{hint}");
        assert!(["", "s", "1.5s", "-1s", "2 weeks"].iter().all(|text| duration(text).is_err()));
    }

    #[test]
    fn durations_end_at_a_year() {
        assert!(duration("8760h").is_ok());
        assert!(duration("8761h").is_err());
        assert!(duration("18446744073709551615h").is_err());
    }

    #[test]
    fn ranges_run_forwards() {
        let seconds = Duration::from_secs;
        assert_eq!(durations("2s..6s"), Ok(seconds(2)..=seconds(6)));
        assert_eq!(durations("5s"), Ok(seconds(5)..=seconds(5)));
        assert!(durations("6s..2s").is_err());
    }

    #[test]
    fn shares_are_exact() {
        assert_eq!(share("99.95%").map(Share::millionths), Ok(999_500));
        assert_eq!(share("100%"), Ok(Share::ALL));
        assert_eq!(share("20").unwrap_err().hint.as_deref(), Some("write it like 20%"));
        assert!(
            ["100.0001%", "%", ".5%", "1.00000%", "-1%", "many%"].iter().all(|text| share(text).is_err())
        );
    }

    #[test]
    fn sizes_are_powers_of_two_and_say_so() {
        assert_eq!((size("512B"), size("64KiB"), size("2 MiB")), (Ok(512), Ok(65_536), Ok(2_097_152)));
        assert_eq!(size("2MB").unwrap_err().hint.as_deref(), Some("write 2MiB"));
        assert_eq!(size("2").unwrap_err().hint.as_deref(), Some("write 2B or 2KiB"));
        assert!(["", "KiB", "-1B", "1.5MiB", "2TiB", "two"].iter().all(|text| size(text).is_err()));
        assert_eq!(size("1024GiB"), Ok(1 << 40));
        assert!(size("1025GiB").is_err() && size("18446744073709551615GiB").is_err());
    }

    #[test]
    fn multiples_end_at_twenty() {
        assert_eq!(multiple("0.5x"), Ok(0.5));
        assert_eq!(multiple("20x"), Ok(20.0));
        assert_eq!(multiple("20.1x").unwrap_err().hint.as_deref(), Some("at most 20x"));
        assert!(["4", "x", "-1x", "1.2.3x", "infx", "fourx"].iter().all(|text| multiple(text).is_err()));
    }

    #[test]
    fn rates_name_their_time() {
        assert_eq!(rate("30/s"), Ok((30, Duration::from_secs(1))));
        assert!(["30", "0/s", "30/d", "x/s"].iter().all(|text| rate(text).is_err()));
    }
}
