//! What is shown of the selected row below the others.

use coffee_nodes::{
    job::JobState,
    statistics::{JobView, NodeView},
};
use ratatui::{
    style::Modifier,
    text::{Line, Text},
};
use unicode_width::UnicodeWidthChar;

use super::{
    numbers::{short, span},
    table::cut,
    tables::stages,
    view::{Tab, View},
};
use crate::output::printable;

/// Some lines about one row.
#[derive(Debug, Default)]
pub struct Detail {
    pub lines: Vec<Line<'static>>,
    /// Whether all of it is to be seen, as it is nowhere else: the rows make room for it.
    pub is_whole: bool,
}

impl Detail {
    /// So many lines of it, with a sign where there are more.
    pub fn shown(mut self, lines: usize) -> Text<'static> {
        if lines < self.lines.len() {
            self.lines.truncate(lines);
            if let Some(last) = self.lines.last_mut() {
                *last = Line::raw(cut(&format!("{last} "), last.width().max(1)));
            }
        }
        Text::from(self.lines)
    }
}

/// More about the selected row, in so many columns.
pub fn detail(view: &View, width: usize) -> Detail {
    let Some(overview) = view.overview.as_ref().filter(|_| !view.help) else { return Detail::default() };
    match view.tab {
        Tab::Nodes => view.node().map_or_else(Detail::default, |node| {
            let lines = vec![Line::raw(cut(&about_node(node), width))];
            Detail { lines, is_whole: false }
        }),
        Tab::Jobs => {
            let job = overview.jobs.iter().rev().nth(view.selected(overview.jobs.len()));
            job.map_or_else(Detail::default, |job| about_job(job, width))
        }
        Tab::Errors => {
            let error = overview.errors.iter().rev().nth(view.selected(overview.errors.len()));
            error.map_or_else(Detail::default, |error| whole(&error.text, width))
        }
        Tab::Queues => Detail::default(),
    }
}

fn about_node(node: &NodeView) -> String {
    let name = printable(node.name());
    if !node.alive {
        return format!("{name}: not heard for {}", span(node.silent_ms));
    }
    if node.doubled {
        return format!(
            "{name}: two processes have this name, and are shown by turns: one has to go, or to be called otherwise"
        );
    }
    if !node.takes_orders() {
        return format!("{name}: takes no orders, as it knows no broker");
    }
    format!(
        "{name}: {} dead letters, {} publishes sent again, {} redeliveries, {} commits/s take {}%",
        short(node.dead_letters),
        short(node.replayed),
        short(node.redelivered),
        short(node.commits),
        node.committing / 10,
    )
}

/// Why it has failed, or what its stages do.
fn about_job(job: &JobView, width: usize) -> Detail {
    if let JobState::Failed { reason } = &job.summary.state {
        return whole(reason, width);
    }
    let table = stages(job);
    if table.rows.is_empty() {
        return Detail::default();
    }
    let fit = table.fit(width);
    let header = Line::styled(table.header(&fit), Modifier::UNDERLINED);
    let rows = table.rows.iter().map(|row| Line::raw(table.row(&fit, row)));
    Detail { lines: [header].into_iter().chain(rows).collect(), is_whole: false }
}

fn whole(text: &str, width: usize) -> Detail {
    Detail { lines: wrapped(&printable(text), width).into_iter().map(Line::raw).collect(), is_whole: true }
}

/// A text in lines of so many columns, broken wherever they are full.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line, mut wide) = (Vec::new(), String::new(), 0);
    for letter in text.chars() {
        let columns = letter.width().unwrap_or_default();
        if wide + columns > width && !line.is_empty() {
            lines.push(std::mem::take(&mut line));
            wide = 0;
        }
        line.push(letter);
        wide += columns;
    }
    lines.extend(Some(line).filter(|line| !line.is_empty()));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_wide_as_the_screen_and_nothing_is_lost() {
        assert_eq!(wrapped("abcdefg", 3), ["abc", "def", "g"]);
        assert_eq!(wrapped("a\u{65e5}\u{672c}b", 3), ["a\u{65e5}", "\u{672c}b"]);
        assert_eq!(wrapped("\u{65e5}\u{672c}", 1), ["\u{65e5}", "\u{672c}"], "what is wider than that stands alone");
        assert_eq!(wrapped("", 3), Vec::<String>::new());
    }
}
