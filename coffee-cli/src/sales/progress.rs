//! The progress bar: on stderr, and only if that is a terminal.

use std::{
    io::{self, IsTerminal},
    thread::{self, JoinHandle},
    time::Duration,
};

use coffee_nodes::{Stop, sales::Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the bar is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// Bytes on disk, as what is read of a compressed file can't be foreseen.
const LAYOUT: &str = "{bar:32} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";

/// A bar that a thread draws until this is dropped, which wipes it off and joins the thread.
pub struct ProgressDisplay {
    done: Stop,
    thread: Option<JoinHandle<()>>,
}

impl ProgressDisplay {
    /// Shows `progress`; `None` where it can't be shown, which is no reason to fail.
    pub fn start(progress: &Progress) -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let style = ProgressStyle::with_template(LAYOUT).ok()?;
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style);
        let (progress, done) = (progress.clone(), Stop::new());
        let watched = done.clone();
        let draw = move || draw(&bar, &progress, &watched);
        let thread = thread::Builder::new().name("progress".to_owned()).spawn(draw).ok()?;
        Some(ProgressDisplay { done, thread: Some(thread) })
    }
}

fn draw(bar: &ProgressBar, progress: &Progress, done: &Stop) {
    while !done.is_triggered() {
        if progress.total() > 0 {
            bar.set_length(progress.total());
            bar.set_position(progress.read());
        }
        let _ = done.receiver().recv_timeout(REDRAW); // either way: looks again
    }
    bar.finish_and_clear();
}

impl Drop for ProgressDisplay {
    fn drop(&mut self) {
        self.done.trigger();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a bar that failed is no loss
        }
    }
}
