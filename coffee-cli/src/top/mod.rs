//! How a cluster looks to people: its nodes, queues, jobs and last errors, as text or on a terminal's screen.
//!
//! ```text
//! Overview --> tables --> text       (--once)
//!                `------> draw       (the screen, which View keeps)
//! ```

mod chaos;
mod detail;
mod draw;
mod numbers;
mod screen;
mod table;
mod tables;
mod text;
mod view;

#[cfg(test)]
mod tests;

pub use chaos::Chaos;
pub use screen::show;
pub use text::text;
pub use view::View;
