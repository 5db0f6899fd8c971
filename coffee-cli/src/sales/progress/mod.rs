//! How far a run or a submission is: on stderr, and only if that is a terminal that can draw over what it has drawn.

mod left;
mod lines;

use std::{
    env,
    io::{self, IsTerminal},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use coffee_nodes::{Stop, sales::Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::termios::tcgetwinsize;

use self::{
    left::TimeLeft,
    lines::{Room, Upload, lines},
};
use crate::output::print_error;

/// How often it is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// While nothing is known of stages. Bytes on disk, as what is read of a compressed file can't be foreseen.
const LAYOUT: &str = "{bar:32} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";

/// Once there are stages: all lines.
const STAGES: &str = "{msg}";

/// Bars that a thread draws until this is dropped, which wipes them off and joins the thread.
pub struct ProgressDisplay {
    bar: ProgressBar,
    done: Stop,
    thread: Option<JoinHandle<()>>,
}

impl ProgressDisplay {
    /// Shows `progress`; `None` where it can't be shown, which is no reason to fail.
    pub fn start(progress: &Progress) -> Option<Self> {
        let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        if !io::stderr().is_terminal() || is_dumb {
            return None;
        }
        let (bytes, stages) = (ProgressStyle::with_template(LAYOUT).ok()?, ProgressStyle::with_template(STAGES).ok()?);
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(bytes);
        let (progress, done) = (progress.clone(), Stop::new());
        let (drawn, watched) = (bar.clone(), done.clone());
        let draw = move || draw(&drawn, stages, &progress, &watched);
        let thread = thread::Builder::new().name("progress".to_owned()).spawn(draw).ok()?;
        Some(ProgressDisplay { bar, done, thread: Some(thread) })
    }

    /// Says something above it.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| print_error(text));
    }
}

fn draw(bar: &ProgressBar, stages: ProgressStyle, progress: &Progress, done: &Stop) {
    let (mut style, mut left) = (Some(stages), TimeLeft::default());
    while !done.is_triggered() {
        if progress.total() > 0 {
            bar.set_length(progress.total());
            bar.set_position(progress.read());
        }
        let stages = progress.stages();
        if !stages.is_empty() {
            let upload = Upload { sent: progress.read(), total: progress.total(), rate: bar.per_sec() as u64 };
            let left = left.after(Instant::now(), &upload, &stages);
            bar.set_message(lines(&upload, &stages, left, room()).join("\n"));
            style.take().into_iter().for_each(|style| bar.set_style(style));
        }
        let _ = done.receiver().recv_timeout(REDRAW); // either way: looks again
    }
    bar.finish_and_clear();
}

/// What the terminal has; where it does not tell, what terminals have at least.
fn room() -> Room {
    let size = tcgetwinsize(io::stderr()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or(Room { width: 80, height: 24 }, |size| Room { width: size.ws_col.into(), height: size.ws_row.into() })
}

impl Drop for ProgressDisplay {
    fn drop(&mut self) {
        self.done.trigger();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a bar that failed is no loss
        }
    }
}
