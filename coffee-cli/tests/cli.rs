//! The command itself: flags and variables, exit codes, what it prints and where, which files it leaves. Answers and bad
//! input are elsewhere.
#![allow(clippy::unwrap_used, reason = "test code, which fails by panicking")]

mod support;

use std::{fs, process::Stdio};

use support::{BOTH, Data, coffee, files, run, run_into, said};

/// Runs the command with these arguments and variables.
fn call(args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    said(coffee().args(args).envs(variables.iter().copied()).output().unwrap())
}

// Help and usage.

#[test]
fn help_has_an_example_each_and_all_flags() {
    let (code, help, _) = call(&["--help"], &[]);
    assert!(
        code == 0 && ["run", "generate", "completions", "Example"].iter().all(|word| help.contains(word)),
        "{help}"
    );
    for (command, flags) in [
        ("run", "out queries years from to min-amount top placement threads strict report quiet verbose"),
        ("generate", "months transactions users seed"),
        ("completions", "help"),
    ] {
        let (code, help, _) = call(&[command, "--help"], &[]);
        assert!(code == 0 && help.contains(&format!("Example:\n  coffee {command}")), "{help}");
        assert!(flags.split(' ').all(|flag| help.contains(&format!("--{flag}"))), "{help}");
    }
}

#[test]
fn the_version_is_said() {
    assert_eq!(call(&["--version"], &[]), (0, format!("coffee {}\n", env!("CARGO_PKG_VERSION")), String::new()));
}

#[test]
fn completions_are_there_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, _) = call(&["completions", shell], &[]);
        assert!(code == 0 && script.contains("min-amount"), "{shell}");
    }
}

#[test]
fn bad_usage_is_one_line_and_exit_code_2() {
    let data = Data::small();
    let path = data.path().to_str().unwrap();
    for (args, says) in [
        (&["run"][..], "<DATA>"),
        (&["brew"], "brew"),
        (&["run", path, "--from", "10:00:00", "--to", "09:59:59"], "10:00:00"),
        (&["run", path, "--from", "6"], "--from"),
        (&["run", path, "--to", "24:00:00"], "--to"),
        (&["run", path, "--top", "0"], "at least 1"),
        (&["run", path, "--top", "-1"], "-1"),
        (&["run", path, "--years", ""], "--years"),
        (&["run", path, "--years", "2024,soon"], "soon"),
        (&["run", path, "--queries", "q5"], "q5"),
        (&["run", path, "--queries", ""], "--queries"),
        (&["run", path, "--min-amount", "1.00001"], "--min-amount"),
        (&["run", path, "--threads", "0"], "--threads"),
        (&["run", path, "--threads", "100000"], "--threads"),
        (&["run", path, "--placement", "nowhere.toml"], "nowhere.toml"),
        (&["run", path, "--out", &format!("{path}/users/a.csv")], "--out"),
        (&["generate", path], "not empty"),
        (&["generate", "new", "--months", "2024-13"], "2024-13"),
        (&["generate", "new", "--months", "2024-01,2024-01"], "2024-01"),
        (&["generate", "new", "--transactions", "9999999999999"], "9999999999999"),
        (&["completions", "cmd"], "cmd"),
    ] {
        let (code, stdout, stderr) = said(coffee().args(args).current_dir(data.path()).output().unwrap());
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (2, "", 1), "{args:?}: {stderr}");
        assert!(stderr.starts_with("coffee: ") && stderr.contains(says), "{args:?}: {stderr}");
        assert_eq!(files_below(&data), 5, "{args:?}: nothing was made");
    }
}

fn files_below(data: &Data) -> usize {
    fs::read_dir(data.path()).unwrap().count()
}

#[test]
fn a_placement_file_that_does_not_fit_is_named() {
    let data = Data::small();
    let file = data.path().join("own.toml");
    let path = file.to_str().unwrap();
    for (text, says) in [
        ("[[stage]]\nname = \"a\"\noperators = 3\n", "line 3"),
        ("[[stage]]\nname = \"a\"\noperators = [\"q1\"]\nspeed = 9\n", "speed"),
        ("[[stage]]\nname = \"a\"\noperators = [\"brew\"]\n", "\"brew\""),
        ("[[stage]]\nname = \"a\"\noperators = [\"q1\"]\n", "is in no stage"),
        ("", "stage"),
        ("\u{0}\u{ff}", "line 1"),
    ] {
        fs::write(&file, text).unwrap();
        let run = run(data.path(), &["--placement", path]);
        let error = run.error(2);
        assert!(error.starts_with(path) && error.contains(says), "{error}");
    }
}

#[test]
fn verbose_adds_the_causes() {
    let data = Data::small();
    data.file("users", "b.csv.gz", "no gzip");
    assert_eq!(run(data.path(), &[]).error(2).matches("caused by").count(), 0);
    let verbose = run(data.path(), &["-v"]);
    assert!(verbose.code == 2 && verbose.stderr.contains("\n  caused by: "), "{}", verbose.stderr);
}

// Flags and variables.

#[test]
fn flags_are_variables_too_and_flags_win() {
    let data = Data::generated(1, 300, &["2024-01", "2025-01", "2026-01"]);
    let path = data.path().to_str().unwrap();
    let as_flags = run(
        data.path(),
        &["--queries=q1,q4", "--years=2025,2026", "--from=07:00:00", "--to=20:00:00", "--min-amount=60.5", "--top=2"],
    );
    let out = tempfile::tempdir().unwrap();
    let variables = [
        ("COFFEE_OUT", out.path().to_str().unwrap()),
        ("COFFEE_QUERIES", "q1,q4"),
        ("COFFEE_YEARS", "2025,2026"),
        ("COFFEE_FROM", "07:00:00"),
        ("COFFEE_TO", "20:00:00"),
        ("COFFEE_MIN_AMOUNT", "60.5"),
        ("COFFEE_TOP", "2"),
        ("COFFEE_PLACEMENT", "staged"),
        ("COFFEE_THREADS", "3"),
        ("COFFEE_QUIET", "1"),
    ];
    assert_eq!(call(&["run", path], &variables), (0, String::new(), String::new()));
    assert_eq!(files(out.path()), as_flags.done().files());
    assert_eq!(call(&["run", path, "--queries=q3"], &variables).0, 0);
    assert!(files(out.path()).keys().eq(["q3.csv"]));

    data.lines("stores", &["x,y"]);
    assert_eq!(call(&["run", path], &[variables[0], ("COFFEE_STRICT", "true")]).0, 1);
    assert_eq!(call(&["run", path], &[variables[0], ("COFFEE_STRICT", "false")]).0, 0);
    assert_eq!(call(&["run", path], &[("COFFEE_TOP", "none")]).0, 2);
}

#[test]
fn the_results_are_in_results_by_default() {
    let data = Data::small();
    let place = tempfile::tempdir().unwrap();
    said(coffee().arg("run").arg(data.path()).current_dir(place.path()).output().unwrap());
    assert_eq!(files(&place.path().join("results")).len(), 5);
}

#[test]
fn more_threads_are_more_replicas_of_a_stage_that_can_have_them() {
    let data = Data::generated(3, 500, &["2024-01"]);
    let runs = ["1", "2", "64"].map(|threads| run(data.path(), &["--placement=staged", "--threads", threads]).done());
    assert!(runs.iter().all(|run| run.files() == runs[0].files() && run.figures() == runs[0].figures()));
}

// What is printed.

#[test]
fn tables_go_to_stdout_and_the_summary_to_stderr() {
    let data = Data::generated(2, 3000, &["2024-01"]);
    for (placement, threads) in BOTH {
        let run = run(data.path(), &["--min-amount=0", "--placement", placement, "--threads", threads]).done();
        for name in ["q1", "q2_best_selling", "q2_most_profit", "q3", "q4"] {
            assert!(run.stdout.lines().any(|line| line == name), "{}", run.stdout);
        }
        let rows = run.file("q1.csv").lines().count() - 1;
        let thousands = format!("{},{:03}", (rows - 10) / 1000, (rows - 10) % 1000);
        assert!(run.stdout.contains(&format!("... and {thousands} more rows in ")), "{rows}: {}", run.stdout);
        assert!(run.stdout.lines().all(|line| line.trim_end() == line), "no blanks at line ends");
        assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "no codes but on a terminal");
        let [tables, operators] = run.figures();
        assert_eq!((tables.len(), operators.len() > 20), (5, true), "{}", run.stderr);
        assert!(run.stderr.contains(" rows/s, ") && run.stderr.contains("B in "), "{}", run.stderr);
    }
}

#[test]
fn quiet_prints_errors_alone() {
    let data = Data::small();
    data.lines("stores", &["x,y", "1,again"]);
    let quiet = run(data.path(), &["--quiet"]).done();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    assert_eq!(quiet.files(), run(data.path(), &[]).done().files());
    assert!(run(data.path(), &["--quiet", "--strict"]).error(1).contains("stores/b.csv, line 2"));
}

#[test]
fn names_with_control_codes_do_not_reach_the_terminal() {
    let data = Data::small();
    data.file("stores", "a.csv", "store_id,store_name\n1,\u{1b}[31mred\u{7}\n");
    let run = run(data.path(), &[]).done();
    assert!(run.stdout.contains("\\u{1b}[31mred\\u{7}") && !run.stdout.contains('\u{1b}'), "{}", run.stdout);
    assert!(run.file("q3.csv").contains("\u{1b}[31mred\u{7}"), "in the file all is as it was");
}

#[test]
fn closed_pipes_are_no_failure() {
    let data = Data::small();
    let out = tempfile::tempdir().unwrap();
    for args in
        [&["run", data.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()][..], &["completions", "zsh"]]
    {
        let mut child = coffee().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(said(child.wait_with_output().unwrap()).0, 0);
        let mut child = coffee().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(files(out.path()).len(), 5);
}

#[cfg(target_os = "linux")]
#[test]
fn stdout_that_takes_nothing_is_said() {
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (data, out) = (Data::small(), tempfile::tempdir().unwrap());
    let (code, _, stderr) =
        said(coffee().arg("run").arg(data.path()).arg("--out").arg(out.path()).stdout(full()).output().unwrap());
    assert!(code == 1 && stderr.lines().last().unwrap().starts_with("coffee: can't write to stdout"), "{stderr}");
    assert_eq!(files(out.path()).len(), 5, "the results are in place all the same");
    assert_eq!(said(coffee().args(["completions", "fish"]).stdout(full()).output().unwrap()).0, 1);
}

// Which files there are.

#[test]
fn our_own_files_of_queries_that_are_not_asked_for_are_removed_and_no_others() {
    let out = tempfile::tempdir().unwrap();
    let ours = ["q1.csv", "q2_best_selling.csv", "q2_most_profit.csv", "q3.csv", "q4.csv", "rejected.csv"];
    let others = ["notes.txt", "q5.csv", "q1.csv.bak", "Q1.csv"];
    for name in ours.into_iter().chain(others) {
        fs::write(out.path().join(name), "old").unwrap();
    }
    fs::create_dir(out.path().join("q2")).unwrap();
    let run = run_into(out, Data::small().path(), &["--queries=q3"]).done();
    assert_eq!(fs::read_dir(run.path("q2")).unwrap().count(), 0);
    fs::remove_dir(run.path("q2")).unwrap();
    let files = run.files();
    assert_eq!(files.len(), 1 + others.len(), "{:?}", files.keys());
    assert!(others.iter().all(|name| files[*name] == b"old") && files["q3.csv"].starts_with(b"year_half"));
}

#[test]
fn a_run_that_fails_changes_no_file() {
    let data = Data::generated(1, 20_000, &["2024-01"]);
    data.file("transactions", "zz.csv", "transaction_id,store_id,user_id,final_amount,created_at\nx,x,x,x,x\n");
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("q1.csv"), "old").unwrap();
    fs::write(out.path().join("rejected.csv"), "old").unwrap();
    let run = run_into(out, data.path(), &["--strict", "--queries=q1,q3"]);
    assert!(run.error(1).contains("transactions/zz.csv, line 2"));
    let files = run.files();
    assert!(
        files.keys().eq(["q1.csv", "rejected.csv"]) && files.values().all(|content| content == b"old"),
        "{files:?}"
    );
}

#[test]
fn a_folder_that_is_not_there_is_made() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("a/b");
    let (code, ..) = said(coffee().arg("run").arg(Data::small().path()).arg("--out").arg(&out).output().unwrap());
    assert_eq!((code, files(&out).len()), (0, 5));
}

#[cfg(unix)]
#[test]
fn results_have_the_permissions_that_the_umask_leaves() {
    use std::os::unix::fs::PermissionsExt;
    for (umask, mode) in [("022", 0o644), ("077", 0o600)] {
        let (data, out) = (Data::small(), tempfile::tempdir().unwrap());
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg(format!("umask {umask}; exec \"$0\" run \"$1\" --quiet --out \"$2\""));
        shell.arg(env!("CARGO_BIN_EXE_coffee")).arg(data.path()).arg(out.path());
        assert!(shell.status().unwrap().success());
        assert_eq!(fs::metadata(out.path().join("q1.csv")).unwrap().permissions().mode() & 0o777, mode);
    }
}

#[test]
fn results_are_not_put_where_the_data_is() {
    let data = Data::small();
    data.file("transactions", "q1.csv", support::HEADERS[0].1);
    let before = files(&data.path().join("transactions"));
    let out = data.path().join("stores/../transactions");
    let (code, _, stderr) = said(coffee().arg("run").arg(data.path()).arg("--out").arg(out).output().unwrap());
    assert_eq!((code, stderr.lines().count()), (2, 1), "{stderr}");
    assert!(stderr.contains("files of table transactions"), "{stderr}");
    assert_eq!(files(&data.path().join("transactions")), before);
}
