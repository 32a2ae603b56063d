//! What it costs to decide about one request, part by part and in all: `cargo bench -p plimsoll-bench`.
//!
//! The parts are those a request meets on its way: hygiene, path and routes, model,
//! controller; `decision` is all of them in a row, as the proxy takes them. A
//! benchmark with a target has it in its name.
//!
//! It measures no sockets and no Pingora: that is `plimsoll-bench overhead`.

mod sample;
mod hygiene;
mod classify;
mod routes;
mod controller;
mod gate;
mod decision;

use criterion::Criterion;

/// The program's own, or a part that allocates would be measured on another one than it runs on.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    hygiene::measure(&mut criterion);
    classify::measure(&mut criterion);
    routes::measure(&mut criterion);
    controller::measure(&mut criterion);
    gate::measure(&mut criterion);
    decision::measure(&mut criterion);
    criterion.final_summary();
}
