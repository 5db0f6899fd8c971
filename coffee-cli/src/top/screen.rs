//! The terminal: keys come in, the view is drawn, and what it asks for is done by a thread that talks to the cluster.

use std::{
    io, mem, thread,
    time::{Duration, Instant},
};

use coffee_nodes::{
    Stop,
    client::{Client, ClientError},
    statistics::Overview,
};
use crossbeam_channel::{Receiver, Sender, bounded, select};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    draw::draw,
    view::{Command, View},
};
use crate::failure::Failure;

/// How often the cluster is asked how it is.
const EVERY: Duration = Duration::from_secs(1);

/// How long a key is waited for, before it is looked what else there is.
const LOOK_AROUND: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Commands that wait to be done.
const WAITING: usize = 16;

/// What was heard of the cluster.
enum Heard {
    Overview(Result<Overview, ClientError>),
    /// What has become of a command, in words.
    Done(String),
}

/// Shows the view until it is left, or `stop`. The terminal is as it was afterwards, whatever happens.
///
/// # Errors
/// Where the terminal can't be used, or no thread started.
pub fn show(client: &Client, mut view: View, colour: bool, stop: &Stop) -> Result<(), Failure> {
    // Its lines would be written over the screen; what matters is shown there.
    let level = log::max_level();
    log::set_max_level(log::LevelFilter::Off);
    let shown = thread::scope(|scope| {
        let ((commands, asked), (tell, heard)) = (bounded(WAITING), bounded(WAITING));
        let leave = stop.part();
        // Ends the thread in any case.
        let leaving = Leaving(leave.clone());
        thread::Builder::new().name("top".into()).spawn_scoped(scope, move || talk(client, &asked, &tell, &leave))?;
        let mut terminal = ratatui::try_init()?;
        let shown = run(&mut terminal, &mut view, colour, (&commands, &heard), stop);
        ratatui::restore();
        drop(leaving);
        shown
    });
    log::set_max_level(level);
    shown.map_err(|error: io::Error| Failure::work("the terminal", error).advise("--once prints plain text"))
}

/// Triggers its stop when it is dropped.
struct Leaving(Stop);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.trigger();
    }
}

fn run(
    terminal: &mut DefaultTerminal,
    view: &mut View,
    colour: bool,
    (commands, heard): (&Sender<Command>, &Receiver<Heard>),
    stop: &Stop,
) -> io::Result<()> {
    let mut changed = true;
    while !stop.is_triggered() {
        if mem::take(&mut changed) {
            terminal.draw(|frame| draw(frame, view, colour))?;
        }
        let mut asked = Vec::new();
        if !wait_for_input()? {
            return Ok(());
        }
        let questioned = view.question.is_some();
        while event::poll(Duration::ZERO)? {
            changed = true; // also where the terminal has another size
            match event::read()? {
                // What was typed before a question was seen is no answer to it.
                Event::Key(_) if !questioned && view.question.is_some() => {}
                Event::Key(key) => asked.extend(view.key(key)),
                _ => {}
            }
        }
        for heard in heard.try_iter() {
            changed = true;
            match heard {
                Heard::Overview(overview) => view.hear(overview.map_err(|error| error.to_string())),
                Heard::Done(what) => view.notice = Some(what),
            }
        }
        asked.extend(view.tick(Instant::now()));
        for command in asked {
            changed = true;
            if command == Command::Leave {
                return Ok(());
            }
            if commands.try_send(command).is_err() {
                view.notice = Some("the cluster does not answer: that was not asked for".to_owned());
            }
        }
    }
    Ok(())
}

/// Waits a moment for a key; false where the terminal is gone, whose end crossterm would read for ever.
fn wait_for_input() -> io::Result<bool> {
    let stdin = io::stdin();
    let mut terminal = [PollFd::new(&stdin, PollFlags::IN)];
    match poll(&mut terminal, Some(&LOOK_AROUND)) {
        // A signal: perhaps the terminal has another size.
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    Ok(!terminal.iter().any(|terminal| terminal.revents().intersects(gone)))
}

/// Asks the cluster how it is, and for what is wanted.
fn talk(client: &Client, asked: &Receiver<Command>, tell: &Sender<Heard>, stop: &Stop) {
    let mut due = Instant::now();
    while !stop.is_triggered() {
        let heard = select! {
            recv(asked) -> command => match command {
                Ok(command) => Heard::Done(obey(client, command, stop)),
                Err(_) => return,
            },
            recv(stop.receiver()) -> _ => return,
            default(due.saturating_duration_since(Instant::now())) => {
                due = Instant::now() + EVERY;
                Heard::Overview(client.overview(stop))
            }
        };
        select! {
            send(tell, heard) -> sent => if sent.is_err() { return },
            recv(stop.receiver()) -> _ => return,
        }
    }
}

fn obey(client: &Client, command: Command, stop: &Stop) -> String {
    let done = match command {
        Command::Leave | Command::Chaos => return String::new(),
        Command::Order { node, life, order } => {
            client.order(&node, life, order, stop).map(|()| format!("{node}: {order} is ordered"))
        }
        Command::Cancel(job) => client.cancel(job, stop).map(|_| format!("job {job} is cancelled")),
    };
    done.unwrap_or_else(|error| error.to_string())
}
