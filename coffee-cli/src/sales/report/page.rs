//! The page: one file that needs no script, no network and no other file.

use coffee_nodes::sales::{Request, Summary};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    ReportError,
    answer::Answer,
    charts, table,
    view::{VIEWS, View},
};
use crate::{output::printable, sales::summary::notes};

const STYLE: &str = include_str!("style.css");

/// Nothing is loaded and nothing is run, whatever the data's texts say.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page on a run, out of its result files.
pub fn page(request: &Request, summary: &Summary) -> Result<Markup, ReportError> {
    let sections: Vec<(&View, Markup)> = VIEWS
        .iter()
        .filter_map(|view| Some((view, section(view, summary).transpose()?)))
        .map(|(view, section)| Ok((view, section?)))
        .collect::<Result<_, ReportError>>()?;
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { "Coffee-shop sales" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Coffee-shop sales" }
                    (asked(request))
                    nav aria-label="Answers" { ul {
                        @for (view, _) in &sections { li { a href={ "#" (view.name) } { (view.title) } } }
                        li { a href="#run" { "The run" } }
                    } }
                }
                main {
                    @for (view, section) in &sections { section id=(view.name) { h2 { (view.title) } (section) } }
                    section id="run" { h2 { "The run" } (run(summary)) }
                }
            }
        }
    })
}

/// The answer to what was asked, or why there is none.
fn section(view: &View, summary: &Summary) -> Result<Option<Markup>, ReportError> {
    if let Some(missing) = summary.missing.iter().find(|missing| missing.name == view.name) {
        return Ok(Some(html! { p.missing { "There is no answer: " (printable(&missing.reason)) } }));
    }
    let Some(result) = summary.results.iter().find(|result| result.name == view.name) else { return Ok(None) };
    let answer = Answer::read(view, result)?;
    Ok(Some(match answer.charts.as_slice() {
        _ if answer.rows.is_empty() => html! { p.note { "Nothing in the data fits what was asked." } },
        [] => html! { div.rows { (table::rows(&answer)) } },
        [_] => html! { div.beside { div { (charts::charts(&answer)?) } div.rows { (table::rows(&answer)) } } },
        _ => html! { (charts::charts(&answer)?) div.rows { (table::rows(&answer)) } },
    }))
}

fn asked(request: &Request) -> Markup {
    let Request { data, query, queries, strict, .. } = request;
    let years = query.years.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    html! {
        dl {
            div { dt { "Data" } dd { (printable(&data.display().to_string())) } }
            div { dt { "Queries" } dd { (queries.to_string().replace(',', ", ")) } }
            div { dt { "Years" } dd { (years) } }
            div { dt { "Time of day (Q1, Q3)" } dd { (query.from) " to " (query.to) } }
            div { dt { "Least amount (Q1)" } dd { (query.min_amount) } }
            div { dt { "Customers a store (Q4)" } dd { (query.top) } }
            div { dt { "Rows that can't be read" } dd { (if *strict { "fail the run" } else { "are left out" }) } }
        }
    }
}

fn run(summary: &Summary) -> Markup {
    let tables = summary.tables.iter().map(|table| (&*table.name, [table.rows, table.rejected, table.unmatched]));
    let operators = summary.operators.iter().map(|operator| (&*operator.name, [operator.rows_in, operator.rows_out]));
    let others = summary.missing.iter().filter(|missing| VIEWS.iter().all(|view| view.name != missing.name));
    html! {
        @for missing in others { p.missing { (missing.name) ": " (printable(&missing.reason)) } }
        ul { @for note in notes(summary) { li { (note) } } }
        div.beside {
            (table::counts("Tables", &["Table", "Rows", "Rejected", "Unmatched"], tables))
            (table::counts("Operators", &["Operator", "Rows in", "Rows out"], operators))
        }
    }
}
