//! What the screen shows, and what keys do to it: without a terminal, so that it is tested without one.

use std::time::Instant;

use coffee_core::frame::JobId;
use coffee_nodes::{
    orders::Order,
    statistics::{NodeView, Overview},
};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    chaos::Chaos,
    table::Table,
    tables::{errors, jobs, nodes, queues},
};

/// One of the screens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    /// The nodes.
    #[default]
    Nodes,
    /// The queues between them.
    Queues,
    /// The jobs.
    Jobs,
    /// The last errors.
    Errors,
}

impl Tab {
    /// From left to right.
    pub const ALL: [(Tab, &'static str); 4] =
        [(Tab::Nodes, "Nodes"), (Tab::Queues, "Queues"), (Tab::Jobs, "Jobs"), (Tab::Errors, "Errors")];
}

/// What a key asks for beside another look of the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The screen closes.
    Leave,
    /// A job is to be cancelled.
    Cancel(JobId),
    /// A life of a node is to do something.
    Order {
        /// The node.
        node: String,
        /// Which life.
        life: u64,
        /// What.
        order: Order,
    },
    /// Chaos is to begin.
    Chaos,
}

/// A command that waits for a yes, and what it is in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What will be done.
    pub words: String,
    command: Command,
}

/// All that the screen shows.
#[derive(Debug, Default)]
pub struct View {
    /// How the cluster was when it was heard of last.
    pub overview: Option<Overview>,
    /// Why nothing is heard of it.
    pub trouble: Option<String>,
    /// Which screen.
    pub tab: Tab,
    /// The selected row of each.
    selected: [usize; 4],
    /// Whether the keys are explained.
    pub help: bool,
    /// What is asked.
    pub question: Option<Question>,
    /// What has become of the last command.
    pub notice: Option<String>,
    /// Kills nodes at random while it is on.
    pub chaos: Chaos,
}

impl View {
    /// Nothing is known yet; what chaos will do is this.
    pub fn new(chaos: Chaos) -> Self {
        View { chaos, ..View::default() }
    }

    /// The cluster was heard of, or not.
    pub fn hear(&mut self, heard: Result<Overview, String>) {
        match heard {
            Ok(overview) => {
                self.trouble = None;
                self.overview = Some(overview);
            }
            Err(why) => self.trouble = Some(why),
        }
    }

    /// The table of the screen.
    pub fn table(&self) -> Option<Table> {
        let overview = self.overview.as_ref()?;
        Some(match self.tab {
            Tab::Nodes => nodes(overview),
            Tab::Queues => queues(overview),
            Tab::Jobs => jobs(overview),
            Tab::Errors => errors(overview),
        })
    }

    /// The selected row of a screen that has so many.
    pub fn selected(&self, rows: usize) -> usize {
        self.selected.get(self.tab as usize).map_or(0, |row| (*row).min(rows.saturating_sub(1)))
    }

    /// The selected node.
    pub fn node(&self) -> Option<&NodeView> {
        let nodes = &self.overview.as_ref().filter(|_| self.tab == Tab::Nodes)?.nodes;
        nodes.get(self.selected(nodes.len()))
    }

    /// Does what a key asks for.
    pub fn key(&mut self, key: KeyEvent) -> Option<Command> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Some(Command::Leave);
        }
        self.notice = None;
        if let Some(question) = self.question.take() {
            match question.command {
                _ if key.code != KeyCode::Char('y') => return None,
                Command::Chaos => self.chaos.begin(Instant::now()),
                command => return Some(command),
            }
            return None;
        }
        if std::mem::take(&mut self.help) {
            return (key.code == KeyCode::Char('q')).then_some(Command::Leave);
        }
        match key.code {
            KeyCode::Char('q') => return Some(Command::Leave),
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char(digit @ '1'..='4') => self.turn_to(digit as usize - '1' as usize),
            KeyCode::Tab | KeyCode::Right => self.turn_to(self.tab as usize + 1),
            KeyCode::BackTab | KeyCode::Left => self.turn_to(self.tab as usize + Tab::ALL.len() - 1),
            KeyCode::Down | KeyCode::Char('j') => self.select(|row| row + 1),
            KeyCode::Up | KeyCode::Char('k') => self.select(|row| row.saturating_sub(1)),
            KeyCode::PageDown => self.select(|row| row + 10),
            KeyCode::PageUp => self.select(|row| row.saturating_sub(10)),
            KeyCode::Home | KeyCode::Char('g') => self.select(|_| 0),
            KeyCode::End | KeyCode::Char('G') => self.select(|_| usize::MAX),
            KeyCode::Char('x') if self.tab == Tab::Jobs => self.ask_cancel(),
            KeyCode::Char('x') => self.ask_order(Order::Kill),
            KeyCode::Char('s') => self.ask_order(Order::Stop),
            KeyCode::Char('u') => self.ask_order(Order::Cut),
            KeyCode::Char('r') => self.ask_order(Order::Restart),
            KeyCode::Char('c') if self.chaos.is_on() => self.chaos.end(),
            KeyCode::Char('c') => {
                let words = format!("kill a node at random every {}?", self.chaos.every());
                self.question = Some(Question { words, command: Command::Chaos });
            }
            _ => {}
        }
        None
    }

    /// What chaos asks for at that time, if it is on and the cluster is seen.
    pub fn tick(&mut self, now: Instant) -> Option<Command> {
        let overview = self.overview.as_ref().filter(|_| self.trouble.is_none())?;
        let (node, life) = self.chaos.turn(&overview.nodes, now)?;
        self.notice = Some(format!("chaos kills {node}"));
        Some(Command::Order { node, life, order: Order::Kill })
    }

    fn ask_order(&mut self, order: Order) {
        let Some(node) = self.node() else { return };
        let (name, life) = (node.name().to_owned(), node.identity.life);
        if !node.takes_orders() {
            self.notice = Some(format!("{name} is a monitor: it takes no orders"));
        } else if !node.alive {
            self.notice = Some(format!("{name} is not alive"));
        } else {
            let words = format!("{order} {name}?");
            self.question = Some(Question { words, command: Command::Order { node: name, life, order } });
        }
    }

    fn turn_to(&mut self, tab: usize) {
        self.tab = Tab::ALL.get(tab % Tab::ALL.len()).map_or(Tab::Nodes, |(tab, _)| *tab);
    }

    fn select(&mut self, to: impl Fn(usize) -> usize) {
        let rows = self.table().map_or(0, |table| table.rows.len());
        let row = to(self.selected(rows)).min(rows.saturating_sub(1));
        if let Some(selected) = self.selected.get_mut(self.tab as usize) {
            *selected = row;
        }
    }

    fn ask_cancel(&mut self) {
        let Some(overview) = &self.overview else { return };
        // Newest first, as they are shown.
        let Some(job) = overview.jobs.iter().rev().nth(self.selected(overview.jobs.len())) else { return };
        let (job, over) = (job.summary.job, job.summary.state.is_ended());
        if over {
            self.notice = Some(format!("job {job} has ended"));
        } else {
            self.question = Some(Question { words: format!("cancel job {job}?"), command: Command::Cancel(job) });
        }
    }
}
