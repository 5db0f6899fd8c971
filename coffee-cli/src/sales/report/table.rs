//! Tables.

use indicatif::HumanCount;
use maud::{Markup, html};

use super::answer::Answer;
use crate::output::printable;

/// The first rows of an answer.
pub fn rows(answer: &Answer<'_>) -> Markup {
    let body = html! {
        @for row in &answer.rows {
            tr {
                @for text in &row.texts { td { (text) } }
                td.number { data value=(row.figure.exact()) { (row.figure) } }
            }
        }
    };
    let columns = answer.view.columns;
    table(&extent(answer), columns, columns.len().saturating_sub(1), &body)
}

/// How much of the file the table has.
fn extent(answer: &Answer<'_>) -> String {
    let file = printable(&answer.result.file.display().to_string());
    let (all, shown) = (answer.result.rows, answer.rows.len() as u64);
    if shown < all {
        format!("The first {} of {} rows in {file}", HumanCount(shown), HumanCount(all))
    } else if all == 1 {
        format!("The one row of {file}")
    } else {
        format!("All {} rows of {file}", HumanCount(all))
    }
}

/// Counts by a name.
pub fn counts<'a, const N: usize>(
    caption: &str,
    columns: &[&str],
    rows: impl Iterator<Item = (&'a str, [u64; N])>,
) -> Markup {
    let body = html! {
        @for (name, counts) in rows {
            tr {
                th scope="row" { (name) }
                @for count in counts { td.number { (HumanCount(count)) } }
            }
        }
    };
    table(caption, columns, 1, &body)
}

/// A table whose columns from `texts` on have numbers.
fn table(caption: &str, columns: &[&str], texts: usize, body: &Markup) -> Markup {
    html! {
        table {
            caption { (caption) }
            thead { tr {
                @for (at, column) in columns.iter().enumerate() { th scope="col" class=[(at >= texts).then_some("number")] { (column) } }
            } }
            tbody { (body) }
        }
    }
}
