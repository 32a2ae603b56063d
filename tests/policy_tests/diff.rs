//! What `plimsoll policy diff` tells of a log: who changes class, who is served, and at which hour.

use std::fs;

use super::{POLICY, plimsoll, text};

#[test]
fn a_diff_tells_which_requests_of_a_log_change_class_and_fate() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    let line = |second: usize, path: &str| {
        format!(
            "c{second} - - [30/Apr/2017:04:{:02}:{:02} +0000] \"GET {path} HTTP/1.1\" 200 1",
            second / 60,
            second % 60
        )
    };
    let log: Vec<String> = (0..600)
        .map(|at| line(at, ["/", "/collect", "/blog/x"][at % 3]))
        .chain(["junk".to_owned()])
        .collect();
    write("access.log", &log.join("\n"));
    write("old.yaml", POLICY);
    write("new.yaml", &POLICY.replace("path: /never", "path: /blog/**"));
    let diff = |new: &str| {
        let output =
            plimsoll(directory.path(), &["policy", "diff", "old.yaml", new, "--replay", "access.log"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let told = diff("new.yaml");
    for part in [
        "600 requests of access.log (1 more lines are no requests)",
        "200 change their class (33.3%)",
        "      200  browse -> beacon\n             GET /blog/x   fallback -> new.yaml:11\n",
        "at 2x of what the shop can carry",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    // At twice its capacity beacons give way to pages.
    assert!(told.contains("GET /blog/x   browse served -> beacon "), "{told}");
    let arguments = ["policy", "diff", "old.yaml", "new.yaml", "--replay", "access.log", "--json"];
    let json: serde_json::Value =
        serde_json::from_slice(&plimsoll(directory.path(), &arguments).stdout).unwrap();
    let change = &json["class_changes"][0];
    assert_eq!(
        (&json["requests"], &json["bad_lines"], &change["count"]),
        (&600.into(), &1.into(), &200.into())
    );
    assert_eq!(change["examples"][0]["is"]["by"], "new.yaml:11", "{json}");
    let lost = &json["served_no_more"];
    assert!(lost["count"].as_u64().unwrap() > 0 && lost["examples"][0]["is"]["fate"] != "served", "{json}");
    let same = diff("old.yaml");
    assert!(same.contains("0 change their class"), "{same}");
    assert!(same.contains("0 that were served would not be, 0 that were not would be"), "{same}");
}

#[test]
fn a_diff_decides_each_request_under_the_schedule_of_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    // From 09:40 to 10:20 in UTC, a request a second.
    let line = |second: usize| {
        let (hour, minute) = (9 + (40 + second / 60) / 60, (40 + second / 60) % 60);
        let path = ["/", "/collect"][second % 2];
        let time = format!("{hour:02}:{minute:02}:{:02}", second % 60);
        format!("c{second} - - [27/Nov/2026:{time} +0000] \"GET {path} HTTP/1.1\" 200 1")
    };
    write("access.log", &(0..2_400).map(line).collect::<Vec<_>>().join("\n"));
    write("old.yaml", POLICY);
    let diff = |from: &str, more: &[&str]| {
        let hours = format!("zone: Europe/Berlin, from: {from}, to: 12:00");
        let sale = format!("schedules:\n  sale: {{ {hours}, classes: {{ beacon: {{ floor: 80% }} }} }}\n");
        write("new.yaml", &format!("{POLICY}{sale}"));
        let arguments = ["policy", "diff", "old.yaml", "new.yaml", "--replay", "access.log", "--json"];
        let output = plimsoll(directory.path(), &[&arguments[..], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let sale = diff("11:00", &[]);
    let of_sale = |is: usize| serde_json::json!([{ "schedule": "sale", "was": null, "is": is }]);
    assert_eq!(sale["schedules"], of_sale(1_200), "{sale}");
    assert_eq!(sale["class_changes"].as_array().map(Vec::len), Some(0), "{sale}");
    let won = &sale["served_now"];
    let examples = won["examples"].as_array().unwrap();
    assert!(examples.iter().any(|one| one["target"] == "/collect"), "{sale}");
    assert!(sale["served_no_more"]["count"].as_u64().unwrap() > 0, "{sale}");
    // A sale after the log changes nothing, and says why.
    let later = diff("11:30", &[]);
    assert_eq!(later["schedules"], of_sale(0), "{later}");
    assert_eq!((&later["served_now"]["count"], &later["served_no_more"]["count"]), (&0.into(), &0.into()));
    // A sale of one day is not that of the log, unless the log is taken for one of that day.
    let of_one_day = "11:00, dates: [2027-11-26]";
    assert_eq!(diff(of_one_day, &[])["schedules"], of_sale(0));
    let moved = diff(of_one_day, &["--day", "2027-11-26"]);
    assert_eq!(moved["schedules"], of_sale(1_200), "{moved}");
    assert_eq!(diff(of_one_day, &["--day", "2027-11-27"])["schedules"], of_sale(0));
    let arguments = ["policy", "diff", "old.yaml", "new.yaml", "--replay", "access.log"];
    let told = text(&plimsoll(directory.path(), &arguments).stdout);
    assert!(told.contains("schedule sale: - -> 0 of the requests came while it held\n"), "{told}");
}
