//! Draws the screen, of any size.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Text},
};

use super::{
    detail::{Detail, detail},
    table::{Table, Tone},
    tables::summary,
    view::{Tab, View},
};
use crate::output::printable;

/// What keys do.
const HELP: [&str; 9] = [
    "1 2 3 4, Tab, arrows   nodes, queues, jobs, errors",
    "up down, j k           another row; PgUp PgDn, g G: further",
    "x                      kill the node; cancel the job",
    "s                      stop the node: it hangs, until it is replaced",
    "u                      cut the node's links to the broker",
    "r                      restart the node, in order",
    "c                      start or stop chaos: nodes are killed at random",
    "q, Ctrl-C              leave",
    "? or any key           close this",
];

/// Draws it, with colours or without.
pub fn draw(frame: &mut Frame<'_>, view: &View, colour: bool) {
    let area = frame.area();
    let detail = detail(view, area.width.into());
    let [top, tabs, body, below, foot] = areas(area, &detail, view.question.is_some() || view.notice.is_some());
    let look = Look { colour };
    let about = view.overview.as_ref().map_or_else(|| "nothing is known of the cluster yet".to_owned(), summary);
    let chaos = if view.chaos.is_on() { format!("  CHAOS {}", view.chaos.turns()) } else { String::new() };
    frame.render_widget(Line::styled(about + &chaos, Modifier::BOLD), top);
    frame.render_widget(tab_line(view, look), tabs);
    match view.table() {
        _ if view.help => frame.render_widget(Text::from(HELP.map(Line::raw).to_vec()), body),
        Some(table) => frame.render_widget(rows(view, &table, body, look), body),
        None => {}
    }
    frame.render_widget(detail.shown(below.height.into()), below);
    frame.render_widget(foot_line(view, look), foot);
}

/// The line on top, the tabs, the rows with their header, the details, and the foot. On a low screen there is room for the selected row
/// first, as keys act on it; but what is asked or told comes before it.
fn areas(area: Rect, detail: &Detail, is_told: bool) -> [Rect; 5] {
    let line = |is_there: bool| u16::from(is_there);
    let [foot, tabs, top] = [line(is_told || area.height > 1), line(area.height > 3), line(area.height > 4)];
    let rows = area.height.saturating_sub(foot + tabs + top);
    let most = if detail.is_whole { rows.saturating_sub(2) } else { (area.height / 3).min(rows.saturating_sub(2)) };
    let below = u16::try_from(detail.lines.len()).unwrap_or(u16::MAX).min(most);
    Layout::vertical([top, tabs, rows - below, below, foot].map(Constraint::Length)).areas(area)
}

/// How things look: never by colour alone.
#[derive(Clone, Copy)]
struct Look {
    colour: bool,
}

impl Look {
    fn of(self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Faint => Style::new().add_modifier(Modifier::DIM),
            Tone::Bad => self.bad(),
        }
    }

    fn bad(self) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        if self.colour { bold.fg(Color::Red) } else { bold }
    }
}

fn tab_line(view: &View, look: Look) -> Line<'static> {
    let tabs = Tab::ALL.iter().zip(1..).flat_map(|((tab, name), number)| {
        let here = if *tab == view.tab { Modifier::REVERSED } else { Modifier::empty() };
        [Line::styled(format!(" {number} {name} "), here), Line::raw(" ")]
    });
    let mut spans: Vec<_> =
        tabs.flat_map(|line| line.spans.into_iter().map(move |span| span.patch_style(line.style))).collect();
    let stale = view.overview.as_ref().and_then(|overview| overview.stale.as_ref());
    if let Some(why) = view.trouble.as_ref().or(stale) {
        spans.push(ratatui::text::Span::styled(printable(why), look.bad()));
    }
    Line::from(spans)
}

fn rows(view: &View, table: &Table, area: Rect, look: Look) -> Text<'static> {
    let fit = table.fit(area.width.into());
    let has_header = area.height > 1;
    let (selected, height) = (view.selected(table.rows.len()), usize::from(area.height) - usize::from(has_header));
    // The selected row is always to be seen.
    let first = (selected + 1).saturating_sub(height);
    let header = has_header.then(|| Line::styled(table.header(&fit), Modifier::UNDERLINED));
    let rows = table.rows.iter().enumerate().skip(first).take(height).map(|(at, row)| {
        let here = if at == selected { Modifier::REVERSED } else { Modifier::empty() };
        let width = usize::from(area.width);
        Line::styled(format!("{:width$}", table.row(&fit, row)), look.of(row.tone).add_modifier(here))
    });
    Text::from(header.into_iter().chain(rows).collect::<Vec<_>>())
}

fn foot_line(view: &View, look: Look) -> Line<'static> {
    if let Some(question) = &view.question {
        return Line::styled(format!("{} y: yes, any other key: no", printable(&question.words)), look.bad());
    }
    if let Some(notice) = &view.notice {
        return Line::styled(printable(notice), Modifier::BOLD);
    }
    let keys = match view.tab {
        Tab::Nodes => "x kill  s stop  u cut off  r restart  c chaos  ? keys  q leave",
        Tab::Jobs => "x cancel  c chaos  ? keys  q leave",
        Tab::Queues | Tab::Errors => "c chaos  ? keys  q leave",
    };
    Line::styled(keys, Modifier::DIM)
}
