//! The section `learning:`: what is written down for a model to learn from. Nothing is where it is left out.

use http::{HeaderName, StatusCode};
use plimsoll_core::policy::Share;

use super::route_file::PATH;
use super::settings::LearningRules;
use crate::classify::glob::PathGlob;
use crate::yaml::diagnostic::Mistake;
use crate::yaml::field::Field;
use crate::yaml::units::{Kind, SHARE};

/// What a shop may tell an order's value with.
const ORDER_VALUE: HeaderName = HeaderName::from_static("x-order-value");
/// One in ten: a shop of fifty requests a second writes some 200 MB a day of them.
const SAMPLED: Share = share(10);
/// One in a hundred: of a thousand decisions that a value would make, ten are left to chance.
const DRAWN: Share = share(1);

const fn share(percent: u32) -> Share {
    match Share::from_percent(percent) {
        Some(share) => share,
        None => Share::NONE,
    }
}

const HEADER: Kind<HeaderName> = Kind { pattern: "^[A-Za-z0-9-]+$", read: header };

fn header(text: &str) -> Result<HeaderName, Mistake> {
    text.parse().map_err(|_| Mistake::new(format!("`{text}` is not a header name")))
}

/// Reads the section.
pub(super) fn read(field: &Field<'_>) -> Option<LearningRules> {
    let learning = field.section()?;
    let example = "`conversion: { path: \"/checkout/order-received/**\" }`";
    let conversion = learning.require("conversion", example).and_then(|field| conversion(&field));
    let order_value = learning.get("order_value").and_then(|field| field.read_as(&HEADER));
    let share = |key, usual| {
        let said = learning.get(key).and_then(|field| field.read_as(&SHARE));
        said.unwrap_or(usual)
    };
    let (sampled, drawn) = (share("sample", SAMPLED), share("draw", DRAWN));
    learning.close();
    let (path, status) = conversion?;
    Some(LearningRules { path, status, order_value: order_value.unwrap_or(ORDER_VALUE), sampled, drawn })
}

fn conversion(field: &Field<'_>) -> Option<(PathGlob, StatusCode)> {
    let conversion = field.section()?;
    let path = conversion.require("path", "`path: \"/checkout/order-received/**\"`");
    let path = path.and_then(|field| field.read_as(&PATH));
    let status = conversion.get("status").and_then(|field| field.number(200..=399_u16));
    conversion.close();
    Some((path?, StatusCode::from_u16(status.unwrap_or(200)).ok()?))
}
