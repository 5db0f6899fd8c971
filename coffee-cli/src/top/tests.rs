//! The screens on terminals of many sizes, and what keys do.

use std::time::{Duration, Instant};

use coffee_core::frame::JobId;
use coffee_nodes::{
    job::{ErrorReport, JobState, JobSummary},
    orders::Order,
    statistics::{Identity, JobView, NodeKind, NodeView, Overview, QueueView, StageWork, Work},
};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    style::Color,
};

use super::{
    Chaos, View,
    draw::draw,
    view::{Command, Tab},
};

const JOB: JobId = JobId { cluster: 0xabc, number: 7 };

fn node(name: &str, kind: NodeKind, alive: bool) -> NodeView {
    NodeView {
        identity: Identity { name: name.to_owned(), kind, life: 42, pid: 4711, restarts: None },
        alive,
        doubled: false,
        leads: kind == NodeKind::Monitor,
        silent_ms: if alive { 300 } else { 4_000 },
        uptime_ms: 61_000,
        restarts: 1,
        rows: 1_234_567,
        bytes: 5 << 20,
        in_hand: 12,
        memory: 34 << 20,
        cpu: 870,
        commits: 9,
        committing: 30,
        dead_letters: 0,
        reconnects: 2,
        replayed: 3,
        redelivered: 4,
    }
}

fn overview() -> Overview {
    let summary = |number: u64, state: JobState| JobSummary {
        job: JobId { number, ..JOB },
        state,
        minted_ms: 1_000,
        ended_ms: None,
        bytes: 250 << 20,
        chunks: 100,
        uploaded: false,
        without: Vec::new(),
        owner: None,
    };
    let work = Work { batches: 100, rows: 2_000_000, parts: 300, passed: 4_000, ..Work::default() };
    let stages = vec![StageWork { stage: "gateway".into(), work }, StageWork { stage: "groups".into(), work }];
    let failed = JobState::Failed { reason: "a disk of no more use\u{1b}[31m".repeat(9) };
    Overview {
        at_ms: 45_296_000,
        gateway: "gateway-0".into(),
        nodes: vec![
            node("gateway-0", NodeKind::Gateway, true),
            node("groups.0", NodeKind::Shard, false),
            node("monitor-2", NodeKind::Monitor, true),
            node("tops.0", NodeKind::Shard, true),
        ],
        queues: vec![QueueView {
            name: "groups.0".into(),
            ready: 17,
            unacked: 5,
            consumers: 1,
            ..QueueView::default()
        }],
        jobs: vec![
            JobView { summary: summary(5, failed), stages: Vec::new() },
            JobView { summary: summary(7, JobState::Running), stages },
            JobView { summary: summary(8, JobState::Waiting { before: 3 }), stages: Vec::new() },
        ],
        errors: vec![ErrorReport { at_ms: 0, node: "groups.0".into(), job: Some(JOB), text: "no room ".repeat(40) }],
        stale: None,
        left_out: 0,
    }
}

fn view() -> View {
    let mut view = View::new(Chaos::new(Duration::from_secs(5), 1));
    view.hear(Ok(overview()));
    view
}

fn screen(view: &View, width: u16, height: u16, colour: bool) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, view, colour)).unwrap();
    terminal
}

fn text(view: &View, width: u16, height: u16) -> String {
    screen(view, width, height, false).backend().to_string()
}

fn press(view: &mut View, keys: &str) -> Option<Command> {
    let key = |letter| KeyEvent::new(KeyCode::Char(letter), KeyModifiers::NONE);
    keys.chars().filter_map(|letter| view.key(key(letter))).last()
}

#[test]
fn every_screen_has_its_words_on_a_small_terminal() {
    let mut view = view();
    for (keys, words) in [
        ("1", ["12:34:56", "nodes 3/4", "DEAD 4s", "1.2M", "x kill"]),
        ("2", ["groups.0", "17", "UNACKED", "READY", "Queues"]),
        ("3", ["waiting", "uploading", "0000000000000abc-7", "BEFORE IT", "x cancel"]),
        ("4", ["00:00:00", "groups.0", "no room no room", "WHAT", "Errors"]),
        ("?", ["kill the node", "chaos", "another row", "leave", "close this"]),
    ] {
        press(&mut view, keys);
        let text = text(&view, 60, 16);
        assert!(words.iter().all(|word| text.contains(word)), "{keys}: {text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    press(&mut view, "?3j");
    let text = text(&view, 60, 16);
    assert!(text.contains("STAGE") && text.contains("2.0M"), "the stages of the selected job: {text}");
}

#[test]
fn no_size_is_too_small_and_no_view_too_empty() {
    let (mut view, empty) = (view(), View::default());
    for keys in ["1", "2", "3j", "4", "?"] {
        press(&mut view, keys);
        for width in (1..=40).chain([60, 80, 200]) {
            for height in (1..=20).chain([50]) {
                screen(&view, width, height, true);
                screen(&empty, width, height, true);
            }
        }
    }
}

#[test]
fn colours_are_only_there_where_they_may_be() {
    let coloured = |colour| {
        let terminal = screen(&view(), 80, 20, colour);
        terminal.backend().buffer().content().iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(coloured(true) && !coloured(false));
}

#[test]
fn an_order_needs_a_yes_and_names_the_life_that_was_seen() {
    let mut view = view();
    for (key, order) in [('x', Order::Kill), ('s', Order::Stop), ('u', Order::Cut), ('r', Order::Restart)] {
        assert_eq!(press(&mut view, &format!("{key}n")), None);
        assert_eq!(press(&mut view, &format!("{key}q")), None, "a question is no time to leave");
        let given = press(&mut view, &format!("{key}y"));
        assert_eq!(given, Some(Command::Order { node: "gateway-0".into(), life: 42, order }));
    }
    assert_eq!(press(&mut view, "jxy"), None);
    assert_eq!(press(&mut view, "jx"), None);
    assert_eq!(view.notice.as_deref(), Some("monitor-2 is a monitor: it takes no orders"));
    assert_eq!(press(&mut view, "3xy"), Some(Command::Cancel(JobId { number: 8, ..JOB })), "the newest is the first");
    assert_eq!(press(&mut view, "Gxy"), None, "it has ended");
    assert_eq!(press(&mut view, "q"), Some(Command::Leave));
}

#[test]
fn a_lost_gateway_is_shown_until_it_is_back() {
    let mut view = view();
    view.hear(Err("gateway 127.0.0.1:9000: refused".into()));
    let shown = text(&view, 100, 16);
    assert!(shown.contains("refused") && shown.contains("groups.0"), "{shown}");
    view.hear(Ok(Overview { stale: Some("the query node can't be reached".into()), ..overview() }));
    let shown = text(&view, 100, 16);
    assert!(!shown.contains("refused") && shown.contains("the query node can't"), "{shown}");
}

#[test]
fn rows_stay_selected_within_what_there_is() {
    let mut view = view();
    press(&mut view, "jjjjjjjj");
    assert_eq!(view.node().unwrap().name(), "tops.0");
    assert!(text(&view, 60, 6).contains("tops.0"), "it is always to be seen");
    view.hear(Ok(Overview { nodes: overview().nodes[..1].to_vec(), ..overview() }));
    assert_eq!(view.node().unwrap().name(), "gateway-0");
    for tab in [Tab::Queues, Tab::Jobs, Tab::Errors, Tab::Nodes] {
        view.key(KeyCode::Tab.into());
        assert_eq!(view.tab, tab);
    }
}

#[test]
fn the_row_that_keys_act_on_is_to_be_seen_on_any_screen() {
    let mut view = view();
    for (keys, chosen) in [("1j", "groups.0"), ("1G", "tops.0"), ("3G", "0000000000000abc-5"), ("4", "no room")] {
        press(&mut view, keys);
        for height in 1..=10 {
            let text = text(&view, 60, height);
            assert!(text.contains(chosen), "{keys} in {height} lines: {text}");
        }
    }
    press(&mut view, "1x");
    for height in 1..=10 {
        let text = text(&view, 60, height);
        assert!(text.contains("y: yes"), "{text}");
        assert!(height == 1 || text.contains("tops.0"), "{text}");
    }
}

#[test]
fn a_long_error_is_shown_whole_and_by_letters_that_are_seen() {
    let mut view = view();
    let text_of = |end: &str| format!("{}{end}", "no room ".repeat(90));
    let mut other = overview();
    other.errors[0].text = text_of("\u{202e}THE END");
    other.jobs[0].summary.state = JobState::Failed { reason: text_of("IT IS OVER") };
    view.hear(Ok(other));
    press(&mut view, "4");
    let shown = text(&view, 80, 16);
    assert!(shown.contains("THE END") && shown.contains("u{202e}") && !shown.contains('\u{202e}'), "{shown}");
    assert!(text(&view, 80, 10).contains('~'), "it goes on");
    press(&mut view, "3G");
    assert!(text(&view, 80, 16).contains("IT IS OVER"));
}

#[test]
fn what_is_not_as_it_should_be_is_said() {
    let mut view = view();
    let mut other = overview();
    (other.nodes[0].doubled, other.left_out) = (true, 17);
    other.nodes[0].identity.name = "gateway\u{202e}-0".into();
    view.hear(Ok(other.clone()));
    let shown = text(&view, 120, 16);
    assert!(
        ["TWO of it", "two processes have this name", "17 more"].iter().all(|word| shown.contains(word)),
        "{shown}"
    );
    press(&mut view, "x");
    assert!(!text(&view, 120, 16).contains('\u{202e}'));
    let plain = super::text(&other);
    assert!(plain.contains("17 more") && !plain.contains('\u{202e}'), "{plain}");
}

#[test]
fn chaos_kills_what_lives_and_takes_orders_by_its_seed() {
    let (begin, every) = (Instant::now(), Duration::from_secs(5));
    let struck = |seed| {
        let mut view = view();
        view.chaos = Chaos::new(every, seed);
        assert_eq!(view.tick(begin), None);
        assert_eq!(press(&mut view, "cy"), None);
        assert!(view.chaos.is_on() && text(&view, 120, 16).contains("CHAOS 0"));
        let later = |turn| Instant::now() + every * turn;
        let struck: Vec<Option<Command>> = (1..9).map(|turn| view.tick(later(turn))).collect();
        view.hear(Err("away".into()));
        assert_eq!(view.tick(later(20)), None, "who is there is not known");
        press(&mut view, "c");
        assert!(!view.chaos.is_on());
        struck
    };
    assert_eq!(struck(1), struck(1));
    let names: Vec<String> = (1..6).flat_map(struck).flatten().map(|command| format!("{command:?}")).collect();
    assert_eq!(names.len(), 40);
    assert!(names.iter().all(|name| name.contains("Kill") && (name.contains("gateway-0") || name.contains("tops.0"))));
}
