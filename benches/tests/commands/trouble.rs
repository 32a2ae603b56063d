//! Targets that are in trouble, and machines that are: counted, named, and never quietly wrong.

use super::{Origin, SCENARIO, bench, file, free_address, stderr, stdout};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// A server on a port of its own that treats its connections, counted from zero, as it likes.
fn server(mut treat: impl FnMut(usize, TcpStream) -> bool + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            if !treat(number, stream.unwrap()) {
                return;
            }
        }
    });
    url
}

fn answer(mut stream: TcpStream) {
    // The request fits into one packet; what the client does with the answer is its own affair.
    if stream.read(&mut [0; 4_096]).is_ok_and(|length| length > 0) {
        let _ = stream.write_all(ANSWER);
    }
}

/// The results and the text of loading `target`.
fn load(scenario: &str, target: &str) -> (serde_json::Value, String) {
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", scenario);
    let json = directory.path().join("r.json").to_string_lossy().into_owned();
    let output = bench(&["load", &scenario, "--target", target, "--json", &json]);
    let results = std::fs::read(&json).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (serde_json::from_slice(&results).unwrap(), stdout(&output))
}

#[test]
fn target_that_closes_half_of_its_connections_has_them_counted_by_kind() {
    let target = server(|number, stream| {
        if number % 2 == 0 {
            answer(stream);
        }
        true
    });
    let (results, text) = load(SCENARIO, &target);
    let broken =
        ["closed", "reset"].iter().filter_map(|kind| results["failures"][kind].as_u64()).sum::<u64>();
    assert!(broken > 5, "{results}");
    assert!(text.contains("failed requests") && text.contains("connection"), "{text}");
}

#[test]
fn target_that_stops_in_the_middle_of_a_run_is_named_as_stopped() {
    let target = server(|number, stream| {
        answer(stream);
        number < 10
    });
    let scenario = SCENARIO.replace("duration: 1s", "duration: 7s").replace("50/s", "20/s");
    let (results, text) = load(&scenario, &target);
    assert!(results["failures"]["refused"].as_u64().is_some_and(|refused| refused > 50), "{results}");
    assert!(text.contains("the target stopped: nothing was answered after"), "{text}");
    assert!(text.contains("connection refused"), "{text}");
}

#[test]
fn target_that_takes_connections_and_answers_nothing_is_given_up_early_and_the_run_has_failed() {
    // The system takes connections for it, up to a number; nobody ever accepts one.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    let scenario = SCENARIO.replace("duration: 1s", "duration: 10m").replace("patience: 2s", "patience: 1s");
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", scenario.replace("50/s", "20/s"));
    let [json, page] =
        ["r.json", "r.html"].map(|name| directory.path().join(name).to_string_lossy().into_owned());
    let output = bench(&["load", &scenario, "--target", &target, "--json", &json, "--html", &page]);
    // 2 says that this machine was too busy to send on time.
    assert!(matches!(output.status.code(), Some(1 | 2)), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("PARTIAL: ended after") && text.contains("for nothing was answered"), "{text}");
    let results: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let connections = results["connections"].as_u64().unwrap();
    let told = format!("the target accepted {connections} connections and answered none of ");
    assert!(connections > 1 && text.contains(&told), "{text}");
    assert!(std::fs::read_to_string(&page).unwrap().contains(&told), "the page says so, too");
    assert_eq!((results["partial"].as_bool(), results["answered_last_s"].as_f64()), (Some(true), Some(0.0)));
}

#[test]
fn target_that_hangs_in_the_middle_of_a_run_is_named_as_stopped() {
    let mut held = Vec::new();
    let target = server(move |number, stream| {
        match number {
            ..10 => answer(stream),
            _ => held.push(stream),
        }
        true
    });
    let scenario = SCENARIO.replace("duration: 1s", "duration: 7s").replace("50/s", "20/s");
    let (results, text) = load(&scenario, &target);
    assert_eq!(results["failures"], serde_json::json!({}), "nothing breaks, and everybody leaves");
    assert!(text.contains("the target stopped: nothing was answered after"), "{text}");
}

#[test]
fn control_port_that_hangs_ends_the_command_and_is_named() {
    let origin = Origin::start(&["--service-ms=1"]);
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", SCENARIO);
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let control = hung.local_addr().unwrap().to_string();
    let output = bench(&["load", &scenario, "--target", &origin.url(), "--origin-control", &control]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    let told = format!("the origin's control port at {control} says nothing for 5s: it hangs");
    assert!(stderr(&output).contains(&told), "{}", stderr(&output));
}

#[test]
fn run_without_enough_open_files_is_invalid_and_says_how_to_get_more() {
    let origin = Origin::start(&["--service-ms=2000", "--workers=1000"]);
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", SCENARIO);
    let program = env!("CARGO_BIN_EXE_plimsoll-bench");
    let command = format!("ulimit -n 30; exec {program} load {scenario} --target {}", origin.url());
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("may open 30 files") && text.contains("ulimit"), "{text}");
}

#[test]
fn origin_without_enough_open_files_says_so_and_how_to_get_more() {
    let address = free_address();
    let program = env!("CARGO_BIN_EXE_plimsoll-bench");
    let mut process = Command::new("sh")
        .args(["-c", &format!("ulimit -n 30; exec {program} origin --listen {address}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (stdout, stderr) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
    // It ends with the test.
    let origin = Origin { process, address };
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert!(line.starts_with("origin on"), "{line}");
    // The system takes those that it cannot accept.
    let held: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(origin.address).unwrap()).collect();
    let mut told = String::new();
    BufReader::new(stderr).read_line(&mut told).unwrap();
    assert!(told.contains("may open 30 files") && told.contains("ulimit"), "{told}");
    drop(held);
}

#[test]
fn every_mistake_of_a_scenario_is_told_with_its_place_and_what_to_write() {
    let directory = TempDir::new().unwrap();
    let scenario = SCENARIO.replace("patience", "patiense").replace("50/s", "50");
    let scenario = file(&directory, "s.yaml", scenario);
    let output = bench(&["load", &scenario, "--target", "http://127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    for told in [
        "s.yaml:5:1: patiense: unknown key `patiense` (did you mean `patience`?)",
        "s.yaml:10:39: phases[0].load: `50` is not a load (write it like 4x",
        "s.yaml:1:1: `patience` is missing (for example `patience: 2s`)",
    ] {
        assert!(message.contains(told), "{told} is not in\n{message}");
    }
}

#[test]
fn what_is_no_scenario_is_named_for_what_it_is() {
    let directory = TempDir::new().unwrap();
    let prose = file(&directory, "prose.yaml", "once: upon: a time\n");
    let binary = file(&directory, "binary.yaml", [0xff, 0xfe, 0x00]);
    for (path, told) in [
        (directory.path().to_str().unwrap(), "is a directory: name one of the scenarios in it"),
        ("no-such.yaml", "no-such.yaml: cannot be read"),
        (&prose, "prose.yaml:1:11: not YAML"),
        (&binary, "binary.yaml:1:1: not UTF-8"),
    ] {
        let output = bench(&["load", path, "--target", "http://127.0.0.1:9"]);
        assert_eq!(output.status.code(), Some(1), "{path}");
        assert!(stderr(&output).contains(told), "{path}: {}", stderr(&output));
    }
}

#[test]
fn results_that_cannot_be_written_are_missed_before_the_run_and_not_after_it() {
    let origin = Origin::start(&["--service-ms=1"]);
    let directory = TempDir::new().unwrap();
    let scenario = file(&directory, "s.yaml", SCENARIO);
    for option in ["--json", "--html"] {
        let output = bench(&["load", &scenario, "--target", &origin.url(), option, "/no/such/place"]);
        assert_eq!(output.status.code(), Some(1), "{option}");
        assert!(stderr(&output).contains("cannot write /no/such/place"), "{}", stderr(&output));
    }
    assert_eq!(origin.stats()["served"], serde_json::json!({}));
}
