//! A soak as one page: memory, descriptors and latency over its time.

use super::Soaked;
use crate::report::chart::{Axis, COLOURS, Chart, Line, Stroke};
use crate::report::page::{document, figure};
use maud::html;

/// The page.
pub(super) fn html(soaked: &Soaked, summary: &str) -> String {
    let vitals = |value: fn(&crate::vitals::Vitals) -> f64| {
        soaked.vitals.iter().map(|vitals| (vitals.at_s / 60.0, value(vitals))).collect::<Vec<_>>()
    };
    let seconds = soaked.p99_ms.iter().enumerate();
    let p99 = seconds.filter_map(|(second, p99)| Some((second as f64 / 60.0, (*p99)?))).collect();
    let memory = vitals(|vitals| vitals.resident_kib as f64 / 1_024.0);
    let descriptors = vitals(|vitals| vitals.descriptors as f64);
    document(
        &format!("soak: {}", soaked.scenario),
        &html! {
            header { h1 { "Soak: " (soaked.scenario) } }
            pre { (summary) }
            div.charts {
                (figure("Resident memory", "MiB, over minutes", &[], &chart(soaked, memory)))
                (figure("Open descriptors", "over minutes", &[], &chart(soaked, descriptors)))
                (figure("Latency of what was served, p99", "ms, over minutes", &[], &chart(soaked, p99)))
            }
        },
    )
}

/// One line, with a mark where the warm-up ends.
fn chart(soaked: &Soaked, points: Vec<(f64, f64)>) -> Chart {
    let line = Line { colour: COLOURS[1], stroke: Stroke::Solid, points };
    let marks = vec![soaked.warm_from_s / 60.0];
    Chart { across: Axis::Linear, up: Axis::Linear, marks, lines: vec![line] }
}
