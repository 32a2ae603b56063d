//! The controller before shops of unknown size.
mod shop;
use shop::{MIX, Phase, RUSH, Service, Shop, Tally};

fn phase(seconds: f64, load: f64) -> Phase {
    Phase { seconds, load, mix: MIX, service_s: 0.04 }
}
fn pct(v: &mut Vec<f64>, p: f64) -> f64 {
    if v.is_empty() {
        return 0.0;
    }
    v.sort_by(f64::total_cmp);
    v[((v.len() - 1) as f64 * p) as usize]
}
fn show(name: &str, mut t: Tally) {
    let g: Vec<String> = (0..5).map(|c| format!("{:5.1}", t.good_ratio(c) * 100.0)).collect();
    println!(
        "{name:28} good {} refused {:6} settled {:4} late-ref {:5} p99ref {:6.1} useful {:5.1}% limit {} p50 co {:.0} br {:.0}",
        g.join(" "),
        t.refused_all(),
        t.refused_settled,
        t.refused_late,
        pct(&mut t.waits_ms, 0.99),
        t.useful * 100.0,
        t.limit,
        pct(&mut t.latencies_ms[0], 0.5),
        pct(&mut t.latencies_ms[2], 0.5)
    );
}
#[test]
fn explore() {
    for service in [Service::Uniform, Service::Exponential] {
        for workers in [4, 16, 64] {
            let mut shop = Shop::new(workers, 1);
            shop.service = service;
            let plan = [0.8, 2.0, 0.8, 5.0, 0.8, 10.0, 0.8].map(|l| phase(12.0, l));
            for (i, t) in shop.run(&plan).into_iter().enumerate() {
                show(&format!("{workers} x{}", [0.8, 2.0, 0.8, 5.0, 0.8, 10.0, 0.8][i]), t);
            }
            let mut shop = Shop::new(workers, 2);
            shop.service = service;
            let plan = [(5.0, 0.04), (0.8, 0.04), (5.0, 0.08), (5.0, 0.04)].map(|(l, s)| Phase {
                seconds: 12.0,
                load: l * s / 0.04,
                mix: MIX,
                service_s: s,
            });
            for (i, t) in shop.run(&plan).into_iter().enumerate() {
                show(&format!("{workers} cold/slow {i}"), t);
            }
            let mut shop = Shop::new(workers, 2);
            shop.service = service;
            let plan = [0.8, 5.0].map(|l| Phase { seconds: 12.0, load: l, mix: RUSH, service_s: 0.04 });
            for (i, t) in shop.run(&plan).into_iter().enumerate() {
                show(&format!("{workers} rush {i}"), t);
            }
        }
    }
}
